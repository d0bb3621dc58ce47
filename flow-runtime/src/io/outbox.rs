//! `outbox`: exactly once into a target that has transactions.
//!
//! The rows of an epoch are stored in the recovery log, with the epoch. Once it is committed they are applied to the target, together
//! with the epoch's number and in one transaction of the target's:
//!
//! ```text
//!  rows ─▶ log: epoch 7 and its rows ─▶ commit of epoch 7 ─▶ target: BEGIN, the rows, "7 is applied", COMMIT
//! ```
//!
//! A crash before the commit of the epoch: the rows are gone with the epoch, and the target has never seen them. A crash after it: the
//! next start finds the *stored* rows, asks the target how far it has come, and applies what is missing. Rows that were applied
//! are never made again: a replayed epoch may have other rows than the one that was lost.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::any::type_name;
use std::fmt;
use std::mem;

use crate::bounds::Item;
use crate::error::{Error, ErrorKind};
use crate::io::sink::no_log;
use crate::io::{Apply, Encoder, Io, PartitionId, Resume, RunBegin, Sink, SinkWriter, delivery};
use crate::stream::{Keyed, NoKey, Stream};
use crate::time::{Barrier, Epoch};

/// A target that can write rows and an epoch's number in **one transaction**: a database, as a rule. [`outbox`] makes a sink of
/// it that writes every row exactly once.
///
/// An outbox is a description: it is cloned to every worker. Nothing is connected before [`connect`](Outbox::connect).
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
///
/// use flow_runtime::Error;
/// use flow_runtime::io::{Outbox, OutboxConnection, PartitionId, outbox};
/// use flow_runtime::time::Epoch;
///
/// /// A "database": what one lock guards is one transaction.
/// #[derive(Default)]
/// struct Tables {
///     words: Vec<(String, u64)>,
///     applied: BTreeMap<String, Epoch>,
/// }
///
/// #[derive(Clone, Default)]
/// struct Words(Arc<Mutex<Tables>>);
///
/// struct Connection {
///     tables: Arc<Mutex<Tables>>,
///     owner: String,
/// }
///
/// impl Outbox for Words {
///     type Row = (String, u64); // of a `Keyed<String, u64>`, or of a `Stream<(String, u64)>`
///     type Connection = Connection;
///     fn connect(&self, _: &PartitionId, owner: &str) -> Result<Connection, Error> {
///         Ok(Connection { tables: Arc::clone(&self.0), owner: owner.to_owned() })
///     }
/// }
///
/// impl OutboxConnection for Connection {
///     type Row = (String, u64);
///     fn last_applied(&mut self) -> Result<Option<Epoch>, Error> {
///         Ok(self.tables.lock().expect("nobody panics").applied.get(&self.owner).copied())
///     }
///     fn apply(&mut self, epoch: Epoch, rows: Vec<(String, u64)>) -> Result<(), Error> {
///         let mut tables = self.tables.lock().expect("nobody panics");
///         tables.words.extend(rows);
///         tables.applied.insert(self.owner.clone(), epoch);
///         Ok(())
///     }
/// }
///
/// let sink = outbox(Words::default());
/// # let _ = sink;
/// ```
pub trait Outbox: Clone + Send + 'static {
    /// What is stored in the log and applied: the items of a `Stream<Row>`, or of a `Keyed<K, A>` with `(K, A)` as its row.
    ///
    /// Rows that are stored and not applied yet are read again by the next start, so a program whose rows have another type
    /// cannot read them, in the best of cases with an error. After a run that was stopped and not killed nothing is left: stop the old
    /// program before the new one takes over its log.
    type Row: Item;
    /// What applies the rows of one partition.
    type Connection: OutboxConnection<Row = Self::Row> + 'static;

    /// The partitions, which are applied side by side; one unless this says otherwise. Their number is fixed for the life of a
    /// recovery log. Each worker fills one partition, so the rows of a key stay in order.
    ///
    /// # Errors
    /// When they cannot be found out; the dataflow does not start.
    fn partitions(&self) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("rows")])
    }

    /// Connects, on a thread that may wait.
    ///
    /// `owner` is what the target has to remember the applied epoch under: it names recovery log, step and partition. It is the same
    /// in every run on a log and another one with every other log: a new log begins with epoch 0 again, and a target that took its
    /// rows for those of the old log would skip them.
    ///
    /// # Errors
    /// When the target cannot be reached or is not what it has to be; the dataflow does not start.
    fn connect(&self, partition: &PartitionId, owner: &str) -> Result<Self::Connection, Error>;
}

