//! The flights of the example `sessions`: against plain loops, killed at any moment, and simulated.

mod common;
#[allow(dead_code, private_interfaces)] // The dataflow of the program and its generator are all that is of use here.
#[path = "../examples/sessions.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::flights::{compare, reference, written};
use common::{example, folder, succeed, text};
use flow_runtime::io::{CsvFile, JsonLinesFile, Random};
use flow_runtime::sim::Sim;
use program::Report;

/// What each receiver has heard.
type Heard = Vec<Vec<Report>>;

/// Receivers that have heard so many reports each.
fn heard(reports: u64) -> Heard {
    let receiver = |seed| {
        let mut random = Random::new(seed);
        (0..reports).map(|n| program::heard(&mut random, n)).collect()
    };
    (1..=3).map(receiver).collect()
}

fn line(report: &Report) -> String {
    serde_json::to_string(report).expect("a report can be written")
}

/// Writes what receivers have heard into files.
fn files(folder: &Path, heard: &Heard) -> Vec<PathBuf> {
    let file = |(n, reports): (usize, &Vec<Report>)| {
        let path = folder.join(format!("receiver-{n}.jsonl"));
        let lines: String = reports.iter().map(|report| line(report) + "\n").collect();
        fs::write(&path, lines).expect("the folder is writable");
        path
    };
    heard.iter().enumerate().map(file).collect()
}

/// Checks flights and late reports: each report is in one of both, only those are late that were held up, and the flights are what a plain loop
/// makes of all others. Answers how many flights were replaced, and how many reports were late.
fn check<'a>(
    heard: &Heard,
    flights: impl IntoIterator<Item = &'a str>,
    late: impl IntoIterator<Item = &'a str>,
) -> (usize, usize) {
    // How often each report was heard, and how often it was held up for more than the half minute that is allowed for.
    let mut reports: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for receiver in heard {
        let mut latest = i64::MIN;
        for report in receiver {
            latest = latest.max(report.timestamp);
            let known = reports.entry(line(report)).or_default();
            known.0 += 1;
            known.1 += usize::from(report.timestamp < latest - 30_000);
        }
    }
    let mut late_count = 0;
    for late in late {
        let (heard, held_up) = reports.get_mut(late).expect("a late report has been heard");
        assert!(*held_up > 0, "not late, or late twice: {late}");
        (*heard, *held_up, late_count) = (*heard - 1, *held_up - 1, late_count + 1);
    }
    let parse = |line: &String| {
        let report: Report = serde_json::from_str(line).expect("a report can be read");
        let Report { timestamp, icao24, latitude, longitude, altitude } = report;
        (timestamp, icao24, latitude, longitude, altitude)
    };
    let all = reports.iter().flat_map(|(line, (times, _))| vec![parse(line); *times]).collect();
    let (flights, replaced) = written(flights);
    compare(&flights, &reference(all));
    (replaced, late_count)
}

/// The program, on these files.
fn sessions(input: &[PathBuf], to: &Path) -> Command {
    let mut command = example("sessions");
    command.args(input).arg("--finish");
    command.arg("--out").arg(to.join("flights.csv")).arg("--late").arg(to.join("late.jsonl"));
    command
}

/// Checks what the program has written into a folder.
fn check_files(heard: &Heard, to: &Path) -> (usize, usize) {
    let read = |name| fs::read_to_string(to.join(name)).expect("the output was written");
    let (flights, late) = (read("flights.csv"), read("late.jsonl"));
    check(heard, flights.lines(), late.lines())
}

#[test]
fn flights_are_what_a_plain_loop_makes_of_the_reports_that_are_not_late() {
    let (_keep, folder) = folder();
    let heard = heard(6000);
    let input = files(&folder, &heard);
    // On one worker receivers are read in turn, so those that were held up for hours are late for certain.
    succeed(sessions(&input, &folder).args(["--workers", "1"]));
    let (_, late) = check_files(&heard, &folder);
    assert!(late > 0, "no report was late");
    succeed(sessions(&input, &folder).args(["--workers", "4"]));
    check_files(&heard, &folder);
}

