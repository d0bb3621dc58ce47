//! Cars of a seeded car park: where each has been when it leaves.
//!
//! `parking [--events N] [--seed N] (--out FILE | --epochs FOLDER)`: every car that leaves is a row `plate,since,until,places`. What is kept of a
//! car is forgotten then, so the recovery log is as large as the car park is full, however many cars have come and gone.

use std::path::PathBuf;

use clap::Parser;
use flow_runtime::io::{CsvFile, EpochFiles, Sink, Source, generate};
use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

/// What a camera sees.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    plate: String,
    /// The number of the event, for want of a clock.
    time: u64,
    /// `None` at the gate, on the way out.
    place: Option<u16>,
}

/// A car that is in.
#[stateful]
#[derive(Clone, Debug)]
struct Stay {
    since: u64,
    places: Vec<u16>,
}

/// A car that has left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Visit {
    since: u64,
    until: u64,
    places: String,
}

/// Follows a car. One that leaves is forgotten; one that was never seen inside has not been there.
#[stateful_filter_map]
fn follow(stay: &mut Option<Stay>, _plate: &str, seen: Seen) -> Option<Visit> {
    match seen.place {
        Some(place) => {
            let stay = stay.get_or_insert_with(|| Stay { since: seen.time, places: Vec::new() });
            stay.places.push(place);
            None
        }
        None => {
            let Stay { since, places } = stay.take()?;
            let places = places.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
            Some(Visit { since, until: seen.time, places })
        }
    }
}

#[dataflow]
fn parking<C: Source<Item = Seen>, S: Sink<Keyed<String, Visit>>>(cameras: C, out: S) {
    let all = source(cameras);
    let by_plate = key_by_ref(all, |seen| seen.plate.as_str());
    let visits = follow(by_plate);
    sink(visits, out);
}

/// Cameras that the seed decides: of 3,000 cars one is seen, at one of 400 places or, one time in six, at the gate.
fn cameras(seed: u64, count: u64) -> impl Source<Item = Seen> {
    generate(seed, 0..count, |random, time| Seen {
        plate: format!("FL {:04}", random.below(3000)),
        time,
        place: (random.below(6) > 0).then(|| random.below(400) as u16),
    })
}

/// Writes down where cars have been.
#[derive(Parser)]
struct Args {
    /// How often a camera sees a car
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,

    /// Decides which, and where
    #[arg(long, default_value_t = 42)]
    seed: u64,

    /// Write the visits to this file
    #[arg(long, value_name = "FILE", required_unless_present = "epochs")]
    out: Option<PathBuf>,

    /// Write them to a file for each epoch in this folder; needs `--recovery`
    #[arg(long, value_name = "FOLDER", conflicts_with = "out")]
    epochs: Option<PathBuf>,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let cameras = cameras(args.seed, args.events);
    match (args.out, args.epochs) {
        (_, Some(folder)) => parking(cameras, EpochFiles::csv(folder)).with(args.run).run(),
        (out, None) => {
            let out = CsvFile::at(out.unwrap_or_else(|| PathBuf::from("visits.csv")));
            parking(cameras, out).with(args.run).run()
        }
    }
}

#[cfg(test)]
#[test]
fn what_is_saved_fits_the_lock() -> Result<(), flow_runtime::Error> {
    let flow = parking(cameras(42, 0), CsvFile::at("visits.csv"));
    flow_runtime::schema_lock::check("schemas/parking.lock", &flow)
}
