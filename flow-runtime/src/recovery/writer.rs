//! Writing a log: what a run commits, epoch by epoch.
//!
//! 1. [`LogWriter::write`]: the changes of epochs are appended to the segment, and synced.
//! 2. [`LogWriter::commit`]: a record is appended to both copies of the commit log, and both are synced. **That is the commit.** It also
//!    names the bases that have been made in the meantime, and says what is not needed any more.
//! 3. [`LogWriter::tidy`]: what no kept commit names is removed.
//!
//! Whoever calls waits where the disk is full, and tries again.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::io::PartitionId;
use crate::io::file::Files;
use crate::recovery::Limits;
use crate::recovery::block::{Block, Kind};
use crate::recovery::changes::{Changes, Payload};
use crate::recovery::check::Size;
use crate::recovery::commits::CommitLog;
use crate::recovery::compact::Ground;
use crate::recovery::cover::Cover;
use crate::recovery::fault::{failed, is_full};
use crate::recovery::fence::Fence;
use crate::recovery::keep::Keeper;
use crate::recovery::manifest::{Base, Commit, Committed, Manifest, Part, StoredAt};
use crate::recovery::names::{Layout, SegmentName};
use crate::recovery::planted::{self, Omitted};
use crate::recovery::segment::Segment;
use crate::time::{Barrier, Epoch, Timestamp};

/// An epoch that is being closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    pub(crate) barrier: Barrier,
    pub(crate) epoch: Epoch,
    pub(crate) next: Epoch,
    pub(crate) at: Timestamp,
    /// The input is ended for good.
    pub(crate) finishes: bool,
}

/// An epoch that all workers have handed over.
pub(crate) struct Whole {
    pub(crate) closing: Closing,
    pub(crate) changes: Changes,
}

impl Whole {
    /// Whether there is anything to be committed. That something was read is enough, though nothing be kept of it: a source waits for
    /// the commit to acknowledge it.
    pub(crate) fn counts(&self) -> bool {
        !self.changes.is_empty() || self.changes.read || self.closing.finishes
    }
}

/// What a writer begins with.
pub(crate) struct Begun {
    pub(crate) commits: CommitLog,
    pub(crate) keeper: Keeper,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) log_id: [u8; 16],
    pub(crate) generation: u64,
    pub(crate) fence: Fence,
    pub(crate) limits: Limits,
    /// What values take, by the number of the step.
    pub(crate) sizes: BTreeMap<u32, Size>,
}

/// Writes the log of one run.
pub(crate) struct LogWriter {
    with: Begun,
    segment: Option<Segment>,
    /// Of the next segment.
    number: u64,
    /// The segments that no commit names yet.
    unnamed: Vec<SegmentName>,
    /// What has been stored and not carried out.
    stored: VecDeque<StoredAt>,
    /// Bases that no commit names yet.
    bases: Vec<Base>,
    /// How many keys have a value, by the number of the step.
    keys: BTreeMap<u32, u64>,
    /// How many entries their maps and lists have.
    parts: BTreeMap<u32, u64>,
    /// The commits of the last call, until they are durable.
    unsettled: Vec<Commit>,
    compacts: bool,
    /// What everything took in the last round, and what was guessed when it began.
    measured: (u64, u64),
    /// The same of the round that is on its way.
    round: (u64, u64),
    written: Bytes,
}

/// What has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// Changes.
    pub(crate) changes: u64,
    /// By compaction.
    pub(crate) bases: u64,
}

/// What could not be written, and why.
pub(crate) struct Refused {
    path: PathBuf,
    error: io::Error,
}

impl Refused {
    /// Whether it may go well later.
    pub(crate) fn is_full(&self) -> bool {
        is_full(&self.error)
    }

    pub(crate) fn into_error(self) -> Error {
        failed("write", &self.path, self.error)
    }
}

impl LogWriter {
    pub(crate) fn new(with: Begun) -> LogWriter {
        LogWriter {
            with,
            segment: None,
            number: 0,
            unnamed: Vec::new(),
            // By now everything has been carried out.
            stored: VecDeque::new(),
            bases: Vec::new(),
            keys: BTreeMap::new(),
            parts: BTreeMap::new(),
            unsettled: Vec::new(),
            compacts: false,
            measured: (0, 0),
            round: (0, 0),
            written: Bytes::default(),
        }
    }

