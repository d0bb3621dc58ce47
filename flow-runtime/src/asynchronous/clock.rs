//! Timers by processing time, and what waits for them.
//!
//! A step has one clock for all its futures. While one of them is polled, the clock can be reached from within, which is how
//! [`sleep`] works without a runtime: on the clock of the worker, or the virtual one of a simulation.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::env::Env;
use crate::time::Timestamp;

/// A timer that is set: when it is due, and its number, which no other timer of this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    pub(super) due: Timestamp,
    number: u64,
}

impl Timer {
    fn new(due: Timestamp) -> Timer {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        // Timers that are due together go off in the order in which they were set.
        Timer { due, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
    }
}

/// The timers of a step.
pub(super) struct Clock {
    env: Option<Arc<dyn Env>>,
    /// The time as it was last told, for hosts that do nothing but tell it.
    told: Cell<Timestamp>,
    timers: RefCell<BTreeMap<Timer, Waker>>,
}

thread_local! {
    /// The clock of the step whose future is being polled on this thread.
    static CURRENT: RefCell<Option<Rc<Clock>>> = const { RefCell::new(None) };
}

impl Clock {
    pub(super) fn new(env: Option<Arc<dyn Env>>) -> Rc<Clock> {
        Rc::new(Clock { env, told: Cell::new(Timestamp::MIN), timers: RefCell::default() })
    }

    /// Whether the clock goes only where it is told the time.
    pub(super) fn is_told(&self) -> bool {
        self.env.is_none()
    }

    pub(super) fn tell(&self, now: Timestamp) {
        self.told.set(now);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.env.as_ref().map_or_else(|| self.told.get(), |env| env.now())
    }

    /// Sets a timer, which calls `waker` once.
    pub(super) fn set(&self, due: Timestamp, waker: &Waker) -> Timer {
        let timer = Timer::new(due);
        self.keep(timer, waker);
        timer
    }

    fn keep(&self, timer: Timer, waker: &Waker) {
        self.timers.borrow_mut().insert(timer, waker.clone());
    }

    /// A timer that is not needed any more.
    pub(super) fn forget(&self, timer: Timer) {
        let forgotten = self.timers.borrow_mut().remove(&timer);
        // A waker may be a user's own, and its `Drop` may set a timer.
        drop(forgotten);
    }

    /// When the first timer is due.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.timers.borrow().keys().next().map(|timer| timer.due)
    }

    /// Wakes all whose time has come.
    pub(super) fn wake_due(&self) {
        let now = self.now();
        loop {
            let first = self.timers.borrow_mut().first_entry().and_then(|first| {
                let is_due = first.key().due <= now;
                is_due.then(|| first.remove())
            });
            match first {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    /// Runs what may ask for this clock.
    pub(super) fn within<R>(self: &Rc<Self>, f: impl FnOnce() -> R) -> R {
        /// Also behind a panic: the thread may run another dataflow.
        struct Back(Option<Rc<Clock>>);
        impl Drop for Back {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _back = Back(CURRENT.replace(Some(Rc::clone(self))));
        f()
    }

    fn current() -> Option<Rc<Clock>> {
        CURRENT.with_borrow(Option::clone)
    }
}

/// Processing time, for what runs in a future of a step.
pub(crate) fn now() -> Timestamp {
    Clock::current().map_or(Timestamp::MIN, |clock| clock.now())
}

/// Waits in the function of an asynchronous step, by processing time: the clock of the worker, and in a simulation the virtual one. No
/// runtime is needed.
///
/// It begins when it is first awaited, and is exact to what the machine's clock and the worker's other work allow.
///
/// # Panics
/// When it is awaited anywhere else than in the function of an asynchronous step: there is no worker then whose clock it could go by.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
/// use flow_runtime::time::sleep;
/// use std::time::Duration;
///
/// /// Asks a service that wants no more than a question every millisecond of each of us.
/// #[async_map]
/// async fn ask(question: u64) -> u64 {
///     sleep(Duration::from_millis(1)).await;
///     question * 2
/// }
///
/// #[dataflow]
/// fn answers(questions: Vec<u64>, out: Collect<u64>) {
///     let questions = source(from_iter(questions));
///     let (answers, failed) = ask(questions, Async::in_flight(4));
///     discard(failed, "it cannot fail");
///     sink(answers, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// answers(vec![1, 2, 3], out).workers(1).simulate(flow_runtime::Virtual::new(0))?;
/// assert_eq!(found.take(), [2, 4, 6]);
/// # Ok(())
/// # }
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, timer: None }
}

/// The future of [`sleep`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    duration: Duration,
    timer: Option<Timer>,
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("duration", &self.duration).finish_non_exhaustive()
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(clock) = Clock::current() else {
            panic!(
                "`flow_runtime::time::sleep` goes by the clock of a worker: it can be awaited in the function of an asynchronous step only"
            );
        };
        let now = clock.now();
        let timer = match self.timer {
            Some(timer) => timer,
            None => Timer::new(now.after(self.duration)),
        };
        if timer.due <= now {
            clock.forget(timer);
            self.timer = None;
            self.duration = Duration::ZERO;
            return Poll::Ready(());
        }
        // With the waker of now: it may be polled from another place than before.
        clock.keep(timer, cx.waker());
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(timer), Some(clock)) = (self.timer, Clock::current()) {
            clock.forget(timer);
        }
    }
}
