//! The outside world of the engine: time, turns, parking, files.
//!
//! The engine runs participants: the workers `0..n` and the coordinator `n`. On the real environment each runs whenever the
//! operating system lets it. On the [virtual one](virtual_env::Virtual) exactly one runs at a time, a seed decides which, and time passes
//! only when all of them wait. The code of the engine is the same.

mod real;
mod virtual_env;

pub(crate) use real::Real;
pub use virtual_env::Virtual;

use std::fmt;
use std::time::Duration;

use crate::io::Io;
use crate::time::Timestamp;

/// Time, turns, parking and files.
pub(crate) trait Env: Send + Sync + fmt::Debug {
    /// Called once, before the participants begin.
    fn begin(&self, participants: usize);
    /// The first call of a participant, on its own thread.
    fn enter(&self, who: usize) {
        let _ = who;
    }
    /// The last call of a participant.
    fn leave(&self, who: usize) {
        let _ = who;
    }
    /// A point at which another participant may run.
    fn turn(&self, who: usize) {
        let _ = who;
    }
    /// Waits until unparked, or until a time. Being unparked before counts. May return early.
    fn park(&self, who: usize, until: Option<Timestamp>);
    /// Ends or forestalls a participant's waiting. May be called from any thread.
    fn unpark(&self, who: usize);
    /// Whether every participant waits for another one, so that nothing will ever happen again.
    fn is_stuck(&self) -> bool {
        false
    }
    /// Waits a while on a thread that does not participate. Answers whether time has passed: it does not by itself where it waits for
    /// the participants.
    #[cfg_attr(not(feature = "profile"), allow(dead_code))] // Who looks at workers waits so.
    fn pause(&self, a_while: Duration) -> bool {
        let _ = a_while;
        false
    }
    /// Processing time. It never goes back.
    fn now(&self) -> Timestamp;
    /// Lets processing time begin no earlier than this. Called before the participants begin.
    fn not_before(&self, earliest: Timestamp);
    /// A random number.
    fn random(&self) -> u64;
    /// Who this process is, in words.
    fn identity(&self) -> String;
    /// How many items a source may emit in its next turn, where the engine would allow `most`.
    fn limit(&self, most: usize) -> usize {
        most
    }
    /// The files.
    fn io(&self) -> Io;
}