    /// For a log on which no dataflow runs: what sinks have stored is still to be carried out.
    pub(crate) fn without_dataflow(with: Begun) -> LogWriter {
        let stored = with.commits.manifest().stored.iter().cloned().collect();
        LogWriter { stored, ..LogWriter::new(with) }
    }

    pub(crate) fn fence(&self) -> &Fence {
        &self.with.fence
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        self.with.commits.manifest()
    }

    pub(crate) fn written(&self) -> Bytes {
        self.written
    }

    /// Writes the changes of epochs and makes them durable. Answers the commits to be made.
    ///
    /// # Errors
    /// When they could not be written. Nothing of them counts then, and all of them may be tried again.
    pub(crate) fn write(&mut self, whole: &[Whole]) -> Result<Vec<Commit>, Refused> {
        match self.try_write(whole) {
            Ok(written) => {
                self.unnamed.clear();
                Ok(self.commits_of(whole, written))
            }
            Err((path, error)) => {
                // What a segment holds after a failure is not known: everything goes into another one.
                self.segment = None;
                self.remove_unnamed(&path);
                if is_full(&error) {
                    // What no commit names only takes room.
                    for name in self.unnamed.drain(..) {
                        let _ = self.with.files.remove(&self.with.layout.segment(name));
                    }
                }
                Err(Refused { path, error })
            }
        }
    }

    fn commits_of(&mut self, whole: &[Whole], mut written: VecDeque<Written>) -> Vec<Commit> {
        let mut commits = Vec::new();
        for Whole { closing, changes } in whole.iter().filter(|whole| whole.counts()) {
            let Written { part, stored, bytes } = written.pop_front().unwrap_or_default();
            self.stored.extend(stored);
            self.written.changes += bytes;
            changes.payloads.iter().for_each(|payload| self.measure(payload));
            for (step, keys) in &changes.keys {
                self.keys.insert(*step, *keys);
            }
            for (step, entries) in &changes.parts {
                self.parts.insert(*step, *entries);
            }
            let Closing { barrier, epoch, next, at, finishes } = *closing;
            let generation = self.with.generation;
            let known = &self.manifest().watermarks;
            let moved = changes.watermarks.iter().map(|(step, time)| (*step, *time));
            let watermarks = moved.filter(|moved| !known.contains(moved)).collect();
            commits.push(Commit {
                finished: finishes,
                watermarks,
                parts: part.into_iter().collect(),
                stored: self.stored.iter().cloned().collect(),
                ..Commit::of(Committed { generation, barrier: barrier.0, epoch, next, at })
            });
        }
        commits
    }

    /// Learns from what is written how much room values take.
    fn measure(&mut self, payload: &Payload) {
        let Some(block) = Block::decode(&payload.bytes) else { return };
        // Without what a block says of all its entries: of a few it is more than they are, in a base it is next to nothing.
        let step = block.head.step;
        match block.head.kind {
            Kind::Value | Kind::MapEntry | Kind::ListElement => {
                self.with.sizes.entry(step).or_default().add(&block, payload.count);
            }
            Kind::Broadcast => {
                let bytes = block.sizes().map(|(_, bytes)| u64::from(bytes)).sum();
                self.with.sizes.insert(step, Size { entries: 1, bytes, ..Size::default() });
                self.keys.insert(step, 1);
            }
            _ => {}
        }
    }

    /// Removes a segment that could not be written, unless a commit names it. While a disk is full there is an attempt a second,
    /// and a segment for each.
    fn remove_unnamed(&self, path: &Path) {
        let layout = &self.with.layout;
        let parts = &self.manifest().parts;
        if !parts.iter().any(|part| layout.segment(part.file) == path) {
            // The next start removes it, too.
            let _ = self.with.files.remove(path);
        }
    }

