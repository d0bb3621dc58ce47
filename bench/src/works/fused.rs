//! Steps without state, fused into one loop: map, filter, flat_map, filter, fan-out to two sinks.

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;

use crate::child::{Outcome, timed};
use crate::input::{Numbered, part};
use crate::options::Job;
use crate::side;
use crate::tally::{Sum, Whole};
use crate::works::{Side, Work};

/// The work.
pub const FUSED: Work =
    Work::new("fused", &[Side::new("hand", by_hand), Side::new("flow", on_flow)]);

const ITEMS: u64 = 200_000_000;

#[map]
fn mix(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

#[filter]
fn most(n: &u64) -> bool {
    n & 7 > 1
}

#[flat_map]
fn few(n: u64) -> impl Iterator<Item = u64> {
    (0..(n >> 8) & 3).map(move |k| n.wrapping_add(k))
}

#[filter]
fn not_third(n: &u64) -> bool {
    !n.is_multiple_of(3)
}

#[dataflow]
fn fused<N, A, B>(numbers: N, sums: A, mixes: B)
where
    N: Source<Item = u64>,
    A: Sink<Stream<u64>>,
    B: Sink<Stream<u64>>,
{
    let all = source(numbers);
    let mixed = mix(all);
    let chosen = most(mixed);
    let many = few(chosen);
    let kept = not_third(many);
    #[id = "first"]
    sink(kept, sums);
    #[id = "second"]
    sink(kept, mixes);
}

/// What the second sink makes of an item, so that the two are not one.
#[inline(always)]
fn other(n: u64) -> u64 {
    n.rotate_left(17) ^ 0x55
}

fn on_flow(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let (first, second) = (Whole::default(), Whole::default());
        let (mut a, mut b) = (first.part(), second.part());
        let numbers = Numbered::new(items, job.workers, |n| n);
        let sums = for_each(move |n: u64| a.sum().add(n));
        let mixes = for_each(move |n: u64| b.sum().add(other(n)));
        side::flow::run(fused(numbers, sums, mixes), job.workers);
        first.sum().plus(second.sum())
    })
}

fn by_hand(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    let work = |worker| {
        let (mut a, mut b) = (Sum::default(), Sum::default());
        for n in part(items, worker, job.workers) {
            let n = mix(n);
            if most(&n) {
                for n in few(n) {
                    if not_third(&n) {
                        a.add(n);
                        b.add(other(n));
                    }
                }
            }
        }
        a.plus(b)
    };
    timed(items, || side::hand::parallel(job.workers, work))
}
