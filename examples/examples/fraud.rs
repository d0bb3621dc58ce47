//! Card payments, judged by rules that change while the job runs.
//!
//! `fraud SHOP [--generate N [--seed N]]`: reads the files of the folder `SHOP/payments`, CSV with the columns `id,card,at,merchant,cents`, and the
//! rules of `SHOP/rules.jsonl`. Writes `SHOP/alerts.csv`, a row for each rule that a payment breaks; `SHOP/unreadable.jsonl`, the rows that are no
//! payments, with file, line and reason; and `SHOP/untimed.csv`, the payments without a time that can be. With `--generate` a folder that has no
//! rules yet gets some, and three files with `N` payments each.
//!
//! ```sh
//! cargo run --release --example fraud -- /tmp/shop --generate 100000 --recovery /tmp/shop/state --finish
//! head /tmp/shop/*.csv /tmp/shop/*.jsonl
//! ```
//!
//! A rule is a limit for one card: of payments within a minute, of merchants within an hour, of cents within a day. Each line of the rules changes one,
//! from a date on, as `{"from":1750000000000,"rule":"payments_per_minute","limit":3}`; a rule without a limit yet is not looked at. The counts of a
//! payment are of the payments of its card up to its own time. They are made in the order of time, when event time has passed the payment, so they do not depend on
//! how the files are read as long as no payment comes more than a minute behind a later one of its file.
//!
//! # When a rule takes effect
//!
//! A change has a date, so it takes effect *at a time of the payments*, not at a moment of the run: it judges the payments from its date on, and no
//! others, wherever they stand in the files. For that it has to be there when they are judged. What is certain: at the end of each epoch all
//! workers have the changes that were read in it, and they are saved with the epoch. So a change that was read in one epoch judges every payment from its
//! date on that is read in a later one. What is not: rules and payments that are read in the same epoch, which pass each other. A payment may then still be
//! judged by the rules before. It is judged by all changes up to one, in the order of their file, and never by some of them without those before.
//!
//! So publish a change ahead of its date. To judge old payments by rules that are new, start once with the rules alone, the folder `payments` being
//! empty, and put the payments there for the next start. The test does the same: it appends rules, lets a run with nothing else to read commit them,
//! and then appends the payments that they are for. So its result is certain, with kills at any moment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use flow_runtime::io::replay::Replayable;
use flow_runtime::io::{BadRow, Csv, CsvFile, JsonLines, JsonLinesFile, Random, Source};
use flow_runtime::plan::FlowPlan;
use flow_runtime::prelude::*;
use flow_runtime::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Payments come at most so far behind later ones of their file.
const DISORDER: Duration = MINUTE;

/// 2020-01-01, in milliseconds since 1970. Nothing was paid before, and a clock that says so is wrong.
const FIRST_DAY: i64 = 1_577_836_800_000;

/// A row of the input.
#[stateful]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) id: u64,
    pub(crate) card: String,
    /// Milliseconds since 1970. Some terminals send none, or one of long ago.
    pub(crate) at: Option<i64>,
    pub(crate) merchant: u32,
    pub(crate) cents: u64,
}

/// What has a limit.
#[stateful]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    PaymentsPerMinute,
    MerchantsPerHour,
    CentsPerDay,
}

/// A line of the rules.
#[stateful]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Milliseconds since 1970: the time of the first payment that it is for.
    pub(crate) from: i64,
    pub(crate) rule: Rule,
    /// The most that is allowed.
    pub(crate) limit: u64,
}

/// All changes so far, in the order of their file. Every worker has a copy.
#[stateful]
#[derive(Debug, Default)]
pub(crate) struct Rules {
    changes: Vec<Change>,
}

impl Rules {
    /// The limit of a rule at some time: the last change that is for it, if there is one.
    fn limit(&self, rule: Rule, at: i64) -> Option<u64> {
        let changes = self.changes.iter().filter(|c| c.rule == rule && c.from <= at);
        // Of those with one date the last one.
        changes.max_by_key(|change| change.from).map(|change| change.limit)
    }
}

/// A payment, and what its card has done up to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Activity {
    id: u64,
    at: i64,
    payments_in_minute: u64,
    merchants_in_hour: u64,
    cents_in_day: u64,
}

/// A rule that a payment breaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Alert {
    payment: u64,
    at: String,
    rule: Rule,
    found: u64,
    limit: u64,
}

/// The rules that a payment breaks, as they were at its time.
#[flat_map]
fn judge(activity: Activity, rules: &Rules) -> impl Iterator<Item = Alert> {
    let found = [
        (Rule::PaymentsPerMinute, activity.payments_in_minute),
        (Rule::MerchantsPerHour, activity.merchants_in_hour),
        (Rule::CentsPerDay, activity.cents_in_day),
    ];
    found.into_iter().filter_map(move |(rule, found)| {
        let limit = rules.limit(rule, activity.at)?;
        let at = Timestamp::from_millis(activity.at).to_string();
        (found > limit).then_some(Alert { payment: activity.id, at, rule, found, limit })
    })
}

/// Counts what cards do, in the order of time.
struct Count;

