//! `CsvFile`: writes CSV.

use serde::Serialize;
use std::path::PathBuf;

use crate::error::Error;
use crate::io::output::{FileEnd, FileWriter, Target};
use crate::io::rows::{CsvRows, row_sink};
use crate::io::{Io, PartitionId, Resume, delivery};

/// A sink that writes one CSV row for each item, into a file or the parts of a folder.
///
/// The fields of structs and tuples, also nested ones, become the fields of the row; a keyed stream arrives as the fields of the
/// key followed by those of the item: `("word", 3)` is written as `word,3`. All rows have the same number of fields.
///
/// Each item is written exactly once also when the run is stopped and goes on: the file is cut back to what had been committed.
/// Without a recovery log a file that is there is emptied; at the first start on a log one that has something in it is refused.
///
/// ```
/// use flow_runtime::io::CsvFile;
///
/// let one = CsvFile::at("counts.csv").header(true);
/// let many = CsvFile::folder("counts").parts(4).delimiter(b';');
/// # let _ = (one, many);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct CsvFile {
    target: Target,
    header: bool,
    delimiter: u8,
}

impl CsvFile {
    /// One file. The folder that it is in must be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        CsvFile { target: Target::File(path.into()), header: false, delimiter: b',' }
    }

    /// A folder of files `part-00000.csv`, `part-00001.csv`, .., that workers write side by side. It is made if need be; one
    /// with parts of a different output is refused.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        CsvFile { target: Target::folder(path.into(), "csv"), header: false, delimiter: b',' }
    }

    /// The number of files in a folder; 8 unless it is set. It is fixed for the life of a recovery log.
    pub fn parts(mut self, parts: usize) -> Self {
        self.target.set_parts(parts);
        self
    }

    /// Whether each file begins with the names of the columns; not unless it is set. Fields without a name are called `key` or
    /// `value`, with a number where there are several. A file without rows has no header.
    pub fn header(mut self, header: bool) -> Self {
        self.header = header;
        self
    }

    /// What stands between fields; a comma unless it is set.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    fn list(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.target.partitions(io)
    }

    fn rows(&self) -> CsvRows {
        CsvRows::new(self.delimiter, self.header)
    }

    fn open_partition(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FileEnd>,
    ) -> Result<FileWriter, Error> {
        self.target.open(io, partition, resume)
    }
}

row_sink!(CsvFile, CsvRows, Serialize, FileWriter, delivery::Rewindable);
