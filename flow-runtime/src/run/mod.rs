//! Running a dataflow.

mod dataflow;

pub use dataflow::Dataflow;
