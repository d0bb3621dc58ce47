//! Where a panic of a user's function happened: which step, which key.
//!
//! A panic of a user's function ends the run with an [`Error`] and without a backtrace on the terminal: a hook keeps
//! what the panic says for the threads of the engine, and leaves all others to the hook that was there before.
//!
//! Asking costs nothing while nothing goes wrong: a [`Note`] is dropped only by unwinding, and is otherwise
//! forgotten. It is also where steps are counted and timed, in a build that does that: see `profile::steps`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::thread;

use serde::Serialize;

use crate::describe::StepId;
use crate::error::{Error, ErrorKind};
use crate::profile::steps::{Emitted, Outer};

/// The step, and the key where there is one, of a panic on this thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) step: StepId,
    pub(crate) key: Option<String>,
}

/// The last panic on this thread. It need not be the one that is caught: users catch panics, too.
struct Last {
    text: Option<String>,
    /// Where it happened, as a part of a sentence.
    at: String,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic on this thread is kept for [`of_panic`] instead of being printed.
pub(crate) fn keep_panics_quiet() {
    static HOOK: Once = Once::new();
    if thread::panicking() {
        return; // A hook cannot be set now.
    }
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                let text = info.payload_as_str().map(str::to_owned);
                let at = info
                    .location()
                    .map(|at| format!(" at {}:{}", at.file(), at.line()))
                    .unwrap_or_default();
                LAST.set(Some(Last { text, at }));
            } else {
                previous(info);
            }
        }));
    });
    QUIET.set(true);
}

/// The error of a panic that was caught on this thread.
pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> Error {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let last = LAST.take().filter(|last| last.text.as_deref() == text);
    let at = last.map(|last| last.at).unwrap_or_default();
    let message = format!("panicked{at}: {}", text.unwrap_or("a value that is no text"));
    match PLACE.take() {
        Some(Place { step, key: Some(key) }) => {
            Error::new(ErrorKind::Panic, format!("{message} (while at key {key})")).at_step(step)
        }
        Some(Place { step, key: None }) => Error::new(ErrorKind::Panic, message).at_step(step),
        None => Error::new(ErrorKind::Panic, message),
    }
}

/// Runs what may panic. The panic is not printed.
pub(crate) fn caught<T>(f: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let quiet = QUIET.get();
    keep_panics_quiet();
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    QUIET.set(quiet);
    result.unwrap_or_else(|payload| Err(of_panic(payload.as_ref())))
}

/// Marks the time in which a user's function runs.
pub(crate) struct Note<'a, K: Serialize> {
    step: &'a StepId,
    key: Option<&'a K>,
    /// What the worker was at before.
    outer: Outer,
}

impl<'a> Note<'a, ()> {
    /// The step takes an item.
    #[inline(always)]
    pub(crate) fn of(step: &'a StepId) -> Self {
        step.counted().takes();
        Note::beside(step)
    }

    /// The step works, but takes no item.
    #[inline(always)]
    pub(crate) fn beside(step: &'a StepId) -> Self {
        Note { step, key: None, outer: step.counted().enter() }
    }
}

impl<'a, K: Serialize> Note<'a, K> {
    #[inline(always)]
    pub(crate) fn keyed(step: &'a StepId, key: &'a K) -> Self {
        step.counted().takes();
        Note { step, key: Some(key), outer: step.counted().enter() }
    }

    /// The step works for a key, but takes no item.
    pub(crate) fn beside_key(step: &'a StepId, key: &'a K) -> Self {
        Note { step, key: Some(key), outer: step.counted().enter() }
    }

    /// The step emits an item.
    #[inline(always)]
    pub(crate) fn emits(&self) {
        self.step.counted().emits();
    }

    /// Counts what the function emits. A closure takes it by value, so that it costs nothing where nothing is counted.
    #[inline(always)]
    pub(crate) fn emitted(&self) -> Emitted<'a> {
        self.step.counted().emitted()
    }

    /// The function has returned.
    #[inline(always)]
    pub(crate) fn clear(self) {
        self.step.counted().leave(self.outer);
        mem::forget(self);
    }
}

impl<K: Serialize> Drop for Note<'_, K> {
    #[cold]
    fn drop(&mut self) {
        self.step.counted().leave(self.outer);
        let key = self.key.and_then(|key| serde_json::to_string(key).ok());
        PLACE.with_borrow_mut(|place| {
            place.get_or_insert_with(|| Place { step: self.step.clone(), key });
        });
    }
}
