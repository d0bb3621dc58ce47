//! Query 2: the bids on a few auctions.

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;
use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::{Filter, Map, ToStream};

use super::bid;
use super::events::{Bid, Event, events, share};
use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::{Sum, Whole};
use crate::works::{Side, Work};

/// The work.
pub const Q2: Work = Work::new(
    "nexmark_q2",
    &[
        Side::new("hand", by_hand),
        Side::new("flow", on_flow),
        Side::new("timely", on_timely),
        Side::new("renoir", on_renoir),
    ],
);

#[filter]
fn chosen(bid: &Bid) -> bool {
    bid.auction.is_multiple_of(123)
}

#[map]
fn auction_and_price(bid: Bid) -> (u64, u64) {
    (bid.auction, bid.price)
}

#[dataflow]
fn q2<E, S>(events: E, out: S)
where
    E: Source<Item = Event>,
    S: Sink<Stream<(u64, u64)>>,
{
    let all = source(events);
    let bids = bid(all);
    let some = chosen(bids);
    let pairs = auction_and_price(some);
    sink(pairs, out);
}

/// What a bid adds to the checksum.
#[inline(always)]
fn update(sum: &mut Sum, (auction, price): (u64, u64)) {
    sum.add(auction.rotate_left(32) ^ price);
}

fn on_flow(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let source = Numbered::new(events.len() as u64, job.workers, |n| events[n as usize]);
        let out = for_each(move |found: (u64, u64)| update(part.sum(), found));
        side::flow::run(q2(source, out), job.workers);
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
                let pairs = bids.filter(chosen).map(auction_and_price);
                pairs.inspect(move |pair| update(sums.sum(), *pair));
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
            let pairs = bids.filter(chosen).map(auction_and_price);
            pairs.for_each(move |pair| update(sums.sum(), pair));
        });
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let events = events(job);
    let work = |worker| {
        let mut sum = Sum::default();
        for event in share(events, worker, job.workers) {
            if let Event::Bid(bid) = event
                && chosen(bid)
            {
                update(&mut sum, auction_and_price(*bid));
            }
        }
        sum
    };
    timed(events.len() as u64, || side::hand::parallel(job.workers, work))
}
