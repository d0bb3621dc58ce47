//! Playing histories: one run after the other, on one disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::World;
use super::disk::{Moment, SimDisk};
use super::history::{Crash, Event, History, How, Run};
use super::world::Output;
use crate::env::Virtual;
use crate::error::Error;
use crate::plan::FlowPlan;
use crate::{Dataflow, EpochPolicy};

/// Where the recovery log lies on the simulated disk.
const LOG: &str = "log";

/// About so many epochs a run has unless it is told otherwise: enough for crashes to fall between commits, few enough to crash
/// everywhere in little time.
const EPOCHS: u64 = 8;

/// So often a full disk refuses what is written.
const REFUSALS: u32 = 2;

/// Plays histories of one dataflow.
pub(super) struct Player<'a, F> {
    pub(super) build: &'a F,
    pub(super) seed: u64,
    pub(super) policy: Option<EpochPolicy>,
}

/// What a history has come to whose last run went on to the end.
pub(super) struct Ended {
    pub(super) history: History,
    pub(super) disk: SimDisk,
    pub(super) outputs: BTreeMap<String, Output>,
    /// Of the last run, if they were asked for.
    pub(super) moments: Vec<Moment>,
    /// How many items the sources have.
    pub(super) items: u64,
    /// How many epochs the last run has committed.
    pub(super) epochs: u64,
}

/// A history whose last run has been cut off.
pub(super) struct Crashed {
    pub(super) history: History,
    pub(super) disk: SimDisk,
}

/// A run that failed.
pub(super) struct Failed {
    pub(super) history: History,
    pub(super) error: Error,
}

impl<F, P: FlowPlan> Player<'_, F>
where
    F: Fn(&World) -> Dataflow<P>,
{
    /// The first run, on an empty disk.
    pub(super) fn start(&self, run: Run, record: bool) -> Result<Ended, Failed> {
        let history = History(vec![Event::Run(run)]);
        let disk = SimDisk::new(history.seed(self.seed));
        self.run(history, run, disk, record)
    }

    /// The next run after a crash.
    pub(super) fn resume(&self, crashed: Crashed, run: Run, record: bool) -> Result<Ended, Failed> {
        self.run(crashed.history.then(Event::Run(run)), run, crashed.disk, record)
    }

    /// Lets the last run of a history have been cut off.
    pub(super) fn crash(&self, ended: &Ended, crash: Crash) -> Crashed {
        let history = ended.history.then(Event::Crash(crash));
        let seed = history.seed(self.seed);
        if let (How::Sync | How::Full, Some(first)) = (crash.how, ended.moments.first()) {
            let disk = first.disk(seed);
            self.fail(ended, crash, &disk);
            return Crashed { history, disk: disk.after_kill() };
        }
        let at = usize::try_from(crash.operation).ok().and_then(|at| ended.moments.get(at));
        let disk = match at {
            Some(moment) => moment.crashed(seed),
            // It was at its end before.
            None => {
                let disk = ended.disk.fork();
                disk.reseed(seed);
                disk
            }
        };
        let disk = if crash.how == How::Cut { disk.after_power_cut() } else { disk.after_kill() };
        Crashed { history, disk }
    }

    /// Does the last run of a history again on a disk that fails it.
    fn fail(&self, ended: &Ended, crash: Crash, disk: &SimDisk) {
        match crash.how {
            How::Full => disk.full_at(crash.operation, REFUSALS),
            _ => disk.fail_sync_at(crash.operation),
        }
        if let Some(Event::Run(run)) = ended.history.0.last() {
            // Whether it has ended with an error or gone on: the next run finds what it has left.
            let _ = self.run(ended.history.clone(), *run, disk.clone(), false);
        }
    }

    /// A whole history.
    pub(super) fn play(&self, history: &History) -> Result<Ended, Failed> {
        let mut events = history.0.iter();
        let Some(Event::Run(first)) = events.next() else {
            // A history begins with a run: that is how it is read.
            return self.start(Run::with(1), false);
        };
        let mut ended = self.start(*first, true)?;
        while let (Some(Event::Crash(crash)), Some(Event::Run(run))) =
            (events.next(), events.next())
        {
            ended = self.resume(self.crash(&ended, *crash), *run, true)?;
        }
        Ok(ended)
    }

    fn run(
        &self,
        history: History,
        run: Run,
        disk: SimDisk,
        record: bool,
    ) -> Result<Ended, Failed> {
        let world = World::new(disk.clone());
        let flow = (self.build)(&world);
        let items = world.items();
        let policy = match (run.epoch, self.policy) {
            (Some(items), _) => EpochPolicy::items(items),
            (None, Some(policy)) => policy,
            (None, None) => EpochPolicy::items((items / EPOCHS).max(1)),
        };
        if record {
            disk.record();
        }
        let mut schedule = Virtual::new(history.seed(self.seed)).with_io(disk.io());
        if !run.rechunk {
            schedule = schedule.whole_batches();
        }
        let flow = flow.workers(run.workers).epochs(policy).recovery(LOG);
        match flow.spawn_on(Arc::new(schedule), None).and_then(|running| running.wait()) {
            Ok(summary) => Ok(Ended {
                history,
                moments: disk.take_moments(),
                disk,
                outputs: world.into_outputs(),
                items,
                epochs: summary.epochs,
            }),
            Err(error) => Err(Failed { history, error }),
        }
    }
}
