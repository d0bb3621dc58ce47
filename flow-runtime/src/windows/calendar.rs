//! Windows by civil time in a time zone: a day has 23 or 25 hours where clocks are changed.

use jiff::ToSpan;
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
        let civil = instant.to_zoned(zone.clone());
        let date = civil.date();
        let first = match self {
            Calendar::Hour | Calendar::Day => Ok(date),
            Calendar::Week => {
                date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
            }
            Calendar::Month => Ok(date.first_of_month()),
            Calendar::Year => Ok(date.first_of_year()),
        };
        let next = first.clone().and_then(|first| match self {
            Calendar::Hour | Calendar::Day => first.checked_add(1.day()),
            Calendar::Week => first.checked_add(1.week()),
            Calendar::Month => first.checked_add(1.month()),
            Calendar::Year => first.checked_add(1.year()),
        });
        // Where there is no midnight on a day it begins with the first moment that there is.
        let moment = |date: Result<jiff::civil::Date, jiff::Error>| {
            let midnight = date?.to_zoned(zone.clone())?.start_of_day()?;
            Ok::<_, jiff::Error>(Timestamp::from(midnight.timestamp()))
        };
        let (first, next) = (moment(first).ok()?, moment(next).ok()?);
        (first <= at && at < next).then_some((first, next))
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
