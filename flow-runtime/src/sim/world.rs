//! What a simulated dataflow has around it: sources, sinks and files, made anew for every run of a history.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::disk::SimDisk;
use super::sink::{self, SimSink};
use super::source::SimSource;
use crate::bounds::Item;
use crate::io::delivery::AppendOnly;

/// Sources, sinks and files of one run of a simulated dataflow.
///
/// A crash ends the dataflow and all that it holds in memory, so a [`Sim`](super::Sim) makes it again, with another world on the same
/// disk. Everything by which the dataflow has to do with the outside must come from here: a sink that keeps its rows in memory that the
/// test holds would survive the crash, which no real one does.
#[derive(Debug)]
pub struct World {
    disk: SimDisk,
    made: RefCell<Made>,
}

#[derive(Debug, Default)]
struct Made {
    sources: BTreeSet<String>,
    items: u64,
    outputs: BTreeMap<String, Output>,
}

/// Where rows are found after the run.
#[derive(Clone)]
pub(super) struct Output {
    pub(super) path: PathBuf,
    pub(super) kind: OutputKind,
}

#[derive(Clone, Copy)]
pub(super) enum OutputKind {
    /// Rows of a sink of ours.
    Rows { show: fn(&[u8]) -> String, repeats: bool },
    /// Lines of a file, or of the files of a folder.
    Lines,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("path", &self.path).finish_non_exhaustive()
    }
}

fn show<T: DeserializeOwned + fmt::Debug>(row: &[u8]) -> String {
    match postcard::from_bytes::<T>(row) {
        Ok(row) => format!("{row:?}"),
        Err(error) => format!("{} bytes that cannot be decoded: {error}", row.len()),
    }
}

impl World {
    pub(super) fn new(disk: SimDisk) -> World {
        World { disk, made: RefCell::default() }
    }

