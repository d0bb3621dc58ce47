//! Windows by civil time in a time zone: a day has 23 or 25 hours where clocks are changed.

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// A stretch of civil time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the next.
    Month,
    /// From the first of January to the next.
    Year,
}

/// So far on both sides of 1970 there are calendars, in microseconds: more than 6,300 years. Beyond, all time is one window.
const CALENDARS: i64 = 200_000_000_000_000_000;

impl Calendar {
    /// The window that `at` belongs to.
    pub(super) fn around(self, zone: &TimeZone, at: Timestamp) -> (Timestamp, Timestamp) {
        let nearest = Timestamp(at.0.clamp(-CALENDARS, CALENDARS));
        // There is one, so near to now. A zone that had none would have windows of a moment.
        let moment = (nearest, Timestamp(nearest.0 + 1));
        let (first, next) = self.by_calendar(zone, nearest).unwrap_or(moment);
        match at {
            _ if at < first => (Timestamp(i64::MIN + 1), first),
            _ if at >= next => (next, Timestamp::LAST),
            _ => (first, next),
        }
    }

    fn by_calendar(self, zone: &TimeZone, at: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let instant = jiff::Timestamp::from_microsecond(at.0).ok()?;
        if self == Calendar::Hour {
            return hour(zone, instant);
        }
        let date = self.begins(instant.to_zoned(zone.clone()).date())?;
        let next = self.after(date)?;
        // Where there is no midnight on a day it begins with the first moment that there is, and where there are two with the first of them.
        let moment = |date: Date| {
            let midnight = date.to_zoned(zone.clone()).ok()?.start_of_day().ok()?;
            Some(Timestamp::from(midnight.timestamp()))
        };
        let (start, end) = (moment(date)?, moment(next)?);
        if at < end {
            return (start <= at).then_some((start, end));
        }
        // The clock was put back over midnight: by its date it is the day before once more.
        Some((end, moment(self.after(next)?)?)).filter(|(_, end)| at < *end)
    }

    /// The first day of the stretch that a day belongs to.
    fn begins(self, date: Date) -> Option<Date> {
        match self {
            Calendar::Hour | Calendar::Day => Some(date),
            Calendar::Week => {
                let monday = i64::from(date.weekday().to_monday_zero_offset());
                date.checked_sub(monday.days()).ok()
            }
            Calendar::Month => Some(date.first_of_month()),
            Calendar::Year => Some(date.first_of_year()),
        }
    }

    /// The first day of the stretch after the one that begins with a day.
    fn after(self, first: Date) -> Option<Date> {
        let length = match self {
            Calendar::Hour | Calendar::Day => 1.day(),
            Calendar::Week => 1.week(),
            Calendar::Month => 1.month(),
            Calendar::Year => 1.year(),
        };
        first.checked_add(length).ok()
    }
}

/// The hour by the clock on the wall. It is cut off where the clock is changed within.
fn hour(zone: &TimeZone, at: jiff::Timestamp) -> Option<(Timestamp, Timestamp)> {
    let hour = 3600 * 1_000_000_i64;
    let offset = i64::from(zone.to_offset(at).seconds()) * 1_000_000;
    let at_us = at.as_microsecond();
    let start = at_us - (at_us + offset).rem_euclid(hour);
    let before = zone.preceding(at.checked_add(jiff::SignedDuration::from_nanos(1)).ok()?).next();
    let after = zone.following(at).next();
    let start = before.map_or(start, |change| start.max(change.timestamp().as_microsecond()));
    let end = at_us - (at_us + offset).rem_euclid(hour) + hour;
    let end = after.map_or(end, |change| end.min(change.timestamp().as_microsecond()));
    Some((Timestamp(start), Timestamp(end)))
}
