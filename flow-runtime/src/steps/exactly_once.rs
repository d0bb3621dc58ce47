//! What `#[dataflow(delivery = exactly_once)]` asks of each step: `__exactly_once(&plan)`, in phase 1.
//!
//! Only what reaches outside has something to answer: `source`, `sink`, and sub-flows, for which `#[dataflow]` writes it. They have a
//! function of that name. On any other step the name leads to [`NoEnds`], and the check passes. So a step is
//! asked by its type; under what name it was imported does not matter.
//!
//! Each check takes the type of the plan, never the argument that the user wrote: that is evaluated once, by `__wire`.

use std::marker::PhantomData;

use super::ends::{Feed, FeedStep, SinkPlan, sink, source};
use crate::bounds::{Never, Nothing};
use crate::io::Sink;
use crate::io::delivery::{ExactlyOnce, Settled};
use crate::io::replay::Replayable;
use crate::stream::Token;

/// Answers for all steps that reach nothing outside.
pub trait NoEnds {
    #[doc(hidden)]
    fn __exactly_once<P>(_: &P) {}
}
impl<S: ?Sized> NoEnds for S {}

impl sink {
    #[doc(hidden)]
    pub fn __exactly_once<U: Token, S, D>(_: &&SinkPlan<U, S>)
    where
        S: Sink<U> + Settles<S::Delivery, Passed = D> + IsDeclared<D>,
    {
    }
}

/// A sink that leaves its target as if all had been sent once, if what is sent again is the same.
#[diagnostic::on_unimplemented(
    message = "`{Self}` delivers at least once, and this dataflow is declared `delivery = exactly_once`",
    label = "rows may be repeated after a crash",
    note = "write to a file, a transactional sink or an outbox; or drop `delivery = exactly_once`",
    note = "a sink that is generic says so in its bound: `Sink<.., Delivery: ExactlyOnce>`"
)]
pub trait Settles<D> {
    /// `D`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<S, D: Settled> Settles<D> for S {
    type Passed = D;
}
#[diagnostic::do_not_recommend]
impl<S, D> Settles<D> for S
where
    Nothing<S>: Never,
{
    type Passed = D;
}

/// A sink that is no undeclared upsert.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is an upsert: exactly once only if its keys and values are deterministic, and that is not declared",
    label = "may be written differently after a crash",
    note = "if key and value depend on the replayed input alone, declare it: `sink(stream, deterministic(..))`; or drop `delivery = exactly_once`"
)]
pub trait IsDeclared<D> {}
#[diagnostic::do_not_recommend]
impl<S, D: ExactlyOnce> IsDeclared<D> for S {}
#[diagnostic::do_not_recommend]
impl<S, D> IsDeclared<D> for S where Nothing<S>: Never {}

impl source {
    #[doc(hidden)]
    pub fn __exactly_once<F: Feed + ReadsAgain<F::Ends, Passed = E> + Holds<E>, E>(
        _: &&FeedStep<F>,
    ) {
    }
}

/// The ends of a [`Feed`] that is a source: one, which replays as `R` says.
#[derive(Debug)]
pub struct Reads<R>(PhantomData<fn() -> R>);

/// The ends of a sub-flow: whether there are any within, and whether it is declared `delivery = exactly_once` itself, so that they
/// are checked there.
#[derive(Debug)]
pub enum Within<const ENDS: bool, const DECLARED: bool> {}

/// A source whose input can be read again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not replay, and this dataflow is declared `delivery = exactly_once`",
    label = "cannot be read again after a crash",
    note = "read from files, iterators or another source that is `Replayable`; or drop `delivery = exactly_once`",
    note = "a source that is generic says so in its bound: `Source<.., Replay = Replayable>`"
)]
pub trait ReadsAgain<E> {
    /// `E`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<F> ReadsAgain<Reads<Replayable>> for F {
    type Passed = Reads<Replayable>;
}
#[diagnostic::do_not_recommend]
impl<F, const ENDS: bool, const DECLARED: bool> ReadsAgain<Within<ENDS, DECLARED>> for F {
    type Passed = Within<ENDS, DECLARED>;
}

/// Something whose ends are checked where they are wired, or that has none. `E` is what it says of them.
#[diagnostic::on_unimplemented(
    message = "this sub-flow has sources or sinks of its own, and is not declared `delivery = exactly_once` as this dataflow is",
    label = "what it reads and writes is not checked",
    note = "write `#[dataflow(delivery = exactly_once)]` on the sub-flow, too; or drop it here"
)]
pub trait Holds<E> {}
#[diagnostic::do_not_recommend]
impl<P, R> Holds<Reads<R>> for P {}
#[diagnostic::do_not_recommend]
impl<P> Holds<Within<false, false>> for P {}
#[diagnostic::do_not_recommend]
impl<P, const ENDS: bool> Holds<Within<ENDS, true>> for P {}
