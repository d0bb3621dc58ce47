//! What a source is.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::task::Waker;

use crate::error::Error;
use crate::io::replay::ReplayKind;
use crate::io::{Io, PartitionId};
use crate::time::{Epoch, Timestamp};

/// Where items come from.
///
/// A source is a description: it is cloned to every worker, asked once per run for its partitions, and opens a
/// [`Reader`] for each partition on the worker that the partition is dealt to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source",
    label = "cannot be read by `source(..)`",
    note = "sources are `Lines::of(path)`, `Csv::of(path)`, `JsonLines::of(path)`, `from_iter(iterator)`, a channel's receiving end, or a type that implements `Source`"
)]
pub trait Source: Clone + Send + 'static {
    /// What it yields.
    type Item: 'static;
    /// What is saved of a partition, to go on from there.
    type Position: Serialize + DeserializeOwned + Send + 'static;
    /// What reads one partition.
    type Reader: Reader<Item = Self::Item, Position = Self::Position>;

    /// Whether input can be read again after a crash: one of the types of [`replay`](crate::io::replay).
    type Replay: ReplayKind;
    /// Whether the source itself says which epoch an item belongs to. There may be one such source in a dataflow;
    /// the others follow it.
    const GIVES_EPOCHS: bool = false;

    /// The partitions, in any order. Called once per run.
    ///
    /// # Errors
    /// When they cannot be listed; the dataflow does not start.
    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error>;

    /// Opens one partition, from its beginning or where it was left.
    ///
    /// # Errors
    /// When it cannot be opened, or is not what it was; the dataflow does not start.
    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<Self::Position>,
    ) -> Result<Self::Reader, Error>;
}

/// Where to begin reading. It must be matched, so that it cannot be overlooked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume<P> {
    /// From the beginning: nothing of this partition has been read before.
    Fresh,
    /// From a saved position.
    At {
        /// The first epoch that is not committed.
        epoch: Epoch,
        /// The position at its beginning.
        position: P,
    },
}

/// Whether a source can read its input again, as a value. A source states it as a type, of [`replay`](crate::io::replay).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// From any position that it has given.
    Replayable,
    /// What has not been acknowledged comes again, in any order.
    AcknowledgedOnly,
    /// What was read is gone.
    None,
}

/// Reads one partition. Driven by the engine, on one worker's thread.
pub trait Reader: 'static {
    /// What it yields.
    type Item;
    /// What is saved.
    type Position;

    /// Emits up to [`PollContext::limit`] items and says what to do next. It must not block: a reader that has
    /// nothing answers [`Poll::Pending`] and wakes the worker by [`PollContext::waker`] when that changes.
    ///
    /// Where it is a loop over items that are there already, write `#[inline(always)]` on it and a plain `for` in it: the loop
    /// is then compiled together with the steps behind it, and what they count stays in registers.
    ///
    /// # Errors
    /// When the input cannot be read; the run ends.
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(Self::Item),
    ) -> Result<Poll, Error>;

    /// The position behind the last item that was emitted.
    fn position(&self) -> Self::Position;

    /// All epochs before `epoch` are durable: what was read for them may be acknowledged.
    ///
    /// # Errors
    /// When that fails; the run ends.
    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        let _ = epoch;
        Ok(())
    }
}

/// What a [`Reader`] wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// To be polled again.
    Ready,
    /// To be polled when its waker has been called.
    Pending,
    /// To be polled at this processing time, or when its waker has been called.
    At(Timestamp),
    /// The next item belongs to a later epoch, which this is. Only from a source that gives epochs: it is polled
    /// again when that epoch has begun.
    Epoch(Epoch),
    /// Nothing will come any more.
    End,
}

/// What a [`Reader`] is polled with.
#[derive(Clone, Copy, Debug)]
pub struct PollContext<'a> {
    limit: usize,
    now: Timestamp,
    epoch: Epoch,
    waker: &'a Waker,
}

impl<'a> PollContext<'a> {
    /// A context.
    pub fn new(limit: usize, now: Timestamp, epoch: Epoch, waker: &'a Waker) -> Self {
        PollContext { limit, now, epoch, waker }
    }

    /// The most items to emit in this call; at least 1.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Processing time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The epoch that items emitted now belong to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Wakes the worker. May be cloned, kept and called from any thread.
    pub fn waker(&self) -> &'a Waker {
        self.waker
    }
}
