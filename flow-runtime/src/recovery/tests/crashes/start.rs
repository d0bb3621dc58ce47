//! A start that only looks: does the log say what it must?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::model::{Kept, World};
use crate::Virtual;
use crate::describe::StepId;
use crate::error::Error;
use crate::io::file::Files;
use crate::io::{PartitionId, Resume, resume_at};
use crate::recovery::check::read_stored;
use crate::recovery::folder::{Folder, list_commits};
use crate::recovery::history::history;
use crate::recovery::keep::Keep;
use crate::recovery::manifest::StepSpec;
use crate::recovery::names::Layout;
use crate::recovery::recovered::{Keyed, Restoring};
use crate::recovery::start::Adopted;
use crate::recovery::{Limits, RecoveryLog};
use crate::sim::SimDisk;
use crate::state::key_code::load_key;
use crate::state::{LoadError, Saved, Shape};
use crate::time::Epoch;

pub(super) const GROUPS: u32 = 4;
pub(super) const OUT: &str = "out";

pub(super) fn counts() -> StepId {
    StepId::of("counts")
}
pub(super) fn source() -> StepId {
    StepId::of("all")
}
pub(super) fn file() -> StepId {
    StepId::of("file")
}
pub(super) fn outbox() -> StepId {
    StepId::of("outbox")
}
pub(super) fn partition() -> PartitionId {
    PartitionId::new("0")
}

/// The steps of the dataflow, if it were one.
fn steps() -> Vec<(StepId, StepSpec)> {
    let shape = Shape::from(Vec::<u8>::SCHEMA);
    vec![
        (counts(), StepSpec::keyed::<u64>("keyed state", shape)),
        (source(), StepSpec::positions::<u64>("source")),
        (file(), StepSpec::positions::<u64>("sink")),
        (outbox(), StepSpec::positions::<u64>("sink")),
    ]
}

/// A log whose files are small.
pub(super) fn log(keep: u64) -> RecoveryLog {
    let limits =
        Limits { segment_bytes: 700, commit_records: 4, garbage_bytes: 400, range_bytes: 80 };
    let keep = Keep { epochs: keep, ..Keep::default() };
    RecoveryLog { limits, keep, ..RecoveryLog::at("log").key_groups(GROUPS) }
}

/// What a start has taken over.
pub(super) struct Started {
    pub(super) adopted: Adopted,
    pub(super) kept: Kept,
    /// The file that the sink writes, cut back.
    pub(super) out: Box<dyn crate::io::file::File>,
}

/// Starts on a disk, and compares what it finds with the world. The outer error is what a failing disk may cause, the inner one must not be.
pub(super) fn start(
    disk: &SimDisk,
    world: &mut World,
    workers: usize,
    keep: u64,
    back: Option<u64>,
) -> Result<Result<Started, Error>, String> {
    let env = Virtual::new(disk.operations() ^ world.acknowledged).with_io(disk.io());
    let mut log = log(keep);
    if let Some(epoch) = back {
        log = log.resume_from(Epoch(epoch));
    }
    let begun = Folder::open(&env, &log, "sim");
    let adopted = match begun.and_then(|folder| folder.adopt(&steps(), workers, &log)) {
        Ok(adopted) => adopted,
        Err(error) => return Ok(Err(error)),
    };
    let next = adopted.recovered.epoch.0;
    if back.is_some_and(|epoch| next != epoch) {
        return Err(format!("it was to go back to {back:?}, and goes on at {next}"));
    }
    if next < world.acknowledged {
        return Err(format!(
            "epoch {} was committed, and the log goes on at {next}",
            world.acknowledged - 1
        ));
    }
    let kept = match find(&adopted, workers) {
        Ok(kept) => kept,
        Err(error) => return Ok(Err(error)),
    };
    let must = world.kept.get(&next).map(|kept| Kept::clone(kept)).unwrap_or_default();
    if (&kept.state, kept.read) != (&must.state, must.read) {
        return Err(format!("at epoch {next} the log says {kept:?}, and must say {must:?}"));
    }
    world.goes_on_at(next);
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    for stored in &adopted.commits.manifest().stored {
        let recovered = &adopted.recovered;
        match read_stored(&files, &recovered.named, &recovered.layout, stored) {
            Ok(rows) => world.apply(stored.epoch, &rows),
            Err(error) => return Ok(Err(error)),
        }
    }
    world.check_target(next)?;
    let out = match cut_back(&files, &adopted, &must.out) {
        Ok(out) => out?,
        Err(error) => return Ok(Err(error)),
    };
    Ok(Ok(Started { adopted, kept: must, out }))
}

