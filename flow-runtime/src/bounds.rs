//! The bounds that users meet, with the words in which rustc states them.
//!
//! Several traits here have a second implementation for everything, under the condition `Nothing<T>: Never`, which nothing
//! fulfils. It makes rustc look at the conditions of both before it takes one, and so find that the *trait* is not
//! implemented, in our words, instead of digging out which part of the first one's conditions fails, in its own.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::hash::Hash;
use std::marker::PhantomData;

use crate::stream::{Keyed, Stream};

/// Is never implemented.
pub trait Never {}

/// Is [`Never`] anything.
#[derive(Debug)]
pub struct Nothing<T: ?Sized>(PhantomData<fn(&T)>);

/// What may cross an exchange, and so leave its worker: `Clone + Send + Serialize + DeserializeOwned + 'static`.
///
/// The same bound holds for threads and for a cluster, so a dataflow moves from one to the other unchanged.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross an exchange",
    label = "items leave their worker here: they must be `Clone + Send + Serialize + Deserialize + 'static`",
    note = "derive `Clone`, `serde::Serialize` and `serde::Deserialize`, and keep `Rc`, `RefCell` and borrows out of the item"
)]
pub trait Item: Clone + Send + Serialize + DeserializeOwned + 'static {}
#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Serialize + DeserializeOwned + 'static> Item for T {}

/// What items may be keyed by: an [`Item`] that is `Eq + Hash`.
///
/// The engine places a key by a hash of its serialised form, which is why `Hash` is only asked for and never
/// called: it keeps out the types whose serialised form has no fixed order, such as `HashMap` and `HashSet`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "keys must be `Eq + Hash + Clone + Send + Serialize + Deserialize + 'static`",
    note = "derive `PartialEq`, `Eq`, `Hash`, `Clone`, `serde::Serialize` and `serde::Deserialize`; floats have no equality to key by"
)]
pub trait Key: Item + Eq + Hash {}
#[diagnostic::do_not_recommend]
impl<T: Item + Eq + Hash> Key for T {}

/// What a stream must carry to be used by several steps.
#[diagnostic::on_unimplemented(
    message = "the stream is used by several steps, so its items must be `Clone`; `{Self}` is not",
    label = "second use of the stream",
    note = "derive `Clone` for `{Self}`, or share its contents in an `Arc`"
)]
pub trait FanOut: Sized {
    /// A copy for one more step.
    fn duplicate(&self) -> Self;
}
#[diagnostic::do_not_recommend]
impl<T: Clone> FanOut for T {
    #[inline(always)]
    fn duplicate(&self) -> T {
        self.clone()
    }
}

/// What a dataflow may take as a parameter: `Clone + Send + 'static`.
#[diagnostic::on_unimplemented(
    message = "a parameter of type `{Self}` cannot be handed to every worker",
    label = "dataflow parameters must be `Clone + Send + 'static`",
    note = "each worker builds the dataflow from its own copy of the parameters"
)]
pub trait Param: Clone + Send + 'static {}
#[diagnostic::do_not_recommend]
impl<T: Clone + Send + 'static> Param for T {}

/// A stream that carries the items that a step takes.
#[diagnostic::on_unimplemented(
    message = "this step needs a stream of `{T}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "a step's input type is the type of its function's item parameter"
)]
pub trait Feeds<T> {}
#[diagnostic::do_not_recommend]
impl<T> Feeds<T> for Stream<T> {}
#[diagnostic::do_not_recommend]
impl<K, T> Feeds<T> for Keyed<K, T> {}

/// A keyed stream with the keys `K` and items that a stateful step takes; the function may borrow the key as `Q`.
#[diagnostic::on_unimplemented(
    message = "this stateful step needs a stream keyed by `{K}` with items `{T}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "state is kept per key: put `let keyed = key_by(stream, |item| ..);` in front and pass `keyed`; if it is keyed already, its key has another type"
)]
pub trait FeedsKeyed<Q: ?Sized, T, K> {}
#[diagnostic::do_not_recommend]
impl<K, Q: ?Sized + ToOwned<Owned = K>, T> FeedsKeyed<Q, T, K> for Keyed<K, T> {}

/// The same, where the key is named by a type parameter and must be the stream's own.
#[diagnostic::on_unimplemented(
    message = "this stateful step needs a keyed stream with items `{T}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "state is kept per key: put `let keyed = key_by(stream, |item| ..);` in front and pass `keyed`"
)]
pub trait FeedsKeyedExactly<K, T> {}
#[diagnostic::do_not_recommend]
impl<K, T> FeedsKeyedExactly<K, T> for Keyed<K, T> {}

