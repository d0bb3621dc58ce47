//! How a run takes over a log.
//!
//! 1. [`Folder::open`]: lock the folder, read or make FORMAT.
//! 2. [`Folder::adopt`]: claim a generation, so that whoever had the log before is fenced off; read the newest commit; compare the
//!    steps; check every frame that the commit names.
//! 3. Write the adopted commit again, as the first record of the new generation: what was read back after a failed sync may have
//!    been in the page cache only. Nothing is written anywhere else before that is durable.
//!
//! A crash at any point leads back to 1.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::describe::StepId;
use crate::error::Error;
use crate::io::file::{Files, Lock};
use crate::recovery::RecoveryLog;
use crate::recovery::changes::{StepName, StepNames};
use crate::recovery::check::{Written, check};
use crate::recovery::commits::CommitLog;
use crate::recovery::compare::{Compared, Fate, Fated, compare, compare_all};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::fence::Fence;
use crate::recovery::folder::{
    Folder, check_folder, check_format, check_workers, list_commits, list_segments, read_format,
};
use crate::recovery::frame::{Bad, HEADER};
use crate::recovery::manifest::{Format, Manifest, StepSpec, StoredAt};
use crate::recovery::names::{CommitName, Copy2, Layout};
use crate::recovery::newest::{Found, newest};
use crate::recovery::older::schema_of;
use crate::recovery::recovered::Recovered;
use crate::time::Epoch;

/// No log is begun more often than this.
const RUNS_MAX: u64 = 1 << 60;
/// A log that has been taken over.
pub(crate) struct Adopted {
    pub(crate) commits: CommitLog,
    pub(crate) fence: Fence,
    pub(crate) recovered: Recovered,
    pub(crate) generation: u64,
    pub(crate) lock: Arc<dyn Lock>,
}

impl Folder {
    /// Takes over what was committed, for these steps.
    pub(crate) fn adopt(
        self,
        steps: &[(StepId, StepSpec)],
        workers: usize,
        log: &RecoveryLog,
    ) -> Result<Adopted, Error> {
        check_workers(&self.format, workers)?;
        let names = list_commits(&*self.files, &self.layout)?;
        let segments = list_segments(&*self.files, &self.layout)?;
        let largest = names.iter().map(|name| name.generation);
        let largest = largest.chain(segments.iter().map(|name| name.generation)).max();
        let mut generation = largest.map_or(1, |largest| largest.saturating_add(1));
        if generation > RUNS_MAX {
            return Err(refused(format!(
                "`{}` has files of a run {}: no log has had so many runs",
                self.layout.root().display(),
                generation - 1
            ))
            .help("move the files with this number out of the folder"));
        }
        let claimed = loop {
            let copy = Copy2::A;
            let path = self.layout.commit(CommitName { generation, number: 0, copy });
            match self.files.create_new(&path) {
                Ok(_) => break path,
                // Somebody who does not care for the lock was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => generation += 1,
                Err(error) => return Err(failed("write", &path, error)),
            }
        };
        let (files, layout) = (Arc::clone(&self.files), self.layout.clone());
        // Held until a claim that is refused has been taken back.
        let _lock = Arc::clone(&self.lock);
        let adopted = self.adopt_as(generation, steps, workers, log);
        if adopted.is_err() {
            // The claim is empty, and means nothing. It stays where another one was made behind it: a run that is still there knows
            // by the file that follows its own that it has been overtaken.
            let is_empty = files.open(&claimed).and_then(|file| file.is_empty());
            let is_last = list_commits(&*files, &layout)
                .is_ok_and(|names| names.iter().all(|name| name.generation <= generation));
            if is_last && is_empty.is_ok_and(|is_empty| is_empty) {
                let _ = files.remove(&claimed);
            }
        }
        adopted
    }

