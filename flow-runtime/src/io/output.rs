//! Files being written: where they lie, and what makes a file rewindable.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind};
use crate::io::file::{File, Files, PathKind};
use crate::io::{Durable, Io, PartitionId, Resume, Rows, SinkWriter};
use crate::recovery::fault::is_full;
use crate::time::Barrier;

/// How much of the end of a file is compared when writing goes on.
const WINDOW: usize = 4096;

/// Where a sink writes to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One file.
    File(PathBuf),
    /// A folder of parts.
    Folder { path: PathBuf, parts: usize, extension: &'static str },
}

impl Target {
    pub(crate) fn folder(path: PathBuf, extension: &'static str) -> Self {
        Target::Folder { path, parts: 8, extension }
    }

    pub(crate) fn set_parts(&mut self, new: usize) {
        if let Target::Folder { parts, .. } = self {
            *parts = new;
        }
    }

    pub(crate) fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        match self {
            Target::File(path) => {
                if let Ok(PathKind::Folder) = io.files().kind(path) {
                    return Err(Error::new(
                        ErrorKind::Sink,
                        format!("cannot write `{}`: it is a folder", path.display()),
                    )
                    .help(
                        "give the path of a file, or write parts into the folder by `folder(path)`",
                    ));
                }
                // Before anything is emptied: another output of the same start may be there already.
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                if let Some(folder) = folder
                    && let Err(error) = io.files().kind(folder)
                {
                    return Err(without_parent(io, path, error));
                }
                would_be_emptied(io, path)?;
                io.will_write(path);
                let name = path.file_name().unwrap_or(path.as_os_str());
                Ok(vec![PartitionId::new(name.to_string_lossy())])
            }
            Target::Folder { path, parts, extension } => {
                if *parts == 0 {
                    return Err(Error::new(
                        ErrorKind::Configuration,
                        format!("the folder `{}` is to be written in 0 parts", path.display()),
                    )
                    .help("give at least one: `.parts(8)`"));
                }
                make_folder(&**io.files(), path).map_err(|error| cannot_write(path, error))?;
                let names: Vec<_> =
                    (0..*parts).map(|n| format!("part-{n:05}.{extension}")).collect();
                foreign_part(io, path, extension, &names)?;
                for path in names.iter().map(|name| path.join(name)) {
                    would_be_emptied(io, &path)?;
                    io.will_write(&path);
                }
                Ok(names.into_iter().map(PartitionId::new).collect())
            }
        }
    }

    pub(crate) fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FileEnd>,
    ) -> Result<FileWriter, Error> {
        let path = match self {
            Target::File(path) => path.clone(),
            Target::Folder { path, .. } => path.join(partition.as_str()),
        };
        if io.has_log()
            && let Ok(PathKind::Other) = io.files().kind(&path)
        {
            return Err(Error::new(
                ErrorKind::Sink,
                format!("cannot write `{}`: it is a pipe or a device", path.display()),
            )
            .help("a run with a recovery log takes back what was not committed, so it needs a file; without a log it may be a pipe"));
        }
        match resume {
            Resume::Fresh => FileWriter::create(io, path),
            Resume::At { position, .. } => FileWriter::reopen(io, path, &position),
        }
    }
}

/// Makes a folder that is there after a power cut, too. One that is there may not be durable yet: whoever made it may have been cut off.
pub(crate) fn make_folder(files: &dyn Files, folder: &Path) -> io::Result<()> {
    files.create_folder(folder)?;
    let mut above = folder.ancestors().skip(1);
    match above.next().map_or(Ok(()), |above| files.sync_folder(above)) {
        // It is not ours to open, and so was not made by us.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        done => done?,
    }
    above.for_each(|above| drop(files.sync_folder(above)));
    Ok(())
}

/// Refuses to begin a file anew that has something in it, where the recovery log is new: has it been forgotten that there is one?
fn would_be_emptied(io: &Io, path: &Path) -> Result<(), Error> {
    let is_empty = || io.files().open(path).and_then(|file| file.is_empty());
    let is_file = matches!(io.files().kind(path), Ok(PathKind::File));
    if !io.has_new_log() || !is_file || is_empty().unwrap_or(true) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Sink,
        format!(
            "`{}` has something in it, and the recovery log is new: the file would be emptied",
            path.display()
        ),
    )
    .help("give the log with which the file was written; to begin anew, remove the file"))
}

/// Refuses a folder with parts that this run would not write: who reads the folder would take them for its output.
fn foreign_part(io: &Io, folder: &Path, extension: &str, ours: &[String]) -> Result<(), Error> {
    for path in io.files().list(folder).map_err(|error| cannot_write(folder, error))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let part = name.strip_prefix("part-").and_then(|name| name.strip_suffix(extension));
        if part.is_some() && !ours.iter().any(|our| *our == name) {
            return Err(Error::new(
                ErrorKind::Sink,
                format!("`{}` is a part of another output", path.display()),
            )
            .help(format!(
                "this one has {} parts: remove the file, or write to a new folder",
                ours.len()
            )));
        }
    }
    Ok(())
}

/// How far a file has been written, and what its end looked like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEnd {
    /// In bytes.
    length: u64,
    /// Checksum of the last 4 KiB.
    tail: u32,
}