    fn try_write(&mut self, whole: &[Whole]) -> Result<VecDeque<Written>, (PathBuf, io::Error)> {
        let mut all = VecDeque::new();
        for Whole { closing, changes } in whole.iter().filter(|whole| whole.counts()) {
            let mut written = Written::default();
            if changes.is_empty() {
                all.push_back(written);
                continue;
            }
            if self
                .segment
                .as_ref()
                .is_some_and(|open| open.end() >= self.with.limits.segment_bytes)
            {
                self.sync_segment()?;
                self.segment = None;
            }
            let segment = match &mut self.segment {
                Some(segment) => segment,
                none => {
                    let name = SegmentName {
                        generation: self.with.generation,
                        writer: 0,
                        number: self.number,
                    };
                    self.number += 1;
                    self.unnamed.push(name);
                    none.insert(new_segment(&self.with, name, closing)?)
                }
            };
            let (path, before) = (segment.path().to_owned(), segment.end());
            let fail = |error| (path.clone(), error);
            let mut stored = changes.stored.iter();
            for payload in &changes.payloads {
                let offset = segment.append(closing.barrier.0, payload).map_err(fail)?;
                if payload.stores {
                    written.stored.extend(stored.next().map(|stored| StoredAt {
                        step: stored.step,
                        partition: stored.partition.as_str().to_owned(),
                        epoch: closing.epoch,
                        file: segment.name(),
                        offset,
                    }));
                }
            }
            let frames = u32::try_from(changes.payloads.len()).unwrap_or(u32::MAX);
            segment.end_epoch(closing.barrier.0, frames).map_err(fail)?;
            written.bytes = segment.end() - before;
            written.part = Some(segment.part());
            all.push_back(written);
        }
        self.sync_segment()?;
        Ok(all)
    }

