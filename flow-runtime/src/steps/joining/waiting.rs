//! A join in which items wait for event time, when it runs.

use flow_macros::stateful;

use crate::bounds::Key;
use crate::consumer::{Consumer, Head};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::Error;
use crate::event_time::{Clock, without_time};
use crate::failure::Note;
use crate::graph::Kind;
use crate::joins::{Found, Rules};
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::state::{EntryMut, Lent, Parted, Reader, Saved, Shape, Swept, Table};
use crate::steps::Either;
use crate::steps::keeping::end_epoch;
use crate::stream::Keyed;
use crate::time::Timestamp;
use crate::timers::{Agenda, Armed};

/// What is kept for a key.
#[stateful]
struct Entry<V: Saved> {
    waiting: V,
    /// The key's hash, by which the agenda finds the entry.
    #[state(skip)]
    hash: u64,
    #[state(skip)]
    armed: Armed,
}

impl<V: Saved> Parted for Entry<V> {}

type EntryOf<A, B, R> = Entry<<R as Rules<A, B>>::Kept>;

impl<V: Saved> Entry<V> {
    /// Sees to it that the agenda names the key in time.
    #[inline(always)]
    fn arm<A, B, R: Rules<A, B, Kept = V>>(&mut self, rules: &R, agenda: &mut Agenda) {
        if let Some(next) = rules.next(&self.waiting)
            && next < self.armed.0
        {
            self.armed.0 = next;
            agenda.add(next, self.hash);
        }
    }
}

/// A join that runs, and what waits of its keys.
pub(super) struct Waiting<K, A, B, R: Rules<A, B>, D, U, L> {
    id: StepId,
    rules: Option<R>,
    /// Why there are none.
    senseless: Option<Error>,
    table: Table<K, EntryOf<A, B, R>>,
    agenda: Agenda,
    clock: Clock,
    /// An item has come that has no time.
    untimed: bool,
    matched: D,
    unmatched: U,
    late: L,
}

/// Where nothing is late.
pub(super) struct NoneLate;

impl<K: Key, T: 'static> Consumer<Keyed<K, T>> for NoneLate {
    fn push(&mut self, _: Head<'_, K>, _: T) {}
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}

impl<K, A, B, R, D, U, L> Waiting<K, A, B, R, D, U, L>
where
    K: Key,
    A: 'static,
    B: 'static,
    R: Rules<A, B>,
    D: Consumer<Keyed<K, (A, B)>>,
    U: Consumer<Keyed<K, R::Alone>>,
{
    pub(super) fn new(
        id: StepId,
        rules: Result<R, Error>,
        (matched, unmatched, late): (D, U, L),
    ) -> Self {
        let (rules, senseless) = match rules {
            Ok(rules) => (Some(rules), None),
            Err(error) => (None, Some(error.at_step(&id))),
        };
        Waiting {
            id,
            rules,
            senseless,
            table: Table::new(),
            agenda: Agenda::new(),
            clock: Clock::new(),
            untimed: false,
            matched,
            unmatched,
            late,
        }
    }

    /// Decides what is due at `until`, in the order of time and of the keys' hashes.
    fn decide(&mut self, until: Timestamp) {
        let Waiting { id, rules, table, agenda, matched, unmatched, .. } = self;
        let Some(rules) = rules else { return };
        while let Some((at, hash)) = agenda.take_due(until, |near| table.expect(near)) {
            let is = |entry: &EntryOf<A, B, R>| entry.hash == hash && entry.armed.0 == at;
            table.with_hash(hash, is, |key, entry| {
                entry.armed = Armed::default();
                let note = Note::beside_key(id, key);
                rules.decide(&mut entry.waiting, at, &mut emit(id, hash, key, matched, unmatched));
                note.clear();
                entry.arm(rules, agenda);
                if R::is_gone(&entry.waiting) { Swept::Gone } else { Swept::Changed }
            });
        }
    }

    fn restore(&mut self, from: &Restoring<'_>) -> Result<(), Error> {
        self.table.restore_from(
            &self.id,
            from,
            <EntryOf<A, B, R> as Saved>::load_all,
            Reader::<EntryOf<A, B, R>>::of,
        )?;
        let Waiting { rules, table, agenda, .. } = self;
        let Some(rules) = rules else { return Ok(()) };
        let hasher = from.hasher();
        table.each_mut(|key, entry| {
            entry.hash = hasher.hash(key);
            entry.arm(rules, agenda);
        });
        Ok(())
    }
}

