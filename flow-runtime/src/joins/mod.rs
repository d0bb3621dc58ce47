//! Joins: what is said of them, and what is kept of a key until it has met the other side.
//!
//! The steps are [`window_join`], [`interval_join`], [`as_of_join`], [`table_join`] and [`changelog_join`].
//!
//! | file | what it owns |
//! |---|---|
//! | `outer` | which of what is alone counts as a result: [`Join`] |
//! | `interval` | items that lie near one another in time: [`Interval`], and how they wait |
//! | `as_of` | the version that was valid at a time: [`AsOf`], and how versions are kept |
//!
//! [`window_join`]: enum@crate::steps::window_join
//! [`interval_join`]: enum@crate::steps::interval_join
//! [`as_of_join`]: enum@crate::steps::as_of_join
//! [`table_join`]: enum@crate::steps::table_join
//! [`changelog_join`]: enum@crate::steps::changelog_join

mod as_of;
mod interval;
mod outer;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use flow_macros::stateful;

pub use as_of::AsOf;
pub(crate) use as_of::Valid;
pub use interval::Interval;
pub use outer::{FullOuter, Inner, Join, JoinKind, LeftOuter, NoItem, RightOuter};

use crate::bounds::Item;
use crate::state::{BySerde, Saved};
use crate::steps::Either;
use crate::time::Timestamp;

/// How the items of one key wait for one another. Pure: what it is told and what is kept decide what comes out.
pub(crate) trait Rules<A, B>: 'static {
    /// What is kept for a key.
    type Kept: Saved + Default + 'static;
    /// What comes out of what has met nobody.
    type Alone: 'static;
    /// What a log calls a step that keeps it.
    const SAVED_AS: &'static str;

    /// Whether an item comes too late to be taken.
    fn is_late(&self, at: Timestamp, watermark: Timestamp) -> bool;

    /// Takes an item that is not late.
    fn take(
        &self,
        kept: &mut Self::Kept,
        at: Timestamp,
        item: Either<A, B>,
        watermark: Timestamp,
        emit: &mut impl FnMut(Timestamp, Found<A, B, Self::Alone>),
    );

    /// Event time has come to `until`: decides what is due, gives up what nothing can meet any more.
    fn decide(
        &self,
        kept: &mut Self::Kept,
        until: Timestamp,
        emit: &mut impl FnMut(Timestamp, Found<A, B, Self::Alone>),
    );

    /// When there is something to decide or to give up next. Never [`Timestamp::MAX`], which stands for never.
    fn next(&self, kept: &Self::Kept) -> Option<Timestamp>;

    /// Whether nothing is kept any more.
    fn is_gone(kept: &Self::Kept) -> bool;
}

/// What a join has found, with its event time beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found<A, B, N> {
    /// Two that belong together.
    Pair(A, B),
    /// One that has met nobody.
    Alone(N),
}

/// The latest time at which something can be due.
const LAST: Timestamp = Timestamp(i64::MAX - 1);

/// The first time that is later.
fn behind(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_add(1)).min(LAST)
}

/// An item that is held.
#[stateful]
#[derive(Debug)]
pub(crate) struct Dated<T: Saved> {
    at: Timestamp,
    item: T,
}

impl<T: Item> Dated<BySerde<T>> {
    fn new(at: Timestamp, item: T) -> Self {
        Dated { at, item: BySerde(item) }
    }
}

/// Puts an item behind all that are not later. Most items come in order, and go to the end.
fn insert<T>(all: &mut VecDeque<T>, new: T, at: impl Fn(&T) -> Timestamp) {
    let time = at(&new);
    let place = match all.back() {
        Some(last) if at(last) > time => all.partition_point(|other| at(other) <= time),
        _ => all.len(),
    };
    all.insert(place, new);
}
