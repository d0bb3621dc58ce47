//! The Nexmark queries, run as programs and killed: what they write is what plain loops over the same events come to.
//!
//! `FLOW_SEED` decides when runs are killed, but for the speed of the machine.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code)] // The source is read as a list here.
#[path = "../../examples/nexmark/events.rs"]
mod events;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::process::{Process, committed};
use common::random::{Random, Seed};
use common::{example, folder, given, succeed};
use events::{Event, Events};
use reference::Reference;

const QUERIES: [&str; 11] = ["q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q11", "q12"];

/// A hundred seconds, which are ten windows and more than the life of an auction.
const EVENTS: u64 = 20_000;
const PER_SECOND: u64 = 200;

/// All of them.
fn made() -> impl Iterator<Item = Event> {
    let events = Events::new(EVENTS, 3, PER_SECOND);
    events.generator().take(EVENTS as usize).map(Event::from)
}

fn program(query: &str, out: &Path) -> Command {
    let mut command = example("nexmark");
    command.args(["--query", query, "--seed", "3", "--events", &EVENTS.to_string()]);
    command.args(["--events-per-second", &PER_SECOND.to_string()]).arg("--out").arg(out);
    command
}

/// What was written, sorted. Of q12 the bids of each bidder: when they were read is of no account.
fn written(query: &str, out: &Path) -> Vec<String> {
    let text = fs::read_to_string(out).expect("the output was written");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    if query == "q12" {
        let mut bidders: BTreeMap<&str, u64> = BTreeMap::new();
        for line in text.lines() {
            let fields: Vec<_> = line.split(',').collect();
            let [bidder, start, bids] = fields[..] else { panic!("{line} has three columns") };
            assert!(start.ends_with("0000"), "windows begin every ten seconds: {line}");
            *bidders.entry(bidder).or_default() += bids.parse::<u64>().expect("it is a number");
        }
        lines = bidders.iter().map(|(bidder, bids)| format!("{bidder},{bids}")).collect();
    }
    lines.sort_unstable();
    lines
}

/// Compares without printing thousands of lines.
fn compare(what: &str, found: &[String], expected: &[String]) {
    assert!(!expected.is_empty(), "{what}: there is nothing to compare");
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    let at = differs.unwrap_or_else(|| found.len().min(expected.len()));
    assert!(
        found == expected,
        "{what}: {} rows, expected were {}; row {at} is {:?}, expected was {:?}",
        found.len(),
        expected.len(),
        found.get(at),
        expected.get(at)
    );
}

#[test]
fn queries_are_like_loops_with_any_number_of_workers() {
    let (_keep, folder) = folder();
    let reference = Reference::of(made());
    for query in QUERIES {
        let expected = reference.rows(query);
        for workers in ["1", "3"] {
            let out = folder.join(format!("{query}-{workers}.csv"));
            succeed(program(query, &out).args(["--workers", workers]));
            compare(&format!("{query}, {workers} workers"), &written(query, &out), &expected);
        }
    }
}

/// Kills runs of a query until one has been killed so often or ends by itself. Answers how many had committed something new.
fn kill_and_finish(query: &str, random: &mut Random, folder: &Path, most: u64) -> u64 {
    let (out, log) = (folder.join(format!("{query}.csv")), folder.join(query));
    let command = || {
        let mut command = program(query, &out);
        command.arg("--recovery").arg(&log).args(["--epoch", "5ms", "--finish"]);
        command
    };
    let mut kills = 0;
    let mut workers = 1 + random.below(4);
    while kills < most {
        let before = committed(&log);
        let workers_now = workers.to_string();
        let mut run =
            Process::start(command().args(["--rate", "40000", "--workers", &workers_now]));
        run.until("a commit", |_| committed(&log) > before);
        thread::sleep(Duration::from_micros(random.below(100_000)));
        if !run.kill() {
            break;
        }
        kills += 1;
        // Each run has another number of workers than the one before, 1 to 4.
        workers = 1 + (workers + random.below(3)) % 4;
    }
    succeed(command().args(["--workers", &workers.to_string()]));
    kills
}

#[test]
fn queries_that_are_killed_write_what_undisturbed_ones_do() {
    let seed = given("FLOW_SEED", 1);
    let (_seed, mut random) = (Seed(seed), Random::of(seed));
    let (_keep, folder) = folder();
    let reference = Reference::of(made());
    let mut kills = 0;
    for query in QUERIES {
        kills += kill_and_finish(query, &mut random, &folder, 3);
        let found = written(query, &folder.join(format!("{query}.csv")));
        compare(&format!("{query}, killed"), &found, &reference.rows(query));
    }
    assert!(kills >= QUERIES.len() as u64, "runs end before they are killed: {kills} kills");
}

#[test]
fn events_come_out_of_order_and_are_written_for_others() {
    let events: Vec<_> = made().take(1_000).collect();
    assert!(events.windows(2).any(|pair| pair[0].time_ms() > pair[1].time_ms()));
    // Each group has the kinds in their proportions, whatever the order.
    let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Person(_))), 20);
    assert_eq!(count(|event| matches!(event, Event::Auction(_))), 60);

    let (_keep, folder) = folder();
    let lines = folder.join("events.jsonl");
    let mut command = example("nexmark");
    command.args(["--seed", "3", "--events", "1000", "--events-per-second", "200"]);
    succeed(command.arg("--dump").arg(&lines));
    let text = fs::read_to_string(&lines).expect("the events were written");
    let line = |event: &Event| match event {
        Event::Person(p) => format!(
            r#"{{"kind":"person","id":{},"name":"{}","city":"{}","state":"{}","time_ms":{}}}"#,
            p.id, p.name, p.city, p.state, p.time_ms
        ),
        Event::Auction(a) => format!(
            r#"{{"kind":"auction","id":{},"seller":{},"category":{},"time_ms":{},"expires_ms":{}}}"#,
            a.id, a.seller, a.category, a.time_ms, a.expires_ms
        ),
        Event::Bid(b) => format!(
            r#"{{"kind":"bid","auction":{},"bidder":{},"price":{},"time_ms":{}}}"#,
            b.auction, b.bidder, b.price, b.time_ms
        ),
    };
    let mut found: Vec<_> = text.lines().map(str::to_owned).collect();
    let mut expected: Vec<_> = events.iter().map(line).collect();
    found.sort_unstable();
    expected.sort_unstable();
    compare("the dump", &found, &expected);
}