/// Sends what is found for a key.
#[inline(always)]
fn emit<'a, K, A, B, N, D, U>(
    id: &'a StepId,
    hash: u64,
    key: &'a K,
    matched: &'a mut D,
    unmatched: &'a mut U,
) -> impl FnMut(Timestamp, Found<A, B, N>) + use<'a, K, A, B, N, D, U>
where
    K: Key,
    A: 'static,
    B: 'static,
    N: 'static,
    D: Consumer<Keyed<K, (A, B)>>,
    U: Consumer<Keyed<K, N>>,
{
    move |time, found| {
        id.counted().emits();
        let head = Head { hash, time, key };
        match found {
            Found::Pair(left, right) => matched.push(head, (left, right)),
            Found::Alone(item) => unmatched.push(head, item),
        }
    }
}

impl<K, A, B, R, D, U, L> Consumer<Keyed<K, Either<A, B>>> for Waiting<K, A, B, R, D, U, L>
where
    K: Key,
    A: 'static,
    B: 'static,
    R: Rules<A, B>,
    D: Consumer<Keyed<K, (A, B)>>,
    U: Consumer<Keyed<K, R::Alone>>,
    L: Consumer<Keyed<K, Either<A, B>>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: Either<A, B>) {
        let Waiting { id, rules, table, agenda, clock, untimed, matched, unmatched, late, .. } =
            self;
        let Some(rules) = rules else { return };
        let Head { hash, time, .. } = head;
        let watermark = clock.watermark();
        *untimed |= time == Timestamp::MIN;
        if rules.is_late(time, watermark) {
            id.counted().takes();
            return late.push(head, item);
        }
        let note = Note::beside(id);
        let fresh = || Entry { waiting: R::Kept::default(), hash, armed: Armed::default() };
        let EntryMut { key, state: entry } = table.find_or_insert(hash, &Lent(head.key), fresh);
        note.clear();
        let note = Note::keyed(id, key);
        let waiting = &mut entry.waiting;
        rules.take(waiting, time, item, watermark, &mut emit(id, hash, key, matched, unmatched));
        note.clear();
        entry.arm(rules, agenda);
        if R::is_gone(&entry.waiting) {
            table.forget(hash);
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes);
        note.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.clock.hear(&self.id, control);
        match control.signal() {
            Signal::Open { .. } => {
                if let Some(error) = self.senseless.take() {
                    control.fail(error);
                }
                // What another worker had decided already when the run before was cut off.
                self.decide(self.clock.watermark());
            }
            Signal::Watermark(_) => self.decide(self.clock.watermark()),
            // Event time is at its end, once.
            Signal::Finish => self.decide(Timestamp::MAX),
            Signal::Barrier(_) => {
                let is_gone = |entry: &EntryOf<A, B, R>| R::is_gone(&entry.waiting);
                let (schema, load) = (EntryOf::<A, B, R>::SCHEMA, <EntryOf<A, B, R>>::load_all);
                end_epoch(&self.id, &mut self.table, control, is_gone, schema, Saved::save, load);
            }
            Signal::Restore => {
                if let Some(from) = control.restored()
                    && let Err(error) = self.restore(&from)
                {
                    control.fail(error);
                }
            }
            Signal::Tick | Signal::Flush | Signal::Partition { .. } | Signal::Committed(_) => {}
        }
        if std::mem::take(&mut self.untimed) {
            control.fail(without_time(&self.id, Kind::Join.name()));
        }
        self.matched.control(control);
        self.unmatched.control(control);
        self.late.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Join.name());
        let info = info.takes::<Keyed<K, Either<A, B>>>().emits::<(A, B)>();
        to.step(info.keeps(<R::Kept as Saved>::SCHEMA).saves(|| {
            let shape = Shape::from(EntryOf::<A, B, R>::SCHEMA);
            StepSpec::keyed::<K>(R::SAVED_AS, shape).migrates::<EntryOf<A, B, R>>()
        }));
        self.matched.describe(to);
        self.unmatched.describe(to);
        self.late.describe(to);
    }
}
