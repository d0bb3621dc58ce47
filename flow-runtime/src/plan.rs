//! Plans: what a wired step hands over to be assembled.
//!
//! `#[dataflow]` goes through a body twice. First as written, on tokens: every step yields the tokens of its
//! outputs and a plan. Then downstream first: every plan is given the consumers of its outputs and yields the
//! consumers of its inputs. There is one trait per number of inputs; the outputs' consumers come as a tuple,
//! in the order of the outputs.

use crate::consumer::Consumer;
use crate::describe::StepId;
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
