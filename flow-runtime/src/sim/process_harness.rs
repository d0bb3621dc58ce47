//! [`ProcessHarness`]: a state machine by itself, with its timers, its state saved and restored as in a run.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::consumer::{Consumer, Head};
use crate::control::{Answer, Control, EventTime, Signal, Standing};
use crate::describe::Describe;
use crate::recovery::changes::Changes;
use crate::sim::one_step::OneStep;
use crate::state::Lent;
use crate::state::key_code::save_key;
use crate::steps::{Process, ProcessEntry, Processing};
use crate::stream::Keyed;
use crate::time::{Barrier, Epoch, Timestamp};
use crate::timers::By;

/// Drives a [`Process`] in a test, without a dataflow around it.
///
/// Items come one by one. Event time and processing time stand still until they are [moved on](ProcessHarness::advance_to); timers fire then, as
/// in a run: the harness runs the very step that a run does. The state is saved at the end of an epoch, and restored from these bytes after a crash, on any number of
/// workers.
///
/// ```
/// use flow_runtime::prelude::*;
/// use flow_runtime::sim::{By, ProcessHarness};
///
/// use std::time::Duration;
///
/// /// Says which sensors have been silent for a minute.
/// struct Silence;
///
/// impl Process for Silence {
///     type Key = u32;
///     type In = f64;
///     type Out = &'static str;
///     type State = u64;
///     type Timer = ();
///
///     fn on_item(&self, readings: &mut Option<u64>, _: f64, cx: &mut ProcessContext<'_, Self>) {
///         *readings.get_or_insert(0) += 1;
///         cx.set_timer(cx.time().after(Duration::from_secs(60)), ());
///     }
///
///     fn on_timer(&self, readings: &mut Option<u64>, _: (), cx: &mut ProcessContext<'_, Self>) {
///         cx.emit("silent");
///         *readings = None;
///     }
/// }
///
/// let at = Timestamp::from_secs;
/// let mut silence = ProcessHarness::new(Silence);
/// silence.item(7, at(0), 20.5);
/// silence.item(7, at(30), 20.6);
/// assert_eq!(silence.timers(), [(&7, By::Event, at(90), &())], "in place of the one at 60");
/// silence.epoch(); // Committed.
/// silence.advance_to(at(90));
/// assert_eq!(silence.emitted(), [(7, at(90), "silent")]);
/// assert_eq!(silence.state(&7), None);
///
/// silence.crash_and_restore();
/// assert_eq!(silence.state(&7), Some(&2), "as it was at the end of the epoch, and event time too");
/// silence.restore_on(3); // Workers.
/// silence.advance_to(at(200));
/// assert_eq!(silence.emitted(), [(7, at(90), "silent")], "it has not fired after the commit");
/// ```
#[must_use = "a harness does nothing until it is given items"]
pub struct ProcessHarness<P: Process> {
    step: OneStep,
    machine: Rc<P>,
    workers: Vec<Worker<P>>,
    emitted: Emitted<P>,
    /// So many of these were emitted before the last epoch ended.
    committed: usize,
    watermark: Timestamp,
    now: Timestamp,
    epoch: u64,
}

type Emitted<P> = Rc<RefCell<Vec<(<P as Process>::Key, Timestamp, <P as Process>::Out)>>>;

struct Worker<P: Process> {
    running: Processing<P, Collector<P>, Rc<P>>,
    /// When it wants to be told the time.
    wake_at: Option<Timestamp>,
}

/// What lies downstream.
struct Collector<P: Process>(Emitted<P>);

impl<P: Process> Consumer<Keyed<P::Key, P::Out>> for Collector<P> {
    fn push(&mut self, head: Head<'_, P::Key>, item: P::Out) {
        self.0.borrow_mut().push((head.key.clone(), head.time, item));
    }
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}

impl<P: Process> fmt::Debug for ProcessHarness<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHarness")
            .field("watermark", &self.watermark)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<P: Process> Worker<P> {
    fn tell(&mut self, signal: Signal, now: Timestamp, changes: Option<&mut Changes>) {
        let mut answer = Answer::default();
        self.running.control(&mut Control::new(signal, now, &mut answer).saving(changes));
        if let Some(error) = answer.failure {
            panic!("{error}");
        }
        self.wake_at = answer.wake_at;
    }
}

impl<P: Process> ProcessHarness<P> {
    /// The machine on one worker, before any item. Event time is not known yet, processing time is 0.
    pub fn new(machine: P) -> Self {
        let mut harness = ProcessHarness {
            step: OneStep::new(),
            machine: Rc::new(machine),
            workers: Vec::new(),
            emitted: Rc::default(),
            committed: 0,
            watermark: Timestamp::MIN,
            now: Timestamp(0),
            epoch: 0,
        };
        harness.restore_on(1);
        harness
    }

    fn hash_of(&self, key: &P::Key) -> (u64, usize) {
        let hash = self.step.hasher.hash(key);
        (hash, self.step.worker(hash, self.workers.len()))
    }

    fn tell_all(&mut self, signal: Signal) {
        let now = self.now;
        self.workers.iter_mut().for_each(|worker| worker.tell(signal, now, None));
    }

    fn open(&mut self) {
        self.tell_all(Signal::Open { barrier: Barrier(self.epoch), epoch: Epoch(self.epoch) });
    }

    /// Gives the machine an item, a batch of its own. `time` is its event time, [`Timestamp::MIN`] where it has none.
    ///
    /// # Panics
    /// When the machine does.
    pub fn item(&mut self, key: P::Key, time: Timestamp, item: P::In) {
        let (hash, at) = self.hash_of(&key);
        self.workers[at].running.push(Head { hash, time, key: &key }, item);
        self.tell_all(Signal::Flush);
    }

