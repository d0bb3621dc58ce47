//! A second host: all workers on one thread, alignment by frontier and stash.
//!
//! The engine puts a marker behind the last batch of an epoch and stops reading a queue at the marker. This host
//! sends no markers. Every batch carries the number of its epoch's barrier; every receiving end keeps a frontier per
//! sender, the first epoch that the sender has not closed, and puts batches of later epochs aside. That a sender has
//! closed an epoch becomes known at once, often long before its last batches arrive. A plan that runs on both hosts relies on
//! nothing but the four seams of [`flow_runtime::host`]:
//!
//! * every sending end is named by [`describe`](flow_runtime::host::Outlet::describe) before the first item, which is
//!   how a frontier knows whom to wait for;
//! * rows that a writer holds back come out at a flush, which follows every batch;
//! * sources are polled when the schedule says so, for as many items as it says;
//! * a stage sees `Open(b)`, items of `b`, `Barrier(b)`, and nothing between `Barrier(b)` and `Open(b + 1)`.
//!
//! Whose turn it is, how large batches are, how late a stage closes an epoch and where barriers fall is decided by a seed.

mod assemble;
mod boundary;
mod life;
mod receiver;
mod run;
mod source;

use flow_runtime::plan::FlowPlan;
use flow_runtime::time::Epoch;
use flow_runtime::{Dataflow, Error};

/// How to run.
#[derive(Clone, Debug)]
pub struct Toy {
    workers: usize,
    seed: u64,
    batch: usize,
    barrier_every: usize,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The label of each barrier.
    pub epochs: Vec<Epoch>,
    /// The stages of all workers.
    pub stages: usize,
    /// The turns that stages took.
    pub turns: u64,
}

impl Toy {
    /// A run with so many workers.
    pub fn new(workers: usize) -> Self {
        Toy { workers: workers.max(1), seed: 0, batch: 16, barrier_every: 20 }
    }

    /// Decides everything that is left to chance.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The largest batch. How large one really is, up to that, is left to chance.
    #[must_use]
    pub fn batch(mut self, most: usize) -> Self {
        self.batch = most.max(1);
        self
    }

    /// A barrier about once in so many turns; 0 for none but the final one.
    #[must_use]
    pub fn barrier_every(mut self, turns: usize) -> Self {
        self.barrier_every = turns;
        self
    }

    /// Runs a dataflow to the end of its input.
    ///
    /// # Errors
    /// When the dataflow fails, or nobody can go on.
    ///
    /// # Panics
    /// When a step breaks the protocol between plan and host.
    pub fn run<P: FlowPlan>(&self, dataflow: &Dataflow<P>) -> Result<Report, Error> {
        run::run(self, dataflow.__plan())
    }
}
