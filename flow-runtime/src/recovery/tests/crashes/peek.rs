//! Looking at a log without taking it over: does it say what it must? It writes nothing and compares no steps, so it costs half of
//! what a start costs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::model::World;
use super::start::{OUT, counts, file, partition, source};
use crate::describe::StepId;
use crate::error::Error;
use crate::io::file::{File, Files};
use crate::recovery::block::{Block, Kind};
use crate::recovery::check::{Checked, check, read_stored};
use crate::recovery::folder::read_format;
use crate::recovery::frame::Frames;
use crate::recovery::manifest::Manifest;
use crate::recovery::names::Layout;
use crate::recovery::start::read_newest;
use crate::sim::SimDisk;
use crate::state::Saved;
use crate::state::key_code::load_key;

/// Looks at a disk on which nothing fails any more.
pub(super) fn peek(disk: &SimDisk, world: &World) -> Result<(), String> {
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    let layout = Layout::new(Path::new("log"));
    let refused = |error: Error| format!("the log cannot be read: {error}");
    let Some((log_id, format)) = read_format(&files, &layout).map_err(refused)? else {
        return match world.acknowledged {
            0 => Ok(()),
            next => Err(format!("epoch {} was committed, and the log is gone", next - 1)),
        };
    };
    let newest = read_newest(&files, &layout, &log_id, &format, u64::MAX).map_err(refused)?;
    let manifest = newest.manifest;
    let next = manifest.resume_epoch().0;
    if next < world.acknowledged {
        let committed = world.acknowledged - 1;
        return Err(format!("epoch {committed} was committed, and the log goes on at {next}"));
    }
    let checked = check(&files, &layout, &log_id, &manifest).map_err(refused)?;
    let nothing = Arc::default();
    let must = world.kept.get(&next).unwrap_or(&nothing);
    let state = state(&files, &checked, number(&manifest, &counts()))?;
    let read = position(&checked, &manifest, &source());
    if (&state, read) != (&must.state, must.read) {
        return Err(format!("at epoch {next} the log says {state:?}, and must say {must:?}"));
    }
    let (applied, rows) = (world.applied.clone(), world.rows.clone());
    let mut target = World { applied, rows, ..World::default() };
    for stored in &manifest.stored {
        let rows = read_stored(&files, &checked.files, &layout, stored).map_err(refused)?;
        target.apply(stored.epoch, &rows);
    }
    target.check_target(next)?;
    let length = usize::try_from(position(&checked, &manifest, &file())).unwrap_or(usize::MAX);
    let out = disk.get(OUT).unwrap_or_default();
    if out.get(..length) != Some(must.out.as_slice()) {
        return Err("the sink's file has not what was committed".to_owned());
    }
    Ok(())
}

fn number(manifest: &Manifest, id: &StepId) -> Option<u32> {
    let mut steps = manifest.steps.iter();
    steps.find(|step| step.id == id.as_str()).map(|step| step.number)
}

fn position(checked: &Checked, manifest: &Manifest, id: &StepId) -> u64 {
    let positions = number(manifest, id).and_then(|step| checked.positions.get(&step));
    let saved = positions.and_then(|positions| positions.get(&partition()));
    saved.and_then(|bytes| postcard::from_bytes(bytes).ok()).unwrap_or(0)
}

fn state(
    files: &Arc<dyn Files>,
    checked: &Checked,
    step: Option<u32>,
) -> Result<BTreeMap<u64, Vec<u8>>, String> {
    let mut state = BTreeMap::new();
    let frames = step.and_then(|step| checked.frames.get(&step));
    let mut open: Option<(u32, Box<dyn File>)> = None;
    for frame in frames.into_iter().flatten() {
        let named = &checked.files[frame.file as usize];
        if open.as_ref().is_none_or(|(file, _)| *file != frame.file) {
            let file = files.open(&named.path).map_err(|error| error.to_string())?;
            open = Some((frame.file, file));
        }
        let Some((_, file)) = &mut open else { continue };
        let mut reader = Frames::new(&mut **file, named.seed, frame.offset, named.end);
        let read = reader.next().map_err(|bad| bad.to_string())?;
        let block = read.and_then(|read| Block::decode(read.payload)).ok_or("no block")?;
        let kind = block.head.kind;
        let taken = block.entries(
            |group| checked.cover.counts(group, frame.origin),
            |entry| {
                let key = load_key::<u64>(entry.key)?;
                match kind {
                    Kind::Tombstone => drop(state.remove(&key)),
                    _ => drop(state.insert(key, Vec::<u8>::load_all(entry.value)?)),
                }
                Ok::<(), crate::state::LoadError>(())
            },
        );
        if !matches!(taken, Some(Ok(()))) {
            return Err("a block is malformed".to_owned());
        }
    }
    Ok(state)
}
