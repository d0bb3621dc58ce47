//! Rows that do not fit: what is known of one, and what is done about it.

use serde::{Deserialize, Serialize};
use std::any::type_name;
use std::fmt;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// The most bytes of a row's text that are kept.
const TEXT_MAX: usize = 4096;

/// A row of a file that does not fit the type that is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BadRow {
    /// The path of the file.
    pub file: String,
    /// The line on which the row begins; the first is 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
    /// The row as it stands in the file, without its line end; at most 4 KiB of it. What is not UTF-8 is `U+FFFD`.
    pub text: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of `{}`: {}", self.line, self.file, self.message)
    }
}

impl std::error::Error for BadRow {}

impl BadRow {
    #[cold]
    pub(crate) fn new(file: &Path, line: u64, message: String, row: &[u8]) -> Self {
        let row = row.trim_ascii_end();
        let text = String::from_utf8_lossy(&row[..row.len().min(TEXT_MAX)]).into_owned();
        BadRow { file: file.display().to_string(), line, message, text }
    }
}

/// What is done about a row that does not fit: [`Strict`], [`Lenient`] or [`Skip`].
pub trait OnBadRow: 'static {
    /// What the source yields where `T` is read.
    type Item<T: 'static>: 'static;
    /// What is yielded of a row; `None` if it is left out.
    ///
    /// # Errors
    /// When the run is to end with it.
    fn item<T: 'static>(row: Result<T, BadRow>) -> Result<Option<Self::Item<T>>, Error>;
}

/// The run ends at a row that does not fit.
#[derive(Clone, Copy, Debug)]
pub enum Strict {}

/// A row that does not fit is yielded as a [`BadRow`].
#[derive(Clone, Copy, Debug)]
pub enum Lenient {}

/// A row that does not fit is left out. A warning (of the crate `tracing`) tells of it.
#[derive(Clone, Copy, Debug)]
pub enum Skip {}

impl OnBadRow for Strict {
    type Item<T: 'static> = T;
    #[inline]
    fn item<T: 'static>(row: Result<T, BadRow>) -> Result<Option<T>, Error> {
        row.map(Some).map_err(|bad| {
            Error::new(ErrorKind::Source, format!("{bad}, so it is no `{}`", short(type_name::<T>())))
                .help("rows that do not fit come as a stream of their own if the file is read with `.rows()` and `branch`; with `.skip_bad_rows()` they are left out")
                .caused_by(bad)
        })
    }
}

impl OnBadRow for Lenient {
    type Item<T: 'static> = Result<T, BadRow>;
    #[inline]
    fn item<T: 'static>(row: Result<T, BadRow>) -> Result<Option<Result<T, BadRow>>, Error> {
        Ok(Some(row))
    }
}

impl OnBadRow for Skip {
    type Item<T: 'static> = T;
    #[inline]
    fn item<T: 'static>(row: Result<T, BadRow>) -> Result<Option<T>, Error> {
        Ok(row.inspect_err(|bad| tracing::warn!("left out {bad}")).ok())
    }
}

/// A type's name without the path of its module, where it is a plain one.
fn short(name: &str) -> &str {
    if name.contains(['<', '(', '[']) { name } else { name.rsplit("::").next().unwrap_or(name) }
}
