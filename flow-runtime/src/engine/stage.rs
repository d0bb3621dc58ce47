//! The receiving end of a boundary: alignment.
//!
//! A stage has one lane for each sender. A lane whose marker has come is left alone until the markers of all lanes have
//! come: nothing behind a marker is touched, so nothing is ever put aside. Then the stage passes the barrier, as soon as its inlet
//! holds no item any more.

use std::sync::Arc;
use std::task::Waker;

use crate::control::{EventTime, Signal};
use crate::describe::{Describe, OutletId, StepId, StepInfo};
use crate::engine::core::{Core, Stage};
use crate::engine::fifo::{Fifo, Marker, Message, Then};
use crate::engine::outlet::Receive;
use crate::engine::tell::Answered;
use crate::host::{Batch, Inlet};
use crate::time::{Barrier, Epoch, Timestamp};

/// The most batches taken in one run, so that markers and other stages get their turn.
const BATCHES_PER_RUN: usize = 16;

struct Lane<R> {
    port: usize,
    from: usize,
    queue: Arc<Fifo<R>>,
    /// Its marker has come.
    blocked: bool,
    /// How far the sender's event time has come, as far as it has told.
    time: Option<EventTime>,
}

/// A stage behind a boundary.
pub(crate) struct InletStage<R, I> {
    id: StepId,
    inlet: I,
    lanes: Vec<Lane<R>>,
    blocked: usize,
    /// All markers have come, and the inlet holds items that were in front of them.
    held: Option<Marker>,
    /// The lane to look at first, so that none starves.
    turn: usize,
    /// Rows came in since the last flush.
    unflushed: bool,
    ended: bool,
    /// What all lanes together have told of event time.
    time: Option<EventTime>,
    answered: Answered,
}

impl<R: 'static, I: Inlet<R>> InletStage<R, I> {
    /// A stage with a lane for each (port, sending worker, queue).
    pub(crate) fn new(
        id: StepId,
        inlet: I,
        lanes: impl IntoIterator<Item = (usize, usize, Arc<Fifo<R>>)>,
    ) -> Self {
        let lanes: Vec<_> = lanes
            .into_iter()
            .map(|(port, from, queue)| Lane { port, from, queue, blocked: false, time: None })
            .collect();
        InletStage {
            id,
            inlet,
            lanes,
            blocked: 0,
            held: None,
            turn: 0,
            unflushed: false,
            ended: false,
            time: None,
            answered: Answered::default(),
        }
    }

    fn signal(&mut self, core: &Core, signal: Signal) {
        self.answered.tell(core, &self.id, signal, |control| self.inlet.control(control));
    }

    /// A sender has told of its event time: tells the steps what all of them have come to.
    fn hear(&mut self, core: &Core) {
        let lanes = self.lanes.iter().map(|lane| lane.time);
        let time = EventTime::of_all(lanes, self.time);
        if time != self.time {
            self.time = time;
            if let Some(time) = time {
                self.unflushed = true;
                self.signal(core, Signal::Watermark(time));
            }
        }
    }

    /// Goes on with what the inlet holds, and passes the barrier that has waited for it.
    fn advance(&mut self, core: &Core) -> bool {
        let moved = self.inlet.advance();
        self.unflushed |= moved;
        match self.held.take_if(|_| self.inlet.is_drained()) {
            Some(marker) => self.pass(core, marker),
            None => return moved,
        }
        true
    }

    /// All markers have come, and nothing in front of them is left.
    fn pass(&mut self, core: &Core, marker: Marker) {
        core.passing(marker, || {
            if marker.then == Then::Finish {
                self.signal(core, Signal::Finish);
            }
            let signal = Signal::Barrier(marker.barrier);
            let mut changes = core.changes();
            self.answered.tell_with(core, &self.id, signal, changes.as_mut(), |control| {
                self.inlet.control(control);
            });
            core.gathered(marker.barrier, changes, &self.id);
        });
        self.unflushed = false;
        self.blocked = 0;
        self.lanes.iter_mut().for_each(|lane| lane.blocked = false);
        core.pass(marker.barrier);
        if marker.then.ends() {
            self.ended = true;
        } else {
            self.open(core, marker.barrier.next(), marker.next);
        }
    }
}

