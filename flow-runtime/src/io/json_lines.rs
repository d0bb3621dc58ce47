//! `JsonLines`: the values of files with one JSON value a line.

use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use crate::error::Error;
use crate::io::bad_row::{BadRow, Lenient, OnBadRow, Skip, Strict};
use crate::io::epoch_per_line::{EpochPerLine, LineReader};
use crate::io::input::Input;
use crate::io::text::{FilePosition, Text};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

/// A source of the values of files with one JSON value a line, read into a type that implements [`serde::Deserialize`].
///
/// The run ends at the first line that does not fit, with an error that names file and line; with [`rows`](JsonLines::rows) such
/// lines come as a stream of their own, with [`skip_bad_rows`](JsonLines::skip_bad_rows) they are left out. Blank lines are
/// left out, too. Which files can be read, and how reading goes on after a stop, is as described at
/// [`Lines`](crate::io::Lines).
///
/// ```
/// use flow_runtime::io::JsonLines;
///
/// #[derive(serde::Deserialize)]
/// struct Position {
///     icao24: String,
///     altitude: Option<f64>,
/// }
///
/// let positions = JsonLines::<Position>::of("positions.jsonl.gz");
/// # let _ = positions;
/// ```
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct JsonLines<T, P = Strict> {
    input: Input,
    types: PhantomData<fn(P) -> T>,
}

impl<T, P> Clone for JsonLines<T, P> {
    fn clone(&self) -> Self {
        JsonLines { input: self.input.clone(), types: PhantomData }
    }
}

impl<T, P> fmt::Debug for JsonLines<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLines").field("input", &self.input).finish()
    }
}

impl<T> JsonLines<T> {
    /// The values of a file, or of all files below a folder.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        JsonLines { input: Input::path(path.into()), types: PhantomData }
    }

    /// The values of several files and folders. Their partitions are named by the paths as they are given; a file given
    /// twice is an error.
    pub fn of_all<I: Into<PathBuf>>(paths: impl IntoIterator<Item = I>) -> Self {
        let paths = paths.into_iter().map(Into::into).collect();
        JsonLines { input: Input::paths(paths), types: PhantomData }
    }

    /// The values of all files whose path matches a pattern. A pattern that no file matches is an error.
    pub fn glob(pattern: impl Into<String>) -> Self {
        JsonLines { input: Input::glob(pattern.into()), types: PhantomData }
    }

    /// Yields `Result<T, BadRow>`: a line that does not fit does not end the run. The step `branch` takes them apart:
    /// `let Result { ok: positions, err: bad } = branch(rows);`.
    pub fn rows(self) -> JsonLines<T, Lenient> {
        JsonLines { input: self.input, types: PhantomData }
    }

    /// Leaves out lines that do not fit; see [`Skip`].
    pub fn skip_bad_rows(self) -> JsonLines<T, Skip> {
        JsonLines { input: self.input, types: PhantomData }
    }
}

impl<T, P> JsonLines<T, P> {
    /// The most bytes of a line; 64 MiB unless it is set. A longer one is an error: it may be one JSON document that is not
    /// written in lines.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.input.record_max = bytes;
        self
    }

    /// Makes each line of one file an epoch of its own, and yields the values with it; see [`EpochPerLine`].
    ///
    /// ```
    /// use flow_runtime::io::{JsonLines, collect};
    /// use flow_runtime::prelude::*;
    /// use flow_runtime::time::Epoch;
    ///
    /// #[dataflow]
    /// fn doubled<S: Source<Item = (Epoch, u64)>>(numbers: S, out: Collect<(Epoch, u64)>) {
    ///     let all = source(numbers);
    ///     let twice = map(all, |(line, n)| (line, 2 * n));
    ///     sink(twice, out);
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("numbers.jsonl");
    /// std::fs::write(&path, "7\n\nseven\n8\n")?; // The second line is blank, the third one is no number.
    /// let (out, collected) = collect();
    /// let numbers = JsonLines::of(path).skip_bad_rows().epoch_per_line();
    /// doubled(numbers, out).spawn()?.wait()?;
    /// assert_eq!(collected.take(), [(Epoch(0), 14), (Epoch(3), 16)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn epoch_per_line(self) -> EpochPerLine<Self> {
        EpochPerLine::new(self)
    }
}

impl<T: DeserializeOwned + 'static, P: OnBadRow> Source for JsonLines<T, P> {
    type Item = P::Item<T>;
    type Position = FilePosition;
    type Reader = JsonLinesReader<T, P>;
    type Replay = replay::Replayable;

    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.input.partitions(io)
    }

    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FilePosition>,
    ) -> Result<JsonLinesReader<T, P>, Error> {
        Ok(JsonLinesReader { text: self.input.open(io, partition, resume)?, types: PhantomData })
    }
}

/// The reader of [`JsonLines`].
pub struct JsonLinesReader<T, P> {
    text: Text,
    types: PhantomData<fn(P) -> T>,
}

