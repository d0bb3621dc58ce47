//! Which histories are tried.

use std::collections::BTreeMap;

use super::failure::{Cause, Failure, SimFailure};
use super::history::{Crash, Event, History, How, Run};
use super::play::{Crashed, Ended, Failed, Player};
use super::rows::{Difference, Normal, Outcome};
use super::sim::SimReport;
use super::world::World;
use crate::Dataflow;
use crate::failure;
use crate::io::Random;
use crate::plan::FlowPlan;

/// Schedules that are tried with each number of workers.
const SCHEDULES: u64 = 2;
/// Of so many histories with a crash one gets another.
const SECOND_CRASH: usize = 4;
/// A start does about so many operations before it goes on: a second crash falls among them every other time.
const RECOVERY: u64 = 24;
/// The most crashes of a random history.
const CRASHES_MAX: u64 = 3;

/// Tries histories and compares what they come to.
pub(super) struct Explorer<'a, F> {
    pub(super) player: Player<'a, F>,
    pub(super) workers: &'a [usize],
    pub(super) rechunk: bool,
    pub(super) any_order: bool,
    pub(super) normal: &'a BTreeMap<String, Normal<'a>>,
    pub(super) check: Option<&'a (dyn Fn(&Outcome) + 'a)>,
    pub(super) report: SimReport,
}

