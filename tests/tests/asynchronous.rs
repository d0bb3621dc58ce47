//! Asynchronous steps on all hosts: what a future waits for is the worker's time, which each host keeps in its own way.
#![allow(missing_docs)]

use std::time::Duration;

use flow_runtime::prelude::*;
use flow_runtime::time::sleep;
use flow_tests::collect::Collect;
use flow_tests::given::{Given, given};
use flow_tests::runner::everywhere;

/// Takes up to 12 ms, and is refused every tenth time.
#[async_map]
async fn priced(n: u64, factor: &u64) -> Result<u64, String> {
    sleep(Duration::from_millis(n * 7 % 13)).await;
    if n.is_multiple_of(10) { Err(format!("{n} has no price")) } else { Ok(n * factor) }
}

#[stateful_map]
fn add_up(total: &mut u64, _key: &u64, n: u64) -> u64 {
    *total += n;
    *total
}

#[dataflow]
fn prices(numbers: Given<u64>, factor: u64, out: Collect<(u64, u64)>, bad: Collect<u64>) {
    let all = source(numbers);
    let keyed = key_by(all, |n| n % 3);
    let options = Async::in_flight(5).unordered();
    let (good, failed) = priced(keyed, options, factor);
    let totals = add_up(good);
    sink(totals, out);
    let refused = values(failed);
    let items = map(refused, |failed| failed.item);
    sink(items, bad);
}

#[test]
fn every_host_polls_futures_and_holds_barriers_back() {
    let numbers: Vec<u64> = (0..60).collect();
    let (mut sums, mut expected) = ([0; 3], Vec::new());
    for n in numbers.iter().filter(|n| !n.is_multiple_of(10)) {
        let key = n % 3;
        sums[key as usize] += n * 2;
        expected.push((key, sums[key as usize]));
    }
    expected.sort_unstable();
    for seed in 0..10 {
        everywhere(seed, 7, || {
            let (out, bad) = (Collect::new(1), Collect::new(1));
            let flow = prices(given(vec![numbers.clone()]), 2, out.clone(), bad.clone());
            let expected = expected.clone();
            let check = move || {
                assert_eq!(out.sorted(), expected);
                assert_eq!(bad.sorted(), [0, 10, 20, 30, 40, 50]);
            };
            (flow, check)
        });
    }
}
