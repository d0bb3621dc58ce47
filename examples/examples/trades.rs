//! Trades of a seeded market: taken apart by side and put together again, summed up by symbol and by account.
//!
//! `trades [--trades N] [--seed N] [--out FOLDER]`: with `--out` every update is a line of `FOLDER/symbols.csv` or
//! `FOLDER/accounts.csv`; without, the final sums are printed.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use flow_runtime::io::{CsvFile, Sink, Source, generate, latest};
use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// A trade, as the market reports it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trade {
    symbol: String,
    account: u32,
    side: Side,
    quantity: u32,
    /// In cents.
    price: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Side {
    Buy,
    Sell,
}

/// A trade, told apart by its side.
#[derive(Branch)]
enum BySide {
    Buy(Trade),
    Sell(Trade),
}

/// What a trade changes: quantity and money, from the account's point of view.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    symbol: String,
    account: u32,
    quantity: i64,
    cents: i64,
}

/// The sums of a symbol or of an account.
#[stateful]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    trades: u64,
    quantity: i64,
    cents: i64,
}

#[map]
fn by_side(trade: Trade) -> BySide {
    match trade.side {
        Side::Buy => BySide::Buy(trade),
        Side::Sell => BySide::Sell(trade),
    }
}

/// A trade as an entry; `sign` says which way the goods go.
#[map]
fn entry(trade: Trade, sign: i64) -> Entry {
    let quantity = sign * i64::from(trade.quantity);
    let cents = -quantity * trade.price as i64;
    Entry { symbol: trade.symbol, account: trade.account, quantity, cents }
}

#[stateful_map]
fn add_up<K: Key>(totals: &mut Totals, _key: &K, entry: Entry) -> Totals {
    totals.trades += 1;
    totals.quantity += entry.quantity;
    totals.cents += entry.cents;
    totals.clone()
}

/// Sums of entries, whatever they are keyed by.
#[dataflow]
fn sums<K: Key>(entries: Keyed<K, Entry>) -> Keyed<K, Totals> {
    let totals = add_up(entries);
    totals
}

#[dataflow]
pub(crate) fn trades<M, S, A>(market: M, symbols: S, accounts: A)
where
    M: Source<Item = Trade>,
    S: Sink<Keyed<String, Totals>>,
    A: Sink<Keyed<u32, Totals>>,
{
    let all = source(market);
    let sided = by_side(all);
    let BySide { buy: buys, sell: sells } = branch(sided);
    let bought = entry(buys, 1);
    let sold = entry(sells, -1);
    let entries = merge(bought, sold);
    let by_symbol = key_by_ref(entries, |entry| entry.symbol.as_str());
    let by_account = key_by(entries, |entry| entry.account);
    let per_symbol = sums(by_symbol);
    let per_account = sums(by_account);
    sink(per_symbol, symbols);
    sink(per_account, accounts);
}

/// A market that the seed decides.
pub(crate) fn market(seed: u64, count: u64) -> impl Source<Item = Trade> {
    const SYMBOLS: [&str; 8] = ["ACME", "BOLT", "CRUX", "DUNE", "ECHO", "FLUX", "GRIT", "HALO"];
    generate(seed, 0..count, |random, _| Trade {
        symbol: (*random.pick(&SYMBOLS)).to_owned(),
        account: random.below(1000) as u32,
        side: if random.below(2) == 0 { Side::Buy } else { Side::Sell },
        quantity: 1 + random.below(100) as u32,
        price: 1000 + random.below(9000),
    })
}

/// Sums up trades by symbol and by account.
#[derive(Parser)]
struct Args {
    /// How many trades there are
    #[arg(long, default_value_t = 1_000_000)]
    trades: u64,

    /// Decides what they are
    #[arg(long, default_value_t = 42)]
    seed: u64,

    /// Write every update to `symbols.csv` and `accounts.csv` in this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let market = market(args.seed, args.trades);
    if let Some(folder) = args.out {
        let (symbols, accounts) = (folder.join("symbols.csv"), folder.join("accounts.csv"));
        return trades(market, CsvFile::at(symbols), CsvFile::at(accounts)).with(args.run).run();
    }
    let (symbols_sink, symbols) = latest();
    let (accounts_sink, accounts) = latest();
    trades(market, symbols_sink, accounts_sink).with(args.run).run()?;
    let mut symbols: Vec<(String, Totals)> = symbols.take();
    symbols.sort_by(|a, b| a.0.cmp(&b.0));
    let mut accounts: Vec<(u32, Totals)> = accounts.take();
    accounts.sort_by_key(|(account, totals)| (totals.cents, *account));
    // Whoever reads this may have seen enough: a closed pipe is no failure.
    let _ = print(&symbols, &accounts[..accounts.len().min(5)]);
    Ok(())
}

fn print(symbols: &[(String, Totals)], spenders: &[(u32, Totals)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let row = |name: &dyn std::fmt::Display, totals: &Totals| {
        format!("{name:<8}{:>8}{:>11}{:>16}", totals.trades, totals.quantity, totals.cents)
    };
    writeln!(out, "symbol    trades   quantity           cents")?;
    symbols.iter().try_for_each(|(symbol, totals)| writeln!(out, "{}", row(symbol, totals)))?;
    writeln!(out, "\nthe accounts that spent the most")?;
    spenders.iter().try_for_each(|(account, totals)| writeln!(out, "{}", row(account, totals)))
}

#[cfg(test)]
#[test]
fn what_is_saved_fits_the_lock() -> Result<(), flow_runtime::Error> {
    let flow = trades(market(42, 0), CsvFile::at("symbols.csv"), CsvFile::at("accounts.csv"));
    flow_runtime::schema_lock::check("schemas/trades.lock", &flow)
}
