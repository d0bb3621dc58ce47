//! The bars of the example `bars`: against plain loops, killed at any moment, and simulated.

mod common;
#[allow(dead_code, private_interfaces)] // The dataflow of the program and its market are all that is of use here.
#[path = "../examples/bars.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{example, folder, succeed};
use flow_runtime::io::{Collect, CsvFile, Source, collect};
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use program::Trade;

/// The rows of each symbol, in their order.
type Bars = BTreeMap<String, Vec<String>>;

/// How long a silence is filled, in seconds.
const FILL_FOR: i64 = 100;

#[dataflow]
fn look<S: Source<Item = Trade>>(venues: S, out: Collect<Trade>) {
    let trades = source(venues);
    sink(trades, out);
}

/// All trades of a market.
fn market(seed: u64, trades: u64) -> Vec<Trade> {
    let (out, collected) = collect();
    let run = look(program::venues(seed, trades), out).spawn().and_then(|run| run.wait());
    run.expect("nothing can go wrong");
    collected.take()
}

/// The reference: bars of so many seconds. Silences are filled where it says for how long.
fn reference(trades: &[Trade], every: i64, fill_for: Option<i64>) -> Bars {
    let mut symbols: BTreeMap<&str, BTreeMap<i64, Vec<&Trade>>> = BTreeMap::new();
    for trade in trades {
        let bars = symbols.entry(&trade.symbol).or_default();
        bars.entry(trade.at.div_euclid(1000 * every)).or_default().push(trade);
    }
    let fills = fill_for.map_or(0, |seconds| seconds / every);
    let mut rows = Bars::new();
    for (symbol, bars) in symbols {
        let mut row = |bar: i64, values: String| {
            let start = Timestamp::from_secs(bar * every);
            rows.entry(symbol.to_owned()).or_default().push(format!("{start},{values}"));
        };
        for (bar, mut trades) in bars.clone() {
            trades.sort_by_key(|trade| (trade.at, trade.id));
            let prices: Vec<_> = trades.iter().map(|trade| trade.price).collect();
            let (high, low) =
                (prices.iter().max().expect("some"), prices.iter().min().expect("some"));
            let (open, close) = (prices[0], prices[prices.len() - 1]);
            let volume: u64 = trades.iter().map(|trade| trade.quantity).sum();
            row(bar, format!("{open},{high},{low},{close},{volume},{}", trades.len()));
            for silent in bar + 1..=bar + fills {
                if bars.contains_key(&silent) {
                    break;
                }
                row(silent, format!("{close},{close},{close},{close},0,0"));
            }
        }
    }
    rows
}

/// The rows of an output.
fn bars<'a>(lines: impl IntoIterator<Item = &'a str>) -> Bars {
    let mut bars = Bars::new();
    for line in lines.into_iter().filter(|line| !line.starts_with("key,")) {
        let (symbol, row) = line.split_once(',').expect("a row begins with the symbol");
        bars.entry(symbol.to_owned()).or_default().push(row.to_owned());
    }
    bars
}

/// The outputs, what they are of, and for how long they are filled.
const OUTPUTS: [(&str, i64, Option<i64>); 3] = [
    ("seconds.csv", 1, Some(FILL_FOR)),
    ("minutes.csv", 60, Some(FILL_FOR)),
    ("hours.csv", 3600, None),
];

/// Checks what is in a folder.
fn check(trades: &[Trade], folder: &Path) {
    for (name, every, fill_for) in OUTPUTS {
        let written = fs::read_to_string(folder.join(name)).expect("the output was written");
        let (written, expected) = (bars(written.lines()), reference(trades, every, fill_for));
        for (symbol, rows) in &expected {
            assert_eq!(written.get(symbol), Some(rows), "{symbol} in {name}");
        }
        assert_eq!(written.len(), expected.len(), "{name}");
    }
}

/// The program, with a market of its own.
fn program(trades: u64, folder: &Path) -> Command {
    let mut command = example("bars");
    command.args(["--seed", "7", "--finish", "--trades", &trades.to_string()]);
    command.args(["--fill-for", &FILL_FOR.to_string(), "--out"]).arg(folder);
    command
}

#[test]
fn bars_are_what_a_plain_loop_makes_of_the_trades() {
    let (_keep, folder) = folder();
    // An hour and a little more.
    let trades = market(7, 10_000);
    for workers in ["1", "4"] {
        succeed(program(10_000, &folder).args(["--workers", workers]));
        check(&trades, &folder);
    }
    let seconds = reference(&trades, 1, Some(FILL_FOR));
    let silent = seconds.values().flatten().filter(|row| row.ends_with(",0,0")).count();
    let all = seconds.values().flatten().count();
    assert!(silent > 1000 && all - silent > 1000, "{silent} of {all} seconds are filled");
    let hours = reference(&trades, 3600, None);
    assert!(hours.values().all(|hours| hours.len() == 2), "{hours:?}");
}

#[cfg(unix)]
#[test]
fn no_bar_is_lost_or_there_twice_however_often_the_run_is_killed() {
    use common::kills::{kill_again_and_again, run_to_the_end};
    use common::random::{Random, Seed};

    let seed = common::given("FLOW_SEED", 1);
    let _seed = Seed(seed);
    let (_keep, folder) = folder();
    let log = folder.join("log");
    let unbounded = || {
        let mut command = program(5000, &folder);
        command.args(["--epoch", "10ms", "--recovery"]).arg(&log);
        command
    };
    let bounded = || {
        let mut command = unbounded();
        command.args(["--rate", "20000"]);
        command
    };
    let kills = kill_again_and_again(&mut Random::of(seed), 12, &log, false, bounded, |_| {});
    assert!(kills.resumed.len() > 2, "{} epochs resumed from", kills.resumed.len());
    run_to_the_end("bars", unbounded, &OUTPUTS.map(|(name, ..)| folder.join(name)));
    check(&market(7, 5000), &folder);
}

#[test]
fn bars_survive_a_crash_anywhere() {
    let trade = |at, id, price| {
        let symbol = if id % 7 == 0 { "BOLT" } else { "ACME" }.to_owned();
        Trade { symbol, at, id, price, quantity: 1 + id % 3 }
    };
    // A minute with holes in it, from two venues.
    let venue = |n: u64| -> Vec<Trade> {
        let at =
            |id: u64| (id * 2100 + if id > 9 { 20_000 } else { 0 } - id * n * 700 % 1900) as i64;
        (1..20).map(|id| trade(at(id), id * 2 + n, 100 + id * id % 17)).collect()
    };
    let venues = [venue(0), venue(1)];
    let all = venues.concat();
    let report = Sim::new(move |world| {
        let file = |name| CsvFile::at(world.output(name));
        let venues = world.partitions("venues", venues.clone());
        let fill_for = Duration::from_secs(12);
        program::bars(venues, fill_for, file("seconds"), file("minutes"), file("hours")).finish()
    })
    .rechunk()
    .crash_everywhere()
    .at_most(300)
    .check(move |outcome| {
        for (name, every, fill_for) in
            [("seconds", 1, Some(12)), ("minutes", 60, Some(12)), ("hours", 3600, None)]
        {
            let rows = outcome.rows::<String>(name);
            let written = bars(rows.iter().map(String::as_str));
            assert_eq!(written, reference(&all, every, fill_for), "{name}");
        }
    })
    .run();
    assert!(report.crashes > 100 && report.epochs > 1, "{report:?}");
}