/// What is known of a card. It is forgotten a day after its last payment.
#[stateful]
#[derive(Debug, Default)]
struct Card {
    /// Payments that event time has not passed: earlier ones may still come.
    ahead: Vec<Paid>,
    /// Those of the last day, which is the longest time that a rule looks back, in the order of time.
    counted: Vec<Paid>,
}

/// What is kept of a payment. They are in order by time, and within a moment by id.
#[stateful]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Paid {
    at: Timestamp,
    id: u64,
    merchant: u32,
    cents: u64,
}

/// What a timer is for.
#[stateful]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Count,
    Forget,
}

impl Process for Count {
    type Key = String;
    type In = Payment;
    type Out = Activity;
    type State = Card;
    type Timer = Due;

    fn on_item(&self, card: &mut Option<Card>, p: Payment, cx: &mut ProcessContext<'_, Self>) {
        let card = card.get_or_insert_default();
        card.ahead.push(Paid { at: cx.time(), id: p.id, merchant: p.merchant, cents: p.cents });
        wait_for_the_first(card, cx);
    }

    fn on_timer(&self, state: &mut Option<Card>, due: Due, cx: &mut ProcessContext<'_, Self>) {
        let Some(card) = state else { return };
        match due {
            Due::Count => {
                card.ahead.sort_unstable();
                let passed = card.ahead.partition_point(|paid| paid.at < cx.watermark());
                for paid in card.ahead.drain(..passed).collect::<Vec<_>>() {
                    cx.emit_at(paid.at, count(card, paid));
                }
                if let Some(last) = card.counted.last() {
                    cx.set_timer(last.at.after(DAY), Due::Forget);
                }
                wait_for_the_first(card, cx);
            }
            // It was set anew with each payment, so all that was counted is a day old.
            Due::Forget if card.ahead.is_empty() => *state = None,
            Due::Forget => card.counted.clear(),
        }
    }
}

/// Sets the timer for the first payment that is not counted yet. Event time has passed it only when no other one of its moment can come.
fn wait_for_the_first(card: &Card, cx: &mut ProcessContext<'_, Count>) {
    if let Some(first) = card.ahead.iter().map(|paid| paid.at).min() {
        cx.set_timer(first.after(Duration::from_micros(1)), Due::Count);
    }
}

/// Adds a payment to the counts of its card. They look back for a minute, an hour and a day.
fn count(card: &mut Card, paid: Paid) -> Activity {
    let (id, at) = (paid.id, paid.at);
    let place = card.counted.partition_point(|before| *before <= paid);
    card.counted.insert(place, paid);
    card.counted.retain(|before| before.at > at.before(DAY));
    // A payment that was too late for its turn is counted up to its own time all the same.
    let up_to_it =
        &card.counted[..card.counted.partition_point(|other| (other.at, other.id) <= (at, id))];
    let within = |time| up_to_it.iter().filter(move |before| before.at > at.before(time));
    let mut merchants: Vec<_> = within(HOUR).map(|before| before.merchant).collect();
    merchants.sort_unstable();
    merchants.dedup();
    Activity {
        id,
        at: at.0 / 1000,
        payments_in_minute: within(MINUTE).count() as u64,
        merchants_in_hour: merchants.len() as u64,
        cents_in_day: within(DAY).map(|before| before.cents).sum(),
    }
}

/// When a payment was, if that can be.
fn paid_at(payment: &Payment) -> Option<Timestamp> {
    payment.at.filter(|at| *at >= FIRST_DAY).map(Timestamp::from_millis)
}

#[dataflow(delivery = exactly_once)]
pub(crate) fn fraud<P, R>(
    terminals: P,
    desk: R,
    alerts: CsvFile,
    unreadable: JsonLinesFile,
    untimed: CsvFile,
) where
    P: Source<Item = Result<Payment, BadRow>, Replay = Replayable>,
    R: Source<Item = Change, Replay = Replayable>,
{
    let changes = source(desk);
    let rules = broadcast(changes, |rules: &mut Rules, change| rules.changes.push(change));

    let rows = source(terminals);
    let Result { ok: payments, err: bad } = branch(rows);
    sink(bad, unreadable);
    let (timed, without_time) = try_event_time(payments, paid_at, Disorder::bounded(DISORDER));
    sink(without_time, untimed);
    let by_card = key_by_ref(timed, |payment| payment.card.as_str());
    let counted = process(by_card, Count);
    let broken = judge(counted, rules);
    sink(broken, alerts);
}

/// The dataflow of a shop, with its files in one folder.
fn of_shop(shop: &Path) -> Dataflow<impl FlowPlan> {
    fraud(
        Csv::of(shop.join("payments")).rows(),
        JsonLines::of(shop.join("rules.jsonl")),
        CsvFile::at(shop.join("alerts.csv")).header(true),
        JsonLinesFile::at(shop.join("unreadable.jsonl")),
        CsvFile::at(shop.join("untimed.csv")).header(true),
    )
}

