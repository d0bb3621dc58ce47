//! The dataflow that the kept logs are of, in the version that wrote them and in a later one.
//!
//! It may never change in what it keeps: the ids of its steps, their keys and their state are in the logs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::io::{Outbox, OutboxConnection, PartitionId};
use crate::prelude::*;
use crate::time::Epoch;

/// A line of the input, `USER ARTICLE ROW CENTS`: somebody has bought something that lay there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sale {
    user: String,
    article: u64,
    place: Place,
    cents: u64,
}

/// A key that is a struct.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Place {
    row: u16,
    shelf: String,
}

/// Its other lines are `discount N`.
#[filter_map]
fn discount_of((_, line): (Epoch, String)) -> Option<u64> {
    line.strip_prefix("discount ").and_then(|number| number.parse().ok())
}

#[filter_map]
fn sale_of((_, line): (Epoch, String)) -> Option<Sale> {
    sale(&line)
}

fn sale(line: &str) -> Option<Sale> {
    let words: Vec<_> = line.split(' ').collect();
    let [user, article, row, cents] = words[..] else { return None };
    let row = row.parse().ok()?;
    let place = Place { row, shelf: format!("shelf {}", row % 2) };
    let (article, cents) = (article.parse().ok()?, cents.parse().ok()?);
    Some(Sale { user: user.to_owned(), article, place, cents })
}

/// Who asks for the price. There are no changes of the discount on their way when this user comes.
const WHO_ASKS: &str = "zoe";

#[filter_map]
fn price(sale: Sale, discount: &u64) -> Option<String> {
    (sale.user == WHO_ASKS).then(|| format!("{} cents, and {discount} off", sale.cents))
}

/// What a user has spent, as the logs have it.
#[stateful(name = "Total")]
#[derive(Default)]
pub(super) struct TotalV1 {
    cents: u64,
    orders: u32,
    last: Option<String>,
}

/// Adds a sale. One of no cents lets the user be forgotten.
fn spend(total: &mut Option<TotalV1>, user: &str, sale: &Sale) -> String {
    let mut new = total.take().unwrap_or_default();
    new.cents += sale.cents;
    new.orders += 1;
    let last = new.last.replace(format!("article {}", sale.article));
    let row = row(user, new.orders, new.cents, last.as_deref());
    *total = (sale.cents > 0).then_some(new);
    row
}

fn row(user: &str, orders: u32, cents: u64, last: Option<&str>) -> String {
    format!("{user}: {orders} orders of {cents} cents, before: {}", last.unwrap_or("nothing"))
}

/// How often an article was sold.
fn sold(count: &mut u32, article: u64) -> String {
    *count += 1;
    format!("article {article}: {count}")
}

/// What was sold from a place.
fn taken(articles: &mut Vec<u64>, place: &Place, article: u64) -> String {
    articles.push(article);
    format!("row {}, {}: {articles:?}", place.row, place.shelf)
}

/// The files that it writes.
pub(super) const FILES: [&str; 4] = ["totals.txt", "counts.txt", "places.txt", "prices.txt"];

#[dataflow]
pub(super) fn shop<S: Source<Item = (Epoch, String)>>(
    lines: S,
    to_totals: TextFile,
    to_counts: TextFile,
    to_places: TextFile,
    to_prices: TextFile,
    till: Till,
) {
    let all = source(lines);
    let discounts = discount_of(all);
    let discount = broadcast(discounts, |discount: &mut u64, n| *discount = n);
    let sales = sale_of(all);
    let prices = price(sales, discount);
    sink(prices, to_prices);
    let by_user = key_by_ref(sales, |sale| sale.user.as_str());
    let totals = stateful_map(by_user, |total: &mut Option<TotalV1>, user, sale: Sale| {
        spend(total, user, &sale)
    });
    sink(totals, outbox(till));
    let rows = values(totals);
    sink(rows, to_totals);
    let by_article = key_by(sales, |sale| sale.article);
    let counts = stateful_map(by_article, |count: &mut u32, article, _sale| sold(count, *article));
    let counted = values(counts);
    sink(counted, to_counts);
    let by_place = key_by(sales, |sale| sale.place.clone());
    let places = stateful_map(by_place, |articles: &mut Vec<u64>, place, sale: Sale| {
        taken(articles, place, sale.article)
    });
    let placed = values(places);
    sink(placed, to_places);
}

/// A later version of the program.
pub(super) mod later {
    use super::*;

    #[stateful(version = 2, from = TotalV1)]
    #[derive(Default)]
    struct Total {
        sum: f64,
        orders: u32,
        last: Option<String>,
    }

    impl From<TotalV1> for Total {
        fn from(TotalV1 { cents, orders, last }: TotalV1) -> Self {
            Total { sum: cents as f64, orders, last }
        }
    }

