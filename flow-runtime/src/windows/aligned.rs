//! Where windows that do not depend on the items begin and end.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::time::Timestamp;
use crate::windows::Calendar;

/// Where windows begin and end. They are made of slices: the longest stretches that no window begins or ends within.
#[derive(Clone, Debug)]
pub(super) enum Grid {
    /// Windows of `size` every `hop`, one of them beginning at `offset`; slices of `grain`. In microseconds.
    Even { size: i64, hop: i64, grain: i64, offset: i64 },
    /// Windows of civil time, each a slice.
    Civil { unit: Calendar, zone: TimeZone },
}

/// A grid, and where it was last looked at: items mostly come in the order of time.
#[derive(Clone, Debug)]
pub(super) struct Aligned {
    grid: Grid,
    /// The slice that was found last.
    last: (Timestamp, Timestamp),
}

impl Aligned {
    pub(super) fn new(grid: Grid) -> Self {
        Aligned { grid, last: (Timestamp::MAX, Timestamp::MIN) }
    }

    /// The start of the slice that `at` belongs to.
    #[inline(always)]
    pub(super) fn slice(&mut self, at: Timestamp) -> Timestamp {
        if at < self.last.0 || at >= self.last.1 {
            self.last = self.around(at);
        }
        self.last.0
    }

    #[cold]
    fn around(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        match &self.grid {
            Grid::Even { grain, offset, .. } => {
                let start = floor(at.0, *grain, *offset);
                (Timestamp(start), Timestamp(start.saturating_add(*grain)))
            }
            Grid::Civil { unit, zone } => unit.around(zone, at),
        }
    }

    /// How far apart windows begin, where that is always the same.
    pub(super) fn hop(&self) -> Option<Duration> {
        match &self.grid {
            Grid::Even { hop, .. } => Some(Duration::from_micros(hop.unsigned_abs())),
            Grid::Civil { .. } => None,
        }
    }

    /// Whether each window is one slice.
    pub(super) fn is_tumbling(&self) -> bool {
        match &self.grid {
            Grid::Even { size, grain, .. } => size == grain,
            Grid::Civil { .. } => true,
        }
    }

    /// The end of the first window that a slice belongs to.
    pub(super) fn first_end(&self, slice: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { size, hop, offset, .. } => {
                let before = floor(slice.0.saturating_sub(*size), *hop, *offset);
                end(before.saturating_add(*hop).saturating_add(*size))
            }
            Grid::Civil { .. } => self.last_end(slice),
        }
    }

    /// The end of the last window that a slice belongs to.
    pub(super) fn last_end(&self, slice: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { size, hop, offset, .. } => {
                end(floor(slice.0, *hop, *offset).saturating_add(*size))
            }
            Grid::Civil { unit, zone } => unit.around(zone, slice).1,
        }
    }

    /// The end of the window after the one that ends at `end`; only where windows are of more than one slice.
    pub(super) fn next_end(&self, from: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { hop, .. } => end(from.0.saturating_add(*hop)),
            Grid::Civil { unit, zone } => unit.around(zone, from).1,
        }
    }

    /// The first end of a window behind `after`; only where windows are of more than one slice.
    pub(super) fn end_behind(&self, after: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { size, hop, offset, .. } => {
                let start = floor(after.0.saturating_sub(*size), *hop, *offset);
                end(start.saturating_add(*hop).saturating_add(*size))
            }
            Grid::Civil { unit, zone } => unit.around(zone, after).1,
        }
    }

    /// Where the window begins that ends at `end` and has a slice that begins at `slice`.
    pub(super) fn start(&self, end: Timestamp, slice: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { size, .. } => Timestamp(end.0.saturating_sub(*size)),
            Grid::Civil { .. } => slice,
        }
    }
}

/// An end that event time reaches.
fn end(at: i64) -> Timestamp {
    Timestamp(at).min(Timestamp::LAST)
}

/// The last multiple of `step`, counted from `offset`, up to `at`; the first there is if there is none.
fn floor(at: i64, step: i64, offset: i64) -> i64 {
    match at.checked_sub(offset) {
        Some(from) => at.saturating_sub(from.rem_euclid(step)),
        // `offset` is less than a step: `at` lies at one end of all time.
        None => at,
    }
}
