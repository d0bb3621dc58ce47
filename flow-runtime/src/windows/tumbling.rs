//! Tumbling and hopping windows, as they are wired.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::error::Error;
use crate::windows::aligned::{Aligned, Grid};
use crate::windows::settings::{length, senseless};
use crate::windows::slices::Slicing;
use crate::windows::{Calendar, Early, Settings, WindowKind};

/// Windows of one length, one behind the other: each item belongs to one.
///
/// They are aligned to 1970-01-01 00:00 UTC, or shifted from there by an [`offset`](Tumbling::offset); or they follow the calendar of a
/// time zone.
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// let hours = Tumbling::of(Duration::from_secs(3600)).allowed_lateness(Duration::from_secs(60));
/// let days = Tumbling::calendar(Calendar::Day, "Europe/Berlin");
/// # let _ = (hours, days);
/// ```
#[derive(Clone, Debug)]
pub struct Tumbling {
    length: Length,
    offset: Duration,
    settings: Settings,
}

#[derive(Clone, Debug)]
enum Length {
    Even(Duration),
    Civil(Calendar, String),
}

impl Tumbling {
    /// Windows of this length.
    pub const fn of(size: Duration) -> Tumbling {
        let settings = Settings::PLAIN;
        Tumbling { length: Length::Even(size), offset: Duration::ZERO, settings }
    }

    /// Windows by the calendar of a time zone, by its name in the IANA database: a day there has 23 or 25 hours when clocks are changed.
    /// A run with a name that is not known ends with an error when it begins.
    pub fn calendar(unit: Calendar, zone: impl Into<String>) -> Tumbling {
        let length = Length::Civil(unit, zone.into());
        Tumbling { length, ..Tumbling::of(Duration::ZERO) }
    }

    /// Shifts all windows by so much. Not for windows by a calendar.
    pub const fn offset(mut self, by: Duration) -> Tumbling {
        self.offset = by;
        self
    }

    /// Keeps a window for so much event time behind its end: items that come until then fire it again. Later ones go to the late stream.
    pub const fn allowed_lateness(mut self, lateness: Duration) -> Tumbling {
        self.settings.allow(lateness);
        self
    }

    /// Lets windows fire before they end as well.
    pub const fn early(mut self, when: Early) -> Tumbling {
        self.settings.early = Some(when);
        self
    }
}

impl WindowKind for Tumbling {
    type Windows = Slicing;
    fn windows(&self) -> Result<(Slicing, Settings), Error> {
        self.settings.check()?;
        let grid = match &self.length {
            Length::Even(size) => even(*size, *size, self.offset)?,
            Length::Civil(unit, name) => {
                if !self.offset.is_zero() {
                    return Err(senseless(
                        "an offset of windows by a calendar",
                        "windows by a calendar begin where the calendar says",
                    ));
                }
                let zone = TimeZone::get(name).map_err(|_| {
                    senseless(
                        &format!("windows in the time zone `{name}`, which is not known,"),
                        "give its name in the IANA database, as `Europe/Berlin`",
                    )
                })?;
                Grid::Civil { unit: *unit, zone }
            }
        };
        Ok((Slicing::new(Aligned::new(grid)), self.settings))
    }
}

/// Windows of one length that begin at regular distances and overlap: each item belongs to several.
///
/// What they cost does not depend on how many windows an item belongs to: it is added once, and windows share what they have in common.
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// // The last minute, every second.
/// let minutes = Hopping::of(Duration::from_secs(60), Duration::from_secs(1));
/// # let _ = minutes;
/// ```
#[derive(Clone, Debug)]
pub struct Hopping {
    size: Duration,
    hop: Duration,
    offset: Duration,
    settings: Settings,
}

impl Hopping {
    /// Windows of length `size`, one beginning every `hop`. A hop longer than the size leaves gaps: a run with that ends with an error
    /// when it begins.
    pub const fn of(size: Duration, hop: Duration) -> Hopping {
        let settings = Settings::PLAIN;
        Hopping { size, hop, offset: Duration::ZERO, settings }
    }

    /// Shifts all windows by so much.
    pub const fn offset(mut self, by: Duration) -> Hopping {
        self.offset = by;
        self
    }

    /// Keeps a window for so much event time behind its end: items that come until then fire it again. Those that come too late for all of their
    /// windows go to the late stream.
    pub const fn allowed_lateness(mut self, lateness: Duration) -> Hopping {
        self.settings.allow(lateness);
        self
    }

    /// Lets windows fire before they end as well.
    pub const fn early(mut self, when: Early) -> Hopping {
        self.settings.early = Some(when);
        self
    }
}

impl WindowKind for Hopping {
    type Windows = Slicing;
    fn windows(&self) -> Result<(Slicing, Settings), Error> {
        self.settings.check()?;
        let grid = even(self.size, self.hop, self.offset)?;
        Ok((Slicing::new(Aligned::new(grid)), self.settings))
    }
}

fn even(size: Duration, hop: Duration, offset: Duration) -> Result<Grid, Error> {
    let (size_us, hop_us) = (length(size, "window")?, length(hop, "hop")?);
    if hop_us > size_us {
        return Err(senseless(
            &format!("windows of {size:?} every {hop:?}, with gaps between them,"),
            "the hop is at most the size; to leave items out, filter them",
        ));
    }
    let (mut grain, mut rest) = (size_us, hop_us);
    while rest > 0 {
        (grain, rest) = (rest, grain % rest);
    }
    // Whole hops change nothing.
    let offset = (offset.as_micros() % hop_us as u128) as i64;
    Ok(Grid::Even { size: size_us, hop: hop_us, grain, offset })
}
