//! The bounds that users meet, with the words in which rustc states them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::hash::Hash;

use crate::stream::{Keyed, Stream};

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

/// Asserts that a type may be a dataflow's parameter.
pub const fn assert_param<T: Param>() {}

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

/// A keyed stream with the keys and items that a stateful step takes; `Q` may be the borrowed form of the key.
#[diagnostic::on_unimplemented(
    message = "this stateful step needs a stream keyed by `{Q}` with items `{T}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "state is kept per key: put `let keyed = key_by(stream, |item| ..);` in front and pass `keyed`"
)]
pub trait FeedsKeyed<Q: ?Sized, T> {}
#[diagnostic::do_not_recommend]
impl<K, Q: ?Sized + ToOwned<Owned = K>, T> FeedsKeyed<Q, T> for Keyed<K, T> {}

/// The same, where the key is named by a type parameter and must be the stream's own.
#[diagnostic::on_unimplemented(
    message = "this stateful step needs a keyed stream with items `{T}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "state is kept per key: put `let keyed = key_by(stream, |item| ..);` in front and pass `keyed`"
)]
pub trait FeedsKeyedExactly<K, T> {}
#[diagnostic::do_not_recommend]
impl<K, T> FeedsKeyedExactly<K, T> for Keyed<K, T> {}

/// A stream whose items a filter can look at as a `Q`: `str` for `String`.
///
/// What was found is part of the filter's plan, so that a stream which does not fit is reported once.
#[diagnostic::on_unimplemented(
    message = "this step needs a stream of `{Q}`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "a filter's input type is the type behind the `&` of its function's item parameter"
)]
pub trait FeedsRef<Q: ?Sized> {
    /// The item.
    type Found: Borrow<Q> + 'static;
}
#[diagnostic::do_not_recommend]
impl<Q: ?Sized, T: Borrow<Q> + 'static> FeedsRef<Q> for Stream<T> {
    type Found = T;
}
#[diagnostic::do_not_recommend]
impl<Q: ?Sized, K, T: Borrow<Q> + 'static> FeedsRef<Q> for Keyed<K, T> {
    type Found = T;
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
