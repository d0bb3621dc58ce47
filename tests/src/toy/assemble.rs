//! Assembling a plan on every worker.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use flow_runtime::Error;
use flow_runtime::bounds::Item;
use flow_runtime::consumer::Consumer;
use flow_runtime::describe::{Describe, OutletId, StepId, StepInfo};
use flow_runtime::host::{Assignment, Host, Inlet, Spread, WorkerInfo};
use flow_runtime::io::{Io, PartitionId, Source};
use flow_runtime::plan::FlowPlan;
use flow_runtime::state::GROUPS;
use flow_runtime::stream::Stream;

use crate::rng::Rng;
use crate::toy::Toy;
use crate::toy::boundary::{Boundary, Manner, ToyOutlet};
use crate::toy::life::Stage;
use crate::toy::receiver::Receiver;
use crate::toy::source::Reading;

pub(super) enum ToyHost {}

/// The senders of a boundary that have been named, as lanes.
pub(super) type Named = Rc<RefCell<Vec<usize>>>;

/// One worker's assembly.
pub(super) struct Cx {
    worker: usize,
    wiring: Rc<RefCell<Wiring>>,
    stages: Vec<Box<dyn Stage>>,
    /// How many there have been on this worker: the numbers are the same on every worker.
    boundaries: usize,
    dealt: usize,
    /// The boundary and the input of each sending end.
    outlets: Vec<(usize, usize)>,
}

/// What the workers share.
struct Wiring {
    toy: Toy,
    rng: Rng,
    /// `Rc<Boundary<R>>`, each with its named senders.
    boundaries: Vec<(Box<dyn Any>, Named)>,
    /// The partitions of sources and sinks, in the order of assembly.
    assignments: Vec<Assignment>,
    failure: Option<Error>,
}

/// Assembles a plan on all workers.
pub(super) fn assemble<P: FlowPlan>(
    toy: &Toy,
    plan: &P,
    rng: Rng,
) -> Result<Vec<Box<dyn Stage>>, Error> {
    let wiring = Rc::new(RefCell::new(Wiring {
        toy: toy.clone(),
        rng,
        boundaries: Vec::new(),
        assignments: Vec::new(),
        failure: None,
    }));
    let mut stages = Vec::new();
    for worker in 0..toy.workers {
        let wiring = Rc::clone(&wiring);
        let mut cx =
            Cx { worker, wiring, stages: Vec::new(), boundaries: 0, dealt: 0, outlets: Vec::new() };
        plan.clone().assemble::<ToyHost>(&mut cx);
        cx.name_senders(toy.workers);
        stages.append(&mut cx.stages);
    }
    let failure = wiring.borrow_mut().failure.take();
    failure.map_or(Ok(stages), Err)
}

/// Gathers the sending ends of a stage.
#[derive(Default)]
struct Ends(Vec<OutletId>);

impl Describe for Ends {
    fn step(&mut self, _: StepInfo) {}
    fn outlet(&mut self, outlet: OutletId) {
        self.0.push(outlet);
    }
}

impl Cx {
    /// Opens a lane for every sending end that a stage names. An end that no stage names would never be waited for.
    fn name_senders(&self, workers: usize) {
        let mut ends = Ends::default();
        self.stages.iter().for_each(|stage| stage.describe(&mut ends));
        ends.0.sort_unstable();
        let all: Vec<_> = (0..self.outlets.len()).map(OutletId).collect();
        assert_eq!(ends.0, all, "every sending end must be named by exactly one stage");
        let wiring = self.wiring.borrow();
        for (boundary, port) in &self.outlets {
            let (_, named) = &wiring.boundaries[*boundary];
            named.borrow_mut().push(port * workers + self.worker);
        }
    }

