//! What the tests of sources and sinks share: driving them by hand, and files in memory that can be made to fail.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Wake, Waker};

use crate::io::file::{File, Files, Lock, Locked, PathKind};
use crate::io::{Io, Poll, PollContext, Reader, Resume, Source};
use crate::time::{Epoch, Timestamp};

/// Polls a reader once, in epoch 0: what it emitted and what it answered, an error by its text.
pub(crate) fn poll<R: Reader>(
    reader: &mut R,
    limit: usize,
) -> (Vec<R::Item>, Result<Poll, String>) {
    poll_in(reader, limit, Epoch(0), Waker::noop())
}

/// Polls a reader once in this epoch, with this waker.
pub(crate) fn poll_in<R: Reader>(
    reader: &mut R,
    limit: usize,
    epoch: Epoch,
    waker: &Waker,
) -> (Vec<R::Item>, Result<Poll, String>) {
    let mut items = Vec::new();
    let cx = PollContext::new(limit, Timestamp(0), epoch, waker);
    let answer = reader.poll(&cx, &mut |item| items.push(item));
    assert!(items.len() <= limit, "a reader must keep to the limit");
    (items, answer.map_err(|error| error.to_string()))
}

/// Reads a reader to its end, `limit` items at a time.
pub(crate) fn rest<R: Reader>(reader: &mut R, limit: usize) -> Result<Vec<R::Item>, String> {
    let mut all = Vec::new();
    loop {
        let (items, answer) = poll(reader, limit);
        all.extend(items);
        match answer? {
            Poll::Ready => {}
            Poll::End => return Ok(all),
            other => panic!("a reader of finite input answered {other:?}"),
        }
    }
}

/// Everything that a source yields, partition after partition in their order.
pub(crate) fn drain<S: Source>(source: &S, io: &Io) -> Result<Vec<S::Item>, String> {
    let mut partitions = source.partitions(io).map_err(|error| error.to_string())?;
    partitions.sort();
    let mut all = Vec::new();
    for partition in partitions {
        let mut reader =
            source.open(io, &partition, Resume::Fresh).map_err(|error| error.to_string())?;
        all.extend(rest(&mut reader, 3)?);
    }
    Ok(all)
}

/// What the only partition of a source yields from a position on.
pub(crate) fn resume<S: Source>(
    source: &S,
    io: &Io,
    position: S::Position,
) -> Result<Vec<S::Item>, String> {
    let mut reader = reopen(source, io, position)?;
    rest(&mut reader, 3)
}

/// The only partition of a source, opened at a position.
pub(crate) fn reopen<S: Source>(
    source: &S,
    io: &Io,
    position: S::Position,
) -> Result<S::Reader, String> {
    let partitions = source.partitions(io).map_err(|error| error.to_string())?;
    assert_eq!(partitions.len(), 1);
    source
        .open(io, &partitions[0], Resume::At { epoch: Epoch(1), position })
        .map_err(|error| error.to_string())
}

/// A waker that counts its calls.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<usize>);

impl Calls {
    pub(crate) fn count(&self) -> usize {
        *lock(&self.0)
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        *lock(&self.0) += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds the lock")
}

/// Files in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Tree>>);

#[derive(Default)]
struct Tree {
    files: BTreeMap<PathBuf, Vec<u8>>,
    folders: Vec<PathBuf>,
    unreadable: Vec<PathBuf>,
    /// The most bytes in all files together.
    room: Option<usize>,
    /// The most bytes that one read gives.
    read_max: Option<usize>,
    /// Files that could not be synced, and how often the others were.
    bad_sync: bool,
    locked: Vec<(PathBuf, String)>,
    synced: Vec<PathBuf>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

impl Memory {
    /// The outside world with these files.
    pub(crate) fn io(&self) -> Io {
        Io::new(Arc::new(self.clone()))
    }

    /// Writes a file and makes the folders above it.
    pub(crate) fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let mut tree = lock(&self.0);
        let path = plain(Path::new(path));
        tree.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
        tree.files.insert(path, bytes.as_ref().to_vec());
    }

    pub(crate) fn get(&self, path: &str) -> Option<Vec<u8>> {
        lock(&self.0).files.get(&plain(Path::new(path))).cloned()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.get(path).expect("the file is there")).expect("is text")
    }

    pub(crate) fn folder(&self, path: &str) {
        lock(&self.0).folders.push(plain(Path::new(path)));
    }

    pub(crate) fn delete(&self, path: &str) {
        lock(&self.0).files.remove(&plain(Path::new(path)));
    }

    /// Lets the disk be full when all files together have this many bytes.
    pub(crate) fn limit(&self, bytes: usize) {
        lock(&self.0).room = Some(bytes);
    }

    /// Lets every read give at most this many bytes.
    pub(crate) fn read_at_most(&self, bytes: usize) {
        lock(&self.0).read_max = Some(bytes);
    }

    /// Lets reading this file be forbidden.
    pub(crate) fn forbid(&self, path: &str) {
        lock(&self.0).unreadable.push(plain(Path::new(path)));
    }

