//! What the tests of more than one crate stand on.
//!
//! * [`toy`]: a second host, which aligns epochs by frontier and stash instead of markers in the queues. It runs the
//!   same plans as the engine, so that the seams between plan and host stay honest.
//! * [`given`] and [`collect`]: a source of given partitions, and a sink that keeps what it gets; [`scripted`]: a source whose
//!   partitions have items at given times of the clock.
//! * [`random`]: random graphs, as real plans and as a plain interpreter over vectors.
//! * [`recovery`]: runs that are interrupted and go on with a recovery log.
//! * [`runner`]: the ways to run a dataflow, so that a test is written once for all of them.

pub mod collect;
pub mod given;
pub mod random;
pub mod recovery;
pub mod rng;
pub mod runner;
pub mod scripted;
pub mod toy;
