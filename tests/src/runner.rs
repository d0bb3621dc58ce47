//! The ways to run a dataflow.

use flow_runtime::plan::FlowPlan;
use flow_runtime::{Dataflow, EpochPolicy, Error, Virtual};

use crate::toy::Toy;

/// What a run is like. Every runner follows it as far as it can.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The number of workers.
    pub workers: usize,
    /// The largest batch.
    pub batch: usize,
    /// Decides what is left to chance.
    pub seed: u64,
    /// How far barriers are apart, more or less; 0 where they are not to be ordered: the final one comes
    /// anyway, and a source that gives epochs orders its own.
    pub barrier_every: usize,
}

/// A way to run a dataflow to the end of its input.
pub trait Runner {
    /// Runs it.
    ///
    /// # Errors
    /// When the dataflow fails.
    fn run<P: FlowPlan>(&self, dataflow: Dataflow<P>, schedule: Schedule) -> Result<(), Error>;
}

/// On the toy host.
#[derive(Clone, Copy, Debug)]
pub struct OnToy;

impl Runner for OnToy {
    fn run<P: FlowPlan>(&self, dataflow: Dataflow<P>, schedule: Schedule) -> Result<(), Error> {
        let Schedule { workers, batch, seed, barrier_every } = schedule;
        Toy::new(workers)
            .seed(seed)
            .batch(batch)
            .barrier_every(barrier_every)
            .run(&dataflow)
            .map(drop)
    }
}

/// On the engine, with a schedule that a seed decides. The engine chooses its batches by itself.
#[derive(Clone, Copy, Debug)]
pub struct OnEngine;

impl Runner for OnEngine {
    fn run<P: FlowPlan>(&self, dataflow: Dataflow<P>, schedule: Schedule) -> Result<(), Error> {
        let mut dataflow = dataflow.workers(schedule.workers);
        if schedule.barrier_every > 0 {
            dataflow = dataflow.epochs(EpochPolicy::items(schedule.barrier_every as u64));
        }
        dataflow.simulate(Virtual::new(schedule.seed))
    }
}

/// On the engine, with real threads.
#[derive(Clone, Copy, Debug)]
pub struct OnThreads;

impl Runner for OnThreads {
    fn run<P: FlowPlan>(&self, dataflow: Dataflow<P>, schedule: Schedule) -> Result<(), Error> {
        let mut dataflow = dataflow.workers(schedule.workers);
        if schedule.barrier_every > 0 {
            dataflow = dataflow.epochs(EpochPolicy::items(schedule.barrier_every as u64));
        }
        dataflow.spawn()?.wait().map(drop)
    }
}

/// Runs a dataflow in all ways that a test should: on the toy host and on the engine's virtual schedule, with several
/// numbers of workers and batch sizes. `build` makes the dataflow anew each time, with what checks its outcome.
///
/// # Panics
/// When a run fails, and where the check does.
pub fn everywhere<P: FlowPlan, C: FnOnce()>(
    seed: u64,
    barrier_every: usize,
    build: impl Fn() -> (Dataflow<P>, C),
) {
    for (n, workers) in [1, 2, 3, 8].into_iter().enumerate() {
        let batch = [1, 7, 1024][(seed as usize % 3 + n) % 3];
        let schedule = Schedule { workers, batch, seed, barrier_every };
        run_checked(&OnToy, schedule, &build);
        run_checked(&OnEngine, schedule, &build);
    }
}

fn run_checked<P: FlowPlan, C: FnOnce()>(
    runner: &impl Runner,
    schedule: Schedule,
    build: impl Fn() -> (Dataflow<P>, C),
) {
    let (dataflow, check) = build();
    if let Err(error) = runner.run(dataflow, schedule) {
        panic!("{schedule:?}: {error}");
    }
    check();
}
