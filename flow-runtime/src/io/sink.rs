//! What a sink is.
//!
//! A sink has two halves. The [`Encoder`] runs on every worker, in the stage that sends, and turns items into blocks.
//! The [`SinkWriter`] of a partition runs on the one worker that owns the partition and writes blocks in the order of
//! their epochs: it sees all blocks of an epoch, then [`SinkWriter::seal`].

use std::task::Waker;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bounds::Item;
use crate::error::{Error, ErrorKind};
use crate::io::delivery::DeliveryKind;
use crate::io::{Io, PartitionId, Resume};
use crate::stream::Token;
use crate::time::{Barrier, Epoch};

/// Where items go. `S` is the stream it can take: `Stream<T>`, or `Keyed<K, T>`, which arrives as key and item.
///
/// A sink is a description: it is cloned to every worker.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take a `{S}`",
    label = "this sink does not fit the stream",
    note = "file sinks take items that implement `serde::Serialize`; a keyed stream arrives as `(key, item)`"
)]
pub trait Sink<S: Token>: Clone + Send + 'static {
    /// What crosses to the worker that owns the partition: a batch of encoded items.
    type Block: Item + Default;
    /// What is saved of a partition.
    type Position: Serialize + DeserializeOwned + Send + 'static;
    /// Turns items into blocks.
    type Encoder: Encoder<S, Block = Self::Block>;
    /// Writes one partition.
    type Writer: SinkWriter<Block = Self::Block, Position = Self::Position>;

    /// What the sink promises about items that are sent again after a crash: one of the types of [`delivery`](crate::io::delivery).
    type Delivery: DeliveryKind;

    /// The partitions; their number is fixed for the life of a recovery log. Called once per run.
    ///
    /// # Errors
    /// When the target does not exist or cannot be made; the dataflow does not start.
    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error>;

    /// An encoder for one worker.
    fn encoder(&self) -> Self::Encoder;

    /// Opens a partition, empty or as it was at the beginning of the resume epoch.
    ///
    /// # Errors
    /// When it cannot be opened or is not what it was; the dataflow does not start.
    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<Self::Position>,
    ) -> Result<Self::Writer, Error>;

    /// What carries out, after an epoch's commit, what the writer of a partition has [stored](SinkWriter::stored) with the
    /// epoch. `None` for a sink that stores nothing. A sink that has one needs a recovery log.
    ///
    /// `owner` names recovery log, step and partition. It is the same in every run on a log and differs between logs, so that
    /// a target which remembers what was applied can tell whose it was.
    ///
    /// It is asked for once in a run, before any partition is [opened](Sink::open), and not of the same value: a dataflow is made
    /// several times, with sinks of its own each time, and what two of them were to share inside would not be shared. All that writer and
    /// applier have in common is the owner ([`Io::owner`] is the writer's), and what is stored.
    ///
    /// # Errors
    /// When the target cannot be reached; the dataflow does not start.
    fn applier(
        &self,
        io: &Io,
        partition: &PartitionId,
        owner: &str,
    ) -> Result<Option<Box<dyn Apply>>, Error> {
        let _ = (io, partition, owner);
        Ok(None)
    }
}

/// Carries out what a sink has stored with an epoch, after the epoch's commit: the rows of an outbox, the name of a prepared
/// transaction. Runs on a thread that may wait.
pub trait Apply: Send {
    /// Called once at the start of a run, before anything is written. `committed` is what is stored of epochs that are committed
    /// and not known to be applied, oldest first: it is applied now, except what the target knows to have applied before.
    /// Whatever else the target holds prepared for this owner belongs to epochs that were never committed, and is dropped.
    ///
    /// # Errors
    /// When the target refuses, or has epochs already that are still to come; the dataflow does not start, and this is repeated at
    /// the next start.
    fn recover(&mut self, committed: &[(Epoch, Vec<u8>)], begin: RunBegin) -> Result<(), Error>;

    /// Applies what is stored with `epoch`, which has been committed. Epochs come in order, each once in a run; after a crash the
    /// last ones may come again, to [`recover`](Apply::recover).
    ///
    /// # Errors
    /// When the target refuses; the run ends, and this is repeated at the next start.
    fn apply(&mut self, epoch: Epoch, stored: &[u8]) -> Result<(), Error>;
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunBegin {
    /// The first epoch that is to come.
    pub epoch: Epoch,
    /// Whether a target may have epochs already that are still to come, because the recovery log has gone back: what it has of them
    /// stays, and is not written a second time.
    pub allow_ahead: bool,
}

impl RunBegin {
    /// A run that begins at this epoch; no target may be ahead of it.
    pub fn at(epoch: Epoch) -> Self {
        RunBegin { epoch, allow_ahead: false }
    }

