//! What a stage has been told so far.

use flow_runtime::Error;
use flow_runtime::control::{Answer, Control, Signal};
use flow_runtime::describe::Describe;
use flow_runtime::time::{Barrier, Epoch, Timestamp};

use crate::rng::Rng;
use crate::toy::source::Reads;

/// What all stages see of the run.
pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) rng: Rng,
    /// The labels of the epochs that have begun; the index is the barrier that ends one.
    pub(super) labels: Vec<Epoch>,
    /// The number of barriers that have been ordered.
    pub(super) ordered: u64,
    /// The final barrier.
    pub(super) last: Option<u64>,
}

/// A stage on one worker.
pub(super) trait Stage {
    /// Does a little. Whether there was anything to do.
    fn turn(&mut self, world: &mut World) -> Result<bool, Error>;
    /// Tells the stage what is durable.
    fn committed(&mut self, epoch: Epoch, world: &World) -> Result<(), Error>;
    /// Names steps and sending ends.
    fn describe(&self, to: &mut dyn Describe);
    /// What it has been told.
    fn life(&self) -> &Life;
    /// Its partitions, where it begins with a source.
    fn reads(&self) -> Option<Reads> {
        None
    }
    /// The earliest time at which there will be something to do.
    fn wake_at(&self) -> Option<Timestamp> {
        self.life().due()
    }
}

/// Keeps the order of signals.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) open: Option<u64>,
    pub(super) passed: u64,
    wake_at: Option<Timestamp>,
    uses_time: bool,
    follows_partitions: bool,
    /// A step has asked, on the last signal, not to read a partition.
    holds: bool,
}

impl Life {
    /// Sends a signal.
    pub(super) fn tell(
        &mut self,
        signal: Signal,
        now: Timestamp,
        to: impl FnOnce(&mut Control<'_>),
    ) -> Result<(), Error> {
        let mut answer = Answer::default();
        to(&mut Control::new(signal, now, &mut answer));
        match signal {
            // Asked anew each time.
            Signal::Flush | Signal::Tick => self.wake_at = answer.wake_at,
            _ => self.wake_at = self.wake_at.into_iter().chain(answer.wake_at).min(),
        }
        self.uses_time |= answer.uses_time;
        self.follows_partitions |= answer.follows_partitions;
        self.holds = answer.holds;
        answer.failure.map_or(Ok(()), Err)
    }

    /// Opens the next epoch. The label is known: the last barrier was ordered.
    pub(super) fn open(
        &mut self,
        world: &World,
        to: impl FnOnce(&mut Control<'_>),
    ) -> Result<(), Error> {
        let barrier = Barrier(self.passed);
        let epoch = world.labels[self.passed as usize];
        self.open = Some(self.passed);
        self.tell(Signal::Open { barrier, epoch }, world.now, to)
    }

    /// Ends the open epoch. After the final barrier there is no other.
    pub(super) fn close(
        &mut self,
        world: &World,
        mut to: impl FnMut(&mut Control<'_>),
    ) -> Result<(), Error> {
        let open = self.open.expect("an epoch is open");
        if world.last == Some(open) {
            self.tell(Signal::Finish, world.now, &mut to)?;
        }
        self.tell(Signal::Barrier(Barrier(open)), world.now, to)?;
        self.open = None;
        self.passed = open + 1;
        Ok(())
    }

    /// Whether the final barrier has been passed.
    pub(super) fn is_over(&self, world: &World) -> bool {
        world.last.is_some_and(|last| self.passed > last)
    }

    /// When the next tick is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.wake_at.filter(|_| self.open.is_some())
    }

    /// Whether a tick is due.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due().is_some_and(|at| at <= now)
    }

    /// Whether the stage is to be told what its partitions are about.
    pub(super) fn follows_partitions(&self) -> bool {
        self.follows_partitions
    }

    /// Whether the partition that the last signal spoke of is not to be read now.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// Whether the stage is to be told the time before its next batch.
    pub(super) fn uses_time(&self) -> bool {
        self.uses_time
    }
}
