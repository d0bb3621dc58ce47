//! The same keyed state with a recovery log, beside itself without one.

use std::cell::Cell;
use std::time::Duration;

use flow_runtime::prelude::*;
use flow_runtime::{RecoveryLog, Summary};

use crate::harness::{Measured, Options, compare_with};
use crate::works::keyed::{on_flow, records};

/// Where logs are written: beside the program, which is a disk and not memory on most machines.
pub fn folder() -> tempfile::TempDir {
    let program = std::env::current_exe().expect("a program has a path");
    tempfile::tempdir_in(program.parent().expect("a program lies in a folder"))
        .expect("makes a folder")
}

fn against_itself(
    work: &'static str,
    options: &Options,
    records: u64,
    epochs: Option<EpochPolicy>,
) -> Measured {
    let last: Cell<Option<Summary>> = Cell::new(None);
    let mut measured = compare_with(
        "nondurable",
        work,
        options,
        records,
        || on_flow(records, options.workers, epochs, None).0,
        || {
            let folder = folder();
            let log = RecoveryLog::at(folder.path());
            let (sum, summary) = on_flow(records, options.workers, epochs, Some(log));
            last.set(Some(summary));
            sum
        },
    );
    if let Some(summary) = last.take() {
        let saved = summary.saved;
        let each = |whole: f64| whole / saved.entries.max(1) as f64;
        measured.more = format!(
            " epochs={} entries={} bytes_per_entry={:.1} gather_ns_per_entry={:.1} longest_pause_ms={:.2} epochs_per_s={:.0}",
            summary.epochs,
            saved.entries,
            each(saved.bytes as f64),
            each(saved.gathering.as_nanos() as f64),
            saved.longest_pause.as_secs_f64() * 1e3,
            summary.epochs as f64 / summary.elapsed.as_secs_f64(),
        );
        println!(" {}", measured.more);
    }
    measured
}

pub fn each_second(options: &Options) -> Measured {
    let epochs = EpochPolicy::every(Duration::from_secs(1));
    against_itself("durable_second", options, records(options), Some(epochs))
}

pub fn each_million(options: &Options) -> Measured {
    let epochs = EpochPolicy::items(1_000_000);
    against_itself("durable_million", options, records(options), Some(epochs))
}

pub fn each_item(options: &Options) -> Measured {
    let records = if options.quick { 10_000 } else { 100_000 };
    against_itself("durable_item", options, records, None)
}
