//! What an assembled dataflow says about itself: steps with resolved types, state schemas, outlets.

use std::fmt;
use std::sync::Arc;

use crate::io::Delivery;
use crate::profile::steps::Counted;
use crate::recovery::manifest::StepSpec;
use crate::state::Schema;

/// The stable id of a step: the `let` name, behind the names of the enclosing sub-flow calls (`clean/words`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId {
    text: Arc<str>,
    counted: Counted,
}

impl StepId {
    /// The id of the whole dataflow: empty.
    pub fn root() -> Self {
        StepId::of("")
    }

    /// The step that is called this in full.
    pub(crate) fn of(id: &str) -> Self {
        StepId::made(Arc::from(id))
    }

    /// The id of the step `name` inside this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.text.is_empty() {
            StepId::of(name)
        } else {
            StepId::made(format!("{}/{name}", self.text).into())
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn made(text: Arc<str>) -> Self {
        StepId { counted: Counted::new(&text), text }
    }

    /// The same step, counted apart: its other half.
    pub(crate) fn apart(&self) -> Self {
        StepId { text: Arc::clone(&self.text), counted: self.counted.apart() }
    }

    /// The step's counters, in a run that is profiled.
    #[inline(always)]
    pub(crate) fn counted(&self) -> &Counted {
        &self.counted
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// The number of a boundary's sending end, the same on every worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutletId(pub usize);

/// One step, with its types as rustc resolved them.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// The step's id.
    pub id: StepId,
    /// The kind of step, as in the const graph.
    pub kind: &'static str,
    /// The key type of its input, where it has one.
    pub key: Option<&'static str>,
    /// The type of the items it takes.
    pub input: Option<&'static str>,
    /// The type of the items it emits.
    pub output: Option<&'static str>,
    /// What it keeps per key.
    pub state: Option<&'static Schema>,
    /// What it promises of what it writes, if it is a sink.
    pub delivery: Option<Delivery>,
    /// What it saves in a recovery log.
    pub(crate) saves: Option<fn() -> StepSpec>,
}

impl StepInfo {
    /// A step of which only id and kind are known.
    pub fn new(id: &StepId, kind: &'static str) -> Self {
        StepInfo {
            id: id.clone(),
            kind,
            key: None,
            input: None,
            output: None,
            state: None,
            delivery: None,
            saves: None,
        }
    }

    /// With the types of a stream that it takes.
    #[must_use]
    pub fn takes<S: crate::stream::Token>(mut self) -> Self {
        self.key = S::KEYED.then(std::any::type_name::<S::Key>);
        self.input = Some(std::any::type_name::<S::Item>());
        self
    }

    /// With the type of items that it emits.
    #[must_use]
    pub fn emits<B>(mut self) -> Self {
        self.output = Some(std::any::type_name::<B>());
        self
    }

    /// With what it promises of what it writes.
    #[must_use]
    pub fn delivers(mut self, delivery: Delivery) -> Self {
        self.delivery = Some(delivery);
        self
    }

    /// With the schema of its state.
    #[must_use]
    pub fn keeps(mut self, schema: &'static Schema) -> Self {
        self.state = Some(schema);
        self
    }
}

impl StepInfo {
    /// With what it saves in a recovery log.
    pub(crate) fn saves(mut self, spec: fn() -> StepSpec) -> Self {
        self.saves = Some(spec);
        self
    }
}

/// Receives the description of a stage, upstream first.
pub trait Describe {
    /// A step of the stage.
    fn step(&mut self, step: StepInfo);
    /// A boundary that the stage writes to. Known before the first item, so that a host can open it.
    fn outlet(&mut self, outlet: OutletId);
}
