//! Query 5: the auction with most bids in the last ten seconds, every two seconds; of several with as many the least. Windows are
//! aligned to the epoch.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;
use flow_runtime::windows::Windowed;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::{Map, ToStream};
use timely::dataflow::operators::{Inspect, Operator};

use super::event_time_of;
use super::events::{Event, events, share};
use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::{Sum, Whole};
use crate::works::keyed::hash;
use crate::works::{Side, Work};

/// The work. With one worker only, as query 7.
pub const Q5: Work = Work {
    workers: Some(1),
    ..Work::new(
        "nexmark_q5",
        &[Side::new("hand", by_hand), Side::new("flow", on_flow), Side::new("timely", on_timely)],
    )
};

const HOP_MS: u64 = 2_000;
/// Hops in a window.
const HOPS: usize = 5;

/// The end of a window, the auction, its bids.
type Hottest = (u64, u64, u64);

/// The auction that a bid is for.
#[filter_map]
#[inline(always)]
fn auction(event: Event) -> Option<u64> {
    match event {
        Event::Bid(bid) => Some(bid.auction),
        _ => None,
    }
}

/// What of a bid matters: the auction, and when it was.
type Bid = (u64, u64);

/// For the loop and timely, which have no time beside the item.
#[inline(always)]
fn bid(event: Event) -> Option<Bid> {
    match event {
        Event::Bid(bid) => Some((bid.auction, bid.time_ms)),
        _ => None,
    }
}

#[dataflow]
fn q5<E, S>(events: E, out: S)
where
    E: Source<Item = Event>,
    S: Sink<Stream<Hottest>>,
{
    let all = source(events);
    let timed = event_time(all, event_time_of, Disorder::none());
    let bids = auction(timed);
    let by_auction = key_by_ref(bids, |auction| auction);
    let hop = Duration::from_millis(HOP_MS);
    let (counts, late) =
        window(by_auction, Hopping::of(hop * HOPS as u32, hop), aggregate::count());
    fail(late);
    let each = entries(counts);
    // A result lies in the hop that its window ends in.
    let (hottest, late_counts) = window_all(
        each,
        Tumbling::of(hop),
        // The least auction is the largest of their complements.
        aggregate::max(|(auction, window): &(u64, Windowed<u64>)| (window.value, !*auction)),
    );
    fail(late_counts);
    let rows = map(hottest, |window| {
        let (bids, auction) = window.value;
        (window.end.0 as u64 / 1000, !auction, bids)
    });
    sink(rows, out);
}

/// What a window adds to the checksum.
#[inline(always)]
fn update(sum: &mut Sum, (end_ms, auction, bids): Hottest) {
    sum.add(end_ms.rotate_left(40) ^ auction.rotate_left(16) ^ bids);
}

fn on_flow(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let source = Numbered::new(events.len() as u64, job.workers, |n| events[n as usize]);
        let out = for_each(move |found: Hottest| update(part.sum(), found));
        side::flow::run(q5(source, out), job.workers);
        whole.sum()
    })
}

type Counts = HashMap<u64, u64, FixedState>;

/// The hops that are open windows' concern, the latest last, and what they come to together.
#[derive(Default)]
struct Windows {
    /// The number of the latest hop.
    latest: u64,
    hops: VecDeque<Counts>,
    /// Over all of `hops`.
    total: Counts,
}

impl Windows {
    /// Takes a bid. Windows that it closes go to `emit`.
    #[inline(always)]
    fn take(&mut self, (auction, time_ms): Bid, emit: &mut impl FnMut(Hottest)) {
        let hop = time_ms / HOP_MS;
        if hop != self.latest {
            self.turn_to(hop, emit);
        }
        if let Some(counts) = self.hops.back_mut() {
            *counts.entry(auction).or_insert(0) += 1;
        }
    }

    #[cold]
    fn turn_to(&mut self, hop: u64, emit: &mut impl FnMut(Hottest)) {
        if self.hops.is_empty() {
            self.latest = hop - 1;
        }
        while self.latest < hop {
            self.close(emit);
            self.hops.push_back(Counts::default());
        }
    }

    /// Closes the window that ends with the latest hop.
    fn close(&mut self, emit: &mut impl FnMut(Hottest)) {
        if let Some(counts) = self.hops.back() {
            for (auction, bids) in counts {
                *self.total.entry(*auction).or_insert(0) += bids;
            }
        }
        let hottest = self.total.iter().max_by_key(|(auction, bids)| (**bids, Reverse(**auction)));
        self.latest += 1;
        if let Some((auction, bids)) = hottest {
            emit((self.latest * HOP_MS, *auction, *bids));
        }
        if self.hops.len() == HOPS {
            for (auction, bids) in self.hops.pop_front().unwrap_or_default() {
                if let hashbrown::hash_map::Entry::Occupied(mut total) = self.total.entry(auction) {
                    *total.get_mut() -= bids;
                    if *total.get() == 0 {
                        total.remove();
                    }
                }
            }
        }
    }

    /// There are no more bids: closes all windows.
    fn end(&mut self, emit: &mut impl FnMut(Hottest)) {
        for _ in 0..HOPS {
            self.close(emit);
            self.hops.push_back(Counts::default());
        }
    }
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
                let route = Exchange::new(|bid: &Bid| hash(bid.0) >> 24);
                let hottest = bids.unary_frontier(route, "hottest", |capability, _| {
                    let (mut windows, mut held) = (Windows::default(), Some(capability));
                    move |(input, frontier), output| {
                        input.for_each(|time, bids| {
                            let mut session = output.session(&time);
                            for bid in bids.drain(..) {
                                windows.take(bid, &mut |found| session.give(found));
                            }
                        });
                        if frontier.is_empty()
                            && let Some(held) = held.take()
                        {
                            let mut session = output.session(&held);
                            windows.end(&mut |found| session.give(found));
                        }
                    }
                });
                hottest.container::<Vec<_>>().inspect(move |found| update(sums.sum(), *found));
            });
        });
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let (mut sum, mut windows) = (Sum::default(), Windows::default());
        for bid in events.iter().copied().filter_map(bid) {
            windows.take(bid, &mut |found| update(&mut sum, found));
        }
        windows.end(&mut |found| update(&mut sum, found));
        sum
    })
}
