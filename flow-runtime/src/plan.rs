//! Plans: what a wired step hands over to be assembled.
//!
//! `#[dataflow]` goes through a body twice. First as written, on tokens: every step yields the tokens of its
//! outputs and a plan. Then downstream first: every plan is given the consumers of its outputs and yields the
//! consumers of its inputs. There is one trait per number of inputs; the outputs' consumers come as a tuple,
//! in the order of the outputs.

use std::fmt;
use std::marker::PhantomData;

use crate::bounds::Param;
use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId};
use crate::graph::Graph;
use crate::host::Host;
use crate::stream::Token;

macro_rules! plans {
    ($($(#[$doc:meta])* $name:ident($($input:ident),*) -> ($($entry:ident [$($captured:ident),*],)*);)*) => {$(
        $(#[$doc])*
        #[diagnostic::on_unimplemented(
            message = "the steps do not fit together here",
            note = "another error of this dataflow says why"
        )]
        pub trait $name<H: Host, $($input: Token,)* D>: Sized {
            /// Builds the step on `cx`, in front of `down`.
            fn assemble(
                self,
                cx: &mut H::Cx<'_>,
                id: StepId,
                down: D,
            ) -> ($(impl Consumer<$entry> + use<Self, H, $($captured,)* D>,)*);
        }
    )*};
}

plans! {
    /// A plan with one input.
    Plan1(I0) -> (I0 [I0],);
    /// A plan with two inputs.
    Plan2(I0, I1) -> (I0 [I0, I1], I1 [I0, I1],);
    /// A plan with three inputs.
    Plan3(I0, I1, I2) -> (I0 [I0, I1, I2], I1 [I0, I1, I2], I2 [I0, I1, I2],);
    /// A plan with four inputs.
    Plan4(I0, I1, I2, I3) -> (I0 [I0, I1, I2, I3], I1 [I0, I1, I2, I3], I2 [I0, I1, I2, I3], I3 [I0, I1, I2, I3],);
    /// A plan with five inputs.
    Plan5(I0, I1, I2, I3, I4) -> (I0 [I0, I1, I2, I3, I4], I1 [I0, I1, I2, I3, I4], I2 [I0, I1, I2, I3, I4], I3 [I0, I1, I2, I3, I4], I4 [I0, I1, I2, I3, I4],);
    /// A plan with six inputs.
    Plan6(I0, I1, I2, I3, I4, I5) -> (I0 [I0, I1, I2, I3, I4, I5], I1 [I0, I1, I2, I3, I4, I5], I2 [I0, I1, I2, I3, I4, I5], I3 [I0, I1, I2, I3, I4, I5], I4 [I0, I1, I2, I3, I4, I5], I5 [I0, I1, I2, I3, I4, I5],);
    /// A plan with seven inputs.
    Plan7(I0, I1, I2, I3, I4, I5, I6) -> (I0 [I0, I1, I2, I3, I4, I5, I6], I1 [I0, I1, I2, I3, I4, I5, I6], I2 [I0, I1, I2, I3, I4, I5, I6], I3 [I0, I1, I2, I3, I4, I5, I6], I4 [I0, I1, I2, I3, I4, I5, I6], I5 [I0, I1, I2, I3, I4, I5, I6], I6 [I0, I1, I2, I3, I4, I5, I6],);
    /// A plan with eight inputs.
    Plan8(I0, I1, I2, I3, I4, I5, I6, I7) -> (I0 [I0, I1, I2, I3, I4, I5, I6, I7], I1 [I0, I1, I2, I3, I4, I5, I6, I7], I2 [I0, I1, I2, I3, I4, I5, I6, I7], I3 [I0, I1, I2, I3, I4, I5, I6, I7], I4 [I0, I1, I2, I3, I4, I5, I6, I7], I5 [I0, I1, I2, I3, I4, I5, I6, I7], I6 [I0, I1, I2, I3, I4, I5, I6, I7], I7 [I0, I1, I2, I3, I4, I5, I6, I7],);
}

