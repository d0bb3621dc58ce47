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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::compactor::ToCompactor;
use crate::engine::link::{Link, ToCoordinator};
use crate::error::{Error, ErrorKind};
use crate::failure::{self, Note};
use crate::io::{Apply, PartitionId};
use crate::recovery::changes::{Changes, StoredBy, Sync};
use crate::recovery::manifest::{Base, Commit};
use crate::recovery::writer::{Closing, LogWriter, Refused, Whole};
use crate::time::{Barrier, Epoch};

/// To the committer.
#[derive(Debug)]
pub(crate) enum ToCommitter {
    /// The coordinator has ordered a barrier.
    Closing(Closing),
    /// A worker has passed a barrier, and this is what changed.
    Gathered { barrier: Barrier, changes: Box<Changes> },
    /// A range of the log has been compacted.
    Compacted(Base),
    /// No range is being compacted any more: all are done, or it was given up.
    RoundOver { complete: bool },
    /// Nothing more will come.
    End,
}

/// The appliers of the sinks that have some.
pub(crate) type Appliers = BTreeMap<(u32, PartitionId), Box<dyn Apply>>;

/// What the committer works with.
pub(crate) struct Committing {
    pub(crate) writer: LogWriter,
    pub(crate) appliers: Appliers,
}

/// An epoch whose parts are coming in.
#[derive(Default)]
struct Gathering {
    closing: Option<Closing>,
    changes: Option<Changes>,
    workers: usize,
}

struct Committer<'a> {
    link: &'a Link,
    writer: LogWriter,
    appliers: Appliers,
    gathering: BTreeMap<Barrier, Gathering>,
    ended: bool,
}

/// Writes the log until it is told to end. A failure ends the run.
pub(crate) fn commit(link: &Link, with: Committing) {
    failure::keep_panics_quiet();
    let who = link.committer();
    link.env.enter(who);
    let outcome = failure::caught(|| {
        let Committing { writer, appliers } = with;
        Committer { link, writer, appliers, gathering: BTreeMap::new(), ended: false }.run()
    });
    if let Err(error) = outcome {
        link.tell_coordinator(ToCoordinator::Failed(error));
        // What still comes is not committed: it is dropped with the queue.
    }
    link.tell_compactor(ToCompactor::End);
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
            } else if let Some(commit) = self.writer.naming_bases() {
                self.name_bases(commit)?;
            } else if self.ended && (!self.writer.compacts() || self.link.is_aborted())
                || env.is_stuck()
            {
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
                        none => *none = Some(*changes),
                    }
                }
                ToCommitter::Compacted(base) => {
                    self.writer.compacted(base);
                    let saved = &self.link.counters.saved;
                    saved.compacted.store(self.writer.written().bases, Ordering::Relaxed);
                }
                ToCommitter::RoundOver { complete } => self.writer.round_is_over(complete),
                // A range that is being compacted is finished, so that a program that runs but for a moment gets on with it.
                ToCommitter::End => {
                    self.ended = true;
                    self.link.tell_compactor(ToCompactor::End);
                }
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
        let commits = self.write_changes(&whole)?;
        self.works();
        if !commits.is_empty() {
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
        carried_out?;
        self.writer.tidy()?;
        if let Some((ground, manifest)) = self.writer.compaction() {
            self.link.tell_compactor(ToCompactor::Compact(Box::new((ground, manifest))));
        }
        Ok(())
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
            self.writer.fence().check()?;
            at_step(self.link, step, run)?;
        }
        Ok(())
    }

    /// Writes the changes of epochs, and makes them durable. Waits while the disk is full.
    fn write_changes(&mut self, whole: &[Whole]) -> Result<Vec<Commit>, Error> {
        loop {
            self.writer.fence().check()?;
            match self.writer.write(whole) {
                Ok(commits) => return Ok(commits),
                Err(refused) => self.wait_for_room(refused)?,
            }
        }
    }

    /// Makes commits durable. Waits while the disk is full.
    fn append(&mut self, commits: Vec<Commit>) -> Result<(), Error> {
        self.writer.fence().check()?;
        let mut outcome = self.writer.commit(commits);
        while let Err(refused) = outcome {
            self.wait_for_room(refused)?;
            self.writer.fence().check()?;
            outcome = self.writer.commit_again();
        }
        Ok(())
    }

    /// Makes a commit that closes no epoch, and only says what has been compacted.
    fn name_bases(&mut self, commit: Commit) -> Result<(), Error> {
        if !self.ended {
            self.append(vec![commit])?;
            return self.writer.tidy();
        }
        // All epochs are committed: nobody waits for this one, on a full disk for instance.
        self.writer.fence().check()?;
        match self.writer.commit(vec![commit]) {
            Ok(()) => self.writer.tidy(),
            Err(refused) => {
                let error = refused.into_error();
                tracing::warn!(%error, "what was compacted last is not used");
                Ok(())
            }
        }
    }

    fn carry_out(&mut self, epoch: Epoch, stored: &StoredBy) -> Result<(), Error> {
        self.writer.fence().check()?;
        let key = (stored.step, stored.partition.clone());
        let applier = self.appliers.get_mut(&key);
        let applier = applier.ok_or_else(|| nothing_applies(&key.1))?;
        at_step(self.link, stored.step, || applier.apply(epoch, &stored.bytes))?;
        self.writer.carried_out(key.0, &key.1, epoch);
        Ok(())
    }

    /// Waits a while, unless it is something else than a full disk, or that is to end the run.
    fn wait_for_room(&mut self, refused: Refused) -> Result<(), Error> {
        let waits = refused.is_full() && self.link.options.waits_for_room;
        let error = refused.into_error();
        if waits && self.link.wait_for_room(self.link.committer(), &error) {
            return Ok(());
        }
        Err(error)
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
