//! Epochs, back-pressure, the end of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Gate, Inside, Log, ms};
use crate::asynchronous::now;
use crate::io::{Collect, channel, collect, epochs_from, from_iter};
use crate::prelude::*;
use crate::time::sleep;
use crate::{EpochPolicy, Virtual};

#[async_map]
async fn takes_a_while(n: u64) -> Result<u64, String> {
    sleep(ms(n % 13)).await;
    if n.is_multiple_of(5) { Err("a multiple of five".to_owned()) } else { Ok(n) }
}

#[dataflow]
fn dated(count: u64, options: Async, seen: Log<(u64, u64)>) {
    // Four numbers an epoch.
    let all = source(epochs_from((0..count).map(|n| (n / 4, n))));
    let spread = rebalance(all);
    let (done, failed) = takes_a_while(spread, options.clone());
    let refused = map(failed, |failed| failed.item);
    let both = merge(done, refused);
    // Another one behind it: its barriers wait as well.
    let (again, none) = async_map(both, options, |n| async move {
        sleep(ms(3)).await;
        Ok::<_, String>(n)
    });
    let seen = inspect(again, |n, at| seen.add((*n, at.epoch.0)));
    discard(seen, "the epochs are looked at");
    discard(none, "nothing fails");
}

#[test]
fn a_barrier_waits_for_the_items_in_front_of_it() {
    for workers in [1, 2, 3] {
        for seed in 0..15 {
            for options in [Async::in_flight(1), Async::in_flight(100).unordered()] {
                let seen = Log::new();
                let flow = dated(60, options, seen.clone()).workers(workers);
                flow.simulate(Virtual::new(seed)).expect("it runs");
                let mut seen = seen.take();
                seen.sort_unstable();
                assert_eq!(seen, (0..60).map(|n| (n, n / 4)).collect::<Vec<_>>(), "seed {seed}");
            }
        }
    }
}

#[test]
fn epochs_by_time_go_on_while_items_are_in_flight() {
    #[dataflow]
    fn slow(out: Collect<u64>) {
        let all = source(from_iter(0..20));
        let (done, failed) = async_map(all, Async::in_flight(2), |n: u64| async move {
            sleep(ms(700)).await;
            Ok::<_, String>(n)
        });
        sink(done, out);
        discard(failed, "nothing fails");
    }
    let (out, found) = collect();
    let folder = tempfile::tempdir().expect("a folder");
    let flow = slow(out).workers(1).recovery(folder.path());
    flow.epochs(EpochPolicy::every(ms(1000))).simulate(Virtual::new(0)).expect("it runs");
    assert_eq!(found.take(), (0..20).collect::<Vec<_>>());
}

/// How many items are between a `flat_map` and the end of a slow step.
#[dataflow]
fn one_large_item(count: u64, between: Inside, out: Collect<u64>) {
    let one = source(from_iter([count]));
    let begun = between.clone();
    let many = flat_map(one, move |count: u64| {
        let begun = begun.clone();
        (0..count).map(move |n| {
            std::mem::forget(begun.enter());
            n
        })
    });
    let (done, failed) = async_map(many, Async::in_flight(8).timeout(ms(50)), move |n: u64| {
        // Some only end by their timeout.
        let takes = if n.is_multiple_of(1000) { 1000 } else { 1 };
        let between = between.clone();
        async move {
            sleep(ms(takes)).await;
            drop(super::InsideGuard(between));
            Ok::<_, String>(n)
        }
    });
    sink(done, out);
    discard(failed, "they timed out");
}

#[test]
fn a_slow_step_holds_back_what_is_upstream_also_in_the_middle_of_an_item() {
    for workers in [1, 2] {
        let (between, (out, found)) = (Inside::default(), collect());
        let flow = one_large_item(50_000, between.clone(), out).workers(workers);
        flow.simulate(Virtual::new(0)).expect("it runs");
        assert_eq!(found.take().len(), 50_000 - 50);
        // Sixteen batches of 1,024 rows in the queue, one before and one behind it.
        assert!(between.most() < 20_000, "{}", between.most());
    }
}

#[test]
fn what_has_been_read_comes_out_when_the_run_is_stopped() {
    #[dataflow]
    fn service(items: ChannelSource<u64>, gate: Gate, out: Collect<u64>) {
        let all = source(items);
        let (done, failed) = async_map(all, Async::in_flight(4), move |n| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok::<_, String>(n)
            }
        });
        sink(done, out);
        discard(failed, "nothing fails");
    }
    for workers in [1, 3] {
        let (gate, (sender, items), (out, found)) = (Gate::default(), channel(100), collect());
        let running =
            service(items, gate.clone(), out).workers(workers).spawn().expect("it starts");
        (0..50).for_each(|n| sender.send(n).expect("it runs"));
        gate.await_waiting(4);
        running.stopper().stop();
        gate.open();
        running.wait().expect("it stops");
        let found = found.take();
        // What was not read any more is still in the channel; what was read is in order.
        assert!(found.len() >= 4 && found.iter().copied().eq(0..found.len() as u64), "{found:?}");
    }
}

#[test]
fn an_idle_step_does_not_wake_its_worker() {
    #[dataflow]
    fn waits(polls: Arc<AtomicU64>) {
        let all = source(from_iter(0..4));
        let (done, failed) = async_map(all, Async::in_flight(4), move |_: u64| {
            let polls = polls.clone();
            let mut sleep = Box::pin(sleep(ms(3_600_000)));
            std::future::poll_fn(move |cx| {
                polls.fetch_add(1, Ordering::SeqCst);
                sleep.as_mut().poll(cx).map(|()| Ok::<_, String>(now()))
            })
        });
        discard(done, "they only wait");
        discard(failed, "nothing fails");
    }
    let (polls, schedule) = (Arc::new(AtomicU64::new(0)), Arc::new(Virtual::new(0)));
    let flow = waits(polls.clone()).workers(1).epochs(EpochPolicy::items(1000));
    flow.simulate_on(schedule.clone()).expect("it runs");
    // Each once when it begins and once when its time has come.
    assert_eq!(polls.load(Ordering::SeqCst), 8);
    assert!(schedule.turns() < 100, "{}", schedule.turns());
}
