//! `window`: the items of a key, gathered by event time.

use std::fmt;
use std::marker::PhantomData;

use flow_macros::stateful;

use crate::aggregate::Aggregate;
use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::event_time::{Clock, without_time};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::state::{
    EntryMut, InItem, Lent, Lookup, Parted, Reader, Saved, Shape, State, Swept, Table,
};
use crate::steps::by_function::IsKeyed;
use crate::steps::keeping::end_epoch;
use crate::stream::{Keyed, Token};
use crate::time::Timestamp;
use crate::timers::Agenda;
use crate::windows::{Early, Settings, Slicing, WindowKind, Windowed, Windows};

/// `let (results, late) = window(keyed, kind, aggregate)`: gathers the items of each key by event time, in [`Tumbling`], [`Hopping`] or
/// [`Session`] windows, and emits what an [`Aggregate`] makes of each window once event time has come to its end.
///
/// A window without items has no result. Items that come too late, after their windows have been given up, are the second stream:
/// count them, store them, or drop them visibly. With allowed lateness a window fires again for each late item in time, and `pane`
/// says the how manieth result it is; [`Early`] lets it fire before its end.
///
/// At the end of the input windows stay open and are saved, for input may be appended. `--finish`, and the end of a run without a
/// recovery log, close them.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// A trade: symbol, price, second.
/// type Trade = (String, u64, i64);
///
/// #[dataflow]
/// fn minutes(trades: Vec<Trade>, out: Collect<(String, (i64, u64))>) {
///     let all = source(from_iter(trades));
///     let timed = event_time(all, |t| Timestamp::from_secs(t.2), Disorder::bounded(Duration::from_secs(5)));
///     let by_symbol = key_by_ref(timed, |t| t.0.as_str());
///     let (highs, late) = window(
///         by_symbol,
///         Tumbling::of(Duration::from_secs(60)),
///         aggregate::max(|trade: &Trade| trade.1),
///     );
///     discard(late, "a high that comes after its minute is of no use");
///     let rows = map(highs, |high| (high.start.0 / 1_000_000, high.value));
///     sink(rows, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, highs) = collect();
/// let trade = |symbol: &str, price, second| (symbol.to_owned(), price, second);
/// minutes(vec![trade("A", 10, 1), trade("A", 12, 59), trade("A", 11, 60)], out).spawn()?.wait()?;
/// assert_eq!(highs.sorted(), [("A".to_owned(), (0, 12)), ("A".to_owned(), (60, 11))]);
/// # Ok(())
/// # }
/// ```
///
/// [`Tumbling`]: crate::windows::Tumbling
/// [`Hopping`]: crate::windows::Hopping
/// [`Session`]: crate::windows::Session
#[derive(Debug)]
pub enum window {}

impl window {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Window);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, W: WindowKind, G: Aggregate<U::Item>>(
        _: U,
        kind: W,
        aggregate: G,
    ) -> (
        (Keyed<U::Key, Windowed<G::Out>>, Keyed<U::Key, U::Item>),
        WindowPlan<U::Key, U::Item, W, G>,
    ) {
        let plan = WindowPlan { kind, aggregate, types: PhantomData };
        ((Token::token(), Token::token()), plan)
    }
}

/// The plan of [`window`].
pub struct WindowPlan<K, A, W, G> {
    kind: W,
    aggregate: G,
    types: PhantomData<fn(K, A)>,
}

impl<K, A, W, G> fmt::Debug for WindowPlan<K, A, W, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowPlan")
    }
}

impl<H, K, A, W, G, D, L> Plan1<H, Keyed<K, A>, (D, L)> for WindowPlan<K, A, W, G>
where
    H: Host,
    K: Key,
    A: 'static,
    W: WindowKind,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
    L: Consumer<Keyed<K, A>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down, late): (D, L),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, W, G, D, L>,) {
        let shown = Shown::step::<G::Out>(Kind::Window);
        let (kind, aggregate) = (&self.kind, self.aggregate);
        (Windowing::<K, A, W::Windows, G, D, L>::new(id, shown, kind, aggregate, down, late),)
    }
}

/// What is kept for a key.
#[stateful]
pub(crate) struct Entry<W: Saved> {
    windows: W,
    /// The key's hash, by which the agenda finds the entry.
    #[state(skip)]
    hash: u64,
    #[state(skip)]
    armed: Armed,
}

impl<W: Saved> Parted for Entry<W> {}

/// When there is something to fire or to give up.
pub(crate) enum When {
    /// For most keys at the same times: all are gone through. This is the first of these times.
    Together(Timestamp),
    /// Key by key.
    Apart(Box<Agenda>),
}

