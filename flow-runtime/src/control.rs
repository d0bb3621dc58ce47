//! Signals: what the engine tells a stage besides its items.

use std::rc::Rc;

use crate::describe::StepId;
use crate::error::Error;
use crate::io::PartitionId;
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
    /// How far event time has come. Comes once before the first item, and then whenever it changes.
    Watermark(EventTime),
    /// What a source's partition is about. Only told in the stage of a source, to steps that asked to
    /// [follow partitions](Control::follow_partitions).
    Partition {
        /// Its number among [`Control::partitions`].
        number: usize,
        /// What it is about.
        is: Reading,
    },
    /// The batch is done: hand over buffered output and report failures.
    Flush,
    /// The input has ended for good: emit what is still held back.
    Finish,
    /// The epoch ends here. What the step changed since the last barrier belongs to it.
    Barrier(Barrier),
    /// All epochs before this one are durable.
    Committed(Epoch),
}

/// How far event time has come at one place of a dataflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTime {
    /// No item of an earlier time is expected; those that come are late. [`Timestamp::MIN`] at first.
    pub watermark: Timestamp,
    /// What is to be expected from upstream.
    pub standing: Standing,
}

/// What is to be expected of event time from upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Nothing any more: all partitions upstream have ended, or their items have no time.
    Ended,
    /// Nothing at present: no partition upstream has had items for a while. Others do not wait for it.
    Idle,
    /// Time goes on.
    Active,
}

impl EventTime {
    /// Where nobody upstream tells a time.
    pub const UNTIMED: EventTime =
        EventTime { watermark: Timestamp::MIN, standing: Standing::Ended };

    /// What several inputs come to: the earliest watermark of those that are active; if none is, the latest of those that are
    /// idle. What has ended counts for nothing, until all has: then the earliest of those that had come to a time. It never goes back behind
    /// `before`. `None` while any input has told nothing.
    pub fn of_all(
        inputs: impl Iterator<Item = Option<EventTime>> + Clone,
        before: Option<EventTime>,
    ) -> Option<EventTime> {
        if inputs.clone().any(|input| input.is_none()) {
            return before;
        }
        let standing = inputs.clone().flatten().map(|input| input.standing).max()?;
        let marks = inputs.flatten().filter(|input| input.standing == standing);
        let marks = marks.map(|input| input.watermark);
        let watermark = match standing {
            Standing::Active => marks.min(),
            Standing::Idle => marks.max(),
            // Or else what has ended before it was heard of here would pass for input without times.
            Standing::Ended => marks.filter(|mark| *mark > Timestamp::MIN).min(),
        };
        let before = before.map_or(Timestamp::MIN, |before| before.watermark);
        Some(EventTime { watermark: watermark.unwrap_or(before).max(before), standing })
    }
}

/// What a source's partition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The items that come next, up to the next flush, are from it.
    Begins,
    /// It has nothing to read at present.
    Waits,
    /// It has been read to its end.
    Ended,
}

/// A [`Signal`] on its way through a stage, and what the consumers answer.
#[derive(Debug)]
pub struct Control<'a> {
    signal: Signal,
    now: Timestamp,
    answer: &'a mut Answer,
    changes: Option<&'a mut Changes>,
    restoring: Option<Restoring<'a>>,
    partitions: Option<Rc<[PartitionId]>>,
}

/// What the consumers of a stage answered to a signal.
#[derive(Debug, Default)]
pub struct Answer {
    /// The earliest processing time at which a consumer wants a [`Signal::Tick`].
    pub wake_at: Option<Timestamp>,
    /// Whether a consumer wants to know processing time before items come.
    pub uses_time: bool,
    /// Whether a consumer wants to know what the partitions of its source are about.
    pub follows_partitions: bool,
    /// Whether a consumer has asked not to read the partition that it was told of.
    pub holds: bool,
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
        Control { signal, now, answer, changes: None, restoring: None, partitions: None }
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

    /// The same stage is told something else first, by a step that acts on `self`.
    pub fn with<R>(&mut self, signal: Signal, tell: impl FnOnce(&mut Control<'_>) -> R) -> R {
        tell(&mut Control::new(signal, self.now, self.answer))
    }

    /// In the stage of a source: its partitions on this worker, on [`Signal::Restore`] and [`Signal::Open`].
    pub fn partitions(&self) -> Option<&Rc<[PartitionId]>> {
        self.partitions.as_ref()
    }

    /// The same, in the stage of a source that reads these partitions.
    pub fn reading(&mut self, partitions: &Rc<[PartitionId]>) {
        self.partitions = Some(Rc::clone(partitions));
    }

    /// Asks for [`Signal::Partition`]. Asked on [`Signal::Open`].
    pub fn follow_partitions(&mut self) {
        self.answer.follows_partitions = true;
    }

    /// Asks not to read the partition now that the signal speaks of, but to ask again.
    pub fn hold(&mut self) {
        self.answer.holds = true;
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
