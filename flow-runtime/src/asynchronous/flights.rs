//! All items in flight on a worker: their places, their wakers, their order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use crossbeam_queue::SegQueue;

use super::clock::Clock;
use super::flight::Flight;
use super::polling::{Polling, Reactor};

/// The flights that were woken. Only these are polled.
struct Woken {
    flights: SegQueue<usize>,
    worker: Waker,
}

/// The waker of a place, whoever is in it: one that was left behind by an earlier flight has the present one polled once more, which does no
/// harm.
struct WakePlace {
    at: usize,
    is_queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for WakePlace {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::SeqCst) {
            self.woken.flights.push(self.at);
            self.woken.worker.wake_by_ref();
        }
    }
}

/// A place for a flight.
struct Berth<F> {
    flight: Option<F>,
    wake: Arc<WakePlace>,
    waker: Waker,
}

/// The items in flight.
pub(super) struct Flights<P, A, T> {
    berths: Vec<Berth<Flight<P, A, T>>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
    /// Who is in each line, first come first.
    lines: BTreeMap<u64, VecDeque<usize>>,
    /// Their numbers: the first is that of the oldest.
    numbers: BTreeSet<u64>,
    pub(super) clock: Rc<Clock>,
    pub(super) reactor: Reactor,
}

impl<P, A, T> Flights<P, A, T> {
    pub(super) fn new(polling: Polling) -> Self {
        let Polling { waker, env, reactor } = polling;
        Flights {
            berths: Vec::new(),
            free: Vec::new(),
            woken: Arc::new(Woken { flights: SegQueue::new(), worker: waker }),
            lines: BTreeMap::new(),
            numbers: BTreeSet::new(),
            clock: Clock::new(env),
            reactor,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number of the oldest one.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.numbers.first().copied()
    }

    /// Gives an item a place. Answers which.
    pub(super) fn add(&mut self, flight: Flight<P, A, T>) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            let at = self.berths.len();
            let (is_queued, woken) = (AtomicBool::new(false), Arc::clone(&self.woken));
            let wake = Arc::new(WakePlace { at, is_queued, woken });
            let waker = Waker::from(Arc::clone(&wake));
            self.berths.push(Berth { flight: None, wake, waker });
            at
        });
        self.numbers.insert(flight.number);
        self.lines.entry(flight.line).or_default().push_back(at);
        self.berths[at].flight = Some(flight);
        at
    }

    /// How many were woken.
    pub(super) fn woken(&self) -> usize {
        self.woken.flights.len()
    }

    /// The next that was woken. It may have left meanwhile.
    pub(super) fn next_woken(&mut self) -> Option<usize> {
        let at = self.woken.flights.pop()?;
        // Before it is polled: whoever wakes it from now on wants it polled again.
        self.berths[at].wake.is_queued.store(false, Ordering::SeqCst);
        Some(at)
    }

    /// Whoever is in a place, with its waker.
    pub(super) fn at(&mut self, at: usize) -> Option<(&mut Flight<P, A, T>, &Waker)> {
        let berth = self.berths.get_mut(at)?;
        Some((berth.flight.as_mut()?, &berth.waker))
    }

    /// Takes out the first of a line, if it is done.
    pub(super) fn next_done(&mut self, line: u64) -> Option<Flight<P, A, T>> {
        let waiting = self.lines.get_mut(&line)?;
        let at = *waiting.front()?;
        let flight = self.berths[at].flight.take_if(|flight| flight.run.is_done())?;
        waiting.pop_front();
        if waiting.is_empty() {
            self.lines.remove(&line);
        }
        self.numbers.remove(&flight.number);
        self.free.push(at);
        Some(flight)
    }
}

impl<P, A, T> Drop for Flights<P, A, T> {
    /// A future may want its clock and its runtime also where it is given up.
    fn drop(&mut self) {
        let berths = std::mem::take(&mut self.berths);
        self.reactor.within(|| self.clock.within(|| drop(berths)));
    }
}
