//! Bars of one second, one minute and one hour, made of trades in one pass: open, high, low, close, volume.
//!
//! `bars --out FOLDER [--trades N] [--seed N] [--fill-for SECONDS]`: three venues of a market that the seed decides have `N` trades each. Every bar
//! is a row of `FOLDER/seconds.csv`, `FOLDER/minutes.csv` or `FOLDER/hours.csv`, in a folder that exists.
//!
//! ```sh
//! mkdir -p /tmp/bars
//! cargo run --release --example bars -- --out /tmp/bars --recovery /tmp/bars-state --finish
//! ```
//!
//! Seconds are windows over the trades; minutes are made of the seconds, and hours of the minutes, so each trade is looked at once. A second or a
//! minute without a trade gets a bar too, with the close of the one before and no volume, until its symbol has been silent for `--fill-for`
//! seconds. Such bars come of timers in event time: they are written when event time has come to their end, whether there is another trade
//! or not.
//!
//! The bars do not depend on how the venues are read: a trade comes at most two seconds behind later ones of its venue, and event time is told that.
//! One that came later still would be dropped: a bar that has been published is not changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use flow_runtime::io::replay::Replayable;
use flow_runtime::io::{CsvFile, Random, Source, generate};
use flow_runtime::plan::FlowPlan;
use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A venue's trades come at most so far behind later ones.
const DISORDER: Duration = Duration::from_secs(2);

/// A trade, as a venue reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trade {
    pub(crate) symbol: String,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    /// Tells apart the trades of one millisecond.
    pub(crate) id: u64,
    /// In cents.
    pub(crate) price: u64,
    pub(crate) quantity: u64,
}

/// What some trades of a symbol come to.
#[stateful]
#[derive(Clone, Debug)]
struct Bar {
    /// When the first trade was, and its id.
    opened: (i64, u64),
    /// The same of the last one.
    closed: (i64, u64),
    open: u64,
    high: u64,
    low: u64,
    close: u64,
    volume: u64,
    trades: u64,
}

impl Bar {
    /// Of no trades.
    const NONE: Bar = Bar {
        opened: (i64::MAX, u64::MAX),
        closed: (i64::MIN, 0),
        open: 0,
        high: 0,
        low: u64::MAX,
        close: 0,
        volume: 0,
        trades: 0,
    };

    fn add(&mut self, trade: Trade) {
        let Trade { at, id, price, quantity, .. } = trade;
        self.merge(&Bar {
            opened: (at, id),
            closed: (at, id),
            open: price,
            high: price,
            low: price,
            close: price,
            volume: quantity,
            trades: 1,
        });
    }

    /// Adds the trades of another bar, earlier or later ones.
    fn merge(&mut self, other: &Bar) {
        if other.opened < self.opened {
            (self.opened, self.open) = (other.opened, other.open);
        }
        if other.closed > self.closed {
            (self.closed, self.close) = (other.closed, other.close);
        }
        self.high = self.high.max(other.high);
        self.low = self.low.min(other.low);
        self.volume += other.volume;
        self.trades += other.trades;
    }
}

/// Bars of bars.
fn of_bars() -> impl Aggregate<Windowed<Bar>, Out = Bar> {
    aggregate::fold(
        Bar::NONE,
        |bar: &mut Bar, part: Windowed<Bar>| bar.merge(&part.value),
        Bar::merge,
    )
}

/// A row of the output, behind the symbol. Prices are in cents.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    /// Where the bar begins, in UTC, as in RFC 3339.
    start: String,
    open: u64,
    high: u64,
    low: u64,
    close: u64,
    volume: u64,
    trades: u64,
}

#[map]
fn row(bar: Windowed<Bar>) -> Row {
    let Bar { open, high, low, close, volume, trades, .. } = bar.value;
    Row { start: bar.start.to_string(), open, high, low, close, volume, trades }
}

/// Puts bars where a symbol has no trades: of windows of one length, which it gets in the order of time.
struct Fill {
    /// The length of the windows.
    every: Duration,
    /// How long a silence is filled.
    at_most: Duration,
}

/// A symbol that is not silent, or not for long.
#[stateful]
#[derive(Clone, Debug, PartialEq)]
struct Last {
    close: u64,
    /// The end of the last bar that is out.
    end: Timestamp,
    /// No bar is put in that ends behind this.
    until: Timestamp,
}

impl Process for Fill {
    type Key = String;
    type In = Windowed<Bar>;
    type Out = Row;
    type State = Last;
    type Timer = ();

    fn on_item(
        &self,
        state: &mut Option<Last>,
        bar: Windowed<Bar>,
        cx: &mut ProcessContext<'_, Self>,
    ) {
        // Event time may have come further than this bar at once: its timers are due only after it.
        if let Some(last) = state {
            self.fill(last, bar.start, cx);
        }
        let (close, end) = (bar.value.close, bar.end);
        *state = Some(Last { close, end, until: end.after(self.at_most) });
        cx.set_timer(end.after(self.every), ());
        cx.emit(row(bar));
    }

    fn on_timer(&self, state: &mut Option<Last>, (): (), cx: &mut ProcessContext<'_, Self>) {
        let Some(last) = state else { return };
        self.fill(last, cx.watermark(), cx);
        let next = last.end.after(self.every);
        match next <= last.until {
            true => cx.set_timer(next, ()),
            // Silent for too long: it is forgotten, until there is a trade.
            false => *state = None,
        }
    }
}

