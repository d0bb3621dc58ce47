//! How a run takes over a log.
//!
//! 1. [`Folder::open`]: lock the folder, read or make FORMAT.
//! 2. [`Folder::adopt`]: claim a generation, so that whoever had the log before is fenced off; read the newest commit; compare the
//!    steps; check every frame that the commit names.
//! 3. Write the adopted commit again, as the first record of the new generation: what was read back after a failed sync may have
//!    been in the page cache only. Nothing is written anywhere else before that is durable.
//!
//! A crash at any point leads back to 1. Going back to an older commit is the same with another commit.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use crate::describe::StepId;
use crate::error::Error;
use crate::io::file::{Files, Lock};
use crate::recovery::changes::{StepName, StepNames};
use crate::recovery::check::{Written, check, check_telling};
use crate::recovery::commits::CommitLog;
use crate::recovery::compare::{Compared, Fate, Fated, compare, compare_all};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::fence::Fence;
use crate::recovery::folder::{
    Folder, check_folder, check_format, check_workers, list_bases, list_commits, list_segments,
    read_format,
};
use crate::recovery::frame::{Bad, HEADER};
use crate::recovery::history::{Past, history};
use crate::recovery::keep::{Gone, Keep, Keeper};
use crate::recovery::manifest::{Format, Manifest, StepSpec, StoredAt};
use crate::recovery::names::{CommitName, Copy2, Layout};
use crate::recovery::newest::{Found, newest};
use crate::recovery::older::schema_of;
use crate::recovery::pin::{self, Pin};
use crate::recovery::planted::{self, Omitted};
use crate::recovery::recovered::Recovered;
use crate::recovery::{RecoveryLog, ResumeFrom};
use crate::time::Epoch;

