//! A stage behind a boundary: frontier and stash.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::Waker;

use flow_runtime::Error;
use flow_runtime::control::{EventTime, Signal};
use flow_runtime::describe::Describe;
use flow_runtime::host::{Batch, Inlet};
use flow_runtime::time::Epoch;

use crate::rng::Rng;
use crate::toy::assemble::Named;
use crate::toy::boundary::{Boundary, Message};
use crate::toy::life::{Life, Stage, World};

pub(super) struct Receiver<R, I> {
    worker: usize,
    boundary: Rc<Boundary<R>>,
    inlet: I,
    life: Life,
    /// Messages that have arrived, by the barrier of their epoch, with their lane.
    stash: BTreeMap<u64, VecDeque<(usize, Message<R>)>>,
    /// What each lane has told of event time, and what all of them come to.
    told: Vec<Option<EventTime>>,
    time: Option<EventTime>,
    /// Batches that have arrived, by lane and epoch.
    arrived: Vec<Vec<usize>>,
    /// The lanes whose sender has been named.
    named: Named,
    /// Whether only this worker's own senders count.
    within_worker: bool,
}

impl<R: 'static, I: Inlet<R>> Receiver<R, I> {
    /// A stage that waits for the senders that will be named.
    pub(super) fn new(worker: usize, boundary: Rc<Boundary<R>>, named: Named, inlet: I) -> Self {
        let arrived: Vec<_> =
            boundary.lanes_of(worker).borrow().iter().map(|_| Vec::new()).collect();
        let told = arrived.iter().map(|_| None).collect();
        let (life, stash) = (Life::default(), BTreeMap::new());
        Receiver {
            worker,
            boundary,
            inlet,
            life,
            stash,
            told,
            time: None,
            arrived,
            named,
            within_worker: false,
        }
    }

    /// A stage that waits for the senders of its own worker alone.
    pub(super) fn within_worker(mut self) -> Self {
        self.within_worker = true;
        self
    }

    /// Takes one batch that is under way.
    fn receive(&mut self, rng: &mut Rng) -> bool {
        let mut lanes = self.boundary.lanes_of(self.worker).borrow_mut();
        let from = rng.below(lanes.len());
        let lane =
            (from..lanes.len()).chain(0..from).find(|lane| !lanes[*lane].under_way.is_empty());
        let Some(lane) = lane else { return false };
        let Some((barrier, message)) = lanes[lane].under_way.pop_front() else { return false };
        assert!(barrier >= self.life.passed, "a batch came after the end of its epoch");
        let arrived = &mut self.arrived[lane];
        arrived.resize(arrived.len().max(barrier as usize + 1), 0);
        arrived[barrier as usize] += 1;
        self.stash.entry(barrier).or_default().push_back((lane, message));
        true
    }

    /// Whether a sender of this lane is waited for.
    fn counts(&self, lane: usize) -> bool {
        !self.within_worker || lane % self.boundary.workers() == self.worker
    }

    /// What all senders come to.
    fn hear(&mut self, world: &World) -> Result<(), Error> {
        let named = self.named.borrow();
        let lanes = named.iter().filter(|lane| self.counts(**lane)).map(|lane| self.told[*lane]);
        let time = EventTime::of_all(lanes, self.time);
        drop(named);
        if time != self.time {
            self.time = time;
            if let Some(time) = time {
                let signal = Signal::Watermark(time);
                self.life.tell(signal, world.now, |control| self.inlet.control(control))?;
                // What a timer emitted goes out like what an item emitted.
                self.life.tell(Signal::Flush, world.now, |control| self.inlet.control(control))?;
            }
        }
        Ok(())
    }

    /// Runs a part of the next batch of the open epoch.
    fn run_batch(&mut self, open: u64, world: &mut World) -> Result<bool, Error> {
        let Some(stash) = self.stash.get_mut(&open).filter(|stash| !stash.is_empty()) else {
            return Ok(false);
        };
        if !self.inlet.ready(Waker::noop()) {
            return Ok(false);
        }
        let (lane, message) = stash.pop_front().expect("it is not empty");
        let mut batch = match message {
            Message::Batch(batch) => batch,
            Message::EventTime(time) => {
                self.told[lane] = Some(time);
                self.hear(world)?;
                return Ok(true);
            }
        };
        if self.life.uses_time() {
            self.life.tell(Signal::Tick, world.now, |control| self.inlet.control(control))?;
        }
        // Where a batch ends must not matter.
        if batch.rows.len() > 1 && world.rng.once_in(3) {
            let at = 1 + world.rng.below(batch.rows.len() - 1);
            let rows = batch.rows.split_off(at);
            let times = batch.times.split_off(at.min(batch.times.len()));
            stash.push_front((lane, Message::Batch(Batch { rows, times })));
        }
        self.inlet.batch(self.boundary.port(lane), &mut batch);
        assert!(batch.rows.is_empty(), "an inlet left rows in its batch");
        self.life.tell(Signal::Flush, world.now, |control| self.inlet.control(control))?;
        Ok(true)
    }

    /// Has the inlet go on with what it holds.
    fn advance(&mut self, world: &World) -> Result<bool, Error> {
        let moved = self.inlet.advance();
        if moved {
            self.life.tell(Signal::Flush, world.now, |control| self.inlet.control(control))?;
        }
        Ok(moved)
    }

    /// Whether all senders have closed the open epoch, all their batches have arrived and all have been run.
    fn is_complete(&self, open: u64) -> bool {
        let lanes = self.boundary.lanes_of(self.worker).borrow();
        let open_at = open as usize;
        self.stash.get(&open).is_none_or(VecDeque::is_empty)
            && self.named.borrow().iter().all(|lane| {
                if !self.counts(*lane) {
                    return true;
                }
                let arrived = self.arrived[*lane].get(open_at).copied().unwrap_or(0);
                lanes[*lane].closed.get(open_at) == Some(&arrived)
            })
    }
}

impl<R: 'static, I: Inlet<R>> Stage for Receiver<R, I> {
    fn turn(&mut self, world: &mut World) -> Result<bool, Error> {
        if world.rng.once_in(2) && self.receive(&mut world.rng) {
            return Ok(true);
        }
        let Some(open) = self.life.open else {
            if self.life.is_over(world) {
                return Ok(false);
            }
            self.life.open(world, |control| self.inlet.control(control))?;
            return Ok(true);
        };
        if self.life.is_due(world.now) {
            self.life.tell(Signal::Tick, world.now, |control| self.inlet.control(control))?;
            // What a timer emitted goes out like what an item emitted.
            self.life.tell(Signal::Flush, world.now, |control| self.inlet.control(control))?;
            return Ok(true);
        }
        if self.advance(world)? || self.run_batch(open, world)? {
            return Ok(true);
        }
        if self.is_complete(open) && self.inlet.is_drained() {
            self.stash.remove(&open);
            self.life.close(world, |control| self.inlet.control(control))?;
            return Ok(true);
        }
        Ok(self.receive(&mut world.rng))
    }

    fn committed(&mut self, epoch: Epoch, world: &World) -> Result<(), Error> {
        self.life.tell(Signal::Committed(epoch), world.now, |control| self.inlet.control(control))
    }

    fn describe(&self, to: &mut dyn Describe) {
        self.inlet.describe(to);
    }

    fn life(&self) -> &Life {
        &self.life
    }
}