/// When agendas name the key next.
#[derive(Clone, Copy)]
pub(crate) struct Armed {
    by_event: Timestamp,
    by_processing: Timestamp,
}

impl Default for Armed {
    fn default() -> Self {
        Armed { by_event: Timestamp::MAX, by_processing: Timestamp::MAX }
    }
}

type EntryOf<A, W, G> = Entry<<W as Windows>::Kept<<G as Aggregate<A>>::State>>;

/// What a step that stands on windows is called, and what it emits.
#[derive(Clone, Copy)]
pub(super) struct Shown {
    kind: Kind,
    output: &'static str,
}

impl Shown {
    /// A step of this kind, with results of `B`.
    pub(super) fn step<B>(kind: Kind) -> Shown {
        Shown { kind, output: std::any::type_name::<Windowed<B>>() }
    }
}

/// Windows when they run.
pub(super) struct Windowing<K, A, W: Windows, G: Aggregate<A>, D, L> {
    id: StepId,
    shown: Shown,
    kind: Option<(W, Settings)>,
    /// Why there is no kind.
    senseless: Option<Error>,
    aggregate: G,
    table: Table<K, EntryOf<A, W, G>>,
    by_event: When,
    by_processing: Agenda,
    clock: Clock,
    now: Timestamp,
    /// An item has come that has no time.
    untimed: bool,
    failure: Option<Error>,
    down: D,
    late: L,
}

impl<K, A, W, G, D, L> Windowing<K, A, W, G, D, L>
where
    K: Key,
    A: 'static,
    W: Windows,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
    L: Consumer<Keyed<K, A>>,
{
    pub(super) fn new(
        id: StepId,
        shown: Shown,
        kind: &impl WindowKind<Windows = W>,
        aggregate: G,
        down: D,
        late: L,
    ) -> Self {
        let (kind, senseless) = match kind.windows() {
            Ok(kind) => (Some(kind), None),
            Err(error) => (None, Some(error.at_step(&id))),
        };
        let together = kind
            .as_ref()
            .is_some_and(|(windows, settings): &(W, Settings)| windows.fires_together(settings));
        Windowing {
            id,
            shown,
            kind,
            senseless,
            aggregate,
            table: Table::new(),
            by_event: if together {
                When::Together(Timestamp::MAX)
            } else {
                When::Apart(Box::new(Agenda::new()))
            },
            by_processing: Agenda::new(),
            clock: Clock::new(),
            now: Timestamp::MIN,
            untimed: false,
            failure: None,
            down,
            late,
        }
    }

    /// Whether an item comes too late.
    #[inline(always)]
    fn is_late(&mut self, at: Place, key: &impl Lookup<K>) -> bool {
        let Some((windows, settings)) = &mut self.kind else { return false };
        let watermark = self.clock.watermark();
        self.untimed |= at.time == Timestamp::MIN;
        if at.time >= watermark {
            return false;
        }
        let is_late = windows.is_late(at.time, watermark, settings);
        let Some(entry) = self.table.find(at.hash, key) else { return is_late };
        match is_late {
            true => !windows.adopts(&entry.windows, at.time, watermark, settings),
            false => windows.refuses(&entry.windows, at.time),
        }
    }

    /// Fires what is due at `until`, in the order of time and of the keys' hashes.
    fn fire(&mut self, until: Timestamp) {
        let Windowing { id, kind, aggregate, table, by_event, failure, down, .. } = self;
        let Some((windows, settings)) = kind else { return };
        while let When::Together(at) = by_event
            && *at <= until
            && *at < Timestamp::MAX
        {
            let (now, mut first) = (*at, Timestamp::MAX);
            let swept = table.sweep(|key, entry| {
                let is_due = |entry: &EntryOf<A, W, G>| windows.next(&entry.windows, settings);
                let mut next = is_due(entry);
                let due = next.is_some_and(|next| next <= now);
                if due {
                    let note = Note::beside_key(id, key);
                    let emit = &mut emit(id, entry.hash, key, down);
                    windows.fire(&mut entry.windows, settings, aggregate, now, emit);
                    note.clear();
                    next = is_due(entry);
                }
                first = next.map_or(first, |next| next.min(first));
                match due {
                    _ if W::is_gone(&entry.windows) => Swept::Gone,
                    true => Swept::Changed,
                    false => Swept::Same,
                }
            });
            if let Err(error) = swept {
                let error = Error::new(ErrorKind::Encoding, error.to_string());
                failure.get_or_insert_with(|| error.at_step(&*id));
            }
            *at = first;
        }
        let When::Apart(agenda) = by_event else { return };
        while let Some((at, hash)) = agenda.take_due(until) {
            let mut gone = false;
            table.each_of_hash(hash, |key, entry| {
                if entry.hash != hash || entry.armed.by_event != at {
                    return false;
                }
                entry.armed.by_event = Timestamp::MAX;
                let note = Note::beside_key(id, key);
                windows.fire(
                    &mut entry.windows,
                    settings,
                    aggregate,
                    at,
                    &mut emit(id, hash, key, down),
                );
                note.clear();
                gone |= W::is_gone(&entry.windows);
                if let Some(next) = windows.next(&entry.windows, settings) {
                    entry.armed.by_event = next;
                    agenda.add(next, hash);
                }
                true
            });
            if gone {
                table.forget(hash);
            }
        }
    }

    /// Fires open windows that have changed, where the time for it has come.
    fn fire_early(&mut self) {
        let Windowing { id, kind, aggregate, table, by_processing, now, down, .. } = self;
        let Some((windows, _)) = kind else { return };
        while let Some((at, hash)) = by_processing.take_due(*now) {
            table.each_of_hash(hash, |key, entry| {
                if entry.hash != hash || entry.armed.by_processing != at {
                    return false;
                }
                entry.armed.by_processing = Timestamp::MAX;
                let note = Note::beside_key(id, key);
                windows.fire_early(&mut entry.windows, aggregate, &mut emit(id, hash, key, down));
                note.clear();
                true
            });
        }
    }

    fn restore(&mut self, from: &Restoring<'_>) -> Result<(), Error> {
        self.table.restore_from(
            &self.id,
            from,
            <EntryOf<A, W, G> as Saved>::load_all,
            Reader::<EntryOf<A, W, G>>::of,
        )?;
        let Windowing { kind, table, by_event, by_processing, now, .. } = self;
        let Some((windows, settings)) = kind else { return Ok(()) };
        let hasher = from.hasher();
        table.each_mut(|key, entry| {
            entry.hash = hasher.hash(key);
            entry.arm::<W, G::State>(windows, settings, by_event);
            if let Some(Early::Every(period)) = settings.early
                && W::has_changed(&entry.windows)
            {
                entry.armed.by_processing = now.after(period);
                by_processing.add(entry.armed.by_processing, entry.hash);
            }
        });
        Ok(())
    }
}

