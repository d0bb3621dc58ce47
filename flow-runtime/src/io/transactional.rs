//! `transactional`: exactly once into a target that can prepare a transaction and commit it later.
//!
//! ```text
//!  rows ─▶ target: BEGIN, the rows, PREPARE ─▶ log: the transaction's name ─▶ commit of epoch 7 ─▶ target: COMMIT
//! ```
//!
//! A crash before the commit of the epoch: the next start aborts the transaction, since no committed epoch names it. A crash after
//! it: the next start finds the name and commits, a second time if need be.
//!
//! Who writes must name its transactions so that the next start finds those that it left. So writer and committer are both told
//! their owner, and the name is made of it: they run on different threads and share nothing else.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::mem;
use std::str;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::bounds::Item;
use crate::error::{Error, ErrorKind};
use crate::io::sink::no_log;
use crate::io::{
    Apply, Durable, Encoder, Io, PartitionId, Resume, RunBegin, Sink, SinkWriter, delivery,
};
use crate::stream::Token;
use crate::time::{Barrier, Epoch};

/// A target with prepared transactions: one that is prepared survives a crash and a power cut, and can then be committed or aborted
/// by whoever knows its name. [`transactional`] makes a sink of it that writes every item exactly once. `S` is the stream that it
/// takes, as for a [`Sink`].
///
/// A target that has transactions but cannot prepare them is an [`Outbox`](crate::io::Outbox). Prepared transactions cost no place in
/// the recovery log, so they serve where an epoch has much output; [`EpochFiles`](crate::io::EpochFiles) is one.
///
/// An epoch has at most one transaction in a partition, and none if it has no items. Several may be prepared and not
/// committed at a time.
pub trait Transactional<S: Token>: Clone + Send + 'static {
    /// What crosses to the worker that owns the partition: a batch of encoded items.
    type Block: Item + Default;
    /// Turns items into blocks. [`ChannelEncoder`](crate::io::ChannelEncoder) gathers them in a `Vec`, as they are.
    type Encoder: Encoder<S, Block = Self::Block>;
    /// Writes the transactions of a partition and prepares them.
    type Writer: TransactionWriter<Block = Self::Block>;
    /// Commits and aborts the transactions of a partition.
    type Committer: Committer + 'static;

    /// The partitions; their number is fixed for the life of a recovery log. Called once per run.
    ///
    /// # Errors
    /// When the target does not exist or cannot be made; the dataflow does not start.
    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error>;

    /// An encoder for one worker.
    fn encoder(&self) -> Self::Encoder;

    /// What writes a partition, for this owner. `fresh`: nothing has been committed for it in this log yet.
    ///
    /// `owner` names recovery log, step and partition. It is the same in every run on a log and another one with every other log.
    ///
    /// # Errors
    /// When the target cannot be reached; the dataflow does not start.
    fn writer(
        &self,
        io: &Io,
        partition: &PartitionId,
        owner: &str,
        fresh: bool,
    ) -> Result<Self::Writer, Error>;

    /// What commits and aborts in a partition, for the same owner. It is made first, of another value than the writer, and is used on
    /// another thread, which may wait.
    ///
    /// # Errors
    /// When the target cannot be reached; the dataflow does not start.
    fn committer(
        &self,
        io: &Io,
        partition: &PartitionId,
        owner: &str,
    ) -> Result<Self::Committer, Error>;
}

/// Writes the transactions of one partition, on the thread of the worker that owns it.
pub trait TransactionWriter: 'static {
    /// A batch of encoded items.
    type Block;

    /// Begins a transaction: the first block of an epoch has come. The name that it gets must tell the writer's owner, or
    /// [`Committer::unfinished`] could not find it, and its `number`. A number comes a second time only if the transaction that
    /// had it was aborted.
    ///
    /// # Errors
    /// When that fails; the run ends.
    fn begin(&mut self, number: u64) -> Result<(), Error>;

    /// Writes a block into the open transaction.
    ///
    /// # Errors
    /// When that fails; the run ends.
    fn write(&mut self, block: Self::Block) -> Result<(), Error>;

    /// Whether a block can be taken now without waiting; if not, `waker` is called when that changes.
    fn ready(&mut self, waker: &Waker) -> bool {
        let _ = waker;
        true
    }

    /// The epoch has ended: what remains to be done for the open transaction to be prepared.
    ///
    /// # Errors
    /// When that fails; the epoch is not committed and the run ends.
    fn prepare(&mut self) -> Result<Prepared, Error>;
}