impl<T, P> fmt::Debug for JsonLinesReader<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonLinesReader").field("text", &self.text).finish()
    }
}

impl<T, P> JsonLinesReader<T, P> {
    #[cold]
    fn bad(&self, error: &serde_json::Error, bytes: usize) -> BadRow {
        // The place is given as in a file of one line.
        let text = error.to_string();
        let what = text.rfind(" at line ").map_or(&text[..], |at| &text[..at]);
        let message = format!("{what}, at column {}", error.column());
        BadRow::new(self.text.path(), self.text.line(), message, self.text.consumed(bytes))
    }
}

impl<T: DeserializeOwned + 'static, P: OnBadRow> JsonLinesReader<T, P> {
    /// Reads a line: what comes of it, if anything, or `None` at the end. One that ends the run is not taken.
    #[inline]
    fn next(&mut self) -> Result<Option<Option<P::Item<T>>>, Error> {
        let Some((line, bytes)) = self.text.next_line()? else { return Ok(None) };
        if line.trim_ascii().is_empty() {
            return Ok(Some(None));
        }
        let row = serde_json::from_slice(line).map_err(|error| self.bad(&error, bytes));
        P::item(row).map(Some).inspect_err(|_| self.text.take_back(bytes, 1))
    }
}

impl<T: DeserializeOwned + 'static, P: OnBadRow> LineReader for JsonLinesReader<T, P> {
    fn lines(&self) -> u64 {
        self.text.line()
    }
    fn has_line(&mut self) -> Result<bool, Error> {
        self.text.has_more()
    }
    fn read_line(&mut self) -> Result<Option<P::Item<T>>, Error> {
        Ok(self.next()?.flatten())
    }
}

impl<T: DeserializeOwned + 'static, P: OnBadRow> Reader for JsonLinesReader<T, P> {
    type Item = P::Item<T>;
    type Position = FilePosition;

    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(P::Item<T>),
    ) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            match self.next()? {
                Some(Some(item)) => emit(item),
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::io::testing::{Memory, drain, poll, resume};

    #[derive(Debug, PartialEq, Deserialize)]
    struct Place {
        x: i32,
        y: Option<i32>,
    }

    const LINES: &str = "{\"x\":1,\"y\":2}\r\n\n  \n{\"x\":3,\"z\":[1,2]}\n{\"x\":4}";

    #[test]
    fn values_are_read_line_by_line() {
        let disk = Memory::default();
        disk.put("a.jsonl", LINES);
        let places = [(1, Some(2)), (3, None), (4, None)].map(|(x, y)| Place { x, y });
        assert_eq!(drain(&JsonLines::of("a.jsonl"), &disk.io()), Ok(places.into()));
    }

    #[test]
    fn a_line_that_does_not_fit_is_named() {
        let disk = Memory::default();
        disk.put("a.jsonl", "1\n\nx2\n3\n");
        let numbers = JsonLines::<i32>::of("a.jsonl");
        let error = drain(&numbers, &disk.io()).expect_err("does not fit");
        assert_eq!(
            error.lines().next(),
            Some("line 3 of `a.jsonl`: expected value, at column 1, so it is no `i32`")
        );
        let rows = drain(&numbers.rows(), &disk.io()).expect("goes on");
        assert_eq!((&rows[0], &rows[2]), (&Ok(1), &Ok(3)));
        let bad = rows[1].as_ref().expect_err("does not fit");
        assert_eq!((&*bad.file, bad.line, &*bad.text), ("a.jsonl", 3, "x2"));
        let good = drain(&JsonLines::<i32>::of("a.jsonl").skip_bad_rows(), &disk.io());
        assert_eq!(good, Ok(vec![1, 3]));
    }

    #[test]
    fn what_is_not_utf8_does_not_fit() {
        let disk = Memory::default();
        disk.put("a.jsonl", b"\"a\"\n\"\xff\"\n");
        let rows = drain(&JsonLines::<String>::of("a.jsonl").rows(), &disk.io()).expect("goes on");
        assert_eq!(rows[0], Ok("a".into()));
        assert_eq!(
            rows[1].as_ref().map_err(|bad| (bad.line, &*bad.text)),
            Err((2, "\"\u{fffd}\""))
        );
    }

    #[test]
    fn resumed_anywhere_it_goes_on() {
        let disk = Memory::default();
        disk.put("a.jsonl", LINES);
        let source = JsonLines::<Place>::of("a.jsonl");
        let all = drain(&source, &disk.io()).expect("reads");
        for lines in 1..=6 {
            let partition = PartitionId::new("a.jsonl");
            let mut reader = source.open(&disk.io(), &partition, Resume::Fresh).expect("opens");
            let mut read = poll(&mut reader, lines).0;
            read.extend(resume(&source, &disk.io(), reader.position()).expect("resumes"));
            assert_eq!(read, all, "after {lines} lines");
        }
    }
}
