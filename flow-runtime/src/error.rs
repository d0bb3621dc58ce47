//! The one error type: what happened, where, and what to do about it.

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;

/// Why a dataflow did not start, or ended.
///
/// Displayed (and debugged, since that is what `main` prints) as one line that names the step, key, file or
/// flag and says what happened, followed by a line that says what to do where that is known.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    step: Option<String>,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What sort of failure an [`Error`] is, for programs that react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A flag, a parameter or a combination of them makes no sense.
    Configuration,
    /// A source could not be read.
    Source,
    /// A sink could not be written.
    Sink,
    /// The reader of our output went away: standard output was closed. A program ends quietly.
    OutputClosed,
    /// A user's function panicked.
    Panic,
    /// The dataflow itself decided to stop, by `fail`.
    Failed,
    /// The run was stopped and did not come to an end in time.
    Stopped,
    /// The recovery log cannot be used: it is damaged, belongs to another dataflow or process, does not fit the dataflow any
    /// more, or its disk fails.
    Recovery,
    /// Items or state could not be encoded or decoded.
    Encoding,
}

impl Error {
    /// An error of this kind. The message says what happened, in lower case and without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            step: None,
            help: None,
            source: None,
        }))
    }

    /// An input/output error at a path.
    pub fn io(kind: ErrorKind, action: &str, path: &Path, error: std::io::Error) -> Self {
        Error::new(kind, format!("cannot {action} `{}`: {}", path.display(), plain(&error)))
            .caused_by(error)
    }

    /// Names the step, unless one is named already.
    #[must_use]
    pub fn at_step(mut self, step: impl fmt::Display) -> Self {
        self.0.step.get_or_insert_with(|| step.to_string());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds another way out to what the error says what to do.
    pub(crate) fn or_help(mut self, other: impl AsRef<str>) -> Self {
        let help = self.0.help.take().map_or(String::new(), |help| format!("{help}; "));
        self.0.help = Some(help + other.as_ref());
        self
    }

    /// Keeps the underlying error as the [`source`](StdError::source).
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The step it happened in, where that is known.
    pub fn step(&self) -> Option<&str> {
        self.0.step.as_deref()
    }

    /// What happened, without the step and the help.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// An operating system's error without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_lowercase(),
        None => text,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = &self.0.step {
            write!(f, "step `{step}`: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(help) = &self.0.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
