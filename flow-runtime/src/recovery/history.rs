//! The commits that a log still knows: those of the newest run, those of the run that it went on from, and so on back.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::Error;
use crate::io::file::Files;
use crate::recovery::keep::{Gone, named, paths};
use crate::recovery::manifest::{Committed, Manifest};
use crate::recovery::names::{CommitName, Layout};
use crate::recovery::newest::read_all;

/// A commit of the past.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub(crate) committed: Committed,
    /// Generation and number of the commit file that it lies in.
    pub(crate) file: (u64, u64),
    /// As it was behind the commit.
    pub(crate) manifest: Manifest,
}

impl Past {
    /// Whether going back to it needs a file.
    pub(crate) fn needs(&self, file: &Gone) -> bool {
        match file {
            Gone::Commits { generation, number } => self.file == (*generation, *number),
            other => named(&self.manifest).contains(other),
        }
    }

    /// Whether all files that it names are there.
    pub(crate) fn is_there(&self, files: &dyn Files, layout: &Layout) -> bool {
        named(&self.manifest)
            .into_iter()
            .flat_map(|file| paths(layout, file))
            .all(|path| files.kind(&path).is_ok())
    }
}

/// All commits that led to the newest one of the commit files `names`, the oldest first, each once. It ends where commit files have
/// been removed, or cannot be read.
pub(crate) fn history(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: &[u8; 16],
    names: &[CommitName],
) -> Result<Vec<Past>, Error> {
    history_past(files, layout, log_id, names, None, &mut |_, is_newest, error| match is_newest {
        true => Err(error),
        false => {
            // Nothing can be said of what lies before.
            tracing::debug!(%error, "the log's past ends here");
            Ok(false)
        }
    })
}

/// The same, of those that led to the commit of a run with a barrier, if that is given. `damaged` is told the generation and number of a commit file that cannot be read, and whether it is the newest; it answers
/// whether to go on with what lies before the damage.
pub(crate) fn history_past(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: &[u8; 16],
    names: &[CommitName],
    mut from: Option<(u64, u64)>,
    damaged: &mut dyn FnMut((u64, u64), bool, Error) -> Result<bool, Error>,
) -> Result<Vec<Past>, Error> {
    let mut pairs: Vec<(u64, u64)> =
        names.iter().map(|name| (name.generation, name.number)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    // The newest first.
    let mut found: Vec<Past> = Vec::new();
    let mut known = BTreeSet::new();
    // `from` is where the run that was read last went on from: the run, and its barrier.
    let mut is_newest = true;
    while let Some((generation, number)) = pairs.pop() {
        // A run that another one has not gone on from.
        if from.is_some_and(|(run, _)| generation > run) {
            continue;
        }
        let leads = |last: &Committed| match from {
            None => true,
            Some((run, barrier)) => last.generation == run && last.barrier <= barrier,
        };
        let (mut here, mut first, mut is_damaged) = (Vec::<Past>::new(), None, false);
        let mut each = |manifest: &Manifest| {
            let Some(committed) = manifest.last else { return };
            first.get_or_insert(committed);
            // What a file begins with was committed by another file. That may be gone by now, or say it in terms of files that are. What has
            // gone on from this run has gone on from that, too.
            let is_adopted = committed.generation < generation
                && from.is_none_or(|(_, barrier)| committed.barrier <= barrier);
            if !is_adopted && (committed.generation != generation || !leads(&committed)) {
                return;
            }
            // One that closes no epoch stands for the one before.
            if here.last().is_some_and(|past| past.committed.barrier == committed.barrier) {
                here.pop();
            }
            here.push(Past { committed, file: (generation, number), manifest: manifest.clone() });
        };
        let read = match read_all(files, layout, generation, number, log_id, &mut each) {
            Ok(read) => read,
            Err(error) => {
                if !damaged((generation, number), is_newest, error)? {
                    break;
                }
                is_damaged = true;
                true
            }
        };
        if !read {
            continue;
        }
        is_newest = false;
        here.retain(|past| known.insert(past.committed.barrier));
        found.extend(here.into_iter().rev());
        match first {
            Some(first) if first.generation != generation => {
                from = Some((first.generation, first.barrier));
            }
            // An earlier file of the same run.
            Some(_) => from = from.or(Some((generation, u64::MAX))),
            // Where it began is not known: whatever comes before it may have led to it.
            None if is_damaged => from = None,
            // It began with nothing.
            None => break,
        }
    }
    found.reverse();
    Ok(found)
}
