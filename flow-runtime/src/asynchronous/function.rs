//! What an asynchronous step runs.

use std::fmt::{self, Display};
use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// One attempt at an item. It runs on the worker's own thread.
pub type Attempt<T> = Pin<Box<dyn Future<Output = Result<T, String>>>>;

/// What an asynchronous step calls for an item, by any function: only the types of what goes in and what is answered still show, so whatever is
/// wrong with the function has been said where it was wired. A call through a pointer is nothing beside a future in flight.
///
/// The item is lent: it is kept, and may be tried again.
pub type AsyncFn<A, T> = Box<dyn Fn(&A) -> Attempt<T>>;

/// A kind of asynchronous step: what it makes of an item and the `T` that was answered for it.
pub trait AsyncStep<A, T>: 'static {
    /// The kind, as in the graph.
    const KIND: &'static str;
    /// What comes out.
    type Out: 'static;
    /// What comes out for the item.
    fn out(item: A, answer: T) -> Self::Out;
}

/// An item that an asynchronous step could not do, and why.
///
/// ```
/// use flow_runtime::prelude::*;
///
/// let failed = AsyncFailed { item: "order 7", attempts: 3, reason: AsyncReason::TimedOut };
/// assert_eq!(failed.to_string(), "given up after 3 attempts: timed out");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AsyncFailed<A> {
    /// The item as it went in.
    pub item: A,
    /// How often it was tried; at least once.
    pub attempts: u32,
    /// How the last attempt failed.
    pub reason: AsyncReason,
}

/// How an attempt of an asynchronous step failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AsyncReason {
    /// It took longer than [`Async::timeout`](crate::steps::Async::timeout) allows.
    TimedOut,
    /// The function answered an error, of which this is the text.
    Refused(String),
}

impl Display for AsyncReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsyncReason::TimedOut => f.write_str("timed out"),
            AsyncReason::Refused(text) => f.write_str(text),
        }
    }
}

impl<A> Display for AsyncFailed<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(f, "given up after {} attempt{plural}: {}", self.attempts, self.reason)
    }
}

/// What an asynchronous step keeps while an attempt works on a copy: to try it again, and to pass it on if it failed.
#[diagnostic::on_unimplemented(
    message = "an asynchronous step keeps an item while a copy of it is in flight, so its items must be `Clone`; `{Self}` is not",
    label = "not `Clone`",
    note = "derive `Clone` for `{Self}`, or share its contents in an `Arc`"
)]
pub trait Retriable: Sized {
    /// A copy for one more attempt.
    fn again(&self) -> Self;
}
#[diagnostic::do_not_recommend]
impl<T: Clone> Retriable for T {
    fn again(&self) -> T {
        self.clone()
    }
}

/// What the future of an asynchronous step answers: a `Result`.
#[diagnostic::on_unimplemented(
    message = "the future of an asynchronous step answers a `Result` here, but this one answers `{Self}`",
    label = "answers `{Self}`, not a `Result`",
    note = "an error goes to the step's second output as text; what cannot fail answers `Ok::<_, String>(value)`, or is a function with `#[async_map]`"
)]
pub trait Answered: 'static {
    /// What comes out.
    type Value: 'static;
    /// The value, or the error as text.
    fn answered(self) -> Result<Self::Value, String>;
}
// Recommended: which part of a `Result` is wrong must be said.
impl<T: 'static, E: Refusal + 'static> Answered for Result<T, E> {
    type Value = T;
    fn answered(self) -> Result<T, String> {
        self.map_err(|error| error.reason())
    }
}

/// An error of an asynchronous step.
#[diagnostic::on_unimplemented(
    message = "an error of an asynchronous step goes to its second output as text, so it must be `Display`; `{Self}` is not",
    label = "not `Display`",
    note = "implement `std::fmt::Display` for `{Self}`, or turn it into a text first: `.map_err(|error| format!(..))`"
)]
pub trait Refusal {
    /// The text.
    fn reason(&self) -> String;
}
#[diagnostic::do_not_recommend]
impl<E: Display> Refusal for E {
    fn reason(&self) -> String {
        self.to_string()
    }
}

/// A function's future as an attempt.
pub fn attempt<T>(future: impl Future<Output = Result<T, String>> + 'static) -> Attempt<T> {
    Box::pin(future)
}

/// How an item is copied. Called by expansions, for the words of its bound.
pub fn again<T: Retriable>() -> impl Fn(&T) -> T {
    T::again
}

/// The text of an error. Called by expansions, for the words of its bound.
pub fn reason<E: Refusal>(error: E) -> String {
    error.reason()
}