/// A plan without inputs: a source, or a sub-flow that contains its own sources.
pub trait Plan0<H: Host, D> {
    /// Builds the step on `cx`, in front of `down`.
    fn assemble(self, cx: &mut H::Cx<'_>, id: StepId, down: D);
}

/// A whole dataflow: nothing goes in and nothing comes out but through its sources and sinks.
pub trait FlowPlan: Clone + Send + 'static {
    /// The dataflow as it was written.
    const GRAPH: Graph;
    /// Builds it on one worker.
    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>);
}

/// A sub-flow without inputs, to be wired by `source(..)`.
pub trait FeedPlan: 'static {
    /// The stream that it yields.
    type Out: Token;
    /// What `delivery = exactly_once` has to check of it.
    type Ends;
    /// Builds it in front of `down`.
    fn assemble<H: Host, D: Consumer<Self::Out>>(self, cx: &mut H::Cx<'_>, id: StepId, down: D);
}

/// What `#[dataflow]` writes for a whole dataflow; [`FlowOf`] makes a [`FlowPlan`] of it.
pub trait FlowBody: Sized + 'static {
    /// The number of parameters.
    type Count: ParamsOf<Self>;
    /// The dataflow as it was written.
    const GRAPH: Graph;
    /// The body: wires on tokens, then assembles.
    fn assemble<H: Host>(
        params: <Self::Count as ParamsOf<Self>>::Params,
        cx: &mut H::Cx<'_>,
    ) -> Assembled;
}

/// That a body has been gone through to its end: no early `return` can leave a dataflow half wired.
#[derive(Debug)]
pub struct Assembled;

/// Parameter `N` of a dataflow.
///
/// The bound stands here and nowhere else: code that uses the parameters goes through this trait, where the bound is
/// known to hold. So a parameter that cannot be handed to every worker is reported once, at its type.
pub trait ParamAt<const N: usize> {
    /// The parameter's type.
    type Type: Param;
}

/// A clone of a parameter, where it is mentioned.
pub fn given<B: ParamAt<N>, const N: usize>(param: &B::Type) -> B::Type {
    param.clone()
}

/// A number of parameters.
#[derive(Debug)]
pub struct Count<const N: usize>;

/// The parameters of `B`, as a tuple.
pub trait ParamsOf<B> {
    /// The tuple.
    type Params: Clone + Send + 'static;
}

macro_rules! params_of {
    ($($count:literal: $($n:literal)*;)*) => {$(
        impl<B> ParamsOf<B> for Count<$count>
        where
            $(B: ParamAt<$n>,)*
        {
            type Params = ($(<B as ParamAt<$n>>::Type,)*);
        }
    )*};
}
params_of! {
    0: ;
    1: 0;
    2: 0 1;
    3: 0 1 2;
    4: 0 1 2 3;
    5: 0 1 2 3 4;
    6: 0 1 2 3 4 5;
    7: 0 1 2 3 4 5 6;
    8: 0 1 2 3 4 5 6 7;
    9: 0 1 2 3 4 5 6 7 8;
    10: 0 1 2 3 4 5 6 7 8 9;
    11: 0 1 2 3 4 5 6 7 8 9 10;
    12: 0 1 2 3 4 5 6 7 8 9 10 11;
}

/// A whole dataflow with its parameters.
pub struct FlowOf<B: FlowBody>(pub <B::Count as ParamsOf<B>>::Params);

impl<B: FlowBody> Clone for FlowOf<B> {
    fn clone(&self) -> Self {
        FlowOf(self.0.clone())
    }
}

impl<B: FlowBody> fmt::Debug for FlowOf<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FlowOf").field(&B::GRAPH.name).finish()
    }
}

impl<B: FlowBody> FlowPlan for FlowOf<B> {
    const GRAPH: Graph = B::GRAPH;
    fn assemble<H: Host>(self, cx: &mut H::Cx<'_>) {
        let Assembled = B::assemble::<H>(self.0, cx);
    }
}

