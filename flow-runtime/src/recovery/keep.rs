//! What is kept of a log's past: the commits that a start may go back to, and the files that they need.
//!
//! Commits are counted. A file that a commit gives up is needed by those before it; once none of these is kept any more, and no pin names
//! the file, it is removed. Whatever is not removed in time is removed by a later commit or start.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::io::file::Files;
use crate::recovery::fence::Fence;
use crate::recovery::history::Past;
use crate::recovery::manifest::{Commit, Manifest};
use crate::recovery::names::{BaseName, CommitName, Copy2, Layout, SegmentName};
use crate::recovery::pin;
use crate::time::Timestamp;

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    /// The last commits, at least so many: 1 or more.
    pub(crate) epochs: u64,
    /// Those that are younger than this, too.
    pub(crate) younger: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { epochs: 1, younger: Duration::ZERO }
    }
}

/// A file that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gone {
    Base(BaseName),
    Segment(SegmentName),
    /// Both copies.
    Commits {
        generation: u64,
        number: u64,
    },
}

/// Knows which commits are kept, and removes what none of them needs.
pub(crate) struct Keeper {
    keep: Keep,
    generation: u64,
    /// The kept commits: their number, barrier and time.
    kept: VecDeque<Kept>,
    /// What goes, and the number of the commit that has given it up.
    gone: VecDeque<(u64, Gone)>,
    /// The newest commit file.
    file: u64,
    /// Nothing is removed before this run has committed something: it has gone back, and somebody may change their mind.
    waits: bool,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    commit: u64,
    barrier: u64,
    at: Timestamp,
}

impl Keeper {
    /// For a run that has adopted `manifest`. `past` are the earlier commits that it may still keep, the oldest first; `there` are the
    /// files of the log.
    pub(crate) fn new(
        keep: Keep,
        generation: u64,
        manifest: &Manifest,
        past: &[Past],
        there: &[Gone],
        went_back: bool,
    ) -> Keeper {
        let mut keeper = Keeper {
            keep,
            generation,
            kept: VecDeque::new(),
            gone: VecDeque::new(),
            file: 0,
            waits: went_back,
        };
        for past in past {
            let (commit, last) = (keeper.next(), past.committed);
            keeper.kept.push_back(Kept { commit, barrier: last.barrier, at: last.at });
        }
        let adopted = keeper.next();
        let last = manifest.last;
        keeper.kept.push_back(Kept {
            commit: adopted,
            barrier: last.map_or(0, |last| last.barrier),
            at: last.map_or(Timestamp(0), |last| last.at),
        });
        let named = named(manifest);
        for file in there {
            let of_others = match file {
                Gone::Base(name) => name.generation < generation,
                Gone::Segment(name) => name.generation < generation,
                Gone::Commits { generation: other, .. } => *other < generation,
            };
            if of_others && !named.contains(file) {
                // Needed by the commits that name it, or lie in it.
                let needs = |past: &Past| past.needs(file);
                let last = past.iter().rposition(needs).map_or(0, |last| last as u64 + 1);
                keeper.gone.push_back((last, *file));
            }
        }
        keeper.gone.make_contiguous().sort_unstable();
        keeper
    }

    fn next(&self) -> u64 {
        self.kept.back().map_or(0, |newest| newest.commit + 1)
    }

    /// A commit is durable; it lies in the commit file of this number.
    pub(crate) fn committed(&mut self, commit: &Commit, file: u64) {
        let number = self.next();
        let kept = Kept { commit: number, barrier: commit.last.barrier, at: commit.last.at };
        // One that closes no epoch stands for the one before.
        if self.kept.back().is_some_and(|last| last.barrier == kept.barrier) && number > 0 {
            self.kept.pop_back();
        }
        self.kept.push_back(kept);
        let bases = commit.gone_bases.iter().map(|name| Gone::Base(*name));
        let parts = commit.gone_parts.iter().map(|name| Gone::Segment(*name));
        self.gone.extend(bases.chain(parts).map(|gone| (number, gone)));
        // The first file stays while the run lasts: it is the claim.
        for before in self.file.max(1)..file {
            let generation = self.generation;
            self.gone.push_back((number, Gone::Commits { generation, number: before }));
        }
        self.file = self.file.max(file);
        self.waits = false;
    }

    /// Removes what no kept commit and no pin names.
    pub(crate) fn tidy(
        &mut self,
        files: &dyn Files,
        layout: &Layout,
        fence: &Fence,
    ) -> Result<(), Error> {
        let newest = self.kept.back().map_or(Timestamp(0), |newest| newest.at);
        let is_young = |kept: &Kept| newest.since(kept.at) < self.keep.younger;
        while self.kept.len() as u64 > self.keep.epochs.max(1)
            && self.kept.front().is_some_and(|oldest| !is_young(oldest))
        {
            self.kept.pop_front();
        }
        let Some(oldest) = self.kept.front().map(|oldest| oldest.commit) else { return Ok(()) };
        if self.waits || self.gone.front().is_none_or(|(by, _)| *by > oldest) {
            return Ok(());
        }
        fence.check()?;
        // Only now: who pins a commit looks behind the pin whether everything is still there.
        let Some(pinned) = pinned(files, layout) else { return Ok(()) };
        let mut later = VecDeque::new();
        while let Some((by, gone)) = self.gone.pop_front() {
            if by > oldest {
                self.gone.push_front((by, gone));
                break;
            }
            if pinned.contains(&gone) || !remove(files, layout, gone) {
                later.push_back((by, gone));
            }
        }
        later.append(&mut self.gone);
        self.gone = later;
        Ok(())
    }
}

/// The files that a manifest names.
pub(crate) fn named(manifest: &Manifest) -> BTreeSet<Gone> {
    let bases = manifest.bases.iter().map(|base| Gone::Base(base.file));
    let parts = manifest.parts.iter().map(|part| Gone::Segment(part.file));
    let stored = manifest.stored.iter().map(|stored| Gone::Segment(stored.file));
    bases.chain(parts).chain(stored).collect()
}

/// The files that pins name; `None` if that cannot be found out.
fn pinned(files: &dyn Files, layout: &Layout) -> Option<BTreeSet<Gone>> {
    match pin::all(files, layout) {
        Ok(pins) => Some(pins.iter().flat_map(|pin| named(&pin.manifest)).collect()),
        Err(error) => {
            tracing::warn!(%error, "nothing is removed from the log: it is not known what is pinned");
            None
        }
    }
}

fn remove(files: &dyn Files, layout: &Layout, gone: Gone) -> bool {
    paths(layout, gone).iter().all(|path| match files.remove(path) {
        Ok(()) => {
            tracing::debug!(path = %path.display(), "removed what is not needed any more");
            true
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot remove what is not needed any more");
            false
        }
    })
}

/// Where a file lies.
pub(crate) fn paths(layout: &Layout, gone: Gone) -> Vec<PathBuf> {
    match gone {
        Gone::Base(name) => vec![layout.base(name)],
        Gone::Segment(name) => vec![layout.segment(name)],
        Gone::Commits { generation, number } => Copy2::BOTH
            .iter()
            .map(|copy| layout.commit(CommitName { generation, number, copy: *copy }))
            .collect(),
    }
}
