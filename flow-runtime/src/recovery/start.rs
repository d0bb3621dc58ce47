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
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::describe::StepId;
use crate::env::Env;
use crate::error::Error;
use crate::io::PartitionId;
use crate::io::file::{File, Files, Lock, Locked, PathKind};
use crate::recovery::RecoveryLog;
use crate::recovery::block::{Block, Kind, NO_GROUP};
use crate::recovery::changes::{StepName, StepNames};
use crate::recovery::commits::{CommitLog, Found, newest};
use crate::recovery::compare::{Compared, Fate, compare};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::fence::Fence;
use crate::recovery::frame::{
    Bad, FileKind, FrameHead, Frames, HEADER, Header, frame_type, put, read_header,
};
use crate::recovery::manifest::{Format, Manifest, Part, StepSpec, StoredAt, decode, encode};
use crate::recovery::names::{CommitName, Copy2, Layout, SegmentName};
use crate::recovery::recovered::{CheckedFile, FrameAt, Recovered};
use crate::state::GROUPS;
use crate::time::Timestamp;

/// Key groups unless they are given.
const GROUPS_DEFAULT: u32 = 256;
/// No log is begun more often than this.
const RUNS_MAX: u64 = 1 << 60;
/// Which hash places keys: the one of this version.
const HASH: u16 = 1;

/// The folder of a log that this process has locked.
pub(crate) struct Folder {
    files: Arc<dyn Files>,
    layout: Layout,
    log_id: [u8; 16],
    pub(crate) format: Format,
    lock: Box<dyn Lock>,
    began: Timestamp,
}

/// A log that has been taken over.
pub(crate) struct Adopted {
    pub(crate) commits: CommitLog,
    pub(crate) fence: Fence,
    pub(crate) recovered: Recovered,
    pub(crate) generation: u64,
    pub(crate) lock: Box<dyn Lock>,
}