impl<F, P: FlowPlan> Explorer<'_, F>
where
    F: Fn(&World) -> Dataflow<P>,
{
    pub(super) fn explore(
        mut self,
        everywhere: Option<usize>,
        faults: Option<usize>,
        crashes: usize,
        replay: Option<&str>,
    ) -> Result<SimReport, SimFailure> {
        let Some(first) = self.workers.first().copied() else {
            return Err(self.asked("it is given no number of workers: `.workers([1, 3, 2])`"));
        };
        let replayed = replay.map(str::parse::<History>).transpose();
        let replayed = replayed.map_err(|error| self.asked(&error))?;
        let first = self.ended(self.player.start(Run::with(first), true))?;
        let expected = self.look_at(&first, None)?;
        self.report.operations = first.moments.len();
        self.report.epochs = first.epochs;
        if let Some(history) = replayed {
            let ended = self.ended(self.player.play(&history))?;
            self.compare(&ended, &expected, Cause::Replayed)?;
            return Ok(self.report);
        }
        self.without_crashes(&first, &expected)?;
        if let Some(at_most) = everywhere {
            self.everywhere(&first, &expected, at_most)?;
        }
        if let Some(at_most) = faults {
            self.disk_faults(&first, &expected, at_most)?;
        }
        for n in 0..crashes {
            self.at_random(n, &expected)?;
        }
        Ok(self.report)
    }

    /// What must not change the result.
    fn without_crashes(&mut self, first: &Ended, expected: &Outcome) -> Result<(), SimFailure> {
        let same = Run::with(self.workers[0]);
        let again = self.ended(self.player.start(same, false))?;
        // Even where the order of arrival counts: it is the same here.
        let outcome = self.look_at(&again, None)?;
        let differs = outcome.differs_from(expected, self.normal);
        self.refuse(&again.history, None, differs.map(Cause::Unrepeatable))?;
        let mut counts = self.workers.to_vec();
        counts.sort_unstable();
        counts.dedup();
        let schedules: Vec<Run> = counts
            .into_iter()
            .flat_map(|workers| {
                (1..=SCHEDULES).map(move |schedule| Run { schedule, ..Run::with(workers) })
            })
            .collect();
        for run in &schedules {
            self.try_run(*run, expected, Cause::Order)?;
        }
        // Before batches: where these end moves the ends of epochs, too.
        if self.player.policy.is_none() {
            for items in [1, first.items / 3, first.items] {
                let run = Run { epoch: Some(items.max(1)), ..same };
                self.try_run(run, expected, Cause::Epochs)?;
            }
        }
        if self.rechunk {
            for run in schedules {
                self.try_run(Run { rechunk: true, ..run }, expected, Cause::Batches)?;
            }
        }
        Ok(())
    }

    fn try_run(
        &mut self,
        run: Run,
        expected: &Outcome,
        cause: fn(Difference) -> Cause,
    ) -> Result<(), SimFailure> {
        let ended = self.ended(self.player.start(run, false))?;
        let outcome = self.look_at(&ended, None)?;
        let Some(difference) = self.differs(&outcome, expected) else { return Ok(()) };
        // Where counted epochs end depends on the schedule as well: is it still another result where there is only one?
        let one = |run: Run| {
            let run = Run { epoch: Some(ended.items + 1), ..run };
            self.player.start(run, false).ok().map(|ended| Outcome::of(&ended))
        };
        let cause = match (one(Run::with(self.workers[0])), one(run)) {
            (Some(first), Some(other)) if self.differs(&other, &first).is_none() => Cause::Epochs,
            _ => cause,
        };
        self.refuse(&ended.history, None, Some(cause(difference)))
    }

    /// A crash in every operation of the first run.
    fn everywhere(
        &mut self,
        first: &Ended,
        expected: &Outcome,
        at_most: usize,
    ) -> Result<(), SimFailure> {
        let operations = 0..first.moments.len() as u64;
        let crashes = operations
            .flat_map(|operation| [How::Kill, How::Cut].map(|how| Crash { how, operation }));
        let mut random = Random::new(first.history.seed(self.player.seed));
        let crashes = sample(crashes.collect(), at_most, &mut random);
        self.report.skipped = 2 * first.moments.len() - crashes.len();
        // All of one crash first: of two failures the shorter is the better one to be told.
        let mut twice = Vec::new();
        for (n, crash) in crashes.into_iter().enumerate() {
            let run = self.next_run(n + 1, &mut random);
            let resumed = self.after(first, crash, run, false)?;
            self.compare_after(first, &resumed, expected)?;
            if n % SECOND_CRASH == 0 {
                twice.push((n, crash, run));
            }
        }
        for (n, crash, run) in twice {
            let resumed = self.after(first, crash, run, true)?;
            let operations = resumed.moments.len() as u64;
            let most = if random.below(2) == 0 { RECOVERY.min(operations) } else { operations };
            let crash = Crash { how: either(&mut random), operation: random.below(most) };
            let run = self.next_run(n + 2, &mut random);
            let ended = self.after(&resumed, crash, run, false)?;
            self.compare_after(&resumed, &ended, expected)?;
        }
        Ok(())
    }

    /// Every sync of the first run fails, and every write finds the disk full. Then the power is cut, in the run that goes on: what it has
    /// found in the cache must not be relied on.
    fn disk_faults(
        &mut self,
        first: &Ended,
        expected: &Outcome,
        at_most: usize,
    ) -> Result<(), SimFailure> {
        let faults = first.moments.iter().filter_map(|moment| {
            let how = match (moment.syncs(), moment.writes()) {
                (true, _) => How::Sync,
                (_, true) => How::Full,
                _ => return None,
            };
            Some(Crash { how, operation: moment.operation() })
        });
        let faults: Vec<_> = faults.collect();
        let mut random = Random::new(first.history.seed(self.player.seed) ^ 1);
        let there = faults.len();
        let faults = sample(faults, at_most, &mut random);
        self.report.skipped += there - faults.len();
        for (n, fault) in faults.into_iter().enumerate() {
            let run = self.next_run(n + 1, &mut random);
            let resumed = self.after(first, fault, run, true)?;
            self.compare_after(first, &resumed, expected)?;
            if resumed.moments.is_empty() {
                continue;
            }
            let operation = random.below(resumed.moments.len() as u64);
            let run = self.next_run(n + 2, &mut random);
            let crash = Crash { how: How::Cut, operation };
            let ended = self.after(&resumed, crash, run, false)?;
            self.compare_after(&resumed, &ended, expected)?;
        }
        Ok(())
    }

    /// A history with several crashes.
    fn at_random(&mut self, n: usize, expected: &Outcome) -> Result<(), SimFailure> {
        let mut random = Random::new(self.player.seed ^ (n as u64 + 1).rotate_left(32));
        let first = Run { schedule: random.below(100), ..self.next_run(n, &mut random) };
        let mut ended = self.ended(self.player.start(first, true))?;
        for crash in 0..=random.below(CRASHES_MAX) as usize {
            let operation = random.below(ended.moments.len() as u64);
            let crash_at = Crash { how: either(&mut random), operation };
            let run = self.next_run(n + crash + 1, &mut random);
            let resumed = self.after(&ended, crash_at, run, true)?;
            self.compare_after(&ended, &resumed, expected)?;
            ended = resumed;
        }
        Ok(())
    }

    fn next_run(&self, n: usize, random: &mut Random) -> Run {
        let workers = self.workers[n % self.workers.len()];
        Run { rechunk: self.rechunk && random.below(2) == 0, ..Run::with(workers) }
    }

    fn after(
        &mut self,
        ended: &Ended,
        crash: Crash,
        run: Run,
        record: bool,
    ) -> Result<Ended, SimFailure> {
        let Crashed { history, disk } = self.player.crash(ended, crash);
        match self.player.resume(Crashed { history, disk }, run, record) {
            Ok(resumed) => Ok(resumed),
            Err(Failed { history, error }) => {
                Err(self.failure(history, described(ended, crash), Cause::Run(error)))
            }
        }
    }

    fn ended(&self, ended: Result<Ended, Failed>) -> Result<Ended, SimFailure> {
        ended.map_err(|Failed { history, error }| self.failure(history, None, Cause::Run(error)))
    }

    fn compare(
        &mut self,
        ended: &Ended,
        expected: &Outcome,
        cause: fn(Difference) -> Cause,
    ) -> Result<(), SimFailure> {
        let outcome = self.look_at(ended, None)?;
        let differs = self.differs(&outcome, expected);
        self.refuse(&ended.history, None, differs.map(cause))
    }

    fn compare_after(
        &mut self,
        before: &Ended,
        ended: &Ended,
        expected: &Outcome,
    ) -> Result<(), SimFailure> {
        let crashed_in = match ended.history.0.as_slice() {
            [.., Event::Crash(crash), Event::Run(_)] => described(before, *crash),
            _ => None,
        };
        let outcome = self.look_at(ended, crashed_in.clone())?;
        let differs = self.differs(&outcome, expected);
        self.refuse(&ended.history, crashed_in, differs.map(Cause::Crash))
    }

    fn differs(&self, outcome: &Outcome, expected: &Outcome) -> Option<Difference> {
        if self.any_order { None } else { outcome.differs_from(expected, self.normal) }
    }

    /// Shows the user what a history has come to.
    fn look_at(
        &mut self,
        ended: &Ended,
        crashed_in: Option<String>,
    ) -> Result<Outcome, SimFailure> {
        self.report.histories += 1;
        let crashes = ended.history.0.iter().filter(|event| matches!(event, Event::Crash(_)));
        self.report.crashes += crashes.count();
        let outcome = Outcome::of(ended);
        if let Some(check) = self.check {
            let checked = failure::caught(|| {
                check(&outcome);
                Ok(())
            });
            let failed = checked.err().map(Cause::Check);
            self.refuse(&ended.history, crashed_in.clone(), failed)?;
        }
        let lost = outcome.is_not_durable().map(Cause::NotDurable);
        self.refuse(&ended.history, crashed_in, lost)?;
        Ok(outcome)
    }

    fn refuse(
        &self,
        history: &History,
        crashed_in: Option<String>,
        cause: Option<Cause>,
    ) -> Result<(), SimFailure> {
        match cause {
            None => Ok(()),
            Some(cause) => Err(self.failure(history.clone(), crashed_in, cause)),
        }
    }

    fn asked(&self, what: &str) -> SimFailure {
        self.failure(History::default(), None, Cause::Asked(what.to_owned()))
    }

    fn failure(&self, history: History, crashed_in: Option<String>, cause: Cause) -> SimFailure {
        let (dataflow, seed) = (P::GRAPH.name, self.player.seed);
        SimFailure(Box::new(Failure { dataflow, seed, history, crashed_in, cause }))
    }
}

fn described(ended: &Ended, crash: Crash) -> Option<String> {
    let at = usize::try_from(crash.operation).ok()?;
    ended.moments.get(at).map(ToString::to_string)
}

/// How to crash, if it can be either.
fn either(random: &mut Random) -> How {
    if random.below(2) == 0 { How::Kill } else { How::Cut }
}

/// Some of these, in their order.
fn sample<T>(all: Vec<T>, at_most: usize, random: &mut Random) -> Vec<T> {
    let mut needed = at_most.min(all.len()) as u64;
    let mut left = all.len() as u64;
    let chosen = all.into_iter().filter(|_| {
        let is_chosen = random.below(left) < needed;
        left -= 1;
        needed -= u64::from(is_chosen);
        is_chosen
    });
    chosen.collect()
}
