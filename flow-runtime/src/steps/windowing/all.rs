//! `window_all`: all items of a stream, gathered by event time.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::aggregate::Aggregate;
use crate::consumer::{Consumer, Head, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::event_time::{Clock, without_time};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::{Batch, Host, Inlet, Outlet, Spread};
use crate::plan::Plan1;
use crate::state::{KeyHasher, Saved};
use crate::steps::windowing::{Shown, Windowing};
use crate::stream::{Keyed, Stream, Token};
use crate::time::Timestamp;
use crate::windows::{Early, Settings, Slicing, WindowKind, Windowed, Windows};

/// `let (results, late) = window_all(stream, kind, aggregate)`: as [`window`](crate::steps::window), for all items of a stream together:
/// [`Tumbling`](crate::windows::Tumbling) and [`Hopping`](crate::windows::Hopping) windows.
///
/// Each worker gathers what it has, and only what it has come to goes to the one worker that puts it together, once a batch. So it is much
/// faster than a `window` behind `key_by(stream, |_| ())`. In return the order in which items of different partitions are added is free
/// also within a window, and early results come by time only, not by count.
///
/// An item is late if its windows have been given up, by what its own worker's partitions or the windows have come to. Where a partition
/// comes back that was idle, windows may be given up while what it brings is on its way to them. That is then lost, and a warning says how
/// much of which window it was; `allowed_lateness` of some batches' time leaves room for it.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// #[dataflow]
/// fn highest(bids: Vec<(i64, u64)>, out: Collect<u64>) {
///     let all = source(from_iter(bids));
///     let timed = event_time(all, |bid| Timestamp::from_secs(bid.0), Disorder::none());
///     let (highest, late) = window_all(
///         timed,
///         Tumbling::of(Duration::from_secs(10)),
///         aggregate::max(|bid: &(i64, u64)| bid.1),
///     );
///     discard(late, "the times are in order");
///     let prices = map(highest, |window| window.value);
///     sink(prices, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, prices) = collect();
/// highest(vec![(1, 5), (9, 7), (10, 6)], out).spawn()?.wait()?;
/// assert_eq!(prices.sorted(), [6, 7]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum window_all {}

impl window_all {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Window);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, W: WindowKind<Windows = Slicing>, G: Aggregate<U::Item>>(
        _: U,
        kind: W,
        aggregate: G,
    ) -> ((Stream<Windowed<G::Out>>, U), WindowAllPlan<U, W, G>) {
        let plan = WindowAllPlan { kind, aggregate, types: PhantomData };
        ((Token::token(), U::token()), plan)
    }
}

/// The plan of [`window_all`].
pub struct WindowAllPlan<U, W, G> {
    kind: W,
    aggregate: G,
    types: PhantomData<fn(U)>,
}

impl<U, W, G> fmt::Debug for WindowAllPlan<U, W, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowAllPlan")
    }
}

/// What a worker has gathered of a slice: where it begins, and the state, saved.
type Part = (Timestamp, Vec<u8>);

impl<H, U, W, G, D, L> Plan1<H, U, (D, L)> for WindowAllPlan<U, W, G>
where
    H: Host,
    U: Token,
    W: WindowKind<Windows = Slicing>,
    G: Aggregate<U::Item>,
    D: Consumer<Stream<Windowed<G::Out>>>,
    L: Consumer<U>,
{
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down, late): (D, L),
    ) -> (impl Consumer<U> + use<H, U, W, G, D, L>,) {
        let aggregate = Rc::new(self.aggregate);
        let kind = gathered_by_workers(&self.kind);
        let windows = Windowing::new(
            id.clone(),
            Shown::step::<G::Out>(Kind::Window),
            &self.kind,
            Shared(Rc::clone(&aggregate)),
            Unkeyed(down),
            Nobody,
        );
        let hash = KeyHasher::new(H::worker(cx).hash_seed).hash(&());
        let reached: Arc<Reached> = H::shared(cx, &id);
        let whole = Whole {
            id: id.clone(),
            hash,
            windows,
            is_owner: H::worker(cx).owns(hash),
            reached: Arc::clone(&reached),
        };
        let out = H::exchange(cx, id.clone(), Spread::ByHash, whole);
        let (kind, senseless) = match kind {
            Ok(kind) => (Some(kind), None),
            Err(error) => (None, Some(error.at_step(&id))),
        };
        let (open, clock) = (Vec::new(), Clock::new());
        (Parts::<U, G, _, L> {
            id,
            kind,
            senseless,
            aggregate,
            hash,
            current: None,
            open,
            clock,
            reached,
            untimed: false,
            out,
            late,
        },)
    }
}

/// The windows, if they can be gathered by workers apart.
fn gathered_by_workers(
    kind: &impl WindowKind<Windows = Slicing>,
) -> Result<(Slicing, Settings), Error> {
    let (windows, settings) = kind.windows()?;
    if let Some(Early::Count(_)) = settings.early {
        let message = "early results by count cannot be had of `window_all`";
        return Err(Error::new(ErrorKind::Configuration, message)
            .help("workers gather apart and do not know of each other's items: use `Early::Every`, or `window` behind `key_by(stream, |_| ())`"));
    }
    Ok((windows, settings))
}

/// An aggregate that both halves have.
struct Shared<G>(Rc<G>);

impl<A, G: Aggregate<A>> Aggregate<A> for Shared<G> {
    type State = G::State;
    type Out = G::Out;
    fn begin(&self) -> G::State {
        self.0.begin()
    }
    fn add(&self, state: &mut G::State, item: A, at: Timestamp) {
        self.0.add(state, item, at);
    }
    fn merge(&self, state: &mut G::State, other: &G::State) {
        self.0.merge(state, other);
    }
    fn finish(&self, state: &G::State) -> G::Out {
        self.0.finish(state)
    }
    fn finish_last(&self, state: G::State) -> G::Out {
        self.0.finish_last(state)
    }
}