impl Folder {
    /// Locks the folder of a log, makes it if it is not there, and sees whose log it is.
    pub(crate) fn open(env: &dyn Env, log: &RecoveryLog, dataflow: &str) -> Result<Folder, Error> {
        let (files, began) = (Arc::clone(env.io().files()), env.now());
        let layout = Layout::new(&log.folder);
        check_folder(&*files, &layout)?;
        files
            .create_folder(&layout.segments())
            .map_err(|error| failed("make", &layout.segments(), error))?;
        let lock = match files.lock(&layout.lock(), &env.identity()) {
            Ok(Locked::Here(lock)) => lock,
            Ok(Locked::Elsewhere(holder)) => {
                let holder = if holder.is_empty() { "another process" } else { &holder };
                return Err(refused(format!(
                    "the recovery log `{}` is in use by {holder}",
                    layout.root().display()
                ))
                .help("wait for it to end, or end it; two runs need two logs"));
            }
            Err(error) => return Err(failed("lock", &layout.lock(), error)),
        };
        let (log_id, format) = match read_format(&files, &layout)? {
            Some(found) => found,
            None => make_format(env, &*files, &layout, log, dataflow)?,
        };
        check_format(&layout, &format, log, dataflow)?;
        Ok(Folder { files, layout, log_id, format, lock, began })
    }

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
        let Folder { files, layout, log_id, format, lock, began } = self;
        // Only now: what others have written before the claim is there, what they write after it does not count.
        let found = read_newest(&files, &layout, &log_id, &format, generation)?;
        let Found { mut manifest, repaired, .. } = found;
        let Compared { steps, next_step, fates } = compare(&manifest, steps, &log.allowed)?;
        let checked = check(&files, &layout, &log_id, &manifest)?;
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
                    let digest = step.spec.slots.first().map_or(0, |slot| slot.shape.digest());
                    let name = StepName { number: step.number, schema: digest as u32 };
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
            dropped: fates
                .into_iter()
                .filter_map(|(id, fate)| (fate == Fate::Dropped).then_some(id))
                .collect(),
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

/// What `--plan` shows: how a start would compare steps, without starting. `None` for a log that does not exist yet.
pub(crate) fn plan(
    files: &Arc<dyn Files>,
    log: &RecoveryLog,
    dataflow: &str,
    steps: &[(StepId, StepSpec)],
    workers: usize,
) -> Result<Option<(Manifest, Compared)>, Error> {
    let layout = Layout::new(&log.folder);
    check_folder(&**files, &layout)?;
    let Some((log_id, format)) = read_format(files, &layout)? else { return Ok(None) };
    check_format(&layout, &format, log, dataflow)?;
    check_workers(&format, workers)?;
    let found = read_newest(files, &layout, &log_id, &format, u64::MAX)?;
    let compared = compare(&found.manifest, steps, &log.allowed)?;
    Ok(Some((found.manifest, compared)))
}

fn check_folder(files: &dyn Files, layout: &Layout) -> Result<(), Error> {
    match files.kind(layout.root()) {
        Ok(PathKind::Folder) => Ok(()),
        Ok(_) => Err(refused(format!(
            "`{}` is a file, and a recovery log is a folder",
            layout.root().display()
        ))
        .help("give `--recovery` a folder of its own; it is made if it is not there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", layout.root(), error)),
    }
}

fn check_workers(format: &Format, workers: usize) -> Result<(), Error> {
    if workers <= format.groups as usize {
        return Ok(());
    }
    Err(refused(format!(
        "{workers} workers cannot share the {} key groups of the recovery log",
        format.groups
    ))
    .help("run with fewer workers; a new log may have more groups: `--key-groups N`"))
}

fn check_format(
    layout: &Layout,
    format: &Format,
    log: &RecoveryLog,
    dataflow: &str,
) -> Result<(), Error> {
    let root = layout.root().display();
    if format.dataflow != dataflow {
        return Err(refused(format!(
            "`{root}` is the recovery log of the dataflow `{}`, and this is `{dataflow}`",
            format.dataflow
        ))
        .help("give each dataflow a folder of its own; a dataflow keeps its name for the life of its log"));
    }
    if format.hash != HASH {
        return Err(refused(format!(
            "`{root}` places keys by a hash that this program does not know"
        ))
        .help("run the program that wrote it, or a newer one"));
    }
    match log.groups {
        Some(groups) if groups != format.groups => Err(refused(format!(
            "`{root}` has {} key groups, and {groups} are asked for",
            format.groups
        ))
        .help("their number is fixed when a log is made: leave `--key-groups` out")),
        _ => Ok(()),
    }
}

fn list(files: &dyn Files, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match files.list(folder) {
        Ok(paths) => Ok(paths),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("list", folder, error)),
    }
}

fn list_commits(files: &dyn Files, layout: &Layout) -> Result<Vec<CommitName>, Error> {
    let paths = list(files, layout.root())?;
    Ok(paths.iter().filter_map(|path| CommitName::parse(path)).collect())
}

fn list_segments(files: &dyn Files, layout: &Layout) -> Result<Vec<SegmentName>, Error> {
    let paths = list(files, &layout.segments())?;
    Ok(paths.iter().filter_map(|path| SegmentName::parse(path)).collect())
}

/// FORMAT, `None` if the log is still to be made.
fn read_format(
    files: &Arc<dyn Files>,
    layout: &Layout,
) -> Result<Option<([u8; 16], Format)>, Error> {
    let path = layout.format();
    let is_used = || -> Result<bool, Error> {
        Ok(!list_commits(&**files, layout)?.is_empty()
            || !list_segments(&**files, layout)?.is_empty())
    };
    let mut file = match files.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if is_used()? {
                return Err(refused(format!("`{}` is gone", path.display()))
                    .help("put the file back from a backup; to begin anew, give an empty folder"));
            }
            return Ok(None);
        }
        Err(error) => return Err(failed("read", &path, error)),
    };
    match parse_format(&mut *file) {
        Ok(found) => Ok(Some(found)),
        // The very first start was cut off while it made the log.
        Err(bad) if bad.newer.is_none() && bad.io.is_none() && !is_used()? => Ok(None),
        Err(bad) => Err(damaged(&path, bad)),
    }
}