/// The `n`th payment of a terminal, as a row: one in a hundred is no payment or has no time, all others are up to a minute old. A card in fifty has been stolen.
pub(crate) fn row(random: &mut Random, terminal: u64, n: u64) -> String {
    let id = n * 10 + terminal;
    let age = random.below(DISORDER.as_millis() as u64) as i64;
    let at = FIRST_DAY + 60_000 + n as i64 * 5_000 - age;
    let card = random.below(200);
    // Whoever has stolen a card buys everywhere.
    let (merchant, cents) = match card % 50 {
        7 => (random.below(500), 5_000 + random.below(60_000)),
        _ => (card % 20 + random.below(3), 100 + random.below(9_900)),
    };
    match random.below(300) {
        0 => format!("{id},card-{card},,{merchant},{cents}"),
        1 => format!("{id},card-{card},{n},{merchant},{cents}"),
        2 => format!("{id},card-{card},{at},{merchant},free"),
        _ => format!("{id},card-{card},{at},{merchant},{cents}"),
    }
}

/// The rules that a shop begins with, and one that is tightened after a day.
const RULES: &str = r#"{"from":0,"rule":"payments_per_minute","limit":2}
{"from":0,"rule":"merchants_per_hour","limit":6}
{"from":0,"rule":"cents_per_day","limit":2500000}
{"from":1577923200000,"rule":"cents_per_day","limit":2000000}
"#;

/// Makes a shop, where there is none: rules, and the payments of three terminals.
fn make(shop: &Path, seed: u64, count: u64) -> io::Result<()> {
    let (rules, payments) = (shop.join("rules.jsonl"), shop.join("payments"));
    if rules.exists() {
        return Ok(());
    }
    fs::create_dir_all(&payments)?;
    for terminal in 1..=3 {
        let mut random = Random::new(seed ^ terminal << 32);
        let mut text = String::from("id,card,at,merchant,cents\n");
        (0..count).for_each(|n| {
            text.push_str(&row(&mut random, terminal, n));
            text.push('\n');
        });
        fs::write(payments.join(format!("terminal-{terminal}.csv")), text)?;
    }
    // Last, and at once: so it says that all is there.
    let unfinished = shop.join("rules.new");
    fs::write(&unfinished, RULES)?;
    fs::rename(unfinished, rules)
}

/// Finds card payments that break the rules.
#[derive(Parser)]
struct Args {
    /// The folder with `payments` and `rules.jsonl`, where the outputs go, too
    shop: PathBuf,

    /// Make a shop with three files of so many payments, if there are no rules in the folder
    #[arg(long, value_name = "N")]
    generate: Option<u64>,

    /// Decides what is paid
    #[arg(long, default_value_t = 42)]
    seed: u64,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), Error> {
    let Args { shop, generate, seed, run } = Args::parse();
    if let Some(count) = generate {
        make(&shop, seed, count)
            .map_err(|error| Error::io(ErrorKind::Source, "make the shop", &shop, error))?;
    }
    of_shop(&shop).with(run).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_that_is_for_a_time_counts() {
        let change = |from, limit| Change { from, rule: Rule::CentsPerDay, limit };
        let rules = Rules { changes: vec![change(20, 5), change(10, 6), change(10, 7)] };
        let limits = [9, 10, 19, 20, 99].map(|at| rules.limit(Rule::CentsPerDay, at));
        assert_eq!(limits, [None, Some(7), Some(7), Some(5), Some(5)]);
        assert_eq!(rules.limit(Rule::MerchantsPerHour, 99), None);
    }

    #[test]
    fn a_payment_is_counted_with_those_before_it() {
        let mut card = Card::default();
        let mut pay = |second: i64, merchant| {
            let (at, id, cents) = (Timestamp::from_secs(second), second as u64, 100);
            let a = count(&mut card, Paid { at, id, merchant, cents });
            (a.payments_in_minute, a.merchants_in_hour, a.cents_in_day)
        };
        assert_eq!(pay(0, 1), (1, 1, 100));
        assert_eq!(pay(59, 2), (2, 2, 200));
        // The first one was a minute ago, and is not within the minute any more.
        assert_eq!(pay(60, 2), (2, 2, 300));
        assert_eq!(pay(3600, 2), (1, 1, 400));
        assert_eq!(pay(86_400, 3), (1, 1, 400));
    }

    #[test]
    fn a_rule_is_broken_above_its_limit() {
        let activity = |payments_in_minute| {
            let (id, at, merchants_in_hour, cents_in_day) = (1, 50, 9, 9);
            Activity { id, at, payments_in_minute, merchants_in_hour, cents_in_day }
        };
        let change = Change { from: 50, rule: Rule::PaymentsPerMinute, limit: 3 };
        let rules = Rules { changes: vec![change] };
        assert_eq!(judge(activity(3), &rules).count(), 0);
        let alerts: Vec<_> = judge(activity(4), &rules).collect();
        assert_eq!(alerts.len(), 1);
        assert_eq!((alerts[0].found, alerts[0].limit), (4, 3));
    }

    #[test]
    fn what_is_saved_fits_the_lock() -> Result<(), Error> {
        flow_runtime::schema_lock::check("schemas/fraud.lock", &of_shop(Path::new("shop")))
    }
}
