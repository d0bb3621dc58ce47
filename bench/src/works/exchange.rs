//! The exchange alone: numbers to the worker of their key, and a sum.

use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;

use crate::child::{Outcome, timed};
use crate::input::{Numbered, part};
use crate::options::Job;
use crate::side;
use crate::side::hand::{Mesh, owner};
use crate::tally::{Sum, Whole};
use crate::works::keyed::{hash, record};
use crate::works::{Side, Work};

/// The work.
pub const EXCHANGE: Work =
    Work::new("exchange", &[Side::new("hand", by_hand), Side::new("flow", on_flow)]);

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