/// A struct of streams that a sub-flow returns. Implemented by `#[derive(Outputs)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not something that a sub-flow can return",
    label = "expected `Stream<..>`, `Keyed<..>`, a tuple of them, or a struct with `#[derive(Outputs)]`",
    note = "put `#[derive(Outputs)]` on the definition of `{Self}`, with streams as fields"
)]
pub trait Outputs: Sized {
    /// A struct with the same names, of [`Way`]s.
    type Ways;
    /// The streams.
    fn streams() -> Self;
    /// The ways.
    fn ways() -> Self::Ways;
}

/// The stream at a place of an [`Outputs`] struct, in the alphabetical order of its fields.
pub trait OutputAt<const N: usize> {
    /// The stream.
    type Token: Token;
}

/// One of several streams that are bound by name. `M` is a type of that name.
pub struct Way<S, M> {
    /// The stream.
    pub stream: S,
    mark: PhantomData<fn() -> M>,
}

impl<S: Token, M> Way<S, M> {
    /// The way of this name.
    pub fn token() -> Self {
        Way { stream: S::token(), mark: PhantomData }
    }
}

impl<S: Copy, M> Clone for Way<S, M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Copy, M> Copy for Way<S, M> {}

impl<S, M> fmt::Debug for Way<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Way")
    }
}

/// In the place of a name that has been bound.
#[derive(Debug)]
pub struct Bound;

/// Is implemented by [`Bound`] only: a name that takes its place has been left out.
#[diagnostic::on_unimplemented(
    message = "the stream `{Self}` is left out",
    label = "every stream must be bound: add `{Self}`",
    note = "a stream of no interest is dropped visibly, with `discard({Self}, \"why\")`"
)]
pub trait IsBound<P> {
    /// `P`
    type Passed;
}
#[diagnostic::do_not_recommend]
impl<P> IsBound<P> for Bound {
    type Passed = P;
}

/// The names that are not bound yet, with `M` among them.
pub trait Binds<M> {
    /// The others.
    type Rest;
    /// Takes the name out.
    fn bind(self) -> Self::Rest;
}

/// Takes the name of a way out of those that are not bound yet.
pub fn bind<R: Binds<M>, S, M>(rest: R, _: &Way<S, M>) -> R::Rest {
    rest.bind()
}

/// The consumer of a step that was not wired because of an error. It has no values: it only lets an expansion that
/// reports an error have the right type, so that the error stands alone.
#[derive(Debug)]
pub enum Unwired {}

impl<S: Token> Consumer<S> for Unwired {
    fn push(&mut self, _: Head<'_, S::Key>, _: S::Item) {
        match *self {}
    }
    fn control(&mut self, _: &mut Control<'_>) {
        match *self {}
    }
    fn describe(&self, _: &mut dyn Describe) {
        match *self {}
    }
}

/// The plan of an operator that has an error. Like [`Unwired`], it only keeps the error from being followed by others.
#[derive(Debug)]
pub struct UnwiredPlan(Unwired);

impl<H: Host, U: Token, D> Plan1<H, U, D> for UnwiredPlan {
    fn assemble(self, _: &mut H::Cx<'_>, _: StepId, _: D) -> (impl Consumer<U> + use<H, U, D>,) {
        (self.0,)
    }
}

/// What a name must be to be wired, and is not unless a step of the dataflow binds it: nothing implements this. The
/// expansion of a dataflow asks it of a name that it does not know, so that a step which is not wired never compiles, not
/// even where rustc knows the name.
#[diagnostic::on_unimplemented(
    message = "this name is not bound by a step of this dataflow",
    label = "not a stream of this dataflow",
    note = "streams are bound by `let name = step(..);` or are parameters of type `Stream`, `Keyed` or `Broadcast`; write an ordinary call in braces: `let n = {{ f(x) }};`"
)]
pub trait BoundByStep {
    /// What the step is then wired with.
    type Stream;
}

/// Refuses a name that is not bound by a step.
pub fn bound_by_step<T: BoundByStep<Stream = S>, S>(_: &T) -> S {
    unreachable!("nothing is `BoundByStep`")
}