    /// Lets every sync fail.
    pub(crate) fn fail_syncs(&self) {
        lock(&self.0).bad_sync = true;
    }

    /// The files that have been synced.
    pub(crate) fn synced(&self) -> Vec<PathBuf> {
        lock(&self.0).synced.clone()
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: Memory,
    path: PathBuf,
}

impl MemoryFile {
    fn with<T>(&self, act: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        let mut tree = lock(&self.disk.0);
        tree.files.get_mut(&self.path).map(act).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl File for MemoryFile {
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let most = lock(&self.disk.0).read_max.unwrap_or(usize::MAX);
        self.with(|bytes| {
            let from = bytes.len().min(usize::try_from(offset).expect("is small"));
            let read = (bytes.len() - from).min(into.len()).min(most);
            into[..read].copy_from_slice(&bytes[from..from + read]);
            read
        })
    }
    fn write_at(&mut self, offset: u64, new: &[u8]) -> io::Result<()> {
        let free = {
            let tree = lock(&self.disk.0);
            let used: usize = tree.files.values().map(Vec::len).sum();
            tree.room.map_or(usize::MAX, |room| room.saturating_sub(used))
        };
        self.with(|bytes| {
            let from = usize::try_from(offset).expect("is small");
            // What fits is written, as a real disk does.
            let to = (from + new.len()).min(bytes.len().saturating_add(free));
            bytes.resize(bytes.len().max(to), 0);
            bytes[from..to].copy_from_slice(&new[..to - from]);
            if to - from < new.len() {
                return Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    "No space left on device (os error 28)",
                ));
            }
            Ok(())
        })?
    }
    fn len(&self) -> io::Result<u64> {
        self.with(|bytes| bytes.len() as u64)
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.with(|bytes| bytes.resize(usize::try_from(length).expect("is small"), 0))
    }
    fn sync(&mut self) -> io::Result<()> {
        self.syncing()?()
    }
    fn syncing(&self) -> io::Result<Box<dyn FnOnce() -> io::Result<()> + Send>> {
        let (disk, path) = (self.disk.clone(), self.path.clone());
        Ok(Box::new(move || {
            let mut tree = lock(&disk.0);
            if tree.bad_sync {
                return Err(io::Error::other("input/output error"));
            }
            tree.synced.push(path);
            Ok(())
        }))
    }
}

#[derive(Debug)]
struct MemoryLock {
    disk: Memory,
    path: PathBuf,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        lock(&self.disk.0).locked.retain(|(path, _)| *path != self.path);
    }
}

impl Files for Memory {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let path = plain(path);
        match self.kind(&path)? {
            PathKind::Folder => return Err(io::ErrorKind::IsADirectory.into()),
            _ if lock(&self.0).unreadable.contains(&path) => {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            _ => {}
        }
        Ok(Box::new(MemoryFile { disk: self.clone(), path }))
    }
    fn create(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn File>> {
        let path = plain(path);
        if let Ok(PathKind::Folder) = self.kind(&path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut tree = lock(&self.0);
        if !path
            .parent()
            .is_none_or(|above| above == Path::new("") || tree.folders.contains(&above.to_owned()))
        {
            return Err(io::ErrorKind::NotFound.into());
        }
        let bytes = tree.files.entry(path.clone()).or_default();
        if truncate {
            bytes.clear();
        }
        drop(tree);
        Ok(Box::new(MemoryFile { disk: self.clone(), path }))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        match self.kind(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => self.create(path, false),
        }
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        drop(self.create(path, false)?);
        let path = plain(path);
        let mut tree = lock(&self.0);
        if let Some((_, holder)) = tree.locked.iter().find(|(locked, _)| *locked == path) {
            return Ok(Locked::Elsewhere(holder.clone()));
        }
        tree.locked.push((path.clone(), holder.to_owned()));
        Ok(Locked::Here(Box::new(MemoryLock { disk: self.clone(), path })))
    }
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        let path = plain(path);
        let tree = lock(&self.0);
        if tree.files.contains_key(&path) {
            Ok(PathKind::File)
        } else if tree.folders.contains(&path) || path == Path::new("") {
            Ok(PathKind::Folder)
        } else {
            Err(io::Error::new(io::ErrorKind::NotFound, "No such file or directory (os error 2)"))
        }
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.kind(folder)?;
        let inside = plain(folder);
        let tree = lock(&self.0);
        let mut entries: Vec<PathBuf> = tree
            .files
            .keys()
            .chain(&tree.folders)
            .filter(|path| path.parent() == Some(&inside) && path.file_name().is_some())
            .map(|path| folder.join(path.file_name().unwrap_or_default()))
            .collect();
        entries.sort();
        entries.dedup();
        Ok(entries)
    }
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut tree = lock(&self.0);
        tree.folders.extend(plain(folder).ancestors().map(Path::to_owned));
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let gone = lock(&self.0).files.remove(&plain(path));
        gone.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = lock(&self.0);
        let bytes = tree.files.remove(&plain(from)).ok_or(io::ErrorKind::NotFound)?;
        tree.files.insert(plain(to), bytes);
        Ok(())
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        lock(&self.0).synced.push(plain(folder));
        Ok(())
    }
}