/// One partition of an [`Outbox`], connected for one owner.
pub trait OutboxConnection: Send {
    /// [`Outbox::Row`].
    type Row;

    /// The last epoch of this owner that was applied; `None` if none ever was.
    ///
    /// # Errors
    /// When the target does not say.
    fn last_applied(&mut self) -> Result<Option<Epoch>, Error>;

    /// Applies the rows, in their order, and writes down that `epoch` is the last one that this owner has applied: all of it or
    /// nothing. When it has answered `Ok` the target keeps it, also through a power cut: the log forgets the rows then.
    ///
    /// Epochs only ever grow, but may have gaps: one without rows is not applied.
    ///
    /// # Errors
    /// When the target refuses; the run ends. It does not matter whether the transaction has happened: the next start asks for
    /// [`last_applied`](OutboxConnection::last_applied).
    fn apply(&mut self, epoch: Epoch, rows: Vec<Self::Row>) -> Result<(), Error>;
}

/// A sink that writes every row exactly once to a target with transactions: the rows go into the recovery log with their epoch,
/// and after the epoch's commit into the target, with the epoch's number. So it needs a recovery log, and rows are seen after the end
/// of their epoch.
///
/// The items are the rows; of a keyed stream the pairs `(key, item)`. The rows of an epoch are held in memory until its
/// barrier, as postcard bytes, and once more, as rows, while they are applied: where an epoch would have more of them than that, let
/// it end sooner ([`EpochPolicy`](crate::EpochPolicy)).
///
/// See [`Outbox`] for an example; the crate `flow-sqlite` has one for SQLite.
pub fn outbox<U: Outbox>(target: U) -> OutboxSink<U> {
    OutboxSink { target }
}

/// The sink that [`outbox`] makes.
#[derive(Clone, Debug)]
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct OutboxSink<U> {
    target: U,
}

macro_rules! outbox_sink {
    ([$($generics:tt)*] $stream:ty, $row:ty) => {
        impl<$($generics)*, U: Outbox<Row = $row>> Sink<$stream> for OutboxSink<U> {
            type Block = StoredRows;
            type Position = OutboxPosition;
            type Encoder = StoredRowsEncoder;
            type Writer = OutboxWriter;
            type Delivery = delivery::Outbox;

            fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
                self.target.partitions()
            }
            fn encoder(&self) -> StoredRowsEncoder {
                StoredRowsEncoder
            }
            fn open(
                &self,
                _: &Io,
                _: &PartitionId,
                resume: Resume<OutboxPosition>,
            ) -> Result<OutboxWriter, Error> {
                Ok(OutboxWriter::resume(resume))
            }
            fn applier(
                &self,
                _: &Io,
                partition: &PartitionId,
                owner: &str,
            ) -> Result<Option<Box<dyn Apply>>, Error> {
                let connection = self.target.connect(partition, owner)?;
                Ok(Some(Box::new(Applier { connection, last: None, failed: false, skips: false })))
            }
        }
    };
}

outbox_sink!([T: Item] Stream<T>, T);
outbox_sink!([K: Item, T: Item] Keyed<K, T>, (K, T));

/// Rows in postcard, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRows {
    count: u64,
    bytes: Vec<u8>,
}

/// Turns items into [`StoredRows`].
#[derive(Clone, Copy, Debug)]
pub struct StoredRowsEncoder;