    fn adopt_as(
        self,
        generation: u64,
        steps: &[(StepId, StepSpec)],
        workers: usize,
        log: &RecoveryLog,
    ) -> Result<Adopted, Error> {
        let Folder { files, layout, log_id, format, lock, began, is_new: _ } = self;
        // Only now: what others have written before the claim is there, what they write after it does not count.
        let found = read_newest(&files, &layout, &log_id, &format, generation)?;
        let Found { mut manifest, repaired, .. } = found;
        let checked = check(&files, &layout, &log_id, &manifest)?;
        let compared = compare(&manifest, steps, &log.allowed, &|step| checked.written(step))?;
        let Compared { steps, next_step, fates, unfit: _ } = compared;
        manifest.workers = u32::try_from(workers).unwrap_or(u32::MAX);
        (manifest.steps, manifest.next_step) = (steps, next_step);
        // What a step has stored that is gone will never be asked for.
        let known =
            |stored: &StoredAt| manifest.steps.iter().any(|step| step.number == stored.step);
        let stored = manifest.stored.iter().filter(|stored| known(stored)).cloned().collect();
        manifest.stored = stored;
        let names = StepNames {
            groups: format.groups,
            names: manifest
                .steps
                .iter()
                .map(|step| {
                    let schema = step.spec.slots.first().map_or(0, |slot| schema_of(&slot.shape));
                    let name = StepName { number: step.number, schema };
                    (StepId::of(&step.id), name)
                })
                .collect(),
        };
        let recovered = Recovered {
            files: Arc::clone(&files),
            layout: layout.clone(),
            log_id,
            names: Arc::new(names),
            seed: format.seed,
            epoch: manifest.resume_epoch(),
            barrier: manifest.next_barrier(),
            generation,
            repaired,
            older: manifest
                .steps
                .iter()
                .map(|step| (step.number, step.spec.older().cloned().collect()))
                .collect(),
            dropped: ids_of(&fates, |fate| *fate == Fate::Dropped),
            migrated: ids_of(&fates, |fate| matches!(fate, Fate::Migrated { .. })),
            began,
            finished: manifest.finished,
            segments: checked.segments,
            frames: checked.frames,
            positions: checked.positions,
            loaded: Mutex::default(),
        };
        let commits = CommitLog::begin(
            &files,
            &layout,
            log_id,
            generation,
            manifest,
            log.limits.commit_records,
        )?;
        let fence = Fence::new(&files, &layout, generation);
        remove_orphans(&*files, &layout, commits.manifest(), generation);
        Ok(Adopted { commits, fence, recovered, generation, lock })
    }
}

/// The ids of the steps with such a fate.
fn ids_of(fates: &[Fated], is_it: impl Fn(&Fate) -> bool) -> Vec<String> {
    fates.iter().filter(|fated| is_it(&fated.fate)).map(|fated| fated.id.clone()).collect()
}

/// What a start would find.
pub(crate) struct Planned {
    /// Where it would go on.
    pub(crate) epoch: Epoch,
    pub(crate) compared: Compared,
    /// By the number of the step, what there is of it.
    pub(crate) written: BTreeMap<u32, Written>,
}

/// What `--plan` shows: how a start would compare steps, without starting. `None` for a log that does not exist yet.
pub(crate) fn plan(
    files: &Arc<dyn Files>,
    log: &RecoveryLog,
    dataflow: &str,
    steps: &[(StepId, StepSpec)],
    workers: usize,
) -> Result<Option<Planned>, Error> {
    let layout = Layout::new(&log.folder);
    check_folder(&**files, &layout)?;
    let Some((log_id, format)) = read_format(files, &layout)? else { return Ok(None) };
    check_format(&layout, &format, log, dataflow)?;
    check_workers(&format, workers)?;
    let found = read_newest(files, &layout, &log_id, &format, u64::MAX)?;
    let checked = check(files, &layout, &log_id, &found.manifest)?;
    let compared =
        compare_all(&found.manifest, steps, &log.allowed, &|step| checked.written(step))?;
    let epoch = found.manifest.resume_epoch();
    Ok(Some(Planned { epoch, compared, written: checked.written }))
}

/// The newest commit of all generations below `generation`; of a log without any, a manifest of nothing.
fn read_newest(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: &[u8; 16],
    format: &Format,
    generation: u64,
) -> Result<Found, Error> {
    let mut names = list_commits(&**files, layout)?;
    names.retain(|name| name.generation < generation);
    let segments = list_segments(&**files, layout)?;
    let wrote = |generation| segments.iter().any(|name| name.generation == generation);
    let found = newest(files, layout, &names, log_id, wrote)?;
    if found.as_ref().is_some_and(|found| found.manifest.format != *format) {
        let bad = Bad::at(HEADER as u64, "it says something else than the log's commits");
        return Err(damaged(&layout.format(), bad));
    }
    let adopted = found.as_ref().map_or(0, |found| found.generation);
    let without = segments.iter().find(|name| {
        name.generation > adopted
            && !names.iter().any(|commit| commit.generation == name.generation)
    });
    if let Some(segment) = without {
        return Err(refused(format!(
            "`{}` holds changes of run {}, and both copies of that run's commit file are gone",
            layout.segment(*segment).display(),
            segment.generation
        ))
        .help(
            "put the files `commit-..` back from a backup; to begin anew, give an empty folder",
        ));
    }
    Ok(found.unwrap_or_else(|| Found::nothing(Manifest::nothing(format.clone()))))
}

/// Removes what runs wrote that were cut off before the commit. Nothing depends on it.
fn remove_orphans(files: &dyn Files, layout: &Layout, manifest: &Manifest, generation: u64) {
    for name in list_segments(files, layout).unwrap_or_default() {
        let is_named = manifest.parts.iter().any(|part| part.file == name);
        if name.generation < generation && !is_named {
            let path = layout.segment(name);
            match files.remove(&path) {
                Ok(()) => tracing::debug!(path = %path.display(), "removed what was not committed"),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot remove what was not committed");
                }
            }
        }
    }
}
