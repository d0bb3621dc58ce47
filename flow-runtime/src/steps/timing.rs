//! `event_time` and `try_event_time`: when items happened.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::Waker;

use crate::consumer::{Consumer, Head};
use crate::control::{Control, EventTime, Reading, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::event_time::{Board, Disorder, Partitions};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::io::PartitionId;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::stream::Token;
use crate::time::Timestamp;

/// `event_time(stream, |item| time, disorder)`: gives each item the time at which it happened, and from then on tells all steps
/// downstream how far event time has come.
///
/// It stands between a source and the first step that begins a stage (`key_by`, `merge`, `rebalance`, ..), because there it can tell
/// one partition of the source from another: each has its own watermark, its latest time less the bound of [`Disorder`], and the
/// earliest of them counts. Windows, timers and joins by event time need one upstream of them, on every way from a source.
///
/// The time is a [`Timestamp`] or what can be made one. How far each partition had come is saved, and how far the steps downstream had:
/// a run that goes on never goes back behind that.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// A reading of a sensor, and when it was taken, in seconds.
/// type Reading = (u32, i64);
///
/// #[dataflow]
/// fn hourly(readings: Vec<Reading>, out: Collect<(u32, u64)>) {
///     let all = source(from_iter(readings));
///     let timed = event_time(all, |r| Timestamp::from_secs(r.1), Disorder::bounded(Duration::from_secs(60)));
///     let by_sensor = key_by(timed, |r| r.0);
///     let (hours, late) = window(by_sensor, Tumbling::of(Duration::from_secs(3600)), aggregate::count());
///     discard(late, "counted elsewhere");
///     let counts = map(hours, |hour| hour.value);
///     sink(counts, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, counts) = collect();
/// hourly(vec![(1, 0), (1, 3599), (1, 3600)], out).spawn()?.wait()?;
/// assert_eq!(counts.sorted(), [(1, 1), (1, 2)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum event_time {}

impl event_time {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::EventTime);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, T: Into<Timestamp> + 'static, F: Fn(&U::Item) -> T + 'static>(
        _: U,
        time: F,
        disorder: Disorder,
    ) -> (U, EventTimePlan<U, T, F>) {
        (U::token(), EventTimePlan { time, disorder, types: PhantomData })
    }
}

/// `let (timed, rejected) = try_event_time(stream, |item| maybe_time, disorder)`: as [`event_time`](enum@event_time), for items of
/// which some have no time, or one that is too far in the future by [`Disorder::at_most_ahead`]. These are the second stream.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn checked(readings: Vec<(u32, Option<i64>)>, good: Collect<u32>, bad: Collect<u32>) {
///     let all = source(from_iter(readings));
///     let (timed, rejected) = try_event_time(all, |r| r.1.map(Timestamp::from_secs), Disorder::none());
///     let sensors = map(timed, |r| r.0);
///     sink(sensors, good);
///     let others = map(rejected, |r| r.0);
///     sink(others, bad);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let ((good, timed), (bad, rejected)) = (collect(), collect());
/// checked(vec![(1, Some(10)), (2, None)], good, bad).spawn()?.wait()?;
/// assert_eq!((timed.take(), rejected.take()), (vec![1], vec![2]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum try_event_time {}

impl try_event_time {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::EventTime);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<
        U: Token,
        T: Into<Timestamp> + 'static,
        F: Fn(&U::Item) -> Option<T> + 'static,
    >(
        _: U,
        time: F,
        disorder: Disorder,
    ) -> ((U, U), TryEventTimePlan<U, T, F>) {
        ((U::token(), U::token()), TryEventTimePlan { time, disorder, types: PhantomData })
    }
}

/// The plan of [`event_time`](enum@event_time).
pub struct EventTimePlan<U, T, F> {
    time: F,
    disorder: Disorder,
    types: PhantomData<fn(U) -> T>,
}

/// The plan of [`try_event_time`].
pub struct TryEventTimePlan<U, T, F> {
    time: F,
    disorder: Disorder,
    types: PhantomData<fn(U) -> T>,
}

impl<U, T, F> fmt::Debug for EventTimePlan<U, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTimePlan").field("disorder", &self.disorder).finish_non_exhaustive()
    }
}

impl<U, T, F> fmt::Debug for TryEventTimePlan<U, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryEventTimePlan").field("disorder", &self.disorder).finish_non_exhaustive()
    }
}