/// A stream whose items a filter can look at as a `Q`: `str` for `String`. `N` is what `Q` is called when it is owned.
#[diagnostic::on_unimplemented(
    message = "this step needs a stream of `{N}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "a filter looks at its items through the `&` of its function's item parameter"
)]
pub trait FeedsRef<Q: ?Sized, N> {
    /// `()`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<Q: ?Sized, N, T: Borrow<Q> + 'static> FeedsRef<Q, N> for Stream<T> {
    type Passed = ();
}
#[diagnostic::do_not_recommend]
impl<Q: ?Sized, N, K, T: Borrow<Q> + 'static> FeedsRef<Q, N> for Keyed<K, T> {
    type Passed = ();
}
#[diagnostic::do_not_recommend]
impl<Q: ?Sized, N, T> FeedsRef<Q, N> for Stream<T>
where
    Nothing<T>: Never,
{
    type Passed = ();
}
#[diagnostic::do_not_recommend]
impl<Q: ?Sized, N, K, T> FeedsRef<Q, N> for Keyed<K, T>
where
    Nothing<T>: Never,
{
    type Passed = ();
}

/// Exactly the stream that a sub-flow takes.
#[diagnostic::on_unimplemented(
    message = "this sub-flow takes a `{S}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "the inputs of a sub-flow are the parameters of its function that are streams, in their order"
)]
pub trait Fits<S> {}
#[diagnostic::do_not_recommend]
impl<S> Fits<S> for S {}

/// What a check answers: `()`.
///
/// A check that fails has no answer: its type stays open. The plan of the step goes through [`when`] with the answer, so
/// its type then stays open too, and rustc has nothing to say about it. What is wrong is thus reported once, by the check.
pub trait Pass {
    /// `X`
    type Of<X>;
    /// `x`
    fn give<X>(self, x: X) -> Self::Of<X>;
}
impl Pass for () {
    type Of<X> = X;
    fn give<X>(self, x: X) -> X {
        x
    }
}

/// A step's plan, once a check has passed.
pub fn when<P: Pass, X>(passed: P, plan: X) -> P::Of<X> {
    passed.give(plan)
}

/// [`Key`], as a check.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "keys must be `Eq + Hash + Clone + Send + Serialize + Deserialize + 'static`",
    note = "derive `PartialEq`, `Eq`, `Hash`, `Clone`, `serde::Serialize` and `serde::Deserialize`; floats have no equality to key by"
)]
pub trait CheckKey {
    /// `()`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<K: Key> CheckKey for K {
    type Passed = ();
}
#[diagnostic::do_not_recommend]
impl<K> CheckKey for K
where
    Nothing<K>: Never,
{
    type Passed = ();
}

/// [`Item`], as a check behind another one, `P`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot cross an exchange",
    label = "items leave their worker here: they must be `Clone + Send + Serialize + Deserialize + 'static`",
    note = "derive `Clone`, `serde::Serialize` and `serde::Deserialize`, and keep `Rc`, `RefCell` and borrows out of the item"
)]
pub trait CheckItem<P> {
    /// `P`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<T: Item, P> CheckItem<P> for T {
    type Passed = P;
}
#[diagnostic::do_not_recommend]
impl<T, P> CheckItem<P> for T
where
    Nothing<T>: Never,
{
    type Passed = P;
}

/// A stream of the same type as the first one of a `merge`.
#[diagnostic::on_unimplemented(
    message = "`merge` takes streams of one type: the first is a `{S}`, but this one is a `{Self}`",
    label = "is `{Self}`",
    note = "bring the items to one type first, with `map` or as an enum"
)]
pub trait SameStream<S> {}
#[diagnostic::do_not_recommend]
impl<S> SameStream<S> for S {}

/// [`Item`], as a check of what a step holds, behind another one, `P`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot wait in a join",
    label = "items wait here, and are saved: they must be `Clone + Send + Serialize + Deserialize + 'static`",
    note = "derive `Clone`, `serde::Serialize` and `serde::Deserialize`, and keep `Rc`, `RefCell` and borrows out of the item"
)]
pub trait CheckHeld<P> {
    /// `P`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<T: Item, P> CheckHeld<P> for T {
    type Passed = P;
}
#[diagnostic::do_not_recommend]
impl<T, P> CheckHeld<P> for T
where
    Nothing<T>: Never,
{
    type Passed = P;
}

/// A keyed stream with the same key as the first one of a `connect` or a join.
#[diagnostic::on_unimplemented(
    message = "this step takes two streams of one key type: the first is keyed by `{K}`, but this one is a `{Self}`",
    label = "is `{Self}`",
    note = "key both streams by the same: `key_by(stream, |item| ..)`"
)]
pub trait SameKey<K> {}
#[diagnostic::do_not_recommend]
impl<K, T> SameKey<K> for Keyed<K, T> {}

/// One stream, as a single name stands for.
#[diagnostic::on_unimplemented(
    message = "one name is given here to what a step yields, which is not one stream",
    label = "the step yields `{Self}`",
    note = "several streams are taken apart: `let Struct {{ one, other }} = ..`; a step that yields none is a statement: `step(..);`"
)]
pub trait OneStream {
    /// `()`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<T> OneStream for Stream<T> {
    type Passed = ();
}
#[diagnostic::do_not_recommend]
impl<K, T> OneStream for Keyed<K, T> {
    type Passed = ();
}

/// Checks that a name stands for one stream.
pub fn one_stream<S: OneStream<Passed = P>, P: Default>(_: &S) -> P {
    P::default()
}
