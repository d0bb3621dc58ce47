//! Running a dataflow: as a program, inside a service, or on a virtual schedule.

mod dataflow;
mod handle;
mod options;
mod program;

pub use dataflow::Dataflow;
pub use handle::{Finished, Running, Saving, Stopper, Summary};
pub use options::{GraphFormat, Progress, RunOptions};
