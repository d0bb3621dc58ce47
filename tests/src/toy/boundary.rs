//! Boundaries: mailboxes, one per receiving worker, and the ends that send to them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

use flow_runtime::control::{Control, EventTime, Signal};
use flow_runtime::describe::{Describe, OutletId};
use flow_runtime::host::{Batch, Outlet, Spread};
use flow_runtime::state::{GROUPS, group_of, worker_of};
use flow_runtime::time::Timestamp;

use crate::rng::Rng;

/// What the receiving end of a boundary has to do with one sender: one worker's copy of one input.
pub(super) struct Lane<R> {
    /// Messages under way, in order, each with the barrier of its epoch.
    pub(super) under_way: VecDeque<(u64, Message<R>)>,
    /// The number of messages of each epoch that the sender has closed: its frontier is the length.
    pub(super) closed: Vec<usize>,
}

/// What a sender sends.
pub(super) enum Message<R> {
    Batch(Batch<R>),
    EventTime(EventTime),
}

/// One boundary, seen by all workers.
pub(super) struct Boundary<R> {
    /// Lanes by receiving worker, input and sending worker.
    lanes: Vec<RefCell<Vec<Lane<R>>>>,
    workers: usize,
}

impl<R> Boundary<R> {
    pub(super) fn new(workers: usize, ports: usize) -> Self {
        let lane = || Lane { under_way: VecDeque::new(), closed: Vec::new() };
        let lanes = || RefCell::new((0..ports * workers).map(|_| lane()).collect());
        Boundary { lanes: (0..workers).map(|_| lanes()).collect(), workers }
    }

    /// The lanes into a worker, by input and sending worker.
    pub(super) fn lanes_of(&self, worker: usize) -> &RefCell<Vec<Lane<R>>> {
        &self.lanes[worker]
    }

    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// The input of a lane.
    pub(super) fn port(&self, lane: usize) -> usize {
        lane / self.workers
    }
}

/// A sending end.
pub(super) struct ToyOutlet<R> {
    pub(super) id: OutletId,
    pub(super) boundary: Rc<Boundary<R>>,
    pub(super) port: usize,
    pub(super) worker: usize,
    pub(super) manner: Manner<R>,
    pub(super) batch: usize,
    pub(super) rng: Rng,
    state: State<R>,
}

/// How rows find their worker.
#[derive(Clone, Copy)]
pub(super) enum Manner<R> {
    /// They stay.
    Handoff,
    ByHash,
    Balanced,
    ToWorker,
    /// The function copies a row.
    ToAll(fn(&R) -> R),
}

struct State<R> {
    /// The epoch that is open, by its barrier.
    open: Option<u64>,
    closed: u64,
    /// Rows by receiving worker.
    rows: Vec<Batch<R>>,
    /// Messages sent in this epoch, by receiving worker.
    sent: Vec<usize>,
    /// The size at which a batch is sent before the flush.
    most: usize,
    /// The worker whose turn it is.
    turn: usize,
}

impl<R> Manner<R> {
    pub(super) fn of(spread: Spread, copy: fn(&R) -> R) -> Self {
        match spread {
            Spread::ByHash => Manner::ByHash,
            Spread::Balanced => Manner::Balanced,
            Spread::ToWorker => Manner::ToWorker,
            Spread::ToAll => Manner::ToAll(copy),
        }
    }
}

impl<R: 'static> ToyOutlet<R> {
    pub(super) fn new(
        id: OutletId,
        boundary: Rc<Boundary<R>>,
        (port, worker): (usize, usize),
        manner: Manner<R>,
        batch: usize,
        rng: Rng,
    ) -> Self {
        let workers = boundary.workers;
        let state = State {
            open: None,
            closed: 0,
            rows: (0..workers).map(|_| Batch::default()).collect(),
            sent: vec![0; workers],
            most: batch,
            turn: worker,
        };
        ToyOutlet { id, boundary, port, worker, manner, batch, rng, state }
    }

    fn put(&mut self, to: usize, time: Timestamp, row: R) {
        self.state.rows[to].push(time, row);
        if self.state.rows[to].rows.len() >= self.state.most {
            self.hand_over(to);
            self.state.most = 1 + self.rng.below(self.batch);
            self.state.turn = self.rng.below(self.state.rows.len());
        }
    }

    fn hand_over(&mut self, to: usize) {
        let mut batch = mem::take(&mut self.state.rows[to]);
        if !batch.rows.is_empty() {
            batch.seal();
            self.message(to, Message::Batch(batch));
        }
    }

    fn message(&mut self, to: usize, message: Message<R>) {
        let barrier = self.state.open.expect("a message belongs to an epoch");
        self.state.sent[to] += 1;
        self.with_lane(to, |lane| lane.under_way.push_back((barrier, message)));
    }

    fn hand_over_all(&mut self) {
        (0..self.state.rows.len()).for_each(|to| self.hand_over(to));
    }

    fn with_lane(&self, to: usize, act: impl FnOnce(&mut Lane<R>)) {
        let lane = self.port * self.boundary.workers + self.worker;
        act(&mut self.boundary.lanes_of(to).borrow_mut()[lane]);
    }

    /// The receivers of this end's rows.
    fn receivers(&self) -> std::ops::Range<usize> {
        match self.manner {
            Manner::Handoff => self.worker..self.worker + 1,
            _ => 0..self.boundary.workers,
        }
    }
}

impl<R: 'static> Outlet<R> for ToyOutlet<R> {
    fn send(&mut self, route: u64, time: Timestamp, row: R) {
        assert!(
            self.state.open.is_some(),
            "outlet {:?}: an item was sent outside an epoch",
            self.id
        );
        let workers = self.state.rows.len();
        match self.manner {
            Manner::Handoff => self.put(self.worker, time, row),
            Manner::ByHash => {
                self.put(worker_of(group_of(route, GROUPS), GROUPS, workers), time, row);
            }
            Manner::Balanced => self.put(self.state.turn, time, row),
            Manner::ToWorker => {
                let to = usize::try_from(route).expect("a worker's number is small");
                assert!(to < workers, "outlet {:?}: there is no worker {to}", self.id);
                self.put(to, time, row);
            }
            Manner::ToAll(copy) => {
                assert!(self.worker == 0, "outlet {:?}: only worker 0 may send to all", self.id);
                for to in 1..workers {
                    self.put(to, time, copy(&row));
                }
                self.put(0, time, row);
            }
        }
    }

    fn control(&mut self, control: &mut Control<'_>) {
        match control.signal() {
            Signal::Open { barrier, .. } => {
                assert_eq!(
                    (self.state.open, self.state.closed),
                    (None, barrier.0),
                    "outlet {:?}",
                    self.id
                );
                self.state.open = Some(barrier.0);
            }
            Signal::Flush => self.hand_over_all(),
            Signal::Watermark(time) => {
                self.hand_over_all();
                for to in self.receivers() {
                    self.message(to, Message::EventTime(time));
                }
            }
            Signal::Barrier(barrier) => {
                assert_eq!(self.state.open, Some(barrier.0), "outlet {:?}", self.id);
                self.hand_over_all();
                for to in self.receivers() {
                    let sent = mem::take(&mut self.state.sent[to]);
                    self.with_lane(to, |lane| lane.closed.push(sent));
                }
                self.state.open = None;
                self.state.closed += 1;
            }
            // The host tells every stage by itself.
            Signal::Restore
            | Signal::Tick
            | Signal::Partition { .. }
            | Signal::Finish
            | Signal::Committed(_) => {}
        }
    }

    fn describe(&self, to: &mut dyn Describe) {
        to.outlet(self.id);
    }
}