    /// Refuses a target that has epochs already that are still to come. `last` is the last one that it has.
    ///
    /// # Errors
    /// When it is ahead, and may not be.
    pub fn check_target(&self, last: Option<Epoch>) -> Result<(), Error> {
        match last {
            Some(last) if last >= self.epoch && !self.allow_ahead => Err(Error::new(
                ErrorKind::Sink,
                format!("the run begins at epoch {}, and its target has epoch {last} already", self.epoch),
            )
            .help("the recovery log has gone back behind its target: put the target back to the same point, too; or let what it has stay, and be skipped: `--allow-sink-ahead`")),
            _ => Ok(()),
        }
    }
}

/// Turns items into blocks, on the worker that has the items.
pub trait Encoder<S: Token>: 'static {
    /// A batch of encoded items.
    type Block;

    /// Whether the encoder does everything itself, so that there is never a block to be written.
    const DIRECT: bool = false;

    /// Appends an item to a block. Answers the size of the block in bytes; a large one is sent at once, others when the batch is
    /// done.
    ///
    /// # Errors
    /// When the item cannot be encoded; the run ends.
    fn encode(
        &mut self,
        key: &S::Key,
        item: S::Item,
        block: &mut Self::Block,
    ) -> Result<usize, Error>;

    /// The partition of an item, among `partitions`. By default each worker fills one partition, so that a key's items
    /// stay in order.
    fn partition(&self, worker: usize, hash: u64, partitions: usize) -> usize {
        let _ = hash;
        worker % partitions
    }
}

/// Makes what a [`SinkWriter`] has sealed durable, on another thread.
pub type Durable = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// Writes one partition, in order.
pub trait SinkWriter: 'static {
    /// A batch of encoded items.
    type Block;
    /// What is saved.
    type Position;

    /// Writes a block. Blocks are batches already: a writer need not gather them further.
    ///
    /// # Errors
    /// When that fails; the run ends.
    fn write(&mut self, block: Self::Block) -> Result<(), Error>;

    /// Whether a block can be taken now without waiting. The dataflow is held back until a writer that is not ready calls `waker`.
    fn ready(&mut self, waker: &Waker) -> bool {
        let _ = waker;
        true
    }

    /// All blocks of an epoch have been written: hands them over to the target and gives the position behind them.
    ///
    /// # Errors
    /// When that fails; the epoch is not committed and the run ends.
    fn seal(&mut self, barrier: Barrier) -> Result<Self::Position, Error>;

    /// What is to be stored in the recovery log with the epoch that was just [sealed](SinkWriter::seal), to be carried out by the
    /// sink's [applier](Sink::applier) after the epoch's commit. `None` where there is nothing.
    ///
    /// # Errors
    /// When it cannot be encoded; the epoch is not committed and the run ends.
    fn stored(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// What makes durable all that was sealed so far. It is called after [`seal`](SinkWriter::seal) in a run with a
    /// recovery log, and what it answers is run before the epoch is committed, on a thread that may wait for the disk. Where several
    /// epochs are committed together only the last answer is run, and has to do the others' work as well.
    /// `None` where sealing is enough, or where there is nothing to be made durable.
    ///
    /// # Errors
    /// When it cannot be prepared; the epoch is not committed and the run ends.
    fn durable(&mut self) -> Result<Option<Durable>, Error> {
        Ok(None)
    }

    /// All epochs before `epoch` are durable.
    ///
    /// # Errors
    /// When the target refuses; the run ends and the commit is repeated at the next start.
    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        let _ = epoch;
        Ok(())
    }
}

/// A sink that stores something with its epochs has found that nobody takes it.
#[cold]
pub(crate) fn no_log(what: &str) -> Error {
    Error::new(
        ErrorKind::Configuration,
        format!(
            "{what} needs a recovery log, and this run has none: what it was given would be lost"
        ),
    )
    .help("run with a recovery log: `--recovery DIR`, or `.recovery(dir)`")
}

/// What a sink promises about items that are sent again after a crash, as a value. A sink states it as a type:
/// [`delivery`](crate::io::delivery) says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Truncated to the position of the resume epoch: exactly once.
    Rewindable,
    /// Prepared at the barrier, committed after the commit point: exactly once.
    Transactional,
    /// Stored in the epoch before its commit, applied after it together with the epoch's number: exactly once.
    Outbox,
    /// Written under a business key with a deterministic value: effectively once.
    Upsert,
    /// At least once.
    AppendOnly,
}
