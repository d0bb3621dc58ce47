//! Event time: when items happened, as opposed to when they are processed.
//!
//! `event_time` gives each item its time, once, in the stage of its source, and tells how far time has come: the watermark.
//! Watermarks go downstream in the order of the items; each stage takes the earliest of those that it is told.
//!
//! | file | what it owns |
//! |---|---|
//! | `disorder` | what a user says of a source's times |
//! | `partitions` | how far each partition of a source has come, and what they come to together |
//! | `board` | the same, seen from outside and from other workers |
//! | `clock` | how far event time has come at a step, saved as a floor |

mod board;
mod clock;
mod disorder;
mod partitions;

pub(crate) use board::Board;
pub use board::PartitionTime;
pub(crate) use clock::{Clock, without_time};
pub use disorder::Disorder;
pub(crate) use partitions::Partitions;
