//! Flights of aircraft, made of their position reports: a flight is all reports of an aircraft without a gap of ten minutes.
//!
//! `sessions --out FILE --late FILE [--generate N [--seed S] | REPORTS...]`: a file is read as a receiver's log, one JSON report a line, the
//! earlier ones first but for half a minute. Without files three receivers that the seed decides have heard `N` reports each.
//!
//! ```sh
//! cargo run --release --example sessions -- --generate 100000 --out flights.csv --late late.jsonl
//! examples/fetch-data.sh adsb && cargo run --release --example sessions -- examples/data/adsb/quickstart.jsonl.gz \
//!     --out flights.csv --late late.jsonl --finish
//! ```
//!
//! Each flight is a row with its first and last report, their number, the highest altitude and the way flown. It is written when event time
//! has come to ten minutes behind its last report. A report may still come up to five minutes later, and change the flight, or make two
//! flights one: the new row then says in `replaces` which rows, of the same aircraft, do not count any more. What comes later still goes to the
//! file of late reports, in the form in which it came.
//!
//! Which flights there are does not depend on how the files are read, as long as no report comes more than half a minute behind a later one of
//! its file. What becomes of one that does depends on how far all receivers have been read by then: it is in a flight or among the late ones,
//! in exactly one of both. [`Disorder::aligned_within`] keeps the receivers together, so that it hardly ever makes a difference.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use flow_runtime::io::replay::Replayable;
use flow_runtime::io::{CsvFile, JsonLines, JsonLinesFile, Random, Source, generate};
use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// A flight ends when there has been no report for so long.
const GAP: Duration = Duration::from_secs(10 * 60);

/// Behind its end a flight is kept for so long, for reports that are late.
const LATENESS: Duration = Duration::from_secs(5 * 60);

/// A receiver's reports come at most so far behind later ones.
const DISORDER: Duration = Duration::from_secs(30);

/// Where an aircraft says that it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    /// The number of the aircraft's transponder.
    pub(crate) icao24: String,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// In feet; not known on the ground.
    pub(crate) altitude: Option<f64>,
}

/// What the reports of a flight come to.
struct Flight {
    reports: usize,
    highest: Option<f64>,
    kilometres: f64,
}

impl Flight {
    /// Of reports in any order.
    fn of(mut reports: Vec<Report>) -> Flight {
        // Two receivers may report one moment, in any order. The way flown shall not depend on it.
        reports.sort_by_key(|r| (r.timestamp, r.latitude.to_bits(), r.longitude.to_bits()));
        let legs = reports.windows(2).map(|leg| kilometres(&leg[0], &leg[1]));
        Flight {
            reports: reports.len(),
            highest: reports.iter().filter_map(|r| r.altitude).reduce(f64::max),
            // Not `sum`, which is -0 of no legs.
            kilometres: legs.fold(0.0, |all, leg| all + leg),
        }
    }
}

/// The great circle from one place to another, on a globe.
fn kilometres(from: &Report, to: &Report) -> f64 {
    const EARTH_RADIUS: f64 = 6371.0;
    let (from_lat, to_lat) = (from.latitude.to_radians(), to.latitude.to_radians());
    let half_lat = ((to_lat - from_lat) / 2.0).sin();
    let half_lon = ((to.longitude - from.longitude).to_radians() / 2.0).sin();
    let haversine = half_lat.powi(2) + from_lat.cos() * to_lat.cos() * half_lon.powi(2);
    2.0 * EARTH_RADIUS * haversine.sqrt().min(1.0).asin()
}

/// A row of the output. Times are in UTC, as in RFC 3339.
#[derive(Debug, Serialize)]
struct Row {
    aircraft: String,
    first_seen: String,
    last_seen: String,
    reports: usize,
    highest_feet: Option<f64>,
    kilometres: f64,
    /// The rows that do not count any more, as `first_seen/last_seen`, with blanks between them.
    replaces: String,
}

#[map]
fn row((aircraft, flight): (String, Windowed<Flight>)) -> Row {
    // A session ends a gap behind its last item.
    let seen = |start: Timestamp, end: Timestamp| (start.to_string(), end.before(GAP).to_string());
    let (first_seen, last_seen) = seen(flight.start, flight.end);
    let replaces = flight.replaces.iter().map(|span| {
        let (first, last) = seen(span.start, span.end);
        format!("{first}/{last}")
    });
    let replaces = replaces.collect::<Vec<_>>().join(" ");
    let Flight { reports, highest, kilometres } = flight.value;
    let kilometres = (kilometres * 10.0).round() / 10.0;
    Row { aircraft, first_seen, last_seen, reports, highest_feet: highest, kilometres, replaces }
}

#[dataflow(delivery = exactly_once)]
pub(crate) fn sessions<S>(receivers: S, out: CsvFile, late: JsonLinesFile)
where
    S: Source<Item = Report, Replay = Replayable>,
{
    let reports = source(receivers);
    let timed = event_time(
        reports,
        |report| Timestamp::from_millis(report.timestamp),
        Disorder::bounded(DISORDER).aligned_within(GAP),
    );
    let by_aircraft = key_by_ref(timed, |report| report.icao24.as_str());
    // The way flown needs the reports in the order of time, so they are kept until the flight is over.
    let (flights, too_late) = window(
        by_aircraft,
        Session::gap(GAP).allowed_lateness(LATENESS),
        aggregate::map(aggregate::collect(), Flight::of),
    );
    let pairs = entries(flights);
    let rows = row(pairs);
    sink(rows, out);
    let late_reports = values(too_late);
    sink(late_reports, late);
}

