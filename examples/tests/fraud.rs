//! The payments of the example `fraud`: against plain loops, with rules that change from run to run, killed at any moment, and simulated.

mod common;
#[allow(dead_code, private_interfaces)] // The dataflow of the program and its terminals are all that is of use here.
#[path = "../examples/fraud.rs"]
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::{example, folder, succeed};
use flow_runtime::io::{BadRow, CsvFile, JsonLinesFile, Random};
use flow_runtime::sim::Sim;
use flow_runtime::time::Timestamp;
use program::{Change, Payment, Rule};

const RULES: [(&str, Rule); 3] = [
    ("payments_per_minute", Rule::PaymentsPerMinute),
    ("merchants_per_hour", Rule::MerchantsPerHour),
    ("cents_per_day", Rule::CentsPerDay),
];

/// 2020-01-01, in milliseconds.
const FIRST_DAY: i64 = 1_577_836_800_000;

/// A payment that can be judged: id, card, milliseconds, merchant, cents.
type Paid = (u64, String, i64, u32, u64);

/// What there is to be written, without the order of rows.
#[derive(Debug, Default, PartialEq)]
struct Outputs {
    alerts: BTreeSet<String>,
    unreadable: BTreeSet<String>,
    untimed: BTreeSet<String>,
}

/// The reference: the alerts of all payments, whatever the rules have become by when they are judged.
fn alerts(paid: &[Paid], changes: &[Change]) -> BTreeSet<String> {
    let mut alerts = BTreeSet::new();
    let mut cards: BTreeMap<&str, Vec<&Paid>> = BTreeMap::new();
    for payment in paid {
        cards.entry(&payment.1).or_default().push(payment);
    }
    for (id, card, at, ..) in paid {
        let of_card = &cards[card.as_str()];
        let before = |time| {
            let is_within = move |p: &&&Paid| (p.2, p.0) <= (*at, *id) && p.2 > at - time;
            of_card.iter().filter(is_within)
        };
        let merchants: BTreeSet<_> = before(3_600_000).map(|p| p.3).collect();
        let found = [
            before(60_000).count() as u64,
            merchants.len() as u64,
            before(86_400_000).map(|p| p.4).sum(),
        ];
        for ((name, rule), found) in RULES.into_iter().zip(found) {
            let mut limit: Option<&Change> = None;
            for change in changes.iter().filter(|change| change.rule == rule && change.from <= *at)
            {
                if limit.is_none_or(|limit| limit.from <= change.from) {
                    limit = Some(change);
                }
            }
            if let Some(limit) = limit.map(|limit| limit.limit).filter(|limit| found > *limit) {
                let at = Timestamp::from_millis(*at);
                alerts.insert(format!("{card},{id},{at},{name},{found},{limit}"));
            }
        }
    }
    alerts
}

/// What is to come of these rows of terminals.
fn reference(rows: &[String], changes: &[Change]) -> Outputs {
    let (mut outputs, mut paid) = (Outputs::default(), Vec::new());
    for row in rows {
        let [id, card, at, merchant, cents] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("a row has other columns: {row}");
        };
        let number = |text: &str| text.parse::<i64>().ok();
        let at = number(at).filter(|at| *at >= FIRST_DAY);
        match (number(cents), at) {
            (None, _) => {
                outputs.unreadable.insert(row.clone());
            }
            (Some(_), None) => {
                outputs.untimed.insert(row.clone());
            }
            (cents, at) => {
                let part = |number: Option<i64>| number.expect("a number") as u64;
                let (id, merchant) = (part(number(id)), part(number(merchant)) as u32);
                paid.push((id, card.to_owned(), part(at) as i64, merchant, part(cents)));
            }
        }
    }
    outputs.alerts = alerts(&paid, changes);
    outputs
}

/// What is in the files of a shop. No row is there twice.
fn written(shop: &Path) -> Outputs {
    let rows = |name: &str, header: &str| {
        let text = fs::read_to_string(shop.join(name)).expect("the output was written");
        let lines: Vec<_> =
            text.lines().filter(|line| *line != header).map(str::to_owned).collect();
        let set: BTreeSet<_> = lines.iter().cloned().collect();
        assert_eq!(set.len(), lines.len(), "rows of {name} are there twice");
        set
    };
    let text = |line: &String| {
        let bad: BadRow = serde_json::from_str(line).expect("a bad row can be read");
        assert!(bad.file.contains("terminal-") && bad.message.contains("cents"), "{bad}");
        bad.text
    };
    Outputs {
        alerts: rows("alerts.csv", "key,payment,at,rule,found,limit"),
        unreadable: rows("unreadable.jsonl", "").iter().map(text).collect(),
        untimed: rows("untimed.csv", "id,card,at,merchant,cents"),
    }
}

