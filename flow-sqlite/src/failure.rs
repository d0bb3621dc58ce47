//! What went wrong with a database, and what to do about it.

use std::path::PathBuf;

use flow_runtime::time::Epoch;
use flow_runtime::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// The database that is spoken of.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
}

impl Place {
    fn error(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Sink, message)
    }

    /// `cannot <action> <path>: ..`
    pub(crate) fn failed(&self, action: &str, error: rusqlite::Error) -> Error {
        let what = self.what(&error);
        let message = format!("cannot {action} `{}`: {what}", self.path.display());
        self.helped(self.error(message), error)
    }

    /// An epoch could not be applied, in the end or at a row: its number, and of how many.
    pub(crate) fn not_applied(
        &self,
        epoch: Epoch,
        row: Option<(usize, usize)>,
        error: rusqlite::Error,
    ) -> Error {
        let row = row.map_or(String::new(), |(row, rows)| format!(" (row {row} of {rows})"));
        let what = self.what(&error);
        let path = self.path.display();
        self.helped(
            self.error(format!("cannot apply epoch {epoch} to `{path}`{row}: {what}")),
            error,
        )
    }

    pub(crate) fn read_only(&self) -> Error {
        self.error(format!("cannot write `{}`: it is read-only", self.path.display()))
            .help(READ_ONLY)
    }

    pub(crate) fn epoch_too_large(&self, epoch: Epoch) -> Error {
        self.error(format!(
            "epoch {epoch} cannot be written down in `{}`: an integer in SQLite is at most {}",
            self.path.display(),
            i64::MAX
        ))
        .help("let the source give smaller epochs")
    }

    pub(crate) fn applied_before(&self, epoch: Epoch, last: Epoch) -> Error {
        self.error(format!(
            "cannot apply epoch {epoch} to `{}`: epoch {last} has been applied",
            self.path.display()
        ))
        .help("does another process run on a copy of this recovery log?")
    }

    pub(crate) fn transaction_ended(&self, epoch: Epoch) -> Error {
        self.error(format!(
            "epoch {epoch} was not applied as one to `{}`: the function that writes rows has ended the transaction",
            self.path.display()
        ))
        .help("leave COMMIT and ROLLBACK out of it")
    }

    /// What happened, without the path.
    fn what(&self, error: &rusqlite::Error) -> String {
        let known = match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen) if self.is_folder() => "it is a folder",
            Some(ErrorCode::CannotOpen) => match self.missing_folder() {
                Some(folder) => return format!("there is no folder `{folder}`"),
                None => "the operating system does not open it",
            },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "it is read-only",
            Some(ErrorCode::NotADatabase) => "it is not an SQLite database",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process has it locked"
            }
            Some(ErrorCode::DiskFull) => "the disk is full",
            Some(ErrorCode::DatabaseCorrupt) => "it is damaged",
            _ => return error.to_string(),
        };
        known.to_owned()
    }

    fn helped(&self, failed: Error, error: rusqlite::Error) -> Error {
        let help = match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen) if self.is_folder() => {
                "give the path of a file in it".to_owned()
            }
            Some(ErrorCode::CannotOpen) => match self.missing_folder() {
                Some(folder) => format!("make it: `mkdir -p {folder}`"),
                None => READ_ONLY.to_owned(),
            },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => READ_ONLY.to_owned(),
            Some(ErrorCode::NotADatabase) => {
                "give the path of a database, or of a file that is not there yet".to_owned()
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "end its transaction and start again, or wait longer: `.busy_timeout(..)`; what is missing is in the recovery log".to_owned()
            }
            Some(ErrorCode::DiskFull) => {
                "make room on the disk and start again: what is missing is in the recovery log".to_owned()
            }
            Some(ErrorCode::DatabaseCorrupt) => format!(
                "look at it by `sqlite3 {} 'PRAGMA integrity_check'`; a copy from before must have all epochs that the recovery log holds for applied",
                self.path.display()
            ),
            Some(ErrorCode::ConstraintViolation) => {
                "nothing of the epoch is written, and the next start applies it again: write the statement so that it takes such rows (`ON CONFLICT ..`), or change the table".to_owned()
            }
            Some(ErrorCode::Unknown) if error.to_string().starts_with("no such table") => {
                "make the table beforehand, or give `.schema(\"CREATE TABLE IF NOT EXISTS ..\")`".to_owned()
            }
            _ => match &error {
                rusqlite::Error::InvalidParameterCount(..) => {
                    "a row has as many fields as the statement has parameters, `?1` being the first".to_owned()
                }
                rusqlite::Error::ToSqlConversionFailure(_) => {
                    "a value has no counterpart in SQLite, whose integers are signed and have 64 bits: write it as text, with `.write(..)`".to_owned()
                }
                _ => return failed.caused_by(error),
            },
        };
        failed.help(help).caused_by(error)
    }

    fn is_folder(&self) -> bool {
        self.path.is_dir()
    }

    /// The folder that should hold the database, if it is not there.
    fn missing_folder(&self) -> Option<String> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
        (!folder.exists()).then(|| folder.display().to_string())
    }
}

const READ_ONLY: &str = "let the user that runs the program write the file and the folder that it is in: SQLite makes files beside it";

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    fn text(code: i32, message: &str) -> String {
        let place = Place { path: "out.db".into() };
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message.to_owned()));
        place.not_applied(Epoch(7), None, error).to_string()
    }

    #[test]
    fn what_cannot_be_brought_about_in_a_test_has_its_words_too() {
        assert!(text(ffi::SQLITE_READONLY, "attempt to write a readonly database").starts_with(
            "cannot apply epoch 7 to `out.db`: it is read-only\n  help: let the user"
        ));
        assert!(text(ffi::SQLITE_CORRUPT, "database disk image is malformed").starts_with(
            "cannot apply epoch 7 to `out.db`: it is damaged\n  help: look at it by `sqlite3 out.db"
        ));
        assert_eq!(
            text(ffi::SQLITE_IOERR, "disk I/O error"),
            "cannot apply epoch 7 to `out.db`: disk I/O error"
        );
        assert!(
            text(ffi::SQLITE_CANTOPEN, "unable to open database file")
                .contains("the operating system does not open it\n  help: let the user")
        );
    }
}
