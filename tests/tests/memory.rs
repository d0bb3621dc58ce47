//! A push that never seems to end takes no memory. In a test program of its own: it looks at the whole process.

use flow_runtime::io::{FromIter, Sink, for_each_keyed, from_iter};
use flow_runtime::prelude::*;

#[dataflow]
fn many_from_one<S: Sink<Keyed<u64, u64>>>(one: FromIter<std::ops::Range<u64>>, many: u64, out: S) {
    let single = source(one);
    let numbers = flat_map(single, |_| 0..many);
    let by_key = key_by(numbers, |n| n % 1000);
    let counts = stateful_map(by_key, |count: &mut u64, _key, _n: u64| {
        *count += 1;
        *count
    });
    sink(counts, out);
}

#[dataflow]
fn pairs(count: u64) {
    let numbers = source(from_iter(0..count));
    let by_key = key_by(numbers, |n| n % 10);
    let pairs = chunk(by_key, 2, std::time::Duration::MAX);
    discard(pairs, "only the memory counts");
}

/// The most memory this process has had, in MiB; `None` where the system does not tell.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[test]
fn chunks_that_are_full_long_before_they_are_due_leave_nothing_behind() {
    pairs(4_000_000).workers(1).spawn().expect("it starts").wait().expect("it succeeds");
    match peak_mib() {
        Some(peak) => assert!(peak < 60, "{peak} MiB"),
        None => println!("skipped: this system does not tell how much memory a process has"),
    }
}

#[test]
fn a_flat_map_of_millions_runs_in_constant_memory() {
    // As rows of an exchange these are 240 MB. To run it with a billion:
    // `FLOW_TEST_MANY=1000000000 cargo test --release -p flow-tests --test memory`.
    let many = std::env::var("FLOW_TEST_MANY")
        .map_or(Ok(10_000_000), |many| many.parse())
        .expect("it is a number");
    for workers in [1, 2] {
        let out =
            for_each_keyed(move |key: &u64, count: u64| assert!(count <= many / 1000, "key {key}"));
        let running =
            many_from_one(from_iter(0..1), many, out).workers(workers).spawn().expect("it starts");
        running.wait().expect("it succeeds");
        match peak_mib() {
            Some(peak) => assert!(peak < 100, "{peak} MiB with {workers} workers"),
            None => println!("skipped: this system does not tell how much memory a process has"),
        }
    }
}
