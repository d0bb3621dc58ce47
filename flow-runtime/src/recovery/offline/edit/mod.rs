//! What changes a log without its dataflow. All but pins take the lock, and act as a run of their own: with a generation that nobody else
//! has, whose first record says what the log is from then on.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | taking hold of a log |
//! | `compact` | writing a log again without what has been superseded |
//! | `go_back` | letting the next run begin at an earlier commit |
//! | `pin` | pinning commits, also beside a running dataflow |
//! | `repair` | getting damaged files out of the way |

mod compact;
mod go_back;
mod pin;
mod repair;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::env::{Env, Real};
use crate::error::Error;
use crate::recovery::RecoveryLog;
use crate::recovery::folder::Folder;
use crate::recovery::offline::reader::Ground;

pub use compact::{Compacted, compact};
pub use go_back::{WentBack, go_back};
pub use pin::{pin, unpin};
pub use repair::Repair;

/// Locks a log that is there.
fn hold(env: &dyn Env, folder: &Path) -> Result<(Ground, Folder), Error> {
    let ground = Ground::find(Arc::clone(env.io().files()), folder)?;
    let held = Folder::open(env, &RecoveryLog::at(folder), &ground.format.dataflow)?;
    Ok((ground, held))
}

/// The machine.
fn here() -> Real {
    Real::new()
}
