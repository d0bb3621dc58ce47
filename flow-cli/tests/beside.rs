//! Beside a running dataflow: reading and pinning work, what needs the log for itself is refused.

mod common;

use std::path::PathBuf;

use common::Place;
use flow_runtime::EpochPolicy;
use flow_runtime::prelude::*;

#[stateful_map]
fn count(count: &mut u64, _key: &u64, _n: u64) -> u64 {
    *count += 1;
    *count
}

#[dataflow]
fn counts(log: PathBuf) {
    let _ = log;
    let numbers = source(generate(7, 0.., |_, n| n));
    let by_key = key_by(numbers, |n| n % 500);
    let totals = count(by_key);
    discard(totals, "only what is kept is looked at");
}

#[test]
fn a_running_dataflow_is_read_and_pinned_and_its_log_is_its_own() {
    let place = Place(tempfile::tempdir().expect("a folder can be made"));
    let log = RecoveryLog::at(place.log());
    // Epochs are short and nothing is kept, so that files come and go all the time.
    let flow = counts(place.log()).recovery(log).workers(2);
    let running = flow.epochs(EpochPolicy::items(1_000)).rate(100_000.0).spawn().expect("starts");
    let sum = |at: &str| {
        let args = ["show", "state", "--step", "totals", "--format", "csv", "--at", at];
        let text = place.flow_log(&args).good();
        text.lines()
            .skip(1)
            .map(|line| {
                line.rsplit(',').next().expect("has a count").parse::<u64>().expect("is a number")
            })
            .sum::<u64>()
    };
    // Until the log has been compacted, too.
    let is_compacted = || {
        std::fs::read_dir(place.log().join("base")).is_ok_and(|mut files| files.next().is_some())
    };
    let (mut last, mut rounds) = (0, 0);
    while rounds < 4 || !is_compacted() {
        let round = rounds;
        rounds += 1;
        assert!(rounds < 200, "the log is never compacted");
        let now = sum("newest");
        assert!(now >= last, "{now} after {last}");
        last = now;
        place.flow_log(&["ls", "state"]).good();
        place.flow_log(&["verify", "state"]).good();
        place.flow_log(&["why", "state"]).good();
        place.flow_log(&["pin", "state", &format!("p{round}")]).good();
        for args in
            [&["compact", "state"][..], &["rollback", "state", "0"], &["repair", "state", "--yes"]]
        {
            place.flow_log(args).bad(&[
                "the recovery log `state` is in use by process ",
                "help: wait for it to end",
            ]);
        }
    }
    assert!(last > 0);
    running.stop_blocking().expect("stops");
    let sums: Vec<u64> = (0..rounds).map(|round| sum(&format!("p{round}"))).collect();
    assert!(sums.is_sorted() && sums[0] > 0, "{sums:?}");
    for round in 0..rounds {
        place.flow_log(&["verify", "state", "--at", &format!("p{round}")]).good();
    }
}