/// A transaction that has all its items.
pub struct Prepared {
    /// Its name in the target, which is stored in the log.
    pub name: String,
    /// Run before the epoch is committed, on a thread that may wait. When it has answered `Ok` the transaction is prepared: neither
    /// a crash nor a power cut keeps it from being committed.
    pub durable: Durable,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Commits and aborts the prepared transactions of one partition and one owner.
pub trait Committer: Send {
    /// Commits a prepared transaction: its epoch is committed in the log, so there is no way back. One that is committed already is
    /// a success; it comes again when a crash came between the commit and the log's learning of it.
    ///
    /// # Errors
    /// When the target refuses; the run ends, and this is repeated at the next start.
    fn commit(&mut self, epoch: Epoch, name: &str) -> Result<(), Error>;

    /// The names of all transactions of this owner that are neither committed nor aborted. Asked for once, before anything is written:
    /// what no committed epoch names was left by a crash and is aborted.
    ///
    /// # Errors
    /// When the target does not say; the dataflow does not start.
    fn unfinished(&mut self) -> Result<Vec<String>, Error>;

    /// The last epoch that the target has of this owner, where it can say so. It is asked for once at a start, to find out that the
    /// recovery log has gone back behind its target.
    ///
    /// # Errors
    /// When the target does not say; the dataflow does not start.
    fn last_committed(&mut self) -> Result<Option<Epoch>, Error> {
        Ok(None)
    }

    /// Aborts a transaction. One that is gone already is a success.
    ///
    /// # Errors
    /// When the target refuses; the dataflow does not start.
    fn abort(&mut self, name: &str) -> Result<(), Error>;
}

/// A sink that writes every item exactly once to a target with prepared transactions: prepared at the barrier, committed after the
/// epoch's commit. So it needs a recovery log, and items are seen after the end of their epoch.
///
/// See [`Transactional`] for what the target has to be able to do.
pub fn transactional<T>(target: T) -> TransactionalSink<T> {
    TransactionalSink { target }
}

/// The sink that [`transactional`] makes.
#[derive(Clone, Debug)]
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct TransactionalSink<T> {
    pub(crate) target: T,
}

impl<S: Token, T: Transactional<S>> Sink<S> for TransactionalSink<T> {
    type Block = T::Block;
    type Position = TransactionalPosition;
    type Encoder = T::Encoder;
    type Writer = TransactionalWriter<T::Writer>;
    type Delivery = delivery::Transactional;

    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.target.partitions(io)
    }

    fn encoder(&self) -> T::Encoder {
        self.target.encoder()
    }

    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<TransactionalPosition>,
    ) -> Result<TransactionalWriter<T::Writer>, Error> {
        // A second line: the engine starts no transactional sink without a log.
        let owner = io.owner().ok_or_else(|| no_log("a transactional sink"))?;
        let (fresh, position) = match resume {
            Resume::Fresh => (true, TransactionalPosition { prepared: 0 }),
            Resume::At { position, .. } => (false, position),
        };
        Ok(TransactionalWriter {
            writer: self.target.writer(io, partition, owner, fresh)?,
            position,
            open: false,
            sealed: None,
            durable: Arc::default(),
        })
    }

    fn applier(
        &self,
        io: &Io,
        partition: &PartitionId,
        owner: &str,
    ) -> Result<Option<Box<dyn Apply>>, Error> {
        let committer = self.target.committer(io, partition, owner)?;
        Ok(Some(Box::new(Applier { committer, failed: false, ahead: None })))
    }
}

/// What is saved of a partition: how many transactions were prepared for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionalPosition {
    prepared: u64,
}

