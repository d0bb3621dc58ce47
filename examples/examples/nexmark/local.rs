//! q3: what people in Oregon, Idaho and California sell in category 10.
//!
//! A row is a person and an auction of theirs, whichever comes first and however long the other takes.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `name`, `city`, `state` | text | of the person who sells |
//! | `auction` | u64 | the auction |

use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::events::{Auction, Event, Person};

/// A row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Suggestion {
    name: String,
    city: String,
    state: String,
    auction: u64,
}

/// A seller, as far as is known.
#[stateful]
#[derive(Default)]
pub(crate) struct Local {
    person: Option<Address>,
    /// Auctions from before the person was there.
    waiting: Vec<u64>,
}

#[stateful]
#[derive(Clone)]
struct Address {
    name: String,
    city: String,
    state: String,
}

impl Address {
    fn suggests(&self, auction: u64) -> Suggestion {
        let Address { name, city, state } = self.clone();
        Suggestion { name, city, state, auction }
    }
}

#[filter]
fn is_local(person: &Person) -> bool {
    ["or", "id", "ca"].contains(&person.state.as_str())
}

#[filter]
fn is_in_category_10(auction: &Auction) -> bool {
    auction.category == 10
}

#[stateful_flat_map]
fn suggest(local: &mut Local, _id: &u64, either: Either<Person, Auction>) -> Vec<Suggestion> {
    match either {
        Either::Left(Person { name, city, state, .. }) => {
            let address = local.person.insert(Address { name, city, state });
            local.waiting.drain(..).map(|auction| address.suggests(auction)).collect()
        }
        Either::Right(auction) => match &local.person {
            Some(address) => vec![address.suggests(auction.id)],
            None => {
                local.waiting.push(auction.id);
                Vec::new()
            }
        },
    }
}

/// Local item suggestion.
#[dataflow]
pub(crate) fn q3<E: Source<Item = Event>, O: Sink<Stream<Suggestion>>>(events: E, out: O) {
    let all = source(events);
    let Event { person: persons, auction: auctions, bid: bids } = branch(all);
    discard(bids, "of no interest here");
    let locals = is_local(persons);
    let offered = is_in_category_10(auctions);
    let by_id = key_by(locals, |person| person.id);
    let by_seller = key_by(offered, |auction| auction.seller);
    let either = connect(by_id, by_seller);
    let suggestions = suggest(either);
    let rows = values(suggestions);
    sink(rows, out);
}
