//! The host without workers: it assembles a plan, asks every stage for its description and drops it.

use std::any::type_name;
use std::array;
use std::marker::PhantomData;

use crate::bounds::Item;
use crate::consumer::Consumer;
use crate::control::Control;
use crate::describe::{Describe, OutletId, StepId, StepInfo};
use crate::description::{Boundary, Description, SinkInfo, SourceInfo, StageInfo};
use crate::error::Error;
use crate::graph::Kind;
use crate::host::{Assignment, Host, Inlet, Outlet, Spread, WorkerInfo};
use crate::io::replay::ReplayKind;
use crate::io::{Io, PartitionId, Source};
use crate::state::GROUPS;
use crate::stream::Stream;
use crate::time::Timestamp;

pub(super) enum DescribeHost {}

/// What has been assembled so far. Assembly goes downstream first.
#[derive(Default)]
pub(super) struct Assembly {
    stages: Vec<StageInfo>,
    sources: Vec<SourceInfo>,
    sinks: Vec<StepId>,
    outlets: usize,
}

impl Assembly {
    fn boundary(&mut self, step: &StepId, spread: Option<Spread>) -> Boundary {
        let outlet = OutletId(self.outlets);
        self.outlets += 1;
        Boundary { outlet, step: step.clone(), spread }
    }

    pub(super) fn finish(mut self) -> Description {
        // A stage is assembled after all those that it sends to.
        self.stages.reverse();
        self.sources.reverse();
        let steps = || self.stages.iter().flat_map(|stage| &stage.steps);
        let sinks = self.sinks.iter().rev().filter_map(|id| {
            let step = steps().find(|step| step.id == *id && step.kind == Kind::Sink.name())?;
            Some(SinkInfo {
                id: id.clone(),
                key: step.key,
                item: step.input?,
                delivery: step.delivery?,
            })
        });
        Description { sinks: sinks.collect(), stages: self.stages, sources: self.sources }
    }
}

impl Describe for StageInfo {
    fn step(&mut self, step: StepInfo) {
        self.steps.push(step);
    }
    fn outlet(&mut self, outlet: OutletId) {
        self.writes.push(outlet);
    }
}

impl Host for DescribeHost {
    type Cx<'a> = Assembly;
    type Outlet<R: 'static> = Named<R>;

    fn worker(_: &Assembly) -> WorkerInfo {
        WorkerInfo { index: 0, peers: 1, hash_seed: 0, groups: GROUPS }
    }

    fn io(_: &Assembly) -> Io {
        Io::real()
    }

    fn source<S: Source, D: Consumer<Stream<S::Item>>>(
        cx: &mut Assembly,
        id: StepId,
        _: S,
        down: D,
    ) {
        let step = StepInfo::new(&id, Kind::Source.name()).emits::<S::Item>();
        let mut stage = StageInfo { steps: vec![step], reads: Vec::new(), writes: Vec::new() };
        down.describe(&mut stage);
        cx.stages.push(stage);
        let item = type_name::<S::Item>();
        cx.sources.push(SourceInfo {
            id,
            item,
            replay: S::Replay::KIND,
            gives_epochs: S::GIVES_EPOCHS,
        });
    }

    fn exchange<R: Item, I: Inlet<R>>(
        cx: &mut Assembly,
        id: StepId,
        spread: Spread,
        inlet: I,
    ) -> Named<R> {
        let boundary = cx.boundary(&id, Some(spread));
        let outlet = boundary.outlet;
        let mut stage = StageInfo { steps: Vec::new(), reads: vec![boundary], writes: Vec::new() };
        inlet.describe(&mut stage);
        cx.stages.push(stage);
        Named { outlet, rows: PhantomData }
    }

    fn handoff<R: 'static, I: Inlet<R>, const N: usize>(
        cx: &mut Assembly,
        id: StepId,
        inlet: I,
    ) -> [Named<R>; N] {
        let reads: [_; N] = array::from_fn(|_| cx.boundary(&id, None));
        let outlets = array::from_fn(|n| Named { outlet: reads[n].outlet, rows: PhantomData });
        let mut stage = StageInfo { steps: Vec::new(), reads: reads.into(), writes: Vec::new() };
        inlet.describe(&mut stage);
        cx.stages.push(stage);
        outlets
    }

    fn sink_partitions(
        cx: &mut Assembly,
        id: &StepId,
        _: &dyn Fn(&Io) -> Result<Vec<PartitionId>, Error>,
    ) -> Assignment {
        cx.sinks.push(id.clone());
        Assignment::default()
    }
}

/// A sending end that has nothing but its number.
pub(super) struct Named<R> {
    outlet: OutletId,
    rows: PhantomData<fn(R)>,
}

impl<R: 'static> Outlet<R> for Named<R> {
    fn send(&mut self, _: u64, _: Timestamp, _: R) {}
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, to: &mut dyn Describe) {
        to.outlet(self.outlet);
    }
}