impl<H, U, T, F, D> Plan1<H, U, (D,)> for EventTimePlan<U, T, F>
where
    H: Host,
    U: Token,
    T: Into<Timestamp> + 'static,
    F: Fn(&U::Item) -> T + 'static,
    D: Consumer<U>,
{
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<U> + use<H, U, T, F, D>,) {
        let time = self.time;
        let give = move |item: &U::Item, limit: Timestamp| Some(time(item).into().min(limit));
        (Timing::new::<H>(cx, id, self.disorder, give, (down, NoRejects)),)
    }
}

impl<H, U, T, F, D, R> Plan1<H, U, (D, R)> for TryEventTimePlan<U, T, F>
where
    H: Host,
    U: Token,
    T: Into<Timestamp> + 'static,
    F: Fn(&U::Item) -> Option<T> + 'static,
    D: Consumer<U>,
    R: Consumer<U>,
{
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down, rejects): (D, R),
    ) -> (impl Consumer<U> + use<H, U, T, F, D, R>,) {
        let time = self.time;
        let give = move |item: &U::Item, limit: Timestamp| {
            let at = time(item)?.into();
            (at <= limit).then_some(at)
        };
        (Timing::new::<H>(cx, id, self.disorder, give, (down, rejects)),)
    }
}

/// Where nothing is rejected.
struct NoRejects;

impl<U: Token> Consumer<U> for NoRejects {
    fn push(&mut self, _: Head<'_, U::Key>, _: U::Item) {}
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}

struct Timing<F, D, R> {
    id: StepId,
    /// The time of an item, and what becomes of one that lies beyond the limit.
    give: F,
    /// As of the batch, no later time is believed.
    limit: Timestamp,
    /// The latest time since the partition was last settled; [`Timestamp::MIN`] if there was no item.
    latest: Timestamp,
    /// Apart, so that what is looked at once a batch is not moved with the steps of the stage.
    rest: Box<Rest>,
    down: D,
    rejects: R,
}

/// What is looked at once a batch.
struct Rest {
    disorder: Disorder,
    partitions: Partitions,
    board: Arc<Board>,
    waker: Waker,
    workers: usize,
    begun: bool,
    /// Where each partition had come to, in a run that goes on.
    saved: Vec<(PartitionId, Timestamp)>,
}

impl<F, D, R> Timing<F, D, R> {
    fn new<H: Host>(
        cx: &mut H::Cx<'_>,
        id: StepId,
        disorder: Disorder,
        give: F,
        (down, rejects): (D, R),
    ) -> Self {
        let rest = Rest {
            disorder,
            partitions: Partitions::new(disorder),
            board: H::shared(cx, &id),
            waker: H::waker(cx),
            workers: H::worker(cx).peers,
            begun: false,
            saved: Vec::new(),
        };
        let (limit, latest) = (Timestamp::MAX, Timestamp::MIN);
        Timing { id, give, limit, latest, rest: Box::new(rest), down, rejects }
    }

    fn settle(&mut self) {
        let latest = std::mem::replace(&mut self.latest, Timestamp::MIN);
        let Rest { partitions, board, .. } = &mut *self.rest;
        partitions.has_read(Some(latest).filter(|latest| *latest > Timestamp::MIN), board);
    }
}

impl Rest {
    /// Takes over how far each partition had come.
    fn restore(&mut self, id: &StepId, control: &mut Control<'_>) {
        let Some(names) = control.partitions().cloned() else { return };
        let Some(from) = control.restored() else { return };
        for name in names.iter() {
            match from.position::<Timestamp>(id, name) {
                Ok((crate::io::Resume::At { position, .. }, _)) => {
                    self.saved.push((name.clone(), position));
                }
                Ok(_) => {}
                Err(error) => control.fail(error.at_step(id)),
            }
        }
    }

    /// The first epoch begins.
    fn begin(&mut self, id: &StepId, control: &mut Control<'_>) {
        let Some(names) = control.partitions().cloned() else {
            return control.fail(not_at_a_source(id));
        };
        let cells = self.board.put_up(&names, self.waker.clone());
        let saved = |name: &PartitionId| {
            let mut saved = self.saved.iter().filter(|(known, _)| known == name);
            saved.next().map(|(_, at)| *at)
        };
        self.partitions.begin(&names, cells, control.now(), saved);
    }

