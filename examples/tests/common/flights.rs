//! What the example `sessions` is to write, and what it has written.

use std::collections::BTreeMap;

use flow_runtime::time::Timestamp;

/// A position report: milliseconds, aircraft, latitude, longitude, altitude.
pub(crate) type Report = (i64, String, f64, f64, Option<f64>);

/// Aircraft, first and last report of a flight.
pub(crate) type Flight = (String, String, String);

/// What there is of a flight: the number of its reports, its highest altitude, its kilometres.
pub(crate) type Summary = (usize, Option<f64>, f64);

/// A flight ends when there has been no report for so long.
const GAP: i64 = 600_000;

/// How far one place is from another, by the angle between their directions from the middle of the earth.
fn distance(from: &Report, to: &Report) -> f64 {
    let direction = |report: &Report| {
        let (latitude, longitude) = (report.2.to_radians(), report.3.to_radians());
        let out = latitude.cos();
        [out * longitude.cos(), out * longitude.sin(), latitude.sin()]
    };
    let ([a, b, c], [x, y, z]) = (direction(from), direction(to));
    let across = [b * z - c * y, c * x - a * z, a * y - b * x];
    let across = across.iter().map(|part| part * part).sum::<f64>().sqrt();
    6371.0 * across.atan2(a * x + b * y + c * z)
}

/// The flights of all these reports.
pub(crate) fn reference(mut reports: Vec<Report>) -> BTreeMap<Flight, Summary> {
    reports.sort_by_key(|r| (r.1.clone(), r.0, r.2.to_bits(), r.3.to_bits()));
    let flights = reports.chunk_by(|before, next| before.1 == next.1 && next.0 - before.0 < GAP);
    let seen = |report: &Report| Timestamp::from_millis(report.0).to_string();
    let summary = |flight: &[Report]| {
        let highest = flight.iter().filter_map(|report| report.4).max_by(f64::total_cmp);
        let way = flight.windows(2).map(|leg| distance(&leg[0], &leg[1])).sum();
        let (first, last) = (&flight[0], &flight[flight.len() - 1]);
        ((first.1.clone(), seen(first), seen(last)), (flight.len(), highest, way))
    };
    flights.map(summary).collect()
}

/// The flights of the rows of an output, without those that others replace. Answers how many were replaced.
pub(crate) fn written<'a>(
    lines: impl IntoIterator<Item = &'a str>,
) -> (BTreeMap<Flight, Summary>, usize) {
    let (mut flights, mut replaced) = (BTreeMap::new(), 0);
    for line in lines.into_iter().filter(|line| !line.starts_with("aircraft,")) {
        let fields: Vec<_> = line.split(',').collect();
        let [aircraft, first, last, reports, highest, way, replaces] = fields[..] else {
            panic!("a row has other columns: {line}");
        };
        let flight =
            |first: &str, last: &str| (aircraft.to_owned(), first.to_owned(), last.to_owned());
        for before in replaces.split_terminator(' ') {
            let (first, last) = before.split_once('/').expect("it is `first/last`");
            let known = flights.remove(&flight(first, last));
            assert!(known.is_some(), "{before} is not there to be replaced: {line}");
            replaced += 1;
        }
        let highest = (!highest.is_empty()).then(|| highest.parse().expect("an altitude"));
        let summary = (reports.parse().expect("a number"), highest, way.parse().expect("a way"));
        assert!(flights.insert(flight(first, last), summary).is_none(), "twice: {line}");
    }
    (flights, replaced)
}

/// Compares flights. Ways are written to the tenth of a kilometre.
pub(crate) fn compare(written: &BTreeMap<Flight, Summary>, expected: &BTreeMap<Flight, Summary>) {
    let keys = |flights: &BTreeMap<Flight, Summary>| flights.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(written), keys(expected));
    for (flight, found) in written {
        let right = &expected[flight];
        assert_eq!((found.0, found.1), (right.0, right.1), "{flight:?}");
        assert!(
            (found.2 - right.2).abs() < 0.051,
            "{flight:?}: {} and not {} km",
            found.2,
            right.2
        );
    }
}