/// The program, on a shop and its log.
fn fraud(shop: &Path) -> Command {
    let mut command = example("fraud");
    command.arg(shop).args(["--epoch", "10ms", "--recovery"]).arg(shop.join("state"));
    command
}

fn append(path: &Path, text: &str) {
    let file = fs::File::options().append(true).create(true).open(path);
    let appended = file.and_then(|mut file| file.write_all(text.as_bytes()));
    appended.expect("the folder is writable");
}

/// The terminals of a shop, whose payments come bit by bit, and its rules.
struct Shop {
    terminals: [Random; 3],
    rows: Vec<String>,
    changes: Vec<Change>,
    /// How many payments each terminal has had.
    count: u64,
}

impl Shop {
    fn new() -> Shop {
        let terminals = [1, 2, 3].map(Random::new);
        Shop { terminals, rows: Vec::new(), changes: Vec::new(), count: 0 }
    }

    /// Appends changes of the rules, for payments that come after `payments` more of each terminal.
    fn change(&mut self, folder: &Path, payments: u64, limits: [u64; 3]) {
        let from = FIRST_DAY + (self.count + payments) as i64 * 5_000;
        let mut lines = String::new();
        for ((_, rule), limit) in RULES.into_iter().zip(limits) {
            let change = Change { from, rule, limit };
            lines += &(serde_json::to_string(&change).expect("a change can be written") + "\n");
            self.changes.push(change);
        }
        append(&folder.join("rules.jsonl"), &lines);
    }

    /// Appends so many payments of each terminal.
    fn pay(&mut self, folder: &Path, payments: u64) {
        for (terminal, random) in (1_u64..).zip(&mut self.terminals) {
            let path = folder.join(format!("payments/terminal-{terminal}.csv"));
            let rows =
                (self.count..self.count + payments).map(|n| program::row(random, terminal, n));
            let rows: Vec<_> = rows.collect();
            let header = if self.count == 0 { "id,card,at,merchant,cents\n" } else { "" };
            append(&path, &format!("{header}{}\n", rows.join("\n")));
            self.rows.extend(rows);
        }
        self.count += payments;
    }
}

/// Limits that a shop has one after the other: of payments a minute, of merchants an hour, of cents a day.
const LIMITS: [[u64; 3]; 3] = [[1, 4, 200_000], [2, 6, 300_000], [1, 2, 500_000]];

#[cfg(unix)]
#[test]
fn payments_are_judged_by_the_rules_of_their_time_however_often_the_run_is_killed() {
    use common::kills::{kill_again_and_again, run_to_the_end};
    use common::random::Seed;

    let seed = common::given("FLOW_SEED", 1);
    let _seed = Seed(seed);
    let mut random = common::random::Random::of(seed);
    let (_keep, shop) = folder();
    fs::create_dir(shop.join("payments")).expect("the folder is writable");
    let log = shop.join("state");
    let unbounded = || fraud(&shop);
    let bounded = || {
        let mut command = unbounded();
        command.args(["--rate", "8000"]);
        command
    };
    let (mut made, mut resumed) = (Shop::new(), 0);
    for (n, limits) in LIMITS.into_iter().enumerate() {
        // The first rules are for all; later ones begin in the middle of what is paid next.
        made.change(&shop, if n == 0 { 0 } else { 400 }, limits);
        // A run that has nothing else to read commits them, before any payment comes that they are for.
        succeed(&mut unbounded());
        made.pay(&shop, 800);
        let kills = kill_again_and_again(&mut random, 4, &log, false, bounded, |_| {});
        resumed += kills.resumed.len();
        succeed(&mut unbounded());
    }
    assert!(resumed > 2, "{resumed} epochs resumed from");
    let outputs = ["alerts.csv", "unreadable.jsonl", "untimed.csv"].map(|name| shop.join(name));
    let finished = || {
        let mut command = unbounded();
        command.arg("--finish");
        command
    };
    run_to_the_end("fraud", finished, &outputs);
    let expected = reference(&made.rows, &made.changes);
    assert_eq!(written(&shop), expected);
    // Each of the rules has been broken, in each of its versions, and there are rows of both other kinds.
    for ((name, _), limit) in LIMITS.iter().flat_map(|limits| RULES.into_iter().zip(limits)) {
        let ending = format!(",{limit}");
        let breaks = |row: &&String| row.contains(name) && row.ends_with(&ending);
        assert!(expected.alerts.iter().any(|row| breaks(&row)), "nothing breaks {name} of {limit}");
    }
    assert!(expected.unreadable.len() > 5 && expected.untimed.len() > 5);
}