/// A worker's own part: gathers what comes, and hands it over at the end of each batch. So it keeps nothing over a barrier.
struct Parts<U: Token, G: Aggregate<U::Item>, O, L> {
    id: StepId,
    kind: Option<(Slicing, Settings)>,
    senseless: Option<Error>,
    aggregate: Rc<G>,
    hash: u64,
    /// The slice of the last item.
    current: Option<(Timestamp, G::State)>,
    /// Others, in no order.
    open: Vec<(Timestamp, G::State)>,
    clock: Clock,
    reached: Arc<Reached>,
    untimed: bool,
    out: O,
    late: L,
}

impl<U, G, O, L> Parts<U, G, O, L>
where
    U: Token,
    G: Aggregate<U::Item>,
    O: Outlet<Part>,
{
    /// Makes another slice the current one.
    #[cold]
    fn turn_to(&mut self, slice: Timestamp) {
        let before = self.open.iter().position(|open| open.0 == slice);
        let next = match before {
            Some(at) => self.open.swap_remove(at),
            None => (slice, self.aggregate.begin()),
        };
        self.open.extend(self.current.replace(next));
    }

    /// Hands over what was gathered.
    fn hand_over(&mut self) {
        for (slice, state) in self.current.take().into_iter().chain(self.open.drain(..)) {
            let mut bytes = Vec::new();
            state.save(&mut bytes);
            self.out.send(self.hash, slice, (slice, bytes));
        }
    }
}

impl<U, G, O, L> Consumer<U> for Parts<U, G, O, L>
where
    U: Token,
    G: Aggregate<U::Item>,
    O: Outlet<Part>,
    L: Consumer<U>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
        let Some((windows, settings)) = &mut self.kind else { return };
        // As of the batch: it is looked at where the item is behind it only.
        let watermark = self.clock.watermark();
        if head.time < watermark {
            self.untimed |= head.time == Timestamp::MIN;
            if windows.is_late(head.time, watermark, settings) {
                self.id.counted().takes();
                return self.late.push(head, item);
            }
        }
        let slice = windows.slice(head.time);
        if self.current.as_ref().is_none_or(|current| current.0 != slice) {
            self.untimed |= head.time == Timestamp::MIN;
            self.turn_to(slice);
        }
        if let Some((_, state)) = &mut self.current {
            let note = Note::of(&self.id);
            self.aggregate.add(state, item, head.time);
            note.clear();
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        if let Some(error) = self.senseless.take() {
            control.fail(error);
        }
        if let Signal::Watermark(_) | Signal::Flush | Signal::Finish | Signal::Barrier(_) =
            control.signal()
        {
            self.hand_over();
        }
        match control.signal() {
            // What is decided by it is decided anew: nothing is kept here.
            Signal::Restore | Signal::Barrier(_) => {}
            _ => drop(self.clock.hear(&self.id, control)),
        }
        self.clock.advance(self.reached.get());
        if std::mem::take(&mut self.untimed) {
            control.fail(without_time(&self.id, Kind::Window.name()));
        }
        self.out.control(control);
        self.late.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.out.describe(to);
        self.late.describe(to);
    }
}

/// How far event time has come where all parts come together, for those that make them: while a partition was idle that may be further than
/// on its own worker.
#[derive(Debug)]
struct Reached(AtomicI64);

impl Default for Reached {
    fn default() -> Self {
        Reached(AtomicI64::new(Timestamp::MIN.0))
    }
}

impl Reached {
    fn get(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn set(&self, watermark: Timestamp) {
        self.0.store(watermark.0, Ordering::SeqCst);
    }
}

/// Where all parts come together.
struct Whole<V> {
    id: StepId,
    hash: u64,
    windows: V,
    is_owner: bool,
    reached: Arc<Reached>,
}

impl<A, G, D> Inlet<Part> for Whole<Windowing<(), A, Slicing, Shared<G>, Unkeyed<D>, Nobody>>
where
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Stream<Windowed<G::Out>>>,
{
    fn batch(&mut self, _: usize, batch: &mut Batch<Part>) {
        for (slice, bytes) in batch.rows.drain(..) {
            let state = G::State::load_all(&bytes);
            let state = state.expect("it was saved by the same program a moment ago");
            if !self.windows.merge(Place { hash: self.hash, time: slice }, &(), slice, &state) {
                tracing::warn!(step = %self.id, from = %slice, "items of a partition that was idle came when their windows had been given up, and are lost: give the windows some `allowed_lateness`");
            }
        }
        batch.times.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        Consumer::<Keyed<(), A>>::control(&mut self.windows, control);
        // Of all workers only one has the key that stands for none.
        if self.is_owner {
            self.reached.set(self.windows.watermark());
        }
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, "window parts"));
        Consumer::<Keyed<(), A>>::describe(&self.windows, to);
    }
}

/// Results without the key that stands for none.
struct Unkeyed<D>(D);

impl<B: 'static, D: Consumer<Stream<B>>> Consumer<Keyed<(), B>> for Unkeyed<D> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, ()>, item: B) {
        self.0.push(Head::at(head.time), item);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.0.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.0.describe(to);
    }
}

/// Where nothing comes: items are late before they are gathered.
struct Nobody;

impl<A: 'static> Consumer<Keyed<(), A>> for Nobody {
    fn push(&mut self, _: Head<'_, ()>, _: A) {}
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}
