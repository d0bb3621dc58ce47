//! [`Sim`]: what is to be simulated, and how.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;

use super::explore::Explorer;
use super::failure::SimFailure;
use super::play::Player;
use super::rows::{Normal, Outcome, normal_by};
use super::world::World;
use crate::plan::FlowPlan;
use crate::{Dataflow, EpochPolicy};

/// Histories are tried up to this number unless another is set.
const AT_MOST: usize = 1000;

/// Simulates a dataflow: runs it under many schedules and lets it crash, and sees that the result is always the same.
///
/// It is given a function that makes the dataflow, since a crash ends it and it is made again. Its sources and sinks come from the
/// [`World`]. Everything runs on this machine's memory: a virtual clock, a seeded order in which workers take turns, a
/// [simulated disk](super::SimDisk) for the recovery log and for sinks. Nothing waits for real time.
///
/// ```
/// use flow_runtime::io::{Sink, Source};
/// use flow_runtime::prelude::*;
/// use flow_runtime::sim::Sim;
///
/// #[stateful_map]
/// fn add_up(total: &mut u64, _customer: &u32, (_, cents): (u32, u64)) -> u64 {
///     *total += cents;
///     *total
/// }
///
/// #[dataflow]
/// fn totals<S: Source<Item = (u32, u64)>, O: Sink<Keyed<u32, u64>>>(sales: S, out: O) {
///     let all = source(sales);
///     let by_customer = key_by(all, |(customer, _)| *customer);
///     let totals = add_up(by_customer);
///     sink(totals, out);
/// }
///
/// let sales = [(7, 100), (8, 5), (7, 50), (8, 1), (7, 2)];
/// Sim::new(|world| totals(world.source("sales", sales), world.sink("totals")))
///     .crash_everywhere()
///     .check(|outcome| assert_eq!(outcome.rows::<(u32, u64)>("totals").len(), 5))
///     .run();
/// ```
///
/// # What is done
///
/// 1. A run without a crash, with the first of the numbers of workers. What the sinks hold at its end is what every other
///    history must give, as a multiset: the rows, in any order.
/// 2. The same run again, and runs without a crash under other schedules, with other numbers of workers, other epochs
///    ([unless these are given](Sim::epochs)) and with [`rechunk`](Sim::rechunk) other batches. Where one differs the dataflow is not
///    deterministic, and the failure says what it depends on.
/// 3. Crashes and faults: [`crash_everywhere`](Sim::crash_everywhere), [`crashes`](Sim::crashes), [`disk_faults`](Sim::disk_faults). After each the dataflow is made again and goes on from
///    the recovery log, with the next number of workers.
///
/// At the end of every history the power is cut once more, which must take away nothing: all is committed then, and so durable.
///
/// A failure says which history failed, and how to play exactly this one [again](Sim::replay).
#[must_use = "a simulation does nothing until it is run"]
pub struct Sim<'a, F> {
    build: F,
    seed: u64,
    workers: Vec<usize>,
    epochs: Option<EpochPolicy>,
    rechunk: bool,
    everywhere: bool,
    faults: bool,
    crashes: usize,
    at_most: usize,
    any_order: bool,
    normal: BTreeMap<String, Normal<'a>>,
    check: Option<Box<dyn Fn(&Outcome) + 'a>>,
    replay: Option<String>,
}

impl<F> fmt::Debug for Sim<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl<'a, F> Sim<'a, F> {
    /// Simulates the dataflow that this function makes. It is called for every run, and must make the same each time.
    pub fn new<P: FlowPlan>(build: F) -> Sim<'a, F>
    where
        F: Fn(&World) -> Dataflow<P>,
    {
        Sim {
            build,
            seed: 0,
            workers: vec![1, 3, 2],
            epochs: None,
            rechunk: false,
            everywhere: false,
            faults: false,
            crashes: 0,
            at_most: AT_MOST,
            any_order: false,
            normal: BTreeMap::new(),
            check: None,
            replay: None,
        }
    }

    /// What decides everything that is left to chance; 0 unless it is set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The numbers of workers: the first run has the first, and the run after a crash the next one, in turn. `[1, 3, 2]` unless they are
    /// set.
    pub fn workers(mut self, counts: impl IntoIterator<Item = usize>) -> Self {
        self.workers = counts.into_iter().collect();
        self
    }

