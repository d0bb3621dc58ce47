//! The schedule, and who orders barriers.

use std::thread;
use std::time::Duration;

use flow_runtime::plan::FlowPlan;
use flow_runtime::time::{Epoch, Timestamp};
use flow_runtime::{Error, ErrorKind};

use crate::rng::Rng;
use crate::toy::assemble::assemble;
use crate::toy::life::{Stage, World};
use crate::toy::source::Asked;
use crate::toy::{Report, Toy};

/// Barriers that may be ordered before one is committed.
const MOST_IN_FLIGHT: u64 = 4;
/// How long a run waits for somebody outside before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it sleeps at a time.
const NAP: Duration = Duration::from_millis(20);

pub(super) fn run<P: FlowPlan>(toy: &Toy, plan: P) -> Result<Report, Error> {
    let mut rng = Rng::new(toy.seed);
    let stages = assemble(toy, &plan, rng.fork())?;
    // Some stages are slow, so that batches pile up in front of them.
    let slow = stages.iter().map(|_| [0, 0, 2, 8][rng.below(4)]).collect();
    let world =
        World { now: Timestamp(1_000_000), rng, labels: vec![Epoch(0)], ordered: 0, last: None };
    Run { toy, stages, slow, world, committed: 0, turns: 0, slept: Duration::ZERO }.complete()
}

struct Run<'t> {
    toy: &'t Toy,
    stages: Vec<Box<dyn Stage>>,
    /// How often a stage lets its turn go by: all but once in so many times.
    slow: Vec<usize>,
    world: World,
    committed: u64,
    turns: u64,
    slept: Duration,
}

impl Run<'_> {
    fn complete(mut self) -> Result<Report, Error> {
        while self.world.last.is_none_or(|last| self.committed <= last) {
            self.order();
            if self.turn()? {
                self.turns += 1;
                self.slept = Duration::ZERO;
                self.world.now.0 += self.world.rng.below(100) as i64;
                self.commit()?;
            } else {
                self.wait()?;
            }
        }
        let Run { world, stages, turns, .. } = self;
        Ok(Report { epochs: world.labels, stages: stages.len(), turns })
    }

    /// Orders the next barrier, or does not.
    fn order(&mut self) {
        if self.world.last.is_some() {
            return;
        }
        let reads = || self.stages.iter().filter_map(|stage| Some((stage, stage.reads()?)));
        if reads().all(|(_, reads)| reads.ended) {
            self.world.last = Some(self.world.ordered);
            self.world.ordered += 1;
            return;
        }
        let label = self.world.labels[self.world.ordered as usize];
        let mut wanted = None;
        for (stage, reads) in reads() {
            let Some(asked) = reads.epochs else { continue };
            match asked {
                // One that has not begun the open epoch still asks for what it got.
                Asked::Epoch(epoch)
                    if stage.life().open == Some(self.world.ordered) && epoch > label =>
                {
                    wanted = Some(wanted.map_or(epoch, |earlier: Epoch| earlier.min(epoch)));
                }
                _ => return,
            }
        }
        let next = match wanted {
            Some(epoch) => epoch,
            None if self.world.ordered - self.committed < MOST_IN_FLIGHT
                && self.world.rng.once_in(self.toy.barrier_every) =>
            {
                label.next()
            }
            None => return,
        };
        self.world.ordered += 1;
        self.world.labels.push(next);
    }

    /// Gives a stage its turn. Whether any of them had something to do.
    fn turn(&mut self) -> Result<bool, Error> {
        let count = self.stages.len();
        let from = self.world.rng.below(count);
        for patient in [true, false] {
            for n in (from..count).chain(0..from) {
                let lets_go_by =
                    patient && self.slow[n] > 0 && !self.world.rng.once_in(self.slow[n]);
                if !lets_go_by && self.stages[n].turn(&mut self.world)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Tells all stages what all of them have passed.
    fn commit(&mut self) -> Result<(), Error> {
        let passed = self.stages.iter().map(|stage| stage.life().passed).min().unwrap_or(0);
        if passed > self.committed {
            let epoch = self.world.labels[passed as usize - 1].next();
            for stage in &mut self.stages {
                stage.committed(epoch, &self.world)?;
            }
            self.committed = passed;
        }
        Ok(())
    }

    /// Nobody has anything to do: time passes, or somebody outside is waited for.
    fn wait(&mut self) -> Result<(), Error> {
        let next = self.stages.iter().filter_map(|stage| stage.wake_at()).min();
        let outside =
            self.stages.iter().filter_map(|stage| stage.reads()).any(|reads| reads.waits_for_call);
        if let Some(next) = next.filter(|next| *next > self.world.now) {
            self.world.now = next;
            return Ok(());
        }
        if outside && self.slept < PATIENCE {
            thread::park_timeout(NAP);
            self.slept += NAP;
            return Ok(());
        }
        let open: Vec<_> = self.stages.iter().map(|stage| stage.life().open).collect();
        Err(Error::new(
            ErrorKind::Stopped,
            format!(
                "the run is stuck at barrier {} of {}: open epochs {open:?}",
                self.committed, self.world.ordered
            ),
        ))
    }
}