#[test]
fn a_shop_is_made_once_and_judged() {
    let (_keep, shop) = folder();
    let shop = shop.join("new");
    let generate = || {
        let mut command = example("fraud");
        command.arg(&shop).args(["--generate", "500", "--finish"]);
        command
    };
    succeed(&mut generate());
    let first = fs::read_to_string(shop.join("payments/terminal-2.csv")).expect("it was made");
    assert_eq!(first.lines().count(), 501);
    succeed(generate().args(["--seed", "8"]));
    let second = fs::read_to_string(shop.join("payments/terminal-2.csv")).expect("it is there");
    assert!(first == second, "a shop that is there was made anew");
    let made = ["1", "2", "3"]
        .map(|n| fs::read_to_string(shop.join(format!("payments/terminal-{n}.csv"))));
    let made = made.map(|text| text.expect("it was made"));
    let rows: Vec<_> =
        made.iter().flat_map(|text| text.lines().skip(1).map(str::to_owned)).collect();
    // Rules and payments are read side by side here, so which alerts there are is not certain; all else is.
    let (written, expected) = (written(&shop), reference(&rows, &[]));
    assert_eq!((written.unreadable, written.untimed), (expected.unreadable, expected.untimed));
    let message = common::fail(example("fraud").arg(shop.join("nothing")), 1);
    assert!(message.contains("nothing"), "{message}");
}

#[test]
fn a_payment_is_judged_by_the_changes_up_to_one_whatever_happens() {
    let at = |n: u64| FIRST_DAY + n as i64 * 7_000;
    let pay = |n: u64| -> Result<Payment, BadRow> {
        let card = if n.is_multiple_of(5) { "b" } else { "a" }.to_owned();
        Ok(Payment { id: n, card, at: Some(at(n)), merchant: (n % 4) as u32, cents: 100 * n })
    };
    let bad = BadRow { file: "t".into(), line: 9, message: "no".into(), text: "what".into() };
    let mut first: Vec<_> = (1..16).map(pay).collect();
    first.insert(5, Err(bad.clone()));
    let untimed = Payment { id: 99, card: "a".into(), at: Some(7), merchant: 1, cents: 1 };
    first.insert(8, Ok(untimed));
    let second: Vec<_> = (16..24).map(pay).collect();
    let changes: Vec<_> = [(0, 4), (at(9), 2), (at(5), 3)]
        .into_iter()
        .map(|(from, limit)| Change { from, rule: Rule::PaymentsPerMinute, limit })
        .collect();
    let paid: Vec<Paid> = (first.iter().chain(&second).flatten())
        .filter(|p| p.id != 99)
        .map(|p| (p.id, p.card.clone(), p.at.expect("it has one"), p.merchant, p.cents))
        .collect();
    // By payment, what it comes to with no changes, with one, with two, ..
    let by_payment = |alerts: BTreeSet<String>| {
        let of =
            |row: &str| row.split(',').nth(1).and_then(|id| id.parse::<u64>().ok()).expect("an id");
        let mut payments: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for row in alerts {
            payments.entry(of(&row)).or_default().insert(row);
        }
        payments
    };
    let possible: Vec<_> =
        (0..=changes.len()).map(|known| by_payment(alerts(&paid, &changes[..known]))).collect();
    assert!(possible[3].len() > 5 && possible[3] != possible[1], "{possible:?}");
    let report = Sim::new(move |world| {
        program::fraud(
            world.partitions("terminals", [first.clone(), second.clone()]),
            world.source("desk", changes.clone()),
            CsvFile::at(world.output("alerts")),
            JsonLinesFile::at(world.output("unreadable")),
            CsvFile::at(world.output("untimed")),
        )
    })
    .rechunk()
    .crash_everywhere()
    .at_most(200)
    // Payments and changes may pass each other.
    .any_order_of_arrival()
    .check(move |outcome| {
        let rows = outcome.rows::<String>("alerts");
        let unique: BTreeSet<_> = rows.iter().cloned().collect();
        assert_eq!(unique.len(), rows.len(), "alerts are there twice");
        let found = by_payment(unique);
        for (id, ..) in &paid {
            let is_right = possible.iter().any(|known| known.get(id) == found.get(id));
            assert!(is_right, "payment {id}: {:?} comes of no changes up to one", found.get(id));
        }
        let bad_rows = outcome.rows::<String>("unreadable");
        assert_eq!(bad_rows, [serde_json::to_string(&bad).expect("it can be written")]);
        assert_eq!(outcome.rows::<String>("untimed"), ["99,a,7,1,1"]);
    })
    .run();
    assert!(report.crashes > 100, "{report:?}");
}
