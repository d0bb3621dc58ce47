//! Query 3: who sells things of one category in three states. People and auctions meet as they come, in any order.

use flow_runtime::io::{Sink, Source};
use flow_runtime::prelude::*;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use renoir::BatchMode;
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::{Map, ToStream};
use timely::dataflow::operators::{Inspect, Operator};

use super::events::{CALIFORNIA, Event, IDAHO, OREGON, events, share};
use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::side::hand::{Mesh, owner};
use crate::tally::{Sum, Whole};
use crate::works::keyed::hash;
use crate::works::{Side, Work};

/// The work.
pub const Q3: Work = Work::new(
    "nexmark_q3",
    &[
        Side::new("hand", by_hand),
        Side::new("flow", on_flow),
        Side::new("timely", on_timely),
        Side::new("renoir", on_renoir),
    ],
);

const CATEGORY: u32 = 10;

/// What the query says of a person.
#[stateful]
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Seller {
    name: u32,
    city: u32,
    state: u32,
}

/// One side of the join.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Half {
    /// A person of this number.
    Seller(u64, Seller),
    /// Somebody's auction.
    Auction { seller: u64, id: u64 },
}

impl Half {
    #[inline(always)]
    fn person(&self) -> u64 {
        match *self {
            Half::Seller(id, _) => id,
            Half::Auction { seller, .. } => seller,
        }
    }
}

#[filter_map]
#[inline(always)]
fn half(event: Event) -> Option<Half> {
    match event {
        Event::Person(person) if matches!(person.state, OREGON | IDAHO | CALIFORNIA) => {
            let seller = Seller { name: person.name, city: person.city, state: person.state };
            Some(Half::Seller(person.id, seller))
        }
        Event::Auction(auction) if auction.category == CATEGORY => {
            Some(Half::Auction { seller: auction.seller, id: auction.id })
        }
        _ => None,
    }
}

/// A person, and the auctions that came before.
#[stateful]
#[derive(Clone, Default)]
struct Meeting {
    seller: Option<Seller>,
    auctions: Vec<u64>,
}

/// Seller and auction.
type Pair = (Seller, u64);

#[stateful_flat_map]
fn meet(state: &mut Meeting, _person: &u64, half: Half) -> impl Iterator<Item = Pair> {
    let (mut seller, mut now, mut before) = (state.seller, None, Vec::new());
    match half {
        Half::Seller(_, new) => {
            state.seller = Some(new);
            seller = state.seller;
            before = std::mem::take(&mut state.auctions);
        }
        Half::Auction { id, .. } if seller.is_some() => now = Some(id),
        Half::Auction { id, .. } => state.auctions.push(id),
    }
    let auctions = now.into_iter().chain(before);
    auctions.filter_map(move |auction| seller.map(|seller| (seller, auction)))
}

#[dataflow]
fn q3<E, S>(events: E, out: S)
where
    E: Source<Item = Event>,
    S: Sink<Keyed<u64, Pair>>,
{
    let all = source(events);
    let halves = half(all);
    let by_person = key_by(halves, |half| half.person());
    let pairs = meet(by_person);
    sink(pairs, out);
}

/// What a pair adds to the checksum.
#[inline(always)]
fn update(sum: &mut Sum, (seller, auction): Pair) {
    let place = u64::from(seller.city).rotate_left(40) ^ u64::from(seller.state).rotate_left(52);
    sum.add(auction ^ u64::from(seller.name).rotate_left(24) ^ place);
}

fn on_flow(job: &Job) -> Outcome {
    let events = events(job);
    timed(events.len() as u64, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let source = Numbered::new(events.len() as u64, job.workers, |n| events[n as usize]);
        let out = for_each_keyed(move |_: &u64, pair: Pair| update(part.sum(), pair));
        side::flow::run(q3(source, out), job.workers);
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
                let halves = events.to_stream(scope).flat_map(half);
                let route = Exchange::new(|half: &Half| hash(half.person()) >> 24);
                let pairs = halves.unary(route, "meet", |_, _| {
                    let mut meetings = Meetings::default();
                    move |input, output| {
                        input.for_each(|time, halves| {
                            let mut session = output.session(&time);
                            for half in halves.drain(..) {
                                let meeting = meetings.entry(half.person()).or_default();
                                session.give_iterator(meet(meeting, &half.person(), half));
                            }
                        });
                    }
                });
                pairs.container::<Vec<_>>().inspect(move |pair| update(sums.sum(), *pair));
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
            let halves = all.batch_mode(BatchMode::fixed(1024)).filter_map(half);
            let mut meeting = Meeting::default();
            // Each key has a copy of the function, and so of what it keeps.
            let pairs = halves.group_by(Half::person).rich_flat_map(move |(person, half)| {
                meet(&mut meeting, person, half).collect::<Vec<_>>()
            });
            pairs.for_each(move |(_, pair)| update(sums.sum(), pair));
        });
        whole.sum()
    })
}

/// What the loop keeps.
type Meetings = HashMap<u64, Meeting, FixedState>;

fn by_hand(job: &Job) -> Outcome {
    let events = events(job);
    let work = |mut mesh: Mesh<Half>| {
        let (mut meetings, mut sum) = (Meetings::default(), Sum::default());
        let mut take = |half: Half| {
            let meeting = meetings.entry(half.person()).or_default();
            meet(meeting, &half.person(), half).for_each(|pair| update(&mut sum, pair));
        };
        for half in share(events, mesh.me(), mesh.threads()).iter().copied().filter_map(half) {
            mesh.give(owner(hash(half.person()), job.workers), half, &mut take);
        }
        mesh.finish(&mut take);
        sum
    };
    timed(events.len() as u64, || side::hand::exchanging(job.workers, work))
}
