//! The built-in steps. Each is called by its name inside a `#[dataflow]`, and has an example.
//!
//! They are types, because that is what a call inside of a dataflow is looked up as; there is nothing to do with them
//! anywhere else.

// A built-in step follows the protocol of an annotated function: a type of the step's name with
//
// * `OPERATOR`: what stands in the const graph;
// * `__check(stream, ..)`: the check of the inputs, a call of its own so that it is reported once;
// * `__wire(stream, .., config, ..) -> (tokens, plan)`;
// * `__post(token, ..)`: what must hold for the outputs, reported at the input that the user wrote;
// * where it reaches outside, `__exactly_once(&plan)`: what `delivery = exactly_once` asks of it (`exactly_once.rs`).

#![allow(non_camel_case_types)] // A step is written in lower case where it is wired.

mod aggregating;
mod async_mapping;
mod branching;
mod broadcasting;
mod by_function;
mod chunking;
mod counting;
mod deduping;
mod ends;
mod enriching;
pub(crate) mod exactly_once;
mod gaps;
mod joining;
mod keeping;
mod keying;
mod merging;
mod observe;
mod ordering;
mod processing;
mod rebalancing;
mod reshape;
mod rolling_up;
mod timing;
mod top;
mod totals;
mod windowing;

pub use crate::asynchronous::{Async, AsyncFailed, AsyncReason, Backoff};
pub use aggregating::running;
#[doc(hidden)]
pub use async_mapping::AsyncPlan;
pub use async_mapping::async_map;
pub use branching::{Branch, Either, EitherWays, ResultWays, branch};
pub use broadcasting::broadcast;
pub use by_function::{
    expiring_filter_map, expiring_flat_map, expiring_map, filter, filter_map, flat_map, map,
    stateful_filter_map, stateful_flat_map, stateful_map,
};
pub use chunking::chunk;
pub use counting::count_window;
pub use deduping::dedupe;
pub use ends::{Feed, SourceFlow, discard, fail, sink, source};
pub use enriching::{Cache, enrich};
pub use gaps::{Gap, sequence_gap};
pub use joining::{as_of_join, changelog_join, interval_join, table_join, window_join};
pub use keying::{key_by, key_by_ref};
#[doc(hidden)]
pub use merging::seal as __seal;
pub use merging::{connect, merge};
pub use observe::{Seen, inspect};
pub use ordering::in_order;
pub(crate) use processing::{Entry as ProcessEntry, Processing};
pub use processing::{Process, ProcessContext, process};
pub use rebalancing::rebalance;
pub use reshape::{entries, into_keyed, values};
pub use rolling_up::rollup;
pub use timing::{event_time, try_event_time};
pub use top::top_k;
pub use totals::total;
pub use windowing::{window, window_all};

pub use crate::expiry::Ttl;

use crate::at_home::AtHome;
use crate::bounds::Key;
use crate::consumer::{Consumer, Head};
use crate::host::Batch;
use crate::stream::{Keyed, NoKey, Stream, Token};
use crate::time::Timestamp;

/// A stream whose items can wait in a queue: the key is stored beside the item.
pub trait Queued: Token {
    /// What stands in the queue.
    type Row: 'static;
    /// Puts an item into the queue.
    fn pack(head: Head<'_, Self::Key>, item: Self::Item) -> Self::Row;
    /// The hash of the key.
    fn hash(row: &Self::Row) -> u64;
    /// Takes an item out of the queue.
    fn unpack(row: Self::Row, time: Timestamp, push: impl FnOnce(Head<'_, Self::Key>, Self::Item));
}

impl<T: 'static> Queued for Stream<T> {
    type Row = T;
    #[inline(always)]
    fn pack(_: Head<'_, NoKey>, item: T) -> T {
        item
    }
    #[inline(always)]
    fn hash(_: &T) -> u64 {
        0
    }
    #[inline(always)]
    fn unpack(item: T, time: Timestamp, push: impl FnOnce(Head<'_, NoKey>, T)) {
        push(Head::at(time), item);
    }
}

impl<K: Key, T: 'static> Queued for Keyed<K, T> {
    type Row = (u64, K, T);
    #[inline(always)]
    fn pack(head: Head<'_, K>, item: T) -> Self::Row {
        (head.hash, head.key.clone(), item)
    }
    #[inline(always)]
    fn hash(row: &Self::Row) -> u64 {
        row.0
    }
    #[inline(always)]
    fn unpack((hash, key, item): Self::Row, time: Timestamp, push: impl FnOnce(Head<'_, K>, T)) {
        push(Head { hash, time, key: &key }, item);
    }
}

/// So many items ahead their keys are told.
const AHEAD: usize = 32;

/// Passes a batch on, a group of rows at a time, of each of which `down` is told first.
#[inline(always)]
pub(crate) fn pass<R, S: Token, D: Consumer<S>>(
    batch: &mut Batch<R>,
    home: &mut AtHome<D>,
    hash: impl Fn(&R) -> u64,
    push: impl Fn(&mut D, Timestamp, R),
) {
    if AtHome::<D>::LEAVES {
        pass_to(batch, home.leave().value(), hash, push);
    } else {
        pass_to(batch, home.get(), hash, push);
    }
}

#[inline(always)]
fn pass_to<R, S: Token, D: Consumer<S>>(
    batch: &mut Batch<R>,
    down: &mut D,
    hash: impl Fn(&R) -> u64,
    push: impl Fn(&mut D, Timestamp, R),
) {
    let mut rows = batch.rows.drain(..);
    let mut times = batch.times.iter();
    while !rows.as_slice().is_empty() {
        down.expect(rows.as_slice().iter().take(AHEAD).map(&hash));
        for row in rows.by_ref().take(AHEAD) {
            // Without times there are none left from the beginning.
            push(down, times.next().copied().unwrap_or(Timestamp::MIN), row);
        }
    }
    drop(rows);
    batch.times.clear();
}
