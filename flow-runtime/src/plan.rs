//! Plans: what a wired step hands over to be assembled.
//!
//! `#[dataflow]` goes through a body twice. First as written, on tokens: every step yields the tokens of its
//! outputs and a plan. Then downstream first: every plan is given the consumers of its outputs and yields the
//! consumers of its inputs. There is one trait per number of inputs; the outputs' consumers come as a tuple,
//! in the order of the outputs.

use std::fmt;

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
    /// Builds it in front of `down`.
    fn assemble<H: Host, D: Consumer<Self::Out>>(self, cx: &mut H::Cx<'_>, id: StepId, down: D);
}

/// What `#[dataflow]` writes for a whole dataflow; [`FlowOf`] makes a [`FlowPlan`] of it.
///
/// The bound on the parameters stands here and nowhere else, so that a parameter which cannot be handed to every
/// worker is reported once.
pub trait FlowBody: 'static {
    /// The parameters, as a list of pairs that ends in `()`.
    type Params: Params;
    /// The dataflow as it was written.
    const GRAPH: Graph;
    /// The body: wires on tokens, then assembles.
    fn assemble<H: Host>(params: Self::Params, cx: &mut H::Cx<'_>) -> Assembled;
}

/// That a body has been gone through to its end: no early `return` can leave a dataflow half wired.
#[derive(Debug)]
pub struct Assembled;

/// The parameters of a dataflow: `(A, (B, ()))`.
#[diagnostic::on_unimplemented(
    message = "a parameter of this dataflow cannot be handed to every worker",
    label = "dataflow parameters must be `Clone + Send + 'static`"
)]
pub trait Params: Clone + Send + 'static {}
impl Params for () {}
impl<A: Param, B: Params> Params for (A, B) {}

/// A whole dataflow with its parameters.
pub struct FlowOf<B: FlowBody>(pub B::Params);

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
    /// The tokens.
    fn tokens() -> Self;
}

/// The stream at a place of an [`Outputs`] struct, in the alphabetical order of its fields.
pub trait OutputAt<const N: usize> {
    /// The stream.
    type Token: Token;
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

/// What a name must be to be wired and that is not bound by a step of the dataflow: nothing is. The expansion of a
/// dataflow asks this of a name that it does not know, so that a step which is not wired never compiles, not even
/// where rustc knows the name.
#[diagnostic::on_unimplemented(
    message = "this name is not bound by a step of this dataflow",
    label = "not a stream of this dataflow",
    note = "streams are bound by `let name = step(..);` or are parameters of type `Stream`, `Keyed` or `Broadcast`; write an ordinary call in braces: `let n = {{ f(x) }};`"
)]
pub trait BoundByStep {}

/// Refuses a name that is not bound by a step.
pub fn bound_by_step<T: BoundByStep>(_: &T) {}
