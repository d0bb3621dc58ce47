//! In which order items come out, and how many are in flight.

use std::collections::BTreeMap;

use super::{Gate, Inside, ms};
use crate::asynchronous::options::mixed;
use crate::io::{Collect, Sink, Source, collect, from_iter};
use crate::prelude::*;
use crate::time::sleep;
use crate::{Virtual, sim::Sim};

/// Takes between nothing and 15 ms, as the number says.
#[async_map]
async fn slow(n: u64, inside: Inside) -> u64 {
    let _guard = inside.enter();
    sleep(ms(mixed(n) % 16)).await;
    n
}

#[dataflow]
fn numbers(count: u64, options: Async, inside: Inside, out: Collect<u64>) {
    let all = source(from_iter(0..count));
    let (done, failed) = slow(all, options, inside);
    sink(done, out);
    let none = map(failed, |failed| -> u64 { panic!("it failed: {failed}") });
    discard(none, "nothing fails");
}

#[test]
fn ordered_items_come_out_as_they_went_in_and_never_more_than_the_limit_are_in_flight() {
    for workers in [1, 2, 3] {
        for seed in 0..15 {
            for limit in [1, 3, 40] {
                let (inside, (out, found)) = (Inside::default(), collect());
                let flow = numbers(300, Async::in_flight(limit), inside.clone(), out);
                flow.workers(workers).simulate(Virtual::new(seed)).expect("it runs");
                // One partition is read by one worker.
                assert_eq!(found.take(), (0..300).collect::<Vec<_>>(), "seed {seed}");
                assert_eq!((inside.most(), inside.now()), (limit, 0));
            }
        }
    }
}

#[test]
fn unordered_items_overtake_each_other() {
    let (inside, (out, found)) = (Inside::default(), collect());
    let flow = numbers(300, Async::in_flight(40).unordered(), inside.clone(), out);
    flow.workers(1).simulate(Virtual::new(0)).expect("it runs");
    let mut found = found.take();
    assert!(!found.is_sorted());
    found.sort_unstable();
    assert_eq!(found, (0..300).collect::<Vec<_>>());
    assert_eq!(inside.most(), 40);
}

#[dataflow]
fn by_key(count: u64, options: Async, inside: Inside, out: Collect<(u64, u64)>) {
    let all = source(from_iter(0..count));
    let keyed = key_by(all, |n| n % 7);
    let (done, failed) = slow(keyed, options, inside);
    sink(done, out);
    discard(failed, "nothing fails");
}

#[test]
fn items_of_one_key_stay_in_order_also_where_others_overtake_them() {
    for workers in [1, 2, 3] {
        for seed in 0..15 {
            let (inside, (out, found)) = (Inside::default(), collect());
            let flow = by_key(300, Async::in_flight(25).unordered(), inside.clone(), out);
            flow.workers(workers).simulate(Virtual::new(seed)).expect("it runs");
            let found = found.take();
            assert!(workers > 1 || !found.is_sorted_by_key(|(_, n)| *n));
            let mut by_key: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            found.into_iter().for_each(|(key, n)| by_key.entry(key).or_default().push(n));
            for (key, numbers) in by_key {
                let expected: Vec<_> = (0..300).filter(|n| n % 7 == key).collect();
                assert_eq!(numbers, expected, "key {key}, seed {seed}");
            }
            // On each worker so many at most, and the limit is used.
            assert!((25..=25 * workers).contains(&inside.most()), "{}", inside.most());
        }
    }
}

#[test]
fn items_of_one_key_are_in_flight_together() {
    let (inside, (out, found)) = (Inside::default(), collect());
    #[dataflow]
    fn one_key(options: Async, inside: Inside, out: Collect<((), u64)>) {
        let all = source(from_iter(0..50));
        let keyed = key_by(all, |_| ());
        let (done, failed) = slow(keyed, options, inside);
        sink(done, out);
        discard(failed, "nothing fails");
    }
    let flow = one_key(Async::in_flight(20).unordered(), inside.clone(), out);
    flow.workers(1).simulate(Virtual::new(0)).expect("it runs");
    assert!(found.take().into_iter().map(|(_, n)| n).eq(0..50));
    // Those that are done and wait for one in front of them are in flight, too, but not in the function.
    assert!((10..=20).contains(&inside.most()), "{}", inside.most());
}

#[stateful_map]
fn running_total(total: &mut u64, _key: &u64, n: u64) -> u64 {
    *total += n;
    *total
}

#[dataflow]
fn totals<S: Source<Item = u64>, O: Sink<Keyed<u64, u64>>>(numbers: S, options: Async, out: O) {
    let all = source(numbers);
    let keyed = key_by(all, |n| n % 5);
    let (done, failed) = slow(keyed, options, Inside::default());
    let totals = running_total(done);
    sink(totals, out);
    discard(failed, "nothing fails");
}

#[test]
fn a_crash_anywhere_changes_nothing() {
    for options in [Async::in_flight(4), Async::in_flight(16).unordered()] {
        let report = Sim::new(|world| {
            let numbers = world.epochs("numbers", (0..60).map(|n| (n / 6, n)));
            totals(numbers, options.clone(), world.sink("totals"))
        })
        .rechunk()
        .crash_everywhere()
        .at_most(150)
        .crashes(10)
        .run();
        assert_eq!(report.epochs, 10);
        assert!(report.crashes > 100, "{report:?}");
    }
}

/// On real threads, woken by a thread that is no worker.
#[async_map]
async fn gated(n: u64, gate: Gate, inside: Inside) -> Result<u64, String> {
    let _guard = inside.enter();
    gate.pass().await;
    if n.is_multiple_of(3) { Err(format!("{n} is refused")) } else { Ok(n) }
}

#[dataflow]
fn through_a_gate(gate: Gate, inside: Inside, out: Collect<u64>, bad: Collect<AsyncFailed<u64>>) {
    let all = source(from_iter(0..1000));
    let (done, failed) = gated(all, Async::in_flight(10), gate, inside);
    sink(done, out);
    sink(failed, bad);
}

#[test]
fn futures_are_woken_by_other_threads_and_the_limit_holds_there() {
    for workers in [1, 2, 3] {
        let (gate, inside) = (Gate::default(), Inside::default());
        let ((out, found), (bad, refused)) = (collect(), collect());
        let flow = through_a_gate(gate.clone(), inside.clone(), out, bad);
        let running = flow.workers(workers).spawn().expect("it starts");
        gate.await_waiting(10);
        assert_eq!(inside.now(), 10);
        gate.open();
        running.wait().expect("it runs");
        assert_eq!(inside.most(), 10);
        assert_eq!(found.take(), (0..1000).filter(|n| n % 3 > 0).collect::<Vec<_>>());
        let refused = refused.take();
        assert!(refused.iter().map(|failed| failed.item).eq((0..1000).step_by(3)));
        assert_eq!(refused[1].reason, AsyncReason::Refused("3 is refused".to_owned()));
    }
}
