//! `Lines`: the lines of text files.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
use crate::io::epoch_per_line::{EpochPerLine, LineReader};
use crate::io::input::Input;
use crate::io::text::{FilePosition, Text};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

/// A source of the lines of text files, as `String`s without their line ends.
///
/// * A partition is a file. [`of`](Lines::of) takes a file or a folder, [`of_all`](Lines::of_all) several of them,
///   [`glob`](Lines::glob) a pattern. Folders are read with all that lies below them, in the order of the names; files and
///   folders whose names begin with a dot are left out, links are followed.
/// * Files whose names end in `.gz` are decompressed, also when they consist of several members.
/// * A line ends in `\n` or `\r\n`; the last one need not. A byte order mark at the beginning is dropped.
/// * After a stop, each file is read on where it was left. Before that it is checked: one that has been truncated or
///   replaced is refused by name. What was appended is read, also to a file that had been read to its end; a compressed one
///   must not change. A file that had been read to its end may be gone; a new one is read from its beginning.
///
/// ```
/// use flow_runtime::io::{Lines, Utf8};
///
/// let one = Lines::of("data/hamlet.txt");
/// let many = Lines::glob("logs/**/*.log.gz").invalid_utf8(Utf8::Lossy);
/// # let _ = (one, many);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct Lines {
    input: Input,
    utf8: Utf8,
}

/// What is done about text that is not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Utf8 {
    /// The run ends with an error that names file, line and byte.
    #[default]
    Error,
    /// What is not UTF-8 becomes `U+FFFD`.
    Lossy,
    /// The line is dropped.
    Skip,
}

impl Lines {
    /// The lines of a file, or of all files below a folder.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Lines { input: Input::path(path.into()), utf8: Utf8::Error }
    }

    /// The lines of several files and folders. Their partitions are named by the paths as they are given; a file given
    /// twice is an error.
    pub fn of_all<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Lines {
            input: Input::paths(paths.into_iter().map(Into::into).collect()),
            utf8: Utf8::Error,
        }
    }

    /// The lines of all files whose path matches a pattern: `*` and `?` stand for characters of a name, `[..]` for one of
    /// several, `**` for any number of folders. A pattern that no file matches is an error.
    pub fn glob(pattern: impl Into<String>) -> Self {
        Lines { input: Input::glob(pattern.into()), utf8: Utf8::Error }
    }

    /// What is done about lines that are not UTF-8; [`Utf8::Error`] unless it is set.
    pub fn invalid_utf8(mut self, policy: Utf8) -> Self {
        self.utf8 = policy;
        self
    }

    /// The most bytes of a line; 64 MiB unless it is set. A longer one is an error: it is usually not a text file.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.input.record_max = bytes;
        self
    }

    /// Makes each line of one file an epoch of its own, and yields the lines with it; see [`EpochPerLine`].
    ///
    /// ```
    /// use flow_runtime::io::Lines;
    ///
    /// let commands = Lines::of("commands.txt").epoch_per_line();
    /// # let _ = commands;
    /// ```
    pub fn epoch_per_line(self) -> EpochPerLine<Self> {
        EpochPerLine::new(self)
    }
}

impl Source for Lines {
    type Item = String;
    type Position = FilePosition;
    type Reader = LinesReader;
    type Replay = replay::Replayable;

    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.input.partitions(io)
    }

    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FilePosition>,
    ) -> Result<LinesReader, Error> {
        let text = self.input.open(io, partition, resume)?;
        Ok(LinesReader { text, utf8: self.utf8 })
    }
}

/// The reader of [`Lines`].
#[derive(Debug)]
pub struct LinesReader {
    text: Text,
    utf8: Utf8,
}

impl LinesReader {
    /// Reads a line: what comes of it, if anything, or `None` at the end. One that ends the run is not taken.
    #[inline]
    fn next(&mut self) -> Result<Option<Option<String>>, Error> {
        let Some((line, length)) = self.text.next_line()? else { return Ok(None) };
        decode(line, self.utf8).map(Some).map_err(|valid| {
            let number = self.text.line();
            self.text.take_back(length, 1);
            let byte = self.text.offset() + valid as u64;
            let path = self.text.path().display();
            Error::new(
                ErrorKind::Source,
                format!("line {number} of `{path}` is not UTF-8, at byte {byte} of the file"),
            )
            .help(HELP)
        })
    }
}

impl LineReader for LinesReader {
    fn lines(&self) -> u64 {
        self.text.line()
    }
    fn has_line(&mut self) -> Result<bool, Error> {
        self.text.has_more()
    }
    fn read_line(&mut self) -> Result<Option<String>, Error> {
        Ok(self.next()?.flatten())
    }
}

impl Reader for LinesReader {
    type Item = String;
    type Position = FilePosition;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(String)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            match self.next()? {
                Some(Some(line)) => emit(line),
                Some(None) => {}
                None => return Ok(Poll::End),
            }
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> FilePosition {
        self.text.position()
    }
}

pub(crate) const HELP: &str =
    "convert the text, or read it with `.invalid_utf8(Utf8::Lossy)` or `.invalid_utf8(Utf8::Skip)`";

/// A line as text, `None` if it is to be dropped, or the number of bytes that are right.
#[inline]
pub(crate) fn decode(line: &[u8], policy: Utf8) -> Result<Option<String>, usize> {
    match std::str::from_utf8(line) {
        Ok(line) => Ok(Some(line.to_owned())),
        Err(error) => match policy {
            Utf8::Error => Err(error.valid_up_to()),
            Utf8::Lossy => Ok(Some(String::from_utf8_lossy(line).into_owned())),
            Utf8::Skip => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests;
