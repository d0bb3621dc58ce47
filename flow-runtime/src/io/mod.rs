//! Sources, sinks and the files below them.
//!
//! # What sinks promise
//!
//! After a crash a run goes on at the first epoch that is not committed: what belongs to it is read again and written again. What
//! becomes of the part of it that had been written already is the sink's affair, and each says which of these it is, by a type of
//! [`delivery`]:
//!
//! | kind | promise | how | which |
//! |---|---|---|---|
//! | rewindable | exactly once | cut back to where the last committed epoch ended | [`CsvFile`], [`JsonLinesFile`], [`TextFile`] |
//! | transactional | exactly once | prepared at the barrier, committed after the epoch's commit | [`EpochFiles`], [`transactional`] with a [`Transactional`] of yours |
//! | outbox | exactly once | stored in the log with the epoch, applied after its commit together with its number | [`outbox`] with an [`Outbox`] of yours or with `flow_sqlite` |
//! | upsert | effectively once | written under a key: what is written again replaces what was there | [`latest`] |
//! | append-only | at least once | written at once; what belongs to an epoch that was not committed comes again | [`Stdout`], [`channel_out()`], [`for_each`], [`collect`] |
//!
//! Exactly once means the result: as if there had been no crash. It holds for what a reader sees after the commit of an epoch; a
//! rewindable file shows the open epoch before, the other two kinds do not.
//!
//! *Upsert* is as good as exactly once if two things hold, which no sink can check: the key is the business's own (an account, not a
//! running number), and the value follows from the input alone (a total, not "one more"). Then writing again what has been written changes
//! nothing in the end. In between, a reader may see a value go back: a total that was written before the crash is replaced by earlier
//! ones until the run is where it was. And if merged streams interleave otherwise the second time, values in between may differ
//! from those that were seen.
//!
//! *Append-only* sinks repeat nothing that was committed: repetitions begin with the resume epoch. A replayed epoch is not the old one
//! (epochs end by time, inputs interleave), so they cannot be told by their number in it; if they matter, give the items an identity
//! upstream of anything that depends on order.

mod bad_row;
mod channel;
mod channel_out;
mod collect;
mod csv;
mod csv_file;
pub mod delivery;
mod epoch_files;
mod epoch_per_line;
mod epochs;
pub mod file;
mod for_each;
mod generate;
mod input;
mod iter;
mod json_lines;
mod json_lines_file;
mod latest;
mod lines;
mod outbox;
mod output;
mod queue;
pub mod replay;
mod rows;
mod sink;
mod source;
mod stdin;
mod stdout;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod text_file;
mod transactional;

pub use bad_row::{BadRow, Lenient, OnBadRow, Skip, Strict};
pub use channel::{ChannelReader, ChannelSource, SendError, Sender, TrySendError, channel};
pub use channel_out::{
    ChannelEncoder, ChannelSink, ChannelWriter, ReceiveError, Receiver, channel_out,
};
pub use collect::{Collect, Collected, NoWriter, collect};
pub use csv::{Csv, CsvReader};
pub use csv_file::CsvFile;
pub use delivery::{Deterministic, deterministic};
pub use epoch_files::{EpochFileCommitter, EpochFileWriter, EpochFiles};
pub use epoch_per_line::{EpochPerLine, EpochPerLineReader, LineReader};
pub use epochs::{EpochPosition, EpochReader, EpochsFrom, EpochsWith, epochs_from, epochs_with};
pub use for_each::{ForEach, ForEachKeyed, for_each, for_each_keyed};
pub use generate::{Generate, GenerateReader, Random, generate};
pub use iter::{FromIter, IterReader, from_iter};
pub use json_lines::{JsonLines, JsonLinesReader};
pub use json_lines_file::JsonLinesFile;
pub use latest::{Latest, LatestEncoder, LatestItems, LatestWriter, latest};
pub use lines::{Lines, LinesReader, Utf8};
pub use outbox::{
    Outbox, OutboxConnection, OutboxPosition, OutboxSink, OutboxWriter, StoredRows,
    StoredRowsEncoder, outbox,
};
pub(crate) use output::write_patiently;
pub use output::{FileEnd, FileWriter};
pub use rows::{CsvRows, JsonRows, Rows, TextRows};
pub use sink::{Apply, Delivery, Durable, Encoder, RunBegin, Sink, SinkWriter};
pub use source::{Poll, PollContext, Reader, Replay, Resume, Source};
pub use stdin::{StdinLines, StdinReader};
pub use stdout::{Stdout, StdoutCsv, StdoutJson, StdoutLines, StdoutWriter};
pub use text::FilePosition;
pub use text_file::TextFile;
pub use transactional::{
    Committer, Prepared, TransactionWriter, Transactional, TransactionalPosition,
    TransactionalSink, TransactionalWriter, transactional,
};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::describe::StepId;
use crate::error::{Error, ErrorKind};
use crate::io::file::Files;
use crate::recovery::fence::Fence;
use crate::recovery::recovered::Recovered;

/// The stable name of a partition of a source or sink: a file's path below the root, a topic's partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId(String);