fn parse_format(file: &mut dyn File) -> Result<([u8; 16], Format), Bad> {
    let header = read_header(file, FileKind::Format)?;
    let end = file.len().map_err(|error| Bad::io(0, error))?;
    let mut frames = Frames::new(file, header.seed(), HEADER as u64, end);
    let malformed = || Bad::at(HEADER as u64, "what it says cannot be decoded");
    let frame = frames.next()?.ok_or_else(malformed)?;
    if frame.head.frame_type != frame_type::FORMAT {
        return Err(malformed());
    }
    let format: Format = decode(frame.payload).ok_or_else(malformed)?;
    if !format.groups.is_power_of_two() || format.groups > GROUPS {
        return Err(malformed());
    }
    Ok((header.log_id, format))
}

fn make_format(
    env: &dyn Env,
    files: &dyn Files,
    layout: &Layout,
    log: &RecoveryLog,
    dataflow: &str,
) -> Result<([u8; 16], Format), Error> {
    let groups = log.groups.unwrap_or(GROUPS_DEFAULT);
    if !groups.is_power_of_two() || groups > GROUPS {
        return Err(refused(format!("a recovery log cannot have {groups} key groups"))
            .help(format!("give a power of two up to {GROUPS}")));
    }
    let format = Format { dataflow: dataflow.to_owned(), groups, seed: env.random(), hash: HASH };
    let mut log_id = [0; 16];
    log_id[..8].copy_from_slice(&env.random().to_le_bytes());
    log_id[8..].copy_from_slice(&env.random().to_le_bytes());
    let header = Header {
        kind: FileKind::Format,
        copy: 0,
        writer: 0,
        log_id,
        generation: 0,
        number: 0,
        first_barrier: 0,
    };
    let mut bytes = header.encode().to_vec();
    let head = FrameHead { frame_type: frame_type::FORMAT, group: 0, barrier: 0, count: 1 };
    let mut frame = Vec::new();
    put(&mut frame, HEADER as u64, header.seed(), head, &encode(&format), |_| {});
    bytes.append(&mut frame);
    let path = layout.format();
    let made = files.create(&path, true).and_then(|mut file| {
        file.write_at(0, &bytes)?;
        file.sync()?;
        files.sync_folder(layout.root())?;
        // The folder itself must be there after a power cut, and those above it, which may be as new as it is. Some of them may not
        // be ours to open.
        let mut above = layout.root().ancestors().skip(1);
        above.next().map_or(Ok(()), |above| files.sync_folder(above))?;
        above.for_each(|above| drop(files.sync_folder(above)));
        Ok(())
    });
    made.map_err(|error| failed("write", &path, error))?;
    Ok((log_id, format))
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
    Ok(found.unwrap_or_else(|| Found {
        generation: 0,
        manifest: Manifest {
            format: format.clone(),
            workers: 0,
            last: None,
            finished: false,
            steps: Vec::new(),
            next_step: 0,
            parts: Vec::new(),
            stored: Vec::new(),
            watermarks: Vec::new(),
        },
        repaired: Vec::new(),
    }))
}

/// What checking a log found.
#[derive(Default)]
struct Checked {
    segments: Vec<CheckedFile>,
    frames: BTreeMap<u32, Vec<FrameAt>>,
    positions: BTreeMap<u32, BTreeMap<PartitionId, Vec<u8>>>,
}

/// Reads everything that a manifest names, and finds out where what lies.
fn check(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: &[u8; 16],
    manifest: &Manifest,
) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    for part in &manifest.parts {
        let path = layout.segment(part.file);
        let mut file = match files.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refused(format!(
                    "`{}` is gone, and the commit of epoch {} needs it",
                    path.display(),
                    manifest.last.map(|last| last.epoch).unwrap_or_default()
                ))
                .help("put the file back from a backup; to begin anew, give an empty folder"));
            }
            Err(error) => return Err(failed("read", &path, error)),
        };
        check_part(&mut *file, part, log_id, &mut checked).map_err(|bad| damaged(&path, bad))?;
    }
    Ok(checked)
}

