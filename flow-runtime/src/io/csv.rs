//! `Csv`: the rows of CSV files.

use csv::ByteRecord;
use csv_core::ReadRecordResult;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use crate::error::Error;
use crate::io::bad_row::{BadRow, Lenient, OnBadRow, Skip, Strict};
use crate::io::input::Input;
use crate::io::text::{FilePosition, Text};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

/// A source of the rows of CSV files, read into a type that implements [`serde::Deserialize`].
///
/// A struct takes its fields by the names in the header, a tuple by their order; a file without header is read by the order
/// of the fields. An empty field is `None` of an `Option`. Fields may be quoted, and may then contain line ends; all rows of
/// a file must have the same number of fields. Blank lines are left out.
///
/// The run ends at the first row that does not fit, with an error that names file and line; with [`rows`](Csv::rows) such rows
/// come as a stream of their own, with [`skip_bad_rows`](Csv::skip_bad_rows) they are left out. Which files can be read, and
/// how reading goes on after a stop, is as described at [`Lines`](crate::io::Lines).
///
/// ```
/// use flow_runtime::io::Csv;
///
/// #[derive(serde::Deserialize)]
/// struct Payment {
///     from: String,
///     to: String,
///     cents: u64,
/// }
///
/// let payments = Csv::<Payment>::of("payments.csv");
/// let pairs = Csv::<(String, u64)>::glob("counts/part-*.csv").header(false);
/// # let _ = (payments, pairs);
/// ```
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct Csv<T, P = Strict> {
    input: Input,
    delimiter: u8,
    header: bool,
    types: PhantomData<fn(P) -> T>,
}

impl<T, P> Clone for Csv<T, P> {
    fn clone(&self) -> Self {
        let Csv { input, delimiter, header, types } = self;
        Csv { input: input.clone(), delimiter: *delimiter, header: *header, types: *types }
    }
}

impl<T, P> fmt::Debug for Csv<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csv").field("input", &self.input).finish_non_exhaustive()
    }
}

impl<T> Csv<T> {
    /// The rows of a file, or of all files below a folder.
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Csv::new(Input::path(path.into()))
    }

    /// The rows of several files and folders. Their partitions are named by the paths as they are given; a file given twice
    /// is an error.
    pub fn of_all<I: Into<PathBuf>>(paths: impl IntoIterator<Item = I>) -> Self {
        Csv::new(Input::paths(paths.into_iter().map(Into::into).collect()))
    }

    /// The rows of all files whose path matches a pattern. A pattern that no file matches is an error.
    pub fn glob(pattern: impl Into<String>) -> Self {
        Csv::new(Input::glob(pattern.into()))
    }

    fn new(mut input: Input) -> Self {
        input.ends_at_return = true;
        Csv { input, delimiter: b',', header: true, types: PhantomData }
    }

    /// Yields `Result<T, BadRow>`: a row that does not fit does not end the run. The step `branch` takes them apart:
    /// `let Result { ok: payments, err: bad } = branch(rows);`.
    pub fn rows(self) -> Csv<T, Lenient> {
        self.with_policy()
    }

    /// Leaves out rows that do not fit; see [`Skip`].
    pub fn skip_bad_rows(self) -> Csv<T, Skip> {
        self.with_policy()
    }

    fn with_policy<P>(self) -> Csv<T, P> {
        let Csv { input, delimiter, header, .. } = self;
        Csv { input, delimiter, header, types: PhantomData }
    }
}

impl<T, P> Csv<T, P> {
    /// Whether each file begins with the names of the fields; it does unless it is set.
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    /// What stands between fields; a comma unless it is set.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// The most bytes of a row; 64 MiB unless it is set. A longer one is an error: a quote was not closed, or it is not a CSV
    /// file.
    pub fn max_row_bytes(mut self, bytes: usize) -> Self {
        self.input.record_max = bytes;
        self
    }
}

impl<T: DeserializeOwned + 'static, P: OnBadRow> Source for Csv<T, P> {
    type Item = P::Item<T>;
    type Position = FilePosition;
    type Reader = CsvReader<T, P>;
    type Replay = replay::Replayable;

    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.input.partitions(io)
    }

    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FilePosition>,
    ) -> Result<CsvReader<T, P>, Error> {
        let text = self.input.open(io, partition, resume)?;
        let mut rows = Rows::new(self.delimiter);
        let (mut header, mut header_end, mut width) = (None, 0, 0);
        if !text.is_done() {
            // The first row is always looked at: it has the names of the fields, or at least their number.
            let mut first = self.input.fresh(io, partition)?;
            let end = rows.next(&mut first)?.map(|row| first.offset() + row.bytes as u64);
            width = rows.record.len();
            if let Some(end) = end.filter(|_| self.header) {
                header = Some(rows.record.clone());
                header_end = end;
            }
            rows = Rows::new(self.delimiter);
        }
        Ok(CsvReader { text, rows, header, header_end, width, types: PhantomData })
    }
}

/// The reader of [`Csv`].
pub struct CsvReader<T, P> {
    text: Text,
    rows: Rows,
    header: Option<ByteRecord>,
    /// Where the header ends, in bytes from the beginning; 0 without one.
    header_end: u64,
    /// The number of fields that each row must have.
    width: usize,
    types: PhantomData<fn(P) -> T>,
}

impl<T, P> fmt::Debug for CsvReader<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvReader").field("text", &self.text).finish_non_exhaustive()
    }
}

