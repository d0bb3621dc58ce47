//! Profiles of runs on the virtual schedule, where batches are the same every time.
//!
//! `cargo test -p flow-runtime --features profile --lib profile` runs them where steps are counted one by one.

use std::sync::Arc;
use std::time::Duration;

use crate::env::Env;
use crate::io::{Collect, collect, from_iter, generate};
use crate::prelude::*;
use crate::profile::{Profile, StageProfile};
use crate::{Dataflow, Virtual};

/// Every third number is dropped; every other is counted by its rest.
#[dataflow]
fn counted(numbers: Vec<u64>, out: Collect<(u64, u64)>) {
    let all = source(from_iter(numbers));
    let kept = filter(all, |n| n % 3 != 0);
    let twice = flat_map(kept, |n| [n, n].into_iter());
    let by_rest = key_by(twice, |n| n % 10);
    let counts = stateful_map(by_rest, |count: &mut u64, _rest, _n: u64| {
        *count += 1;
        *count
    });
    let few = filter(counts, |count| *count <= 5);
    sink(few, out);
}

fn numbers(count: u64) -> Vec<u64> {
    (0..count).collect()
}

/// Runs on a virtual schedule on which sources emit as many items at a time as the engine would.
fn profile<P: crate::plan::FlowPlan>(flow: Dataflow<P>, seed: u64) -> Profile {
    let schedule: Arc<dyn Env> = Arc::new(Virtual::new(seed).whole_batches());
    let running = flow.profile().spawn_on(schedule, None).expect("it starts");
    running.wait().expect("it succeeds").profile.expect("it was asked for")
}

fn step<'a>(profile: &'a Profile, id: &str) -> &'a crate::StepProfile {
    profile.steps().find(|step| step.step == id).expect("there is such a step")
}

#[test]
fn batches_and_items_are_counted_exactly() {
    for seed in 0..3 {
        let (out, found) = collect();
        let profile = profile(counted(numbers(6000), out).workers(1), seed);
        assert_eq!(found.len(), 50);
        let [reading, counting, writing] = &profile.stages[..] else {
            panic!("three stages: {profile}")
        };
        // A source's turns grow from 256 items on: 256, 512, 1024, 2048, and what is left.
        assert_eq!((reading.items_in, reading.batches), (6000, 5));
        // Two of three, twice each: as many as fill a buffer at a time, and what is left at the end of a turn.
        let full = |items: u64| items.div_ceil(1024);
        let dropped = |from: u64, to: u64| (from..to).filter(|n| n % 3 == 0).count() as u64;
        let turns = [(0, 256), (256, 768), (768, 1792), (1792, 3840), (3840, 6000)];
        let batches = turns.iter().map(|&(from, to)| full(2 * (to - from - dropped(from, to))));
        assert_eq!((reading.items_out, counting.items_in), (8000, 8000));
        assert_eq!(counting.batches, batches.sum::<u64>());
        assert_eq!((counting.crossed, counting.items_by_worker[..].to_vec()), (0, vec![8000]));
        // `collect` takes items where they are.
        assert_eq!((counting.items_out, writing.items_in), (0, 0));
        let counts = step(&profile, "counts");
        assert_eq!(counts.keys, Some(10));
        assert!(counts.state_bytes.is_some_and(|bytes| bytes >= 10 * 24), "{profile}");
        assert!(profile.steps().filter(|step| step.keys.is_some()).count() == 1, "{profile}");
        assert_eq!((profile.epochs, profile.commits), (1, 0));
    }
}

#[test]
fn workers_are_added_up() {
    for seed in 0..3 {
        let (out, found) = collect();
        let profile = profile(counted(numbers(6000), out).workers(2), seed);
        assert_eq!(found.len(), 50);
        assert_eq!(profile.workers.len(), 2);
        let (reading, counting) = (&profile.stages[0], &profile.stages[1]);
        assert_eq!((reading.items_in, reading.batches), (6000, 5));
        let mut read = reading.items_by_worker.clone();
        read.sort_unstable();
        assert_eq!(read, [0, 6000], "one worker has the one partition");
        assert_eq!((reading.items_out, counting.items_in), (8000, 8000));
        assert_eq!(counting.items_by_worker.iter().sum::<u64>(), 8000);
        let reader = reading.items_by_worker.iter().position(|items| *items > 0);
        let reader = reader.expect("one has read");
        assert_eq!(counting.crossed, counting.items_by_worker[1 - reader]);
        assert_eq!(step(&profile, "counts").keys, Some(10), "no key is on two workers");
    }
}

