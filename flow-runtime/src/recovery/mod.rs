//! The recovery log: what makes a dataflow go on where it was.
//!
//! An append-only log in a folder, keyed by epoch. At every barrier the steps of all workers say what they changed; a thread of its
//! own appends that to a segment, makes it durable, and then appends a commit. A start goes on from the last commit. The format
//! is described byte by byte in `docs/log-format.md`, what is promised in `docs/recovery.md`.
//!
//! | file | what it owns |
//! |---|---|
//! | `names` | where files lie and what they are called |
//! | `frame` | headers and checksummed frames |
//! | `block` | what a frame of changes holds |
//! | `manifest` | what a log knows of itself |
//! | `changes` | what a worker gathers at a barrier |
//! | `part_changes` | of it, the entries of maps and lists of keys |
//! | `writer` | what a run commits, epoch by epoch |
//! | `segment` | appending changes |
//! | `commits` | writing the two copies of the commit log |
//! | `newest` | reading them: which commit is the newest |
//! | `history` | reading them: all commits that led to it |
//! | `cover` | which base serves which key group, and which changes count beside it |
//! | `compact` | writing bases: what a log holds without what has been superseded |
//! | `keep` | which commits are kept, and removing what none of them needs |
//! | `pin` | commits that are kept under a name |
//! | `offline` | reading a log, and working on it, without its dataflow |
//! | `fence` | whether the log is still ours |
//! | `folder` | the lock, and FORMAT |
//! | `check` | reading what a commit names |
//! | `start` | how a run takes over a log |
//! | `compare` | what may change between two runs |
//! | `recovered` | what is restored, and by whom |
//! | `older` | reading what was saved under older versions |
//! | `waiting` | keys whose states are put together when all of their entries are there |
//! | `progress` | how far a start is that takes long |
//! | `report`, `fault` | what is said |
//! | `planted` | steps that tests leave out, to see that they are missed |

pub(crate) mod block;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod commits;
pub(crate) mod compact;
pub(crate) mod compare;
pub(crate) mod cover;
pub(crate) mod fault;
pub(crate) mod fence;
pub(crate) mod folder;
pub(crate) mod frame;
pub(crate) mod history;
pub(crate) mod keep;
pub(crate) mod manifest;
pub(crate) mod names;
pub(crate) mod newest;
pub mod offline;
pub(crate) mod older;
pub(crate) mod part_changes;
pub(crate) mod pin;
pub(crate) mod planted;
mod progress;
pub(crate) mod recovered;
mod report;
pub(crate) mod segment;
pub(crate) mod start;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
pub(crate) mod waiting;
pub(crate) mod writer;

#[cfg(test)]
pub(crate) use names::SegmentName;
pub(crate) use progress::Reading;
pub use report::{RecoveryReport, StepRecovered};

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::recovery::compare::Allowed;
use crate::recovery::keep::Keep;
use crate::time::Epoch;

/// Where a dataflow's recovery log lies, and how it is to be used. A path is enough: `flow.recovery("state")`.
///
/// ```
/// use flow_runtime::RecoveryLog;
///
/// let log = RecoveryLog::at("state").key_groups(1024).rename_state("totals", "counts");
/// # let _ = log;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryLog {
    pub(crate) folder: PathBuf,
    pub(crate) groups: Option<u32>,
    pub(crate) allowed: Allowed,
    pub(crate) accepts_loss: bool,
    pub(crate) waits_for_room: bool,
    pub(crate) keep: Keep,
    pub(crate) resume_from: Option<ResumeFrom>,
    pub(crate) sink_ahead: bool,
    pub(crate) limits: Limits,
}

/// Which commit a start goes on from, where it is not the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ResumeFrom {
    /// The one behind which this epoch follows.
    Epoch(Epoch),
    /// The one that is pinned under this name.
    Pin(String),
}

/// How large the files of a log grow before others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The bytes of a segment.
    pub(crate) segment_bytes: u64,
    /// The records of a commit file.
    pub(crate) commit_records: u64,
    /// The bytes that are superseded from which on it is worth while to compact.
    pub(crate) garbage_bytes: u64,
    /// The bytes of entries that are compacted at a time at most, about.
    pub(crate) range_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            segment_bytes: 64 << 20,
            commit_records: 4096,
            garbage_bytes: 1 << 20,
            range_bytes: 64 << 20,
        }
    }
}

