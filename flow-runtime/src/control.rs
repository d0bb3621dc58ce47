//! Signals: what the engine tells a stage besides its items.

use crate::error::Error;
use crate::time::{Barrier, Epoch, Timestamp};

/// One message to every consumer of a stage, upstream first.
///
/// Order in a stage: `Open(0)`, items, `Barrier(0)`, `Open(1)`, items, `Barrier(1)`, .. A stage never sees an
/// item of one epoch after that epoch's barrier: holding it back is the inlet's work, which the host owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
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
}

impl<'a> Control<'a> {
    /// A signal sent at the processing time `now`.
    pub fn new(signal: Signal, now: Timestamp, answer: &'a mut Answer) -> Self {
        Control { signal, now, answer }
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

    /// Counts items that a sink has encoded.
    pub fn count_out(&mut self, items: u64) {
        self.answer.items_out += items;
    }

    /// Ends the run with `failure`, unless another came first.
    pub fn fail(&mut self, failure: Error) {
        self.answer.failure.get_or_insert(failure);
    }
}
