//! Threads, the machine's clock, the machine's disk.

#![allow(clippy::disallowed_types)] // This is the outside world.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_utils::sync::{Parker, Unparker};

use crate::env::Env;
use crate::io::Io;
use crate::time::Timestamp;

/// The real world.
pub(crate) struct Real {
    /// Wall time is read once; from then on the monotonic clock counts, so that time never goes back.
    began: Timestamp,
    /// By how much the run is ahead of that, because an earlier run on its recovery log was.
    ahead: AtomicU64,
    clock: Instant,
    places: OnceLock<Vec<Place>>,
}

struct Place {
    /// Taken by the one participant that parks here.
    parker: Mutex<Parker>,
    unparker: Unparker,
}

impl Real {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Real {
            began: Timestamp(0).after(wall),
            ahead: AtomicU64::new(0),
            clock: Instant::now(),
            places: OnceLock::new(),
        }
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Real")
    }
}

impl Env for Real {
    fn begin(&self, participants: usize) {
        self.places.get_or_init(|| {
            (0..participants)
                .map(|_| {
                    let parker = Parker::new();
                    let unparker = parker.unparker().clone();
                    Place { parker: Mutex::new(parker), unparker }
                })
                .collect()
        });
    }

    fn park(&self, who: usize, until: Option<Timestamp>) {
        let Some(place) = self.places.get().and_then(|places| places.get(who)) else { return };
        let parker = place.parker.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match until {
            None => parker.park(),
            Some(until) => {
                let wait = until.since(self.now());
                if !wait.is_zero() {
                    parker.park_timeout(wait);
                }
            }
        }
    }

    fn unpark(&self, who: usize) {
        if let Some(place) = self.places.get().and_then(|places| places.get(who)) {
            place.unparker.unpark();
        }
    }

    fn pause(&self, a_while: Duration) -> bool {
        #[allow(clippy::disallowed_methods)] // Nobody wakes who does not participate.
        std::thread::sleep(a_while);
        true
    }

    fn now(&self) -> Timestamp {
        let ahead = Duration::from_micros(self.ahead.load(Ordering::Relaxed));
        self.began.after(ahead).after(self.clock.elapsed())
    }

    fn not_before(&self, earliest: Timestamp) {
        let ahead = u64::try_from(earliest.since(self.now()).as_micros()).unwrap_or(u64::MAX);
        self.ahead.fetch_add(ahead, Ordering::Relaxed);
    }

    fn random(&self) -> u64 {
        // The operating system seeds each of these.
        RandomState::new().hash_one(std::process::id())
    }

    fn identity(&self) -> String {
        format!("process {}", std::process::id())
    }

    fn io(&self) -> Io {
        Io::real()
    }
}
