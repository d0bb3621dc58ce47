//! All events as lines of JSON, for another engine.
//!
//! Each line is an object with the event's fields, and `kind`: `person`, `auction` or `bid`. Times are in milliseconds since 1970.

use flow_runtime::io::JsonLinesFile;
use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::events::{Auction, Bid, Event, Person};

/// An event as it is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Person(Person),
    Auction(Auction),
    Bid(Bid),
}

#[map]
fn line(event: Event) -> Line {
    match event {
        Event::Person(person) => Line::Person(person),
        Event::Auction(auction) => Line::Auction(auction),
        Event::Bid(bid) => Line::Bid(bid),
    }
}

#[dataflow]
pub(crate) fn dump<E: Source<Item = Event>>(events: E, out: JsonLinesFile) {
    let all = source(events);
    let lines = line(all);
    sink(lines, out);
}
