//! Timers: a million keys, of which each sets one, at times without an order; and all of them fire.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::{Sum, Whole};
use crate::works::keyed::hash;
use crate::works::{Side, Work};

/// The work.
pub const TIMERS: Work = Work {
    workers: Some(1),
    ..Work::new("timers", &[Side::new("hand", by_hand), Side::new("flow", on_flow)])
};

const KEYS: u64 = 1_000_000;

/// When the timer of a key is due: within a day.
fn due(key: u64) -> i64 {
    (hash(key) % 86_400_000_000) as i64
}

/// Sets a timer for each key, and emits when it fires.
struct Later;

impl Process for Later {
    type Key = u64;
    type In = u64;
    type Out = i64;
    type State = u64;
    type Timer = ();
    fn on_item(&self, state: &mut Option<u64>, item: u64, cx: &mut ProcessContext<'_, Self>) {
        *state = Some(item);
        cx.set_timer(Timestamp(due(item)), ());
    }
    fn on_timer(&self, state: &mut Option<u64>, _: (), cx: &mut ProcessContext<'_, Self>) {
        if let Some(item) = state.take() {
            cx.emit(cx.time().0 ^ item as i64);
        }
    }
}

#[dataflow]
fn later<N: Source<Item = u64>, S: Sink<Stream<i64>>>(numbers: N, out: S) {
    let all = source(numbers);
    // Time stands still until the end, when all timers are due.
    let timed = event_time(all, |_| Timestamp(-1), Disorder::none());
    let by_key = key_by(timed, |n| *n);
    let fired = process(by_key, Later);
    let results = values(fired);
    sink(results, out);
}

fn on_flow(job: &Job) -> Outcome {
    let keys = job.scaled(KEYS);
    timed(keys, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let out = for_each(move |fired: i64| part.sum().add(fired as u64));
        let numbers = Numbered::new(keys, job.workers, |n| n);
        side::flow::run(later(numbers, out), job.workers);
        whole.sum()
    })
}

/// A map for the state, a heap for the times.
fn by_hand(job: &Job) -> Outcome {
    let keys = job.scaled(KEYS);
    timed(keys, || {
        let mut states: HashMap<u64, u64, FixedState> = HashMap::default();
        let mut heap = BinaryHeap::new();
        for n in 0..keys {
            states.insert(n, n);
            heap.push(Reverse((due(n), n)));
        }
        let mut sum = Sum::default();
        while let Some(Reverse((at, key))) = heap.pop() {
            if let Some(item) = states.remove(&key) {
                sum.add((at ^ item as i64) as u64);
            }
        }
        sum
    })
}
