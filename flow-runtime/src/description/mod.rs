//! What a dataflow says about itself once its types are known: [`Dataflow::describe`].
//!
//! The const graph shows a dataflow as it was written. A description shows it as it was assembled: in stages, with the
//! types that rustc resolved and the schemas of its state. It comes from assembling the plan on a host that has no
//! threads, reads nothing and writes nothing.

mod host;
mod json;
mod short;
mod table;
#[cfg(test)]
mod tests;

use crate::Dataflow;
use crate::describe::{OutletId, StepId, StepInfo};
use crate::host::Spread;
use crate::io::{Delivery, Replay};
use crate::plan::FlowPlan;

pub use short::short_type_name;

/// A dataflow as it is assembled. Displayed as a table for people; [`Description::to_json`] is for programs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Description {
    /// The stages, upstream first.
    pub stages: Vec<StageInfo>,
    /// The sources, in the order of their stages.
    pub sources: Vec<SourceInfo>,
    /// The sinks, in the order of their stages.
    pub sinks: Vec<SinkInfo>,
}

/// A stage: what one item runs through without waiting.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StageInfo {
    /// Its steps, upstream first. A step that begins a stage is part of it: `key_by` stands where its items arrive.
    pub steps: Vec<StepInfo>,
    /// The boundaries that its items come in by; none where it begins with a source.
    pub reads: Vec<Boundary>,
    /// The boundaries that it sends to.
    pub writes: Vec<OutletId>,
}

/// A boundary that a stage reads from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Boundary {
    /// Its sending end.
    pub outlet: OutletId,
    /// The step that it belongs to.
    pub step: StepId,
    /// How it spreads items over the workers; `None` where they stay on their worker.
    pub spread: Option<Spread>,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceInfo {
    /// The id of its step.
    pub id: StepId,
    /// The type of its items.
    pub item: &'static str,
    /// Whether its input can be read again.
    pub replay: Replay,
    /// Whether it says which epoch an item belongs to.
    pub gives_epochs: bool,
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkInfo {
    /// The id of its step.
    pub id: StepId,
    /// The type of the keys that it takes, where its stream has them.
    pub key: Option<&'static str>,
    /// The type of the items that it takes.
    pub item: &'static str,
    /// What it promises about items that are sent again after a crash.
    pub delivery: Delivery,
}

impl Description {
    /// All steps, upstream first.
    pub fn steps(&self) -> impl Iterator<Item = &StepInfo> {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }

    /// The index of the stage that sends to an outlet.
    pub fn sender(&self, outlet: OutletId) -> Option<usize> {
        self.stages.iter().position(|stage| stage.writes.contains(&outlet))
    }
}

impl<P: FlowPlan> Dataflow<P> {
    /// The stages that the dataflow is made of, with the types of its steps and the schemas of its state.
    ///
    /// Nothing is opened and nothing is listed, so it works where the dataflow could not run.
    pub fn describe(&self) -> Description {
        describe(self.__plan())
    }
}

/// The description of a plan.
pub(crate) fn describe<P: FlowPlan>(plan: P) -> Description {
    let mut assembly = host::Assembly::default();
    plan.assemble::<host::DescribeHost>(&mut assembly);
    assembly.finish()
}
