//! Where windows by the calendar begin and end, and what cannot be had.

use std::time::Duration;

use jiff::civil::{Weekday, date};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::time::Timestamp;
use crate::windows::{Calendar, Early, Hopping, Session, Tumbling, WindowKind};

const HOUR: i64 = 3_600_000_000;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("the zone is known")
}

fn at(zone: &TimeZone, year: i16, month: i8, day: i8, hour: i8) -> Timestamp {
    let civil = date(year, month, day).at(hour, 30, 0, 0).to_zoned(zone.clone());
    Timestamp::from(civil.expect("there is such a time").timestamp())
}

/// The length of the window around a time, in hours.
fn hours(unit: Calendar, zone: &TimeZone, at: Timestamp) -> i64 {
    let (start, end) = unit.around(zone, at);
    assert!(start <= at && at < end);
    (end.0 - start.0) / HOUR
}

#[test]
fn days_are_as_long_as_clocks_make_them() {
    let berlin = zone("Europe/Berlin");
    assert_eq!(hours(Calendar::Day, &berlin, at(&berlin, 2024, 3, 30, 12)), 24);
    assert_eq!(hours(Calendar::Day, &berlin, at(&berlin, 2024, 3, 31, 12)), 23);
    assert_eq!(hours(Calendar::Day, &berlin, at(&berlin, 2024, 10, 27, 12)), 25);
    // A day there begins before the day in UTC does.
    let (start, _) = Calendar::Day.around(&berlin, at(&berlin, 2024, 7, 1, 12));
    assert_eq!(start.to_string(), "2024-06-30T22:00:00Z");
    assert_eq!(hours(Calendar::Month, &berlin, at(&berlin, 2024, 2, 10, 1)), 29 * 24);
    assert_eq!(hours(Calendar::Year, &berlin, at(&berlin, 1969, 2, 10, 1)), 365 * 24);
    let (monday, _) = Calendar::Week.around(&berlin, at(&berlin, 2024, 7, 4, 12));
    let monday = jiff::Timestamp::from_microsecond(monday.0).expect("it is in range");
    assert_eq!(monday.to_zoned(berlin).weekday(), Weekday::Monday);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every time belongs to one window, and the next one begins where it ends; also around changes of clocks, by whole hours or not,
    /// before 1970 and where there are no calendars any more.
    #[test]
    fn windows_by_the_calendar_cover_all_time_once(
        year in prop_oneof![8 => 1900..2100_i64, 1 => -4400..-4300_i64, 1 => 8250..8350_i64],
        within in 0..366 * 24 * HOUR,
        name in prop::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "UTC"]),
        unit in prop::sample::select(vec![Calendar::Hour, Calendar::Day, Calendar::Week, Calendar::Month, Calendar::Year]),
    ) {
        let zone = zone(name);
        let at = Timestamp((year - 1970) * 365 * 24 * HOUR + within);
        let (start, end) = unit.around(&zone, at);
        prop_assert!(start <= at && at < end);
        for inside in [start, Timestamp(end.0 - 1), Timestamp(start.0 / 2 + end.0 / 2)] {
            prop_assert_eq!(unit.around(&zone, inside), (start, end));
        }
        if end < Timestamp::LAST {
            prop_assert_eq!(unit.around(&zone, end).0, end);
        }
        if start > Timestamp(i64::MIN + 1) {
            prop_assert_eq!(unit.around(&zone, Timestamp(start.0 - 1)).1, start);
        }
    }
}

#[test]
fn a_clock_that_is_put_back_over_midnight_makes_one_day_longer() {
    // There it was 00:01 on the first of November when it became 23:01 on the last of October.
    let zone = zone("America/St_Johns");
    let october = at(&zone, 2009, 10, 31, 12);
    let minute = 60_000_000;
    for unit in [Calendar::Hour, Calendar::Day, Calendar::Week, Calendar::Month, Calendar::Year] {
        let (mut start, mut end) = unit.around(&zone, october);
        for minutes in 0..3 * 24 * 60 {
            let now = Timestamp(october.0 + minutes * minute);
            let window = unit.around(&zone, now);
            if window != (start, end) {
                assert_eq!(window.0, end, "windows lie one behind the other");
                (start, end) = window;
            }
            assert!(start <= now && now < end);
        }
    }
    assert_eq!(hours(Calendar::Day, &zone, at(&zone, 2009, 11, 1, 12)), 25);
}

#[test]
fn times_at_the_ends_of_all_time_have_a_window() {
    for unit in [Calendar::Hour, Calendar::Day, Calendar::Year] {
        for at in [Timestamp(i64::MIN + 1), Timestamp(i64::MAX - 2)] {
            let (start, end) = unit.around(&zone("UTC"), at);
            assert!(start <= at && at < end);
        }
    }
}

#[test]
fn what_makes_no_sense_is_said() {
    let second = Duration::from_secs(1);
    let says = |error: Option<crate::Error>, words: &str| {
        let text = error.expect("it makes no sense").to_string();
        assert!(text.contains(words), "{text}");
    };
    says(Tumbling::of(Duration::ZERO).windows().err(), "a window of no length cannot be had");
    says(Hopping::of(second, 2 * second).windows().err(), "with gaps between them, cannot be had");
    says(Hopping::of(second, Duration::ZERO).windows().err(), "a hop of no length");
    says(Session::gap(Duration::ZERO).windows().err(), "a gap of no length");
    says(Tumbling::of(Duration::MAX).windows().err(), "cannot be had");
    says(Tumbling::of(second).early(Early::Count(0)).windows().err(), "after every 0 items");
    let never = Early::Every(Duration::MAX);
    says(Tumbling::of(second).early(never).windows().err(), "a period of");
    says(
        Tumbling::calendar(Calendar::Day, "Mars/Olympus").windows().err(),
        "`Mars/Olympus`, which is not known",
    );
    let shifted = Tumbling::calendar(Calendar::Day, "UTC").offset(second);
    says(shifted.windows().err(), "an offset of windows by a calendar");
}
