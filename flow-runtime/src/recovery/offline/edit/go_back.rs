//! Going back without starting the dataflow: a run that commits nothing, and adopts an earlier commit.

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::recovery::Limits;
use crate::recovery::check::check;
use crate::recovery::commits::CommitLog;
use crate::recovery::folder::Folder;
use crate::recovery::manifest::Manifest;
use crate::recovery::offline::at::At;
use crate::recovery::offline::edit::{here, hold};
use crate::recovery::offline::reader::LogReader;
use crate::time::Epoch;

/// What going back has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WentBack {
    /// Where the next run would have begun.
    pub from: Epoch,
    /// Where it begins.
    pub to: Epoch,
    /// The ids of the sinks that keep positions, or store something with epochs: their targets may be ahead now.
    pub sinks: Vec<String>,
}

/// Lets the next run go on from an earlier commit, as [`RecoveryLog::resume_from`](crate::RecoveryLog::resume_from) does. What was committed later is given
/// up: the next run removes it. [Pin](super::pin) the newest commit before to be able to come back.
///
/// No sink is asked: the next run cuts files back, and fails where a target is ahead that cannot be taken back.
///
/// # Errors
/// When the dataflow runs, or the log does not keep the commit, or a file that it needs is damaged. Nothing is changed then.
pub fn go_back(folder: impl AsRef<Path>, at: impl Into<At>) -> Result<WentBack, Error> {
    let (ground, held) = hold(&here(), folder.as_ref())?;
    let log = LogReader::open(Arc::clone(&ground.files), ground.layout.root())?;
    let manifest = log.manifest_at(&at.into())?;
    let checked = check(&ground.files, &ground.layout, &ground.log_id, &manifest);
    checked.map_err(|error| ground.place().with_ways_back(error, &manifest))?;
    let (from, to) = (log.resume_epoch(), manifest.resume_epoch());
    let sinks = manifest.steps.iter().filter(|step| step.spec.kind == "sink");
    let sinks = sinks.map(|step| step.id.clone()).collect();
    if manifest.last != log.manifest_at(&At::Newest)?.last {
        begin_with(held, manifest)?;
    }
    Ok(WentBack { from, to, sinks })
}

/// Begins a run of which this is all that there is. When it answers that is durable.
pub(super) fn begin_with(held: Folder, manifest: Manifest) -> Result<(), Error> {
    held.claim(|held, generation| {
        let Folder { files, layout, log_id, lock: _lock, .. } = held;
        let records = Limits::default().commit_records;
        CommitLog::begin(&files, &layout, log_id, generation, manifest, records).map(drop)
    })
}