fn check_part(
    file: &mut dyn File,
    part: &Part,
    log_id: &[u8; 16],
    checked: &mut Checked,
) -> Result<(), Bad> {
    let length = file.len().map_err(|error| Bad::io(0, error))?;
    if length < part.end {
        return Err(Bad::at(length, "the file ends here, before what is committed"));
    }
    let header = read_header(file, FileKind::Segment)?;
    let name =
        SegmentName { generation: header.generation, writer: header.writer, number: header.number };
    if header.log_id != *log_id || name != part.file {
        return Err(Bad::at(0, "the file belongs elsewhere: its header is another file's"));
    }
    let seed = header.seed();
    let number = u32::try_from(checked.segments.len()).unwrap_or(u32::MAX);
    checked.segments.push(CheckedFile { name, seed, end: part.end });
    let mut frames = Frames::new(file, seed, part.start, part.end);
    while let Some(frame) = frames.next()? {
        let (offset, head) = (frame.offset, frame.head);
        match head.frame_type {
            frame_type::CHANGES => {}
            frame_type::END => continue,
            other if other & frame_type::OPTIONAL != 0 => continue,
            _ => {
                return Err(Bad::at(offset, "a frame is of a type that this version never writes"));
            }
        }
        let malformed = || Bad::at(offset, "a block is malformed");
        let block = Block::decode(frame.payload).ok_or_else(malformed)?;
        let step = block.head.step;
        match block.head.kind {
            Kind::Partition => {
                let positions = checked.positions.entry(step).or_default();
                let read = block.entries(
                    |_| true,
                    |entry| {
                        let name = std::str::from_utf8(entry.key)?;
                        positions.insert(PartitionId::new(name), entry.value.to_vec());
                        Ok::<(), std::str::Utf8Error>(())
                    },
                );
                if !matches!(read, Some(Ok(()))) {
                    return Err(malformed());
                }
            }
            Kind::Stored => {}
            _ => {
                let groups = block.groups().unwrap_or((NO_GROUP, NO_GROUP));
                // An entry takes two bytes at least: no more is promised to those that make room.
                let most = u32::try_from(frame.payload.len() / 2).unwrap_or(u32::MAX);
                let (barrier, entries) = (head.barrier, head.count.min(most));
                let at = FrameAt { file: number, offset, groups, barrier, entries };
                checked.frames.entry(step).or_default().push(at);
            }
        }
    }
    if frames.rolling != part.crc {
        return Err(Bad::at(part.start, "its frames are not those that were committed"));
    }
    Ok(())
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

/// Reads what a sink has stored with an epoch.
pub(crate) fn read_stored(recovered: &Recovered, at: &StoredAt) -> Result<Vec<u8>, Error> {
    let path = recovered.layout.segment(at.file);
    let mut file = recovered.files.open(&path).map_err(|error| failed("read", &path, error))?;
    let malformed = || damaged(&path, Bad::at(at.offset, "what a sink has stored is not here"));
    let segment = recovered.segments.iter().find(|segment| segment.name == at.file);
    let segment = segment.ok_or_else(malformed)?;
    let mut frames = Frames::new(&mut *file, segment.seed, at.offset, segment.end);
    let frame = frames.next().map_err(|bad| damaged(&path, bad))?.ok_or_else(malformed)?;
    let block = Block::decode(frame.payload).ok_or_else(malformed)?;
    let mut stored = None;
    let read = block.entries(
        |_| true,
        |entry| {
            if entry.key == at.partition.as_bytes() {
                stored = Some(entry.value.to_vec());
            }
            Ok::<(), ()>(())
        },
    );
    let is_it = block.head.step == at.step && block.head.kind == Kind::Stored && read.is_some();
    stored.filter(|_| is_it).ok_or_else(malformed)
}
