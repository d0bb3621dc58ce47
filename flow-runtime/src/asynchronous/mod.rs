//! Asynchronous steps: futures in flight behind a boundary.
//!
//! A worker polls the futures of its items itself, on its own thread, so they need not be `Send`; each has a waker that unparks
//! the worker. There is no pool of threads, and no runtime unless the feature `tokio` brings one.
//!
//! | file | what it owns |
//! |---|---|
//! | `options` | [`Async`] and [`Backoff`]: what a step is wired with |
//! | `function` | what an asynchronous step runs, and what comes of an item that failed |
//! | `flight` | one item from its first attempt to its outcome |
//! | `flights` | all items in flight: their places, wakers and order |
//! | `place` | what an item carries, stored while it is in flight |
//! | `inlet` | the receiving end: the limit, what is passed on, watermarks |
//! | `clock` | timers by processing time, and `sleep` |
//! | `polling` | what a host brings: a waker, a clock, a reactor |

mod clock;
mod flight;
mod flights;
mod function;
mod inlet;
mod options;
mod place;
mod polling;

#[cfg(test)]
mod tests;

pub(crate) use clock::now;
pub use clock::{Sleep, sleep};
pub use function::{
    Answered, AsyncFailed, AsyncFn, AsyncReason, AsyncStep, Attempt, Refusal, Retriable, again,
    attempt, reason,
};
pub(crate) use inlet::AsyncInlet;
pub use options::{Async, Backoff};
pub use place::Placed;
pub use polling::Polling;
pub(crate) use polling::Reactor;
