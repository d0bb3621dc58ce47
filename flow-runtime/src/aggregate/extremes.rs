//! `min`, `max`: the smallest and the largest value; `min_by_key`, `max_by_key`: the item that has it.

use std::fmt;
use std::marker::PhantomData;

use super::{ADDED, Aggregate, Maybe, Timed};
use crate::bounds::Item;
use crate::state::{BySerde, Saved};
use crate::time::Timestamp;

macro_rules! extremes {
    ($(
        $(#[$doc:meta])*
        $name:ident $Name:ident, $(#[$by_doc:meta])* $by:ident $By:ident: |$new:ident, $old:ident| $better:expr;
    )*) => {$(
        $(#[$doc])*
        pub fn $name<A, V: Saved + Ord + Clone + 'static, F: Fn(&A) -> V + 'static>(
            value: F,
        ) -> $Name<A, V, F> {
            $Name { value, types: PhantomData }
        }

        #[doc = concat!("The aggregate [`", stringify!($name), "`].")]
        pub struct $Name<A, V, F> {
            value: F,
            types: PhantomData<fn(&A) -> V>,
        }

        impl<A, V, F> fmt::Debug for $Name<A, V, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($Name))
            }
        }

        impl<A, V, F> Aggregate<A> for $Name<A, V, F>
        where
            A: 'static,
            V: Saved + Ord + Clone + 'static,
            F: Fn(&A) -> V + 'static,
        {
            type State = Maybe<V>;
            type Out = V;
            fn begin(&self) -> Maybe<V> {
                Maybe(None)
            }
            #[inline]
            fn add(&self, Maybe(state): &mut Maybe<V>, item: A, _: Timestamp) {
                let value = (self.value)(&item);
                let $new = &value;
                if state.as_ref().is_none_or(|$old| $better) {
                    *state = Some(value);
                }
            }
            fn merge(&self, Maybe(state): &mut Maybe<V>, Maybe(other): &Maybe<V>) {
                let Some($new) = other else { return };
                if state.as_ref().is_none_or(|$old| $better) {
                    *state = Some($new.clone());
                }
            }
            fn finish(&self, Maybe(state): &Maybe<V>) -> V {
                state.clone().expect(ADDED)
            }
            fn finish_last(&self, Maybe(state): Maybe<V>) -> V {
                state.expect(ADDED)
            }
        }

        $(#[$by_doc])*
        pub fn $by<A: Item, K: Ord, F: Fn(&A) -> K + 'static>(key: F) -> $By<A, K, F> {
            $By { key, types: PhantomData }
        }

        #[doc = concat!("The aggregate [`", stringify!($by), "`].")]
        pub struct $By<A, K, F> {
            key: F,
            types: PhantomData<fn(&A) -> K>,
        }

        impl<A, K, F> fmt::Debug for $By<A, K, F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($By))
            }
        }

        impl<A, K: Ord, F: Fn(&A) -> K> $By<A, K, F> {
            /// Whether an item goes before the one that is held. Keys are not kept, so that another function may give others.
            #[inline]
            fn is_better(&self, new: &A, at: Timestamp, held: &Timed<A>) -> bool {
                let ($new, $old) = (&(self.key)(new), &(self.key)(&held.1.0));
                $better || ($new == $old && at < held.0)
            }
        }

        impl<A: Item, K: Ord + 'static, F: Fn(&A) -> K + 'static> Aggregate<A> for $By<A, K, F> {
            type State = Maybe<Timed<A>>;
            type Out = A;
            fn begin(&self) -> Maybe<Timed<A>> {
                Maybe(None)
            }
            #[inline]
            fn add(&self, Maybe(state): &mut Maybe<Timed<A>>, item: A, at: Timestamp) {
                if state.as_ref().is_none_or(|held| self.is_better(&item, at, held)) {
                    *state = Some((at, BySerde(item)));
                }
            }
            fn merge(&self, Maybe(state): &mut Maybe<Timed<A>>, Maybe(other): &Maybe<Timed<A>>) {
                let Some((at, item)) = other else { return };
                if state.as_ref().is_none_or(|held| self.is_better(&item.0, *at, held)) {
                    *state = Some((*at, item.clone()));
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

extremes! {
    /// The smallest value. For floats see [`Float`](super::Float).
    ///
    /// ```
    /// use flow_runtime::aggregate::{Aggregate, min};
    /// use flow_runtime::time::Timestamp;
    ///
    /// let cheapest = min(|cents: &u64| *cents);
    /// let mut state = cheapest.begin();
    /// for cents in [20, 5, 30] {
    ///     cheapest.add(&mut state, cents, Timestamp::MIN);
    /// }
    /// assert_eq!(cheapest.finish(&state), 5);
    /// ```
    min Min,
    /// The item with the smallest key; of several the earliest by event time, and of those the one that came first.
    ///
    /// ```
    /// use flow_runtime::aggregate::{Aggregate, min_by_key};
    /// use flow_runtime::time::Timestamp;
    ///
    /// let shortest = min_by_key(|word: &String| word.len());
    /// let mut state = shortest.begin();
    /// for word in ["three", "two", "one"] {
    ///     shortest.add(&mut state, word.to_owned(), Timestamp::MIN);
    /// }
    /// assert_eq!(shortest.finish(&state), "two");
    /// ```
    min_by_key MinByKey: |new, old| new < old;
    /// The largest value. For floats see [`Float`](super::Float).
    ///
    /// ```
    /// use flow_runtime::aggregate::{Aggregate, max};
    /// use flow_runtime::time::Timestamp;
    ///
    /// let dearest = max(|cents: &u64| *cents);
    /// let mut state = dearest.begin();
    /// for cents in [20, 5, 30] {
    ///     dearest.add(&mut state, cents, Timestamp::MIN);
    /// }
    /// assert_eq!(dearest.finish(&state), 30);
    /// ```
    max Max,
    /// The item with the largest key; of several the earliest by event time, and of those the one that came first.
    ///
    /// ```
    /// use flow_runtime::aggregate::{Aggregate, max_by_key};
    /// use flow_runtime::time::Timestamp;
    ///
    /// let longest = max_by_key(|word: &String| word.len());
    /// let mut state = longest.begin();
    /// for word in ["one", "three", "seven"] {
    ///     longest.add(&mut state, word.to_owned(), Timestamp::MIN);
    /// }
    /// assert_eq!(longest.finish(&state), "three");
    /// ```
    max_by_key MaxByKey: |new, old| new > old;
}
