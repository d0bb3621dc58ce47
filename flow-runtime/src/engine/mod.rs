//! The engine: workers that pass batches and markers, and a coordinator that orders barriers.
//!
//! | file | what it owns |
//! |---|---|
//! | `link` | what the participants share: queues, messages, counters |
//! | `fifo` | one queue between two workers |
//! | `outlet` | the sending end of a boundary |
//! | `stage` | the receiving end: alignment |
//! | `source` | a source's stage: polling |
//! | `meter` | what a worker measures of itself, where that is asked for |
//! | `tell` | what a stage's consumers are told and answer |
//! | `core` | a worker's stages and the rule which of them may run |
//! | `assemble` | a plan becomes stages |
//! | `worker` | a worker's loop |
//! | `committer` | the thread that writes the recovery log |
//! | `compactor` | the thread that keeps the log small |
//! | `coordinator` | the sequence of barriers, end and failure |
//! | `survey` | partitions, listed and dealt at the start |
//! | `launch` | the threads |
//! | `planned` | what a start would make of a recovery log |

mod assemble;
pub(crate) mod committer;
mod compactor;
mod coordinator;
mod core;
mod fifo;
mod launch;
pub(crate) mod link;
pub(crate) mod meter;
mod outlet;
mod planned;
mod source;
mod stage;
mod survey;
mod tell;
mod worker;

#[cfg(test)]
mod tests;

pub use coordinator::EpochPolicy;
pub(crate) use launch::{Launched, Settings, launch};
pub(crate) use planned::{Planned, Verdict, plan_start};
pub(crate) use survey::survey_steps;
