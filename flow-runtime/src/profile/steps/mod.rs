//! Counts and times of single steps, inside of fused stages.
//!
//! They need code for each item, so they are there only with the feature `profile` of this crate. Without it everything here is
//! empty and is compiled away; what uses it need not know.
//!
//! A step's counters hang on its [`StepId`](crate::describe::StepId), which every clone shares: the step reaches them without
//! looking anything up. They are made where a worker assembles its plan, so each worker has its own and none is shared. A
//! [`Note`](crate::failure::Note) counts, and sets what the worker is at; when it is cleared it sets back what was there before,
//! since a step pushes downstream from inside of its function. So at any time one step is being run, and a thread that looks a
//! thousand times a second finds out how the time is divided.

#[cfg(not(feature = "profile"))]
mod off;
#[cfg(feature = "profile")]
mod on;

#[cfg(not(feature = "profile"))]
pub(crate) use off::{Counted, Emitted, Outer, Watched, Watching};
#[cfg(feature = "profile")]
pub(crate) use on::{Counted, Emitted, Outer, Watched, Watching};

use crate::engine::meter::Account;

/// Whether steps are counted and timed.
pub(crate) const PER_STEP: bool = cfg!(feature = "profile");

/// What was counted of the steps of one worker.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) counts: Vec<StepCounts>,
    /// How often the worker was found at its own work: not in a step, but in a stage, between stages, or at rest.
    pub(crate) samples: Vec<(Account, u64)>,
}

/// What was counted of one step of one worker.
#[derive(Debug)]
pub(crate) struct StepCounts {
    pub(crate) step: String,
    /// It is the other half of the step: a sink's partitions.
    pub(crate) apart: bool,
    pub(crate) taken: u64,
    pub(crate) emitted: u64,
    /// How often the worker was found in it.
    pub(crate) samples: u64,
}
