//! A bounded queue between a dataflow and the threads around it.
//!
//! A thread that finds it full or empty waits; a dataflow leaves a [`Waker`] instead. Each end may go away: then nothing more is
//! taken, or nothing more comes.

#![allow(clippy::disallowed_types)] // The application's own threads wait here, in its own time.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Signalled when there is room, or nobody who would make it.
    room: Condvar,
    /// Signalled when there is something, or nobody who would bring it.
    filled: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Those who may still put something in.
    writers: usize,
    /// Nobody takes anything out any more.
    closed: bool,
    /// Of a dataflow that found the queue empty.
    waker: Option<Waker>,
    /// Of a dataflow that found the queue full.
    room_waker: Option<Waker>,
}

/// What is found where there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// There may be one later.
    Yet,
    /// There will never be one.
    Ever,
}

impl<T> Queue<T> {
    /// A queue with one writer that holds `capacity` items, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            writers: 1,
            closed: false,
            waker: None,
            room_waker: None,
        };
        Queue {
            state: Mutex::new(state),
            room: Condvar::new(),
            filled: Condvar::new(),
            capacity: capacity.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that is done under the lock leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room.
    fn lock_with_room(&self) -> MutexGuard<'_, State<T>> {
        self.room
            .wait_while(self.lock(), |state| !state.closed && state.items.len() >= self.capacity)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes who waits for items.
    fn announce(&self, mut state: MutexGuard<'_, State<T>>) {
        let waker = state.waker.take();
        drop(state);
        self.filled.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts an item in; waits while the queue is full. Gives it back if the queue is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock_with_room();
        if state.closed {
            return Err(item);
        }
        state.items.push_back(item);
        self.announce(state);
        Ok(())
    }

    /// Puts an item in, or gives it back and says whether the queue is closed for good.
    pub(crate) fn try_push(&self, item: T) -> Result<(), (T, Nothing)> {
        let mut state = self.lock();
        if state.closed {
            return Err((item, Nothing::Ever));
        }
        if state.items.len() >= self.capacity {
            return Err((item, Nothing::Yet));
        }
        state.items.push_back(item);
        self.announce(state);
        Ok(())
    }

    /// Puts in several items as soon as there is room for one. Answers `false` if the queue is closed.
    pub(crate) fn push_all(&self, items: Vec<T>) -> bool {
        let mut state = self.lock_with_room();
        if state.closed {
            return false;
        }
        state.items.extend(items);
        self.announce(state);
        true
    }

    /// Whether something can be put in without waiting; if not, `waker` is called when that changes.
    pub(crate) fn has_room(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        let room = state.closed || state.items.len() < self.capacity;
        if !room {
            state.room_waker = Some(waker.clone());
        }
        room
    }

    /// Wakes who waits for room.
    fn announce_room(&self, mut state: MutexGuard<'_, State<T>>) {
        let waker = state.room_waker.take();
        drop(state);
        self.room.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes everything out, into the empty `into`; if there is nothing, `waker` is called when that changes.
    pub(crate) fn take_all(&self, into: &mut VecDeque<T>, waker: &Waker) -> Result<(), Nothing> {
        let mut state = self.lock();
        self.check(&state).inspect_err(|_| match &mut state.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        })?;
        std::mem::swap(&mut state.items, into);
        drop(state);
        self.room.notify_all();
        Ok(())
    }

    /// Takes an item out, waiting for one until `deadline`, or for as long as one may come.
    pub(crate) fn pop(&self, deadline: Option<Instant>) -> Result<T, Nothing> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                self.announce_room(state);
                return Ok(item);
            }
            if state.writers == 0 {
                return Err(Nothing::Ever);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            state = match left {
                Some(Duration::ZERO) => return Err(Nothing::Yet),
                Some(left) => {
                    let waited = self.filled.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn check(&self, state: &State<T>) -> Result<(), Nothing> {
        match (state.items.is_empty(), state.writers) {
            (false, _) => Ok(()),
            (true, 0) => Err(Nothing::Ever),
            (true, _) => Err(Nothing::Yet),
        }
    }

    /// One more may put something in.
    pub(crate) fn add_writer(&self) {
        self.lock().writers += 1;
    }

    /// One less may put something in.
    pub(crate) fn remove_writer(&self) {
        let mut state = self.lock();
        state.writers = state.writers.saturating_sub(1);
        self.announce(state);
    }

    /// Nothing more is taken out, and what is in is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let rest = std::mem::take(&mut state.items);
        self.announce_room(state);
        self.room.notify_all();
        // Not under the lock: it is not known what dropping an item does.
        drop(rest);
    }
}
