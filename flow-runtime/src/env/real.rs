//! Threads, the machine's clock, the machine's disk.

#![allow(clippy::disallowed_types)] // This is the outside world.

use std::fmt;
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
        Real { began: Timestamp(0).after(wall), clock: Instant::now(), places: OnceLock::new() }
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

    fn now(&self) -> Timestamp {
        self.began.after(self.clock.elapsed())
    }

    fn io(&self) -> Io {
        Io::real()
    }
}