    /// When epochs end. Unless it is set there are about eight in a run, and it is tried whether the result depends on that.
    pub fn epochs(mut self, policy: EpochPolicy) -> Self {
        self.epochs = Some(policy);
        self
    }

    /// Lets sources also emit batches of random sizes.
    pub fn rechunk(mut self) -> Self {
        self.rechunk = true;
        self
    }

    /// Crashes in every operation of the disk that the first run does: once the process is killed, once the power is cut. Each time the
    /// next run goes on to the end; some of these crash once more, which is in their recovery as often as not.
    pub fn crash_everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }

    /// Lets the disk fail: every sync of a file that the first run does reports an error, once, and every write finds the disk full, for a
    /// while. The run may end with that; the next one goes on, and is then cut off by a power cut. As on Linux, what a failed sync should
    /// have written is dropped, though it can be read until the machine goes down. A run that waits for room lets virtual time pass, and what
    /// depends on time may differ by that.
    pub fn disk_faults(mut self) -> Self {
        self.faults = true;
        self
    }

    /// Tries so many histories of one to three crashes at random places.
    pub fn crashes(mut self, histories: usize) -> Self {
        self.crashes = histories;
        self
    }

    /// How many places [`crash_everywhere`](Sim::crash_everywhere) and [`disk_faults`](Sim::disk_faults) each try at most; 1000 unless it is set. Of more the seed chooses, and
    /// the [report](SimReport::skipped) says how many were left out.
    pub fn at_most(mut self, histories: usize) -> Self {
        self.at_most = histories;
        self
    }

    /// Compares the rows of a sink (or the lines of an output, as `String`) in another form: the last row of each key, say, where those
    /// before it depend on the order of arrival. What is answered is compared as a multiset, by its debug text.
    pub fn compare_by<T, U>(
        mut self,
        sink: impl Into<String>,
        form: impl Fn(Vec<T>) -> Vec<U> + 'a,
    ) -> Self
    where
        T: DeserializeOwned,
        U: fmt::Debug,
    {
        self.normal.insert(sink.into(), normal_by(form));
        self
    }

    /// Says that the result may depend on the order in which items arrive. Then rows are compared only where nothing differs but that
    /// a run is done a second time; what must hold in every history is for [`check`](Sim::check) to say.
    pub fn any_order_of_arrival(mut self) -> Self {
        self.any_order = true;
        self
    }

    /// Looks at what every history has come to, and panics if that is wrong.
    pub fn check(mut self, check: impl Fn(&Outcome) + 'a) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// Plays one history only, as a failure has written it: `.seed(7).replay("w1,kill@123,w3")`.
    pub fn replay(mut self, history: impl Into<String>) -> Self {
        self.replay = Some(history.into());
        self
    }

    /// Runs the simulation.
    ///
    /// # Panics
    /// With the text of the [`SimFailure`], when there is one.
    #[track_caller]
    pub fn run<P: FlowPlan>(self) -> SimReport
    where
        F: Fn(&World) -> Dataflow<P>,
    {
        match self.try_run() {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs the simulation.
    ///
    /// # Errors
    /// When a run fails, when its rows are not those of the first run, and when the check panics.
    pub fn try_run<P: FlowPlan>(self) -> Result<SimReport, SimFailure>
    where
        F: Fn(&World) -> Dataflow<P>,
    {
        let player = Player { build: &self.build, seed: self.seed, policy: self.epochs };
        Explorer {
            player,
            workers: &self.workers,
            rechunk: self.rechunk,
            any_order: self.any_order,
            normal: &self.normal,
            check: self.check.as_deref(),
            report: SimReport { seed: self.seed, ..SimReport::default() },
        }
        .explore(
            self.everywhere.then_some(self.at_most),
            self.faults.then_some(self.at_most),
            self.crashes,
            self.replay.as_deref(),
        )
    }
}

/// What a simulation has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimReport {
    /// Its seed.
    pub seed: u64,
    /// How many histories were played, each to its end.
    pub histories: usize,
    /// How many crashes, and faults of the disk, there were in them.
    pub crashes: usize,
    /// How many operations of the disk the first run has done.
    pub operations: usize,
    /// How many epochs the first run has committed.
    pub epochs: u64,
    /// How many places of [`crash_everywhere`](Sim::crash_everywhere) and [`disk_faults`](Sim::disk_faults) were left out, because there
    /// were more than [`at_most`](Sim::at_most).
    pub skipped: usize,
}
