//! A program that has changed between two runs: what is taken, and what is refused with which ways out.

use std::process::Command;

use flow_runtime::prelude::*;
use flow_runtime::{ErrorKind, RunOptions};
use flow_tests::recovery::{Out, Place, refused, run_reported};

/// The dataflow at first. All of this file are called `numbers`, so that they are the same one for a log.
mod first {
    use super::*;

    #[dataflow]
    pub(super) fn numbers(items: std::ops::Range<u64>, out: Out<(u64, u64)>) {
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 3);
        let counts = stateful_map(by_key, super::count);
        let pairs = entries(counts);
        let noted = inspect(pairs, |pair, seen| out.note(seen.epoch, *pair));
        discard(noted, "it is noted");
    }
}

fn count(total: &mut u64, _key: &u64, _item: u64) -> u64 {
    *total += 1;
    *total
}

/// What came out, without epochs, sorted.
fn taken<T: Ord>(out: &Out<T>) -> Vec<T> {
    let mut items: Vec<_> = out.take().into_iter().map(|(_, item)| item).collect();
    items.sort();
    items
}

/// A log after a run with the items 0 to 5: two of each key.
fn place() -> Place {
    let place = Place::new();
    let out = Out::default();
    run_reported(first::numbers(0..6, out.clone()).workers(2).recovery(place.log()));
    assert_eq!(taken(&out), [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]);
    place
}

const THIRD: [(u64, u64); 3] = [(0, 3), (1, 3), (2, 3)];

#[test]
fn steps_without_state_and_what_functions_do_are_free_to_change() {
    #[dataflow]
    fn numbers(items: std::ops::Range<u64>, out: Out<(u64, u64)>) {
        let all = source(from_iter(items));
        let spread = rebalance(all);
        let even = filter(spread, |n| n % 2 == 0);
        let by_key = key_by(even, |n| n % 3);
        let counts = stateful_map(by_key, |total: &mut u64, _key, _item: u64| {
            *total += 10;
            *total
        });
        let pairs = entries(counts);
        let more = map(pairs, |(key, n)| (key, n + 1000));
        let noted = inspect(more, |pair, seen| out.note(seen.epoch, *pair));
        discard(noted, "it is noted");
    }
    let (place, out) = (place(), Out::default());
    let flow = numbers(0..9, out.clone()).workers(3).recovery(place.log());
    let (report, _) = run_reported(flow);
    assert!(report.resumed);
    assert_eq!(taken(&out), [(0, 1012), (2, 1012)]);
}

#[test]
fn a_sink_that_keeps_nothing_comes_and_goes() {
    #[dataflow]
    fn numbers(items: std::ops::Range<u64>, out: Collect<u64>) {
        let all = source(from_iter(items));
        #[id = "shown"]
        sink(all, out);
    }
    mod without {
        use super::*;
        #[dataflow]
        pub(super) fn numbers(items: std::ops::Range<u64>) {
            let all = source(from_iter(items));
            discard(all, "not wanted");
        }
    }
    mod written {
        use super::*;
        #[dataflow]
        pub(super) fn numbers(items: std::ops::Range<u64>, path: std::path::PathBuf) {
            let all = source(from_iter(items));
            #[id = "shown"]
            sink(all, TextFile::at(path));
        }
    }
    let place = Place::new();
    let (out, found) = collect();
    run_reported(without::numbers(0..1).recovery(place.log()));
    run_reported(numbers(0..2, out.clone()).recovery(place.log()));
    run_reported(without::numbers(0..3).recovery(place.log()));
    run_reported(numbers(0..4, out).recovery(place.log()));
    assert_eq!(found.take(), [1, 3]);
    // A file keeps its place, and is refused once it is gone.
    run_reported(written::numbers(0..5, place.path("out")).recovery(place.log()));
    run_reported(written::numbers(0..6, place.path("out")).recovery(place.log()));
    assert_eq!(place.read("out"), "4\n5\n");
    refused(without::numbers(0..7).recovery(place.log()), &["`shown` is gone"]);
}