    fn save(&mut self, id: &StepId, control: &mut Control<'_>) {
        let Some(changes) = control.changes() else { return };
        for partition in &mut self.partitions.all {
            if partition.latest != partition.saved {
                partition.saved = partition.latest;
                match crate::io::encode_position(&partition.latest, &partition.name) {
                    Ok(bytes) => changes.partition(id, &partition.name, &bytes),
                    Err(error) => return control.fail(error.at_step(id)),
                }
            }
        }
    }
}

#[cold]
fn not_at_a_source(id: &StepId) -> Error {
    Error::new(ErrorKind::Configuration, "`event_time` does not stand in the stage of a source")
        .help("put it between the source and the first `key_by`, `merge` or `rebalance`: only there it can tell one partition from another")
        .at_step(id)
}

impl<F, D, R> Timing<F, D, R> {
    /// Tells the steps downstream how far event time has come, if that is news.
    fn tell<U: Token>(&mut self, control: &mut Control<'_>)
    where
        D: Consumer<U>,
        R: Consumer<U>,
    {
        if let Some(time) = self.rest.partitions.news(control.now()) {
            control.with(Signal::Watermark(time), |control| {
                self.down.control(control);
                self.rejects.control(control);
            });
        }
    }
}

impl<U, F, D, R> Consumer<U> for Timing<F, D, R>
where
    U: Token,
    F: Fn(&U::Item, Timestamp) -> Option<Timestamp> + 'static,
    D: Consumer<U>,
    R: Consumer<U>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
        let note = Note::of(&self.id);
        let given = (self.give)(&item, self.limit);
        note.emits();
        note.clear();
        match given {
            Some(time) => {
                // The earliest time there is stands for none, and behind the latest no window could end.
                let time = time.clamp(Timestamp(i64::MIN + 1), Timestamp(i64::MAX - 2));
                self.latest = self.latest.max(time);
                self.down.push(Head { time, ..head }, item);
            }
            None => self.rejects.push(head, item),
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.down.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        let now = control.now();
        self.limit = self.rest.disorder.ahead.map_or(Timestamp::MAX, |ahead| now.after(ahead));
        let signal = control.signal();
        self.settle();
        match signal {
            Signal::Restore => self.rest.restore(&self.id, control),
            Signal::Open { .. } => {
                control.follow_partitions();
                if self.rest.disorder.ahead.is_some() {
                    control.use_time();
                }
                if !std::mem::replace(&mut self.rest.begun, true) {
                    self.rest.begin(&self.id, control);
                }
            }
            // It stands for nobody telling times; here is somebody.
            Signal::Watermark(EventTime::UNTIMED) => return self.tell(control),
            Signal::Watermark(_) => return control.fail(timed_twice(&self.id)),
            Signal::Partition { number, is } => {
                // What it has come to in the end counts, before it does not any more: also where its end comes with its last items.
                if is == Reading::Ended {
                    self.tell(control);
                }
                let Rest { partitions, board, workers, .. } = &mut *self.rest;
                if is == Reading::Begins && !partitions.may_read(number, board, *workers) {
                    control.hold();
                } else {
                    partitions.is(number, is, now, board);
                }
            }
            Signal::Flush | Signal::Tick => {
                let Rest { partitions, board, .. } = &mut *self.rest;
                if let Some(at) = partitions.look(now, board) {
                    control.wake_at(at);
                }
                // Also where nothing comes to this worker that would have it look.
                if let Some(at) = partitions.say_if_held(&self.id, now) {
                    control.wake_at(at);
                }
                self.tell(control);
            }
            Signal::Barrier(_) => {
                self.tell(control);
                self.rest.save(&self.id, control);
            }
            Signal::Finish => self.tell(control),
            Signal::Committed(_) => {}
        }
        self.down.control(control);
        self.rejects.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::EventTime.name()).takes::<U>().emits::<U::Item>();
        to.step(info.saves(|| StepSpec::positions::<Timestamp>("event time")));
        self.down.describe(to);
        self.rejects.describe(to);
    }
}

#[cold]
fn timed_twice(id: &StepId) -> Error {
    Error::new(ErrorKind::Configuration, "items are given their event time twice")
        .help("one `event_time` on the way from a source is enough: remove the second")
        .at_step(id)
}