impl RecoveryLog {
    /// The log in this folder, which is made if it is not there. It belongs to one dataflow, and to one process at a time.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        RecoveryLog {
            folder: folder.into(),
            groups: None,
            allowed: Allowed::default(),
            accepts_loss: false,
            waits_for_room: true,
            keep: Keep::default(),
            resume_from: None,
            sink_ahead: false,
            limits: Limits::default(),
        }
    }

    /// How many key groups a new log has: a power of two up to 32,768; 256 unless it is set. No more workers than groups can share
    /// a log. Of a log that exists the number cannot be changed.
    pub fn key_groups(mut self, groups: u32) -> Self {
        self.groups = Some(groups);
        self
    }

    /// Lets the step `new` go on with what was saved of the step `old`. Once that has been done it means nothing any more.
    pub fn rename_state(mut self, old: impl Into<String>, new: impl Into<String>) -> Self {
        self.allowed.renames.push((old.into(), new.into()));
        self
    }

    /// Drops what was saved of a step that is gone or keeps something else now. What fits is kept.
    pub fn drop_state(mut self, step: impl Into<String>) -> Self {
        self.allowed.drops.push((step.into(), None));
        self
    }

    /// Drops what was saved of a step, also where it fits, if the run begins at `epoch`. A later start, which begins at a later
    /// epoch, keeps what the step has saved since.
    pub fn drop_state_at(mut self, step: impl Into<String>, epoch: Epoch) -> Self {
        self.allowed.drops.push((step.into(), Some(epoch)));
        self
    }

    /// Accepts sources that cannot replay: what they had given in epochs that were not committed is lost in a crash.
    pub fn accept_loss(mut self) -> Self {
        self.accepts_loss = true;
        self
    }

    /// Keeps the last `count` commits, so that [`resume_from`](RecoveryLog::resume_from) can go back to them; 1 unless it is set. What only
    /// older ones need is removed while the dataflow runs.
    pub fn keep_epochs(mut self, count: u64) -> Self {
        self.keep.epochs = count.max(1);
        self
    }

    /// Keeps also the commits that are younger than this, measured by the time at which they were made.
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep.younger = time;
        self
    }

    /// Goes back: the run begins at `epoch`, with everything as it was then. The log must still keep the commit before it. What was
    /// committed later is given up, and removed once this run has committed something.
    ///
    /// A file that a sink writes is cut back to what it was. A sink whose target cannot be taken back, and is ahead, lets the start
    /// fail; [`allow_sink_ahead`](RecoveryLog::allow_sink_ahead) forces it.
    pub fn resume_from(mut self, epoch: Epoch) -> Self {
        self.resume_from = Some(ResumeFrom::Epoch(epoch));
        self
    }

    /// The same, to a commit that is pinned under this name.
    pub fn resume_from_pin(mut self, name: impl Into<String>) -> Self {
        self.resume_from = Some(ResumeFrom::Pin(name.into()));
        self
    }

    /// Lets a run that goes back begin although the target of a sink has epochs already that come again. What it has of them stays,
    /// and is not written a second time.
    pub fn allow_sink_ahead(mut self) -> Self {
        self.sink_ahead = true;
        self
    }

    /// Lets the run fail when the disk is full. Without this it waits until there is room again.
    pub fn fail_when_full(mut self) -> Self {
        self.waits_for_room = false;
        self
    }
}

impl From<PathBuf> for RecoveryLog {
    fn from(folder: PathBuf) -> Self {
        RecoveryLog::at(folder)
    }
}
impl From<&Path> for RecoveryLog {
    fn from(folder: &Path) -> Self {
        RecoveryLog::at(folder)
    }
}
impl From<&str> for RecoveryLog {
    fn from(folder: &str) -> Self {
        RecoveryLog::at(folder)
    }
}
impl From<String> for RecoveryLog {
    fn from(folder: String) -> Self {
        RecoveryLog::at(folder)
    }
}