impl StoredRowsEncoder {
    #[inline]
    fn append<R: DeserializeOwned>(
        row: &impl Serialize,
        block: &mut StoredRows,
    ) -> Result<usize, Error> {
        block.bytes = postcard::to_extend(row, mem::take(&mut block.bytes)).map_err(unencodable)?;
        block.count += 1;
        // It is the rows' type that can be read again or cannot: one tells, and it must be told before the commit.
        if block.count == 1 {
            postcard::from_bytes::<R>(&block.bytes).map_err(unencodable)?;
        }
        Ok(block.bytes.len())
    }
}

impl<T: Item> Encoder<Stream<T>> for StoredRowsEncoder {
    type Block = StoredRows;
    #[inline]
    fn encode(&mut self, _: &NoKey, item: T, block: &mut StoredRows) -> Result<usize, Error> {
        StoredRowsEncoder::append::<T>(&item, block)
    }
}

impl<K: Item, T: Item> Encoder<Keyed<K, T>> for StoredRowsEncoder {
    type Block = StoredRows;
    #[inline]
    fn encode(&mut self, key: &K, item: T, block: &mut StoredRows) -> Result<usize, Error> {
        // As the pair of them.
        StoredRowsEncoder::append::<(K, T)>(&(key, &item), block)
    }
}

#[cold]
fn unencodable(error: postcard::Error) -> Error {
    Error::new(ErrorKind::Encoding, format!("a row cannot be stored in the log: {error}"))
        .help("rows are stored in postcard: serde attributes such as `untagged` and `flatten`, and types such as `serde_json::Value`, need a format that describes itself")
        .caused_by(error)
}

/// What is saved of a partition: whether any rows were stored for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxPosition {
    any: bool,
}

/// What precedes the rows that are stored with an epoch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Header {
    /// Whether this is the first epoch of the log that has rows in this partition. Behind another one the target must know something.
    first: bool,
    count: u64,
}

/// Gathers the rows of an epoch.
#[derive(Debug)]
pub struct OutboxWriter {
    position: OutboxPosition,
    rows: StoredRows,
    /// What was sealed and is not in the log yet.
    sealed: Option<Vec<u8>>,
}

impl OutboxWriter {
    fn resume(resume: Resume<OutboxPosition>) -> Self {
        let position = match resume {
            Resume::Fresh => OutboxPosition::default(),
            Resume::At { position, .. } => position,
        };
        OutboxWriter { position, rows: StoredRows::default(), sealed: None }
    }
}

impl SinkWriter for OutboxWriter {
    type Block = StoredRows;
    type Position = OutboxPosition;

    fn write(&mut self, block: StoredRows) -> Result<(), Error> {
        if self.rows.count == 0 {
            self.rows = block;
        } else {
            self.rows.count += block.count;
            self.rows.bytes.extend_from_slice(&block.bytes);
        }
        Ok(())
    }

    fn seal(&mut self, _: Barrier) -> Result<OutboxPosition, Error> {
        // A second line: the engine starts no outbox without a log.
        if self.sealed.is_some() {
            return Err(no_log("an outbox"));
        }
        let rows = mem::take(&mut self.rows);
        if rows.count > 0 {
            let header = Header { first: !self.position.any, count: rows.count };
            let mut stored =
                postcard::to_extend(&header, Vec::with_capacity(rows.bytes.len() + 11))
                    .map_err(unencodable)?;
            stored.extend_from_slice(&rows.bytes);
            self.position.any = true;
            self.sealed = Some(stored);
        }
        Ok(self.position)
    }

    fn stored(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.sealed.take())
    }
}

/// Applies what was stored, and watches over the order.
struct Applier<C> {
    connection: C,
    /// What the target has applied last, once it has been asked.
    last: Option<Option<Epoch>>,
    /// Behind an epoch that was not applied none may be: the target would take the missing one for applied.
    failed: bool,
    /// Epochs that the target has already are passed over.
    skips: bool,
}

impl<C> fmt::Debug for Applier<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applier").field("last", &self.last).finish_non_exhaustive()
    }
}