impl<T: DeserializeOwned + 'static, P> CsvReader<T, P> {
    /// Consumes the next row, except a header. `None` at the end.
    #[inline]
    fn next(&mut self) -> Result<Option<Result<T, BadRow>>, Error> {
        loop {
            let begins_at = self.text.offset();
            let Some(Row { bytes, lines }) = self.rows.next(&mut self.text)? else {
                return Ok(None);
            };
            let line = self.text.line() + 1;
            self.text.advance(bytes, lines);
            if begins_at >= self.header_end {
                return Ok(Some(self.row(bytes, line)));
            }
        }
    }

    #[inline]
    fn row(&self, bytes: usize, line: u64) -> Result<T, BadRow> {
        let record = &self.rows.record;
        if record.len() != self.width {
            let message = format!("there are {} fields and not {}", record.len(), self.width);
            return Err(self.bad(bytes, line, message));
        }
        record.deserialize(self.header.as_ref()).map_err(|error| {
            let message = match error.kind() {
                csv::ErrorKind::Deserialize { err, .. } => match err.field() {
                    Some(n) => format!("field {} {}", self.field(n), err.kind()),
                    None => err.kind().to_string(),
                },
                _ => error.to_string(),
            };
            self.bad(bytes, line, message)
        })
    }

    /// The number of a field, and its name where it has one.
    fn field(&self, n: u64) -> String {
        let index = usize::try_from(n).unwrap_or(usize::MAX);
        match self.header.as_ref().and_then(|header| header.get(index)) {
            Some(name) => format!("{} (`{}`):", n + 1, String::from_utf8_lossy(name)),
            None => format!("{}:", n + 1),
        }
    }

    #[cold]
    fn bad(&self, bytes: usize, line: u64, message: String) -> BadRow {
        // Blank lines before a row are consumed with it.
        let row = self.text.consumed(bytes);
        let blank = row.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let lines = memchr::memchr_iter(b'\n', &row[..blank]).count() as u64;
        BadRow::new(self.text.path(), line + lines, message, &row[blank..])
    }
}

impl<T: DeserializeOwned + 'static, P: OnBadRow> Reader for CsvReader<T, P> {
    type Item = P::Item<T>;
    type Position = FilePosition;

    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(P::Item<T>),
    ) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            match self.next()? {
                Some(row) => P::item(row)?.into_iter().for_each(&mut *emit),
                None => return Ok(Poll::End),
            }
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> FilePosition {
        self.text.position()
    }
}

/// The size of a row with the blank lines before it.
#[derive(Clone, Copy)]
struct Row {
    bytes: usize,
    lines: u64,
}

/// Splits text into rows and fields.
struct Rows {
    delimiter: u8,
    parser: csv_core::Reader,
    /// The fields of the row that was split last, one behind the other, and where each of them ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    record: ByteRecord,
}

impl Rows {
    fn new(delimiter: u8) -> Self {
        let mut rows = Rows {
            delimiter,
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            fields: vec![0; 1024],
            ends: vec![0; 64],
            record: ByteRecord::new(),
        };
        // A parser drops a byte order mark at what it takes for the beginning of a file. That has been done already,
        // and its beginning may be in the middle of the file; so it is given a blank line first.
        rows.parser.read_record(b"\n", &mut rows.fields, &mut rows.ends);
        rows
    }

    /// Splits the next row. It is not consumed; but blank lines at the end are, for which it answers `None`.
    #[inline]
    fn next(&mut self, text: &mut Text) -> Result<Option<Row>, Error> {
        match self.next_plain(text.unread()) {
            Some(row) if row.bytes <= text.record_max() => Ok(Some(row)),
            _ => self.next_any(text),
        }
    }

    /// Splits the next row if it is there as a whole, without quotes and without blank lines before it: most are.
    fn next_plain(&mut self, unread: &[u8]) -> Option<Row> {
        let end = memchr::memchr3(b'\n', b'\r', b'"', unread).filter(|end| *end > 0)?;
        let bytes = match unread[end..] {
            [b'\n', ..] => end + 1,
            [b'\r', b'\n', ..] => end + 2,
            _ => return None,
        };
        self.record.clear();
        let mut from = 0;
        for to in memchr::memchr_iter(self.delimiter, &unread[..end]) {
            self.record.push_field(&unread[from..to]);
            from = to + 1;
        }
        self.record.push_field(&unread[from..end]);
        Some(Row { bytes, lines: 1 })
    }

    /// Splits any row.
    fn next_any(&mut self, text: &mut Text) -> Result<Option<Row>, Error> {
        let (mut bytes, mut written, mut count) = (0, 0, 0);
        loop {
            if bytes > text.record_max() {
                return Err(text.too_long("row", "max_row_bytes"));
            }
            // Only at the end the parser is given nothing, which tells it.
            while bytes == text.unread().len() && text.fill()? {}
            let (result, read, wrote, ended) = self.parser.read_record(
                &text.unread()[bytes..],
                &mut self.fields[written..],
                &mut self.ends[count..],
            );
            bytes += read;
            written += wrote;
            count += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.fields.resize(2 * self.fields.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => {
                    self.record.clear();
                    text.skip_blank(bytes);
                    return Ok(None);
                }
            }
        }
        if bytes > text.record_max() {
            return Err(text.too_long("row", "max_row_bytes"));
        }
        // The parser ends a row at `\r`, but the `\n` that may follow belongs to it.
        if bytes > 0 && text.unread()[bytes - 1] == b'\r' {
            if bytes == text.unread().len() {
                text.fill()?;
            }
            bytes += usize::from(text.unread().get(bytes) == Some(&b'\n'));
        }
        self.record.clear();
        let mut from = 0;
        for &to in &self.ends[..count] {
            self.record.push_field(&self.fields[from..to]);
            from = to;
        }
        let row = &text.unread()[..bytes];
        let ends = memchr::memchr_iter(b'\n', row).count() as u64;
        let lines = ends + u64::from(row.last() != Some(&b'\n'));
        Ok(Some(Row { bytes, lines }))
    }
}

#[cfg(test)]
mod tests;
