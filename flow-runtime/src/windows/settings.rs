//! What all kinds of windows can be told.

use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

/// When a window fires before event time has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// After so many items since it last fired.
    Count(u32),
    /// So much processing time after its first item, and again and again, if it has changed since it last fired.
    Every(Duration),
}

/// What all kinds of windows can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// In microseconds, for it is asked for with every item.
    pub(crate) lateness: i64,
    pub(crate) early: Option<Early>,
}

impl Settings {
    /// Nothing was told.
    pub(crate) const PLAIN: Settings = Settings { lateness: 0, early: None };

    pub(super) const fn allow(&mut self, lateness: Duration) {
        let micros = lateness.as_micros();
        self.lateness = if micros > i64::MAX as u128 { i64::MAX } else { micros as i64 };
    }

    /// Whether there can be more than one result of a window, so that results must be counted.
    pub(crate) fn counts_panes(&self) -> bool {
        self.early.is_some() || self.lateness != 0
    }

    /// When a window that ends there is given up. Event time comes to that.
    pub(crate) fn over_at(&self, end: Timestamp) -> Timestamp {
        Timestamp(end.0.saturating_add(self.lateness)).min(Timestamp::LAST)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.early {
            Some(Early::Count(0)) => Err(senseless(
                "an early result after every 0 items",
                "say `Early::Count(1)` for one after every item",
            )),
            Some(Early::Every(period)) if period.as_micros() == 0 => Err(senseless(
                "early results every 0 seconds",
                "a period is at least a microsecond; clocks of runs tick every millisecond",
            )),
            Some(Early::Every(period)) => length(period, "period").map(drop),
            _ => Ok(()),
        }
    }
}

/// What was said of windows makes no sense.
#[cold]
pub(super) fn senseless(what: &str, help: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("{what} cannot be had")).help(help)
}

/// A length in microseconds, which must not be 0.
pub(super) fn length(of: Duration, what: &str) -> Result<i64, Error> {
    match i64::try_from(of.as_micros()) {
        Ok(0) => Err(senseless(
            &format!("a {what} of no length"),
            "it is at least a microsecond, the precision of event time",
        )),
        // Far beyond all times there are, and still far from where sums overflow.
        Ok(length) if length <= i64::MAX / 4 => Ok(length),
        _ => Err(senseless(&format!("a {what} of {of:?}"), "the longest is about 73,000 years")),
    }
}