/// No log is begun more often than this.
const RUNS_MAX: u64 = 1 << 60;
/// A log that has been taken over.
pub(crate) struct Adopted {
    pub(crate) commits: CommitLog,
    /// Knows what may be removed.
    pub(crate) keeper: Keeper,
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
        self.claim(|folder, generation| folder.adopt_as(generation, steps, workers, log))
    }

    /// Claims a generation for what `act` does with the log. When that fails before it has written anything, the claim is taken back.
    pub(crate) fn claim<T>(
        self,
        act: impl FnOnce(Folder, u64) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let names = list_commits(&*self.files, &self.layout)?;
        let segments = list_segments(&*self.files, &self.layout)?;
        let largest = names.iter().map(|name| name.generation);
        let bases = list_bases(&*self.files, &self.layout)?;
        let largest = largest.chain(segments.iter().map(|name| name.generation));
        let largest = largest.chain(bases.iter().map(|name| name.generation)).max();
        let next = |largest: u64| match planted::is_omitted(Omitted::Generation) {
            true => largest,
            false => largest.saturating_add(1),
        };
        let mut generation = largest.map_or(1, next);
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
                Err(_) if planted::is_omitted(Omitted::Generation) => break path,
                Ok(_) => break path,
                // Somebody who does not care for the lock was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => generation += 1,
                Err(error) => return Err(failed("write", &path, error)),
            }
        };
        let (files, layout) = (Arc::clone(&self.files), self.layout.clone());
        // Held until a claim that is refused has been taken back.
        let _lock = Arc::clone(&self.lock);
        let done = act(self, generation);
        if done.is_err() {
            // The claim is empty, and means nothing. It stays where another one was made behind it: a run that is still there knows
            // by the file that follows its own that it has been overtaken.
            let is_empty = files.open(&claimed).and_then(|file| file.is_empty());
            let is_last = list_commits(&*files, &layout)
                .is_ok_and(|names| names.iter().all(|name| name.generation <= generation));
            if is_last && is_empty.is_ok_and(|is_empty| is_empty) {
                let _ = files.remove(&claimed);
            }
        }
        done
    }

    fn adopt_as(
        self,
        generation: u64,
        steps: &[(StepId, StepSpec)],
        workers: usize,
        log: &RecoveryLog,
    ) -> Result<Adopted, Error> {
        let Folder { files, layout, log_id, format, lock, began, is_new: _, reading } = self;
        // Only now: what others have written before the claim is there, what they write after it does not count.
        let found = read_newest(&files, &layout, &log_id, &format, generation)?;
        let Found { manifest: newest, repaired, .. } = found;
        let at = Place { files: &files, layout: &layout, log_id: &log_id, generation };
        let chosen = at.choose(newest, log)?;
        let Chosen { mut manifest, past, went_back } = chosen;
        if let Some(reading) = &reading {
            let bases = manifest.bases.iter().map(|base| base.end);
            let all: u64 = bases.chain(manifest.parts.iter().map(|part| part.end)).sum();
            // To be checked, and to be loaded.
            reading.expect(all.saturating_mul(2));
        }
        let read = |bytes| reading.iter().for_each(|reading| reading.read(bytes));
        let checked = match check_telling(&files, &layout, &log_id, &manifest, &read) {
            Ok(checked) => checked,
            Err(error) => return Err(at.with_ways_back(error, &manifest)),
        };
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
            reading,
            finished: manifest.finished,
            watermarks: manifest.watermarks.iter().copied().collect(),
            named: checked.files,
            cover: checked.cover,
            frames: checked.frames,
            positions: checked.positions,
            sizes: checked.sizes,
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
        let there = all_files(&*files, &layout)?;
        let mut keeper =
            Keeper::new(log.keep, generation, commits.manifest(), &past, &there, went_back);
        keeper.tidy(&*files, &layout, &fence)?;
        Ok(Adopted { commits, keeper, fence, recovered, generation, lock })
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
pub(crate) fn read_newest(
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

/// A log, as a run of this generation looks at it.
pub(crate) struct Place<'a> {
    pub(crate) files: &'a Arc<dyn Files>,
    pub(crate) layout: &'a Layout,
    pub(crate) log_id: &'a [u8; 16],
    pub(crate) generation: u64,
}

/// What a run goes on from.
struct Chosen {
    manifest: Manifest,
    /// The commits before it that may still be kept.
    past: Vec<Past>,
    went_back: bool,
}

impl Place<'_> {
    /// Chooses the commit that a run goes on from: the newest, or the one that is asked for.
    fn choose(&self, newest: Manifest, log: &RecoveryLog) -> Result<Chosen, Error> {
        let wanted = log.resume_from.as_ref();
        if wanted.is_none() && log.keep == Keep::default() {
            return Ok(Chosen { manifest: newest, past: Vec::new(), went_back: false });
        }
        let mut past = self.past()?;
        let manifest = match wanted {
            None => newest.clone(),
            Some(ResumeFrom::Epoch(epoch)) if *epoch == newest.resume_epoch() => newest.clone(),
            Some(ResumeFrom::Epoch(epoch)) => {
                let of_past = past.iter().map(|past| &past.manifest);
                let mut all = of_past.filter(|manifest| manifest.resume_epoch() == *epoch);
                match all.next() {
                    Some(manifest) => manifest.clone(),
                    None => self
                        .pinned(&newest, |pin| pin.manifest.resume_epoch() == *epoch)?
                        .ok_or_else(|| self.not_kept(&format!("epoch {epoch}"), &past, &newest))?,
                }
            }
            Some(ResumeFrom::Pin(name)) => self
                .pinned(&newest, |pin| pin.name == *name)?
                .ok_or_else(|| self.not_kept(&format!("the pin `{name}`"), &past, &newest))?,
        };
        let went_back = manifest.last != newest.last;
        past.retain(|past| {
            let before = manifest.last.map(|last| last.barrier);
            Some(past.committed.barrier) < before
        });
        Ok(Chosen { manifest, past, went_back })
    }

    /// The commits that a run may go back to, the oldest first.
    pub(crate) fn past(&self) -> Result<Vec<Past>, Error> {
        let mut names = list_commits(&**self.files, self.layout)?;
        names.retain(|name| name.generation < self.generation);
        let mut past = history(self.files, self.layout, self.log_id, &names)?;
        past.retain(|past| past.is_there(&**self.files, self.layout));
        Ok(past)
    }

    fn pinned(
        &self,
        newest: &Manifest,
        is_it: impl Fn(&Pin) -> bool,
    ) -> Result<Option<Manifest>, Error> {
        let mut pins = pin::all(&**self.files, self.layout)?.into_iter();
        let Some(Pin { name, manifest }) = pins.find(is_it) else { return Ok(None) };
        if manifest.format == newest.format {
            return Ok(Some(manifest));
        }
        let path = self.layout.pin(&name);
        Err(refused(format!("`{}` is a pin of another log", path.display()))
            .help("move the file back to the log that it belongs to"))
    }

    pub(crate) fn not_kept(&self, wanted: &str, past: &[Past], newest: &Manifest) -> Error {
        const SHOWN: usize = 12;
        let mut kept: Vec<String> = epochs(past.iter().map(|past| past.manifest.resume_epoch().0));
        if kept.is_empty() {
            kept.push(newest.resume_epoch().to_string());
        }
        // There may be thousands of them.
        let more = kept.len().saturating_sub(SHOWN);
        if more > 0 {
            kept.drain(..more);
            kept.insert(0, format!("({more} earlier ones)"));
        }
        let pins = pin::all(&**self.files, self.layout).unwrap_or_default();
        let pins: Vec<String> = pins
            .iter()
            .map(|pin| format!("`{}` (epoch {})", pin.name, pin.manifest.resume_epoch()))
            .collect();
        let mut help = format!("a start can begin at epoch {}", kept.join(", "));
        if !pins.is_empty() {
            help.push_str(&format!(", or at the pin {}", pins.join(", ")));
        }
        help.push_str(
            "; `--keep-epochs N` keeps more of them, and `flow-log pin` one under a name",
        );
        refused(format!(
            "`{}` does not keep {wanted}: a run cannot begin there",
            self.layout.root().display()
        ))
        .help(help)
    }

    /// Adds to what is wrong with a commit which older ones are whole.
    pub(crate) fn with_ways_back(&self, error: Error, broken: &Manifest) -> Error {
        const LOOKED_AT: usize = 16;
        let past = self.past().unwrap_or_default();
        let pins = pin::all(&**self.files, self.layout).unwrap_or_default();
        let pinned = pins.into_iter().map(|pin| pin.manifest);
        let older = past.into_iter().rev().map(|past| past.manifest).chain(pinned);
        let older = older.filter(|manifest| manifest.last != broken.last).take(LOOKED_AT);
        let whole = older.filter(|it| check(self.files, self.layout, self.log_id, it).is_ok());
        let whole = epochs(whole.map(|manifest| manifest.resume_epoch().0));
        if whole.is_empty() {
            return error;
        }
        error.or_help(format!(
            "or go back to where the log is whole: `--resume-from {}`",
            whole.join("`, or `--resume-from ")
        ))
    }
}

/// Numbers in words, each once.
fn epochs(numbers: impl Iterator<Item = u64>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    numbers.filter(|number| seen.insert(*number)).map(|number| number.to_string()).collect()
}

/// The files of a log that may go at some time.
pub(crate) fn all_files(files: &dyn Files, layout: &Layout) -> Result<Vec<Gone>, Error> {
    let commits = list_commits(files, layout)?
        .into_iter()
        .map(|name| Gone::Commits { generation: name.generation, number: name.number });
    let segments = list_segments(files, layout)?.into_iter().map(Gone::Segment);
    let bases = list_bases(files, layout)?.into_iter().map(Gone::Base);
    let mut all: Vec<Gone> = commits.chain(segments).chain(bases).collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