/// Receivers that the seed decides, three of them, with so many reports each.
pub(crate) fn receivers(
    seed: u64,
    reports: u64,
) -> impl Source<Item = Report, Replay = Replayable> {
    generate(seed, 0..reports, heard).partitions(3)
}

/// The report that a receiver hears as its `n`th: two seconds after the one before, of one of the aircraft that are in the air. Most reports are up
/// to half a minute old by then; one in two hundred was held up, for minutes or for hours.
pub(crate) fn heard(random: &mut Random, n: u64) -> Report {
    const MIDNIGHT: i64 = 1_750_000_000_000 / DAY * DAY;
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let age = match random.below(400) {
        0 => 7_200_000 + random.below(3_600_000),
        1 => 60_000 + random.below(900_000),
        _ => random.below(DISORDER.as_millis() as u64),
    };
    let at = n as i64 * 2000 - age as i64;
    let in_the_air = (0..20).find_map(|_| fly(random.below(50), at));
    let (aircraft, latitude, longitude, altitude) = in_the_air.unwrap_or_else(|| hover(at));
    Report {
        timestamp: MIDNIGHT + at,
        icao24: format!("{:06x}", 0x3c_4a00 + aircraft),
        latitude,
        longitude,
        altitude,
    }
}

/// The number of an aircraft, latitude, longitude and altitude.
type Place = (u64, f64, f64, Option<f64>);

/// Where an aircraft is at some moment, in milliseconds; `None` while it is parked. It flies straight, from one place in Europe to another, and rests
/// for a quarter of an hour or more.
fn fly(aircraft: u64, at: i64) -> Option<Place> {
    const MINUTE: i64 = 60_000;
    let round = (45 + aircraft as i64 * 7 % 80) * MINUTE;
    let rest = (15 + aircraft as i64 % 10) * MINUTE;
    let since = at + aircraft as i64 * 13 * MINUTE;
    let (number, into) = (since.div_euclid(round), since.rem_euclid(round));
    let lasts = round - rest;
    if into >= lasts {
        return None;
    }
    let mut route = Random::new(aircraft << 32 | number as u64 & 0xffff_ffff);
    let mut place = || (45.0 + 8.0 * route.unit_f64(), 2.0 + 14.0 * route.unit_f64());
    let (from, to) = (place(), place());
    let part = into as f64 / lasts as f64;
    let between = |from: f64, to: f64| ((from + part * (to - from)) * 1e5).round() / 1e5;
    let climb = (part.min(1.0 - part) * 6.0).min(1.0);
    let altitude = (climb * (28_000.0 + 1000.0 * (aircraft % 12) as f64) / 25.0).round() * 25.0;
    let altitude = (altitude > 0.0).then_some(altitude);
    Some((aircraft, between(from.0, to.0), between(from.1, to.1), altitude))
}

/// The balloon, which is always in the air.
fn hover(at: i64) -> Place {
    let drift = ((at as f64 / 1e7).sin() * 1e5).round() / 1e5;
    (0xbb, 47.5 + drift, 9.5 + drift, Some(1500.0))
}

/// Makes flights of the position reports of aircraft.
#[derive(Parser)]
struct Args {
    /// Logs of receivers: files with one report a line, as `{"timestamp":1633608773000,"icao24":"0101de","latitude":48.48,"longitude":3.83,"altitude":13650}`
    #[arg(value_name = "REPORTS", required_unless_present = "generate")]
    reports: Vec<PathBuf>,

    /// In place of files: three receivers with so many reports each
    #[arg(long, value_name = "N", conflicts_with = "reports")]
    generate: Option<u64>,

    /// Decides what they hear
    #[arg(long, default_value_t = 42)]
    seed: u64,

    /// Where flights are written, as CSV
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Where reports are written that come too late for their flight, one a line
    #[arg(long, value_name = "FILE")]
    late: PathBuf,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let out = CsvFile::at(args.out).header(true);
    let late = JsonLinesFile::at(args.late);
    match args.generate {
        Some(count) => sessions(receivers(args.seed, count), out, late).with(args.run).run(),
        None => sessions(JsonLines::of_all(args.reports), out, late).with(args.run).run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(second: i64, latitude: f64, longitude: f64, altitude: Option<f64>) -> Report {
        let icao24 = "3c4a00".to_owned();
        Report { timestamp: second * 1000, icao24, latitude, longitude, altitude }
    }

    #[test]
    fn a_flight_is_as_long_as_its_legs() {
        // A quarter of the equator, and up to the pole.
        let legs = [
            report(20, 90.0, 0.0, Some(900.0)),
            report(10, 0.0, 90.0, None),
            report(0, 0.0, 0.0, Some(1200.0)),
        ];
        let flight = Flight::of(legs.to_vec());
        assert_eq!((flight.reports, flight.highest), (3, Some(1200.0)));
        assert!((flight.kilometres - 6371.0 * std::f64::consts::PI).abs() < 0.001);
        assert_eq!(Flight::of(vec![report(0, 1.0, 1.0, None)]).kilometres.to_string(), "0");
    }

    #[test]
    fn what_is_saved_fits_the_lock() -> Result<(), flow_runtime::Error> {
        let (out, late) = (CsvFile::at("flights.csv"), JsonLinesFile::at("late.jsonl"));
        let flow = sessions(JsonLines::of("reports"), out, late);
        flow_runtime::schema_lock::check("schemas/sessions.lock", &flow)
    }
}
