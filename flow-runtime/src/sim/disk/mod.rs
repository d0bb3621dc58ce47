//! A disk in memory that crashes, loses what was not synced, fills up and fails.
//!
//! | file | what it owns |
//! |---|---|
//! | `content` | what a file holds: in the cache, durably, and what lies between |
//! | `tree` | folders, their entries, and which of them are durable |
//! | `luck` | what survives a power cut |
//! | `state` | counting operations, crashing, faults |
//! | `files` | [`Files`](crate::io::file::Files), [`File`](crate::io::file::File) and locks on top of it |

mod content;
mod files;
mod luck;
mod state;
#[cfg(test)]
mod tests;
mod tree;

pub use state::Faults;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::Io;
use state::{State, Torn};
use tree::{Id, Tree};

/// A simulated disk, with the operating system's cache in front of it. Clones are the same disk.
///
/// What is written is in the cache at once and durable after a sync, as on a real machine:
///
/// * When the process is killed ([`after_kill`](SimDisk::after_kill)) the cache stays.
/// * When the power is cut ([`after_power_cut`](SimDisk::after_power_cut)) each sector of 512 bytes that was written since the last
///   sync of its file survives or does not, each apart from the others; so do changes of a file's length, and files and folders that were
///   made, renamed or removed since the last [`sync_folder`](crate::io::file::Files::sync_folder) of the folder that they are in. How likely it is to survive
///   is drawn for each cut: never, seldom, half, mostly, always.
/// * A write that the crash cuts off may be torn: the beginning of it, of any length, is in the cache.
///
/// Everything that changes something is an *operation*: a write, a new length, a sync, a file or a folder that is made, a file that is
/// emptied, removed or renamed. They are counted from 0, and [`crash_at`](SimDisk::crash_at) lets the machine crash in any of them. The
/// same seed and the same operations give the same disk.
///
/// Paths are relative to the root of the disk, whether they begin with `/` or not. All operations are safe from any thread.
///
/// ```
/// use std::path::Path;
/// use flow_runtime::io::file::Files;
/// use flow_runtime::sim::SimDisk;
///
/// # fn main() -> std::io::Result<()> {
/// let disk = SimDisk::new(7);
/// let mut file = disk.create(Path::new("a"), true)?; // operation 0
/// file.write_at(0, b"durable")?; // 1
/// file.sync()?; // 2
/// disk.sync_folder(Path::new(""))?; // 3
/// disk.crash_at(5);
/// file.write_at(7, b", perhaps")?; // 4
/// assert!(file.write_at(16, b", never").is_err()); // 5
/// assert!(disk.open(Path::new("a")).is_err()); // The machine is down.
///
/// let next = disk.after_power_cut();
/// assert!(next.get("a").is_some_and(|bytes| bytes.starts_with(b"durable")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk")
            .field("operations", &state.operations)
            .field("has_crashed", &state.crashed)
            .finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk. The seed decides what survives a power cut, how writes are torn, and what else is left to chance.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::with(seed, Tree::default())
    }

    fn with(seed: u64, tree: Tree) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(State::new(seed, tree))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under the lock leaves the disk half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outside world with the files of this disk.
    pub fn io(&self) -> Io {
        Io::new(Arc::new(self.clone()))
    }

    /// How many operations there have been.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets the machine crash in this operation: it and everything after it fails, reading too. The first operation is 0.
    pub fn crash_at(&self, operation: u64) {
        self.state().crash_at = operation;
    }

    /// Whether the machine has crashed.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// The disk that the next process finds when this one is killed, with all that was written. Operations are counted anew, locks are
    /// free, no fault is planned. This disk and the files that are open on it fail from now on.
    #[must_use = "the old disk is of no more use"]
    pub fn after_kill(&self) -> SimDisk {
        let mut state = self.state();
        state.crashed = true;
        let (seed, tree) = (state.random.next_u64(), state.tree.after_kill());
        SimDisk::with(seed, tree)
    }

    /// The disk that the next process finds when the power was cut: with what was synced, and with some of what was not. Otherwise as
    /// [`after_kill`](SimDisk::after_kill). Called again it draws again.
    #[must_use = "the old disk is of no more use"]
    pub fn after_power_cut(&self) -> SimDisk {
        let mut state = self.state();
        let State { tree, random, crashed, .. } = &mut *state;
        *crashed = true;
        let tree = tree.after_power_cut(random);
        SimDisk::with(random.next_u64(), tree)
    }

    /// A disk of its own in the same condition, so that a history can branch. Files that are open stay with this one, and so do locks
    /// and what is planned. Nothing is copied before it is written.
    #[must_use = "this disk is not changed"]
    pub fn fork(&self) -> SimDisk {
        let state = self.state();
        let mut forked = State::new(0, state.tree.clone());
        forked.random = state.random.clone();
        forked.operations = state.operations;
        SimDisk(Arc::new(Mutex::new(forked)))
    }

    /// Draws from this seed from now on.
    pub fn reseed(&self, seed: u64) {
        self.state().random = crate::io::Random::new(seed);
    }

    /// Keeps, from now on, what the disk is like at every operation, so that one run serves to crash at any of them:
    /// [`take_moments`](SimDisk::take_moments).
    pub fn record(&self) {
        self.state().moments.get_or_insert_default();
    }

    /// Takes out what was [recorded](SimDisk::record): the moments of all operations, in their order.
    pub fn take_moments(&self) -> Vec<Moment> {
        let mut state = self.state();
        state.moments.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Lets the disk be full once so many more bytes have been added to files; `None` is without a bound. What fits of a write is
    /// written. Bytes that are removed make room again.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// Lets writes that add bytes find the disk full, from this operation on and so many times. What is written of them is drawn.
    pub fn full_at(&self, operation: u64, attempts: u32) {
        self.state().full = Some((operation, attempts));
    }

    /// Lets the first sync of a file at this operation or later fail, once. As on Linux the pages are then clean though they were not
    /// written: they can be read while the machine is up, a later sync succeeds, and what becomes durable has a hole (or some of
    /// it, as after a power cut).
    pub fn fail_sync_at(&self, operation: u64) {
        self.state().failing_syncs.insert(operation);
    }

    /// Lets syncs of these files and folders do nothing and say that all is well: as if the program under test had forgotten them. A test
    /// that crashes everywhere has to fail then. The path of the disk's root is empty.
    pub fn lie_about(&self, these: impl Fn(&Path) -> bool + Send + Sync + 'static) {
        self.state().lies_about = Some(Arc::new(these));
    }

    /// Lets faults happen at random.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Flips a bit of a file, in the cache and durably. Which, is drawn. Answers the number of the byte, or `None` if there is no such file
    /// or it is empty.
    pub fn flip_bit(&self, path: impl AsRef<Path>) -> Option<u64> {
        let mut state = self.state();
        let id = state.tree.resolve(path.as_ref()).ok()?;
        let State { tree, random, .. } = &mut *state;
        tree.content_mut(id).ok()?.flip_bit(random)
    }

    /// Flips a bit of any file, drawn by its length. Answers the file and the number of the byte.
    pub fn flip_any_bit(&self) -> Option<(PathBuf, u64)> {
        let path = {
            let mut state = self.state();
            let State { tree, random, .. } = &mut *state;
            let mut files = tree.files();
            let mut at = random.below(files.iter().map(|(_, content)| content.len()).sum());
            files.retain(|(_, content)| content.len() > 0);
            let (path, _) = files.into_iter().find(|(_, content)| {
                let found = at < content.len();
                at = at.saturating_sub(content.len());
                found
            })?;
            path
        };
        let byte = self.flip_bit(&path)?;
        Some((path, byte))
    }

    /// Calls this at the beginning of every operation, with its number (and of what turns out to change nothing). It may let virtual time
    /// pass, as a slow disk does:
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use flow_runtime::Virtual;
    /// # use flow_runtime::sim::SimDisk;
    /// let disk = SimDisk::new(7);
    /// let schedule = Arc::new(Virtual::new(7).with_io(disk.io()));
    /// let clock = Arc::downgrade(&schedule); // The schedule has the disk: it would never be dropped.
    /// disk.on_operation(move |_| {
    ///     if let Some(clock) = clock.upgrade() {
    ///         clock.pass_time(Duration::from_millis(5));
    ///     }
    /// });
    /// // .. `flow.recovery("log").simulate_on(schedule)` ..
    /// ```
    pub fn on_operation(&self, call: impl Fn(u64) + Send + Sync + 'static) {
        self.state().on_operation = Some(Arc::new(call));
    }

    /// Writes a file and makes the folders above it, all of it durable. No operation is counted.
    ///
    /// # Panics
    /// When one of the folders above is a file, or the file is a folder.
    pub fn put(&self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        let path = path.as_ref();
        let put = self.state().tree.put(path, bytes.as_ref());
        put.unwrap_or_else(|error| {
            panic!("`{}` cannot be put on a simulated disk: {error}", path.display())
        });
    }

    /// What a file holds, as a process would read it, also when the machine has crashed. `None` if there is no such file.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        let id = state.tree.resolve(path.as_ref()).ok()?;
        state.tree.content(id).ok().map(|content| content.bytes().to_vec())
    }

    /// The paths of all files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().tree.files().into_iter().map(|(path, _)| path).collect()
    }
}

