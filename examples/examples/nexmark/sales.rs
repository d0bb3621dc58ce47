//! q4 and q6: what auctions come to.
//!
//! The price of an auction is the highest bid from its beginning up to the moment at which it expires, both included. An auction without such a bid
//! has no price and counts for nothing.
//!
//! | query | column | type | meaning |
//! |---|---|---|---|
//! | q4, prices by category, over all auctions | `category` | u64 | the category |
//! | | `auctions` | u64 | how many were sold |
//! | | `average` | u64 | their mean price in cents, rounded down |
//! | q6, prices by seller, a row for each auction | `seller` | u64 | who has sold |
//! | | `auction` | u64 | which auction, in the order in which the seller's expire, and of their numbers |
//! | | `expires_ms` | u64 | when it expired, in milliseconds since 1970 |
//! | | `average` | u64 | the mean price in cents, rounded down, of this auction and the nine before it |
//!
//! The rows of q4 come once all events have: at `--finish`, or without a recovery log at the end of the events.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use super::events::{Auction, Bid, Event};

/// When the watermark is so much behind a time, all that has happened up to that time has come.
const TICK: Duration = Duration::from_micros(1);

/// An auction that has ended with a price.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sale {
    auction: u64,
    seller: u64,
    category: u64,
    price: u64,
    expires_ms: u64,
}

/// Finds the price of each auction.
struct Auctioneer;

/// An auction, and the bids for it.
#[stateful]
enum Lot {
    /// Bids came before the auction did.
    Expected { bids: Vec<Offer> },
    /// The auction runs.
    Open { terms: Terms, best: Option<u64> },
}

#[stateful]
struct Offer {
    price: u64,
    time_ms: u64,
}

#[stateful]
struct Terms {
    seller: u64,
    category: u64,
    begins_ms: u64,
    expires_ms: u64,
}

impl Terms {
    fn allows(&self, bid: &Offer) -> bool {
        (self.begins_ms..=self.expires_ms).contains(&bid.time_ms)
    }
}

impl Process for Auctioneer {
    /// The number of an auction.
    type Key = u64;
    type In = Either<Auction, Bid>;
    type Out = Sale;
    type State = Lot;
    /// The auction is over; or it has not come, and bids up to now cannot be for one that comes yet.
    type Timer = ();

    fn on_item(
        &self,
        lot: &mut Option<Lot>,
        either: Either<Auction, Bid>,
        cx: &mut ProcessContext<'_, Self>,
    ) {
        match either {
            Either::Left(auction) => {
                let Auction { seller, category, time_ms: begins_ms, expires_ms, .. } = auction;
                let terms = Terms { seller, category, begins_ms, expires_ms };
                let bids = match lot.take() {
                    Some(Lot::Expected { bids }) => bids,
                    _ => Vec::new(),
                };
                let valid = bids.iter().filter(|bid| terms.allows(bid));
                let best = valid.map(|bid| bid.price).max();
                *lot = Some(Lot::Open { terms, best });
                cx.set_timer(Timestamp::from_millis(expires_ms as i64).after(TICK), ());
            }
            Either::Right(Bid { price, time_ms, .. }) => {
                let bid = Offer { price, time_ms };
                match lot.get_or_insert_with(|| Lot::Expected { bids: Vec::new() }) {
                    Lot::Expected { bids } => {
                        bids.push(bid);
                        let behind = cx.time().after(TICK);
                        cx.set_timer(cx.timer(&()).map_or(behind, |set| set.max(behind)), ());
                    }
                    Lot::Open { terms, best } if terms.allows(&bid) => {
                        *best = (*best).max(Some(price));
                    }
                    Lot::Open { .. } => {}
                }
            }
        }
    }

    fn on_timer(&self, lot: &mut Option<Lot>, _: (), cx: &mut ProcessContext<'_, Self>) {
        if let Some(Lot::Open { terms, best: Some(price) }) = lot.take() {
            let Terms { seller, category, expires_ms, .. } = terms;
            cx.emit(Sale { auction: *cx.key(), seller, category, price, expires_ms });
        }
    }
}

/// The auctions that have a price, each once it has expired.
#[dataflow]
fn sold(events: Stream<Event>) -> Stream<Sale> {
    let Event { person: persons, auction: auctions, bid: bids } = branch(events);
    discard(persons, "of no interest here");
    let by_number = key_by(auctions, |auction| auction.id);
    let by_auction = key_by(bids, |bid| bid.auction);
    let lots = connect(by_number, by_auction);
    let priced = process(lots, Auctioneer);
    let sales = values(priced);
    sales
}

/// A row of q4.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CategoryPrice {
    category: u64,
    auctions: u64,
    average: u64,
}

#[map]
fn category_price((category, (auctions, cents)): (u64, (u64, u64))) -> CategoryPrice {
    CategoryPrice { category, auctions, average: cents / auctions }
}

/// Average price for a category.
#[dataflow]
pub(crate) fn q4<E: Source<Item = Event>, O: Sink<Stream<CategoryPrice>>>(
    events: E,
    disorder: Disorder,
    out: O,
) {
    let all = source(events);
    let timed = event_time(all, |event| event.at(), disorder);
    let sales = sold(timed);
    let by_category = key_by(sales, |sale| sale.category);
    let prices = (aggregate::count(), aggregate::sum(|sale: &Sale| sale.price));
    let totals = total(by_category, prices);
    let each = entries(totals);
    let rows = category_price(each);
    sink(rows, out);
}

/// Follows the prices of each seller.
struct LastTen;

/// What a seller has sold.
#[stateful]
#[derive(Default)]
struct Sold {
    /// By when they expired and by number: sales that others may come before, with their prices.
    coming: BTreeMap<(u64, u64), u64>,
    /// The prices of the last sales in order, at most ten.
    last: VecDeque<u64>,
}

/// A row of q6.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SellerPrice {
    seller: u64,
    auction: u64,
    expires_ms: u64,
    average: u64,
}

impl Process for LastTen {
    /// The number of a seller.
    type Key = u64;
    type In = Sale;
    type Out = SellerPrice;
    type State = Sold;
    /// The sales that expired so are all there. In milliseconds.
    type Timer = u64;

    fn on_item(&self, sold: &mut Option<Sold>, sale: Sale, cx: &mut ProcessContext<'_, Self>) {
        let Sale { auction, price, expires_ms, .. } = sale;
        sold.get_or_insert_default().coming.insert((expires_ms, auction), price);
        cx.set_timer(cx.time().after(TICK), expires_ms);
    }

    fn on_timer(
        &self,
        sold: &mut Option<Sold>,
        expires_ms: u64,
        cx: &mut ProcessContext<'_, Self>,
    ) {
        let Some(Sold { coming, last }) = sold else { return };
        let later = coming.split_off(&(expires_ms + 1, 0));
        for ((expires_ms, auction), price) in std::mem::replace(coming, later) {
            last.push_back(price);
            if last.len() > 10 {
                last.pop_front();
            }
            let average = last.iter().sum::<u64>() / last.len() as u64;
            cx.emit(SellerPrice { seller: *cx.key(), auction, expires_ms, average });
        }
    }
}

/// Average selling price by seller.
#[dataflow]
pub(crate) fn q6<E: Source<Item = Event>, O: Sink<Stream<SellerPrice>>>(
    events: E,
    disorder: Disorder,
    out: O,
) {
    let all = source(events);
    let timed = event_time(all, |event| event.at(), disorder);
    let sales = sold(timed);
    let by_seller = key_by(sales, |sale| sale.seller);
    let prices = process(by_seller, LastTen);
    let rows = values(prices);
    sink(rows, out);
}
