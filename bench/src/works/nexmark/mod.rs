//! Queries of the Nexmark benchmark over ten million events: auctions, bids on them, and the people who do both.

mod events;
mod q1;
mod q2;
mod q3;
mod q5;
mod q7;
mod q8;

pub use q1::Q1;
pub use q2::Q2;
pub use q3::Q3;
pub use q5::Q5;
pub use q7::Q7;
pub use q8::Q8;

use events::{Bid, Event};
use flow_runtime::time::Timestamp;

/// When an event happened.
#[inline(always)]
fn event_time_of(event: &Event) -> Timestamp {
    let ms = match event {
        Event::Person(person) => person.time_ms,
        Event::Auction(auction) => auction.time_ms,
        Event::Bid(bid) => bid.time_ms,
    };
    Timestamp::from_millis(ms as i64)
}

/// The bids among the events.
#[flow_runtime::filter_map]
#[inline(always)]
fn bid(event: Event) -> Option<Bid> {
    match event {
        Event::Bid(bid) => Some(bid),
        _ => None,
    }
}
