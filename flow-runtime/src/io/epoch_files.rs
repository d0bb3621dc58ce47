//! `EpochFiles`: a folder that gets a finished file for each epoch.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::io::file::File;
use crate::io::output::{cannot_write, make_folder, without_parent, write_patiently};
use crate::io::transactional::{Committer, Prepared, TransactionWriter, Transactional};
use crate::io::{CsvRows, Encoder, Io, JsonRows, PartitionId, Rows, TextRows};
use crate::io::{TransactionalSink, transactional};
use crate::state::KeyHasher;
use crate::stream::Token;
use crate::time::Epoch;

/// A sink that writes the items of each epoch into a file of their own, which is never changed once it is there: for those who
/// pick up files as they come.
///
/// Files are called `epoch-00000000000000000007-part-00000.jsonl`: the epoch in 20 digits, so that they sort, then the part. While a
/// file is written its name begins with a dot. It gets its final name when the epoch has been committed, so a reader sees whole
/// committed epochs only, each item exactly once, also after a crash. A file may be read, moved or removed as soon as it is there. An
/// epoch without items makes no file.
///
/// A recovery log is needed, and a folder that no other log has written to.
///
/// ```
/// use flow_runtime::io::EpochFiles;
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn split<S: Sink<Stream<u64>>>(numbers: Vec<u64>, small: S) {
///     let all = source(from_iter(numbers));
///     let few = filter(all, |n| *n < 100);
///     sink(few, small);
///     let by_digit = key_by(all, |n| n % 10);
///     #[id = "every"]
///     sink(by_digit, EpochFiles::csv("counts").parts(4));
/// }
///
/// let flow = split(vec![1, 2, 300], EpochFiles::json_lines("small"));
/// # let _ = flow;
/// ```
pub struct EpochFiles<R> {
    folder: PathBuf,
    parts: usize,
    extension: &'static str,
    rows: fn() -> R,
}

impl<R> Clone for EpochFiles<R> {
    fn clone(&self) -> Self {
        EpochFiles { folder: self.folder.clone(), ..*self }
    }
}

impl<R> fmt::Debug for EpochFiles<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochFiles")
            .field("folder", &self.folder)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl<R> EpochFiles<R> {
    fn sink(
        folder: impl Into<PathBuf>,
        extension: &'static str,
        rows: fn() -> R,
    ) -> TransactionalSink<Self> {
        transactional(EpochFiles { folder: folder.into(), parts: 1, extension, rows })
    }
}

impl EpochFiles<JsonRows> {
    /// Each item as one line of JSON, a keyed one as `[key,item]`. The folder is made if need be.
    pub fn json_lines(folder: impl Into<PathBuf>) -> TransactionalSink<Self> {
        EpochFiles::sink(folder, "jsonl", || JsonRows)
    }
}

impl EpochFiles<CsvRows> {
    /// Each item as one row of CSV, as in [`CsvFile`](crate::io::CsvFile); each file begins with the names of the columns. The folder is
    /// made if need be.
    pub fn csv(folder: impl Into<PathBuf>) -> TransactionalSink<Self> {
        EpochFiles::sink(folder, "csv", || CsvRows::new(b',', true))
    }
}

impl EpochFiles<TextRows> {
    /// Each item as one line of text, as it displays itself. The folder is made if need be.
    pub fn text(folder: impl Into<PathBuf>) -> TransactionalSink<Self> {
        EpochFiles::sink(folder, "txt", || TextRows)
    }
}

impl<R> TransactionalSink<EpochFiles<R>> {
    /// The number of files that are made for each epoch, which workers write side by side; 1 unless it is set. It is fixed for
    /// the life of a recovery log.
    pub fn parts(mut self, parts: usize) -> Self {
        self.target.parts = parts;
        self
    }
}

/// What finished files of a partition are called.
fn finished(epoch: Epoch, partition: &PartitionId) -> String {
    format!("epoch-{:020}-{partition}", epoch.0)
}

fn is_finished(name: &str, partition: &PartitionId) -> bool {
    name.strip_prefix("epoch-")
        .and_then(|rest| rest.strip_suffix(partition.as_str())?.strip_suffix('-'))
        .is_some_and(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// What hidden files of an owner begin with.
fn hidden(owner: &str) -> String {
    format!(".{:016x}-", KeyHasher::new(0).hash(owner))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl<S, R> Transactional<S> for EpochFiles<R>
where
    S: Token,
    R: Encoder<S, Block = Rows>,
{
    type Block = Rows;
    type Encoder = R;
    type Writer = EpochFileWriter;
    type Committer = EpochFileCommitter;

    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        let EpochFiles { folder, parts, extension, .. } = self;
        if *parts == 0 {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("the epochs in the folder `{}` are to have 0 parts", folder.display()),
            )
            .help("give at least one: `.parts(1)`"));
        }
        make_folder(&**io.files(), folder).map_err(|error| cannot_write(folder, error))?;
        let names = (0..*parts).map(|n| format!("part-{n:05}.{extension}"));
        let told = names.inspect(|name| io.will_write(&folder.join(name)));
        Ok(told.map(PartitionId::new).collect())
    }

    fn encoder(&self) -> R {
        (self.rows)()
    }

    fn writer(
        &self,
        io: &Io,
        partition: &PartitionId,
        owner: &str,
        fresh: bool,
    ) -> Result<EpochFileWriter, Error> {
        let folder = self.folder.clone();
        if fresh {
            let there = io.files().list(&folder).map_err(|error| cannot_write(&folder, error))?;
            if let Some(path) = there.iter().find(|path| is_finished(&name_of(path), partition)) {
                return Err(Error::new(
                    ErrorKind::Sink,
                    format!(
                        "`{}` was written with another recovery log: this one has no epoch yet",
                        path.display()
                    ),
                )
                .help("write to a new folder, empty this one, or start with the log that belongs to it"));
            }
        }
        Ok(EpochFileWriter {
            io: io.clone(),
            folder,
            partition: partition.clone(),
            hidden: hidden(owner),
            open: None,
        })
    }

    fn committer(
        &self,
        io: &Io,
        partition: &PartitionId,
        owner: &str,
    ) -> Result<EpochFileCommitter, Error> {
        Ok(EpochFileCommitter {
            io: io.clone(),
            folder: self.folder.clone(),
            partition: partition.clone(),
            hidden: hidden(owner),
        })
    }
}

/// Writes one part of each epoch.
#[derive(Debug)]
pub struct EpochFileWriter {
    io: Io,
    folder: PathBuf,
    partition: PartitionId,
    /// What our hidden files begin with.
    hidden: String,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    name: String,
    path: PathBuf,
    file: Box<dyn File>,
    length: u64,
}

impl EpochFileWriter {
    fn opened(&mut self) -> &mut OpenFile {
        self.open.as_mut().expect("a transaction is begun before it is written to and prepared")
    }
}

impl TransactionWriter for EpochFileWriter {
    type Block = Rows;

    fn begin(&mut self, number: u64) -> Result<(), Error> {
        let name = format!("{}{number:020}-{}", self.hidden, self.partition);
        let path = self.folder.join(&name);
        let file = self.io.files().create(&path, true);
        let file = file.map_err(|error| without_parent(&self.io, &path, error))?;
        self.open = Some(OpenFile { name, path, file, length: 0 });
        Ok(())
    }

    fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let io = self.io.clone();
        let open = self.opened();
        let bytes = rows.behind(open.length);
        write_patiently(&io, &mut *open.file, &open.path, open.length, bytes)?;
        open.length += bytes.len() as u64;
        Ok(())
    }

    fn prepare(&mut self) -> Result<Prepared, Error> {
        let open = self.opened();
        let syncing = open.file.syncing().map_err(|error| cannot_write(&open.path, error))?;
        let (name, path) = (open.name.clone(), open.path.clone());
        self.open = None;
        let (io, folder) = (self.io.clone(), self.folder.clone());
        let durable = Box::new(move || {
            syncing()
                .and_then(|()| io.files().sync_folder(&folder))
                .map_err(|error| Error::io(ErrorKind::Sink, "make durable", &path, error))
        });
        Ok(Prepared { name, durable })
    }
}

