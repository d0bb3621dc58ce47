//! What windows and event time cost: the same items counted by key without them, in windows of a minute, and in the last minute every second;
//! and with times among which event time stands still, or goes on with each batch.
//!
//! Everything is beside the first side, so a hopping window that costs half as much again as a tumbling one shows as a ratio of 0.67.

use std::time::Duration;

use flow_runtime::io::{Sink, Source, for_each};
use flow_runtime::prelude::*;
use flow_runtime::windows::{WindowKind, Windowed};

use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::Whole;
use crate::works::keyed::record;
use crate::works::{Side, Work};

/// Tumbling windows beside a count without windows.
pub const TUMBLING: Work = Work {
    workers: Some(1),
    ..Work::new("window_tumbling", &[Side::new("count", counted), Side::new("flow", tumbling)])
};

/// Hopping windows beside tumbling ones.
pub const HOPPING: Work = Work {
    workers: Some(1),
    ..Work::new(
        "window_hopping",
        &[Side::new("tumbling", tumbling_items), Side::new("flow", hopping_items)],
    )
};

/// Items with event times, of which the watermark goes down to every step with each batch, beside such of which none is later than the first, so
/// that there is nothing to tell; and beside items without times.
pub const WATERMARKS: Work = Work {
    workers: Some(1),
    ..Work::new(
        "watermarks",
        &[Side::new("still", still), Side::new("flow", moving), Side::new("untimed", counted)],
    )
};

const ITEMS: u64 = 20_000_000;
const KEYS: u64 = 1_000;
/// Items in a second of event time: ten minutes in all.
const A_SECOND: u64 = ITEMS / 600;

/// An item: its number, which gives key and time.
fn key(n: u64) -> u64 {
    record(n) % KEYS
}

fn time(n: &u64) -> Timestamp {
    Timestamp::from_micros((n * 1_000_000 / A_SECOND) as i64)
}

fn time_backwards(n: &u64) -> Timestamp {
    Timestamp::from_micros(-((n * 1_000_000 / A_SECOND) as i64))
}

#[dataflow]
fn windowed<N, W, S>(numbers: N, kind: W, out: S)
where
    N: Source<Item = u64>,
    W: WindowKind + Send,
    S: Sink<Stream<Windowed<u64>>>,
{
    let all = source(numbers);
    let timed = event_time(all, time, Disorder::none());
    let by_key = key_by(timed, |n| key(*n));
    let (counts, late) = window(by_key, kind, aggregate::count());
    fail(late);
    let results = values(counts);
    sink(results, out);
}

/// How many items were counted, by windows of a kind. Hopping windows count each item many times: the sum is divided by that.
fn run_windows(job: &Job, kind: impl WindowKind + Send, times: u64) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let out = for_each(move |window: Windowed<u64>| {
            let sum = part.sum();
            sum.sum = sum.sum.wrapping_add(window.value);
        });
        let numbers = Numbered::new(items, job.workers, |n| n);
        side::flow::run(windowed(numbers, kind, out), job.workers);
        let mut sum = whole.sum();
        sum.sum /= times;
        sum
    })
}

const MINUTE: Duration = Duration::from_secs(60);

fn tumbling(job: &Job) -> Outcome {
    run_windows(job, Tumbling::of(MINUTE), 1)
}

fn tumbling_items(job: &Job) -> Outcome {
    run_windows(job, Tumbling::of(MINUTE), 1)
}

fn hopping_items(job: &Job) -> Outcome {
    run_windows(job, Hopping::of(MINUTE, Duration::from_secs(1)), 60)
}

#[dataflow]
fn count_all<N, S>(numbers: N, out: S)
where
    N: Source<Item = u64>,
    S: Sink<Stream<u64>>,
{
    let all = source(numbers);
    let by_key = key_by(all, |n| key(*n));
    let counts = total(by_key, aggregate::count());
    let results = values(counts);
    sink(results, out);
}

#[dataflow]
fn count_all_timed<N, T, S>(numbers: N, time: T, out: S)
where
    N: Source<Item = u64>,
    T: Fn(&u64) -> Timestamp + Clone + Send + 'static,
    S: Sink<Stream<u64>>,
{
    let all = source(numbers);
    let timed = event_time(all, time, Disorder::none());
    let by_key = key_by(timed, |n| key(*n));
    let counts = total(by_key, aggregate::count());
    let results = values(counts);
    sink(results, out);
}

/// Counts all items by key, without times or with such as a function gives.
fn run_counts(
    job: &Job,
    time: Option<impl Fn(&u64) -> Timestamp + Clone + Send + 'static>,
) -> Outcome {
    let items = job.scaled(ITEMS);
    timed(items, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let out = for_each(move |count: u64| {
            let sum = part.sum();
            sum.sum = sum.sum.wrapping_add(count);
        });
        let numbers = Numbered::new(items, job.workers, |n| n);
        match time {
            Some(time) => side::flow::run(count_all_timed(numbers, time, out), job.workers),
            None => side::flow::run(count_all(numbers, out), job.workers),
        };
        whole.sum()
    })
}

fn counted(job: &Job) -> Outcome {
    run_counts(job, None::<fn(&u64) -> Timestamp>)
}

fn moving(job: &Job) -> Outcome {
    run_counts(job, Some(time))
}

fn still(job: &Job) -> Outcome {
    run_counts(job, Some(time_backwards))
}
