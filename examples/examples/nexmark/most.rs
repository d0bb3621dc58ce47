//! q5 and q7: what there is most of in a window, with all that have as much.
//!
//! Windows begin at multiples of their distance since 1970-01-01 00:00 UTC: those of q5 are of ten seconds and begin every two, those of q7 are of ten
//! seconds, one behind the other. What happens when a window ends belongs to the next one. A window without a bid has no rows.
//!
//! | query | column | type | meaning |
//! |---|---|---|---|
//! | q5, the auctions with the most bids | `start_ms`, `end_ms` | u64 | the window, in milliseconds since 1970 |
//! | | `auction` | u64 | one of the auctions with the most bids |
//! | | `bids` | u64 | how many that is |
//! | q7, the highest bids | `start_ms`, `end_ms` | u64 | the window |
//! | | `auction`, `bidder` | u64 | of one of the bids with the highest price |
//! | | `price` | u64 | that price, in cents |
//! | | `time_ms` | u64 | when it was bid, in milliseconds since 1970 |
//!
//! For q5 the bids of each auction are counted on all workers, and the counts of a window compared on the worker that the window is dealt to. For q7 each
//! worker finds the highest of the bids that it has read, and one the highest of these.

use std::cmp::Ordering;
use std::time::Duration;

use flow_runtime::prelude::*;
use flow_runtime::state::State;
use serde::{Deserialize, Serialize};

use super::events::{Bid, Event};
use super::ms;
use super::stateless::bid;

const HOP: Duration = Duration::from_secs(2);
const TEN_SECONDS: Duration = Duration::from_secs(10);

/// What can be more or less.
trait Amount: State + Clone {
    fn amount(&self) -> u64;
}

/// Of what `part` takes from each item: those with the largest amount.
fn most<A: 'static, T: Amount>(part: fn(A) -> T) -> impl Aggregate<A, Out = Vec<T>> {
    let put = |most: &mut Vec<T>, item: T| {
        let before = most.first().map(Amount::amount);
        match before.map_or(Ordering::Greater, |before| item.amount().cmp(&before)) {
            Ordering::Less => {}
            Ordering::Equal => most.push(item),
            Ordering::Greater => *most = vec![item],
        }
    };
    let add = move |most: &mut Vec<T>, item: A| put(most, part(item));
    let merge = move |most: &mut Vec<T>, other: &Vec<T>| {
        other.iter().for_each(|item| put(most, item.clone()));
    };
    aggregate::fold(Vec::new(), add, merge)
}

/// A row of q5.
#[stateful]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hot {
    start_ms: u64,
    end_ms: u64,
    auction: u64,
    bids: u64,
}

impl Amount for Hot {
    fn amount(&self) -> u64 {
        self.bids
    }
}

#[map]
fn heat((auction, window): (u64, Windowed<u64>)) -> Windowed<Hot> {
    let (start_ms, end_ms) = (ms(window.start), ms(window.end));
    window.with(|bids| Hot { start_ms, end_ms, auction, bids })
}

/// Hot items.
#[dataflow]
pub(crate) fn q5<E: Source<Item = Event>, O: Sink<Stream<Hot>>>(
    events: E,
    disorder: Disorder,
    out: O,
) {
    let all = source(events);
    let timed = event_time(all, |event| event.at(), disorder);
    let bids = bid(timed);
    let by_auction = key_by(bids, |bid| bid.auction);
    let (counts, late) = window(by_auction, Hopping::of(TEN_SECONDS, HOP), aggregate::count());
    fail(late);
    let each = entries(counts);
    let heats = heat(each);
    let by_window = key_by(heats, |heat| heat.start);
    // Results have the last time of their window. Of the windows of two seconds there is one that ends when it does.
    let hottest = rollup(by_window, Tumbling::of(HOP), most(|heat: Windowed<Hot>| heat.value));
    let lists = values(hottest);
    let rows = flat_map(lists, |hottest| hottest.value);
    sink(rows, out);
}

/// A row of q7.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct High {
    start_ms: u64,
    end_ms: u64,
    bid: Bid,
}

impl Amount for Bid {
    fn amount(&self) -> u64 {
        self.price
    }
}

#[flat_map]
fn high(window: Windowed<Vec<Bid>>) -> impl Iterator<Item = High> {
    let (start_ms, end_ms) = (ms(window.start), ms(window.end));
    window.value.into_iter().map(move |bid| High { start_ms, end_ms, bid })
}

/// Highest bid.
#[dataflow]
pub(crate) fn q7<E: Source<Item = Event>, O: Sink<Stream<High>>>(
    events: E,
    disorder: Disorder,
    out: O,
) {
    let all = source(events);
    let timed = event_time(all, |event| event.at(), disorder);
    let bids = bid(timed);
    let (best, late) = window_all(bids, Tumbling::of(TEN_SECONDS), most(|bid: Bid| bid));
    fail(late);
    let rows = high(best);
    sink(rows, out);
}
