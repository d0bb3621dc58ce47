//! Windows when they run: the table of keys, the agenda and the clock.

use flow_macros::stateful;

use crate::aggregate::Aggregate;
use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::event_time::{Clock, without_time};
use crate::failure::Note;
use crate::graph::Kind;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::state::{
    EntryMut, InItem, Lent, Lookup, Parted, Reader, Saved, Shape, State, Swept, Table,
};
use crate::steps::keeping::end_epoch;
use crate::stream::Keyed;
use crate::time::Timestamp;
use crate::timers::{Agenda, Armed};
use crate::windows::{Early, Fired, Settings, Slicing, WindowKind, Windowed, Windows};

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

type EntryOf<A, W, G> = Entry<<W as Windows>::Kept<<G as Aggregate<A>>::State>>;

/// What a step that stands on windows is called, and what it emits.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    kind: Kind,
    output: &'static str,
}

impl Shown {
    /// A step of this kind, with results of `B`.
    pub(crate) fn step<B>(kind: Kind) -> Shown {
        Shown { kind, output: std::any::type_name::<Windowed<B>>() }
    }
}

/// Windows when they run.
pub(crate) struct Windowing<K, A, W: Windows, G: Aggregate<A>, D, L> {
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
    pub(crate) fn new(
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
        if at.time > watermark {
            return false;
        }
        self.untimed |= at.time == Timestamp::MIN;
        if at.time == watermark {
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
            let (moment, mut first) = (windows.moment(*at, settings), Timestamp::MAX);
            let swept = table.sweep(|key, entry| {
                let Entry { windows: kept, hash, .. } = entry;
                let note = Note::beside_key(id, key);
                // A closure of its own, so that the steps behind it become a part of this loop.
                let mut emit = |result| emit_one(id, *hash, key, down, result);
                let fired = windows.fire(kept, settings, aggregate, &moment, &mut emit);
                note.clear();
                first = fired.next.map_or(first, |next| next.min(first));
                becomes::<W, G::State>(fired, kept)
            });
            if let Err(error) = swept {
                let error = Error::new(ErrorKind::Encoding, error.to_string());
                failure.get_or_insert_with(|| error.at_step(&*id));
            }
            *at = first;
        }
        let When::Apart(agenda) = by_event else { return };
        while let Some((at, hash)) = agenda.take_due(until, |near| table.expect(near)) {
            let moment = windows.moment(at, settings);
            let is = |entry: &EntryOf<A, W, G>| entry.hash == hash && entry.armed.0 == at;
            table.with_hash(hash, is, |key, entry| {
                entry.armed = Armed::default();
                let note = Note::beside_key(id, key);
                let emit = &mut emit(id, hash, key, down);
                let fired = windows.fire(&mut entry.windows, settings, aggregate, &moment, emit);
                note.clear();
                if let Some(next) = fired.next {
                    entry.armed.0 = next;
                    agenda.add(next, hash);
                }
                becomes::<W, G::State>(fired, &entry.windows)
            });
        }
    }

    /// Fires open windows that have changed, where the time for it has come.
    fn fire_early(&mut self) {
        let Windowing { id, kind, aggregate, table, by_processing, now, down, .. } = self;
        let Some((windows, _)) = kind else { return };
        while let Some((at, hash)) = by_processing.take_due(*now, |near| table.expect(near)) {
            let is =
                |entry: &EntryOf<A, W, G>| entry.hash == hash && W::early_at(&entry.windows) == at;
            table.with_hash(hash, is, |key, entry| {
                W::set_early(&mut entry.windows, Timestamp::MAX);
                let note = Note::beside_key(id, key);
                windows.fire_early(&mut entry.windows, aggregate, &mut emit(id, hash, key, down));
                note.clear();
                Swept::Changed
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
            if let Some(next) = windows.next(&entry.windows, settings) {
                entry.arm(next, by_event);
            }
            if let Some(Early::Every(period)) = settings.early
                && W::has_changed(&entry.windows)
            {
                W::set_early(&mut entry.windows, now.after(period));
                by_processing.add(now.after(period), entry.hash);
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
    /// Sees to it that the key is looked at then.
    #[inline(always)]
    fn arm(&mut self, next: Timestamp, when: &mut When) {
        match when {
            When::Together(first) => *first = next.min(*first),
            When::Apart(agenda) if next < self.armed.0 => {
                self.armed.0 = next;
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
    move |result| emit_one(id, hash, key, down, result)
}

#[inline(always)]
fn emit_one<K: Key, B: 'static, D: Consumer<Keyed<K, Windowed<B>>>>(
    id: &StepId,
    hash: u64,
    key: &K,
    down: &mut D,
    result: Windowed<B>,
) {
    id.counted().emits();
    let time = Timestamp(result.end.0.saturating_sub(1));
    down.push(Head { hash, time, key }, result);
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
        let fresh = || Entry::of(begin($windows, $watermark, $aggregate), $at.hash);
        let EntryMut { key, state: entry } = table.find_or_insert($at.hash, &$lookup, fresh);
        note.clear();
        let note = Note::keyed(id, key);
        let $emit = &mut emit(id, $at.hash, key, down);
        let $kept = &mut entry.windows;
        let next = $act;
        note.clear();
        if let Some(next) = next {
            entry.arm(next, by_event);
        }
        if let Some(Early::Every(period)) = $settings.early {
            let at = now.after(period);
            if set_early_once::<_, G::State>($windows, &mut entry.windows, at) {
                by_processing.add(at, $at.hash);
            }
        }
    }};
}

/// The windows of a key that is new.
fn begin<A, W: Windows, G: Aggregate<A>>(
    _: &W,
    watermark: Timestamp,
    aggregate: &G,
) -> W::Kept<G::State> {
    W::begin(watermark, aggregate)
}

/// Lets windows fire early by processing time, where that is not said yet.
fn set_early_once<W: Windows, S: State>(_: &W, kept: &mut W::Kept<S>, at: Timestamp) -> bool {
    let is_new = W::early_at(kept) == Timestamp::MAX;
    if is_new {
        W::set_early(kept, at);
    }
    is_new
}

/// What has become of a key's windows.
fn becomes<W: Windows, S: State>(fired: Fired, kept: &W::Kept<S>) -> Swept {
    match fired.changed {
        _ if W::is_gone(kept) => Swept::Gone,
        true => Swept::Changed,
        false => Swept::Same,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_a_count_takes_64_bytes() {
        // Beside it a table keeps the key and eight bytes more.
        let kept = size_of::<Entry<<Slicing as Windows>::Kept<u64>>>();
        assert_eq!(kept + size_of::<u64>() + 8, 64);
    }
}
