//! Pinning commits, also beside a running dataflow.
//!
//! A running dataflow removes a file in three steps: a commit gives it up and is durable; the pins are listed; the file is removed if no
//! pin names it. So a pin that is there when they are listed is seen. Whoever pins writes the pin first, durably, and then looks at the
//! newest commit: if that names everything that the pin names, nothing of it had been given up when the pin was written, and every
//! list from then on has it. If not, the commit to be pinned was too old: the pin goes, and the newest commit is pinned instead where
//! that was asked for.
//!
//! An earlier commit names files that have been given up before and are only kept for a while. For these it is not enough to look: a
//! removal may be on its way. With the lock in hand there is none. Without it, one that was on its way is over when another commit
//! has been made, since a run removes and commits by turns; where none is made the run is idle, and removes nothing either.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::env::Env;
use crate::error::Error;
use crate::io::file::{Disk, Files, Locked};
use crate::recovery::fault::{failed, refused};
use crate::recovery::keep::named;
use crate::recovery::manifest::Manifest;
use crate::recovery::offline::at::At;
use crate::recovery::offline::edit::here;
use crate::recovery::offline::reader::{Ground, LogReader, is_there};
use crate::recovery::pin;
use crate::time::Epoch;

/// How often the newest commit is pinned anew that has been given up meanwhile.
const ATTEMPTS: usize = 8;
/// How long a run may take from a commit to the end of the removals behind it.
const REMOVALS_MAX: Duration = Duration::from_secs(5);
/// How often is looked whether another commit has been made.
const LOOK: Duration = Duration::from_millis(20);

/// Keeps a commit under a name, until [`unpin`] lets go of it. It can be done while the dataflow runs. Answers where a run begins that goes on
/// from the commit.
///
/// ```no_run
/// # fn main() -> Result<(), flow_runtime::Error> {
/// use flow_runtime::log::{self, At};
///
/// let epoch = log::pin("state", "before-upgrade", At::Newest)?;
/// println!("`--resume-from before-upgrade` begins at epoch {epoch}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the name cannot be one or is taken, the log does not keep the commit, or the pin cannot be written.
pub fn pin(folder: impl AsRef<Path>, name: &str, at: impl Into<At>) -> Result<Epoch, Error> {
    pin_on(&here(), Arc::new(Disk), folder.as_ref(), name, &at.into())
}

/// Lets go of a pin. What nothing else needs is removed by the dataflow, at its next commit or start.
///
/// # Errors
/// When there is no such pin, or it cannot be removed.
pub fn unpin(folder: impl AsRef<Path>, name: &str) -> Result<(), Error> {
    let ground = Ground::find(Arc::new(Disk), folder.as_ref())?;
    pin::remove(&*ground.files, &ground.layout, name)
}

/// The same as [`pin`], on any files.
pub(super) fn pin_on(
    env: &dyn Env,
    files: Arc<dyn Files>,
    folder: &Path,
    name: &str,
    at: &At,
) -> Result<Epoch, Error> {
    pin::check_name(name)?;
    let ground = Ground::find(files, folder)?;
    let Ground { files, layout, log_id, .. } = &ground;
    for _ in 0..ATTEMPTS {
        let manifest = match at {
            At::Newest => ground.newest_meanwhile()?.manifest,
            earlier => LogReader::open(Arc::clone(files), folder)?.manifest_at(earlier)?,
        };
        if manifest.last.is_none() {
            return Err(refused("there is nothing to pin: the log has no commit yet")
                .help("pin a commit once there is one: `flow-log ls` shows them"));
        }
        pin::write(files, layout, *log_id, name, &manifest)?;
        let seen = is_kept(env, &ground, &manifest);
        if let Ok(true) = seen {
            return Ok(manifest.resume_epoch());
        }
        pin::remove(&**files, layout, name)?;
        seen?;
        if *at != At::Newest {
            return Err(refused(format!("the running dataflow has given up {at} just now"))
                .help("pin a later one; a run that is started with a larger `--keep-epochs N` keeps them for longer"));
        }
    }
    Err(refused("each commit was given up before it could be pinned").help(
        "try again; a run that is started with a larger `--keep-epochs N` keeps commits for longer",
    ))
}

/// Whether everything that a pin names will stay, now that the pin is there.
fn is_kept(env: &dyn Env, ground: &Ground, pinned: &Manifest) -> Result<bool, Error> {
    let needed = named(pinned);
    let newest = ground.newest_meanwhile()?.manifest;
    if needed.is_subset(&named(&newest)) {
        return Ok(true);
    }
    let Ground { files, layout, .. } = ground;
    let until = env.now().after(REMOVALS_MAX);
    loop {
        // Held for the look only: a dataflow that is started in this moment is refused, and started again.
        match files.lock(&layout.lock(), &env.identity()) {
            Ok(Locked::Here(_lock)) => return Ok(is_there(ground, pinned)),
            Ok(Locked::Elsewhere(_)) => {}
            Err(error) => return Err(failed("lock", &layout.lock(), error)),
        }
        let is_over = ground.newest_meanwhile()?.manifest.last != newest.last || env.now() >= until;
        if !is_there(ground, pinned) {
            return Ok(false);
        }
        if is_over || !env.pause(LOOK) {
            return Ok(true);
        }
    }
}
