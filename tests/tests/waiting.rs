//! Waiting for room: it ends, it holds sources back, and it takes no memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flow_runtime::Virtual;
use flow_runtime::io::{
    ChannelSource, ForEach, FromIter, Sink, channel, for_each, for_each_keyed, from_iter,
};
use flow_runtime::prelude::*;

type Numbers = FromIter<std::ops::Range<u64>>;

/// One stage with two edges that fill up inside one push; behind them both are merged.
#[dataflow]
fn two_full_edges<S: Sink<Keyed<u8, u64>>>(numbers: Numbers, copies: u64, out: S) {
    let all = source(numbers);
    let many = flat_map(all, |n| (0..copies).map(move |_| n));
    let by_three = key_by(many, |n| n % 3);
    let by_five = key_by(many, |n| n % 5);
    let left = values(by_three);
    let right = values(by_five);
    let both = merge(left, right);
    let by_nothing = key_by(both, |_| 0_u8);
    let counts = stateful_map(by_nothing, |count: &mut u64, _key, _n: u64| {
        *count += 1;
        *count
    });
    sink(counts, out);
}

/// A merge of two sources: one passes through an exchange, the other fills its edge from inside one push.
#[dataflow]
fn merge_of_two_sources<S: Sink<Keyed<u8, u64>>>(numbers: Numbers, copies: u64, out: S) {
    let first = source(numbers);
    let by_two = key_by(first, |n| n % 2);
    let left = values(by_two);
    let second = source(numbers);
    let many = flat_map(second, |n| (0..copies).map(move |_| n));
    let by_seven = key_by(many, |n| n % 7);
    let right = values(by_seven);
    let both = merge(left, right);
    let by_nothing = key_by(both, |_| 0_u8);
    let counts = stateful_map(by_nothing, |count: &mut u64, _key, _n: u64| {
        *count += 1;
        *count
    });
    sink(counts, out);
}

/// Keeps the largest number.
fn largest() -> (impl Sink<Keyed<u8, u64>>, Arc<AtomicU64>) {
    let largest = Arc::new(AtomicU64::new(0));
    let to = Arc::clone(&largest);
    (
        for_each_keyed(move |_: &u8, n: u64| {
            to.fetch_max(n, Ordering::Relaxed);
        }),
        largest,
    )
}

#[test]
fn two_full_edges_of_one_stage_do_not_stop_each_other() {
    for workers in [1, 2, 3] {
        for seed in 0..4 {
            let (out, counted) = largest();
            two_full_edges(from_iter(0..8), 40_000, out)
                .workers(workers)
                .epochs(EpochPolicy::items(1))
                .simulate(Virtual::new(seed))
                .expect("the run does not get stuck");
            assert_eq!(counted.load(Ordering::Relaxed), 2 * 8 * 40_000);
        }
    }
}

#[test]
fn a_merge_waits_for_a_source_while_the_other_source_is_in_a_push() {
    for workers in [1, 2, 3] {
        for seed in 0..4 {
            let (out, counted) = largest();
            merge_of_two_sources(from_iter(0..8), 40_000, out)
                .workers(workers)
                .epochs(EpochPolicy::items(1))
                .simulate(Virtual::new(seed))
                .expect("the run does not get stuck");
            assert_eq!(counted.load(Ordering::Relaxed), 8 + 8 * 40_000);
        }
    }
}

#[dataflow]
fn watched(numbers: Numbers, ahead: Arc<AtomicU64>, most: Arc<AtomicU64>, out: ForEach<u64, Down>) {
    let all = source(numbers);
    let counted = inspect(all, |_, _| {
        let now = ahead.fetch_add(1, Ordering::Relaxed) + 1;
        most.fetch_max(now, Ordering::Relaxed);
    });
    let spread = rebalance(counted);
    sink(spread, out);
}

type Down = Box<dyn CloneableFn>;

/// A function that a sink calls; a box, so that the dataflow above can name it.
trait CloneableFn: FnMut(u64) + Send {
    fn boxed(&self) -> Down;
}
impl<F: FnMut(u64) + Clone + Send + 'static> CloneableFn for F {
    fn boxed(&self) -> Down {
        Box::new(self.clone())
    }
}
impl Clone for Down {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

#[test]
fn a_sink_holds_its_sources_back() {
    // The seed makes the workers that write as slow as it likes; what has been read and not written is bounded all the same.
    const ITEMS: u64 = 200_000;
    for seed in 0..5 {
        let (ahead, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let down = Arc::clone(&ahead);
        let out: Down = Box::new(move |_| {
            down.fetch_sub(1, Ordering::Relaxed);
        });
        watched(from_iter(0..ITEMS), Arc::clone(&ahead), Arc::clone(&most), for_each(out))
            .workers(4)
            .simulate(Virtual::new(seed))
            .expect("the run succeeds");
        assert_eq!(ahead.load(Ordering::Relaxed), 0);
        let most = most.load(Ordering::Relaxed);
        // Four queues of 8 batches of at most 1,024 items each, and the batches in hand.
        assert!(most < 4 * 9 * 1024 + 1024, "{most} of {ITEMS} items were under way");
    }
}

#[test]
fn a_run_that_waits_for_ever_is_an_error_on_the_virtual_schedule() {
    let (_sender, numbers) = channel::<u64>(1);
    let error =
        fed(numbers).workers(2).simulate(Virtual::new(1)).expect_err("nobody sends anything");
    assert!(error.to_string().contains("every worker waits"), "{error}");
}

#[dataflow]
fn fed(numbers: ChannelSource<u64>) {
    let all = source(numbers);
    discard(all, "only that it comes matters here");
}
