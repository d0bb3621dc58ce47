//! Late items must be used, and a window takes an aggregate of its items.

use std::time::Duration;

use flow_runtime::io::from_iter;
use flow_runtime::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

#[dataflow]
fn unused(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let timed = event_time(all, |row| Timestamp(row.1), Disorder::none());
    let by_key = key_by(timed, |row| row.0);
    let (counts, late) = window(by_key, Tumbling::of(MINUTE), aggregate::count());
    discard(counts, "only compiled");
}

#[dataflow]
fn bound_to_one(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let timed = event_time(all, |row| Timestamp(row.1), Disorder::none());
    let by_key = key_by(timed, |row| row.0);
    let counts = window(by_key, Tumbling::of(MINUTE), aggregate::count());
    discard(counts, "only compiled");
}

#[dataflow]
fn not_keyed(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let timed = event_time(all, |row| Timestamp(row.1), Disorder::none());
    let (counts, late) = window(timed, Tumbling::of(MINUTE), aggregate::count());
    discard(counts, "only compiled");
    discard(late, "only compiled");
}

#[dataflow]
fn other_items(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let timed = event_time(all, |row| Timestamp(row.1), Disorder::none());
    let by_key = key_by(timed, |row| row.0);
    let (sums, late) = window(by_key, Tumbling::of(MINUTE), aggregate::sum(|n: &u64| *n));
    discard(sums, "only compiled");
    discard(late, "only compiled");
}

fn main() {}
