//! The exchange alone: numbers to the worker of their key, and a sum.

use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Exchange, Inspect};

use crate::child::{Outcome, timed};
use crate::input::{Numbered, part};
use crate::options::Job;
use crate::side;
use crate::side::hand::{Mesh, owner};
use crate::tally::{Sum, Whole};
use crate::works::keyed::{hash, record};
use crate::works::{Side, Work};
use renoir::BatchMode;

/// The work.
pub const EXCHANGE: Work = Work::new(
    "exchange",
    &[
        Side::new("hand", by_hand),
        Side::new("flow", on_flow),
        Side::new("timely", on_timely),
        Side::new("renoir", on_renoir),
    ],
);

const ITEMS: u64 = 100_000_000;

#[dataflow]
fn exchange<N, S>(numbers: N, sums: S)
where
    N: Source<Item = u64>,
    S: Sink<Keyed<u64, u64>>,
{
    let all = source(numbers);
    let by_key = key_by(all, |n| *n);
    sink(by_key, sums);
}

fn on_flow(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let numbers = Numbered::new(items, job.workers, record);
        let sums = for_each_keyed(move |_: &u64, n: u64| part.sum().add(n));
        side::flow::run(exchange(numbers, sums), job.workers);
        whole.sum()
    })
}

fn on_timely(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let whole = Whole::default();
        let parts = whole.clone();
        side::timely::run(job.workers, move |worker| {
            let numbers = part(items, worker.index(), worker.peers()).map(record);
            let mut sums = parts.part();
            worker.dataflow::<u64, _, _>(|scope| {
                let at_home = numbers.to_stream(scope).exchange(|n| hash(*n) >> 24);
                at_home.inspect(move |n| sums.sum().add(*n));
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
                part(items, worker as usize, workers as usize).map(record)
            });
            let numbers = numbers.batch_mode(BatchMode::fixed(1024));
            numbers.group_by(|n| *n).for_each(move |(_, n)| sums.sum().add(n));
        });
        whole.sum()
    })
}

/// With one thread there is nobody to hand over to, and the loop does not pretend to.
fn by_hand(job: &Job) -> Outcome {
    let items = job.scaled(ITEMS);
    let work = |mut mesh: Mesh<u64>| {
        let mut sum = Sum::default();
        let mut take = |n| sum.add(n);
        for n in part(items, mesh.me(), mesh.threads()) {
            let n = record(n);
            mesh.give(owner(hash(n), job.workers), n, &mut take);
        }
        mesh.finish(&mut take);
        sum
    };
    timed(items, || side::hand::exchanging(job.workers, work))
}
