//! Compacting a log on which no dataflow runs: what a running one does in the background, all at once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::env::Env;
use crate::error::Error;
use crate::recovery::Limits;
use crate::recovery::check::check;
use crate::recovery::commits::CommitLog;
use crate::recovery::compact::Round;
use crate::recovery::fence::Fence;
use crate::recovery::folder::Folder;
use crate::recovery::history::Past;
use crate::recovery::keep::{Keep, Keeper};
use crate::recovery::offline::edit::{here, hold};
use crate::recovery::start::{Place, all_files, read_newest};
use crate::recovery::writer::{Begun, LogWriter, Refused};

/// What compacting a log has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The bytes of all files of the log before.
    pub before: u64,
    /// The same, after it.
    pub after: u64,
    /// How many earlier commits a run could go back to before.
    pub kept_before: u64,
    /// The same, after it.
    pub kept_after: u64,
}

/// Writes what a log holds again without what has been superseded, and removes what is not needed any more. Of the commits the last
/// `keep_epochs` stay, at least one, and those that are pinned, with the files that they need.
///
/// # Errors
/// When the dataflow runs, the log is damaged, or a file cannot be read or written. The log then holds what it held before.
pub fn compact(folder: impl AsRef<Path>, keep_epochs: u64) -> Result<Compacted, Error> {
    compact_on(&here(), folder.as_ref(), keep_epochs)
}

/// The same, on any machine.
pub(super) fn compact_on(
    env: &dyn Env,
    folder: &Path,
    keep_epochs: u64,
) -> Result<Compacted, Error> {
    let (ground, held) = hold(env, folder)?;
    let before = ground.size()?;
    let kept_before = ground.place().past()?.len() as u64;
    let lock = Arc::clone(&held.lock);
    held.claim(|held, generation| compact_as(generation, held, keep_epochs))?;
    let (after, kept_after) = (ground.size()?, ground.place().past()?.len() as u64);
    drop(lock);
    // Where nothing but the newest is kept, no file of commits need be left that it was in.
    let (kept_before, kept_after) = (kept_before.max(1), kept_after.max(1));
    Ok(Compacted { before, after, kept_before, kept_after })
}

fn compact_as(generation: u64, held: Folder, keep_epochs: u64) -> Result<(), Error> {
    let Folder { files, layout, log_id, format, lock: _lock, .. } = held;
    let newest = read_newest(&files, &layout, &log_id, &format, generation)?.manifest;
    let place = Place { files: &files, layout: &layout, log_id: &log_id, generation };
    let checked = check(&files, &layout, &log_id, &newest);
    let checked = checked.map_err(|error| place.with_ways_back(error, &newest))?;
    let mut past = place.past()?;
    let is_earlier =
        |past: &Past| Some(past.committed.barrier) < newest.last.map(|last| last.barrier);
    past.retain(is_earlier);
    let limits = Limits::default();
    let commits =
        CommitLog::begin(&files, &layout, log_id, generation, newest, limits.commit_records)?;
    let keep = Keep { epochs: keep_epochs.max(1), younger: Duration::ZERO };
    let there = all_files(&*files, &layout)?;
    let keeper = Keeper::new(keep, generation, commits.manifest(), &past, &there, false);
    let fence = Fence::new(&files, &layout, generation);
    let mut writer = LogWriter::without_dataflow(Begun {
        commits,
        keeper,
        files,
        layout,
        log_id,
        generation,
        fence,
        limits,
        sizes: checked.sizes,
    });
    let (ground, manifest) = writer.begin_round();
    if let Some(mut round) = Round::begin(ground, &manifest, &|| true)? {
        while let Some(base) = round.next()? {
            writer.compacted(base);
        }
    }
    if let Some(commit) = writer.naming_bases() {
        writer.commit(vec![commit]).map_err(Refused::into_error)?;
    }
    writer.tidy()
}