/// Writes a transaction for each epoch.
pub struct TransactionalWriter<W> {
    writer: W,
    position: TransactionalPosition,
    /// Whether the epoch has a transaction.
    open: bool,
    /// The name of the transaction that was sealed and is not in the log yet.
    sealed: Option<String>,
    /// What remains to be done for those that were sealed, in their order. Shared by all that [`durable`](SinkWriter::durable)
    /// has answered: where several epochs are committed together only the last answer is run, and it must prepare them all.
    durable: Arc<Mutex<Vec<Durable>>>,
}

impl<W> fmt::Debug for TransactionalWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionalWriter")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<W: TransactionWriter> SinkWriter for TransactionalWriter<W> {
    type Block = W::Block;
    type Position = TransactionalPosition;

    fn write(&mut self, block: W::Block) -> Result<(), Error> {
        if !self.open {
            self.writer.begin(self.position.prepared)?;
            self.open = true;
        }
        self.writer.write(block)
    }

    fn ready(&mut self, waker: &Waker) -> bool {
        self.writer.ready(waker)
    }

    fn seal(&mut self, _: Barrier) -> Result<TransactionalPosition, Error> {
        if self.sealed.is_some() {
            return Err(no_log("a transactional sink"));
        }
        if mem::take(&mut self.open) {
            let Prepared { name, durable } = self.writer.prepare()?;
            self.position.prepared += 1;
            self.sealed = Some(name);
            lock(&self.durable).push(durable);
        }
        Ok(self.position)
    }

    fn stored(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.sealed.take().map(String::into_bytes))
    }

    fn durable(&mut self) -> Result<Option<Durable>, Error> {
        let sealed = Arc::clone(&self.durable);
        if lock(&sealed).is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(move || {
            let all = mem::take(&mut *lock(&sealed));
            all.into_iter().try_for_each(|durable| durable())
        })))
    }
}

fn lock(sealed: &Mutex<Vec<Durable>>) -> MutexGuard<'_, Vec<Durable>> {
    sealed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Commits what is stored, aborts what is not.
struct Applier<C> {
    committer: C,
    /// Epochs are committed in order: none behind one that was not.
    failed: bool,
    /// Epochs up to this one are in the target already, and stay as they are there.
    ahead: Option<Epoch>,
}

impl<C> Applier<C> {
    fn guarded(&mut self, act: impl FnOnce(&mut C) -> Result<(), Error>) -> Result<(), Error> {
        if mem::replace(&mut self.failed, true) {
            return Err(Error::new(
                ErrorKind::Sink,
                "the transaction of an earlier epoch could not be committed",
            ));
        }
        act(&mut self.committer)?;
        self.failed = false;
        Ok(())
    }
}

impl<C: Committer> Apply for Applier<C> {
    fn recover(&mut self, committed: &[(Epoch, Vec<u8>)], begin: RunBegin) -> Result<(), Error> {
        let mut ahead = None;
        self.guarded(|committer| {
            // A log from which nothing has been committed cannot have gone back.
            if begin.epoch > Epoch(0) {
                ahead = committer.last_committed()?.filter(|last| *last >= begin.epoch);
                begin.check_target(ahead)?;
            }
            let mut listed = Vec::with_capacity(committed.len());
            for (epoch, stored) in committed {
                let name = name(*epoch, stored)?;
                committer.commit(*epoch, name)?;
                listed.push(name);
            }
            for left in committer.unfinished()? {
                if !listed.contains(&left.as_str()) {
                    committer.abort(&left)?;
                }
            }
            Ok(())
        })?;
        self.ahead = ahead;
        Ok(())
    }

    fn apply(&mut self, epoch: Epoch, stored: &[u8]) -> Result<(), Error> {
        let has_it = self.ahead.is_some_and(|last| epoch <= last);
        self.guarded(|committer| match has_it {
            true => committer.abort(name(epoch, stored)?),
            false => committer.commit(epoch, name(epoch, stored)?),
        })
    }
}

fn name(epoch: Epoch, stored: &[u8]) -> Result<&str, Error> {
    str::from_utf8(stored).map_err(|error| {
        Error::new(
            ErrorKind::Encoding,
            format!("what is stored for epoch {epoch} is not the name of a transaction"),
        )
        .help("another kind of sink has stored it: start the program that had that sink again and stop it, before the sink changes")
        .caused_by(error)
    })
}

#[cfg(test)]
mod tests;
