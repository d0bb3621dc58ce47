//! Points in time and in the run: timestamps, epochs, barriers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

pub use crate::asynchronous::{Sleep, sleep};

/// Microseconds since 1970-01-01 UTC; negative before.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest timestamp.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest timestamp.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The latest time that event time reaches: what ends here ends with the input.
    pub(crate) const LAST: Timestamp = Timestamp(i64::MAX - 1);

    /// So many seconds since 1970-01-01 UTC; at most [`Timestamp::MAX`], at least [`Timestamp::MIN`].
    pub const fn from_secs(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// So many milliseconds since 1970-01-01 UTC; at most [`Timestamp::MAX`], at least [`Timestamp::MIN`].
    pub const fn from_millis(milliseconds: i64) -> Timestamp {
        Timestamp(milliseconds.saturating_mul(1_000))
    }

    /// So many microseconds since 1970-01-01 UTC.
    pub const fn from_micros(microseconds: i64) -> Timestamp {
        Timestamp(microseconds)
    }

    /// This point less `by`, at least [`Timestamp::MIN`].
    pub fn before(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This point plus `by`, at most [`Timestamp::MAX`].
    pub fn after(self, by: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// As in RFC 3339, to the microsecond, in UTC; what lies beyond the years that it can write is said in microseconds.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => at.fmt(f),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

/// To the microsecond; what is finer is cut off.
impl From<jiff::Timestamp> for Timestamp {
    fn from(at: jiff::Timestamp) -> Timestamp {
        Timestamp(at.as_microsecond())
    }
}

#[allow(clippy::disallowed_types)] // Nobody is asked for the time here.
impl From<std::time::SystemTime> for Timestamp {
    fn from(at: std::time::SystemTime) -> Timestamp {
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        match at.duration_since(epoch) {
            Ok(after) => Timestamp(0).after(after),
            Err(before) => Timestamp(0).before(before.duration()),
        }
    }
}

/// The unit of recovery, as users see it: the label of what lies between two barriers. The first run begins with 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl From<u64> for Epoch {
    fn from(number: u64) -> Epoch {
        Epoch(number)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The dense number of a barrier: 0, 1, 2, .. Every barrier closes exactly one epoch.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Barrier(pub u64);

impl Barrier {
    /// The barrier after this one.
    #[must_use]
    pub fn next(self) -> Barrier {
        Barrier(self.0.saturating_add(1))
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
