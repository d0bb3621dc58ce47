//! `TextFile`: writes lines of text.

use std::fmt::Display;
use std::path::PathBuf;

use crate::error::Error;
use crate::io::output::{FileEnd, FileWriter, Target};
use crate::io::rows::{TextRows, row_sink};
use crate::io::{Io, PartitionId, Resume, delivery};

/// A sink that writes each item as a line of text, as it displays itself, into a file or the parts of a folder.
///
/// A keyed stream is written as the key, a tabulator and the item. Line ends and tabulators in an item are written as they are.
///
/// Each item is written exactly once also when the run is stopped and goes on: the file is cut back to what had been committed.
/// Without a recovery log a file that is there is emptied; at the first start on a log one that has something in it is refused.
///
/// ```
/// use flow_runtime::io::TextFile;
///
/// let one = TextFile::at("words.txt");
/// let many = TextFile::folder("words").parts(4);
/// # let _ = (one, many);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct TextFile {
    target: Target,
}

impl TextFile {
    /// One file. The folder that it is in must be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        TextFile { target: Target::File(path.into()) }
    }

    /// A folder of files `part-00000.txt`, `part-00001.txt`, .., that workers write side by side. It is made if need be; one
    /// with parts of a different output is refused.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        TextFile { target: Target::folder(path.into(), "txt") }
    }

    /// The number of files in a folder; 8 unless it is set. It is fixed for the life of a recovery log.
    pub fn parts(mut self, parts: usize) -> Self {
        self.target.set_parts(parts);
        self
    }

    fn list(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.target.partitions(io)
    }

    fn rows(&self) -> TextRows {
        TextRows
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

row_sink!(TextFile, TextRows, Display, FileWriter, delivery::Rewindable);