impl<R: Item, C: OutboxConnection<Row = R>> Applier<C> {
    fn last(&mut self) -> Result<Option<Epoch>, Error> {
        match self.last {
            Some(last) => Ok(last),
            None => {
                let last = self.connection.last_applied()?;
                self.last = Some(last);
                Ok(last)
            }
        }
    }

    /// Applies an epoch that is later than the last one.
    fn apply_next(&mut self, epoch: Epoch, stored: &[u8]) -> Result<(), Error> {
        let (first, rows) = decode::<R>(epoch, stored)?;
        if self.last()?.is_none() && !first {
            return Err(forgotten(epoch));
        }
        self.connection.apply(epoch, rows)?;
        self.last = Some(Some(epoch));
        Ok(())
    }

    fn guarded(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if mem::replace(&mut self.failed, true) {
            return Err(Error::new(ErrorKind::Sink, "an earlier epoch could not be applied"));
        }
        act(self)?;
        self.failed = false;
        Ok(())
    }
}

impl<R: Item, C: OutboxConnection<Row = R>> Apply for Applier<C> {
    fn recover(&mut self, committed: &[(Epoch, Vec<u8>)], begin: RunBegin) -> Result<(), Error> {
        self.guarded(|this| {
            this.last = None;
            let applied = this.last()?;
            begin.check_target(applied)?;
            this.skips = begin.allow_ahead;
            for (epoch, stored) in committed {
                if Some(*epoch) > applied {
                    if Some(*epoch) <= this.last()? {
                        return Err(out_of_order(*epoch));
                    }
                    this.apply_next(*epoch, stored)?;
                }
            }
            Ok(())
        })
    }

    fn apply(&mut self, epoch: Epoch, stored: &[u8]) -> Result<(), Error> {
        self.guarded(|this| match this.last()? {
            Some(last) if epoch <= last && this.skips => Ok(()),
            Some(last) if epoch <= last => Err(gone_back(epoch, last)),
            _ => this.apply_next(epoch, stored),
        })
    }
}

/// Whether these are the first rows of a log, and the rows.
fn decode<R: Item>(epoch: Epoch, stored: &[u8]) -> Result<(bool, Vec<R>), Error> {
    let read = || -> Result<Option<(bool, Vec<R>)>, postcard::Error> {
        let (header, mut rest) = postcard::take_from_bytes::<Header>(stored)?;
        let count = usize::try_from(header.count).unwrap_or(usize::MAX);
        let mut rows = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..header.count {
            let (row, behind) = postcard::take_from_bytes(rest)?;
            rows.push(row);
            rest = behind;
        }
        Ok(rest.is_empty().then_some((header.first, rows)))
    };
    let unreadable = |why: String| {
        Error::new(
            ErrorKind::Encoding,
            format!(
                "the rows that are stored for epoch {epoch} cannot be read as `{}`: {why}",
                type_name::<R>()
            ),
        )
        .help("they were stored by a program whose rows have another type: start that one again and stop it, which applies them, before the type changes")
    };
    match read() {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(unreadable("bytes are left over".to_owned())),
        Err(error) => Err(unreadable(error.to_string()).caused_by(error)),
    }
}

fn gone_back(epoch: Epoch, last: Epoch) -> Error {
    Error::new(
        ErrorKind::Sink,
        format!("epoch {epoch} is to be applied, but the target has applied epoch {last} already"),
    )
    .help("the recovery log has gone back behind its target: put the target back to the same point, too, or begin anew with an emptied target and a new log")
}

fn out_of_order(epoch: Epoch) -> Error {
    Error::new(ErrorKind::Sink, format!("the stored epoch {epoch} comes behind a later one"))
}

fn forgotten(epoch: Epoch) -> Error {
    Error::new(
        ErrorKind::Sink,
        format!("epoch {epoch} is to be applied, but the target has lost what was applied before: it knows nothing of this recovery log"),
    )
    .help("put the target back as the last run left it; or begin anew with a new recovery log")
}

#[cfg(test)]
mod tests;