impl<S: Saved> Entry<S> {
    fn of(windows: S, hash: u64) -> Self {
        Entry { windows, hash, armed: Armed::default() }
    }
}

impl<V: Saved> Entry<V> {
    /// Sees to it that the agenda names the key in time.
    #[inline(always)]
    fn arm<W: Windows<Kept<S> = V>, S: State>(
        &mut self,
        windows: &W,
        settings: &Settings,
        when: &mut When,
    ) {
        let Some(next) = windows.next::<S>(&self.windows, settings) else { return };
        match when {
            When::Together(first) => *first = next.min(*first),
            When::Apart(agenda) if next < self.armed.by_event => {
                self.armed.by_event = next;
                agenda.add(next, self.hash);
            }
            When::Apart(_) => {}
        }
    }
}

/// Sends the results of a key's windows.
#[inline(always)]
fn emit<'a, K: Key, B: 'static, D: Consumer<Keyed<K, Windowed<B>>>>(
    id: &'a StepId,
    hash: u64,
    key: &'a K,
    down: &'a mut D,
) -> impl FnMut(Windowed<B>) + use<'a, K, B, D> {
    move |result| {
        id.counted().emits();
        let time = Timestamp(result.end.0.saturating_sub(1));
        down.push(Head { hash, time, key }, result);
    }
}

/// Does something to the windows of a key, which `$lookup` finds.
macro_rules! with_windows {
    (
        $self:ident, $at:ident, $lookup:expr,
        |$windows:ident, $kept:ident, $settings:ident, $aggregate:ident, $watermark:ident, $emit:ident| $act:expr
    ) => {{
        let Windowing {
            id,
            kind,
            aggregate: $aggregate,
            table,
            by_event,
            by_processing,
            clock,
            now,
            down,
            ..
        } = $self;
        let Some(($windows, $settings)) = kind else { return };
        let $watermark = clock.watermark();
        let note = Note::beside(id);
        let fresh = || Entry::of(begin::<_, G::State>($windows, $watermark), $at.hash);
        let EntryMut { key, state: entry } = table.find_or_insert($at.hash, &$lookup, fresh);
        note.clear();
        let note = Note::keyed(id, key);
        let $emit = &mut emit(id, $at.hash, key, down);
        let $kept = &mut entry.windows;
        let earlier = $act;
        note.clear();
        if earlier {
            entry.arm::<_, G::State>($windows, $settings, by_event);
        }
        if let Some(Early::Every(period)) = $settings.early
            && entry.armed.by_processing == Timestamp::MAX
        {
            entry.armed.by_processing = now.after(period);
            by_processing.add(entry.armed.by_processing, $at.hash);
        }
    }};
}

