//! A window without event time upstream, or with a way to it that has none.

use std::time::Duration;

use flow_runtime::io::from_iter;
use flow_runtime::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

#[dataflow]
fn without(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let by_key = key_by(all, |row| row.0);
    let (counts, late) = window(by_key, Tumbling::of(MINUTE), aggregate::count());
    discard(counts, "only compiled");
    discard(late, "only compiled");
}

#[dataflow]
fn unsorted(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let by_key = key_by(all, |row| row.0);
    let (sorted, late) = in_order(by_key);
    discard(sorted, "only compiled");
    discard(late, "only compiled");
}

#[dataflow]
fn one_way(rows: Vec<(u8, i64)>, others: Vec<(u8, i64)>) {
    let first = source(from_iter(rows));
    let timed = event_time(first, |row| Timestamp(row.1), Disorder::none());
    let second = source(from_iter(others));
    let both = merge(timed, second);
    let by_key = key_by(both, |row| row.0);
    let (counts, late) = window(by_key, Session::gap(MINUTE), aggregate::count());
    discard(counts, "only compiled");
    discard(late, "only compiled");
}

/// What comes in is the caller's affair.
#[dataflow]
fn per_minute(rows: Keyed<u8, (u8, i64)>) -> Keyed<u8, Windowed<u64>> {
    let (counts, late) = window(rows, Tumbling::of(MINUTE), aggregate::count());
    discard(late, "only compiled");
    counts
}

#[dataflow]
fn by_sub_flow(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let by_key = key_by(all, |row| row.0);
    let counts = per_minute(by_key);
    discard(counts, "only compiled");
}

fn main() {}