/// Looks at a disk on which nothing fails any more.
pub(super) fn look(disk: &SimDisk, world: &World, workers: usize) -> Result<(), String> {
    match start(disk, &mut world.clone(), workers, 1, None)? {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the start is refused: {error}")),
    }
}

/// The epochs that a run can go back to, without its target being ahead.
pub(super) fn ways_back(disk: &SimDisk, world: &World) -> Vec<u64> {
    let files: Arc<dyn Files> = Arc::new(disk.fork());
    let layout = Layout::new(Path::new("log"));
    let format = disk.get("log/FORMAT").unwrap_or_default();
    let Some(log_id) = format.get(16..32).and_then(|id| id.try_into().ok()) else {
        return Vec::new();
    };
    let names = list_commits(&*files, &layout).unwrap_or_default();
    let past = history(&files, &layout, log_id, &names).unwrap_or_default();
    let there = past.iter().filter(|past| past.is_there(&*files, &layout));
    let applied = world.applied.last_key_value().map(|(last, _)| *last);
    there.map(|past| past.committed.next.0).filter(|next| applied < Some(*next)).collect()
}

/// What the log says, each worker its part.
fn find(adopted: &Adopted, workers: usize) -> Result<Kept, Error> {
    let recovered = &adopted.recovered;
    let mut state = BTreeMap::new();
    for worker in 0..workers {
        let restoring = Restoring::new(recovered, worker, workers);
        let mut own = BTreeMap::new();
        restoring.keyed(&counts(), |_, entry| {
            match entry {
                Keyed::Value { key, value, .. } => {
                    let value = Vec::<u8>::load_all(value)?;
                    drop(own.insert(load_key::<u64>(key)?, value));
                }
                Keyed::Gone { key } => drop(own.remove(&load_key::<u64>(key)?)),
                Keyed::Part { .. } => return Err(LoadError::new("there are no maps and lists")),
            }
            Ok::<(), LoadError>(())
        })?;
        state.append(&mut own);
    }
    let (read, _) = resume_at::<u64>(Some(recovered), &source(), &partition())?;
    let read = match read {
        Resume::Fresh => 0,
        Resume::At { position, .. } => position,
    };
    Ok(Kept { state, read, out: Vec::new() })
}

/// Cuts the file of the sink back to what it was at the commit.
fn cut_back(
    files: &Arc<dyn Files>,
    adopted: &Adopted,
    must: &[u8],
) -> Result<Result<Box<dyn crate::io::file::File>, String>, Error> {
    let failed = |error| crate::recovery::fault::failed("write", Path::new(OUT), error);
    let (resume, _) = resume_at::<u64>(Some(&adopted.recovered), &file(), &partition())?;
    let length = match resume {
        Resume::Fresh => 0,
        Resume::At { position, .. } => position,
    };
    let mut out = files.create(Path::new(OUT), false).map_err(failed)?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let read = out.read_at(0, &mut bytes).map_err(failed)?;
    if read < bytes.len() || bytes != must {
        return Ok(Err(format!(
            "the sink's file has not what was committed: {read} of {length} bytes"
        )));
    }
    out.set_len(length).map_err(failed)?;
    out.sync().map_err(failed)?;
    files.sync_folder(Path::new("")).map_err(failed)?;
    Ok(Ok(out))
}
