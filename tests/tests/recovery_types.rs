//! Changed types of state and keys, the log of another dataflow, key groups.

use flow_runtime::prelude::*;
use flow_tests::recovery::{Out, Place, refused, run_reported};

/// The dataflow at first. Others of this file are called `numbers` as well, so that they are the same one for a log.
mod first {
    use super::*;

    #[dataflow]
    pub(super) fn numbers(items: std::ops::Range<u64>, out: Out<(u64, u64)>) {
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 3);
        let counts = stateful_map(by_key, |total: &mut u64, _key, _item: u64| {
            *total += 1;
            *total
        });
        let pairs = entries(counts);
        let noted = inspect(pairs, |pair, seen| out.note(seen.epoch, *pair));
        discard(noted, "it is noted");
    }
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
    run_reported(first::numbers(0..6, Out::default()).workers(2).recovery(place.log()));
    place
}

const THIRD: [(u64, u64); 3] = [(0, 3), (1, 3), (2, 3)];

#[test]
fn another_state_key_or_kind_is_refused_with_both_sides() {
    mod state {
        use super::*;
        #[dataflow]
        pub(super) fn numbers(items: std::ops::Range<u64>) {
            let all = source(from_iter(items));
            let by_key = key_by(all, |n| n % 3);
            let counts = stateful_map(by_key, |total: &mut i32, _key, _item: u64| {
                *total += 1;
                *total
            });
            discard(counts, "it only has to fit");
        }
    }
    mod key {
        use super::*;
        #[dataflow]
        pub(super) fn numbers(items: std::ops::Range<u64>) {
            let all = source(from_iter(items));
            let by_key = key_by(all, |n| (n % 3).to_string());
            let counts = stateful_map(by_key, |total: &mut u64, _key, _item: u64| {
                *total += 1;
                *total
            });
            discard(counts, "it only has to fit");
        }
    }
    mod kind {
        use super::*;
        #[dataflow]
        pub(super) fn numbers(items: std::ops::Range<u64>) {
            let all = source(from_iter(items));
            let by_key = key_by(all, |n| n % 3);
            let counts = dedupe(by_key, Ttl::never());
            discard(counts, "it only has to fit");
        }
    }
    let place = place();
    let ways = ["`counts` keeps something else", "--drop-state counts"];
    let says = |more: [&'static str; 2]| [&ways[..], &more].concat();
    refused(state::numbers(0..9).recovery(place.log()), &says(["of u64", "of i32"]));
    refused(key::numbers(0..9).recovery(place.log()), &says(["by u64", "by String"]));
    refused(kind::numbers(0..9).recovery(place.log()), &says(["saved: ", "dedupe"]));
    // Nothing of this has touched the log.
    let out = Out::default();
    run_reported(first::numbers(0..9, out.clone()).workers(2).recovery(place.log()));
    assert_eq!(taken(&out), THIRD);
    // Dropped, the step begins anew as what it is now.
    let log = RecoveryLog::at(place.log()).drop_state("counts");
    run_reported(key::numbers(0..12).workers(2).recovery(log.clone()));
    let (report, _) = run_reported(key::numbers(0..12).workers(3).recovery(log));
    assert_eq!(report.steps.iter().map(|step| step.keys).sum::<u64>(), 3, "{report}");
}

/// State with a field more than it had.
mod structs {
    use super::*;

    pub(super) mod before {
        use super::*;
        #[stateful]
        #[derive(Default)]
        pub(super) struct Sum {
            total: u64,
        }
        #[dataflow]
        pub(in super::super) fn sums(items: std::ops::Range<u64>) {
            let all = source(from_iter(items));
            let by_key = key_by(all, |n| n % 3);
            let sums = stateful_map(by_key, |sum: &mut Sum, _key, n: u64| sum.total += n);
            discard(sums, "it only has to fit");
        }
    }
    pub(super) mod after {
        use super::*;
        #[stateful]
        #[derive(Default)]
        pub(super) struct Sum {
            total: u64,
            largest: u64,
        }
        #[dataflow]
        pub(in super::super) fn sums(items: std::ops::Range<u64>) {
            let all = source(from_iter(items));
            let by_key = key_by(all, |n| n % 3);
            let sums = stateful_map(by_key, |sum: &mut Sum, _key, n: u64| {
                sum.total += n;
                sum.largest = sum.largest.max(n);
            });
            discard(sums, "it only has to fit");
        }
    }
}

#[test]
fn a_field_that_is_added_to_state_is_named() {
    let place = Place::new();
    run_reported(structs::before::sums(0..9).workers(2).recovery(place.log()));
    refused(
        structs::after::sums(0..9).recovery(place.log()),
        &["`sums` keeps something else", "largest", "saved:", "now:"],
    );
}

#[test]
fn the_log_of_another_dataflow_is_refused() {
    let place = place();
    refused(
        structs::before::sums(0..9).recovery(place.log()),
        &["the dataflow `numbers`, and this is `sums`", "a folder of its own"],
    );
}

#[test]
fn key_groups_are_fixed_and_bound_the_workers() {
    let place = Place::new();
    let out = Out::default();
    let log = || RecoveryLog::at(place.log());
    let flow = |workers| first::numbers(0..6, out.clone()).workers(workers);
    refused(flow(2).recovery(log().key_groups(3)), &["3 key groups", "a power of two"]);
    run_reported(flow(4).recovery(log().key_groups(4)));
    assert_eq!(taken(&out).len(), 6);
    refused(flow(5).recovery(log()), &["5 workers", "4 key groups"]);
    refused(flow(2).recovery(log().key_groups(8)), &["has 4 key groups, and 8"]);
    let flow = first::numbers(0..9, out.clone()).workers(4).recovery(log());
    run_reported(flow);
    assert_eq!(taken(&out), THIRD);
}

/// What is saved and could not be loaded again is refused before anything is committed.
mod one_way {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::path::PathBuf;
    use std::time::Duration;

    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(untagged)]
    pub(super) enum Id {
        Number(u64),
        Text(String),
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub(super) struct Skips {
        group: u64,
        #[serde(skip)]
        member: u64,
    }

    #[dataflow]
    pub(super) fn untagged(items: std::ops::Range<u64>) {
        let all = source(from_iter(items));
        let by_id = key_by(all, |n| Id::Number(*n));
        let once = dedupe(by_id, Ttl::never());
        discard(once, "it cannot be saved");
    }

    #[dataflow]
    pub(super) fn skips(items: std::ops::Range<u64>) {
        let all = source(from_iter(items));
        let by_id = key_by(all, |n| Skips { group: n % 2, member: *n + 1 });
        let once = dedupe(by_id, Ttl::never());
        discard(once, "it cannot be saved");
    }

    #[dataflow]
    pub(super) fn chunked(items: std::ops::Range<u64>) {
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 2);
        let ids = map(by_key, |n: u64| Id::Text(n.to_string()));
        let chunks = chunk(ids, 100, Duration::from_secs(1000));
        discard(chunks, "it cannot be saved");
    }

    #[stateful]
    #[derive(Default)]
    pub(super) struct Last {
        #[state(foreign = "PathBuf v1")]
        path: PathBuf,
    }

    #[cfg(unix)]
    #[dataflow]
    pub(super) fn foreign(items: std::ops::Range<u64>) {
        use std::os::unix::ffi::OsStringExt;
        let all = source(from_iter(items));
        let by_key = key_by(all, |n| n % 2);
        let paths = stateful_map(by_key, |last: &mut Last, _key, _n: u64| {
            last.path = PathBuf::from(std::ffi::OsString::from_vec(vec![0xff]));
        });
        discard(paths, "it cannot be saved");
    }
}

#[test]
fn what_could_not_be_loaded_again_is_refused_before_it_is_committed() {
    let place = Place::new();
    let fresh = |flow: &str| place.path(flow);
    refused(one_way::untagged(0..6).recovery(fresh("a")), &["`once`", "does not come back"]);
    refused(one_way::skips(0..6).recovery(fresh("b")), &["`once`", "does not come back"]);
    refused(one_way::chunked(0..6).recovery(fresh("c")), &["`chunks`", "cannot be held back"]);
    #[cfg(unix)]
    refused(one_way::foreign(0..6).recovery(fresh("d")), &["`paths`", "cannot be saved"]);
}
