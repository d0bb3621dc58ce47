//! Whole runs of asynchronous steps: on the virtual schedule, where times are exact, and on threads.

mod barriers;
mod ends;
mod enriching;
mod order;
mod times;
#[cfg(feature = "tokio")]
mod tokio;
mod watermarks;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::time::Timestamp;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Milliseconds since the virtual clock began.
fn millis(at: Timestamp) -> i64 {
    assert_eq!(at.0 % 1000, 0, "a time that is no whole millisecond");
    at.0 / 1000
}

/// What happened, in order.
#[derive(Debug)]
struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Log(Arc::clone(&self.0))
    }
}

impl<T> Log<T> {
    fn new() -> Self {
        Log(Arc::default())
    }
    fn add(&self, entry: T) {
        self.0.lock().expect("nobody panics").push(entry);
    }
    fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().expect("nobody panics"))
    }
}

/// How many are inside, and how many at most.
#[derive(Clone, Debug, Default)]
struct Inside(Arc<(AtomicUsize, AtomicUsize)>);

impl Inside {
    fn enter(&self) -> InsideGuard {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        InsideGuard(self.clone())
    }
    fn now(&self) -> usize {
        self.0.0.load(Ordering::SeqCst)
    }
    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

struct InsideGuard(Inside);

impl Drop for InsideGuard {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Futures wait at it until another thread opens it; that thread may wait until so many are there.
#[derive(Clone, Debug, Default)]
struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    async fn pass(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.0.0.lock().expect("nobody panics");
            if state.open {
                return Poll::Ready(());
            }
            state.waiting.push(cx.waker().clone());
            self.0.1.notify_all();
            Poll::Pending
        })
        .await;
    }
    fn await_waiting(&self, count: usize) {
        let state = self.0.0.lock().expect("nobody panics");
        let waits = |state: &mut GateState| state.waiting.len() < count;
        drop(self.0.1.wait_while(state, waits).expect("nobody panics"));
    }
    fn open(&self) {
        let mut state = self.0.0.lock().expect("nobody panics");
        state.open = true;
        state.waiting.drain(..).for_each(Waker::wake);
    }
}
