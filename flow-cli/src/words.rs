//! Sizes, times and numbers for people, and times for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flow_runtime::time::Timestamp;

/// A number of bytes: `1.2 MB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut rest = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = units.next().unwrap_or("B");
    for next in units {
        // What would be printed as 1000.0 belongs to the next unit.
        if rest < 999.95 {
            break;
        }
        (rest, unit) = (rest / 1000.0, next);
    }
    if bytes < 1000 { format!("{bytes} B") } else { format!("{rest:.1} {unit}") }
}

/// A number: `1,234,567`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 file`, `2 files`.
pub(crate) fn count(count: u64, one: &str) -> String {
    format!("{} {one}{}", number(count), if count == 1 { "" } else { "s" })
}

/// A point in time to the second, in RFC 3339, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0);
    at.map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The same, to the microsecond.
pub(crate) fn exact_time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.0);
    at.map_or_else(|_| "?".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

/// How long ago something was: `3 min`.
pub(crate) fn age(at: Timestamp) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    duration(Timestamp(0).after(now).since(at))
}

fn duration(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match time.as_secs() {
        secs if secs < 2 * MINUTE => format!("{secs} s"),
        secs if secs < 2 * HOUR => format!("{} min", secs / MINUTE),
        secs if secs < 2 * DAY => format!("{} h", secs / HOUR),
        secs => format!("{} days", number(secs / DAY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_numbers_and_times_are_short() {
        let sizes = [0, 999, 1_000, 1_249, 999_949, 999_950, 1_234_567, u64::MAX].map(size);
        let expected =
            ["0 B", "999 B", "1.0 kB", "1.2 kB", "999.9 kB", "1.0 MB", "1.2 MB", "18.4 EB"];
        assert_eq!(sizes, expected);
        assert_eq!([0, 12, 1_234, 1_234_567].map(number), ["0", "12", "1,234", "1,234,567"]);
        assert_eq!((count(1, "file"), count(0, "file")), ("1 file".into(), "0 files".into()));
        let at = Timestamp(1_700_000_000_123_456);
        assert_eq!(time(at), "2023-11-14T22:13:20Z");
        assert_eq!(exact_time(at), "2023-11-14T22:13:20.123456Z");
        assert_eq!(time(Timestamp::MAX), "?");
        let times = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(Duration::from_secs);
        assert_eq!(
            times.map(duration),
            ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]
        );
    }
}