/// Gives files their final names, and removes those of epochs that were never committed.
#[derive(Debug)]
pub struct EpochFileCommitter {
    io: Io,
    folder: PathBuf,
    partition: PartitionId,
    /// What our hidden files begin with.
    hidden: String,
}

impl Committer for EpochFileCommitter {
    fn commit(&mut self, epoch: Epoch, name: &str) -> Result<(), Error> {
        let files = self.io.files();
        let (from, to) =
            (self.folder.join(name), self.folder.join(finished(epoch, &self.partition)));
        match files.kind(&from) {
            Ok(_) if files.kind(&to).is_ok() => {
                return Err(Error::new(
                    ErrorKind::Sink,
                    format!("`{}` is there already, and was not written by this run", to.display()),
                )
                .help("two recovery logs write to one folder: move the file elsewhere and start again, each log with a folder of its own"));
            }
            Ok(_) => files.rename(&from, &to).map_err(|error| cannot_write(&to, error))?,
            // It has its final name already, or whoever reads the folder has taken it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_write(&from, error)),
        }
        // Also if it was renamed before: that may not be durable yet.
        files
            .sync_folder(&self.folder)
            .map_err(|error| Error::io(ErrorKind::Sink, "make durable", &to, error))
    }

    fn unfinished(&mut self) -> Result<Vec<String>, Error> {
        let there = self.io.files().list(&self.folder);
        let there = there.map_err(|error| cannot_write(&self.folder, error))?;
        let end = format!("-{}", self.partition);
        let names = there.iter().map(|path| name_of(path));
        Ok(names.filter(|name| name.starts_with(&self.hidden) && name.ends_with(&end)).collect())
    }

    fn last_committed(&mut self) -> Result<Option<Epoch>, Error> {
        let there = self.io.files().list(&self.folder);
        let there = there.map_err(|error| cannot_write(&self.folder, error))?;
        let names = there.iter().map(|path| name_of(path));
        let finished = names.filter(|name| is_finished(name, &self.partition));
        let epochs = finished.filter_map(|name| name.get(6..26)?.parse().ok());
        Ok(epochs.max().map(Epoch))
    }

    fn abort(&mut self, name: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        match self.io.files().remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(ErrorKind::Sink, "remove", &path, error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
