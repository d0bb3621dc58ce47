//! Simulation: a machine in memory that crashes where a test says.
//!
//! | file | what it owns |
//! |---|---|
//! | `disk/` | [`SimDisk`]: files that lose what was not synced, tear, fill up and fail |

mod disk;

pub use disk::{Faults, Moment, SimDisk};
