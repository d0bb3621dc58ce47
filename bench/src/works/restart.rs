//! How long a start takes that loads the state of many keys, beside a plain read of the log's files.

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use flow_runtime::Running;
use flow_runtime::io::{Source, from_iter};
use flow_runtime::prelude::*;
use tempfile::TempDir;

use crate::child::{Outcome, timed};
use crate::options::Job;
use crate::tally::Sum;
use crate::works::durable::folder;
use crate::works::keyed::{Totals, record};
use crate::works::{Side, Work};

#[stateful_map]
fn seen(state: &mut Totals, _key: &u64, _item: u64) -> u64 {
    let _ = state;
    0
}

#[dataflow]
fn distinct<L: Source<Item = u64>>(numbers: L) {
    let all = source(numbers);
    let by_number = key_by(all, |n| record(*n));
    let states = seen(by_number);
    discard(states, "only the state is of interest");
}

/// Reads all files of a folder once.
fn read(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).expect("the folder is there").flatten() {
        let path = entry.path();
        bytes += if path.is_dir() {
            read(&path)
        } else {
            fs::read(path).map_or(0, |all| all.len() as u64)
        };
    }
    bytes
}

/// A million keys.
pub const ONE: Work = Work::new(
    "restart_1m",
    &[
        Side::new("raw_read", |job| raw(job, 1_000_000)),
        Side::new("flow", |job| start(job, 1_000_000)),
    ],
);
/// Four million.
pub const FOUR: Work = Work::new(
    "restart_4m",
    &[
        Side::new("raw_read", |job| raw(job, 4_000_000)),
        Side::new("flow", |job| start(job, 4_000_000)),
    ],
);
/// Sixteen million.
pub const SIXTEEN: Work = Work::new(
    "restart_16m",
    &[
        Side::new("raw_read", |job| raw(job, 16_000_000)),
        Side::new("flow", |job| start(job, 16_000_000)),
    ],
);

/// Starts on the log in a folder; the first time it is made.
fn begin(folder: &Path, keys: u64, workers: usize) -> Running {
    let flow = distinct(from_iter(0..keys)).workers(workers).recovery(folder);
    // No epoch ends but the last.
    let flow = flow.epochs(EpochPolicy::every(Duration::from_secs(3600)));
    flow.spawn().expect("the dataflow starts")
}

/// A log of so many keys.
fn log(keys: u64, workers: usize) -> TempDir {
    let folder = folder();
    begin(folder.path(), keys, workers).wait().expect("the dataflow runs");
    // It is read once before either side reads it, so that it lies in the system's memory for both.
    read(folder.path());
    folder
}

fn raw(job: &Job, keys: u64) -> Outcome {
    let keys = job.scaled(keys);
    let folder = log(keys, job.workers);
    timed(keys, || {
        read(folder.path());
        Sum { items: keys, sum: 0 }
    })
}

/// Timed is the whole of a start: to where all state is loaded, and the stop.
fn start(job: &Job, keys: u64) -> Outcome {
    let keys = job.scaled(keys);
    let folder = log(keys, job.workers);
    let gigabytes = read(folder.path()) as f64 / 1e9;
    let outcome = timed(keys, || {
        let running = begin(folder.path(), keys, job.workers);
        let keys = loop {
            if let Some(report) = running.recovered() {
                break report.steps.iter().map(|step| step.keys).sum();
            }
            thread::sleep(Duration::from_millis(1));
        };
        running.stop_blocking().expect("the dataflow stops");
        Sum { items: keys, sum: 0 }
    });
    let wall = outcome.wall_s;
    outcome
        .with("log_mb", gigabytes * 1e3)
        .with("seconds", wall)
        .with("seconds_per_gb", wall / gigabytes)
}
