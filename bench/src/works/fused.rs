//! Steps without state, fused into one loop: map, filter, flat_map, filter, fan-out to two sinks.

use std::hint::black_box;
use std::thread;

use flow_runtime::io::{
    Io, PartitionId, Poll, PollContext, Reader, Resume, Sink, Source, for_each, replay,
};
use flow_runtime::prelude::*;

use crate::harness::{Measured, Options, compare};
use crate::tally::{Sum, Whole};

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

fn on_flow(items: u64, workers: usize) -> Sum {
    let (first, second) = (Whole::default(), Whole::default());
    let (mut a, mut b) = (first.part(), second.part());
    let numbers = Ranges { end: black_box(items), parts: workers };
    let sums = for_each(move |n: u64| a.sum().add(n));
    let mixes = for_each(move |n: u64| b.sum().add(other(n)));
    let running = fused(numbers, sums, mixes).workers(workers).spawn();
    running.and_then(|running| running.wait()).expect("the dataflow runs");
    first.sum().plus(second.sum())
}

fn by_hand(items: u64, workers: usize) -> Sum {
    let part = |from: u64, to: u64| {
        let (mut a, mut b) = (Sum::default(), Sum::default());
        for n in from..to {
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
    let bound = |n: usize| items * n as u64 / workers as u64;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|n| scope.spawn(move || part(black_box(bound(n)), black_box(bound(n + 1)))))
            .collect();
        threads
            .into_iter()
            .map(|part| part.join().expect("it counts"))
            .fold(Sum::default(), Sum::plus)
    })
}

pub fn measure(options: &Options) -> Measured {
    let items = if options.quick { 20_000_000 } else { 200_000_000 };
    let workers = options.workers;
    compare("fused", options, items, || by_hand(items, workers), || on_flow(items, workers))
}

/// The numbers up to `end`, in partitions.
#[derive(Clone)]
struct Ranges {
    end: u64,
    parts: usize,
}

struct RangeReader {
    next: u64,
    end: u64,
}

impl Source for Ranges {
    type Item = u64;
    type Position = u64;
    type Reader = RangeReader;
    type Replay = replay::Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, flow_runtime::Error> {
        Ok((0..self.parts).map(|n| PartitionId::new(format!("{n:03}"))).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<RangeReader, flow_runtime::Error> {
        let n: u64 = partition.as_str().parse().unwrap_or(0);
        let bound = |n: u64| self.end * n / self.parts as u64;
        let next = match resume {
            Resume::Fresh => bound(n),
            Resume::At { position, .. } => position,
        };
        Ok(RangeReader { next, end: bound(n + 1) })
    }
}

impl Reader for RangeReader {
    type Item = u64;
    type Position = u64;

    #[inline]
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(u64),
    ) -> Result<Poll, flow_runtime::Error> {
        let end = self.end.min(self.next + cx.limit() as u64);
        (self.next..end).for_each(emit);
        self.next = end;
        Ok(if end == self.end { Poll::End } else { Poll::Ready })
    }

    fn position(&self) -> u64 {
        self.next
    }
}