/// A disk as it was at the beginning of an operation, [recorded](SimDisk::record) in a run that went on.
#[derive(Clone)]
pub struct Moment {
    operation: u64,
    tree: Tree,
    torn: Option<Torn>,
    doing: Doing,
}

/// What an operation does to which file or folder, or to an entry of a folder.
#[derive(Clone)]
struct Doing {
    what: &'static str,
    to: Id,
    entry: Option<OsString>,
}

impl Moment {
    /// The number of the operation.
    pub fn operation(&self) -> u64 {
        self.operation
    }

    /// The disk as it was then, of a machine that is up. Operations are counted from 0.
    pub(super) fn disk(&self, seed: u64) -> SimDisk {
        SimDisk::with(seed, self.tree.clone())
    }

    /// Whether the operation adds something, for which a disk may have no room.
    pub(super) fn writes(&self) -> bool {
        self.torn.is_some()
    }

    /// Whether the operation makes a file durable.
    pub(super) fn syncs(&self) -> bool {
        self.doing.what == state::SYNCING && self.tree.content(self.doing.to).is_ok()
    }

    /// The disk of a machine that crashed in this operation: as if [`crash_at`](SimDisk::crash_at) had been set to it. The seed decides how a
    /// write is torn, and what survives the power cut that may follow.
    #[must_use = "the moment is not changed"]
    pub fn crashed(&self, seed: u64) -> SimDisk {
        let mut state = State::new(seed, self.tree.clone());
        state.operations = self.operation;
        if let Some(torn) = &self.torn {
            state.tear(torn);
        }
        state.crashed = true;
        SimDisk(Arc::new(Mutex::new(state)))
    }
}

/// What the operation is: ``writing `log/LOCK` ``.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Doing { what, to, entry } = &self.doing;
        match (self.tree.path_of(*to), entry) {
            (Some(path), Some(name)) => write!(f, "{what} `{}`", path.join(name).display()),
            (Some(path), None) if path.as_os_str().is_empty() => {
                write!(f, "{what} the root of the disk")
            }
            (Some(path), None) => write!(f, "{what} `{}`", path.display()),
            (None, _) => write!(f, "{what} a file that has been removed"),
        }
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moment").field("operation", &self.operation).finish_non_exhaustive()
    }
}
