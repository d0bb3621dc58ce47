//! One worker's stages, and the rule which of them may run.
//!
//! Stages are numbered downstream first, in the order in which they are assembled.
//!
//! # Waiting for room
//!
//! A queue is bounded, so a push may find it full. The worker then runs other stages *from inside the push* until
//! there is room, and parks when there is nothing to run. It may run any stage but
//!
//! * one that is on its stack: that is in the middle of an item itself;
//! * one that lies upstream of a stage on its stack: that could only make things fuller.
//!
//! Sources never run from inside a push. So a push goes at most as deep as there are stages. Time goes on meanwhile: stages that may
//! run are told when they asked to be, since what makes room may be waiting for a time itself.
//!
//! Why a run cannot stop for ever with this rule is argued in `ARCHITECTURE.md`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};

use crate::control::Answer;
use crate::describe::{OutletId, StepId};
use crate::engine::committer::ToCommitter;
use crate::engine::fifo::{Fifo, Marker, Then};
use crate::engine::link::{Link, ToCoordinator};
use crate::engine::meter::{Account, Meter};
use crate::engine::source::Polled;
use crate::error::Error;
use crate::recovery::changes::{Buffers, Changes};
use crate::time::{Barrier, Epoch, Timestamp};

/// A stage as its worker sees it.
pub(crate) trait Stage {
    /// The boundaries that the stage writes to.
    fn outlets(&self) -> Vec<OutletId>;
    /// Takes over what is saved.
    fn restore(&mut self, core: &Core);
    /// The first epoch begins.
    fn open(&mut self, core: &Core, barrier: Barrier, epoch: Epoch);
    /// Takes some messages from the queues. Answers whether there were any.
    fn run(&mut self, core: &Core) -> bool;
    /// Polls a source for at most `limit` items; for none if that is 0.
    fn poll(&mut self, core: &Core, limit: usize) -> Polled {
        let _ = (core, limit);
        Polled::default()
    }
    /// Whether it is the stage of a source.
    fn is_source(&self) -> bool {
        false
    }
    /// Ends the epoch of a source.
    fn close(&mut self, core: &Core, marker: Marker) {
        let _ = (core, marker);
    }
    /// Processing time has advanced.
    fn tick(&mut self, core: &Core);
    /// Hands over what is buffered, if anything came in since the last time. Answers whether anything had.
    fn flush(&mut self, core: &Core) -> bool;
    /// All epochs before this one are durable.
    fn committed(&mut self, core: &Core, epoch: Epoch);
    /// Whether the stage wants to know the time before items come.
    fn uses_time(&self) -> bool;
    /// When the stage wants to be ticked.
    fn wake_at(&self) -> Option<Timestamp>;
    /// When a source wants to be polled.
    fn poll_at(&self) -> Option<Timestamp> {
        None
    }
}

/// Unwinds a worker's stack after the run was aborted elsewhere. It is no error of this worker.
pub(crate) struct Aborted;

struct WakeWorker {
    link: Arc<Link>,
    who: usize,
}

impl Wake for WakeWorker {
    fn wake(self: Arc<Self>) {
        self.link.env.unpark(self.who);
    }
}

/// One worker's stages and what they share.
pub(crate) struct Core {
    pub(crate) who: usize,
    pub(crate) link: Arc<Link>,
    waker: Waker,
    stages: RefCell<Vec<Rc<RefCell<dyn Stage>>>>,
    /// For each stage, itself and all that lie upstream of it.
    upstream: RefCell<Vec<Vec<bool>>>,
    stack: RefCell<Vec<usize>>,
    /// The marker that the innermost stage is passing.
    marker: Cell<Option<Marker>>,
    now: Cell<Timestamp>,
    failure: RefCell<Option<Error>>,
    /// How many stages have passed each barrier that is not passed by all, beginning with the first such barrier.
    passed: RefCell<VecDeque<usize>>,
    first_open: Cell<Barrier>,
    /// The worker has waited for room since it was last asked.
    waited: Cell<bool>,
    /// What the stages that have passed a barrier have changed, for each barrier that not all have passed.
    gathered: RefCell<VecDeque<Changes>>,
    /// Used again by one stage after the other.
    buffers: RefCell<Buffers>,
    /// When a stage has last begun to gather.
    began: Cell<Timestamp>,
    /// In a run that is profiled.
    meter: Option<Meter>,
}

