//! What a start found.

use std::fmt;
use std::time::Duration;

use crate::time::Epoch;

/// What a start found in the recovery log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Whether an earlier run had committed anything.
    pub resumed: bool,
    /// The first epoch that is not committed: where this run began.
    pub epoch: Epoch,
    /// The number of this run among all on the log, from 1.
    pub generation: u64,
    /// The steps with state, in the order of their ids.
    pub steps: Vec<StepRecovered>,
    /// The steps whose saved state was dropped, as was asked for.
    pub dropped: Vec<String>,
    /// The steps whose state has got a new version: what is saved is converted as it is loaded, what is saved from now on has the
    /// new one.
    pub migrated: Vec<String>,
    /// Files of which one copy was damaged or missing, each in words. The other copy was whole.
    pub repaired: Vec<String>,
    /// How long it took, from the start to the first poll of a source.
    pub took: Duration,
}

/// What was loaded for one step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepRecovered {
    /// The step's id.
    pub step: String,
    /// The keys that have state; of a broadcast value 1.
    pub keys: u64,
    /// The bytes that were read for it from the log.
    pub bytes: u64,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resumed {
            true => write!(f, "resumed at epoch {}", self.epoch)?,
            false => write!(f, "fresh")?,
        }
        write!(f, ", run {}", self.generation)?;
        for step in self.steps.iter().filter(|step| step.keys > 0) {
            let keys = if step.keys == 1 { "key" } else { "keys" };
            write!(f, ", {}: {} {keys} ({} bytes)", step.step, step.keys, step.bytes)?;
        }
        write!(f, ", {} ms", self.took.as_millis())?;
        for migrated in &self.migrated {
            write!(f, "; migrated the state of {migrated}")?;
        }
        for dropped in &self.dropped {
            write!(f, "; dropped the state of {dropped}")?;
        }
        for repaired in &self.repaired {
            write!(f, "; repaired: {repaired}")?;
        }
        Ok(())
    }
}
