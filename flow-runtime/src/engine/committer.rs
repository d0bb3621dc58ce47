//! The committer: the thread that writes the recovery log.
//!
//! It waits for the disk so that no worker does. An epoch goes through it like this:
//!
//! 1. All workers have handed over what changed.
//! 2. The changes are appended to the segment; what sinks have sealed is made durable; the segment is synced.
//! 3. The commit is appended to both copies of the commit log, and both are synced. **That is the commit.**
//! 4. What sinks have stored with the epoch is carried out; the coordinator is told.
//!
//! Epochs that wait while the disk is busy go through together: one sync for all of them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::link::{Link, ToCoordinator};
use crate::error::{Error, ErrorKind};
use crate::failure::{self, Note};
use crate::io::{Apply, PartitionId};
use crate::recovery::changes::{Changes, StoredBy, Sync};
use crate::recovery::commits::CommitLog;
use crate::recovery::fault::{failed, is_full};
use crate::recovery::fence::Fence;
use crate::recovery::manifest::{Commit, Committed, Part, StoredAt};
use crate::recovery::segment::Segment;
use crate::recovery::{Layout, SegmentName};
use crate::time::{Barrier, Epoch, Timestamp};

/// To the committer.
#[derive(Debug)]
pub(crate) enum ToCommitter {
    /// The coordinator has ordered a barrier.
    Closing(Closing),
    /// A worker has passed a barrier, and this is what changed.
    Gathered { barrier: Barrier, changes: Changes },
    /// Nothing more will come.
    End,
}

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

/// The appliers of the sinks that have some.
pub(crate) type Appliers = BTreeMap<(u32, PartitionId), Box<dyn Apply>>;

/// What the committer works with.
pub(crate) struct Committing {
    pub(crate) commits: CommitLog,
    pub(crate) layout: Layout,
    pub(crate) log_id: [u8; 16],
    pub(crate) generation: u64,
    pub(crate) fence: Fence,
    pub(crate) appliers: Appliers,
    /// A segment that has grown to this size is followed by a new one.
    pub(crate) segment_max: u64,
}

/// An epoch whose parts are coming in.
#[derive(Default)]
struct Gathering {
    closing: Option<Closing>,
    changes: Option<Changes>,
    workers: usize,
}

/// An epoch that all workers have handed over.
struct Whole {
    closing: Closing,
    changes: Changes,
}

impl Whole {
    /// Whether there is anything to be committed. That something was read is enough, though nothing be kept of it: a source waits for
    /// the commit to acknowledge it.
    fn counts(&self) -> bool {
        !self.changes.is_empty() || self.changes.read || self.closing.finishes
    }
}

struct Committer<'a> {
    link: &'a Link,
    with: Committing,
    gathering: BTreeMap<Barrier, Gathering>,
    segment: Option<Segment>,
    /// Of the next segment.
    number: u64,
    /// The segments that no commit names yet.
    unnamed: Vec<SegmentName>,
    /// What has been stored and not carried out.
    stored: VecDeque<StoredAt>,
    ended: bool,
}

/// Writes the log until it is told to end. A failure ends the run.
pub(crate) fn commit(link: &Link, with: Committing) {
    failure::keep_panics_quiet();
    let who = link.committer();
    link.env.enter(who);
    let outcome = failure::caught(|| {
        Committer {
            link,
            // By now everything has been carried out.
            stored: VecDeque::new(),
            with,
            gathering: BTreeMap::new(),
            segment: None,
            number: 0,
            unnamed: Vec::new(),
            ended: false,
        }
        .run()
    });
    if let Err(error) = outcome {
        link.tell_coordinator(ToCoordinator::Failed(error));
        // What still comes is not committed: it is dropped with the queue.
    }
    link.tell_coordinator(ToCoordinator::CommitterGone);
    link.env.leave(who);
}

