//! A dataflow, ready to be run.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{EpochPolicy, Planned, Settings, launch, plan_start};
use crate::env::{Env, Real, Virtual};
use crate::error::Error;
use crate::graph::Graph;
use crate::plan::FlowPlan;
use crate::recovery::RecoveryLog;
use crate::run::handle::Running;
use crate::run::options::RunOptions;
use crate::run::program;

/// A dataflow with its parameters, ready to be run. This is what calling a `#[dataflow]` function gives.
#[derive(Clone, Debug)]
#[must_use = "a dataflow does nothing until it is run"]
pub struct Dataflow<P> {
    plan: P,
    options: RunOptions,
}

impl<P: FlowPlan> Dataflow<P> {
    /// Called by `#[dataflow]`.
    #[doc(hidden)]
    pub fn __new(plan: P) -> Self {
        Dataflow { plan, options: RunOptions::default() }
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

    /// Sets all options at once, as they come from a program's arguments.
    pub fn with(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the number of workers; without it there is one per core.
    pub fn workers(mut self, count: usize) -> Self {
        self.options.workers = Some(count);
        self
    }

    /// Sets when an epoch ends; without it after a second.
    pub fn epochs(mut self, policy: EpochPolicy) -> Self {
        self.options.epoch = Some(policy);
        self
    }

    /// Makes the dataflow recoverable: what it keeps is saved in this log at the end of every epoch, and a run begins where the
    /// last one on the same log was. A path is enough: `.recovery("state")`.
    ///
    /// ```
    /// use flow_runtime::io::{Collect, collect, from_iter};
    /// use flow_runtime::prelude::*;
    ///
    /// #[stateful_map]
    /// fn total(sum: &mut u64, _even: &bool, n: u64) -> u64 {
    ///     *sum += n;
    ///     *sum
    /// }
    ///
    /// #[dataflow]
    /// fn totals(numbers: Vec<u64>, out: Collect<(bool, u64)>) {
    ///     let all = source(from_iter(numbers));
    ///     let by_evenness = key_by(all, |n| n % 2 == 0);
    ///     let sums = total(by_evenness);
    ///     sink(sums, out);
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let folder = tempfile::tempdir()?;
    /// let (out, _) = collect();
    /// totals(vec![1, 2, 3], out).recovery(folder.path()).workers(2).spawn()?.wait()?;
    /// // Another run, perhaps of another process, with more input: only what is new is read, and the sums go on.
    /// let (out, found) = collect();
    /// totals(vec![1, 2, 3, 4, 5], out).recovery(folder.path()).workers(3).spawn()?.wait()?;
    /// assert_eq!(found.sorted(), [(false, 9), (true, 6)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn recovery(mut self, log: impl Into<RecoveryLog>) -> Self {
        self.options.log = Some(log.into());
        self
    }

    /// Ends the input for good when it ends: what steps hold back is emitted, and the recovery log takes no more input. Without
    /// this a run with a recovery log keeps it, since input may be appended.
    pub fn finish(mut self) -> Self {
        self.options.finish = true;
        self
    }

    /// Bounds the items per second that all sources emit together.
    pub fn rate(mut self, items_per_second: f64) -> Self {
        self.options.rate = Some(items_per_second);
        self
    }

    /// Measures where the time of the run goes: [`Summary::profile`](crate::Summary::profile) has it at the end, and a program prints
    /// it. See [`Profile`](crate::Profile).
    pub fn profile(mut self) -> Self {
        self.options.profile = true;
        self
    }

    /// Runs as a program: to the end of the input, or until SIGINT or SIGTERM, with progress and a summary on standard
    /// error. With `--graph` prints the graph instead.
    ///
    /// With `--plan` prints what a start would make of the recovery log instead, and says it by the exit code of the process, so
    /// that it can be asked before a deployment: 0 where everything that is saved is kept; 3 where something of it would be migrated,
    /// renamed or dropped (the process is ended here); an error where the start would be refused, or the log cannot be read, which ends
    /// a program with 1. 2 is a mistake in the flags.
    ///
    /// A standard output that was closed by its reader ends the run without an error.
    ///
    /// # Errors
    /// When the dataflow cannot start or fails.
    pub fn run(self) -> Result<(), Error> {
        program::run(self)
    }

    /// Starts the dataflow inside a service: no signal handlers, no output.
    ///
    /// # Errors
    /// When the options make no sense or the partitions of a source or sink cannot be listed.
    pub fn spawn(self) -> Result<Running, Error> {
        self.spawn_on(Arc::new(Real::new()), None)
    }

    /// The same; what was recovered, and what the run waits for, is told to a person.
    pub(crate) fn spawn_telling(self, tells: Option<fn(&str)>) -> Result<Running, Error> {
        self.spawn_on(Arc::new(Real::new()), tells)
    }

    /// Runs on a virtual schedule to the end of the input. Nothing may come from outside meanwhile: a run in which everybody waits
    /// is an error.
    ///
    /// # Errors
    /// When the dataflow cannot start or fails, or is stuck.
    pub fn simulate(self, schedule: Virtual) -> Result<(), Error> {
        self.simulate_on(Arc::new(schedule))
    }

    /// The same, on a schedule that can be asked afterwards how long it took.
    ///
    /// # Errors
    /// As [`simulate`](Dataflow::simulate).
    pub fn simulate_on(self, schedule: Arc<Virtual>) -> Result<(), Error> {
        self.spawn_on(schedule, None)?.wait().map(drop)
    }

    /// What a start would make of the recovery log; nothing without one.
    pub(crate) fn plan_of_start(self) -> Result<Option<Planned>, Error> {
        let Some(log) = self.options.recovery_log()? else { return Ok(None) };
        plan_start(self.plan, &log, self.options.worker_count()?).map(Some)
    }

    pub(crate) fn options(&self) -> &RunOptions {
        &self.options
    }

    pub(crate) fn spawn_on(
        self,
        env: Arc<dyn Env>,
        tells: Option<fn(&str)>,
    ) -> Result<Running, Error> {
        let Dataflow { plan, options } = self;
        let recovery = options.recovery_log()?;
        let settings = Settings {
            env,
            workers: options.worker_count()?,
            policy: options.epoch.unwrap_or_default(),
            // Where nothing is saved nothing could go on later: the end of the input is the end.
            finish: options.finish || recovery.is_none(),
            rate: options.rate()?,
            recovery,
            tells,
            patience: Duration::from_secs(30),
            profiles: options.profile,
        };
        tracing::info!(dataflow = P::GRAPH.name, workers = settings.workers, "starting");
        Running::start(P::GRAPH.name, |after| launch(plan, settings, after))
    }
}
