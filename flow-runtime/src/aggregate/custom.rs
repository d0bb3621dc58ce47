//! `reduce`, `fold`, `map`: aggregates made of functions.

use std::fmt;
use std::marker::PhantomData;

use super::{ADDED, Aggregate, Maybe};
use crate::bounds::Item;
use crate::state::{BySerde, State};
use crate::time::Timestamp;

/// What a function makes of two items, of that and the next one, and so on.
///
/// The function must be associative: `f(f(a, b), c)` is `f(a, f(b, c))`, because windows put together what has been reduced in parts. Its
/// first argument comes before the second: within a part in the order in which items arrive, from part to part in the order of time. So where items
/// arrive out of order it should be commutative too, `f(a, b)` is `f(b, a)`, as sums, minima and unions are.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, reduce};
/// use flow_runtime::time::Timestamp;
///
/// let product = reduce(|a: u64, b| a * b);
/// let mut state = product.begin();
/// for item in [2, 3, 7] {
///     product.add(&mut state, item, Timestamp::MIN);
/// }
/// assert_eq!(product.finish(&state), 42);
/// ```
pub fn reduce<A: Item, F: Fn(A, A) -> A + 'static>(f: F) -> Reduce<A, F> {
    Reduce { f, types: PhantomData }
}

/// The aggregate [`reduce`].
pub struct Reduce<A, F> {
    f: F,
    types: PhantomData<fn(A)>,
}

impl<A, F> fmt::Debug for Reduce<A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reduce")
    }
}

impl<A: Item, F: Fn(A, A) -> A + 'static> Reduce<A, F> {
    #[inline]
    fn put(&self, state: &mut Option<BySerde<A>>, item: A) {
        *state = Some(BySerde(match state.take() {
            None => item,
            Some(BySerde(before)) => (self.f)(before, item),
        }));
    }
}

impl<A: Item, F: Fn(A, A) -> A + 'static> Aggregate<A> for Reduce<A, F> {
    type State = Maybe<BySerde<A>>;
    type Out = A;
    fn begin(&self) -> Maybe<BySerde<A>> {
        Maybe(None)
    }
    #[inline]
    fn add(&self, Maybe(state): &mut Maybe<BySerde<A>>, item: A, _: Timestamp) {
        self.put(state, item);
    }
    fn merge(&self, Maybe(state): &mut Maybe<BySerde<A>>, Maybe(other): &Maybe<BySerde<A>>) {
        if let Some(BySerde(other)) = other {
            self.put(state, other.clone());
        }
    }
    fn finish(&self, Maybe(state): &Maybe<BySerde<A>>) -> A {
        let BySerde(reduced) = state.as_ref().expect(ADDED);
        reduced.clone()
    }
    fn finish_last(&self, Maybe(state): Maybe<BySerde<A>>) -> A {
        let BySerde(reduced) = state.expect(ADDED);
        reduced
    }
}

/// Any state: what it begins as, how an item is added, how what another state has gathered is added. The state comes out, as it is; see
/// [`map`].
///
/// Adding items to two states and merging them, the later one into the earlier, must give what adding all to one gives.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, fold};
/// use flow_runtime::time::Timestamp;
///
/// let product = fold(1_u64, |state, item: u64| *state *= item, |state, other| *state *= other);
/// let mut state = product.begin();
/// for item in [2, 3, 7] {
///     product.add(&mut state, item, Timestamp::MIN);
/// }
/// assert_eq!(product.finish(&state), 42);
/// ```
pub fn fold<A, S, F, M>(init: S, add: F, merge: M) -> Fold<A, S, F, M>
where
    S: State + Clone,
    F: Fn(&mut S, A) + 'static,
    M: Fn(&mut S, &S) + 'static,
{
    Fold { init, add, merge, types: PhantomData }
}

/// The aggregate [`fold`].
pub struct Fold<A, S, F, M> {
    init: S,
    add: F,
    merge: M,
    types: PhantomData<fn(A)>,
}

impl<A, S, F, M> fmt::Debug for Fold<A, S, F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fold")
    }
}

impl<A, S, F, M> Aggregate<A> for Fold<A, S, F, M>
where
    A: 'static,
    S: State + Clone,
    F: Fn(&mut S, A) + 'static,
    M: Fn(&mut S, &S) + 'static,
{
    type State = S;
    type Out = S;
    fn begin(&self) -> S {
        self.init.clone()
    }
    #[inline]
    fn add(&self, state: &mut S, item: A, _: Timestamp) {
        (self.add)(state, item);
    }
    fn merge(&self, state: &mut S, other: &S) {
        (self.merge)(state, other);
    }
    fn finish(&self, state: &S) -> S {
        state.clone()
    }
    fn finish_last(&self, state: S) -> S {
        state
    }
}

/// Another aggregate, whose result is shaped by a function. The state is the other's, so the function may change from run to run.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, count, map, sum};
/// use flow_runtime::time::Timestamp;
///
/// let average = map((sum(|item: &u64| *item), count()), |(sum, count)| sum / count);
/// let mut state = average.begin();
/// for item in [2, 3, 7] {
///     average.add(&mut state, item, Timestamp::MIN);
/// }
/// assert_eq!(average.finish(&state), 4);
/// ```
pub fn map<A, G, B, F>(aggregate: G, f: F) -> Map<A, G, F>
where
    G: Aggregate<A>,
    F: Fn(G::Out) -> B + 'static,
{
    Map { aggregate, f, types: PhantomData }
}

/// The aggregate [`map`].
pub struct Map<A, G, F> {
    aggregate: G,
    f: F,
    types: PhantomData<fn(A)>,
}

impl<A, G: fmt::Debug, F> fmt::Debug for Map<A, G, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Map").field(&self.aggregate).finish()
    }
}

impl<A, G, B, F> Aggregate<A> for Map<A, G, F>
where
    A: 'static,
    G: Aggregate<A>,
    B: 'static,
    F: Fn(G::Out) -> B + 'static,
{
    type State = G::State;
    type Out = B;
    fn begin(&self) -> G::State {
        self.aggregate.begin()
    }
    #[inline]
    fn add(&self, state: &mut G::State, item: A, at: Timestamp) {
        self.aggregate.add(state, item, at);
    }
    fn merge(&self, state: &mut G::State, other: &G::State) {
        self.aggregate.merge(state, other);
    }
    fn finish(&self, state: &G::State) -> B {
        (self.f)(self.aggregate.finish(state))
    }
    fn finish_last(&self, state: G::State) -> B {
        (self.f)(self.aggregate.finish_last(state))
    }
}
