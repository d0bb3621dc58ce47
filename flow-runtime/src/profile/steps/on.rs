//! Steps are counted and timed.

use std::cell::RefCell;
use std::cmp::Ordering as Order;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::meter::Account;
use crate::env::Env;
use crate::profile::steps::{StepCounts, Steps};

/// So often workers are looked at. A prime number of microseconds, so that what runs once a millisecond is not always met at the
/// same place.
const EVERY: Duration = Duration::from_micros(997);

/// What a worker is at: a step, by its number among the worker's ..
const STEP: u32 = 1 << 31;
/// .. or a stage, outside of its steps, by its number ..
const STAGE: u32 = 1 << 30;
/// .. or one of these.
const BETWEEN: u32 = 3;
const WAITING: u32 = 2;
const IDLE: u32 = 1;
/// It has not begun, or has ended.
const NOTHING: u32 = 0;

thread_local! {
    /// The worker that is being assembled on this thread.
    static ASSEMBLED: RefCell<Option<Arc<Running>>> = const { RefCell::new(None) };
}

/// What one worker is at, and its counters.
#[derive(Debug)]
struct Running {
    at: AtomicU32,
    steps: Mutex<Vec<Arc<Counts>>>,
    /// How often it was found at what.
    found: Mutex<BTreeMap<u32, u64>>,
}

/// A step's counters. Its worker alone writes them.
#[derive(Debug)]
struct Counts {
    step: Arc<str>,
    apart: bool,
    number: u32,
    taken: AtomicU64,
    emitted: AtomicU64,
    worker: Arc<Running>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline(always)]
fn add_one(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// A step's counters, if its worker is profiled. They are no part of what the step is called.
#[derive(Clone, Debug)]
pub(crate) struct Counted(Option<Arc<Counts>>);

/// What the worker was at before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outer(u32);

impl Counted {
    /// New counters, if this thread assembles a worker that is profiled.
    pub(crate) fn new(step: &Arc<str>) -> Self {
        ASSEMBLED.with_borrow(|worker| {
            Counted(worker.as_ref().map(|worker| Counts::new(worker, step, false)))
        })
    }

    /// New counters for the other half of the same step.
    pub(crate) fn apart(&self) -> Self {
        Counted(self.0.as_ref().map(|counts| Counts::new(&counts.worker, &counts.step, true)))
    }

    /// The step takes an item.
    #[inline(always)]
    pub(crate) fn takes(&self) {
        if let Some(counts) = &self.0 {
            add_one(&counts.taken);
        }
    }

    /// The step emits an item.
    #[inline(always)]
    pub(crate) fn emits(&self) {
        if let Some(counts) = &self.0 {
            add_one(&counts.emitted);
        }
    }

    /// The counter of what the step emits, for a closure.
    #[inline(always)]
    pub(crate) fn emitted(&self) -> Emitted<'_> {
        Emitted(self)
    }

    /// The worker is in this step now.
    #[inline(always)]
    pub(crate) fn enter(&self) -> Outer {
        let Some(counts) = &self.0 else { return Outer(NOTHING) };
        let at = &counts.worker.at;
        let outer = at.load(Ordering::Relaxed);
        at.store(STEP | counts.number, Ordering::Relaxed);
        Outer(outer)
    }

    /// The worker is where it was before.
    #[inline(always)]
    pub(crate) fn leave(&self, outer: Outer) {
        if let Some(counts) = &self.0 {
            counts.worker.at.store(outer.0, Ordering::Relaxed);
        }
    }
}

/// A step's counter of what it emits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Emitted<'a>(&'a Counted);

impl Emitted<'_> {
    /// The step emits an item.
    #[inline(always)]
    pub(crate) fn one(self) {
        self.0.emits();
    }
}

impl PartialEq for Counted {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Counted {}
impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}
impl Ord for Counted {
    fn cmp(&self, _: &Self) -> Order {
        Order::Equal
    }
}
impl Hash for Counted {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Counts {
    fn new(worker: &Arc<Running>, step: &Arc<str>, apart: bool) -> Arc<Counts> {
        let mut steps = lock(&worker.steps);
        let counts = Arc::new(Counts {
            step: Arc::clone(step),
            apart,
            number: steps.len() as u32,
            taken: AtomicU64::new(0),
            emitted: AtomicU64::new(0),
            worker: Arc::clone(worker),
        });
        steps.push(Arc::clone(&counts));
        counts
    }
}

/// A worker that is looked at.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Running>);

impl Watched {
    /// The worker is assembled, and begins to run: what is called a step from now on is none.
    pub(crate) fn begin(&self) {
        ASSEMBLED.take();
    }

    /// What the worker is at, outside of steps.
    pub(crate) fn set(&self, account: Account) -> Outer {
        let at = match account {
            Account::Stage(at) => STAGE | at as u32,
            Account::Room(_) => WAITING,
            Account::Idle => IDLE,
            Account::Between => BETWEEN,
        };
        Outer(self.0.at.swap(at, Ordering::Relaxed))
    }

    pub(crate) fn set_back(&self, outer: Outer) {
        self.0.at.store(outer.0, Ordering::Relaxed);
    }

    /// The worker has ended: what was counted.
    pub(crate) fn end(&self) -> Steps {
        ASSEMBLED.take();
        self.0.at.store(NOTHING, Ordering::Relaxed);
        let mut found = std::mem::take(&mut *lock(&self.0.found));
        // The counters hold the worker, and the worker the counters: here the circle is broken.
        let steps = std::mem::take(&mut *lock(&self.0.steps));
        let counts = steps.iter().map(|counts| StepCounts {
            step: counts.step.to_string(),
            apart: counts.apart,
            taken: counts.taken.load(Ordering::Relaxed),
            emitted: counts.emitted.load(Ordering::Relaxed),
            samples: found.remove(&(STEP | counts.number)).unwrap_or(0),
        });
        let counts = counts.collect();
        let samples = found.into_iter().map(|(at, samples)| match at {
            IDLE => (Account::Idle, samples),
            WAITING => (Account::Room(0), samples),
            BETWEEN => (Account::Between, samples),
            stage => (Account::Stage((stage & !STAGE) as usize), samples),
        });
        Steps { counts, samples: samples.collect() }
    }
}

/// Who looks at workers.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    workers: Mutex<Vec<Arc<Running>>>,
    over: AtomicBool,
}

impl Watching {
    /// Looks at the worker of this thread from now on.
    pub(crate) fn watch(&self) -> Watched {
        let running = Arc::new(Running {
            at: AtomicU32::new(NOTHING),
            steps: Mutex::default(),
            found: Mutex::default(),
        });
        ASSEMBLED.set(Some(Arc::clone(&running)));
        lock(&self.workers).push(Arc::clone(&running));
        Watched(running)
    }

    /// Looks at all workers once, a while after the last time. Answers whether to go on: not when the run is over, or where time does
    /// not pass by itself.
    pub(crate) fn look(&self, env: &dyn Env) -> bool {
        if self.over.load(Ordering::Relaxed) || !env.pause(EVERY) {
            return false;
        }
        for worker in &*lock(&self.workers) {
            let at = worker.at.load(Ordering::Relaxed);
            if at != NOTHING {
                *lock(&worker.found).entry(at).or_insert(0) += 1;
            }
        }
        true
    }

    /// The run is over.
    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
