//! q8, q11 and q12: what users do.
//!
//! | query | column | type | meaning |
//! |---|---|---|---|
//! | q8, people who offer something in the ten seconds in which they join | `person` | u64 | who |
//! | | `name` | text | their name |
//! | | `start_ms` | u64 | when these ten seconds begin, in milliseconds since 1970 |
//! | | `auctions` | u64 | how many auctions of theirs begin in them |
//! | q11, bids by session | `bidder` | u64 | who bids |
//! | | `start_ms` | u64 | when the first bid of the session was made |
//! | | `end_ms` | u64 | ten seconds after its last one |
//! | | `bids` | u64 | how many bids it has |
//! | q12, bids by processing time | `bidder` | u64 | who bids |
//! | | `start_ms` | u64 | when the ten seconds begin in which the bids were read |
//! | | `bids` | u64 | how many there were |
//!
//! The windows of q8 and q12 begin at multiples of ten seconds since 1970-01-01 00:00 UTC. A session of q11 goes on as long as each bid comes less than
//! ten seconds after the one before.
//!
//! **The rows of q12 depend on how fast the events are read.** That each bid is counted once is all that two runs have in common.

use std::time::Duration;

use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::events::{Auction, Event, Person};
use super::ms;
use super::stateless::bid;

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// What is known of a user in a window.
#[stateful]
#[derive(Clone)]
struct Seen {
    /// The name of one who has joined.
    joined: Option<String>,
    auctions: u64,
}

/// A row of q8.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NewUser {
    person: u64,
    name: String,
    start_ms: u64,
    auctions: u64,
}

#[filter_map]
fn new_user((person, window): (u64, Windowed<Seen>)) -> Option<NewUser> {
    let Seen { joined, auctions } = window.value;
    let name = joined.filter(|_| auctions > 0)?;
    Some(NewUser { person, name, start_ms: ms(window.start), auctions })
}

/// Monitor new users.
#[dataflow]
pub(crate) fn q8<E: Source<Item = Event>, O: Sink<Stream<NewUser>>>(
    events: E,
    disorder: Disorder,
    out: O,
) {
    let all = source(events);
    let timed = event_time(all, |event| event.at(), disorder);
    let Event { person: persons, auction: auctions, bid: bids } = branch(timed);
    discard(bids, "of no interest here");
    let by_id = key_by(persons, |person| person.id);
    let by_seller = key_by(auctions, |auction| auction.seller);
    let either = connect(by_id, by_seller);
    let seen = aggregate::fold(
        Seen { joined: None, auctions: 0 },
        |seen: &mut Seen, either: Either<Person, Auction>| match either {
            Either::Left(person) => seen.joined = Some(person.name),
            Either::Right(_) => seen.auctions += 1,
        },
        |seen: &mut Seen, later: &Seen| {
            seen.joined = seen.joined.take().or_else(|| later.joined.clone());
            seen.auctions += later.auctions;
        },
    );
    let (users, late) = window(either, Tumbling::of(TEN_SECONDS), seen);
    fail(late);
    let each = entries(users);
    let rows = new_user(each);
    sink(rows, out);
}

/// A row of q11.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Burst {
    bidder: u64,
    start_ms: u64,
    end_ms: u64,
    bids: u64,
}

#[map]
fn burst((bidder, session): (u64, Windowed<u64>)) -> Burst {
    Burst { bidder, start_ms: ms(session.start), end_ms: ms(session.end), bids: session.value }
}

/// User sessions.
#[dataflow]
pub(crate) fn q11<E: Source<Item = Event>, O: Sink<Stream<Burst>>>(
    events: E,
    disorder: Disorder,
    out: O,
) {
    let all = source(events);
    let timed = event_time(all, |event| event.at(), disorder);
    let bids = bid(timed);
    let by_bidder = key_by(bids, |bid| bid.bidder);
    let (sessions, late) = window(by_bidder, Session::gap(TEN_SECONDS), aggregate::count());
    fail(late);
    let each = entries(sessions);
    let rows = burst(each);
    sink(rows, out);
}

/// Counts the bids of a user in each ten seconds of processing time.
struct Pace;

/// The bids of a user in the present ten seconds.
#[stateful]
struct Recent {
    start_ms: u64,
    bids: u64,
}

/// A row of q12.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Paced {
    bidder: u64,
    start_ms: u64,
    bids: u64,
}

impl Pace {
    fn close(recent: &mut Option<Recent>, cx: &mut ProcessContext<'_, Self>) {
        if let Some(Recent { start_ms, bids }) = recent.take() {
            cx.emit(Paced { bidder: *cx.key(), start_ms, bids });
        }
    }
}

impl Process for Pace {
    /// The number of a user.
    type Key = u64;
    /// A bid, of which it is enough that it is there.
    type In = ();
    type Out = Paced;
    type State = Recent;
    /// The ten seconds are over; or all is.
    type Timer = ();

    fn on_item(&self, recent: &mut Option<Recent>, _: (), cx: &mut ProcessContext<'_, Self>) {
        let start_ms = ms(cx.now()) / 10_000 * 10_000;
        // The timer may not have fired yet.
        if recent.as_ref().is_some_and(|recent| recent.start_ms != start_ms) {
            Pace::close(recent, cx);
        }
        if recent.is_none() {
            *recent = Some(Recent { start_ms, bids: 0 });
            let end = Timestamp::from_millis(start_ms as i64).after(TEN_SECONDS);
            cx.set_processing_timer(end, ());
            // Processing time has no end, and events have: then the last ten seconds are cut short.
            cx.set_timer(Timestamp::MAX, ());
        }
        if let Some(recent) = recent {
            recent.bids += 1;
        }
    }

    fn on_timer(&self, recent: &mut Option<Recent>, _: (), cx: &mut ProcessContext<'_, Self>) {
        Pace::close(recent, cx);
    }
}

/// Processing time windows.
#[dataflow]
pub(crate) fn q12<E: Source<Item = Event>, O: Sink<Stream<Paced>>>(
    events: E,
    disorder: Disorder,
    out: O,
) {
    let all = source(events);
    let timed = event_time(all, |event| event.at(), disorder);
    let bids = bid(timed);
    let by_bidder = key_by(bids, |bid| bid.bidder);
    let ticks = map(by_bidder, |_| ());
    let paces = process(ticks, Pace);
    let rows = values(paces);
    sink(rows, out);
}
