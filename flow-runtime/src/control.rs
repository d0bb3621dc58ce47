//! Signals: what the engine tells a stage besides its items.

use crate::describe::StepId;
use crate::error::Error;
use crate::recovery::changes::Changes;
use crate::recovery::recovered::Restoring;
use crate::time::{Barrier, Epoch, Timestamp};

/// One message to every consumer of a stage, upstream first.
///
/// Order in a stage: `Restore` where there is something saved, `Open(0)`, items, `Barrier(0)`, `Open(1)`, items, `Barrier(1)`, .. A stage never sees an
/// item of one epoch after that epoch's barrier: holding it back is the inlet's work, which the host owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Before the first epoch, in a run that goes on from a recovery log: take over what is saved.
    Restore,
    /// The epoch `epoch` begins; it will be closed by `barrier`.
    Open {
        /// The dense number of the barrier that will close it.
        barrier: Barrier,
        /// The label that users see.
        epoch: Epoch,
    },
    /// Processing time has advanced to [`Control::now`]: fire what is due.
    Tick,
    /// No item of an earlier event time will come.
    Watermark(Timestamp),
    /// The batch is done: hand over buffered output and report failures.
    Flush,
    /// The input has ended for good: emit what is still held back.
    Finish,
    /// The epoch ends here. What the step changed since the last barrier belongs to it.
    Barrier(Barrier),
    /// All epochs before this one are durable.
    Committed(Epoch),
}

/// A [`Signal`] on its way through a stage, and what the consumers answer.
#[derive(Debug)]
pub struct Control<'a> {
    signal: Signal,
    now: Timestamp,
    answer: &'a mut Answer,
    changes: Option<&'a mut Changes>,
    restoring: Option<Restoring<'a>>,
}

/// What the consumers of a stage answered to a signal.
#[derive(Debug, Default)]
pub struct Answer {
    /// The earliest processing time at which a consumer wants a [`Signal::Tick`].
    pub wake_at: Option<Timestamp>,
    /// Whether a consumer wants to know processing time before items come.
    pub uses_time: bool,
    /// Items that sinks have encoded since they were last asked.
    pub items_out: u64,
    /// The first failure. The run ends with it.
    pub failure: Option<Error>,
    /// What steps keep, where that is asked for.
    pub(crate) kept: Option<Vec<(StepId, Kept)>>,
}

/// What a step keeps in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
}

impl<'a> Control<'a> {
    /// A signal sent at the processing time `now`.
    pub fn new(signal: Signal, now: Timestamp, answer: &'a mut Answer) -> Self {
        Control { signal, now, answer, changes: None, restoring: None }
    }

    /// The same, to a stage whose changes are saved: at a barrier they go to `changes`.
    pub(crate) fn saving(mut self, changes: Option<&'a mut Changes>) -> Self {
        self.changes = changes;
        self
    }

    /// The same, to a stage that goes on from what is saved.
    pub(crate) fn restoring(mut self, from: Restoring<'a>) -> Self {
        self.restoring = Some(from);
        self
    }

    /// Where a step puts what it has changed, at a barrier of a run with a recovery log.
    pub(crate) fn changes(&mut self) -> Option<&mut Changes> {
        self.changes.as_deref_mut()
    }

    /// From where a step takes what is saved, on [`Signal::Restore`].
    pub(crate) fn restored(&self) -> Option<Restoring<'a>> {
        self.restoring
    }

    /// Another signal on the same way, in front of this one.
    pub(crate) fn beside(&mut self, signal: Signal) -> Control<'_> {
        Control::new(signal, self.now, self.answer)
    }

    /// The signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Processing time, which never goes back.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Asks for a [`Signal::Tick`] at `at` or soon after. Asked anew on every [`Signal::Flush`] and [`Signal::Tick`].
    pub fn wake_at(&mut self, at: Timestamp) {
        self.answer.wake_at = Some(self.answer.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Asks for a [`Signal::Tick`] before items that come after a pause. Asked on [`Signal::Open`].
    pub fn use_time(&mut self) {
        self.answer.uses_time = true;
    }

    /// Says what a step keeps, to whoever asks at a barrier of a run that is profiled.
    pub(crate) fn keeps(&mut self, step: &StepId, keys: usize, bytes: usize) {
        if let Some(kept) = &mut self.answer.kept {
            kept.push((step.clone(), Kept { keys: keys as u64, bytes: bytes as u64 }));
        }
    }

    /// Counts items that a sink has encoded.
    pub fn count_out(&mut self, items: u64) {
        self.answer.items_out += items;
    }

    /// Ends the run with `failure`, unless another came first.
    pub fn fail(&mut self, failure: Error) {
        self.answer.failure.get_or_insert(failure);
    }
}
