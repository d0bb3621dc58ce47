//! Where windows that do not depend on the items begin and end.

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
    last: Found,
}

/// A slice that was found.
#[derive(Clone, Copy, Debug)]
struct Found {
    start: Timestamp,
    end: Timestamp,
    /// The end of the first window that it belongs to.
    first_end: Timestamp,
}

impl Aligned {
    pub(super) fn new(grid: Grid) -> Self {
        // It has no time in it.
        let nothing =
            Found { start: Timestamp::MAX, end: Timestamp::MIN, first_end: Timestamp::MAX };
        Aligned { grid, last: nothing }
    }

    /// The start of the slice that `at` belongs to.
    #[inline(always)]
    pub(super) fn slice(&mut self, at: Timestamp) -> Timestamp {
        if at < self.last.start || at >= self.last.end {
            self.last = self.find(at);
        }
        self.last.start
    }

    /// The end of the first window that the slice belongs to that was found last.
    #[inline(always)]
    pub(super) fn first_end_of_last(&self) -> Timestamp {
        self.last.first_end
    }

    #[cold]
    fn find(&self, at: Timestamp) -> Found {
        let (start, end) = match &self.grid {
            Grid::Even { grain, offset, .. } => {
                let start = floor(at.0.into(), *grain, *offset);
                (time(start), time(start + i128::from(*grain)))
            }
            Grid::Civil { unit, zone } => unit.around(zone, at),
        };
        Found { start, end, first_end: self.first_end(start) }
    }

    /// How far apart windows begin, where that is always the same.
    pub(super) fn hop(&self) -> Option<i64> {
        match &self.grid {
            Grid::Even { hop, .. } => Some(*hop),
            Grid::Civil { .. } => None,
        }
    }

    /// The end of the first window that a slice belongs to.
    pub(super) fn first_end(&self, slice: Timestamp) -> Timestamp {
        // It begins behind the one that ends where the slice begins, or before.
        self.end_behind(slice)
    }

    /// The end of the last window that a slice belongs to.
    pub(super) fn last_end(&self, slice: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { size, hop, offset, .. } => {
                end(floor(slice.0.into(), *hop, *offset) + i128::from(*size))
            }
            Grid::Civil { unit, zone } => end(unit.around(zone, slice).1.0.into()),
        }
    }

    /// The end of the window after the one that ends at `from`.
    pub(super) fn next_end(&self, from: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { hop, .. } => end(i128::from(from.0) + i128::from(*hop)),
            Grid::Civil { .. } => self.end_behind(from),
        }
    }

    /// The first end of a window behind `after`; the last end there is where there is none.
    pub(super) fn end_behind(&self, after: Timestamp) -> Timestamp {
        match &self.grid {
            Grid::Even { size, hop, offset, .. } => {
                let size = i128::from(*size);
                let before = floor(i128::from(after.0) - size, *hop, *offset);
                end(before + i128::from(*hop) + size)
            }
            Grid::Civil { unit, zone } => end(unit.around(zone, after).1.0.into()),
        }
    }

    /// Where the window begins that ends at `end`.
    pub(super) fn start(&self, end: Timestamp) -> Timestamp {
        let last = Timestamp(end.0.saturating_sub(1));
        match &self.grid {
            // The last one is cut off.
            Grid::Even { size, hop, offset, .. } if size == hop => {
                time(floor(last.0.into(), *size, *offset))
            }
            Grid::Even { size, .. } => Timestamp(end.0.saturating_sub(*size)),
            Grid::Civil { unit, zone } => unit.around(zone, last).0,
        }
    }

    /// Slices that begin earlier are of windows that have ended by `at`; others are not.
    pub(super) fn first_unended(&self, at: Timestamp) -> Timestamp {
        if at >= Timestamp::LAST {
            return Timestamp::MAX;
        }
        match &self.grid {
            Grid::Even { size, hop, offset, .. } => {
                let last = floor(i128::from(at.0) - i128::from(*size), *hop, *offset);
                time(last + i128::from(*hop))
            }
            Grid::Civil { unit, zone } => unit.around(zone, at).0,
        }
    }
}

/// An end that event time reaches.
fn end(at: i128) -> Timestamp {
    time(at).min(Timestamp::LAST)
}

/// A time, cut off at the ends of all time.
fn time(at: i128) -> Timestamp {
    let outside = if at < 0 { i64::MIN } else { i64::MAX };
    Timestamp(i64::try_from(at).unwrap_or(outside))
}

/// The last multiple of `step`, counted from `offset`, up to `at`.
fn floor(at: i128, step: i64, offset: i64) -> i128 {
    let from = at - i128::from(offset);
    match i64::try_from(from) {
        // Much faster.
        Ok(from) => at - i128::from(from.rem_euclid(step)),
        Err(_) => at - from.rem_euclid(step.into()),
    }
}