#[test]
fn a_program_that_could_not_start_can_be_taken_back() {
    #[dataflow]
    fn numbers(items: std::ops::Range<u64>, more: Lines, out: Out<(u64, u64)>) {
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 3);
        let counts = stateful_map(by_key, count);
        let pairs = entries(counts);
        let noted = inspect(pairs, |pair, seen| out.note(seen.epoch, *pair));
        discard(noted, "it is noted");
        let lines = source(more);
        let by_line = key_by_ref(lines, |line| line.as_str());
        let longest = stateful_map(by_line, |most: &mut u64, _key, line: String| {
            *most = (*most).max(line.len() as u64);
            *most
        });
        discard(longest, "nobody asks");
    }
    let (place, out) = (place(), Out::default());
    // The file is opened when the log has been taken over already, with the new step in it.
    let missing = Lines::of(place.path("missing.txt"));
    let failed = numbers(0..9, missing, out.clone()).workers(2).recovery(place.log()).spawn();
    let error = failed.and_then(|running| running.wait()).expect_err("there is no such file");
    assert_eq!(error.kind(), ErrorKind::Source);
    run_reported(first::numbers(0..9, out.clone()).workers(2).recovery(place.log()));
    assert_eq!(taken(&out), THIRD);
}

#[test]
fn a_step_with_state_that_is_added_begins_empty() {
    #[dataflow]
    fn numbers(items: std::ops::Range<u64>, out: Out<(u64, u64)>, sums: Out<(u64, u64)>) {
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 3);
        let counts = stateful_map(by_key, count);
        let pairs = entries(counts);
        let noted = inspect(pairs, |pair, seen| out.note(seen.epoch, *pair));
        discard(noted, "it is noted");
        let summed = stateful_map(by_key, |sum: &mut u64, _key, item: u64| {
            *sum += item;
            *sum
        });
        let summed_pairs = entries(summed);
        let seen = inspect(summed_pairs, |pair, seen| sums.note(seen.epoch, *pair));
        discard(seen, "it is noted");
    }
    let (place, out, sums) = (place(), Out::default(), Out::default());
    let flow = |end| numbers(0..end, out.clone(), sums.clone()).workers(2).recovery(place.log());
    run_reported(flow(9));
    assert_eq!((taken(&out), taken(&sums)), (THIRD.to_vec(), vec![(0, 6), (1, 7), (2, 8)]));
    // From then on it is one of the log's.
    run_reported(flow(12));
    assert_eq!(taken(&sums), [(0, 15), (1, 17), (2, 19)]);
    refused(
        first::numbers(0..12, Out::default()).recovery(place.log()),
        &["`summed` is gone", "--drop-state summed"],
    );
}

mod renamed {
    use super::*;

    #[dataflow]
    pub(super) fn numbers(items: std::ops::Range<u64>, out: Out<(u64, u64)>) {
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 3);
        let totals = stateful_map(by_key, super::count);
        let pairs = entries(totals);
        let noted = inspect(pairs, |pair, seen| out.note(seen.epoch, *pair));
        discard(noted, "it is noted");
    }
}

