//! Simulation: a dataflow that crashes at every moment, in memory, under a seed.
//!
//! * [`Sim`] runs a dataflow under many schedules, lets it crash wherever its disk does something, and sees that the result stays the
//!   same: one line of a test.
//! * [`StepHarness`] drives a single stateful step, [`ProcessHarness`] a state machine with timers.
//! * [`SimDisk`] is the disk below it, of use by itself where something is written with [`Files`](crate::io::file::Files).
//!
//! | file | what it owns |
//! |---|---|
//! | `sim` | [`Sim`]: what is asked for |
//! | `world`, `source`, `sink` | what a simulated dataflow has around it |
//! | `history` | what happens to it, in a form that can be written down |
//! | `play` | playing a history |
//! | `explore` | which histories are tried |
//! | `rows`, `failure` | what differs, and what is said |
//! | `harness` | [`StepHarness`]: one step without a dataflow |
//! | `process_harness` | [`ProcessHarness`]: the same for a state machine with timers |
//! | `one_step` | what a log would have of such a step |
//! | `disk/` | [`SimDisk`]: files that lose what was not synced, tear, fill up and fail |

mod disk;
mod explore;
mod failure;
mod harness;
mod history;
mod one_step;
mod play;
mod process_harness;
mod rows;
#[allow(clippy::module_inception)] // It is what the module is about.
mod sim;
mod sink;
mod source;
mod world;

pub use disk::{Faults, Moment, SimDisk};
pub use failure::SimFailure;
pub use harness::StepHarness;
pub use process_harness::ProcessHarness;
pub use rows::Outcome;
pub use sim::{Sim, SimReport};
pub use sink::{SimEncoder, SimSink, SimWriter};
pub use source::{SimReader, SimSource};
pub use world::World;

pub use crate::timers::By;
