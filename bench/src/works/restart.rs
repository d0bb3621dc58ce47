//! How long a start takes that loads the state of many keys, beside a plain read of the log's files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use flow_runtime::io::{Source, from_iter};
use flow_runtime::prelude::*;

use crate::harness::{Measured, Options, compare_with};
use crate::tally::Sum;
use crate::works::durable::folder;
use crate::works::keyed::{Totals, record};

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

fn measure(work: &'static str, options: &Options, keys: u64) -> Measured {
    let keys = if options.quick { keys / 10 } else { keys };
    let folder = folder();
    let start = || {
        let flow = distinct(from_iter(0..keys)).workers(options.workers).recovery(folder.path());
        flow.epochs(EpochPolicy::every(Duration::from_secs(3600)))
            .spawn()
            .expect("the dataflow starts")
    };
    start().wait().expect("the dataflow runs");
    let bytes = read(folder.path());
    let sum = Sum { items: keys, sum: 0 };
    let mut measured = compare_with(
        "raw_read",
        work,
        options,
        keys,
        || {
            read(folder.path());
            sum
        },
        || {
            let running = start();
            let keys = loop {
                if let Some(report) = running.recovered() {
                    break report.steps.iter().map(|step| step.keys).sum();
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            running.stop_blocking().expect("the dataflow stops");
            Sum { items: keys, sum: 0 }
        },
    );
    let began = Instant::now();
    start().wait().expect("the dataflow runs");
    let took = began.elapsed().as_secs_f64();
    measured.more = format!(
        " log_mb={:.0} seconds={took:.3} seconds_per_gb={:.2}",
        bytes as f64 / 1e6,
        took / (bytes as f64 / 1e9)
    );
    println!(" {}", measured.more);
    measured
}

pub fn one(options: &Options) -> Measured {
    measure("restart_1m", options, 1_000_000)
}

pub fn four(options: &Options) -> Measured {
    measure("restart_4m", options, 4_000_000)
}

pub fn sixteen(options: &Options) -> Measured {
    measure("restart_16m", options, 16_000_000)
}
