//! Steps of the protocol that tests leave out, one at a time, to see that they are missed. Nothing of it is in a build for use.

use std::io;

use crate::io::file::{File, Files};
use std::path::Path;

/// A step that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Omitted {
    /// Segments and bases are not synced.
    DataSync,
    /// Commits are not synced.
    CommitSync,
    /// Folders are not synced.
    FolderSync,
    /// A run does not write the commit again that it goes on from.
    CommitAgain,
    /// A run takes the number of the run before.
    Generation,
    /// What a commit gives up is removed before it is durable.
    CommitBeforeRemoval,
    /// A sync that has failed is tried again, as if nothing had happened.
    EndOfFailedFile,
}

#[cfg(not(test))]
pub(crate) const fn is_omitted(_: Omitted) -> bool {
    false
}

/// Makes durable what was written to a file of the log.
pub(crate) fn sync(file: &mut dyn File, step: Omitted) -> io::Result<()> {
    if is_omitted(step) {
        return Ok(());
    }
    match file.sync() {
        Err(_) if is_omitted(Omitted::EndOfFailedFile) => file.sync(),
        done => done,
    }
}

/// Makes durable which files are in a folder of the log.
pub(crate) fn sync_folder(files: &dyn Files, folder: &Path) -> io::Result<()> {
    if is_omitted(Omitted::FolderSync) { Ok(()) } else { files.sync_folder(folder) }
}

#[cfg(test)]
pub(crate) use in_tests::{is_omitted, omit};

#[cfg(test)]
mod in_tests {
    use std::cell::Cell;

    use super::Omitted;

    thread_local! {
        static OMITTED: Cell<Option<Omitted>> = const { Cell::new(None) };
    }

    pub(crate) fn is_omitted(step: Omitted) -> bool {
        OMITTED.get() == Some(step)
    }

    /// Leaves out a step, on this thread.
    pub(crate) fn omit(step: Option<Omitted>) {
        OMITTED.set(step);
    }
}