    /// Event time comes to `watermark`: timers up to there fire. It does not go back.
    ///
    /// # Panics
    /// When the machine does.
    pub fn advance_to(&mut self, watermark: Timestamp) {
        self.watermark = self.watermark.max(watermark);
        let time = EventTime { watermark: self.watermark, standing: Standing::Active };
        self.tell_all(Signal::Watermark(time));
    }

    /// Processing time comes to `now`: timers up to there fire, each at its time. It does not go back, and goes on over crashes.
    ///
    /// # Panics
    /// When the machine does.
    pub fn advance_clock_to(&mut self, now: Timestamp) {
        let next =
            |harness: &Self| harness.workers.iter().filter_map(|worker| worker.wake_at).min();
        while let Some(at) = next(self).filter(|at| *at <= now) {
            self.now = self.now.max(at);
            self.tell_all(Signal::Tick);
        }
        self.now = self.now.max(now);
        self.tell_all(Signal::Tick);
    }

    /// The input ends for good: all timers by event time that are set fire, and what is set meanwhile does not.
    ///
    /// # Panics
    /// When the machine does.
    pub fn finish(&mut self) {
        self.tell_all(Signal::Finish);
    }

    /// Takes out what the machine has emitted since this was last called: key, event time, item.
    pub fn emitted(&mut self) -> Vec<(P::Key, Timestamp, P::Out)> {
        self.committed = 0;
        self.emitted.take()
    }

    /// The timers that are set: key, by which time, when, tag; in the order of when and by which, and then of keys as they are encoded, and
    /// tags.
    ///
    /// # Panics
    /// When a key cannot be encoded.
    pub fn timers(&self) -> Vec<(&P::Key, By, Timestamp, &P::Timer)> {
        let mut timers = Vec::new();
        for (key, entry) in self.workers.iter().flat_map(|worker| worker.running.table.iter()) {
            let mut bytes = Vec::new();
            if let Err(error) = save_key(key, &mut bytes) {
                panic!("{}", error.what());
            }
            let set = entry.timers.iter();
            timers.extend(set.map(|timer| (bytes.clone(), (key, timer.by, timer.at, &timer.tag))));
        }
        timers.sort_by(|(a_key, (_, a_by, a_at, a_tag)), (b_key, (_, b_by, b_at, b_tag))| {
            (a_at, a_by, a_key, a_tag).cmp(&(b_at, b_by, b_key, b_tag))
        });
        timers.into_iter().map(|(_, timer)| timer).collect()
    }

    /// Those of one key, in the same order.
    ///
    /// # Panics
    /// When a key cannot be encoded.
    pub fn timers_of(&self, key: &P::Key) -> Vec<(By, Timestamp, &P::Timer)> {
        let all = self.timers().into_iter().filter(|(of, ..)| *of == key);
        all.map(|(_, by, at, tag)| (by, at, tag)).collect()
    }

    /// The state of a key; `None` where there is none: no item has come, or the machine has taken it away.
    pub fn state(&self, key: &P::Key) -> Option<&P::State> {
        let (hash, at) = self.hash_of(key);
        self.workers[at].running.table.find(hash, &Lent(key))?.state.as_ref()
    }

    /// The number of keys that have state.
    pub fn keys(&self) -> usize {
        let entries = self.workers.iter().flat_map(|worker| worker.running.table.iter());
        entries.filter(|(_, entry)| !entry.is_gone()).count()
    }

    /// Ends the epoch: what has changed is saved, and a crash leads back here. Answers how many entries were saved or taken away: one for each key that has changed,
    /// and one for each entry of its [maps](crate::state::MapState) and [lists](crate::state::ListState) that has.
    ///
    /// # Panics
    /// When a key cannot be encoded so that it can be decoded again; the run of a dataflow would end.
    pub fn epoch(&mut self) -> usize {
        let mut entries = 0;
        for worker in &mut self.workers {
            let mut changes = self.step.changes();
            worker.tell(Signal::Barrier(Barrier(self.epoch)), self.now, Some(&mut changes));
            entries += self.step.save(changes);
        }
        self.committed = self.emitted.borrow().len();
        self.epoch += 1;
        self.open();
        entries
    }

    /// Loses what was not saved, and restores what was, on the same number of workers. Event time is where it was at the end of the last epoch. What was emitted
    /// since and not taken out is gone as well.
    ///
    /// # Panics
    /// When what was saved cannot be loaded; a start would be refused.
    pub fn crash_and_restore(&mut self) {
        self.restore_on(self.workers.len());
    }

    /// The same, on another number of workers, to each of which its keys go.
    ///
    /// # Panics
    /// As [`crash_and_restore`](ProcessHarness::crash_and_restore), and when there are to be no workers.
    pub fn restore_on(&mut self, workers: usize) {
        assert!(workers > 0, "a step cannot run on 0 workers");
        self.emitted.borrow_mut().truncate(self.committed);
        let worker = || {
            let down = Collector(Rc::clone(&self.emitted));
            let machine = Rc::clone(&self.machine);
            let mut running = Processing::sharing(self.step.id.clone(), machine, down);
            running.table.saves();
            Worker { running, wake_at: None }
        };
        self.workers = std::iter::repeat_with(worker).take(workers).collect();
        let tables = self.workers.iter_mut().map(|worker| &mut worker.running.table);
        self.step.restore(&mut Vec::from_iter(tables), ProcessEntry::load);
        for worker in &mut self.workers {
            worker.running.arm_all(self.step.hasher);
        }
        self.open();
        self.watermark = self.step.watermark;
        self.advance_to(self.watermark);
    }
}
