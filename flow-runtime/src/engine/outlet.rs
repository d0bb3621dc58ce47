//! The sending end of a boundary: one buffer and one queue for each worker that it sends to.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::control::{Control, EventTime, Signal};
use crate::describe::{Describe, OutletId};
use crate::engine::core::Core;
use crate::engine::fifo::Fifo;
use crate::host::{Batch, Outlet, Spread};
use crate::state::{group_of, worker_of};
use crate::time::Timestamp;

/// A batch is handed over at this many rows ..
const BATCH_ROWS: usize = 1024;
/// .. or this many bytes of rows, not counting what they point to.
const BATCH_BYTES: usize = 64 * 1024;

/// The worker's own stage behind an outlet.
pub(crate) trait Receive<R> {
    /// Whether a batch may be taken now, ahead of what waits in the queues.
    fn is_free(&mut self, lane: usize, waker: &Waker) -> bool;
    /// Takes a batch, and leaves it empty.
    fn take(&mut self, lane: usize, batch: &mut Batch<R>);
}

/// How rows find their way.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// All to the one queue there is.
    One,
    /// As an exchange spreads them.
    Spread(Spread),
}

/// The sending end of a boundary.
pub(crate) struct Sending<R> {
    id: OutletId,
    way: Way,
    /// Key groups, by which keys are dealt.
    groups: u32,
    core: Rc<Core>,
    lanes: Vec<Lane<R>>,
    /// Which of `lanes` leads to this worker's own stage.
    own: Option<usize>,
    stage: Rc<RefCell<dyn Receive<R>>>,
    stage_at: usize,
    /// The receiving stage's number for what comes from here.
    lane_there: usize,
    batch_rows: usize,
    /// The lane that a balanced exchange fills next.
    turn: usize,
    duplicate: Option<fn(&R) -> R>,
}

struct Lane<R> {
    to: usize,
    batch: Batch<R>,
    queue: Arc<Fifo<R>>,
}

impl<R> fmt::Debug for Sending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What [`Sending::new`] needs to know of the receiving side.
pub(crate) struct Receiver<R> {
    pub(crate) stage: Rc<RefCell<dyn Receive<R>>>,
    pub(crate) at: usize,
    pub(crate) lane: usize,
}

impl<R: 'static> Sending<R> {
    pub(crate) fn new(
        id: OutletId,
        way: Way,
        core: Rc<Core>,
        queues: Vec<(usize, Arc<Fifo<R>>)>,
        receiver: Receiver<R>,
        duplicate: Option<fn(&R) -> R>,
    ) -> Self {
        let own = queues.iter().position(|(to, _)| *to == core.who);
        Sending {
            id,
            way,
            groups: core.link.groups,
            own,
            turn: core.who % queues.len(),
            lanes: queues
                .into_iter()
                .map(|(to, queue)| Lane { to, batch: Batch::default(), queue })
                .collect(),
            core,
            stage: receiver.stage,
            stage_at: receiver.at,
            lane_there: receiver.lane,
            batch_rows: match way {
                // Such a row is a block of a sink, which is a batch already.
                Way::Spread(Spread::ToWorker) => 1,
                _ => (BATCH_BYTES / size_of::<R>().max(1)).clamp(1, BATCH_ROWS),
            },
            duplicate,
        }
    }

    #[inline(always)]
    fn add(&mut self, lane: usize, time: Timestamp, row: R) {
        let batch = &mut self.lanes[lane].batch;
        batch.push(time, row);
        if batch.rows.len() >= self.batch_rows {
            self.hand_over(lane);
        }
    }

    /// Gives a lane's buffer to the receiver: in place if that is this worker's own stage and nothing waits before it,
    /// else through the queue.
    #[inline(never)]
    fn hand_over(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        if lane.batch.rows.is_empty() {
            return;
        }
        lane.batch.seal();
        if let Some(meter) = self.core.meter() {
            meter.sent(self.id, lane.batch.rows.len());
        }
        if self.own == Some(at)
            && lane.queue.is_empty()
            && let Ok(mut stage) = self.stage.try_borrow_mut()
            && stage.is_free(self.lane_there, self.core.waker())
        {
            let batch = &mut lane.batch;
            self.core.in_place(self.stage_at, || {
                if let Some(meter) = self.core.meter() {
                    meter.took(batch.rows.len(), false);
                }
                stage.take(self.lane_there, batch);
            });
            drop(stage);
            // A flat_map may push for ever: it must notice that the run has ended.
            self.core.stop_if_aborted();
            return;
        }
        let mut next = lane.queue.buffer();
        next.rows.reserve(self.batch_rows.min(lane.batch.rows.len().next_power_of_two()));
        lane.queue.push(mem::replace(&mut lane.batch, next));
        if lane.to != self.core.who {
            self.core.link.env.unpark(lane.to);
        }
        if lane.queue.is_full() {
            self.core.make_room(&lane.queue);
        }
    }

    fn hand_over_all(&mut self) {
        (0..self.lanes.len()).for_each(|lane| self.hand_over(lane));
    }

    /// Tells how far event time has come, behind the items that were sent before.
    fn event_time(&mut self, time: EventTime) {
        self.hand_over_all();
        for lane in &self.lanes {
            lane.queue.event_time(time);
            if lane.to != self.core.who {
                self.core.link.env.unpark(lane.to);
            }
        }
    }

    fn mark(&mut self) {
        self.hand_over_all();
        let marker = self
            .core
            .marker()
            .expect("a barrier reaches an outlet only while its marker is being passed");
        for lane in &self.lanes {
            lane.queue.mark(marker);
            if lane.to != self.core.who {
                self.core.link.env.unpark(lane.to);
            }
        }
    }
}

impl<R: 'static> Outlet<R> for Sending<R> {
    #[inline(always)]
    fn send(&mut self, route: u64, time: Timestamp, row: R) {
        if self.lanes.len() == 1 {
            return self.add(0, time, row);
        }
        match self.way {
            Way::One => self.add(0, time, row),
            Way::Spread(Spread::ByHash) => {
                let lane = worker_of(group_of(route, self.groups), self.groups, self.lanes.len());
                self.add(lane, time, row);
            }
            Way::Spread(Spread::ToWorker) => self.add(route as usize, time, row),
            Way::Spread(Spread::Balanced) => {
                self.add(self.turn, time, row);
                if self.lanes[self.turn].batch.rows.is_empty() {
                    self.turn = (self.turn + 1) % self.lanes.len();
                }
            }
            Way::Spread(Spread::ToAll) => unreachable!("what goes to all is sent by `send_to_all`"),
        }
    }

    fn send_to_all(&mut self, row: R) {
        if self.lanes.len() > 1 {
            let duplicate = self.duplicate.expect("rows that go to all workers are `Clone`");
            for lane in 1..self.lanes.len() {
                self.add(lane, Timestamp::MIN, duplicate(&row));
            }
        }
        self.add(0, Timestamp::MIN, row);
    }

    fn control(&mut self, control: &mut Control<'_>) {
        match control.signal() {
            Signal::Flush => {
                self.hand_over_all();
                if let Way::Spread(Spread::Balanced) = self.way {
                    self.turn = (self.turn + 1) % self.lanes.len();
                }
            }
            Signal::Barrier(_) => self.mark(),
            Signal::Watermark(time) => self.event_time(time),
            _ => {}
        }
    }

    fn describe(&self, to: &mut dyn Describe) {
        to.outlet(self.id);
    }
}