/// The windows of a key that is new.
fn begin<W: Windows, S: State>(_: &W, watermark: Timestamp) -> W::Kept<S> {
    W::begin(watermark)
}

impl<K, A, G, D, L> Windowing<K, A, Slicing, G, D, L>
where
    K: Key,
    A: 'static,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
    L: Consumer<Keyed<K, A>>,
{
    /// Adds what was gathered elsewhere of a slice. Answers whether it has come in time.
    pub(super) fn merge(&mut self, at: Place, key: &K, slice: Timestamp, state: &G::State) -> bool {
        let is_late = self.is_late(Place { time: slice, ..at }, &Lent(key));
        if !is_late {
            self.merge_in_time(at, key, slice, state);
        }
        !is_late
    }

    /// How far event time has come here.
    pub(super) fn watermark(&self) -> Timestamp {
        self.clock.watermark()
    }

    fn merge_in_time(&mut self, at: Place, key: &K, slice: Timestamp, state: &G::State) {
        with_windows!(self, at, Lent(key), |windows,
                                            kept,
                                            settings,
                                            aggregate,
                                            watermark,
                                            emit| {
            windows.merge(kept, settings, aggregate, (slice, state), watermark, emit)
        });
    }
}

impl<K, A, W, G, D, L> Consumer<Keyed<K, A>> for Windowing<K, A, W, G, D, L>
where
    K: Key,
    A: 'static,
    W: Windows,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
    L: Consumer<Keyed<K, A>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: A) {
        let at = Place { hash: head.hash, time: head.time };
        if self.is_late(at, &Lent(head.key)) {
            self.id.counted().takes();
            return self.late.push(head, item);
        }
        with_windows!(
            self,
            at,
            Lent(head.key),
            |windows, kept, settings, aggregate, watermark, emit| {
                windows.add(kept, settings, aggregate, (at.time, item), watermark, emit)
            }
        );
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<K, A>>>(&mut self, at: Place, item: A, extract: &X) {
        if self.is_late(at, &InItem::<Keyed<K, A>, X>(&item, extract)) {
            self.id.counted().takes();
            return self.late.push_key_in_item(at, item, extract);
        }
        with_windows!(
            self,
            at,
            InItem::<Keyed<K, A>, X>(&item, extract),
            |windows, kept, settings, aggregate, watermark, emit| {
                windows.add(kept, settings, aggregate, (at.time, item), watermark, emit)
            }
        );
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes);
        note.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.now = control.now();
        self.clock.hear(&self.id, control);
        match control.signal() {
            Signal::Open { .. } => {
                if let Some(error) = self.senseless.take() {
                    control.fail(error);
                }
                if matches!(&self.kind, Some((_, Settings { early: Some(Early::Every(_)), .. }))) {
                    control.use_time();
                }
                // What another worker had fired already when the run before was cut off.
                self.fire(self.clock.watermark());
            }
            Signal::Watermark(_) => self.fire(self.clock.watermark()),
            Signal::Tick | Signal::Flush => self.fire_early(),
            // Event time is at its end, once.
            Signal::Finish => self.fire(Timestamp::MAX),
            Signal::Barrier(_) => {
                let is_gone = |entry: &EntryOf<A, W, G>| W::is_gone(&entry.windows);
                end_epoch(
                    &self.id,
                    &mut self.table,
                    control,
                    is_gone,
                    EntryOf::<A, W, G>::SCHEMA,
                    Saved::save,
                    <EntryOf<A, W, G>>::load_all,
                );
            }
            Signal::Restore => {
                if let Some(from) = control.restored()
                    && let Err(error) = self.restore(&from)
                {
                    control.fail(error);
                }
            }
            Signal::Partition { .. } | Signal::Committed(_) => {}
        }
        if let Some(failure) = self.failure.take() {
            control.fail(failure);
        }
        if std::mem::take(&mut self.untimed) {
            control.fail(without_time(&self.id, self.shown.kind.name()));
        }
        if let Some(at) = self.by_processing.next() {
            control.wake_at(at);
        }
        self.down.control(control);
        self.late.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let mut info = StepInfo::new(&self.id, self.shown.kind.name()).takes::<Keyed<K, A>>();
        info.output = Some(self.shown.output);
        to.step(info.keeps(<G::State as Saved>::SCHEMA).saves(|| {
            let shape = Shape::from(EntryOf::<A, W, G>::SCHEMA);
            StepSpec::keyed::<K>("window", shape).migrates::<EntryOf<A, W, G>>()
        }));
        self.down.describe(to);
        self.late.describe(to);
    }
}
