//! q0, q1, q2: one bid at a time.
//!
//! | query | column | type | meaning |
//! |---|---|---|---|
//! | q0, every bid as it is | `auction` | u64 | what the bid is for |
//! | | `bidder` | u64 | who bids |
//! | | `price` | u64 | in cents |
//! | | `time_ms` | u64 | when, in milliseconds since 1970 |
//! | q1, every bid in euros | `auction`, `bidder` | u64 | as above |
//! | | `price` | u64 | in euro cents at 0.908 to the dollar, rounded down |
//! | | `time_ms` | u64 | as above |
//! | q2, bids for auctions whose number is a multiple of 123 | `auction`, `price` | u64 | as above |

use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::events::{Bid, Event};

#[filter_map]
pub(super) fn bid(event: Event) -> Option<Bid> {
    match event {
        Event::Bid(bid) => Some(bid),
        _ => None,
    }
}

#[map]
fn in_euros(bid: Bid) -> Bid {
    Bid { price: bid.price * 908 / 1000, ..bid }
}

/// A row of q2.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Selected {
    auction: u64,
    price: u64,
}

#[filter_map]
fn select(bid: Bid) -> Option<Selected> {
    let Bid { auction, price, .. } = bid;
    auction.is_multiple_of(123).then_some(Selected { auction, price })
}

/// Pass through.
#[dataflow]
pub(crate) fn q0<E: Source<Item = Event>, O: Sink<Stream<Bid>>>(events: E, out: O) {
    let all = source(events);
    let bids = bid(all);
    sink(bids, out);
}

/// Currency conversion.
#[dataflow]
pub(crate) fn q1<E: Source<Item = Event>, O: Sink<Stream<Bid>>>(events: E, out: O) {
    let all = source(events);
    let bids = bid(all);
    let converted = in_euros(bids);
    sink(converted, out);
}

/// Selection.
#[dataflow]
pub(crate) fn q2<E: Source<Item = Event>, O: Sink<Stream<Selected>>>(events: E, out: O) {
    let all = source(events);
    let bids = bid(all);
    let selected = select(bids);
    sink(selected, out);
}
