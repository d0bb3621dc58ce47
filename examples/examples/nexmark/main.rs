//! The queries of the Nexmark benchmark over an online auction: persons, auctions, bids.
//!
//! `nexmark --query QUERY --out FILE [--events N] [--seed N] [--events-per-second N]` writes a query's rows as CSV without a header. `--dump FILE` writes the
//! events as lines of JSON, from which `nexmark-check.py` finds the same rows by SQL.
//!
//! No row depends on the order in which events arrive, except in q12. Sorted, the rows are the same for any number of workers, and however often a
//! run was killed. Windows are closed at the end of the events: with `--recovery DIR` say `--finish` for that. An event behind the watermark
//! would end the run with an error; there is none, since the generator's disorder is bounded.
//!
//! | file | what it owns |
//! |---|---|
//! | `events` | the events, as a source |
//! | `lines` | the events for another engine |
//! | `stateless` | q0 pass through, q1 currency, q2 selection |
//! | `local` | q3 local item suggestion |
//! | `sales` | q4 average price by category, q6 by seller |
//! | `most` | q5 hot items, q7 highest bid |
//! | `users` | q8 new users, q11 user sessions, q12 processing time windows |
//!
//! Each file's header says what the columns are.

mod events;
mod lines;
mod local;
mod most;
mod sales;
mod stateless;
mod users;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use flow_runtime::io::{CsvFile, JsonLinesFile};
use flow_runtime::prelude::*;

use events::Events;
use lines::dump;
use local::q3;
use most::{q5, q7};
use sales::{q4, q6};
use stateless::{q0, q1, q2};
use users::{q8, q11, q12};

/// In milliseconds since 1970. No event is older.
fn ms(at: Timestamp) -> u64 {
    at.since(Timestamp(0)).as_millis() as u64
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Query {
    Q0,
    Q1,
    Q2,
    Q3,
    Q4,
    Q5,
    Q6,
    Q7,
    Q8,
    Q11,
    Q12,
}

/// Runs a query of the Nexmark benchmark.
#[derive(Parser)]
struct Args {
    /// Which
    #[arg(long, requires = "out", required_unless_present = "dump")]
    query: Option<Query>,

    /// How many events there are
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(..=Events::MOST))]
    events: u64,

    /// Decides what they are
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=Events::LAST_SEED))]
    seed: u64,

    /// How many of them happen in a second of event time
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=Events::FASTEST))]
    events_per_second: u64,

    /// Write all events to this file first
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,

    /// Write the rows of the query to this file
    #[arg(long, value_name = "FILE", requires = "query")]
    out: Option<PathBuf>,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let events = Events::new(args.events, args.seed, args.events_per_second);
    if let Some(file) = args.dump {
        dump(events, JsonLinesFile::at(file)).workers(1).spawn()?.wait()?;
    }
    let (Some(query), Some(out)) = (args.query, args.out) else { return Ok(()) };
    let (out, run, disorder) = (CsvFile::at(out), args.run, events.disorder());
    match query {
        Query::Q0 => q0(events, out).with(run).run(),
        Query::Q1 => q1(events, out).with(run).run(),
        Query::Q2 => q2(events, out).with(run).run(),
        Query::Q3 => q3(events, out).with(run).run(),
        Query::Q4 => q4(events, disorder, out).with(run).run(),
        Query::Q5 => q5(events, disorder, out).with(run).run(),
        Query::Q6 => q6(events, disorder, out).with(run).run(),
        Query::Q7 => q7(events, disorder, out).with(run).run(),
        Query::Q8 => q8(events, disorder, out).with(run).run(),
        Query::Q11 => q11(events, disorder, out).with(run).run(),
        Query::Q12 => q12(events, disorder, out).with(run).run(),
    }
}

#[cfg(test)]
#[test]
fn what_is_saved_fits_the_locks() -> Result<(), flow_runtime::Error> {
    use flow_runtime::schema_lock::check;

    let events = Events::new(0, 0, 1);
    let (out, disorder) = (CsvFile::at("rows.csv"), events.disorder());
    check("schemas/nexmark/q3.lock", &q3(events, out.clone()))?;
    check("schemas/nexmark/q4.lock", &q4(events, disorder, out.clone()))?;
    check("schemas/nexmark/q5.lock", &q5(events, disorder, out.clone()))?;
    check("schemas/nexmark/q6.lock", &q6(events, disorder, out.clone()))?;
    check("schemas/nexmark/q7.lock", &q7(events, disorder, out.clone()))?;
    check("schemas/nexmark/q8.lock", &q8(events, disorder, out.clone()))?;
    check("schemas/nexmark/q11.lock", &q11(events, disorder, out.clone()))?;
    check("schemas/nexmark/q12.lock", &q12(events, disorder, out))
}