impl Core {
    pub(crate) fn new(who: usize, link: Arc<Link>) -> Self {
        let now = link.env.now();
        let waker = Waker::from(Arc::new(WakeWorker { link: Arc::clone(&link), who }));
        let profiled = link.options.profiles;
        let meter = profiled.then(|| Meter::new(Arc::clone(&link.env), link.watching.watch()));
        Core {
            meter,
            who,
            link,
            waker,
            stages: RefCell::default(),
            upstream: RefCell::default(),
            stack: RefCell::default(),
            marker: Cell::new(None),
            now: Cell::new(now),
            failure: RefCell::default(),
            passed: RefCell::default(),
            first_open: Cell::new(Barrier(0)),
            waited: Cell::new(false),
            gathered: RefCell::default(),
            buffers: RefCell::default(),
            began: Cell::new(now),
        }
    }

    // ---- assembly

    /// Adds a stage upstream of all that were added before.
    pub(crate) fn add(&self, stage: Rc<RefCell<dyn Stage>>) -> usize {
        let mut stages = self.stages.borrow_mut();
        stages.push(stage);
        stages.len() - 1
    }

    /// Settles which stage lies upstream of which; `targets` says which stage an outlet leads to.
    pub(crate) fn settle(&self, targets: impl Fn(OutletId) -> usize) {
        let stages = self.stages.borrow();
        let mut upstream: Vec<Vec<bool>> = (0..stages.len())
            .map(|this| (0..stages.len()).map(|other| other == this).collect())
            .collect();
        // From the most upstream stage down: what is upstream of a stage is upstream of all that it feeds.
        for this in (0..stages.len()).rev() {
            for outlet in stages[this].borrow().outlets() {
                let fed = targets(outlet);
                debug_assert!(fed < this, "a stage is assembled after those that it feeds");
                let above = upstream[this].clone();
                upstream[fed].iter_mut().zip(above).for_each(|(is, above)| *is |= above);
            }
        }
        self.upstream.replace(upstream);
    }

    /// Breaks the circle of stages that hold outlets that hold this.
    pub(crate) fn dismantle(&self) {
        self.stages.take();
    }

    // ---- running

    pub(crate) fn len(&self) -> usize {
        self.stages.borrow().len()
    }

    /// Runs `f` on a stage, unless it is in the middle of something.
    pub(crate) fn enter<R>(&self, at: usize, f: impl FnOnce(&mut dyn Stage) -> R) -> Option<R> {
        let stage = Rc::clone(&self.stages.borrow()[at]);
        let mut stage = stage.try_borrow_mut().ok()?;
        Some(self.in_place(at, || f(&mut *stage)))
    }

    /// Notes that stage `at` is being run by its outlet's sender, in place.
    pub(crate) fn in_place<R>(&self, at: usize, f: impl FnOnce() -> R) -> R {
        self.stack.borrow_mut().push(at);
        let before = self.meter.as_ref().map(|meter| meter.turn_to(Account::Stage(at)));
        let result = f();
        if let (Some(meter), Some(before)) = (&self.meter, before) {
            meter.turn_back(before);
        }
        self.stack.borrow_mut().pop();
        result
    }

