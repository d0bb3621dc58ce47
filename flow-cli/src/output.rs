//! Where things are printed, and in which format.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use clap::ValueEnum;
use flow_runtime::log::Progress;
use flow_runtime::{Error, ErrorKind};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// How something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// One JSON document
    Json,
}

/// Standard output.
pub(crate) struct Output(io::BufWriter<io::StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Output {
        Output(io::BufWriter::new(io::stdout().lock()))
    }

    /// Prints a line, or several.
    ///
    /// # Errors
    /// When standard output cannot be written, also where nobody reads it any more.
    pub(crate) fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Error> {
        writeln!(self.0, "{text}").map_err(closed)
    }

    /// Prints a document, with line breaks.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Error> {
        self.line(format_args!("{value:#}"))
    }

    /// Sees that everything has been printed.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        self.0.flush().map_err(closed)
    }

    /// For those who write by themselves.
    pub(crate) fn raw(&mut self) -> &mut impl Write {
        &mut self.0
    }
}

/// What it means that standard output cannot be written.
pub(crate) fn closed(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::BrokenPipe => ErrorKind::OutputClosed,
        _ => ErrorKind::Sink,
    };
    Error::new(kind, format!("cannot write to standard output: {error}")).caused_by(error)
}

/// A path as JSON has it.
pub(crate) fn path(path: &Path) -> Value {
    Value::String(path.display().to_string())
}

/// How far something has got, on a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Bar {
        // It draws nothing where standard error is no terminal.
        let bar =
            if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left");
        Bar(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    pub(crate) fn set(&self, progress: Progress) {
        self.0.set_length(progress.total);
        self.0.set_position(progress.done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
