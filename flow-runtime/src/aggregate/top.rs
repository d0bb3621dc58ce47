//! `top_k`: the items with the largest scores.

use std::cmp::Reverse;
use std::fmt;
use std::marker::PhantomData;

use super::{Aggregate, Timed};
use crate::bounds::Item;
use crate::state::BySerde;
use crate::time::Timestamp;

/// The `k` items with the largest scores, the largest first; of equal scores the earlier item by event time goes first, and of those the
/// one that came first. For scores that are floats see [`Float`](super::Float).
///
/// Scores are not kept: they are asked for anew. An item that has dropped out of the list is gone, so a larger `k` or another score in the
/// next run begins with what is in the list then.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, top_k};
/// use flow_runtime::time::Timestamp;
///
/// let longest = top_k(2, |word: &String| word.len());
/// let mut state = longest.begin();
/// for word in ["one", "three", "four"] {
///     longest.add(&mut state, word.to_owned(), Timestamp::MIN);
/// }
/// assert_eq!(longest.finish(&state), ["three", "four"]);
/// ```
pub fn top_k<A: Item, S: Ord, F: Fn(&A) -> S + 'static>(k: usize, score: F) -> TopK<A, S, F> {
    TopK { k, score, types: PhantomData }
}

/// The aggregate [`top_k`].
pub struct TopK<A, S, F> {
    k: usize,
    score: F,
    types: PhantomData<fn(&A) -> S>,
}

impl<A, S, F> fmt::Debug for TopK<A, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopK").field("k", &self.k).finish_non_exhaustive()
    }
}

impl<A: Item, S: Ord, F: Fn(&A) -> S + 'static> TopK<A, S, F> {
    /// Where in the list an item of this score and time belongs: behind all that are not worse. None where it does not get in.
    #[inline]
    pub(crate) fn place(&self, list: &[Timed<A>], item: &A, at: Timestamp) -> Option<usize> {
        if list.is_empty() {
            return (self.k > 0).then_some(0);
        }
        let new = (Reverse((self.score)(item)), at);
        let is_before = |held: &Timed<A>| (Reverse((self.score)(&held.1.0)), held.0) <= new;
        // Most items of a long stream are not better than the last.
        if list.len() >= self.k && list.last().is_none_or(is_before) {
            return None;
        }
        let place = list.partition_point(is_before);
        (place < self.k).then_some(place)
    }

    /// Puts an item into its place. The list may be longer than `k` where an earlier run had a larger one.
    pub(crate) fn insert(&self, list: &mut Vec<Timed<A>>, place: usize, item: Timed<A>) {
        list.truncate(self.k.saturating_sub(1)); // `place` is smaller than `k`.
        list.insert(place, item);
    }

    /// Brings a list that another run has kept into the order that this one's scores have, and to its length.
    pub(crate) fn adopt(&self, list: &mut Vec<Timed<A>>) {
        list.sort_by_cached_key(|held| (Reverse((self.score)(&held.1.0)), held.0));
        list.truncate(self.k);
    }

    pub(crate) fn items(&self, list: &[Timed<A>]) -> Vec<A> {
        list.iter().take(self.k).map(|(_, BySerde(item))| item.clone()).collect()
    }
}

impl<A: Item, S: Ord + 'static, F: Fn(&A) -> S + 'static> Aggregate<A> for TopK<A, S, F> {
    type State = Vec<Timed<A>>;
    type Out = Vec<A>;
    fn begin(&self) -> Vec<Timed<A>> {
        Vec::new()
    }
    #[inline]
    fn add(&self, state: &mut Vec<Timed<A>>, item: A, at: Timestamp) {
        if let Some(place) = self.place(state, &item, at) {
            self.insert(state, place, (at, BySerde(item)));
        }
    }
    fn merge(&self, state: &mut Vec<Timed<A>>, other: &Vec<Timed<A>>) {
        for (at, BySerde(item)) in other {
            // Those that follow are worse still.
            let Some(place) = self.place(state, item, *at) else { return };
            self.insert(state, place, (*at, BySerde(item.clone())));
        }
    }
    fn finish(&self, state: &Vec<Timed<A>>) -> Vec<A> {
        self.items(state)
    }
    fn finish_last(&self, mut state: Vec<Timed<A>>) -> Vec<A> {
        state.truncate(self.k);
        state.into_iter().map(|(_, BySerde(item))| item).collect()
    }
}
