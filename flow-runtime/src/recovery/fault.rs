//! What is said when a log cannot be used.

use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::recovery::frame::{Bad, VERSION};

/// An error of the log.
pub(crate) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Recovery, message)
}

/// The operating system refuses something.
pub(crate) fn failed(action: &str, path: &Path, error: io::Error) -> Error {
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let the user that runs the program write there, or give `--recovery` another folder"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk and start again: it goes on from the last commit"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "give `--recovery` a folder of its own; it is made if it is not there"
        }
        _ => {
            "the disk or its file system has failed; once it is sound again, start again: it goes on from the last commit"
        }
    };
    Error::io(ErrorKind::Recovery, action, path, error).help(help)
}

/// The bytes of a file are not what was written.
pub(crate) fn damaged(path: &Path, bad: Bad) -> Error {
    if let Some(version) = bad.newer {
        return refused(format!(
            "`{}` has version {version} of the log's format, and this program knows versions up to {VERSION}",
            path.display()
        ))
        .help("run the program that wrote it, or a newer one");
    }
    let message = format!("`{}` is damaged {bad}", path.display());
    let error = refused(message).help(
        "put the file back from a backup; without one, begin anew with an empty folder: nothing is overwritten until you do",
    );
    match bad.io {
        Some(io) => error.caused_by(io),
        None => error,
    }
}

/// Whether there is no room left: what can be waited for.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
