//! Steps without state: map, a filter that keeps a third, map, a sum.
//!
//! A sum that lies in registers is added to without a branch; behind a pointer, something is written or not, and a branch that goes one
//! way in three times is guessed wrong often. So this work shows whether a sink's state is in registers, too.

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::{Filter, Map, ToStream};

use crate::child::{Outcome, timed};
use crate::input::{Numbered, part};
use crate::options::Job;
use crate::side;
use crate::tally::{Sum, Whole};
use crate::works::{Side, Work};

/// The work.
pub const STATELESS: Work = Work::new(
    "stateless",
    &[
        Side::new("hand", by_hand),
        Side::new("flow", on_flow),
        Side::new("timely", on_timely),
        Side::new("renoir", on_renoir),
    ],
);

const ITEMS: u64 = 50_000_000;

#[map]
fn mix(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

#[filter]
fn third(n: &u64) -> bool {
    n.is_multiple_of(3)
}

#[map]
fn turn(n: u64) -> u64 {
    n.rotate_left(17) ^ 0x55
}

#[dataflow]
fn stateless<N, S>(numbers: N, sums: S)
where
    N: Source<Item = u64>,
    S: Sink<Stream<u64>>,
{
    let all = source(numbers);
    let mixed = mix(all);
    let chosen = third(mixed);
    let turned = turn(chosen);
    sink(turned, sums);
}

fn on_flow(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let numbers = Numbered::new(items, job.workers, |n| n);
        let sums = for_each(move |n: u64| part.sum().add(n));
        side::flow::run(stateless(numbers, sums), job.workers);
        whole.sum()
    })
}

fn on_timely(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let whole = Whole::default();
        let parts = whole.clone();
        side::timely::run(job.workers, move |worker| {
            let numbers = part(items, worker.index(), worker.peers());
            let mut sums = parts.part();
            worker.dataflow::<u64, _, _>(|scope| {
                let chosen = numbers.to_stream(scope).map(mix).filter(third);
                chosen.map(turn).inspect(move |n| sums.sum().add(*n));
            });
        });
        whole.sum()
    })
}

fn on_renoir(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let whole = Whole::default();
        let mut sums = whole.part();
        side::renoir::run(job.workers, |env| {
            let numbers = env.stream_par_iter(move |worker, workers| {
                part(items, worker as usize, workers as usize)
            });
            let chosen = numbers.map(mix).filter(third);
            chosen.map(turn).for_each(move |n| sums.sum().add(n));
        });
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    let work = |worker| {
        let mut sum = Sum::default();
        for n in part(items, worker, job.workers) {
            let n = mix(n);
            if third(&n) {
                sum.add(turn(n));
            }
        }
        sum
    };
    timed(items, || side::hand::parallel(job.workers, work))
}