impl<R: 'static, I: Inlet<R>> Receive<R> for InletStage<R, I> {
    fn is_free(&mut self, lane: usize, waker: &Waker) -> bool {
        !self.lanes[lane].blocked && self.inlet.ready(waker)
    }

    fn take(&mut self, lane: usize, batch: &mut Batch<R>) {
        self.unflushed = true;
        self.inlet.batch(self.lanes[lane].port, batch);
        batch.clear();
        self.inlet.advance();
    }
}

impl<R: 'static, I: Inlet<R>> Stage for InletStage<R, I> {
    fn outlets(&self) -> Vec<OutletId> {
        let mut outlets = Outlets::default();
        self.inlet.describe(&mut outlets);
        outlets.0
    }

    fn restore(&mut self, core: &Core) {
        self.signal(core, Signal::Restore);
    }

    fn open(&mut self, core: &Core, barrier: Barrier, epoch: Epoch) {
        self.signal(core, Signal::Open { barrier, epoch });
        // A step that waits for a time since before the barrier says so when it is flushed.
        self.unflushed = true;
    }

    fn run(&mut self, core: &Core) -> bool {
        if self.ended {
            return false;
        }
        let moved = self.advance(core);
        if self.ended || !self.inlet.ready(core.waker()) {
            return moved;
        }
        let mut taken = 0;
        let mut idle = 0;
        while idle < self.lanes.len() && taken < BATCHES_PER_RUN {
            self.turn = (self.turn + 1) % self.lanes.len();
            let lane = &mut self.lanes[self.turn];
            let message = if lane.blocked { None } else { lane.queue.pop() };
            match message {
                None => idle += 1,
                Some(Message::Batch(mut batch)) => {
                    idle = 0;
                    taken += 1;
                    let (port, from, queue) = (lane.port, lane.from, Arc::clone(&lane.queue));
                    if from != core.who && queue.take_waiting() {
                        core.link.env.unpark(from);
                    }
                    self.unflushed = true;
                    if let Some(meter) = core.meter() {
                        meter.took(batch.rows.len(), from != core.who);
                    }
                    self.inlet.batch(port, &mut batch);
                    queue.recycle(batch);
                    self.inlet.advance();
                    core.stop_if_aborted();
                    if !self.inlet.ready(core.waker()) {
                        break;
                    }
                }
                Some(Message::EventTime(time)) => {
                    taken += 1;
                    lane.time = Some(time);
                    self.hear(core);
                }
                Some(Message::Marker(marker)) => {
                    taken += 1;
                    lane.blocked = true;
                    self.blocked += 1;
                    if self.blocked == self.lanes.len() {
                        idle = 0;
                        self.held = Some(marker);
                        self.advance(core);
                        if self.ended {
                            break;
                        }
                    }
                }
            }
        }
        moved | (taken > 0)
    }

    fn tick(&mut self, core: &Core) {
        self.signal(core, Signal::Tick);
        self.unflushed = true;
    }

    fn flush(&mut self, core: &Core) -> bool {
        let unflushed = std::mem::take(&mut self.unflushed);
        if unflushed {
            self.signal(core, Signal::Flush);
        }
        unflushed
    }

    fn committed(&mut self, core: &Core, epoch: Epoch) {
        self.signal(core, Signal::Committed(epoch));
    }

    fn uses_time(&self) -> bool {
        self.answered.uses_time && !self.ended
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.answered.wake_at.filter(|_| !self.ended)
    }
}

/// Collects the outlets of a stage.
#[derive(Default)]
pub(crate) struct Outlets(pub(crate) Vec<OutletId>);

impl Describe for Outlets {
    fn step(&mut self, _: StepInfo) {}
    fn outlet(&mut self, outlet: OutletId) {
        self.0.push(outlet);
    }
}
