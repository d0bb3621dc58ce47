//! A state machine that runs.

use std::borrow::Borrow;

use flow_macros::stateful;

use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::event_time::Clock;
use crate::failure::Note;
use crate::graph::Kind;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::state::{EntryMut, InItem, KeyHasher, Lent, Reader, Saved, Shape, Table};
use crate::steps::{Process, ProcessContext};
use crate::stream::Keyed;
use crate::time::{Epoch, Timestamp};
use crate::timers::{Agenda, By, Timers};

/// What is kept for a key.
#[stateful]
#[derive(Debug)]
pub(crate) struct Entry<S: Saved, T: Saved> {
    pub(crate) state: Option<S>,
    pub(crate) timers: Timers<T>,
    /// The key's hash, by which the agenda finds the entry.
    #[state(skip)]
    hash: u64,
}

impl<S: Saved, T: Saved> Entry<S, T> {
    fn of(hash: u64) -> Self {
        Entry { state: None, timers: Timers::default(), hash }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state.is_none()
    }
}

type EntryOf<P> = Entry<<P as Process>::State, <P as Process>::Timer>;

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
            entry.timers.set.clear();
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

    fn arm(&mut self, entry: &mut EntryOf<P>) {
        self.arm_by(By::Event, entry, u64::MAX);
        self.arm_by(By::Processing, entry, u64::MAX);
    }

    /// Sees to it that the agenda names the key in time for the timers that were set before `number`.
    fn arm_by(&mut self, by: By, entry: &mut EntryOf<P>, number: u64) {
        if let Some(at) = entry.timers.arm(by, number) {
            match by {
                By::Event => self.by_event.add(at, entry.hash),
                By::Processing => self.by_processing.add(at, entry.hash),
            }
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
            down,
        }
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
        // Keys with timers that are due and stay. The agenda must not name them before this is over, or it would for ever.
        let mut staying = Vec::new();
        loop {
            let (table, mut calling) = self.calling(watermark);
            let agenda = match by {
                By::Event => &mut *calling.by_event,
                By::Processing => &mut *calling.by_processing,
            };
            let Some((at, hash)) = agenda.take_due(until) else { break };
            let mut gone = false;
            table.each_of_hash(hash, |key, entry| {
                if entry.hash != hash || !entry.timers.is_named(by, at) {
                    return false;
                }
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
                gone |= entry.is_gone();
                calling.arm_by(by, entry, number);
                if entry.timers.set.iter().any(|timer| timer.number >= number) {
                    staying.push(hash);
                }
                fired
            });
            if gone {
                table.forget(hash);
            }
        }
        let (table, mut calling) = self.calling(watermark);
        for hash in staying {
            table.each_of_hash(hash, |_, entry| {
                calling.arm(entry);
                false
            });
        }
    }

    /// Fires what is due now.
    fn fire_due(&mut self) {
        let watermark = self.clock.watermark();
        if self.by_event.len() > 0 {
            self.fire(By::Event, watermark, watermark, u64::MAX);
        }
        if self.by_processing.len() > 0 {
            self.fire(By::Processing, self.now, watermark, u64::MAX);
        }
    }

    fn restore(&mut self, from: &Restoring<'_>) -> Result<(), Error> {
        self.table.restore_from(
            &self.id,
            from,
            <EntryOf<P> as Saved>::load_all,
            Reader::<EntryOf<P>>::of,
        )?;
        self.arm_all(from.hasher());
        Ok(())
    }

    /// Makes the agenda of what was loaded.
    pub(crate) fn arm_all(&mut self, hasher: KeyHasher) {
        let Processing { table, by_event, by_processing, .. } = self;
        table.each_mut(|key, entry| {
            entry.hash = hasher.hash(key);
            if let Some(at) = entry.timers.arm(By::Event, u64::MAX) {
                by_event.add(at, entry.hash);
            }
            if let Some(at) = entry.timers.arm(By::Processing, u64::MAX) {
                by_processing.add(at, entry.hash);
            }
        });
    }
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
            }
            Signal::Watermark(_) | Signal::Tick | Signal::Flush => self.fire_due(),
            Signal::Finish => {
                self.fire_due();
                // Event time is at its end, once: timers that are set meanwhile stay.
                let number = self.number;
                self.fire(By::Event, Timestamp::MAX, Timestamp::MAX, number);
            }
            Signal::Barrier(_) => {
                if let Some(changes) = control.changes() {
                    self.table.gather(&self.id, changes, Entry::is_gone, Saved::save);
                }
                self.table.end_epoch(Entry::is_gone);
                control.keeps(&self.id, self.table.len(), self.table.bytes());
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
            control.fail(never_due(&self.id));
        }
        if let Some(at) = self.by_processing.next() {
            control.wake_at(at);
        }
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Process.name());
        let info = info.takes::<Keyed<P::Key, P::In>>().emits::<P::Out>();
        to.step(info.keeps(P::State::SCHEMA).saves(|| {
            StepSpec::keyed::<P::Key>("process", Shape::from(EntryOf::<P>::SCHEMA))
                .migrates::<EntryOf<P>>()
        }));
        self.down.describe(to);
    }
}
