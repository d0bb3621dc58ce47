//! The events: those of the crate `nexmark`, as a source that can go on at any of them.
//!
//! Event number `n` depends on `n` and the settings only. So each partition reads every so manieth event, and its position is a number.

use std::time::Duration;

use flow_runtime::Error;
use flow_runtime::io::{
    Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay::Replayable,
};
use flow_runtime::prelude::*;
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;
use nexmark::event::Event as Made;
use serde::{Deserialize, Serialize};

/// The time of the first event, 2023-11-14 22:13:23.5 UTC: no window begins there.
const FIRST_MS: u64 = 1_700_000_003_500;

/// So many events in a row come in an order of chance.
const GROUP: usize = 100;

/// The partitions that the events are dealt to, whatever the number of workers.
const PARTITIONS: u64 = 4;

/// An event.
#[derive(Branch, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Somebody has joined.
    Person(Person),
    /// Something is offered.
    Auction(Auction),
    /// Somebody bids.
    Bid(Bid),
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) city: String,
    /// Two letters, in lower case.
    pub(crate) state: String,
    /// When they joined.
    pub(crate) time_ms: u64,
}

/// An auction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Auction {
    pub(crate) id: u64,
    /// The person who sells.
    pub(crate) seller: u64,
    pub(crate) category: u64,
    /// When it begins.
    pub(crate) time_ms: u64,
    /// The last moment at which a bid counts.
    pub(crate) expires_ms: u64,
}

/// A bid.
#[stateful]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bid {
    pub(crate) auction: u64,
    /// The person who bids.
    pub(crate) bidder: u64,
    /// In cents.
    pub(crate) price: u64,
    /// When.
    pub(crate) time_ms: u64,
}

impl Event {
    /// When it happened, in milliseconds since 1970.
    pub(crate) fn time_ms(&self) -> u64 {
        match self {
            Event::Person(person) => person.time_ms,
            Event::Auction(auction) => auction.time_ms,
            Event::Bid(bid) => bid.time_ms,
        }
    }

    /// When it happened.
    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.time_ms() as i64)
    }
}

impl From<Made> for Event {
    fn from(made: Made) -> Event {
        match made {
            Made::Person(person) => Event::Person(Person {
                id: person.id as u64,
                name: person.name,
                city: person.city,
                state: person.state,
                time_ms: person.date_time,
            }),
            Made::Auction(auction) => Event::Auction(Auction {
                id: auction.id as u64,
                seller: auction.seller as u64,
                category: auction.category as u64,
                time_ms: auction.date_time,
                expires_ms: auction.expires,
            }),
            Made::Bid(bid) => Event::Bid(Bid {
                auction: bid.auction as u64,
                bidder: bid.bidder as u64,
                price: bid.price as u64,
                time_ms: bid.date_time,
            }),
        }
    }
}

/// Which events there are. As a source it has four partitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events {
    count: u64,
    seed: u64,
    per_second: u64,
}

impl Events {
    /// The most events: the generator reckons times in floats, which hold every whole number up to here.
    pub(crate) const MOST: u64 = 1 << 24;
    /// The largest seed.
    pub(crate) const LAST_SEED: u64 = 1_000_000;
    /// The most events in a second.
    pub(crate) const FASTEST: u64 = 1_000_000;

    /// So many events, up to [`Events::MOST`], of which so many happen in a second of event time.
    ///
    /// The generator makes one endless series and has no seed: the seed, up to [`Events::LAST_SEED`], says where in the series to begin. Persons
    /// and auctions from before are not there, though some bids are for such auctions.
    pub(crate) fn new(count: u64, seed: u64, per_second: u64) -> Events {
        Events { count, seed, per_second }
    }

    /// How far out of order the events of a partition come.
    pub(crate) fn disorder(&self) -> Disorder {
        // The span of a group, and more than enough for times that are reckoned in floats.
        let group = Duration::from_secs(GROUP as u64) / self.per_second as u32;
        Disorder::bounded(group + Duration::from_secs(1))
    }

    /// Makes the events, and goes on behind the last, in the order in which they come if one reads all partitions in turn.
    pub(crate) fn generator(&self) -> EventGenerator {
        let per_second = self.per_second as usize;
        EventGenerator::new(NexmarkConfig {
            base_time: FIRST_MS,
            first_rate: per_second,
            next_rate: per_second,
            out_of_order_group_size: GROUP,
            // A multiple of the events after which kinds of events come round again, and more than a run may have.
            first_event_id: self.seed as usize * 1_000_000_000,
            // No filler: it would only be made to be dropped.
            avg_person_byte_size: 0,
            avg_auction_byte_size: 0,
            avg_bid_byte_size: 0,
            ..NexmarkConfig::default()
        })
    }
}

impl Source for Events {
    type Item = Event;
    /// The number of the next event.
    type Position = u64;
    type Reader = EventReader;
    type Replay = Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok((0..PARTITIONS).map(|first| PartitionId::new(first.to_string())).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<EventReader, Error> {
        let first = (0..PARTITIONS).find(|first| first.to_string() == partition.as_str());
        let next = match resume {
            Resume::Fresh => first.expect("it is one of those that were listed"),
            Resume::At { position, .. } => position,
        };
        let generator = self.generator().with_step(PARTITIONS).with_offset(next);
        Ok(EventReader { generator, end: self.count })
    }
}

/// Reads one partition of [`Events`].
#[derive(Debug)]
pub(crate) struct EventReader {
    generator: EventGenerator,
    end: u64,
}

impl Reader for EventReader {
    type Item = Event;
    type Position = u64;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(Event)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            if self.generator.offset() >= self.end {
                return Ok(Poll::End);
            }
            if let Some(event) = self.generator.next() {
                emit(event.into());
            }
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> u64 {
        self.generator.offset()
    }
}
