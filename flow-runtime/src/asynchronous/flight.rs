//! One item from its first attempt to its outcome.
//!
//! ```text
//!  begin ─▶ running ── answered ──────────────▶ done
//!             │  ▲
//!   refused,  │  └── rested ──┐
//!   timed out └──▶ resting ───┘
//!             └── no attempt left ────────────▶ done
//! ```

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::clock::{Clock, Timer};
use super::function::{AsyncReason, Attempt};
use super::options::Async;

/// An item in flight. `P` is what it carries.
pub(super) struct Flight<P, A, T> {
    pub(super) place: P,
    pub(super) item: A,
    /// How many items its worker has taken before it.
    pub(super) number: u64,
    /// Those that must come out in order share a line.
    pub(super) line: u64,
    pub(super) run: Run<T>,
}

/// How far an item has got.
pub(super) struct Run<T> {
    attempts: u32,
    stage: Stage<T>,
}

enum Stage<T> {
    /// The next attempt begins.
    Begin,
    /// An attempt, and when it is given up.
    Running(Attempt<T>, Option<Timer>),
    /// Between two attempts.
    Resting(Timer),
    Done(Result<T, AsyncReason>),
}

/// What a flight goes on with.
pub(super) struct Going<'a> {
    pub(super) options: &'a Async,
    pub(super) clock: &'a Rc<Clock>,
    pub(super) waker: &'a Waker,
    /// What jitter depends on.
    pub(super) seed: u64,
}

impl<T> Run<T> {
    pub(super) fn new() -> Self {
        Run { attempts: 0, stage: Stage::Begin }
    }

    /// How many attempts have begun.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }

    /// The outcome, if it is done.
    pub(super) fn into_outcome(self) -> Option<Result<T, AsyncReason>> {
        match self.stage {
            Stage::Done(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Goes on as far as it gets now. `begin` begins an attempt.
    pub(super) fn go_on(&mut self, going: &Going<'_>, begin: impl Fn() -> Attempt<T>) {
        let Going { options, clock, waker, seed } = *going;
        loop {
            match &mut self.stage {
                Stage::Begin => {
                    self.attempts += 1;
                    let until =
                        options.timeout.map(|after| clock.set(clock.now().after(after), waker));
                    self.stage = Stage::Running(begin(), until);
                }
                Stage::Running(attempt, until) => {
                    // First the future, then the time: what is there at the last moment counts.
                    let outcome = match attempt.as_mut().poll(&mut Context::from_waker(waker)) {
                        Poll::Ready(answer) => answer.map_err(AsyncReason::Refused),
                        Poll::Pending if until.is_some_and(|until| until.due <= clock.now()) => {
                            Err(AsyncReason::TimedOut)
                        }
                        Poll::Pending => return,
                    };
                    if let Some(until) = until {
                        clock.forget(*until);
                    }
                    if outcome.is_err() && self.attempts <= options.retries {
                        let pause = options.backoff.pause(self.attempts, seed);
                        self.stage = Stage::Resting(clock.set(clock.now().after(pause), waker));
                    } else {
                        self.stage = Stage::Done(outcome);
                    }
                }
                Stage::Resting(until) if until.due <= clock.now() => {
                    clock.forget(*until);
                    self.stage = Stage::Begin;
                }
                Stage::Resting(_) | Stage::Done(_) => return,
            }
        }
    }
}