impl FileEnd {
    /// The length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// Writes one file, at its end.
pub struct FileWriter {
    io: Io,
    path: PathBuf,
    file: Box<dyn File>,
    length: u64,
    /// The last 4 KiB.
    tail: Vec<u8>,
    /// Whether the folder may not know the file yet, after a power cut. Shared with what makes it durable: of several of those only
    /// the last may be run.
    is_new: Arc<AtomicBool>,
}

impl fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileWriter")
            .field("path", &self.path)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl FileWriter {
    fn create(io: &Io, path: PathBuf) -> Result<Self, Error> {
        let mut file = match io.files().create(&path, false) {
            Ok(file) => file,
            Err(error) => return Err(without_parent(io, &path, error)),
        };
        cut(io, &mut *file, 0).map_err(|error| cannot_write(&path, error))?;
        Ok(FileWriter {
            io: io.clone(),
            path,
            file,
            length: 0,
            tail: Vec::new(),
            is_new: new(true),
        })
    }

    fn reopen(io: &Io, path: PathBuf, saved: &FileEnd) -> Result<Self, Error> {
        if saved.length == 0 {
            return FileWriter::create(io, path);
        }
        if let Err(error) = io.files().kind(&path)
            && error.kind() == io::ErrorKind::NotFound
        {
            return Err(refused(&path, &format!("is gone; it had {} bytes", saved.length)));
        }
        let failed = |error| cannot_write(&path, error);
        let mut file = io.files().create(&path, false).map_err(failed)?;
        let length = file.len().map_err(failed)?;
        if length < saved.length {
            let shorter =
                format!("has been truncated: it had {} bytes and has {length}", saved.length);
            return Err(refused(&path, &shorter));
        }
        let window = saved.length.min(WINDOW as u64);
        let mut tail = vec![0; usize::try_from(window).expect("a window is small")];
        let mut read = 0;
        while read < tail.len() {
            match file.read_at(saved.length - window + read as u64, &mut tail[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if crc32fast::hash(&tail) != saved.tail {
            return Err(refused(
                &path,
                "is not the file that was written before: its content differs",
            ));
        }
        // What lies behind belongs to epochs that were not committed: they are written again.
        cut(io, &mut *file, saved.length).map_err(failed)?;
        Ok(FileWriter {
            io: io.clone(),
            path,
            file,
            length: saved.length,
            tail,
            is_new: new(false),
        })
    }
}

impl SinkWriter for FileWriter {
    type Block = Rows;
    type Position = FileEnd;

    fn write(&mut self, rows: Rows) -> Result<(), Error> {
        let bytes = rows.behind(self.length);
        write_patiently(&self.io, &mut *self.file, &self.path, self.length, bytes)?;
        self.length += bytes.len() as u64;
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(WINDOW)..]);
        self.tail.drain(..self.tail.len().saturating_sub(WINDOW));
        Ok(())
    }

    fn seal(&mut self, _: Barrier) -> Result<FileEnd, Error> {
        Ok(FileEnd { length: self.length, tail: crc32fast::hash(&self.tail) })
    }

    fn durable(&mut self) -> Result<Option<Durable>, Error> {
        let syncing = self.file.syncing().map_err(|error| cannot_write(&self.path, error))?;
        let (io, path, is_new) = (self.io.clone(), self.path.clone(), Arc::clone(&self.is_new));
        Ok(Some(Box::new(move || {
            let sync = || {
                syncing()?;
                if let Some(folder) = path.parent().filter(|_| is_new.load(Ordering::Acquire)) {
                    io.files().sync_folder(folder)?;
                    is_new.store(false, Ordering::Release);
                }
                Ok(())
            };
            sync().map_err(|error| Error::io(ErrorKind::Sink, "make durable", &path, error))
        })))
    }
}

/// Cuts off what lies behind a length. It must not come back by a power cut: nothing more need be written to the file, and so nothing of it
/// be synced.
fn cut(io: &Io, file: &mut dyn File, length: u64) -> io::Result<()> {
    if file.len()? > length {
        file.set_len(length)?;
        if io.has_log() {
            file.sync()?;
        }
    }
    Ok(())
}

fn new(is_new: bool) -> Arc<AtomicBool> {
    Arc::new(AtomicBool::new(is_new))
}

/// Writes to a place in a file. While the disk is full it waits, unless the run is to end then.
pub(crate) fn write_patiently(
    io: &Io,
    file: &mut dyn File,
    path: &Path,
    at: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    let mut waited = false;
    while let Err(error) = file.write_at(at, bytes) {
        let is_full = is_full(&error);
        let error = cannot_write(path, error);
        if !is_full || !io.wait_for_room(&error) {
            return Err(error);
        }
        waited = true;
    }
    if waited {
        io.has_room();
    }
    Ok(())
}

fn refused(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Sink, format!("`{}` {what}", path.display())).help(
        "put the file back as the last run left it: writing goes on in it; or begin anew with another file and another recovery log",
    )
}

/// A file cannot be made: is the folder missing that it should be in?
pub(crate) fn without_parent(io: &Io, path: &Path, error: io::Error) -> Error {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder)
            if error.kind() == io::ErrorKind::NotFound && io.files().kind(folder).is_err() =>
        {
            Error::new(
                ErrorKind::Sink,
                format!(
                    "cannot write `{}`: there is no folder `{}`",
                    path.display(),
                    folder.display()
                ),
            )
            .help(format!("make it: `mkdir -p {}`", folder.display()))
            .caused_by(error)
        }
        _ => cannot_write(path, error),
    }
}

pub(crate) fn cannot_write(path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Error::io(ErrorKind::OutputClosed, "write", path, error);
    }
    let help = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk and start again"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let the user that runs the program write there"
        }
        _ => return Error::io(ErrorKind::Sink, "write", path, error),
    };
    Error::io(ErrorKind::Sink, "write", path, error).help(help)
}

#[cfg(test)]
mod tests;
