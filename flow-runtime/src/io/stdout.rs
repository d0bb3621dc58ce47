//! `Stdout`: writes to standard output.

use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write};

use crate::error::{Error, ErrorKind};
use crate::io::rows::{CsvRows, JsonRows, TextRows, row_sink};
use crate::io::{Io, PartitionId, Resume, Rows, SinkWriter, delivery};
use crate::time::Barrier;

/// Sinks that write to standard output, one line for each item.
///
/// What was printed cannot be taken back, so after a crash items of the epoch that was not committed are printed again. When the
/// reader goes away (`.. | head`), the run ends with [`ErrorKind::OutputClosed`].
///
/// ```
/// use flow_runtime::io::Stdout;
///
/// let text = Stdout::lines(); // as items display themselves; keyed: key, tabulator, item
/// let json = Stdout::json(); // keyed: [key,item]
/// let csv = Stdout::csv(); // keyed: key,item
/// # let _ = (text, json, csv);
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Stdout {}

impl Stdout {
    /// Writes items as they display themselves. A keyed stream is written as the key, a tabulator and the item.
    pub fn lines() -> StdoutLines {
        StdoutLines
    }

    /// Writes items as JSON. A keyed stream is written as `[key,item]`.
    pub fn json() -> StdoutJson {
        StdoutJson
    }

    /// Writes items as CSV, without a header. A keyed stream is written as the fields of the key followed by those of the item.
    pub fn csv() -> StdoutCsv {
        StdoutCsv
    }
}

macro_rules! stdout {
    ($sink:ident, $doc:literal, $rows:ty, $bound:path, $new:expr) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug)]
        #[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
        pub struct $sink;

        impl $sink {
            fn list(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
                Ok(vec![PartitionId::new("stdout")])
            }
            fn rows(&self) -> $rows {
                $new
            }
            fn open_partition(
                &self,
                _: &Io,
                _: &PartitionId,
                _: Resume<u64>,
            ) -> Result<StdoutWriter, Error> {
                Ok(StdoutWriter { lines: Lines { to: io::stdout(), bytes: 0 } })
            }
        }

        row_sink!($sink, $rows, $bound, StdoutWriter, delivery::AppendOnly);
    };
}

stdout!(StdoutLines, "The sink that [`Stdout::lines`] makes.", TextRows, Display, TextRows);
stdout!(StdoutJson, "The sink that [`Stdout::json`] makes.", JsonRows, Serialize, JsonRows);
stdout!(
    StdoutCsv,
    "The sink that [`Stdout::csv`] makes.",
    CsvRows,
    Serialize,
    CsvRows::new(b',', false)
);

/// Writes to standard output.
#[derive(Debug)]
pub struct StdoutWriter {
    lines: Lines<io::Stdout>,
}

impl SinkWriter for StdoutWriter {
    type Block = Rows;
    /// The number of bytes that this run has written.
    type Position = u64;

    fn write(&mut self, rows: Rows) -> Result<(), Error> {
        self.lines.write(&rows)
    }

    fn seal(&mut self, _: Barrier) -> Result<u64, Error> {
        Ok(self.lines.bytes)
    }
}

#[derive(Debug)]
struct Lines<W> {
    to: W,
    bytes: u64,
}

impl<W: Write> Lines<W> {
    /// A block is a batch already: it is written as a whole, and shown at once.
    fn write(&mut self, rows: &Rows) -> Result<(), Error> {
        let bytes = rows.behind(self.bytes);
        self.to.write_all(bytes).and_then(|()| self.to.flush()).map_err(|error| {
            match error.kind() {
                io::ErrorKind::BrokenPipe => Error::new(
                    ErrorKind::OutputClosed,
                    "standard output was closed by the program that reads it",
                ),
                _ => {
                    Error::new(ErrorKind::Sink, format!("cannot write to standard output: {error}"))
                }
            }
            .caused_by(error)
        })?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Encoder, Sink};
    use crate::stream::{NoKey, Stream};

    /// Takes this many bytes, then fails.
    struct Pipe {
        seen: Vec<u8>,
        room: usize,
        then: io::ErrorKind,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.seen.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(self.then.into()) } else { Ok(taken) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn print(room: usize, then: io::ErrorKind) -> (String, Option<Error>) {
        let mut lines = Lines { to: Pipe { seen: Vec::new(), room, then }, bytes: 0 };
        let mut encoder = Sink::<Stream<(&str, i32)>>::encoder(&Stdout::csv());
        let mut failure = None;
        for n in 0..3 {
            let mut block = Rows::default();
            Encoder::<Stream<_>>::encode(&mut encoder, &NoKey, ("n", n), &mut block)
                .expect("encodes");
            failure = failure.or(lines.write(&block).err());
        }
        (String::from_utf8(lines.to.seen).expect("is text"), failure)
    }

    #[test]
    fn prints_block_after_block() {
        let (seen, failure) = print(1000, io::ErrorKind::BrokenPipe);
        assert_eq!(seen, "n,0\nn,1\nn,2\n");
        assert!(failure.is_none());
    }

    #[test]
    fn a_reader_that_goes_away_ends_the_run_quietly() {
        let (seen, failure) = print(6, io::ErrorKind::BrokenPipe);
        assert_eq!(seen, "n,0\nn,");
        assert_eq!(failure.map(|failure| failure.kind()), Some(ErrorKind::OutputClosed));
    }

    #[test]
    fn any_other_failure_is_one() {
        let (_, failure) = print(6, io::ErrorKind::StorageFull);
        assert_eq!(failure.map(|failure| failure.kind()), Some(ErrorKind::Sink));
    }
}
