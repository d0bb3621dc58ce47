//! The one door to the file system. Sources, sinks and the recovery log go through it, so that a simulated disk covers them all.

#![allow(clippy::disallowed_types)] // This is the door.

use std::fmt;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A file, read and written by position.
pub trait File: Send + fmt::Debug {
    /// Reads at a position; 0 bytes at the end.
    ///
    /// # Errors
    /// As the operating system says.
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes at a position.
    ///
    /// # Errors
    /// As the operating system says.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// The length in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self) -> io::Result<u64>;
    /// Whether the length is 0.
    ///
    /// # Errors
    /// As the operating system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts or extends the file.
    ///
    /// # Errors
    /// As the operating system says.
    fn set_len(&mut self, length: u64) -> io::Result<()>;
    /// Makes what was written durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync(&mut self) -> io::Result<()>;
    /// The same as [`sync`](File::sync) for another thread, which may wait for the disk while this one goes on.
    ///
    /// # Errors
    /// As the operating system says.
    fn syncing(&self) -> io::Result<Box<dyn FnOnce() -> io::Result<()> + Send>>;
}

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A pipe, a device, ..
    Other,
}

/// What came of locking a file.
#[derive(Debug)]
pub enum Locked {
    /// It is locked until this is dropped.
    Here(Box<dyn Lock>),
    /// Another process holds the lock, and has written this into the file.
    Elsewhere(String),
}

/// A lock that is held until it is dropped.
pub trait Lock: Send + Sync + fmt::Debug {}

/// A file system.
pub trait Files: Send + Sync + fmt::Debug {
    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens a file for writing and reading, and makes it, with `truncate` empty.
    ///
    /// # Errors
    /// As the operating system says.
    fn create(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn File>>;
    /// Makes a file that must not be there yet, for writing and reading.
    ///
    /// # Errors
    /// As the operating system says; `AlreadyExists` when it is there.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Locks a file, which is made if need be, against other processes until what is answered is dropped. `holder` is written
    /// into it, for those that find it locked.
    ///
    /// # Errors
    /// As the operating system says.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locked>;
    /// What lies at a path.
    ///
    /// # Errors
    /// As the operating system says; `NotFound` when there is nothing.
    fn kind(&self, path: &Path) -> io::Result<PathKind>;
    /// The one name of a file that may have several: without links and dots. As given where that cannot be found out.
    fn canonical(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
    /// The entries of a folder, sorted.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;
    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of the file that has it, if there is one. At any time the file has one of the two
    /// names; which one it has after a power cut is only settled by [`sync_folder`](Files::sync_folder). Both names lie in one folder,
    /// or at least on one file system.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes durable which files are in a folder.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// The machine's own file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

#[derive(Debug)]
struct DiskFile {
    file: fs::File,
    /// Where the operating system's cursor stands, to spare a seek.
    at: u64,
}

impl DiskFile {
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        if self.at != offset {
            self.at = self.file.seek(SeekFrom::Start(offset))?;
        }
        Ok(())
    }
}

impl File for DiskFile {
    fn read_at(&mut self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.seek(offset)?;
        let read = self.file.read(into)?;
        self.at += read as u64;
        Ok(read)
    }
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.seek(offset)?;
        match self.file.write_all(bytes) {
            Ok(()) => self.at += bytes.len() as u64,
            Err(error) => {
                // How much was written is not known.
                self.at = u64::MAX;
                return Err(error);
            }
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn syncing(&self) -> io::Result<Box<dyn FnOnce() -> io::Result<()> + Send>> {
        // The copy shares the cursor, which a sync does not move.
        let file = self.file.try_clone()?;
        Ok(Box::new(move || file.sync_data()))
    }
}

/// The operating system lets go of the lock when the process ends in whatever way.
#[derive(Debug)]
struct DiskLock {
    file: fs::File,
}

impl Lock for DiskLock {}

impl Drop for DiskLock {
    fn drop(&mut self) {
        // Closing the file would not do: a process that is being spawned by this one has it open, too, until its program begins.
        let _ = self.file.unlock();
    }
}

impl Files for Disk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(DiskFile { file, at: 0 }))
    }
    fn create(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn File>> {
        // Of a pipe or a device this must not hold the reading end, too: nobody would ever be told that its reader has gone.
        let regular = fs::metadata(path).map_or(true, |meta| meta.is_file());
        if !regular {
            let file = fs::File::options().write(true).open(path)?;
            return Ok(Box::new(DiskFile { file, at: 0 }));
        }
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(truncate)
            .open(path)?;
        Ok(Box::new(DiskFile { file, at: 0 }))
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = fs::File::options().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(DiskFile { file, at: 0 }))
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        let mut file =
            fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all(holder.as_bytes())?;
                Ok(Locked::Here(Box::new(DiskLock { file })))
            }
            Err(fs::TryLockError::WouldBlock) => {
                let mut text = Vec::new();
                // Who holds it is worth knowing, no more.
                let _ = file.take(1024).read_to_end(&mut text);
                Ok(Locked::Elsewhere(String::from_utf8_lossy(&text).trim().to_owned()))
            }
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        let meta = fs::metadata(path)?;
        Ok(if meta.is_file() {
            PathKind::File
        } else if meta.is_dir() {
            PathKind::Folder
        } else {
            PathKind::Other
        })
    }
    fn canonical(&self, path: &Path) -> PathBuf {
        fs::canonicalize(path).unwrap_or_else(|_| {
            // One that is not there yet has a folder that is.
            let folder = match path.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            };
            match (fs::canonicalize(folder), path.file_name()) {
                (Ok(folder), Some(name)) => folder.join(name),
                _ => path.to_owned(),
            }
        })
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut entries =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        Ok(entries)
    }
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // Elsewhere a folder cannot be opened as a file, and its entries are made durable with the files.
        if cfg!(unix) {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_once_it_is_dropped_also_while_a_child_has_the_file_open() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("LOCK");
        let file = fs::File::create(&path).expect("it can be made");
        file.try_lock().expect("nobody has it");
        // As a process has it that is being spawned.
        let inherited = file.try_clone().expect("it can be cloned");
        let lock = DiskLock { file };
        let locked = |path| Disk.lock(path, "me").expect("it can be tried");
        assert!(matches!(locked(&path), Locked::Elsewhere(_)));
        drop(lock);
        assert!(matches!(locked(&path), Locked::Here(_)));
        drop(inherited);
    }
}