    /// A source of these items, in one partition. It must be given the same items each time.
    ///
    /// # Panics
    /// When the world has a source of this name.
    pub fn source<T: Clone + Send + 'static>(
        &self,
        name: &str,
        items: impl IntoIterator<Item = T>,
    ) -> SimSource<T> {
        self.partitions(name, [items])
    }

    /// A source of several partitions, which may be read in any order, on different workers. It must be given the same each time.
    ///
    /// # Panics
    /// When the world has a source of this name.
    pub fn partitions<T: Clone + Send + 'static, I: IntoIterator<Item = T>>(
        &self,
        name: &str,
        partitions: impl IntoIterator<Item = I>,
    ) -> SimSource<T> {
        let partitions = partitions.into_iter();
        let zero = |items: I| items.into_iter().map(|item| (0, item)).collect();
        self.add_source(name, partitions.map(zero).collect())
    }

    /// A source that says which epoch an item belongs to, and so when the epochs of the dataflow end. Epochs must not decrease.
    ///
    /// # Panics
    /// When the world has a source of this name, and when epochs decrease.
    pub fn epochs<T: Clone + Send + 'static>(
        &self,
        name: &str,
        items: impl IntoIterator<Item = (u64, T)>,
    ) -> SimSource<T, true> {
        let items: Vec<_> = items.into_iter().collect();
        let in_order = items.is_sorted_by_key(|(epoch, _)| *epoch);
        assert!(in_order, "the epochs of the source `{name}` decrease: sort its items by epoch");
        self.add_source(name, vec![items])
    }

    fn add_source<T, const GIVES_EPOCHS: bool>(
        &self,
        name: &str,
        partitions: Vec<Vec<(u64, T)>>,
    ) -> SimSource<T, GIVES_EPOCHS> {
        let mut made = self.made.borrow_mut();
        let is_new = made.sources.insert(name.to_owned());
        assert!(is_new, "the world has two sources `{name}`: give each a name of its own");
        made.items += partitions.iter().map(|items| items.len() as u64).sum::<u64>();
        SimSource::new(name, partitions)
    }

    /// A sink that delivers exactly once, as files do: at a start it is cut back to what was committed. A keyed stream arrives as
    /// `(key, item)`.
    ///
    /// # Panics
    /// When the world has an output of this name.
    pub fn sink<T: Item + fmt::Debug>(&self, name: &str) -> SimSink<T> {
        SimSink::new(self.add_rows::<T>(name, false))
    }

    /// A sink that delivers at least once: what was written in an epoch that was not committed stays, and comes again. Of such a sink
    /// every row must be there, rows that there are may be repeated, and there may be no others.
    ///
    /// # Panics
    /// When the world has an output of this name.
    pub fn append_only_sink<T: Item + fmt::Debug>(&self, name: &str) -> SimSink<T, AppendOnly> {
        SimSink::new(self.add_rows::<T>(name, true))
    }

    fn add_rows<T: DeserializeOwned + fmt::Debug>(&self, name: &str, repeats: bool) -> PathBuf {
        let path = PathBuf::from(format!("sink-{name}"));
        self.add_output(name, path.clone(), OutputKind::Rows { show: show::<T>, repeats });
        path
    }

    fn add_output(&self, name: &str, path: PathBuf, kind: OutputKind) {
        let output = Output { path, kind };
        let before = self.made.borrow_mut().outputs.insert(name.to_owned(), output);
        assert!(before.is_none(), "the world has two sinks `{name}`: give each a name of its own");
    }

    /// A file that the dataflow reads, made before its first run: `Lines::of(world.file("text.txt", text))`. Answers its path.
    ///
    /// # Panics
    /// When a part of the path is a file.
    pub fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let (path, content) = (path.as_ref(), content.as_ref());
        self.made.borrow_mut().items +=
            content.iter().filter(|byte| **byte == b'\n').count() as u64;
        // Later runs find it as the earlier ones left it.
        if self.disk.get(path).is_none() {
            self.disk.put(path, content);
        }
        path.to_owned()
    }

    /// A file or folder that a file sink writes: `CsvFile::at(world.output("totals.csv"))`. Its lines are the rows that are compared and can be
    /// read. Answers its path.
    ///
    /// # Panics
    /// When the world has an output of this name.
    pub fn output(&self, path: &str) -> PathBuf {
        self.add_output(path, PathBuf::from(path), OutputKind::Lines);
        PathBuf::from(path)
    }

    /// The disk. What else a dataflow writes to it goes through [`SimDisk::io`].
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// How many items the sources have.
    pub(super) fn items(&self) -> u64 {
        self.made.borrow().items
    }

    pub(super) fn into_outputs(self) -> BTreeMap<String, Output> {
        self.made.into_inner().outputs
    }
}

impl Output {
    /// The rows that there are, encoded, in the order in which they were written.
    pub(super) fn rows(&self, disk: &SimDisk) -> Result<Vec<Vec<u8>>, String> {
        match self.kind {
            OutputKind::Rows { .. } => {
                let bytes = disk.get(&self.path).unwrap_or_default();
                let (rows, end) = sink::rows(&bytes);
                if end < bytes.len() {
                    return Err(format!("what was written is damaged at byte {end}"));
                }
                Ok(rows.into_iter().map(<[u8]>::to_vec).collect())
            }
            OutputKind::Lines => {
                let paths = disk.paths();
                let mut rows = Vec::new();
                for path in paths.iter().filter(|path| path.starts_with(&self.path)) {
                    let bytes = disk.get(path).unwrap_or_default();
                    for line in String::from_utf8_lossy(&bytes).lines() {
                        // So that a line can be decoded as the text that it is.
                        rows.push(postcard::to_allocvec(line).map_err(|error| error.to_string())?);
                    }
                }
                Ok(rows)
            }
        }
    }

    pub(super) fn show(&self, row: &[u8]) -> String {
        match self.kind {
            OutputKind::Rows { show, .. } => show(row),
            OutputKind::Lines => match postcard::from_bytes::<String>(row) {
                Ok(line) => line,
                Err(error) => error.to_string(),
            },
        }
    }

    pub(super) fn repeats(&self) -> bool {
        matches!(self.kind, OutputKind::Rows { repeats: true, .. })
    }
}
