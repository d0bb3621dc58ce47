//! A state machine that runs.

use std::borrow::Borrow;

use flow_macros::stateful;

use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::event_time::{Clock, without_time};
use crate::failure::Note;
use crate::graph::Kind;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::state::parts::Part;
use crate::state::{
    EntryMut, InItem, KeyHasher, Lent, LoadError, Parted, Reader, Saved, Shape, Swept, Table,
};
use crate::steps::keeping::end_epoch;
use crate::steps::{Process, ProcessContext};
use crate::stream::Keyed;
use crate::time::{Epoch, Timestamp};
use crate::timers::{Agenda, By, Timers};

/// What is saved for a key.
#[stateful]
#[derive(Debug)]
pub(crate) struct Kept<S: Saved, T: Saved> {
    state: S,
    timers: Timers<T>,
}

/// What is kept for a key.
#[derive(Debug)]
pub(crate) struct Entry<S, T: Saved> {
    pub(crate) state: Option<S>,
    pub(crate) timers: Timers<T>,
    /// The key's hash, by which the agenda finds the entry.
    hash: u64,
}

impl<S: Saved + 'static, T: Saved> Parted for Entry<S, T> {
    const PARTS: u16 = S::PARTS;
    #[inline]
    fn part(&mut self, n: u16) -> Option<&mut dyn Part> {
        self.state.as_mut().and_then(|state| state.part(n))
    }
}

impl<S: Saved, T: Saved> Entry<S, T> {
    fn of(hash: u64) -> Self {
        Entry { state: None, timers: Timers::default(), hash }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state.is_none()
    }

    /// As a [`Kept`] is saved, without the parts of the state.
    fn save(&self, to: &mut Vec<u8>) {
        if let Some(state) = &self.state {
            state.save_own(to);
            self.timers.save(to);
        }
    }

    fn kept(Kept { state, timers }: Kept<S, T>) -> Self {
        Entry { state: Some(state), timers, hash: 0 }
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        Kept::load_all(bytes).map(Entry::kept)
    }

    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        S: 'static,
        T: 'static,
    {
        let kept = Reader::<Kept<S, T>>::of(was)?;
        Ok(Reader::new(move |from| kept.read(from).map(Entry::kept)))
    }
}

type EntryOf<P> = Entry<<P as Process>::State, <P as Process>::Timer>;
type KeptOf<P> = Kept<<P as Process>::State, <P as Process>::Timer>;

/// A state machine that runs, and the state of its keys. `M` is the machine, or what several workers share it by.
pub(crate) struct Processing<P: Process, D, M = P> {
    id: StepId,
    machine: M,
    pub(crate) table: Table<P::Key, EntryOf<P>>,
    by_event: Agenda,
    by_processing: Agenda,
    clock: Clock,
    now: Timestamp,
    epoch: Epoch,
    /// The number of the next timer that is set.
    number: u64,
    out: Vec<(Timestamp, P::Out)>,
    /// A timer by event time was set.
    event_timers: bool,
    /// What the step is.
    kind: Kind,
    down: D,
}

/// From one to the next: what is the same for all keys.
struct Calling<'a, P: Process, D> {
    id: &'a StepId,
    machine: &'a P,
    by_event: &'a mut Agenda,
    by_processing: &'a mut Agenda,
    now: Timestamp,
    watermark: Timestamp,
    epoch: Epoch,
    number: &'a mut u64,
    out: &'a mut Vec<(Timestamp, P::Out)>,
    event_timers: &'a mut bool,
    down: &'a mut D,
}

impl<P: Process, D: Consumer<Keyed<P::Key, P::Out>>> Calling<'_, P, D> {
    /// Calls the machine for a key, sends what it emits, and sees to it that the agenda names the key in time.
    #[inline(always)]
    fn call(
        &mut self,
        at: Place,
        key: &P::Key,
        entry: &mut EntryOf<P>,
        call: impl FnOnce(&P, &mut Option<P::State>, &mut ProcessContext<'_, P>),
    ) {
        let before = *self.number;
        let mut cx = ProcessContext {
            key,
            time: at.time,
            now: self.now,
            watermark: self.watermark,
            epoch: self.epoch,
            timers: &mut entry.timers,
            out: self.out,
            number: self.number,
            event_timers: false,
        };
        call(self.machine, &mut entry.state, &mut cx);
        let event_timers = cx.event_timers;
        if entry.state.is_none() {
            entry.timers.clear();
        } else if *self.number != before {
            self.arm(entry);
            *self.event_timers |= event_timers;
        }
        for (time, item) in self.out.drain(..) {
            self.id.counted().emits();
            self.down.push(Head { hash: at.hash, time, key }, item);
        }
    }

    /// Handles an item. Answers whether the key is to be forgotten.
    #[inline(always)]
    fn take(&mut self, at: Place, entry: EntryMut<'_, P::Key, EntryOf<P>>, item: P::In) -> bool {
        let EntryMut { key, state } = entry;
        let id = self.id;
        let note = Note::keyed(id, key);
        self.call(at, key, state, |machine, state, cx| machine.on_item(state, item, cx));
        note.clear();
        state.is_gone()
    }

    fn agenda(&mut self, by: By) -> &mut Agenda {
        match by {
            By::Event => self.by_event,
            By::Processing => self.by_processing,
        }
    }

    fn arm(&mut self, entry: &mut EntryOf<P>) {
        if let Some(at) = entry.timers.arm(By::Event) {
            self.by_event.add(at, entry.hash);
        }
        if let Some(at) = entry.timers.arm(By::Processing) {
            self.by_processing.add(at, entry.hash);
        }
    }
}

