//! Query 1: all bids with their price in euros.

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::{Map, ToStream};

use super::events::{Bid, Event, events, share};
use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::{Sum, Whole};
use crate::works::{Side, Work};

/// The work.
pub const Q1: Work = Work::new(
    "nexmark_q1",
    &[
        Side::new("hand", by_hand),
        Side::new("flow", on_flow),
        Side::new("timely", on_timely),
        Side::new("renoir", on_renoir),
    ],
);

#[filter_map]
fn bid(event: Event) -> Option<Bid> {
    match event {
        Event::Bid(bid) => Some(bid),
        _ => None,
    }
}

#[map]
fn euros(bid: Bid) -> Bid {
    Bid { price: bid.price * 908 / 1000, ..bid }
}

#[dataflow]
fn q1<E, S>(events: E, out: S)
where
    E: Source<Item = Event>,
    S: Sink<Stream<Bid>>,
{
    let all = source(events);
    let bids = bid(all);
    let in_euros = euros(bids);
    sink(in_euros, out);
}

/// What a bid adds to the checksum: all of it.
#[inline(always)]
fn update(sum: &mut Sum, bid: Bid) {
    let numbers = bid.auction ^ bid.bidder.rotate_left(16) ^ bid.price.rotate_left(32);
    sum.add(numbers ^ bid.time_ms ^ u64::from(bid.channel ^ bid.url).rotate_left(48));
}

fn on_flow(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let source = Numbered::new(events.len() as u64, job.workers, |n| events[n as usize]);
        let out = for_each(move |bid: Bid| update(part.sum(), bid));
        side::flow::run(q1(source, out), job.workers);
        whole.sum()
    })
}

fn on_timely(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let parts = whole.clone();
        side::timely::run(job.workers, move |worker| {
            let events = share(events, worker.index(), worker.peers()).iter().copied();
            let mut sums = parts.part();
            worker.dataflow::<u64, _, _>(|scope| {
                let bids = events.to_stream(scope).flat_map(bid);
                bids.map(euros).inspect(move |bid| update(sums.sum(), *bid));
            });
        });
        whole.sum()
    })
}

fn on_renoir(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let mut sums = whole.part();
        side::renoir::run(job.workers, |env| {
            let all = env.stream_par_iter(move |worker, workers| {
                share(events, worker as usize, workers as usize).iter().copied()
            });
            let bids = all.filter_map(bid);
            bids.map(euros).for_each(move |bid| update(sums.sum(), bid));
        });
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let events = events(job);
    let work = |worker| {
        let mut sum = Sum::default();
        for event in share(events, worker, job.workers) {
            if let Event::Bid(bid) = event {
                update(&mut sum, euros(*bid));
            }
        }
        sum
    };
    timed(events.len() as u64, || side::hand::parallel(job.workers, work))
}
