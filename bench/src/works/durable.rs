//! The same keyed state with a recovery log, beside itself without one.

use std::time::Duration;

use flow_runtime::prelude::*;
use flow_runtime::{RecoveryLog, Summary};

use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::tally::Sum;
use crate::works::keyed::{keys, record, records, run};
use crate::works::{Side, Work};

/// An epoch a second.
pub const EACH_SECOND: Work = Work::new(
    "durable_second",
    &[
        Side::new("nondurable", |job| without(records(job), |log| state(job, second(), log))),
        Side::new("flow", |job| with_log(records(job), |log| state(job, second(), log))),
    ],
);

/// An epoch each million records.
pub const EACH_MILLION: Work = Work::new(
    "durable_million",
    &[
        Side::new("nondurable", |job| without(records(job), |log| state(job, million(), log))),
        Side::new("flow", |job| with_log(records(job), |log| state(job, million(), log))),
    ],
);

/// An epoch for each record.
pub const EACH_ITEM: Work = Work::new(
    "durable_item",
    &[
        Side::new("nondurable", |job| without(job.scaled(ITEMS), |log| items(job, log))),
        Side::new("flow", |job| with_log(job.scaled(ITEMS), |log| items(job, log))),
    ],
);

/// Records where each is an epoch.
const ITEMS: u64 = 100_000;

fn second() -> EpochPolicy {
    EpochPolicy::every(Duration::from_secs(1))
}

fn million() -> EpochPolicy {
    EpochPolicy::items(1_000_000)
}

fn state(job: &Job, epochs: EpochPolicy, log: Option<RecoveryLog>) -> (Sum, Summary) {
    let source = Numbered::new(records(job), job.workers, record);
    run(source, keys(job), job.workers, epochs, log)
}

fn items(job: &Job, log: Option<RecoveryLog>) -> (Sum, Summary) {
    let records = (0..job.scaled(ITEMS)).map(|n| (n, record(n)));
    run(epochs_from(records), keys(job), job.workers, EpochPolicy::default(), log)
}

/// Where logs are written: beside the program, which is a disk and not memory on most machines.
pub fn folder() -> tempfile::TempDir {
    let program = std::env::current_exe().expect("a program has a path");
    tempfile::tempdir_in(program.parent().expect("a program lies in a folder"))
        .expect("makes a folder")
}

fn without(items: u64, run: impl FnOnce(Option<RecoveryLog>) -> (Sum, Summary)) -> Outcome {
    timed(items, || run(None).0)
}

fn with_log(items: u64, run: impl FnOnce(Option<RecoveryLog>) -> (Sum, Summary)) -> Outcome {
    let folder = folder();
    let mut told = None;
    let outcome = timed(items, || {
        let (sum, summary) = run(Some(RecoveryLog::at(folder.path())));
        told = Some(summary);
        sum
    });
    let Some(summary) = told else { return outcome };
    let saved = summary.saved;
    let each = |whole: f64| whole / saved.entries.max(1) as f64;
    outcome
        .with("epochs", summary.epochs as f64)
        .with("entries", saved.entries as f64)
        .with("bytes_per_entry", each(saved.bytes as f64))
        .with("gather_ns_per_entry", each(saved.gathering.as_nanos() as f64))
        .with("longest_pause_ms", saved.longest_pause.as_secs_f64() * 1e3)
        .with("epochs_per_s", summary.epochs as f64 / summary.elapsed.as_secs_f64())
}
