//! Query 8: who is new and offers something in the same ten seconds: all pairs of a person and an auction of theirs. Windows are aligned to
//! the epoch.

use std::time::Duration;

use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;
use flow_runtime::windows::Windowed;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
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
pub const Q8: Work = Work {
    workers: Some(1),
    ..Work::new(
        "nexmark_q8",
        &[Side::new("hand", by_hand), Side::new("flow", on_flow), Side::new("timely", on_timely)],
    )
};

const SIZE_MS: u64 = 10_000;

/// Somebody new, or somebody's auction.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Half {
    Person(u64),
    Auction { seller: u64, id: u64 },
}

impl Half {
    #[inline(always)]
    fn person(&self) -> u64 {
        match *self {
            Half::Person(id) => id,
            Half::Auction { seller, .. } => seller,
        }
    }
}

/// With the time, which the loop and timely need beside the item.
#[inline(always)]
fn half(event: Event) -> Option<(u64, Half)> {
    match event {
        Event::Person(person) => Some((person.time_ms, Half::Person(person.id))),
        Event::Auction(auction) => {
            Some((auction.time_ms, Half::Auction { seller: auction.seller, id: auction.id }))
        }
        Event::Bid(_) => None,
    }
}

#[filter_map]
#[inline(always)]
fn newcomer(event: Event) -> Option<u64> {
    match event {
        Event::Person(person) => Some(person.id),
        _ => None,
    }
}

/// Seller and auction.
#[filter_map]
#[inline(always)]
fn offer(event: Event) -> Option<(u64, u64)> {
    match event {
        Event::Auction(auction) => Some((auction.seller, auction.id)),
        _ => None,
    }
}

#[dataflow]
fn q8<E, S>(events: E, out: S)
where
    E: Source<Item = Event>,
    S: Sink<Keyed<u64, Windowed<(u64, (u64, u64))>>>,
{
    let all = source(events);
    let timed = event_time(all, event_time_of, Disorder::none());
    let people = newcomer(timed);
    let offers = offer(timed);
    let by_id = key_by(people, |id| *id);
    let by_seller = key_by(offers, |offer| offer.0);
    let ten_seconds = Tumbling::of(Duration::from_millis(SIZE_MS));
    let (pairs, alone, late) = window_join(by_id, by_seller, ten_seconds, Join::inner());
    discard(alone, "only who offers something counts");
    fail(late);
    sink(pairs, out);
}

/// What a pair adds to the checksum.
#[inline(always)]
fn update(sum: &mut Sum, person: u64, auction: u64) {
    sum.add(person.rotate_left(32) ^ auction);
}

fn on_flow(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let source = Numbered::new(events.len() as u64, job.workers, |n| events[n as usize]);
        let out = for_each_keyed(move |person: &u64, pair: Windowed<(u64, (u64, u64))>| {
            update(part.sum(), *person, pair.value.1.1);
        });
        side::flow::run(q8(source, out), job.workers);
        whole.sum()
    })
}

/// What has come of a person in the open window.
#[derive(Default)]
struct Meeting {
    is_new: bool,
    auctions: Vec<u64>,
}

/// The open window.
#[derive(Default)]
struct Open {
    start_ms: u64,
    meetings: HashMap<u64, Meeting, FixedState>,
}

impl Open {
    #[inline(always)]
    fn take(&mut self, (time_ms, half): (u64, Half), emit: &mut impl FnMut(u64, u64)) {
        if time_ms >= self.start_ms + SIZE_MS {
            self.meetings.clear();
            self.start_ms = time_ms - time_ms % SIZE_MS;
        }
        let meeting = self.meetings.entry(half.person()).or_default();
        match half {
            Half::Person(id) => {
                meeting.is_new = true;
                meeting.auctions.iter().for_each(|auction| emit(id, *auction));
            }
            Half::Auction { seller, id } => {
                meeting.auctions.push(id);
                if meeting.is_new {
                    emit(seller, id);
                }
            }
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
                let halves = events.to_stream(scope).flat_map(half);
                let route = Exchange::new(|half: &(u64, Half)| hash(half.1.person()) >> 24);
                let pairs = halves.unary(route, "meet", |_, _| {
                    let mut open = Open::default();
                    move |input, output| {
                        input.for_each(|time, halves| {
                            let mut session = output.session(&time);
                            for half in halves.drain(..) {
                                open.take(half, &mut |person, auction| {
                                    session.give((person, auction))
                                });
                            }
                        });
                    }
                });
                pairs.container::<Vec<_>>().inspect(move |(person, auction)| {
                    update(sums.sum(), *person, *auction);
                });
            });
        });
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let (mut sum, mut open) = (Sum::default(), Open::default());
        for half in events.iter().copied().filter_map(half) {
            open.take(half, &mut |person, auction| update(&mut sum, person, auction));
        }
        sum
    })
}