#[test]
fn a_renamed_step_is_refused_with_the_ways_out_and_each_of_them_works() {
    #[dataflow]
    fn numbers(items: std::ops::Range<u64>, out: Out<(u64, u64)>) {
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 3);
        #[id = "counts"]
        let totals = stateful_map(by_key, count);
        let pairs = entries(totals);
        let noted = inspect(pairs, |pair, seen| out.note(seen.epoch, *pair));
        discard(noted, "it is noted");
    }
    let (place, out) = (place(), Out::default());
    let ways = ["`counts` is gone", "renamed to `totals`", "#[id = \"counts\"]"];
    let says = [&ways[..], &["--rename-state counts=totals", "--drop-state counts"]].concat();
    let files = || {
        let mut files = place.files_of_log();
        files.retain(|(path, _)| !path.ends_with("LOCK"));
        files
    };
    let before = files();
    let error = refused(renamed::numbers(0..9, out.clone()).recovery(place.log()), &says);
    assert_eq!(error.kind(), ErrorKind::Recovery);
    assert_eq!(files(), before, "a refused run leaves the log as it is");
    assert!(taken(&out).is_empty(), "a refused run does nothing");
    run_reported(numbers(0..9, out.clone()).workers(2).recovery(place.log()));
    assert_eq!(taken(&out), THIRD);

    let log = || RecoveryLog::at(place.log()).rename_state("counts", "totals");
    run_reported(renamed::numbers(0..12, out.clone()).workers(3).recovery(log()));
    assert_eq!(taken(&out), [(0, 4), (1, 4), (2, 4)]);
    // The same command again, and then without it.
    run_reported(renamed::numbers(0..15, out.clone()).workers(1).recovery(log()));
    assert_eq!(taken(&out), [(0, 5), (1, 5), (2, 5)]);
    run_reported(renamed::numbers(0..18, out.clone()).workers(1).recovery(place.log()));
    assert_eq!(taken(&out), [(0, 6), (1, 6), (2, 6)]);
    // The old name is a new step now.
    refused(first::numbers(0..18, out.clone()).recovery(place.log()), &["`totals` is gone"]);
    let log = RecoveryLog::at(place.log()).drop_state("totals");
    run_reported(first::numbers(0..21, out.clone()).workers(2).recovery(log));
    assert_eq!(taken(&out), [(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn a_step_that_is_removed_is_refused_and_once_dropped_its_state_does_not_come_back() {
    #[dataflow]
    fn numbers(items: std::ops::Range<u64>) {
        let all = source(from_iter(items));
        discard(all, "not wanted any more");
    }
    let (place, out) = (place(), Out::default());
    refused(numbers(0..9).recovery(place.log()), &["`counts` is gone", "--drop-state counts"]);
    let other = RecoveryLog::at(place.log()).drop_state("others");
    refused(numbers(0..9).recovery(other), &["`counts` is gone"]);
    let log = RecoveryLog::at(place.log()).drop_state("counts");
    run_reported(numbers(0..9).workers(2).recovery(log.clone()));
    run_reported(numbers(0..9).workers(2).recovery(log));
    let (report, _) =
        run_reported(first::numbers(0..12, out.clone()).workers(2).recovery(place.log()));
    assert!(report.steps.iter().all(|step| step.keys == 0), "{report}");
    assert_eq!(taken(&out), [(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn what_fits_is_dropped_only_at_the_epoch_that_is_named() {
    let (place, out) = (place(), Out::default());
    let run = |end, log: RecoveryLog| {
        let flow = first::numbers(0..end, out.clone()).workers(2).recovery(log);
        let (report, _) = run_reported(flow);
        (report.epoch, taken(&out))
    };
    let (epoch, found) = run(9, RecoveryLog::at(place.log()).drop_state("counts"));
    assert_eq!(found, THIRD, "without an epoch, what fits is kept");
    let log = RecoveryLog::at(place.log()).drop_state_at("counts", epoch);
    assert_eq!(run(12, log).1, [(0, 4), (1, 4), (2, 4)], "the run begins at a later epoch");
    let (resumed, _) = run(12, place.log().into());
    let log = RecoveryLog::at(place.log()).drop_state_at("counts", resumed);
    assert_eq!(run(15, log.clone()).1, [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(run(18, log).1, [(0, 2), (1, 2), (2, 2)], "it is a later epoch now");
}

/// Not a test of its own: run by the next one, in a process of its own, because what a plan says goes to standard output.
#[test]
fn shown_plan() {
    let Some(log) = std::env::var_os("SHOWN_PLAN_OF") else {
        println!("skipped: this is the other half of `a_plan_shows_what_a_start_would_do`");
        return;
    };
    let mut options = RunOptions::default();
    (options.plan, options.recovery) = (true, Some(log.into()));
    match std::env::var("SHOWN_PLAN").as_deref() {
        Ok("first") => first::numbers(0..9, Out::default()).with(options).run(),
        Ok("renamed") => {
            options.rename_state.push(("counts".into(), "totals".into()));
            renamed::numbers(0..9, Out::default()).with(options).run()
        }
        Ok("dropped") => {
            options.drop_state.push(("counts".into(), None));
            renamed::numbers(0..9, Out::default()).with(options).run()
        }
        _ => renamed::numbers(0..9, Out::default()).with(options).run(),
    }
    .unwrap_or_else(|error| println!("{error}"));
}

#[test]
fn a_plan_shows_what_a_start_would_do_and_does_nothing() {
    let plan = |place: &Place, which: &str| {
        let program = std::env::current_exe().expect("a test has a program");
        let mut command = Command::new(program);
        command.args(["--exact", "shown_plan", "--nocapture"]);
        let output = command.env("SHOWN_PLAN_OF", place.log()).env("SHOWN_PLAN", which).output();
        String::from_utf8(output.expect("it runs").stdout).expect("it is text")
    };
    let nothing = Place::new();
    let text = plan(&nothing, "first");
    assert!(text.contains("holds no recovery log: a start makes one"), "{text}");
    assert!(!nothing.log().exists(), "a plan makes nothing");
    let place = place();
    let files = place.files_of_log();
    for (which, lines) in [
        ("first", vec!["a start goes on at epoch 1", "kept      all, ", "kept      counts, "]),
        ("renamed", vec!["kept      all, ", "renamed   totals, which was counts, "]),
        ("dropped", vec!["kept      all, ", "new       totals", "dropped   counts, "]),
        ("refused", vec!["refused   counts, ", "`counts` is gone", "--rename-state counts=totals"]),
    ] {
        let text = plan(&place, which);
        for line in lines {
            assert!(text.contains(line), "{which}: `{line}` is missing: {text}");
        }
    }
    assert_eq!(place.files_of_log(), files, "a plan changes nothing");
}