#[test]
fn steps_inside_of_stages_are_counted_where_they_can_be() {
    for workers in [1, 2] {
        let (out, _) = collect();
        let profile = profile(counted(numbers(6000), out).workers(workers), 7);
        let counts = |id| {
            let step = step(&profile, id);
            (step.items_in, step.items_out)
        };
        if cfg!(feature = "profile") {
            assert_eq!(counts("all"), (Some(6000), Some(6000)));
            assert_eq!(counts("kept"), (Some(6000), Some(4000)));
            assert_eq!(counts("twice"), (Some(4000), Some(8000)));
            assert_eq!(counts("by_rest"), (Some(8000), Some(8000)));
            assert_eq!(counts("counts"), (Some(8000), Some(8000)));
            assert_eq!(counts("few"), (Some(8000), Some(50)));
            assert_eq!(counts("few.sink"), (Some(50), None));
            assert_eq!(profile.samples, Some(0), "time does not pass by itself");
        } else {
            for id in ["all", "kept", "twice", "by_rest", "counts", "few", "few.sink"] {
                assert_eq!(counts(id), (None, None), "{id}");
            }
            assert_eq!(profile.samples, None);
        }
    }
}

/// A bit of everything that is no function of a user's.
#[dataflow]
fn others(numbers: Vec<u64>, out: Collect<Vec<u64>>, odd: Collect<(u64, u64)>) {
    let all = source(from_iter(numbers));
    let spread = rebalance(all);
    let sorted = map(spread, |n| if n % 2 == 0 { Ok(n) } else { Err(n) });
    let Result { ok, err } = branch(sorted);
    let by_rest = key_by(ok, |n| n % 4);
    let first = dedupe(by_rest, Ttl::never());
    let plain = values(first);
    let chunks = chunk(plain, 2, Duration::from_secs(3600));
    sink(chunks, out);
    let by_last = key_by(err, |n| n % 10);
    let seen = inspect(by_last, |_n, _at| {});
    sink(seen, odd);
}

#[test]
fn built_in_steps_are_counted_too() {
    let (out, chunks) = collect();
    let (odd, seen) = collect();
    let profile = profile(others(numbers(1000), out, odd).workers(1), 3);
    assert_eq!((chunks.len(), seen.len()), (1, 500));
    assert_eq!(step(&profile, "first").keys, Some(2));
    if cfg!(feature = "profile") {
        let counts = |id| {
            let step = step(&profile, id);
            (step.items_in.unwrap_or(0), step.items_out.unwrap_or(0))
        };
        assert_eq!(counts("spread"), (1000, 1000));
        assert_eq!(counts("first"), (500, 2));
        assert_eq!(counts("plain"), (2, 2));
        assert_eq!(counts("chunks"), (2, 1));
        assert_eq!(counts("chunks.sink"), (1, 0));
        assert_eq!(counts("seen"), (500, 500));
        assert_eq!(counts("seen.sink"), (500, 0));
        let branched = profile.steps().find(|step| step.kind == "branch");
        assert_eq!(branched.map(|step| (step.items_in, step.items_out)), {
            Some((Some(1000), Some(1000)))
        });
    }
}

/// Numbers without an end.
#[dataflow]
fn endless(out: Collect<(u64, u64)>) {
    let all = source(generate(0, .., |random, _| random.next_u64()));
    let by_rest = key_by(all, |n| n % 10);
    let counts = stateful_map(by_rest, |count: &mut u64, _rest, _n: u64| {
        *count += 1;
        *count
    });
    let few = filter(counts, |count| *count <= 5);
    sink(few, out);
}

#[test]
fn all_time_is_somebodys_also_in_a_run_that_was_stopped() {
    let (out, found) = collect();
    let running = endless(out).workers(2).profile().spawn().expect("it starts");
    while found.len() < 50 || running.progress().items_in < 200_000 {
        std::thread::yield_now();
    }
    assert_eq!(running.progress().profile, None, "it is there at the end");
    let profile = running.stop_blocking().expect("it stops").profile.expect("it was asked for");
    let of_stages = |of: fn(&StageProfile) -> Duration| profile.stages.iter().map(of).sum();
    let (busy, waited): (Duration, Duration) =
        (of_stages(|stage| stage.busy), of_stages(|stage| stage.waited));
    let idle: Duration = profile.workers.iter().map(|worker| worker.idle).sum();
    assert_eq!(busy + waited + profile.between + idle, profile.total());
    assert!(!busy.is_zero());
    let found: u64 = profile.steps().filter_map(|step| step.samples).sum();
    assert!(found <= profile.samples.unwrap_or(0));
}

#[test]
fn a_run_that_is_not_profiled_has_none() {
    let (out, _) = collect();
    let summary = counted(numbers(10), out).spawn().and_then(crate::Running::wait);
    assert_eq!(summary.expect("it succeeds").profile, None);
}

#[test]
fn a_table_shows_stages_and_their_steps() {
    let (out, _) = collect();
    let profile = profile(counted(numbers(6000), out).workers(1), 0);
    let text = profile.to_string();
    println!("{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "counted: where the time of 1 worker went, 0.00 s each");
    let firsts: Vec<_> = lines[1..].iter().filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(firsts[..6], ["step", "stage 0", "", "", "", "stage 1"], "{text}");
    assert!(lines[2].contains("6,000") && lines[2].contains("8,000"), "{text}");
    assert!(text.contains("\nworker 0: busy -, waiting for room -, idle -\n1 epoch\n"), "{text}");
    assert_eq!(text.contains("--features flow-runtime/profile"), !cfg!(feature = "profile"));
}
