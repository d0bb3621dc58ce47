//! One participant at a time, chosen by a seed; time that passes only when all wait.
//!
//! Each participant has a thread, but there is one baton: who does not hold it sleeps. So a participant may wait in
//! the middle of a push, exactly as on real threads, and yet a seed replays a whole run.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::env::Env;
use crate::io::Io;
use crate::time::Timestamp;

/// More participants than a run mostly has.
const PLACES: usize = 16;

/// A seeded schedule, a virtual clock.
pub struct Virtual {
    state: Mutex<State>,
    /// Where participants wait for the baton; a few may share one. Waking all of them each time would cost more than what they do.
    changed: [Condvar; PLACES],
    io: Io,
    rechunk: bool,
}

struct State {
    random: u64,
    now: Timestamp,
    participants: Vec<Participant>,
    /// Who holds the baton.
    running: Option<usize>,
    /// Everybody waits for somebody else.
    stuck: bool,
    turns: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Participant {
    /// Has not entered yet; the run begins when all have.
    Absent,
    Runnable,
    Parked(Option<Timestamp>),
    /// Was unparked while it ran.
    Notified,
    Gone,
}

impl Virtual {
    /// A schedule that this seed decides. Files are the machine's own, unless [`with_io`](Virtual::with_io) gives others.
    pub fn new(seed: u64) -> Self {
        Virtual {
            state: Mutex::new(State {
                random: seed,
                now: Timestamp(0),
                participants: Vec::new(),
                running: None,
                stuck: false,
                turns: 0,
            }),
            changed: std::array::from_fn(|_| Condvar::new()),
            io: Io::real(),
            rechunk: true,
        }
    }

    /// Lets sources emit as many items at a time as the engine would; otherwise the seed decides that too.
    #[must_use]
    pub fn whole_batches(mut self) -> Self {
        self.rechunk = false;
        self
    }

    /// With files of another machine: those of a [`SimDisk`](crate::sim::SimDisk), say.
    #[must_use]
    pub fn with_io(mut self, io: Io) -> Self {
        self.io = io;
        self
    }

    /// How much virtual time has passed.
    pub fn elapsed(&self) -> Duration {
        self.lock().now.since(Timestamp(0))
    }

    /// Lets virtual time pass, as something slow does: a disk, say, with [`SimDisk::on_operation`](crate::sim::SimDisk::on_operation).
    pub fn pass_time(&self, duration: Duration) {
        let mut state = self.lock();
        state.now = state.now.after(duration);
    }

    /// How many turns have been taken.
    pub fn turns(&self) -> u64 {
        self.lock().turns
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the baton. Ends the thread's part in the run if the run is stuck.
    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>, who: usize) {
        while state.running != Some(who) && !state.stuck {
            state = self.changed[who % PLACES].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the baton to one that can run; if none can, time passes.
    fn pass(&self, state: &mut State) {
        state.turns += 1;
        state.running = state.choose();
        match state.running {
            Some(who) => self.changed[who % PLACES].notify_all(),
            // Nobody goes on: whoever waits is told if that is for good.
            None if state.stuck => self.changed.iter().for_each(Condvar::notify_all),
            None => {}
        }
    }
}

impl State {
    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn choose(&mut self) -> Option<usize> {
        use Participant::{Absent, Gone, Notified, Parked, Runnable};
        if self.participants.contains(&Absent) {
            return None;
        }
        let runnable: Vec<usize> = (0..self.participants.len())
            .filter(|&who| matches!(self.participants[who], Runnable | Notified))
            .collect();
        if !runnable.is_empty() {
            let at = self.next() as usize % runnable.len();
            return Some(runnable[at]);
        }
        let earliest = (0..self.participants.len())
            .filter_map(|who| match self.participants[who] {
                Parked(Some(until)) => Some((until, who)),
                _ => None,
            })
            .min();
        match earliest {
            Some((until, who)) => {
                self.now = self.now.max(until);
                self.participants[who] = Runnable;
                Some(who)
            }
            None => {
                self.stuck = self.participants.iter().any(|participant| *participant != Gone);
                None
            }
        }
    }
}

impl fmt::Debug for Virtual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Virtual").field("turns", &self.turns()).finish_non_exhaustive()
    }
}

impl Env for Virtual {
    fn begin(&self, participants: usize) {
        self.lock().participants = vec![Participant::Absent; participants];
    }

    fn enter(&self, who: usize) {
        let mut state = self.lock();
        state.participants[who] = Participant::Runnable;
        if state.running.is_none() {
            self.pass(&mut state);
        }
        self.wait(state, who);
    }

    fn leave(&self, who: usize) {
        let mut state = self.lock();
        state.participants[who] = Participant::Gone;
        if state.running == Some(who) {
            self.pass(&mut state);
        }
    }

    fn turn(&self, who: usize) {
        let mut state = self.lock();
        self.pass(&mut state);
        self.wait(state, who);
    }

    fn park(&self, who: usize, until: Option<Timestamp>) {
        let mut state = self.lock();
        state.participants[who] = match state.participants[who] {
            Participant::Notified => Participant::Runnable,
            _ => Participant::Parked(until),
        };
        self.pass(&mut state);
        self.wait(state, who);
    }

    fn unpark(&self, who: usize) {
        let mut state = self.lock();
        let Some(participant) = state.participants.get_mut(who) else { return };
        *participant = match *participant {
            Participant::Parked(_) => Participant::Runnable,
            Participant::Runnable => Participant::Notified,
            other => other,
        };
        // Somebody outside of the run may wake a run that has come to rest.
        if state.running.is_none() && !state.stuck {
            self.pass(&mut state);
        }
    }

    fn is_stuck(&self) -> bool {
        self.lock().stuck
    }

    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn not_before(&self, earliest: Timestamp) {
        let mut state = self.lock();
        state.now = state.now.max(earliest);
    }

    fn random(&self) -> u64 {
        self.lock().next()
    }

    fn identity(&self) -> String {
        "a simulated run".to_owned()
    }

    fn limit(&self, most: usize) -> usize {
        if self.rechunk { 1 + self.lock().next() as usize % most.min(64) } else { most }
    }

    fn io(&self) -> Io {
        self.io.clone()
    }
}
