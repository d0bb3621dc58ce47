//! A stage behind a boundary: frontier and stash.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::Waker;

use flow_runtime::Error;
use flow_runtime::control::Signal;
use flow_runtime::describe::Describe;
use flow_runtime::host::Inlet;
use flow_runtime::time::Epoch;

use crate::rng::Rng;
use crate::toy::assemble::Named;
use crate::toy::boundary::Boundary;
use crate::toy::life::{Life, Stage, World};

pub(super) struct Receiver<R, I> {
    worker: usize,
    boundary: Rc<Boundary<R>>,
    inlet: I,
    life: Life,
    /// Batches that have arrived, by the barrier of their epoch, with their input.
    stash: BTreeMap<u64, VecDeque<(usize, Vec<R>)>>,
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
        let arrived = boundary.lanes_of(worker).borrow().iter().map(|_| Vec::new()).collect();
        let (life, stash) = (Life::default(), BTreeMap::new());
        Receiver { worker, boundary, inlet, life, stash, arrived, named, within_worker: false }
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
        let Some((barrier, rows)) = lanes[lane].under_way.pop_front() else { return false };
        assert!(barrier >= self.life.passed, "a batch came after the end of its epoch");
        let arrived = &mut self.arrived[lane];
        arrived.resize(arrived.len().max(barrier as usize + 1), 0);
        arrived[barrier as usize] += 1;
        self.stash.entry(barrier).or_default().push_back((self.boundary.port(lane), rows));
        true
    }

    /// Runs a part of the next batch of the open epoch.
    fn run_batch(&mut self, open: u64, world: &mut World) -> Result<bool, Error> {
        let Some(stash) = self.stash.get_mut(&open).filter(|stash| !stash.is_empty()) else {
            return Ok(false);
        };
        if !self.inlet.ready(Waker::noop()) {
            return Ok(false);
        }
        if self.life.uses_time() {
            self.life.tell(Signal::Tick, world.now, |control| self.inlet.control(control))?;
        }
        let (port, mut rows) = stash.pop_front().expect("it is not empty");
        // Where a batch ends must not matter.
        if rows.len() > 1 && world.rng.once_in(3) {
            let rest = rows.split_off(1 + world.rng.below(rows.len() - 1));
            stash.push_front((port, rest));
        }
        self.inlet.batch(port, &mut rows);
        assert!(rows.is_empty(), "an inlet left rows in its batch");
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
                if self.within_worker && lane % self.boundary.workers() != self.worker {
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