impl Committer<'_> {
    fn run(&mut self) -> Result<(), Error> {
        let (who, env) = (self.link.committer(), Arc::clone(&self.link.env));
        loop {
            env.turn(who);
            self.hear();
            let whole = self.take_whole();
            if !whole.is_empty() {
                self.commit(whole)?;
            } else if self.ended || env.is_stuck() {
                return Ok(());
            } else {
                env.park(who, None);
            }
        }
    }

    fn hear(&mut self) {
        while let Some(message) = self.link.next_for_committer() {
            match message {
                ToCommitter::Closing(closing) => {
                    self.gathering.entry(closing.barrier).or_default().closing = Some(closing);
                }
                ToCommitter::Gathered { barrier, mut changes } => {
                    let gathering = self.gathering.entry(barrier).or_default();
                    gathering.workers += 1;
                    match &mut gathering.changes {
                        Some(all) => all.append(&mut changes),
                        none => *none = Some(changes),
                    }
                }
                ToCommitter::End => self.ended = true,
            }
        }
    }

    /// The epochs that all workers have handed over, in their order.
    fn take_whole(&mut self) -> Vec<Whole> {
        let mut whole = Vec::new();
        while let Some(first) = self.gathering.first_entry() {
            let is_whole =
                first.get().workers == self.link.workers && first.get().closing.is_some();
            if !is_whole {
                break;
            }
            if let Gathering { closing: Some(closing), changes: Some(changes), .. } = first.remove()
            {
                whole.push(Whole { closing, changes });
            }
        }
        whole
    }

    fn commit(&mut self, mut whole: Vec<Whole>) -> Result<(), Error> {
        self.make_durable(&mut whole)?;
        self.works();
        let mut written = self.write_changes(&whole)?;
        self.works();
        let commits: Vec<Commit> = whole
            .iter()
            .filter(|whole| whole.counts())
            .map(|whole| {
                let at = written.pop_front();
                let (part, stored) = at.map_or((None, Vec::new()), |at| (at.part, at.stored));
                self.stored.extend(stored);
                let Closing { barrier, epoch, next, at, finishes } = whole.closing;
                let generation = self.with.generation;
                Commit {
                    last: Committed { generation, barrier: barrier.0, epoch, next, at },
                    finished: finishes,
                    parts: part.into_iter().collect(),
                    stored: self.stored.iter().cloned().collect(),
                    watermarks: Vec::new(),
                }
            })
            .collect();
        if !commits.is_empty() {
            self.with.fence.check()?;
            self.append(commits)?;
            self.link.counters.commits.fetch_add(1, Ordering::Relaxed);
            self.works();
        }
        self.link.has_room();
        let mut carried_out = Ok(());
        for mut whole in whole {
            let (counts, stored) = (whole.counts(), whole.changes.stored.len());
            for stored in std::mem::take(&mut whole.changes.stored) {
                if carried_out.is_ok() {
                    let epoch = whole.closing.epoch;
                    carried_out = failure::caught(|| self.carry_out(epoch, &stored));
                    self.works();
                }
            }
            // It is committed, whatever has become of what it stored: the next start goes on behind it.
            self.link.freed(whole.changes.bytes(), stored);
            let barrier = whole.closing.barrier;
            self.link.tell_coordinator(ToCoordinator::Committed { barrier, counts });
        }
        carried_out
    }

    /// Says that something has been done, for those who lose their patience.
    fn works(&self) {
        self.link.counters.committing.fetch_add(1, Ordering::Relaxed);
    }

    /// Makes durable what sinks have sealed. For a partition that has sealed several epochs the last is enough.
    fn make_durable(&mut self, whole: &mut [Whole]) -> Result<(), Error> {
        let mut last = BTreeMap::new();
        for whole in whole {
            for Sync { step, partition, run } in whole.changes.syncs.drain(..) {
                last.insert((step, partition), run);
            }
        }
        for ((step, _), run) in last {
            self.with.fence.check()?;
            at_step(self.link, step, run)?;
        }
        Ok(())
    }

    /// Writes the changes of epochs, and makes them durable. Waits while the disk is full.
    fn write_changes(&mut self, whole: &[Whole]) -> Result<VecDeque<Written>, Error> {
        if !whole.iter().any(|whole| !whole.changes.is_empty()) {
            return Ok(whole
                .iter()
                .filter(|whole| whole.counts())
                .map(|_| Written::default())
                .collect());
        }
        loop {
            self.with.fence.check()?;
            match self.try_write(whole) {
                Ok(written) => {
                    self.unnamed.clear();
                    return Ok(written);
                }
                Err((path, error)) => {
                    // What a segment holds after a failure is not known: everything goes into another one.
                    self.segment = None;
                    self.remove_unnamed(&path);
                    if !is_full(&error) {
                        return Err(failed("write", &path, error));
                    }
                    // What no commit names only takes room.
                    for name in self.unnamed.drain(..) {
                        let _ = self.link.env.io().files().remove(&self.with.layout.segment(name));
                    }
                    self.wait_for_room(|| failed("write", &path, error))?;
                }
            }
        }
    }

    /// Removes a segment that could not be written, unless a commit names it. While a disk is full there is an attempt a second,
    /// and a segment for each.
    fn remove_unnamed(&self, path: &Path) {
        let layout = &self.with.layout;
        let parts = &self.with.commits.manifest().parts;
        if !parts.iter().any(|part| layout.segment(part.file) == path) {
            // The next start removes it, too.
            let _ = self.link.env.io().files().remove(path);
        }
    }

    fn try_write(&mut self, whole: &[Whole]) -> Result<VecDeque<Written>, (PathBuf, io::Error)> {
        let files = Arc::clone(self.link.env.io().files());
        let mut all = VecDeque::new();
        for Whole { closing, changes } in whole.iter().filter(|whole| whole.counts()) {
            let mut written = Written::default();
            if changes.is_empty() {
                all.push_back(written);
                continue;
            }
            if self.segment.as_ref().is_some_and(|open| open.end() >= self.with.segment_max)
                && let Some(mut full) = self.segment.take()
            {
                let path = full.path().to_owned();
                full.sync(&*files, &self.with.layout).map_err(|error| (path, error))?;
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
                    none.insert(new_segment(&*files, &self.with, name, closing)?)
                }
            };
            let path = segment.path().to_owned();
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
            written.part = Some(segment.part());
            all.push_back(written);
        }
        if let Some(segment) = &mut self.segment {
            let path = segment.path().to_owned();
            segment.sync(&*files, &self.with.layout).map_err(|error| (path, error))?;
        }
        Ok(all)
    }

    /// Makes commits durable. Waits while the disk is full.
    fn append(&mut self, commits: Vec<Commit>) -> Result<(), Error> {
        let mut outcome = self.with.commits.append(commits);
        loop {
            match outcome {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_full() => self.wait_for_room(|| failure.into_error())?,
                Err(failure) => return Err(failure.into_error()),
            }
            self.with.fence.check()?;
            outcome = self.with.commits.append(Vec::new());
        }
    }

    fn carry_out(&mut self, epoch: Epoch, stored: &StoredBy) -> Result<(), Error> {
        self.with.fence.check()?;
        let key = (stored.step, stored.partition.clone());
        let applier = self.with.appliers.get_mut(&key);
        let applier = applier.ok_or_else(|| nothing_applies(&key.1))?;
        at_step(self.link, stored.step, || applier.apply(epoch, &stored.bytes))?;
        let done =
            |at: &StoredAt| at.step == key.0 && at.partition == key.1.as_str() && at.epoch == epoch;
        self.stored.retain(|at| !done(at));
        Ok(())
    }

    /// Waits a while, unless a full disk is to end the run.
    fn wait_for_room(&mut self, error: impl FnOnce() -> Error) -> Result<(), Error> {
        let error = error();
        if !self.link.options.waits_for_room {
            return Err(error);
        }
        if self.link.wait_for_room(self.link.committer(), &error) { Ok(()) } else { Err(error) }
    }
}

