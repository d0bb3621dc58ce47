//! `first`, `last`, `collect`: items by their event time.

use super::{ADDED, Aggregate, Maybe, Timed};
use crate::bounds::Item;
use crate::state::BySerde;
use crate::time::Timestamp;

/// The earliest item by event time; of several the one that came first. Without event time, the one that came first.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, first};
/// use flow_runtime::time::Timestamp;
///
/// let mut state = first().begin();
/// first().add(&mut state, "late".to_owned(), Timestamp(20));
/// first().add(&mut state, "early".to_owned(), Timestamp(10));
/// assert_eq!(first().finish(&state), "early".to_owned());
/// ```
pub fn first() -> First {
    First
}

/// The latest item by event time; of several the one that came last. Without event time, the one that came last.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, last};
/// use flow_runtime::time::Timestamp;
///
/// let mut state = last().begin();
/// last().add(&mut state, "late".to_owned(), Timestamp(20));
/// last().add(&mut state, "early".to_owned(), Timestamp(10));
/// assert_eq!(last().finish(&state), "late".to_owned());
/// ```
pub fn last() -> Last {
    Last
}

/// The aggregate [`first`].
#[derive(Clone, Copy, Debug)]
pub struct First;

/// The aggregate [`last`].
#[derive(Clone, Copy, Debug)]
pub struct Last;

macro_rules! one_by_time {
    ($($name:ident: |$new:ident, $old:ident| $better:expr;)*) => {$(
        impl<A: Item> Aggregate<A> for $name {
            type State = Maybe<Timed<A>>;
            type Out = A;
            fn begin(&self) -> Maybe<Timed<A>> {
                Maybe(None)
            }
            #[inline]
            fn add(&self, Maybe(state): &mut Maybe<Timed<A>>, item: A, $new: Timestamp) {
                if state.as_ref().is_none_or(|&($old, _)| $better) {
                    *state = Some(($new, BySerde(item)));
                }
            }
            fn merge(&self, Maybe(state): &mut Maybe<Timed<A>>, Maybe(other): &Maybe<Timed<A>>) {
                let &Some(($new, ref item)) = other else { return };
                if state.as_ref().is_none_or(|&($old, _)| $better) {
                    *state = Some(($new, item.clone()));
                }
            }
            fn finish(&self, Maybe(state): &Maybe<Timed<A>>) -> A {
                let (_, BySerde(item)) = state.as_ref().expect(ADDED);
                item.clone()
            }
            fn finish_last(&self, Maybe(state): Maybe<Timed<A>>) -> A {
                let (_, BySerde(item)) = state.expect(ADDED);
                item
            }
        }
    )*};
}
one_by_time! {
    First: |new, old| new < old;
    Last: |new, old| new >= old;
}

/// All items, by event time; those of one time as they came. Without event time, as they came.
///
/// They are held in memory and in the log until they are emitted: it is for keys and windows of few items. A running result is better not
/// collected, since it is the whole list again for every item.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, collect};
/// use flow_runtime::time::Timestamp;
///
/// let mut state = collect().begin();
/// for (item, at) in [(7_u64, 20), (8, 10), (9, 20)] {
///     collect().add(&mut state, item, Timestamp(at));
/// }
/// assert_eq!(collect().finish(&state), [8, 7, 9]);
/// ```
pub fn collect() -> Collect {
    Collect
}

/// The aggregate [`collect`].
#[derive(Clone, Copy, Debug)]
pub struct Collect;

/// Puts an item behind all that are not later.
#[inline]
fn insert<A>(items: &mut Vec<Timed<A>>, item: Timed<A>) {
    let at = match items.last() {
        Some(last) if last.0 > item.0 => items.partition_point(|other| other.0 <= item.0),
        _ => items.len(),
    };
    items.insert(at, item);
}

impl<A: Item> Aggregate<A> for Collect {
    type State = Vec<Timed<A>>;
    type Out = Vec<A>;
    fn begin(&self) -> Vec<Timed<A>> {
        Vec::new()
    }
    #[inline]
    fn add(&self, state: &mut Vec<Timed<A>>, item: A, at: Timestamp) {
        insert(state, (at, BySerde(item)));
    }
    fn merge(&self, state: &mut Vec<Timed<A>>, other: &Vec<Timed<A>>) {
        state.extend_from_slice(other);
        // Stable, and quick where two lists that are in order follow one another.
        state.sort_by_key(|item| item.0);
    }
    fn finish(&self, state: &Vec<Timed<A>>) -> Vec<A> {
        state.iter().map(|(_, BySerde(item))| item.clone()).collect()
    }
    fn finish_last(&self, state: Vec<Timed<A>>) -> Vec<A> {
        state.into_iter().map(|(_, BySerde(item))| item).collect()
    }
}
