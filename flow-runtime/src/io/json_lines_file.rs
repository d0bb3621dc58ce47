//! `JsonLinesFile`: writes JSON, one value a line.

use serde::Serialize;
use std::path::PathBuf;

use crate::error::Error;
use crate::io::output::{FileEnd, FileWriter, Target};
use crate::io::rows::{JsonRows, row_sink};
use crate::io::{Io, PartitionId, Resume, delivery};

/// A sink that writes each item as one line of JSON, into a file or the parts of a folder.
///
/// A keyed stream is written as `[key,item]`.
///
/// Each item is written exactly once also when the run is stopped and goes on: the file is cut back to what had been committed.
/// Without a recovery log a file that is there is emptied; at the first start on a log one that has something in it is refused.
///
/// ```
/// use flow_runtime::io::JsonLinesFile;
///
/// let one = JsonLinesFile::at("alerts.jsonl");
/// let many = JsonLinesFile::folder("alerts").parts(4);
/// # let _ = (one, many);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct JsonLinesFile {
    target: Target,
}

impl JsonLinesFile {
    /// One file. The folder that it is in must be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        JsonLinesFile { target: Target::File(path.into()) }
    }

    /// A folder of files `part-00000.jsonl`, `part-00001.jsonl`, .., that workers write side by side. It is made if need be; one
    /// with parts of a different output is refused.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        JsonLinesFile { target: Target::folder(path.into(), "jsonl") }
    }

    /// The number of files in a folder; 8 unless it is set. It is fixed for the life of a recovery log.
    pub fn parts(mut self, parts: usize) -> Self {
        self.target.set_parts(parts);
        self
    }

    fn list(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.target.partitions(io)
    }

    fn rows(&self) -> JsonRows {
        JsonRows
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

row_sink!(JsonLinesFile, JsonRows, Serialize, FileWriter, delivery::Rewindable);