    /// The next boundary: made by the first worker, found by the others.
    fn boundary<R: 'static>(&mut self, ports: usize) -> (Rc<Boundary<R>>, Named) {
        let index = self.boundaries;
        self.boundaries += 1;
        self.outlets.extend((0..ports).map(|port| (index, port)));
        let mut wiring = self.wiring.borrow_mut();
        if index == wiring.boundaries.len() {
            let boundary = Rc::new(Boundary::<R>::new(wiring.toy.workers, ports));
            wiring.boundaries.push((Box::new(boundary), Named::default()));
        }
        let (boundary, named) = &wiring.boundaries[index];
        let boundary: &Rc<Boundary<R>> =
            boundary.downcast_ref().expect("every worker assembles the same plan");
        (Rc::clone(boundary), Rc::clone(named))
    }

    fn outlet<R: 'static>(
        &self,
        boundary: &Rc<Boundary<R>>,
        port: usize,
        ports: usize,
        manner: Manner<R>,
    ) -> ToyOutlet<R> {
        let mut wiring = self.wiring.borrow_mut();
        let (batch, rng) = (wiring.toy.batch, wiring.rng.fork());
        let id = OutletId(self.outlets.len() - ports + port);
        ToyOutlet::new(id, Rc::clone(boundary), (port, self.worker), manner, batch, rng)
    }

    /// The partitions of the next source or sink: listed and dealt by the first worker.
    fn assignment(&mut self, list: impl FnOnce() -> Result<Vec<PartitionId>, Error>) -> Assignment {
        let index = self.dealt;
        self.dealt += 1;
        let mut wiring = self.wiring.borrow_mut();
        if index == wiring.assignments.len() {
            let mut partitions = list().unwrap_or_else(|error| {
                wiring.failure.get_or_insert(error);
                Vec::new()
            });
            partitions.sort();
            let peers = wiring.toy.workers;
            let workers = partitions.iter().map(|_| wiring.rng.below(peers)).collect();
            wiring.assignments.push(Assignment { partitions, workers });
        }
        wiring.assignments[index].clone()
    }
}

impl Host for ToyHost {
    type Cx<'a> = Cx;
    type Outlet<R: 'static> = ToyOutlet<R>;

    fn worker(cx: &Cx) -> WorkerInfo {
        let wiring = cx.wiring.borrow();
        WorkerInfo {
            index: cx.worker,
            peers: wiring.toy.workers,
            hash_seed: wiring.toy.seed,
            groups: GROUPS,
        }
    }

    fn io(_: &Cx) -> Io {
        Io::real()
    }

    fn source<S: Source, D: Consumer<Stream<S::Item>>>(
        cx: &mut Cx,
        id: StepId,
        source: S,
        down: D,
    ) {
        let assignment =
            cx.assignment(|| source.partitions(&Io::real()).map_err(|error| error.at_step(&id)));
        let batch = cx.wiring.borrow().toy.batch;
        cx.stages.push(Box::new(Reading::new(id, cx.worker, batch, source, assignment, down)));
    }

    fn exchange<R: Item, I: Inlet<R>>(
        cx: &mut Cx,
        _: StepId,
        spread: Spread,
        inlet: I,
    ) -> ToyOutlet<R> {
        let (boundary, named) = cx.boundary(1);
        let outlet = cx.outlet(&boundary, 0, 1, Manner::of(spread, R::clone));
        cx.stages.push(Box::new(Receiver::new(cx.worker, boundary, named, inlet)));
        outlet
    }

    fn handoff<R: 'static, I: Inlet<R>, const N: usize>(
        cx: &mut Cx,
        _: StepId,
        inlet: I,
    ) -> [ToyOutlet<R>; N] {
        let (boundary, named) = cx.boundary(N);
        let outlets = std::array::from_fn(|port| cx.outlet(&boundary, port, N, Manner::Handoff));
        let receiver = Receiver::new(cx.worker, boundary, named, inlet);
        cx.stages.push(Box::new(receiver.within_worker()));
        outlets
    }

    fn sink_partitions(
        cx: &mut Cx,
        id: &StepId,
        list: &dyn Fn(&Io) -> Result<Vec<PartitionId>, Error>,
    ) -> Assignment {
        cx.assignment(|| list(&Io::real()).map_err(|error| error.at_step(id)))
    }
}