/// Acts on behalf of a step, known by its number in the log: if that fails or panics the error names the step.
fn at_step<T>(
    link: &Link,
    number: u32,
    act: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let names = link.recovered.iter().flat_map(|recovered| &recovered.names.names);
    let mut steps = names.filter(|(_, name)| name.number == number).map(|(id, _)| id);
    let Some(id) = steps.next() else { return act() };
    let note = Note::of(id);
    let done = act();
    note.clear();
    done.map_err(|error| error.at_step(id))
}

/// Where an epoch's changes have been written.
#[derive(Default)]
struct Written {
    part: Option<Part>,
    stored: Vec<StoredAt>,
}

fn new_segment(
    files: &dyn crate::io::file::Files,
    with: &Committing,
    name: SegmentName,
    closing: &Closing,
) -> Result<Segment, (PathBuf, io::Error)> {
    Segment::create(files, &with.layout, with.log_id, name, closing.barrier.0)
        .map_err(|error| (with.layout.segment(name), error))
}

/// What is said of a partition that stores something with an epoch, and of whose sink nothing carries it out.
pub(crate) fn nothing_applies(partition: &PartitionId) -> Error {
    Error::new(
        ErrorKind::Sink,
        format!(
            "partition {partition} has stored rows, and its sink has nothing that applies them"
        ),
    )
    .help("implement `Sink::applier`, or give the step the sink that it had")
}