#[cold]
fn never_due(id: &StepId) -> Error {
    Error::new(ErrorKind::Configuration, "a timer by event time was set, and no `event_time` stands upstream: it would never fire")
        .help("put `let timed = event_time(stream, |item| .., Disorder::bounded(..));` behind the source, or use `set_processing_timer`")
        .at_step(id)
}

impl<P: Process, D: Consumer<Keyed<P::Key, P::Out>>> Processing<P, D> {
    pub(crate) fn new(id: StepId, machine: P, down: D) -> Self {
        Processing::sharing(id, machine, down)
    }
}

impl<P, D, M> Processing<P, D, M>
where
    P: Process,
    D: Consumer<Keyed<P::Key, P::Out>>,
    M: Borrow<P>,
{
    pub(crate) fn sharing(id: StepId, machine: M, down: D) -> Self {
        Processing {
            id,
            machine,
            table: Table::new(),
            by_event: Agenda::new(),
            by_processing: Agenda::new(),
            clock: Clock::new(),
            now: Timestamp::MIN,
            epoch: Epoch(0),
            // 0 stands for a timer that was saved.
            number: 1,
            out: Vec::new(),
            event_timers: false,
            kind: Kind::Process,
            down,
        }
    }

    /// The machine stands for a step of this kind.
    pub(crate) fn shown_as(self, kind: Kind) -> Self {
        Processing { kind, ..self }
    }

    fn calling(
        &mut self,
        watermark: Timestamp,
    ) -> (&mut Table<P::Key, EntryOf<P>>, Calling<'_, P, D>) {
        let calling = Calling {
            id: &self.id,
            machine: self.machine.borrow(),
            by_event: &mut self.by_event,
            by_processing: &mut self.by_processing,
            now: self.now,
            watermark,
            epoch: self.epoch,
            number: &mut self.number,
            out: &mut self.out,
            event_timers: &mut self.event_timers,
            down: &mut self.down,
        };
        (&mut self.table, calling)
    }

    /// Fires what is due at `until`, in the order of time, of the keys' hashes, and of tags; of the timers that were set before
    /// `number`.
    fn fire(&mut self, by: By, until: Timestamp, watermark: Timestamp, number: u64) {
        // The keys with timers that were set later. They are put on the agenda behind the loop, which would find them for ever.
        let mut later: Vec<u64> = Vec::new();
        loop {
            let (table, mut calling) = self.calling(watermark);
            let due = calling.agenda(by).take_due(until, |near| table.expect(near));
            let Some((at, hash)) = due else { break };
            let is = |entry: &EntryOf<P>| entry.hash == hash && entry.timers.is_named(by, at);
            table.with_hash(hash, is, |key, entry| {
                entry.timers.disarm(by);
                let mut fired = false;
                while let Some(timer) = entry.timers.take_due(by, at, number) {
                    fired = true;
                    let time = match by {
                        By::Event => timer.at,
                        By::Processing => watermark,
                    };
                    let note = Note::beside_key(calling.id, key);
                    calling.call(Place { hash, time }, key, entry, |machine, state, cx| {
                        machine.on_timer(state, timer.tag, cx);
                    });
                    note.clear();
                }
                if fired || number == u64::MAX {
                    calling.arm(entry);
                } else {
                    later.push(hash);
                    if let Some(at) = entry.timers.arm_before(by, number) {
                        calling.agenda(by).add(at, hash);
                    }
                }
                match fired {
                    _ if entry.is_gone() => Swept::Gone,
                    true => Swept::Changed,
                    false => Swept::Same,
                }
            });
        }
        let (table, mut calling) = self.calling(watermark);
        for hash in later {
            let is = |entry: &EntryOf<P>| {
                entry.hash == hash && entry.timers.unarmed(by, u64::MAX).is_some()
            };
            table.with_hash(hash, is, |_, entry| {
                calling.arm(entry);
                Swept::Same
            });
        }
    }

    /// Fires what is due by event time.
    fn fire_by_event(&mut self) {
        let watermark = self.clock.watermark();
        if self.by_event.len() > 0 {
            self.fire(By::Event, watermark, watermark, u64::MAX);
        }
    }

    /// Fires what is due now.
    fn fire_due(&mut self) {
        self.fire_by_event();
        let watermark = self.clock.watermark();
        if self.by_processing.len() > 0 {
            self.fire(By::Processing, self.now, watermark, u64::MAX);
        }
    }

    fn restore(&mut self, from: &Restoring<'_>) -> Result<(), Error> {
        self.table.restore_from(&self.id, from, EntryOf::<P>::load, EntryOf::<P>::older)?;
        self.arm_all(from.hasher());
        Ok(())
    }

    /// Makes the agenda of what was loaded.
    pub(crate) fn arm_all(&mut self, hasher: KeyHasher) {
        let Processing { table, by_event, by_processing, .. } = self;
        table.each_mut(|key, entry| {
            entry.hash = hasher.hash(key);
            if let Some(at) = entry.timers.arm(By::Event) {
                by_event.add(at, entry.hash);
            }
            if let Some(at) = entry.timers.arm(By::Processing) {
                by_processing.add(at, entry.hash);
            }
        });
    }
}

