//! Whether this process still owns the log. A lock can be removed and a process can sleep; a generation cannot be taken back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::io::file::Files;
use crate::recovery::fault::{failed, refused};
use crate::recovery::names::{CommitName, Copy2, Layout};

/// Looks whether a later run has begun. Between the look and what is done after it lies a moment that only the lock covers.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    files: Arc<dyn Files>,
    /// The first file of this generation, and of the one that would follow.
    own: PathBuf,
    next: PathBuf,
    generation: u64,
}

impl Fence {
    pub(crate) fn new(files: &Arc<dyn Files>, layout: &Layout, generation: u64) -> Self {
        let first =
            |generation| layout.commit(CommitName { generation, number: 0, copy: Copy2::A });
        Fence {
            files: Arc::clone(files),
            own: first(generation),
            next: first(generation + 1),
            generation,
        }
    }

    /// Refuses to go on once a later run has begun.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_there = |path: &PathBuf| match self.files.kind(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("look at", path, error)),
        };
        // Every generation begins by making its first file, and takes the next number that is free.
        if is_there(&self.next)? {
            return Err(refused(format!(
                "another run has taken over the recovery log: `{}` has appeared, and this is run {}",
                self.next.display(),
                self.generation
            ))
            .help("let the other run go on; this one has written nothing since"));
        }
        if !is_there(&self.own)? {
            return Err(refused(format!(
                "`{}`, which this run has made, is gone from the recovery log",
                self.own.display()
            ))
            .help("nothing but the engine may remove files of a log in use; start again"));
        }
        Ok(())
    }
}
