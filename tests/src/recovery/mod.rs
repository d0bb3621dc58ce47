//! Runs that are interrupted and go on with a recovery log.
//!
//! * [`Script`]: a source of given items in given epochs, which can wait for each commit, and can fail.
//! * [`Fuse`]: lets a run fail in a step, at a chosen item.
//! * [`Out`] and [`History`]: what a run let out, with epochs, and what of it counts once later runs have gone on.
//! * [`tally`](fn@tally): a dataflow that keeps, changes and forgets state by key, with its model.

mod numbers;
mod script;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_runtime::plan::FlowPlan;
use flow_runtime::time::Epoch;
use flow_runtime::{Dataflow, Error, RecoveryReport, Summary, Virtual};
use tempfile::TempDir;

pub use numbers::{Act, Do, Run, Tallied, expected, tally, without_epochs};
pub use script::{Script, ScriptPosition};

/// What every interruption says.
pub const INTERRUPTED: &str = "interrupted on purpose";

/// A folder with a log and with what else a test needs. It is gone with the test.
#[derive(Debug)]
pub struct Place(TempDir);

impl Default for Place {
    fn default() -> Self {
        Place::new()
    }
}

impl Place {
    /// An empty one.
    ///
    /// # Panics
    /// When the machine has no room for it.
    pub fn new() -> Self {
        Place(tempfile::tempdir().expect("a folder can be made"))
    }

    /// Where the log is.
    pub fn log(&self) -> PathBuf {
        self.path("log")
    }

    /// A path beside the log.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    /// A file's text.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file can be read")
    }

    /// All files of the log, by their paths, sorted.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn files_of_log(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.log()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder can be read") {
                let path = entry.expect("a folder can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).expect("a file can be read");
                    found.push((path, bytes));
                }
            }
        }
        found.sort();
        found
    }
}

/// Where a run runs.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// On real threads.
    Threads,
    /// On a schedule that this seed decides.
    Virtual(u64),
}

impl On {
    /// Runs a dataflow to its end.
    ///
    /// # Errors
    /// When it fails.
    pub fn run<P: FlowPlan>(self, flow: Dataflow<P>) -> Result<(), Error> {
        match self {
            On::Threads => flow.spawn()?.wait().map(drop),
            On::Virtual(seed) => flow.simulate(Virtual::new(seed)),
        }
    }
}

/// Runs on threads to the end, and says what the start found in the log.
///
/// # Panics
/// When the run fails.
pub fn run_reported<P: FlowPlan>(flow: Dataflow<P>) -> (RecoveryReport, Summary) {
    let running = flow.spawn().expect("it starts");
    let report = loop {
        match running.recovered() {
            Some(report) => break report,
            None if running.is_over() => {
                break running.recovered().expect("it has loaded its state");
            }
            None => std::thread::yield_now(),
        }
    };
    (report, running.wait().expect("it succeeds"))
}

/// The error of a run that is to be refused, as text.
///
/// # Panics
/// When it is not, and when a part of what it should say is missing.
pub fn refused<P: FlowPlan>(flow: Dataflow<P>, says: &[&str]) -> Error {
    let error = On::Threads.run(flow).expect_err("it is refused");
    let text = error.to_string();
    for part in says {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
    error
}

/// Lets a run fail, once so many items have passed on all workers together.
#[derive(Clone, Debug)]
pub struct Fuse {
    /// In front of the state.
    before: Arc<AtomicI64>,
    /// Behind it.
    behind: Arc<AtomicI64>,
}

impl Fuse {
    fn new(before: i64, behind: i64) -> Fuse {
        Fuse { before: Arc::new(AtomicI64::new(before)), behind: Arc::new(AtomicI64::new(behind)) }
    }

    /// Never.
    pub fn none() -> Fuse {
        Fuse::new(-1, -1)
    }

    /// The item behind the first `items` does not come to the state.
    pub fn before(items: usize) -> Fuse {
        Fuse::new(items as i64, -1)
    }

    /// The item behind the first `items` changes the state and is let out first.
    pub fn behind(items: usize) -> Fuse {
        Fuse::new(-1, items as i64)
    }

    /// An item passes in front of the state.
    ///
    /// # Panics
    /// When it is the one.
    pub fn pass(&self) {
        assert!(self.before.fetch_sub(1, Ordering::Relaxed) != 0, "{INTERRUPTED}");
    }

    /// An item passes behind the state.
    ///
    /// # Panics
    /// When it is the one.
    pub fn pass_behind(&self) {
        assert!(self.behind.fetch_sub(1, Ordering::Relaxed) != 0, "{INTERRUPTED}");
    }
}

/// What a run lets out, with the epochs. Clones share it.
#[derive(Debug)]
pub struct Out<T>(Arc<Mutex<Vec<(u64, T)>>>);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        Out(Arc::clone(&self.0))
    }
}

impl<T> Default for Out<T> {
    fn default() -> Self {
        Out(Arc::default())
    }
}

impl<T> Out<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<(u64, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an item.
    pub fn note(&self, epoch: Epoch, item: T) {
        self.lock().push((epoch.0, item));
    }

    /// Takes out what was noted.
    pub fn take(&self) -> Vec<(u64, T)> {
        std::mem::take(&mut *self.lock())
    }
}

/// What several runs on one log let out, as it counts: what a run let out in an epoch that was not committed, the next one lets out
/// again.
#[derive(Clone, Debug)]
pub struct History<T>(Vec<(u64, T)>);

impl<T> Default for History<T> {
    fn default() -> Self {
        History(Vec::new())
    }
}

impl<T: Clone> History<T> {
    /// Adds a run, which began at this epoch.
    ///
    /// # Panics
    /// When it let out something of an epoch that was committed.
    pub fn add(&mut self, resumed: u64, noted: Vec<(u64, T)>) {
        self.0.retain(|(epoch, _)| *epoch < resumed);
        assert!(noted.iter().all(|(epoch, _)| *epoch >= resumed), "a committed epoch came again");
        self.0.extend(noted);
    }

    /// All of it, in the order in which it came out.
    pub fn all(&self) -> Vec<(u64, T)> {
        self.0.clone()
    }
}
