//! Files in memory, on a disk that fills up, fails, and loses what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::io::Io;
use crate::io::file::{File, Files, Lock, Locked, PathKind};

/// Files in memory.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Tree>>);

#[derive(Default)]
struct Tree {
    files: BTreeMap<PathBuf, Vec<u8>>,
    folders: Vec<PathBuf>,
    unreadable: Vec<PathBuf>,
    /// The most bytes in all files below a folder together.
    room: Option<(PathBuf, usize)>,
    /// After so many writes were refused there is room again.
    refusals: Option<usize>,
    /// The most bytes that one read gives.
    read_max: Option<usize>,
    /// So many syncs succeed, then they fail.
    syncs: Option<usize>,
    /// So many changes happen, then the power is cut.
    changes: Option<usize>,
    /// What each file held when it was last synced.
    durable: BTreeMap<PathBuf, Vec<u8>>,
    /// The files that were there when their folder was last synced.
    listed: BTreeSet<PathBuf>,
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
        tree.durable.insert(path.clone(), bytes.as_ref().to_vec());
        tree.listed.insert(path.clone());
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
        let (mut tree, path) = (lock(&self.0), plain(Path::new(path)));
        tree.files.remove(&path);
        tree.listed.remove(&path);
    }

    /// Lets the disk be full when all files together have this many bytes.
    pub(crate) fn limit(&self, bytes: usize) {
        lock(&self.0).room = Some((PathBuf::new(), bytes));
    }

    /// Lets the disk be full when all files below a folder together have this many bytes, until so many writes were refused.
    pub(crate) fn limit_below(&self, folder: &str, bytes: usize, refusals: usize) {
        let mut tree = lock(&self.0);
        tree.room = Some((plain(Path::new(folder)), bytes));
        tree.refusals = Some(refusals);
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
        self.fail_syncs_after(0);
    }

    /// Lets every sync fail after so many.
    pub(crate) fn fail_syncs_after(&self, syncs: usize) {
        lock(&self.0).syncs = Some(syncs);
    }

    /// Lets the power be cut after so many changes: writes, syncs, new and removed files.
    pub(crate) fn cut_after(&self, changes: usize) {
        lock(&self.0).changes = Some(changes);
    }

    /// All files.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        lock(&self.0).files.clone()
    }

    /// The disk as it is when the process is killed: with all that was written.
    pub(crate) fn after_kill(&self) -> Memory {
        let tree = lock(&self.0);
        Memory::of(tree.files.clone(), tree.folders.clone())
    }

    /// The disk as it is when the power was cut: with what was synced, in files whose folders were.
    pub(crate) fn after_power_cut(&self) -> Memory {
        let tree = lock(&self.0);
        let content = |path: &PathBuf| tree.durable.get(path).cloned().unwrap_or_default();
        let files = tree.listed.iter().map(|path| (path.clone(), content(path))).collect();
        Memory::of(files, tree.folders.clone())
    }

    /// A disk with these files, all of them durable.
    pub(crate) fn of(files: BTreeMap<PathBuf, Vec<u8>>, mut folders: Vec<PathBuf>) -> Memory {
        for path in files.keys() {
            for above in path.ancestors().skip(1) {
                if !folders.iter().any(|known| known == above) {
                    folders.push(above.to_owned());
                }
            }
        }
        let (durable, listed) = (files.clone(), files.keys().cloned().collect());
        Memory(Arc::new(Mutex::new(Tree { files, folders, durable, listed, ..Tree::default() })))
    }

    /// The files that have been synced.
    pub(crate) fn synced(&self) -> Vec<PathBuf> {
        lock(&self.0).synced.clone()
    }
}

impl Tree {
    /// Whether a change may still happen.
    fn change(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.changes {
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("the power was cut"))?;
        }
        Ok(())
    }

    /// How many bytes may be added to a file.
    fn free(&self, path: &Path) -> usize {
        let Some((folder, room)) = &self.room else { return usize::MAX };
        if !path.starts_with(folder) {
            return usize::MAX;
        }
        let below = self.files.iter().filter(|(path, _)| path.starts_with(folder));
        room.saturating_sub(below.map(|(_, bytes)| bytes.len()).sum())
    }

    /// A write was refused.
    fn refused(&mut self) {
        if let Some(refusals) = &mut self.refusals {
            *refusals = refusals.saturating_sub(1);
            if *refusals == 0 {
                (self.room, self.refusals) = (None, None);
            }
        }
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
            let mut tree = lock(&self.disk.0);
            tree.change()?;
            tree.free(&self.path)
        };
        let written = self.with(|bytes| {
            let from = usize::try_from(offset).expect("is small");
            // What fits is written, as a real disk does.
            let to = (from + new.len()).min(bytes.len().saturating_add(free)).max(from);
            bytes.resize(bytes.len().max(to), 0);
            bytes[from..to].copy_from_slice(&new[..to - from]);
            to - from
        })?;
        if written < new.len() {
            lock(&self.disk.0).refused();
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "No space left on device (os error 28)",
            ));
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        self.with(|bytes| bytes.len() as u64)
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        lock(&self.disk.0).change()?;
        self.with(|bytes| bytes.resize(usize::try_from(length).expect("is small"), 0))
    }
    fn sync(&mut self) -> io::Result<()> {
        self.syncing()?()
    }
    fn syncing(&self) -> io::Result<Box<dyn FnOnce() -> io::Result<()> + Send>> {
        let (disk, path) = (self.disk.clone(), self.path.clone());
        Ok(Box::new(move || {
            let mut tree = lock(&disk.0);
            tree.change()?;
            if let Some(left) = &mut tree.syncs {
                *left =
                    left.checked_sub(1).ok_or_else(|| io::Error::other("input/output error"))?;
            }
            let bytes = tree.files.get(&path).cloned();
            tree.durable.extend(bytes.map(|bytes| (path.clone(), bytes)));
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
        if truncate || !tree.files.contains_key(&path) {
            tree.change()?;
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
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = lock(&self.0);
        tree.change()?;
        let bytes = tree.files.remove(&plain(from)).ok_or(io::ErrorKind::NotFound)?;
        tree.files.insert(plain(to), bytes);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut tree = lock(&self.0);
        tree.change()?;
        let gone = tree.files.remove(&plain(path));
        gone.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut tree, folder) = (lock(&self.0), plain(folder));
        tree.change()?;
        let Tree { files, listed, .. } = &mut *tree;
        let inside = |path: &&PathBuf| path.parent() == Some(&folder);
        listed.retain(|path| !inside(&path) || files.contains_key(path));
        listed.extend(files.keys().filter(inside).cloned());
        tree.synced.push(folder);
        Ok(())
    }
}