    fn sync_segment(&mut self) -> Result<(), (PathBuf, io::Error)> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let path = segment.path().to_owned();
        segment.sync(&*self.with.files, &self.with.layout).map_err(|error| (path, error))
    }

    /// Makes commits durable, and with them what has been compacted.
    ///
    /// # Errors
    /// When they could not be written. They may count all the same; [`commit_again`](LogWriter::commit_again), or the next start, says.
    pub(crate) fn commit(&mut self, mut commits: Vec<Commit>) -> Result<(), Refused> {
        if let Some(last) = commits.last_mut() {
            self.name_bases(last);
        }
        self.unsettled.clone_from(&commits);
        if planted::is_omitted(Omitted::CommitBeforeRemoval) {
            self.settle();
            let _ = self.tidy();
        }
        self.with.commits.append(commits).map_err(|failure| {
            let (path, error) = failure.into_parts();
            Refused { path, error }
        })?;
        self.settle();
        Ok(())
    }

    /// Tries once more to make durable what an earlier call could not.
    ///
    /// # Errors
    /// As [`commit`](LogWriter::commit).
    pub(crate) fn commit_again(&mut self) -> Result<(), Refused> {
        self.with.commits.append(Vec::new()).map_err(|failure| {
            let (path, error) = failure.into_parts();
            Refused { path, error }
        })?;
        self.settle();
        Ok(())
    }

    /// Lets a commit name the bases that have been made, and say what they stand for.
    fn name_bases(&mut self, commit: &mut Commit) {
        if self.bases.is_empty() {
            return;
        }
        let manifest = self.with.commits.manifest();
        commit.bases = std::mem::take(&mut self.bases);
        let all: Vec<Base> = manifest.bases.iter().chain(&commit.bases).cloned().collect();
        let cover = Cover::of(&all, manifest.format.groups);
        let idle = (0..).zip(&all).filter(|(number, _)| !cover.serves(*number));
        commit.gone_bases = idle.map(|(_, base)| base.file).collect();
        let complete = cover.complete();
        let is_open =
            |part: &Part| self.segment.as_ref().is_some_and(|open| open.name() == part.file);
        let is_stored = |part: &Part| self.stored.iter().any(|at| at.file == part.file);
        let gone = manifest.parts.iter().filter(|part| {
            complete.is_some_and(|barrier| part.last <= barrier)
                && !is_open(part)
                && !is_stored(part)
        });
        commit.gone_parts = gone.map(|part| part.file).collect();
    }

    /// What was appended is durable.
    fn settle(&mut self) {
        let file = self.with.commits.number();
        for commit in std::mem::take(&mut self.unsettled) {
            self.with.keeper.committed(&commit, file);
        }
    }

    /// Removes what no kept commit names. Whatever goes wrong is tried again behind a later commit, or at the next start.
    ///
    /// # Errors
    /// When a later run has taken over the log.
    pub(crate) fn tidy(&mut self) -> Result<(), Error> {
        let Begun { keeper, files, layout, fence, .. } = &mut self.with;
        keeper.tidy(&**files, layout, fence)
    }

    /// What a partition stored with an epoch has been carried out.
    pub(crate) fn carried_out(&mut self, step: u32, partition: &PartitionId, epoch: Epoch) {
        let done = |at: &StoredAt| {
            at.step == step && at.partition == partition.as_str() && at.epoch == epoch
        };
        self.stored.retain(|at| !done(at));
    }

    /// Begins a round of compaction, if half of the log has been superseded, and no round is on its way. What has been committed is
    /// what it takes.
    pub(crate) fn compaction(&mut self) -> Option<(Ground, Manifest)> {
        if self.compacts || !self.is_worth_it() {
            return None;
        }
        Some(self.begin_round())
    }

    /// The same, whether it is worth it or not.
    pub(crate) fn begin_round(&mut self) -> (Ground, Manifest) {
        self.compacts = true;
        self.round = (0, self.guessed_bytes());
        // What follows goes into other files, so that those that are there can go when the round is over.
        self.segment = None;
        let Begun { files, layout, log_id, generation, limits, fence, .. } = &self.with;
        let ground = Ground {
            fence: fence.clone(),
            files: Arc::clone(files),
            layout: layout.clone(),
            log_id: *log_id,
            generation: *generation,
            range_bytes: limits.range_bytes,
        };
        (ground, self.manifest().clone())
    }

    /// Whether at least half of the log is superseded, and enough of it to be worth a round.
    fn is_worth_it(&self) -> bool {
        let manifest = self.manifest();
        let bases: u64 = manifest.bases.iter().map(|base| base.end).sum();
        let complete = Cover::of(&manifest.bases, manifest.format.groups).complete();
        let newer = manifest.parts.iter().filter(|part| Some(part.last) > complete);
        let changes: u64 = newer.map(|part| part.end - part.start.min(part.end)).sum();
        let live = self.live_bytes();
        let garbage = (bases + changes).saturating_sub(live);
        changes > 0 && garbage >= live.max(self.with.limits.garbage_bytes)
    }

    /// About what a base of everything would take.
    fn live_bytes(&self) -> u64 {
        let (was, guessed) = self.measured;
        scaled(self.guessed_bytes(), was.max(guessed), guessed)
    }

    /// The same, from the keys that there are and what their values have taken so far.
    fn guessed_bytes(&self) -> u64 {
        self.manifest().steps.iter().map(|step| self.guessed_bytes_of(step.number)).sum()
    }

    fn guessed_bytes_of(&self, step: u32) -> u64 {
        let size = self.with.sizes.get(&step).copied().unwrap_or_default();
        // Of a step whose keys are not known, everything counts as being in use.
        let keys = self.keys.get(&step).copied().unwrap_or(size.entries);
        let parts = self.parts.get(&step).copied().unwrap_or(size.part_entries);
        scaled(size.bytes, keys, size.entries) + scaled(size.part_bytes, parts, size.part_entries)
    }

    /// A range has been compacted; the next commit says so.
    pub(crate) fn compacted(&mut self, base: Base) {
        self.written.bases += base.end;
        self.round.0 += base.end;
        self.bases.push(base);
    }

    /// The round is over: all of it was compacted, or it was given up.
    pub(crate) fn round_is_over(&mut self, complete: bool) {
        self.compacts = false;
        if complete {
            // What values take may have grown; then the guess is too low, and rounds would follow one another.
            self.measured = self.round;
        }
    }

    /// Whether a round is on its way.
    pub(crate) fn compacts(&self) -> bool {
        self.compacts
    }

    /// A commit of nothing but what has been compacted, if there is any.
    pub(crate) fn naming_bases(&self) -> Option<Commit> {
        let last = self.manifest().last.filter(|_| !self.bases.is_empty())?;
        Some(Commit { stored: self.stored.iter().cloned().collect(), ..Commit::of(last) })
    }
}

/// `number` times `by` over `over`; the number itself where there is nothing to go by.
fn scaled(number: u64, by: u64, over: u64) -> u64 {
    if over == 0 {
        return number;
    }
    u64::try_from(u128::from(number) * u128::from(by) / u128::from(over)).unwrap_or(u64::MAX)
}

/// Where an epoch's changes have been written.
#[derive(Default)]
struct Written {
    part: Option<Part>,
    stored: Vec<StoredAt>,
    bytes: u64,
}

fn new_segment(
    with: &Begun,
    name: SegmentName,
    closing: &Closing,
) -> Result<Segment, (PathBuf, io::Error)> {
    Segment::create(&*with.files, &with.layout, with.log_id, name, closing.barrier.0)
        .map_err(|error| (with.layout.segment(name), error))
}