    #[dataflow]
    pub(in crate::recovery::tests::version_1) fn shop<S: Source<Item = (Epoch, String)>>(
        lines: S,
        to_totals: TextFile,
        to_counts: TextFile,
        to_places: TextFile,
        to_prices: TextFile,
        till: Till,
    ) {
        let all = source(lines);
        let discounts = discount_of(all);
        let discount = broadcast(discounts, |discount: &mut u64, n| *discount = n);
        let sales = sale_of(all);
        let prices = price(sales, discount);
        sink(prices, to_prices);
        let by_user = key_by_ref(sales, |sale| sale.user.as_str());
        let totals = stateful_map(by_user, |total: &mut Option<Total>, user, sale: Sale| {
            let mut new = total.take().unwrap_or_default();
            new.sum += sale.cents as f64;
            new.orders += 1;
            let last = new.last.replace(format!("article {}", sale.article));
            let row = row(user, new.orders, new.sum as u64, last.as_deref());
            *total = (sale.cents > 0).then_some(new);
            row
        });
        sink(totals, outbox(till));
        let rows = values(totals);
        sink(rows, to_totals);
        let by_article = key_by(sales, |sale| sale.article);
        let counts =
            stateful_map(by_article, |count: &mut u32, article, _sale| sold(count, *article));
        let counted = values(counts);
        sink(counted, to_counts);
        let by_place = key_by(sales, |sale| sale.place.clone());
        let places = stateful_map(by_place, |articles: &mut Vec<u64>, place, sale: Sale| {
            taken(articles, place, sale.article)
        });
        let placed = values(places);
        sink(placed, to_places);
    }
}

/// What an outbox writes to: it remembers the last epoch, and all rows with theirs.
#[derive(Clone, Default)]
pub(super) struct Till(Arc<Mutex<Ledger>>);

#[derive(Default)]
struct Ledger {
    last: Option<Epoch>,
    rows: Vec<(Epoch, String)>,
    refuses_from: Option<Epoch>,
}

impl Till {
    /// One that has applied this epoch.
    pub(super) fn at(last: Option<u64>) -> Till {
        Till(Arc::new(Mutex::new(Ledger { last: last.map(Epoch), ..Ledger::default() })))
    }

    /// Lets it refuse this epoch, and later ones.
    pub(super) fn refuse_from(&self, epoch: u64) {
        self.with(|ledger| ledger.refuses_from = Some(Epoch(epoch)));
    }

    /// The last epoch that it has applied.
    pub(super) fn last(&self) -> Option<u64> {
        self.with(|ledger| ledger.last.map(|epoch| epoch.0))
    }

    /// What it was given.
    pub(super) fn rows(&self) -> Vec<(u64, String)> {
        self.with(|ledger| ledger.rows.iter().map(|(epoch, row)| (epoch.0, row.clone())).collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut self.0.lock().expect("no test panics while it holds the lock"))
    }
}

impl Outbox for Till {
    type Row = (String, String);
    type Connection = Till;
    fn connect(&self, _: &PartitionId, _owner: &str) -> Result<Till, Error> {
        Ok(self.clone())
    }
}

impl OutboxConnection for Till {
    type Row = (String, String);
    fn last_applied(&mut self) -> Result<Option<Epoch>, Error> {
        Ok(self.with(|ledger| ledger.last))
    }
    fn apply(&mut self, epoch: Epoch, rows: Vec<(String, String)>) -> Result<(), Error> {
        self.with(|ledger| {
            if ledger.refuses_from.is_some_and(|from| epoch >= from) {
                return Err(Error::new(ErrorKind::Sink, "the till is closed"));
            }
            assert!(ledger.last < Some(epoch), "an epoch comes twice");
            ledger.last = Some(epoch);
            ledger.rows.extend(rows.into_iter().map(|(_, row)| (epoch, row)));
            Ok(())
        })
    }
}

/// What the files must hold in the end, sorted, and which rows the till must get in which epochs: each line is one. Without the engine.
pub(super) fn reference(lines: &[&str]) -> ([Vec<String>; 4], Vec<(u64, String)>) {
    let (mut totals, mut counts, mut places) =
        (BTreeMap::<String, Option<TotalV1>>::new(), BTreeMap::new(), BTreeMap::new());
    let (mut discount, mut files, mut sent) = (0_u64, <[Vec<String>; 4]>::default(), Vec::new());
    for (epoch, line) in lines.iter().enumerate() {
        let Some(sale) = sale(line) else {
            discount = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(discount);
            continue;
        };
        let row = spend(totals.entry(sale.user.clone()).or_default(), &sale.user, &sale);
        sent.push((epoch as u64, row.clone()));
        files[0].push(row);
        files[1].push(sold(counts.entry(sale.article).or_default(), sale.article));
        let articles = places.entry(sale.place.clone()).or_default();
        files[2].push(taken(articles, &sale.place, sale.article));
        if sale.user == WHO_ASKS {
            files[3].push(format!("{} cents, and {discount} off", sale.cents));
        }
    }
    files.iter_mut().for_each(|rows| rows.sort());
    (files, sent)
}