/// What is saved of a step that a machine stands for.
fn spec<P: Process>(saved_as: &'static str) -> StepSpec {
    let shape = Shape::from(KeptOf::<P>::SCHEMA);
    StepSpec::keyed::<P::Key>(saved_as, shape).migrates::<KeptOf<P>>()
}

impl<P, D, M> Consumer<Keyed<P::Key, P::In>> for Processing<P, D, M>
where
    P: Process,
    D: Consumer<Keyed<P::Key, P::Out>>,
    M: Borrow<P> + 'static,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, P::Key>, item: P::In) {
        let at = Place { hash: head.hash, time: head.time };
        let watermark = self.clock.watermark();
        let (table, mut calling) = self.calling(watermark);
        let note = Note::beside(calling.id);
        let entry = table.find_or_insert(at.hash, &Lent(head.key), || Entry::of(at.hash));
        note.clear();
        if calling.take(at, entry, item) {
            table.forget(at.hash);
        }
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<P::Key, P::In>>>(
        &mut self,
        at: Place,
        item: P::In,
        extract: &X,
    ) {
        let watermark = self.clock.watermark();
        let (table, mut calling) = self.calling(watermark);
        let note = Note::beside(calling.id);
        let lookup = InItem::<Keyed<P::Key, P::In>, X>(&item, extract);
        let entry = table.find_or_insert(at.hash, &lookup, || Entry::of(at.hash));
        note.clear();
        if calling.take(at, entry, item) {
            table.forget(at.hash);
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes.clone());
        note.clear();
        self.down.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.now = control.now();
        self.clock.hear(&self.id, control);
        match control.signal() {
            Signal::Open { epoch, .. } => {
                self.epoch = epoch;
                control.use_time();
                // What another worker had come to already when the run before was cut off.
                self.fire_by_event();
            }
            Signal::Watermark(_) | Signal::Tick | Signal::Flush => self.fire_due(),
            Signal::Finish => {
                self.fire_due();
                // Event time is at its end, once: timers that are set meanwhile stay.
                let number = self.number;
                self.fire(By::Event, Timestamp::MAX, Timestamp::MAX, number);
            }
            Signal::Barrier(_) => {
                end_epoch(
                    &self.id,
                    &mut self.table,
                    control,
                    Entry::is_gone,
                    KeptOf::<P>::SCHEMA,
                    Entry::save,
                    EntryOf::<P>::load,
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
        if self.event_timers && self.clock.is_untimed() {
            control.fail(match self.kind {
                Kind::Process => never_due(&self.id),
                _ => without_time(&self.id, self.kind.name()),
            });
        }
        if let Some(at) = self.by_processing.next() {
            control.wake_at(at);
        }
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, self.kind.name());
        let info = info.takes::<Keyed<P::Key, P::In>>().emits::<P::Out>();
        // What logs call it. It depends on nothing that runs, so it is said twice.
        let spec: fn() -> StepSpec = match self.kind {
            Kind::InOrder => || spec::<P>("in_order"),
            _ => || spec::<P>("process"),
        };
        to.step(info.keeps(P::State::SCHEMA).saves(spec));
        self.down.describe(to);
    }
}