    /// Who measures this worker, in a run that is profiled.
    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.meter.as_ref()
    }

    /// Waits until a queue has room, running what may be run meanwhile.
    #[cold]
    pub(crate) fn make_room<R>(&self, queue: &Fifo<R>) {
        let barred = self.barred();
        let before = self.meter.as_ref().map(Meter::wait_for_room);
        while queue.is_full() {
            self.stop_if_aborted();
            if !self.run_unbarred(&barred) {
                queue.wait();
                if queue.is_full() {
                    self.waited.set(true);
                    self.link.env.park(self.who, self.wake_unbarred(&barred));
                    self.set_now(self.link.env.now());
                }
            }
        }
        if let (Some(meter), Some(before)) = (&self.meter, before) {
            meter.turn_back(before);
        }
    }

    /// Whether the worker has waited for room, and so may have been woken for another reason that it has not looked at.
    pub(crate) fn take_waited(&self) -> bool {
        self.waited.take()
    }

    /// The stages that may not run now: those on the stack and all that lie upstream of them.
    fn barred(&self) -> Vec<bool> {
        let upstream = self.upstream.borrow();
        let mut barred = vec![false; upstream.len()];
        for &on_stack in self.stack.borrow().iter() {
            barred.iter_mut().zip(&upstream[on_stack]).for_each(|(is, above)| *is |= above);
        }
        barred
    }

    fn run_unbarred(&self, barred: &[bool]) -> bool {
        let mut progress = false;
        for at in (0..barred.len()).filter(|&at| !barred[at]) {
            let ran = self.enter(at, |stage| {
                let due = !stage.is_source() && stage.wake_at().is_some_and(|at| at <= self.now());
                if due {
                    stage.tick(self);
                }
                stage.run(self) | due
            });
            progress |= ran.unwrap_or(false);
        }
        // Also where nothing ran: a stage that was run in place says only now which time it waits for.
        for at in (0..barred.len()).rev().filter(|&at| !barred[at]) {
            progress |= self.enter(at, |stage| stage.flush(self)).unwrap_or(false);
        }
        progress
    }

    /// When a stage that may run wants to be told the time.
    fn wake_unbarred(&self, barred: &[bool]) -> Option<Timestamp> {
        let at = |at| {
            let wanted = self.enter(at, |stage| stage.wake_at().filter(|_| !stage.is_source()));
            wanted.flatten()
        };
        (0..barred.len()).filter(|&at| !barred[at]).filter_map(at).min()
    }

    /// Unwinds to the worker's edge if the run was aborted, or is stuck for ever.
    pub(crate) fn stop_if_aborted(&self) {
        if self.link.is_aborted() || self.link.env.is_stuck() || self.failure.borrow().is_some() {
            std::panic::resume_unwind(Box::new(Aborted));
        }
    }

    /// Wakes this worker.
    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now.get()
    }

    pub(crate) fn set_now(&self, now: Timestamp) {
        self.now.set(now);
    }

    /// Takes note of what consumers answered.
    pub(crate) fn take(&self, answer: &mut Answer, id: &StepId) {
        if let Some(meter) = &self.meter {
            meter.answered(answer);
        }
        if answer.items_out > 0 {
            self.link.count(&self.link.counters.items_out, answer.items_out);
        }
        if let Some(failure) = answer.failure.take() {
            self.fail(failure.at_step(id));
        }
    }

    pub(crate) fn fail(&self, failure: Error) {
        self.failure.borrow_mut().get_or_insert(failure);
    }

    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure.borrow_mut().take()
    }

    // ---- what is saved

    /// Where a stage that passes a barrier puts what it changed; `None` in a run without a recovery log.
    pub(crate) fn changes(&self) -> Option<Changes> {
        let recovered = self.link.recovered.as_ref()?;
        self.began.set(self.link.env.now());
        // While a stage holds the buffers another may come to a barrier, from inside of it: that one has new ones.
        Some(Changes::new(Arc::clone(&recovered.names), self.buffers.take()))
    }

    /// A stage has gathered what it changed before it passes a barrier.
    pub(crate) fn gathered(&self, barrier: Barrier, changes: Option<Changes>, id: &StepId) {
        let Some(mut changes) = changes else { return };
        self.buffers.replace(changes.take_buffers());
        let took = self.link.env.now().since(self.began.get()).as_micros() as u64;
        let saved = &self.link.counters.saved;
        saved.entries.fetch_add(changes.entries(), Ordering::Relaxed);
        saved.bytes.fetch_add(changes.bytes() as u64, Ordering::Relaxed);
        saved.micros.fetch_add(took, Ordering::Relaxed);
        saved.longest.fetch_max(took, Ordering::Relaxed);
        if let Some(meter) = &self.meter {
            meter.saved(&changes);
        }
        if let Some(failure) = changes.take_failure() {
            self.fail(failure.at_step(id));
        }
        let at = (barrier.0 - self.first_open.get().0) as usize;
        let mut gathered = self.gathered.borrow_mut();
        match gathered.get_mut(at) {
            Some(before) => before.append(&mut changes),
            None => gathered.push_back(changes),
        }
    }

    // ---- markers

    /// Runs `f` while `marker` is the one being passed. Stages that run from inside `f` may pass markers of their own.
    pub(crate) fn passing(&self, marker: Marker, f: impl FnOnce()) {
        let outer = self.marker.replace(Some(marker));
        f();
        self.marker.set(outer);
    }

    /// The marker being passed.
    pub(crate) fn marker(&self) -> Option<Marker> {
        self.marker.get()
    }

    pub(crate) fn begin(&self, barrier: Barrier) {
        self.first_open.set(barrier);
    }

    /// A stage has passed a barrier. The worker has when all its stages have.
    pub(crate) fn pass(&self, barrier: Barrier) {
        // An epoch in which something failed must not be committed, whoever comes to know of it first.
        if self.failure.borrow().is_some() {
            return;
        }
        let mut passed = self.passed.borrow_mut();
        let at = (barrier.0 - self.first_open.get().0) as usize;
        if passed.len() <= at {
            passed.resize(at + 1, 0);
        }
        passed[at] += 1;
        while passed.front() == Some(&self.len()) {
            passed.pop_front();
            let barrier = self.first_open.get();
            self.first_open.set(barrier.next());
            if let Some(changes) = self.gathered.borrow_mut().pop_front() {
                self.link.tell_committer(ToCommitter::Gathered { barrier, changes });
            }
            self.link.tell_coordinator(ToCoordinator::Passed(barrier));
        }
    }
}

impl Then {
    /// Whether the run ends.
    pub(crate) fn ends(self) -> bool {
        matches!(self, Then::Stop | Then::Finish)
    }
}
