//! The queries as plain loops over all events. The rows come as sorted lines.

use std::collections::{BTreeMap, BTreeSet};

use crate::events::{Auction, Bid, Event, Person};

const TEN_SECONDS: u64 = 10_000;

/// The events by kind.
#[derive(Default)]
pub(crate) struct Reference {
    persons: Vec<Person>,
    auctions: Vec<Auction>,
    bids: Vec<Bid>,
}

/// An auction, and the highest of the bids for it that count.
struct Sale<'a> {
    auction: &'a Auction,
    price: u64,
}

/// The start of the ten seconds that a moment belongs to.
fn ten_seconds(time_ms: u64) -> u64 {
    time_ms - time_ms % TEN_SECONDS
}

fn mean(prices: &[u64]) -> u64 {
    prices.iter().sum::<u64>() / prices.len() as u64
}

impl Reference {
    pub(crate) fn of(events: impl Iterator<Item = Event>) -> Reference {
        let mut all = Reference::default();
        for event in events {
            match event {
                Event::Person(person) => all.persons.push(person),
                Event::Auction(auction) => all.auctions.push(auction),
                Event::Bid(bid) => all.bids.push(bid),
            }
        }
        all
    }

    /// What a query writes. Of q12 it is the bids of each bidder.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        let mut rows = match query {
            "q0" => self.bids.iter().map(|bid| line(bid, bid.price)).collect(),
            "q1" => self.bids.iter().map(|bid| line(bid, bid.price * 908 / 1000)).collect(),
            "q2" => self.q2(),
            "q3" => self.q3(),
            "q4" => self.q4(),
            "q5" => self.q5(),
            "q6" => self.q6(),
            "q7" => self.q7(),
            "q8" => self.q8(),
            "q11" => self.q11(),
            _ => self.q12(),
        };
        rows.sort_unstable();
        rows
    }

    fn q2(&self) -> Vec<String> {
        let selected = self.bids.iter().filter(|bid| bid.auction % 123 == 0);
        selected.map(|Bid { auction, price, .. }| format!("{auction},{price}")).collect()
    }

    fn q3(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for Person { id, name, city, state, .. } in &self.persons {
            for auction in &self.auctions {
                let is_local = state == "or" || state == "id" || state == "ca";
                if auction.seller == *id && auction.category == 10 && is_local {
                    rows.push(format!("{name},{city},{state},{}", auction.id));
                }
            }
        }
        rows
    }

    fn sales(&self) -> Vec<Sale<'_>> {
        let mut bids: BTreeMap<u64, Vec<&Bid>> = BTreeMap::new();
        self.bids.iter().for_each(|bid| bids.entry(bid.auction).or_default().push(bid));
        let sale = |auction: &'_ Auction| {
            let bids = bids.get(&auction.id).into_iter().flatten();
            let valid = bids
                .filter(|bid| auction.time_ms <= bid.time_ms && bid.time_ms <= auction.expires_ms);
            valid.map(|bid| bid.price).max()
        };
        let priced = |auction| Some(Sale { auction, price: sale(auction)? });
        self.auctions.iter().filter_map(priced).collect()
    }

    fn q4(&self) -> Vec<String> {
        let mut prices: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for sale in self.sales() {
            prices.entry(sale.auction.category).or_default().push(sale.price);
        }
        let row = |(category, prices): (&u64, &Vec<u64>)| {
            format!("{category},{},{}", prices.len(), mean(prices))
        };
        prices.iter().map(row).collect()
    }

    fn q5(&self) -> Vec<String> {
        let mut counts: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
        for bid in &self.bids {
            let mut start = bid.time_ms - bid.time_ms % 2_000;
            while start + TEN_SECONDS > bid.time_ms {
                *counts.entry(start).or_default().entry(bid.auction).or_default() += 1;
                start -= 2_000;
            }
        }
        let mut rows = Vec::new();
        for (start, auctions) in counts {
            let most = auctions.values().max().expect("a window has a bid");
            for (auction, bids) in auctions.iter().filter(|(_, bids)| *bids == most) {
                rows.push(format!("{start},{},{auction},{bids}", start + TEN_SECONDS));
            }
        }
        rows
    }

    fn q6(&self) -> Vec<String> {
        let mut sales = self.sales();
        sales.sort_by_key(|sale| (sale.auction.expires_ms, sale.auction.id));
        let mut prices: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let row = |Sale { auction, price }| {
            let Auction { id, seller, expires_ms, .. } = auction;
            let prices = prices.entry(*seller).or_default();
            prices.push(price);
            let last_ten = &prices[prices.len().saturating_sub(10)..];
            format!("{seller},{id},{expires_ms},{}", mean(last_ten))
        };
        sales.into_iter().map(row).collect()
    }

    fn q7(&self) -> Vec<String> {
        let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
        for bid in &self.bids {
            let price = highest.entry(ten_seconds(bid.time_ms)).or_default();
            *price = bid.price.max(*price);
        }
        let mut rows = Vec::new();
        for bid in &self.bids {
            let start = ten_seconds(bid.time_ms);
            if bid.price == highest[&start] {
                rows.push(format!("{start},{},{}", start + TEN_SECONDS, line(bid, bid.price)));
            }
        }
        rows
    }

    fn q8(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for Person { id, name, time_ms, .. } in &self.persons {
            let start = ten_seconds(*time_ms);
            let theirs = self.auctions.iter().filter(|auction| auction.seller == *id);
            match theirs.filter(|auction| ten_seconds(auction.time_ms) == start).count() {
                0 => {}
                auctions => rows.push(format!("{id},{name},{start},{auctions}")),
            }
        }
        rows
    }

    fn q11(&self) -> Vec<String> {
        let mut times: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        self.bids.iter().for_each(|bid| times.entry(bid.bidder).or_default().push(bid.time_ms));
        let mut rows = Vec::new();
        for (bidder, mut times) in times {
            times.sort_unstable();
            for session in times.chunk_by(|before, time| time - before < TEN_SECONDS) {
                let (first, last) = (session[0], session[session.len() - 1]);
                rows.push(format!("{bidder},{first},{},{}", last + TEN_SECONDS, session.len()));
            }
        }
        rows
    }

    fn q12(&self) -> Vec<String> {
        let bidders: BTreeSet<u64> = self.bids.iter().map(|bid| bid.bidder).collect();
        let bids = |bidder| self.bids.iter().filter(|bid| bid.bidder == bidder).count();
        bidders.into_iter().map(|bidder| format!("{bidder},{}", bids(bidder))).collect()
    }
}

/// A bid as q0 writes it, at this price.
fn line(bid: &Bid, price: u64) -> String {
    let Bid { auction, bidder, time_ms, .. } = bid;
    format!("{auction},{bidder},{price},{time_ms}")
}