impl PartitionId {
    /// The partition of this name.
    pub fn new(name: impl Into<String>) -> Self {
        PartitionId(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Encodes a position of a source or sink for the recovery log.
pub(crate) fn encode_position<P: Serialize + serde::de::DeserializeOwned>(
    position: &P,
    partition: &PartitionId,
) -> Result<Vec<u8>, Error> {
    let encoded = postcard::to_allocvec(position).and_then(|bytes| {
        // One that cannot be read again must not be committed.
        postcard::from_bytes::<P>(&bytes).map(|_| bytes)
    });
    encoded.map_err(|error| {
        Error::new(
            ErrorKind::Encoding,
            format!("the position of partition {partition} cannot be saved: {error}"),
        )
        .caused_by(error)
    })
}

/// Where to begin with a partition, from what the recovery log has of it.
pub(crate) fn resume_at<P: serde::de::DeserializeOwned>(
    recovered: Option<&Recovered>,
    id: &StepId,
    partition: &PartitionId,
) -> Result<(Resume<P>, Option<Vec<u8>>), Error> {
    let saved = recovered.and_then(|recovered| {
        let bytes = recovered.positions(id)?.get(partition)?;
        Some((recovered.epoch, bytes))
    });
    let Some((epoch, bytes)) = saved else { return Ok((Resume::Fresh, None)) };
    match postcard::take_from_bytes(bytes) {
        Ok((position, [])) => Ok((Resume::At { epoch, position }, Some(bytes.clone()))),
        _ => Err(Error::new(
            ErrorKind::Recovery,
            format!("the saved position of partition {partition} cannot be decoded"),
        )
        .help("its type has changed in a way that its schema does not show: change it back")),
    }
}

/// What a source or sink may use of the outside world. Built-in ones use nothing else, so that a simulated disk
/// covers them.
#[derive(Clone, Debug)]
pub struct Io {
    files: Arc<dyn Files>,
    /// What sources and sinks have said of files, while they are asked for their partitions.
    told: Arc<Mutex<Vec<Told>>>,
    fence: Option<Fence>,
    /// The recovery log has just been made: no run has used it.
    new_log: bool,
    room: Option<Arc<dyn AwaitRoom>>,
    owner: Option<Arc<str>>,
}

/// Waits for a full disk to have room again.
pub(crate) trait AwaitRoom: Send + Sync + fmt::Debug {
    /// Waits a while after something was refused. Answers `false` if it is no use: the run is ending.
    fn wait(&self, refused: &Error) -> bool;
    /// What had been refused went well after all.
    fn has_room(&self);
}

/// That a file is read or written.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) path: PathBuf,
    pub(crate) written: bool,
}

impl Io {
    /// The outside world with these files.
    pub fn new(files: Arc<dyn Files>) -> Self {
        Io { files, told: Arc::default(), fence: None, new_log: false, room: None, owner: None }
    }

    /// The machine's own files.
    pub fn real() -> Self {
        Io::new(Arc::new(file::Disk))
    }

    /// The same, of a run that may lose its recovery log to a later one.
    pub(crate) fn fenced(mut self, fence: Option<Fence>) -> Self {
        self.fence = fence;
        self
    }

    /// The same, of a run that waits while a disk is full.
    pub(crate) fn patient(mut self, room: Option<Arc<dyn AwaitRoom>>) -> Self {
        self.room = room;
        self
    }

    /// Waits a while before what the full disk refused is tried again. Answers `false` if the run is to fail instead.
    pub(crate) fn wait_for_room(&self, refused: &Error) -> bool {
        self.room.as_ref().is_some_and(|room| room.wait(refused))
    }

    /// What the full disk had refused went well after all.
    pub(crate) fn has_room(&self) {
        if let Some(room) = &self.room {
            room.has_room();
        }
    }

    /// Looks, before anything outside is changed, whether this run still owns its recovery log.
    pub(crate) fn check_fence(&self) -> Result<(), Error> {
        self.fence.as_ref().map_or(Ok(()), Fence::check)
    }

    /// The same, before the first run on a recovery log.
    pub(crate) fn with_new_log(mut self, is_new: bool) -> Self {
        self.new_log = is_new;
        self
    }

    /// Whether this is before the first run on a recovery log.
    pub(crate) fn has_new_log(&self) -> bool {
        self.new_log
    }

    /// Whether this is a run with a recovery log.
    pub(crate) fn has_log(&self) -> bool {
        self.fence.is_some()
    }

    /// The same, for a partition of a sink that is opened in a run with a recovery log.
    pub(crate) fn with_owner(&self, owner: Option<Arc<str>>) -> Self {
        Io { owner, ..self.clone() }
    }

    /// What names recovery log, step and partition, in a run with a log, while a partition of a sink is
    /// [opened](Sink::open). It is the same in every run on a log and differs between logs; the partition's
    /// [applier](Sink::applier) is given the same.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The files.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// Said by a source while it is asked for its partitions: this file will be read. A run that would write it, too, is
    /// refused before anything is lost.
    pub fn will_read(&self, path: &Path) {
        self.tell(path, false);
    }

    /// Said by a sink while it is asked for its partitions: this file will be written.
    pub fn will_write(&self, path: &Path) {
        self.tell(path, true);
    }

    fn tell(&self, path: &Path, written: bool) {
        // Pipes and devices may well be used twice.
        if !matches!(self.files.kind(path), Ok(file::PathKind::Other)) {
            let path = self.files.canonical(path);
            self.told.lock().unwrap_or_else(PoisonError::into_inner).push(Told { path, written });
        }
    }

    /// Takes what has been said since the last time.
    pub(crate) fn take_told(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
