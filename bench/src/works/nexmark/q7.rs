//! Query 7: the highest bid of every ten seconds. Windows are aligned to the epoch; the highest price is what counts, so there are no ties.

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::vec::{Map, ToStream};
use timely::dataflow::operators::{Inspect, Operator};

use super::events::{Bid, Event, events, share};
use super::{bid, event_time_of};
use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::{Sum, Whole};
use crate::works::{Side, Work};

/// The work. With one worker only: the loop reads events in the order of time, and so does timely's operator. renoir's windows are not aligned
/// and so give another answer.
pub const Q7: Work = Work {
    workers: Some(1),
    ..Work::new(
        "nexmark_q7",
        &[Side::new("hand", by_hand), Side::new("flow", on_flow), Side::new("timely", on_timely)],
    )
};

const SIZE_MS: u64 = 10_000;

#[dataflow]
fn q7<E, S>(events: E, out: S)
where
    E: Source<Item = Event>,
    S: Sink<Stream<(u64, u64)>>,
{
    let all = source(events);
    let timed = event_time(all, event_time_of, Disorder::none());
    let bids = bid(timed);
    let ten_seconds = Tumbling::of(std::time::Duration::from_millis(SIZE_MS));
    let (highest, late) = window_all(bids, ten_seconds, aggregate::max(|bid: &Bid| bid.price));
    fail(late);
    let rows = map(highest, |window| (window.start.0 as u64 / 1000, window.value));
    sink(rows, out);
}

/// What a window adds to the checksum.
#[inline(always)]
fn update(sum: &mut Sum, (start_ms, price): (u64, u64)) {
    sum.add(start_ms.rotate_left(32) ^ price);
}

fn on_flow(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let source = Numbered::new(events.len() as u64, job.workers, |n| events[n as usize]);
        let out = for_each(move |found: (u64, u64)| update(part.sum(), found));
        side::flow::run(q7(source, out), job.workers);
        whole.sum()
    })
}

/// The highest bid so far of the window that is open.
struct Highest {
    start_ms: u64,
    price: u64,
}

impl Highest {
    /// Takes a bid, and answers with the window that it closes.
    #[inline(always)]
    fn take(&mut self, bid: &Bid) -> Option<(u64, u64)> {
        if bid.time_ms < self.start_ms + SIZE_MS {
            self.price = self.price.max(bid.price);
            return None;
        }
        let before = (self.start_ms, self.price);
        *self = Highest { start_ms: bid.time_ms - bid.time_ms % SIZE_MS, price: bid.price };
        Some(before).filter(|(start_ms, _)| *start_ms > 0)
    }
}

const NOTHING: Highest = Highest { start_ms: 0, price: 0 };

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
                let windows = bids.unary_frontier(Pipeline, "highest", |capability, _| {
                    let (mut open, mut held) = (NOTHING, Some(capability));
                    move |(input, frontier), output| {
                        input.for_each(|time, bids| {
                            let mut session = output.session(&time);
                            for bid in bids.drain(..) {
                                session.give_iterator(open.take(&bid).into_iter());
                            }
                        });
                        if frontier.is_empty()
                            && let Some(held) = held.take()
                        {
                            output.session(&held).give((open.start_ms, open.price));
                        }
                    }
                });
                windows.container::<Vec<_>>().inspect(move |found| update(sums.sum(), *found));
            });
        });
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let (mut sum, mut open) = (Sum::default(), NOTHING);
        for bid in events.iter().copied().filter_map(bid) {
            if let Some(found) = open.take(&bid) {
                update(&mut sum, found);
            }
        }
        update(&mut sum, (open.start_ms, open.price));
        sum
    })
}
