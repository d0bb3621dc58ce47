//! Joins, against plain loops over all items of both sides.
//!
//! | file | what it looks at |
//! |---|---|
//! | `main` | rows, and what the others need |
//! | `interval`, `window`, `as_of`, `table` | one join each |
//! | `refused` | what cannot be joined, and what a join says about itself |

mod as_of;
mod interval;
mod refused;
mod table;
mod window;

use std::marker::PhantomData;
use std::time::Duration;

use flow_runtime::prelude::*;
use flow_tests::rng::Rng;

/// Key, time in seconds, number.
type Row = (u8, i64, u32);

/// A row of each side that there is, and the time that the item had.
type Found = (i64, Option<Row>, Option<Row>);

const SECOND: Duration = Duration::from_secs(1);

fn at(row: &Row) -> Timestamp {
    Timestamp::from_secs(row.1)
}

fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000_000)
}

/// Puts the event time of an item beside it.
struct Stamp<T>(PhantomData<fn(T)>);

impl<T: Item> Process for Stamp<T> {
    type Key = u8;
    type In = T;
    type Out = (i64, T);
    type State = bool;
    type Timer = ();
    fn on_item(&self, _: &mut Option<bool>, item: T, cx: &mut ProcessContext<'_, Self>) {
        cx.emit((seconds(cx.time()), item));
    }
}

fn stamp<T>() -> Stamp<T> {
    Stamp(PhantomData)
}

/// Rows of some partitions. Each comes at most `bound` seconds behind the latest before it in its partition. The last partition is empty.
fn rows(rng: &mut Rng, partitions: usize, each: usize, bound: usize) -> Vec<Vec<Row>> {
    let mut number = 0;
    let mut partition = || {
        let mut at = -60_i64;
        let mut rows = Vec::new();
        for _ in 0..each {
            at += rng.below(5) as i64 * i64::from(!rng.once_in(3));
            // Now and then nothing for long.
            at += 40 * i64::from(rng.once_in(20));
            number += 1;
            rows.push((rng.below(4) as u8, at - rng.below(bound + 1) as i64, number));
        }
        rows
    };
    (0..partitions).map(|_| partition()).chain([Vec::new()]).collect()
}

/// The sides of a row that is alone.
fn flipped(either: Either<Row, Row>) -> (Option<Row>, Option<Row>) {
    match either {
        Either::Left(row) => (Some(row), None),
        Either::Right(row) => (None, Some(row)),
    }
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

/// The rows without those that were late.
fn without(mut rows: Vec<Row>, late: impl Iterator<Item = Row>) -> Vec<Row> {
    for late in late {
        let at = rows.iter().position(|row| *row == late);
        rows.remove(at.expect("what is late was there"));
    }
    rows
}