impl Fill {
    /// Emits the bars that are missing up to `time`.
    fn fill(&self, last: &mut Last, time: Timestamp, cx: &mut ProcessContext<'_, Self>) {
        let until = time.min(last.until);
        while last.end.after(self.every) <= until {
            let (start, close) = (last.end, last.close);
            last.end = start.after(self.every);
            let (open, high, low) = (close, close, close);
            let row =
                Row { start: start.to_string(), open, high, low, close, volume: 0, trades: 0 };
            // As the results of windows: the last time that belongs to it.
            cx.emit_at(last.end.before(Duration::from_micros(1)), row);
        }
    }
}

#[dataflow(delivery = exactly_once)]
pub(crate) fn bars<S>(
    venues: S,
    fill_for: Duration,
    seconds: CsvFile,
    minutes: CsvFile,
    hours: CsvFile,
) where
    S: Source<Item = Trade, Replay = Replayable>,
{
    let trades = source(venues);
    let timed = event_time(
        trades,
        |trade| Timestamp::from_millis(trade.at),
        Disorder::bounded(DISORDER).aligned_within(MINUTE),
    );
    let by_symbol = key_by_ref(timed, |trade| trade.symbol.as_str());
    let (of_second, late) =
        window(by_symbol, Tumbling::of(SECOND), aggregate::fold(Bar::NONE, Bar::add, Bar::merge));
    discard(late, "a bar that has been published is not changed");
    let of_minute = rollup(of_second, Tumbling::of(MINUTE), of_bars());
    let of_hour = rollup(of_minute, Tumbling::of(HOUR), of_bars());

    let every_second = process(of_second, Fill { every: SECOND, at_most: fill_for });
    sink(every_second, seconds);
    let every_minute = process(of_minute, Fill { every: MINUTE, at_most: fill_for });
    sink(every_minute, minutes);
    let hours_traded = row(of_hour);
    sink(hours_traded, hours);
}

/// The dataflow with its files in a folder.
fn into_folder<S>(venues: S, fill_for: Duration, folder: &Path) -> Dataflow<impl FlowPlan>
where
    S: Source<Item = Trade, Replay = Replayable>,
{
    let file = |name| CsvFile::at(folder.join(name)).header(true);
    bars(venues, fill_for, file("seconds.csv"), file("minutes.csv"), file("hours.csv"))
}

/// Venues that the seed decides, three of them, with so many trades each.
pub(crate) fn venues(seed: u64, trades: u64) -> impl Source<Item = Trade, Replay = Replayable> {
    generate(seed, 0..trades, trade).partitions(3)
}

/// The `n`th trade of a venue: four tenths of a second after the one before, and up to two seconds old. Symbols rest from time to time, for a minute and a half.
fn trade(random: &mut Random, n: u64) -> Trade {
    const OPENING: i64 = 1_750_080_600_000;
    const SYMBOLS: [&str; 8] = ["ACME", "BOLT", "CRUX", "DUNE", "ECHO", "FLUX", "GRIT", "HALO"];
    let into = n as i64 * 400 - random.below(DISORDER.as_millis() as u64) as i64;
    let rests = |symbol: u64| (into / 90_000 + symbol as i64) % 5 == 0;
    // The first ones are traded most.
    let mut symbol = random.below(8).min(random.below(8));
    while rests(symbol) {
        symbol = (symbol + 1) % 8;
    }
    let wave = (into as f64 / 1e6 + symbol as f64).sin() * 300.0;
    let price = 2000 * (symbol + 1) + (300.0 + wave) as u64 + random.below(40);
    Trade {
        symbol: SYMBOLS[symbol as usize].to_owned(),
        at: OPENING + into,
        id: random.next_u64(),
        price,
        quantity: 1 + random.below(100),
    }
}

/// Makes bars of trades.
#[derive(Parser)]
struct Args {
    /// How many trades each of the three venues has
    #[arg(long, default_value_t = 100_000)]
    trades: u64,

    /// Decides what they are
    #[arg(long, default_value_t = 42)]
    seed: u64,

    /// Write the bars to `seconds.csv`, `minutes.csv` and `hours.csv` in this folder
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,

    /// How many seconds of silence of a symbol are filled with bars
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    fill_for: u32,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let fill_for = Duration::from_secs(args.fill_for.into());
    into_folder(venues(args.seed, args.trades), fill_for, &args.out).with(args.run).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_does_not_depend_on_the_order_of_its_trades() {
        let trade = |at, id, price| Trade { symbol: "ACME".to_owned(), at, id, price, quantity: 2 };
        let trades = [trade(5, 1, 20), trade(7, 3, 35), trade(7, 2, 10), trade(6, 9, 15)];
        for first in 0..4 {
            let (mut bar, mut rest) = (Bar::NONE, Bar::NONE);
            for n in 0..4 {
                let to = if n < 2 { &mut bar } else { &mut rest };
                to.add(trades[(first + n) % 4].clone());
            }
            bar.merge(&rest);
            let Bar { open, high, low, close, volume, trades, .. } = bar;
            assert_eq!((open, high, low, close, volume, trades), (20, 35, 10, 35, 8, 4));
        }
    }

    #[test]
    fn what_is_saved_fits_the_lock() -> Result<(), flow_runtime::Error> {
        let flow = into_folder(venues(42, 0), Duration::ZERO, Path::new("bars"));
        flow_runtime::schema_lock::check("schemas/bars.lock", &flow)
    }
}