#[test]
fn there_are_flights_without_any_files() {
    let (_keep, folder) = folder();
    succeed(sessions(&[], &folder).args(["--generate", "3000", "--seed", "3"]));
    let rows = fs::read_to_string(folder.join("flights.csv")).expect("the output was written");
    let (flights, _) = written(rows.lines());
    assert!(flights.len() > 60, "{} flights", flights.len());
    // They go from one place to another: most of them for some hundred kilometres.
    let far = flights.values().filter(|flight| flight.2 > 100.0).count();
    assert!(far * 2 > flights.len(), "{far} of {} go far", flights.len());
    let message = common::fail(example("sessions").args(["--out", "a", "--late", "b"]), 2);
    assert!(message.contains("REPORTS"), "{message}");
}

#[cfg(unix)]
#[test]
fn no_report_is_lost_or_there_twice_however_often_the_run_is_killed() {
    use common::kills::{kill_again_and_again, run_to_the_end};
    use common::random::{Random, Seed};

    let seed = common::given("FLOW_SEED", 1);
    let _seed = Seed(seed);
    let (_keep, folder) = folder();
    let heard = heard(5000);
    let input = files(&folder, &heard);
    let log = folder.join("log");
    let unbounded = || {
        let mut command = sessions(&input, &folder);
        command.args(["--epoch", "10ms", "--recovery"]).arg(&log);
        command
    };
    let bounded = || {
        let mut command = unbounded();
        command.args(["--rate", "20000"]);
        command
    };
    let kills = kill_again_and_again(&mut Random::of(seed), 12, &log, false, bounded, |_| {});
    assert!(kills.resumed.len() > 2, "{} epochs resumed from", kills.resumed.len());
    let outputs = [folder.join("flights.csv"), folder.join("late.jsonl")];
    run_to_the_end("sessions", unbounded, &outputs);
    check_files(&heard, &folder);
}

#[test]
fn flights_that_become_one_survive_a_crash_anywhere() {
    let report = |(second, aircraft): (i64, &str)| Report {
        timestamp: second * 1000,
        icao24: aircraft.to_owned(),
        latitude: 47.0,
        longitude: second as f64 / 1000.0,
        altitude: Some(second as f64),
    };
    // Of `a` there are two flights, until the report of second 800 joins them, the first being out by then. That of second 100 is too late.
    let first = [
        (0, "a"),
        (300, "a"),
        (1150, "a"),
        (1160, "a"),
        (800, "a"),
        (2500, "b"),
        (2600, "b"),
        (100, "a"),
    ];
    let second = [(10, "c"), (1180, "c"), (1170, "c"), (2600, "c")];
    let heard: Heard = vec![first.map(report).to_vec(), second.map(report).to_vec()];
    let (replaced, late) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (replaced_by, late_by) = (replaced.clone(), late.clone());
    let input = heard.clone();
    let report = Sim::new(move |world| {
        let out = CsvFile::at(world.output("flights.csv")).header(true);
        let late = JsonLinesFile::at(world.output("late.jsonl"));
        program::sessions(world.partitions("receivers", input.clone()), out, late).finish()
    })
    .rechunk()
    .crash_everywhere()
    .at_most(300)
    // Whether a report is late depends on how far all receivers have been read.
    .any_order_of_arrival()
    .check(move |outcome| {
        let (flights, late) =
            (outcome.rows::<String>("flights.csv"), outcome.rows::<String>("late.jsonl"));
        let text = |rows: &[String]| rows.join("\n");
        let (flights, late) = (text(&flights), text(&late));
        let (replaced, late) = check(&heard, flights.lines(), late.lines());
        replaced_by.fetch_add(replaced, Ordering::Relaxed);
        late_by.fetch_add(late, Ordering::Relaxed);
    })
    .run();
    assert!(report.crashes > 100, "{report:?}");
    let (replaced, late) = (replaced.load(Ordering::Relaxed), late.load(Ordering::Relaxed));
    assert!(replaced > 0 && late > 0, "{replaced} replaced, {late} late in {report:?}");
}

#[test]
fn a_line_that_is_no_report_is_named() {
    let (_keep, folder) = folder();
    let path = folder.join("reports.jsonl");
    fs::write(&path, "{\"timestamp\":\"noon\"}\n").expect("the folder is writable");
    let output = sessions(&[path], &folder).output().expect("the example starts");
    let message = text(&output.stderr);
    assert!(!output.status.success() && message.contains("line 1 of"), "{message}");
}
