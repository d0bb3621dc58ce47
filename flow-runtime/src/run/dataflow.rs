//! A dataflow, ready to be run.

use crate::graph::Graph;
use crate::plan::FlowPlan;

/// A dataflow with its parameters, ready to be run. This is what calling a `#[dataflow]` function gives.
#[derive(Clone, Debug)]
#[must_use = "a dataflow does nothing until it is run"]
pub struct Dataflow<P> {
    plan: P,
}

impl<P: FlowPlan> Dataflow<P> {
    /// Called by `#[dataflow]`.
    #[doc(hidden)]
    pub fn __new(plan: P) -> Self {
        Dataflow { plan }
    }

    /// The dataflow as it was written.
    pub fn graph(&self) -> &'static Graph {
        const { &P::GRAPH }
    }

    /// Called by hosts.
    #[doc(hidden)]
    pub fn __plan(&self) -> P {
        self.plan.clone()
    }
}
