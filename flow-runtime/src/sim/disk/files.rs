//! The simulated disk as a file system.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::SimDisk;
use super::state::Torn;
use super::tree::{Id, normal};
use crate::io::file::{File, Files, Lock, Locked, PathKind};

impl SimDisk {
    /// Lets a slow disk take its time. Not under the lock: who is called may look at the disk.
    fn begin(&self) {
        let (call, operation) = {
            let state = self.state();
            (state.on_operation.clone(), state.operations)
        };
        if let Some(call) = call {
            call(operation);
        }
    }

    fn file(&self, id: Id) -> Box<dyn File> {
        Box::new(SimFile { disk: self.clone(), id })
    }
}

/// A file that is open. It stays the same file whatever becomes of its name.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: Id,
}

impl File for SimFile {
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        state.check()?;
        Ok(state.tree.content(self.id)?.read_at(offset, into))
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.begin();
        let write = Torn { file: self.id, offset, bytes: Arc::from(bytes) };
        self.disk.state().write_at(&write)
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.check()?;
        Ok(state.tree.content(self.id)?.len())
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.disk.begin();
        self.disk.state().set_len(self.id, length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.begin();
        self.disk.state().sync(self.id)
    }

    fn syncing(&self) -> io::Result<Box<dyn FnOnce() -> io::Result<()> + Send>> {
        let (disk, id) = (self.disk.clone(), self.id);
        Ok(Box::new(move || {
            disk.begin();
            disk.state().sync(id)
        }))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    id: Id,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.retain(|(id, _)| *id != self.id);
    }
}

impl Files for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let state = self.state();
        state.check()?;
        let id = state.tree.resolve(path)?;
        state.tree.content(id)?;
        drop(state);
        Ok(self.file(id))
    }

    fn create(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn File>> {
        self.begin();
        let mut state = self.state();
        state.check()?;
        let (folder, name) = state.tree.place(path)?;
        let id = match state.tree.entry(folder, name) {
            Some(id) => {
                if truncate && state.tree.content(id)?.len() > 0 {
                    state.set_len(id, 0)?;
                }
                // A folder is refused.
                state.tree.content(id).map(|_| id)?
            }
            None => {
                state.operation_in("making", (folder, name))?;
                state.tree.make_file(folder, name)
            }
        };
        drop(state);
        Ok(self.file(id))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.begin();
        let mut state = self.state();
        state.check()?;
        let (folder, name) = state.tree.place(path)?;
        if state.tree.entry(folder, name).is_some() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "File exists (os error 17)"));
        }
        state.operation_in("making", (folder, name))?;
        let id = state.tree.make_file(folder, name);
        drop(state);
        Ok(self.file(id))
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        drop(self.create(path, false)?);
        let id = {
            let mut state = self.state();
            let id = state.tree.resolve(path)?;
            if let Some((_, holder)) = state.locks.iter().find(|(locked, _)| *locked == id) {
                return Ok(Locked::Elsewhere(holder.clone()));
            }
            state.locks.push((id, holder.to_owned()));
            id
        };
        // From here on it is given back if something fails.
        let lock = SimLock { disk: self.clone(), id };
        let mut file = self.file(id);
        if !file.is_empty()? {
            file.set_len(0)?;
        }
        file.write_at(0, holder.as_bytes())?;
        Ok(Locked::Here(Box::new(lock)))
    }

    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        let state = self.state();
        state.check()?;
        let id = state.tree.resolve(path)?;
        Ok(if state.tree.is_folder(id) { PathKind::Folder } else { PathKind::File })
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => plain.push(name),
                Component::ParentDir => drop(plain.pop()),
                _ => {}
            }
        }
        plain
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.state();
        state.check()?;
        let id = state.tree.resolve(folder)?;
        Ok(state.tree.names(id)?.map(|name| folder.join(name)).collect())
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.begin();
        let mut state = self.state();
        state.check()?;
        let plain = self.canonical(folder);
        let mut at = state.tree.resolve(Path::new(""))?;
        // Each of them is a change of its own: a crash may come between two.
        for name in plain.components().filter_map(normal) {
            at = match state.tree.entry(at, name) {
                Some(there) if state.tree.is_folder(there) => there,
                Some(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "File exists (os error 17)",
                    ));
                }
                None => {
                    state.operation_in("making", (at, name))?;
                    state.tree.make_folder(at, name)
                }
            };
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.begin();
        let mut state = self.state();
        state.check()?;
        let id = state.tree.resolve(path)?;
        let length = state.tree.content(id)?.len();
        let (folder, name) = state.tree.place(path)?;
        state.operation_in("removing", (folder, name))?;
        state.tree.unlink(folder, name);
        state.freed(length);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.begin();
        let mut state = self.state();
        state.check()?;
        let (from, to) = (state.tree.place(from)?, state.tree.place(to)?);
        // What fails changes nothing, and is not counted.
        if state.tree.entry(from.0, from.1).is_some() {
            state.operation_in("renaming", from)?;
        }
        let replaced = state.tree.entry(to.0, to.1);
        let freed = replaced.and_then(|id| state.tree.content(id).ok()).map_or(0, |old| old.len());
        state.tree.rename(from, to)?;
        if from != to {
            state.freed(freed);
        }
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.begin();
        let mut state = self.state();
        state.check()?;
        let id = state.tree.resolve(folder)?;
        state.sync_folder(id)
    }
}
