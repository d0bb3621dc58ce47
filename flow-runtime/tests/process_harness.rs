//! [`ProcessHarness`] against a plain model of timers.
#![allow(missing_docs)]

use std::collections::BTreeMap;

use flow_runtime::prelude::*;
use flow_runtime::sim::{By, ProcessHarness};
use proptest::prelude::*;

/// What an item asks of its key. Even tags are timers by event time, odd ones by processing time.
#[derive(Clone, Copy, Debug)]
enum Command {
    Set(u8, i64),
    Cancel(u8),
    Forget,
}

/// From here on a timer sets another one when it fires, of the tag that is less by this and so much later.
const CHAINS: u8 = 8;
const LATER: i64 = 5;

/// A timer of this tag lets its key be forgotten.
const FORGETS: u8 = 7;

struct Machine;

impl Process for Machine {
    type Key = u16;
    type In = Command;
    type Out = u8;
    type State = u64;
    type Timer = u8;

    fn on_item(&self, calls: &mut Option<u64>, item: Command, cx: &mut ProcessContext<'_, Self>) {
        *calls = Some(calls.unwrap_or(0) + 1);
        match item {
            Command::Set(tag, at) if tag.is_multiple_of(2) => cx.set_timer(Timestamp(at), tag),
            Command::Set(tag, at) => cx.set_processing_timer(Timestamp(at), tag),
            Command::Cancel(tag) if tag.is_multiple_of(2) => drop(cx.cancel_timer(&tag)),
            Command::Cancel(tag) => drop(cx.cancel_processing_timer(&tag)),
            Command::Forget => *calls = None,
        }
    }

    fn on_timer(&self, calls: &mut Option<u64>, tag: u8, cx: &mut ProcessContext<'_, Self>) {
        *calls = calls.map(|calls| calls + 1);
        cx.emit(tag);
        match tag.checked_sub(CHAINS) {
            Some(next) if tag.is_multiple_of(2) => {
                cx.set_timer(Timestamp(cx.time().0 + LATER), next)
            }
            Some(next) => cx.set_processing_timer(Timestamp(cx.now().0 + LATER), next),
            None if tag == FORGETS => *calls = None,
            None => {}
        }
    }
}

/// A key of the model: calls, and its timers by tag, with when they are due and the how manieth they are.
#[derive(Clone, Debug, Default)]
struct Modelled {
    calls: u64,
    timers: BTreeMap<u8, (i64, u64)>,
}

#[derive(Clone, Debug)]
struct Model {
    keys: BTreeMap<u16, Modelled>,
    watermark: i64,
    now: i64,
    number: u64,
    emitted: BTreeMap<u16, Vec<(i64, u8)>>,
}

impl Model {
    fn item(&mut self, key: u16, item: Command) {
        let known = self.keys.entry(key).or_default();
        known.calls += 1;
        match item {
            Command::Set(tag, at) => {
                self.number += 1;
                known.timers.insert(tag, (at, self.number));
            }
            Command::Cancel(tag) => drop(known.timers.remove(&tag)),
            Command::Forget => drop(self.keys.remove(&key)),
        }
        self.fire_due();
    }

    /// Fires, key by key, what is due at `until`, in the order of time and tag; of what was set before `number`.
    fn fire(&mut self, event: bool, until: i64, number: u64) {
        for key in self.keys.keys().copied().collect::<Vec<_>>() {
            while let Some(known) = self.keys.get_mut(&key) {
                let due = known.timers.iter().filter(|(tag, (at, set))| {
                    tag.is_multiple_of(2) == event && *at <= until && *set < number
                });
                let Some((at, tag)) = due.map(|(tag, (at, _))| (*at, *tag)).min() else { break };
                known.timers.remove(&tag);
                known.calls += 1;
                let time = if event { at } else { self.watermark };
                self.emitted.entry(key).or_default().push((time, tag));
                if let Some(next) = tag.checked_sub(CHAINS) {
                    self.number += 1;
                    let from = if event { at } else { self.now };
                    known.timers.insert(next, (from + LATER, self.number));
                } else if tag == FORGETS {
                    self.keys.remove(&key);
                }
            }
        }
    }

    fn fire_due(&mut self) {
        self.fire(true, self.watermark, u64::MAX);
        self.fire(false, self.now, u64::MAX);
    }

    fn clock_to(&mut self, now: i64) {
        loop {
            let timers = self.keys.values().flat_map(|known| &known.timers);
            let by_clock = timers.filter(|(tag, _)| !tag.is_multiple_of(2)).map(|(_, (at, _))| *at);
            let Some(next) = by_clock.filter(|at| *at <= now).min() else { break };
            self.now = self.now.max(next);
            self.fire_due();
        }
        self.now = self.now.max(now);
    }

    fn finish(&mut self) {
        self.fire_due();
        self.fire(true, i64::MAX, self.number + 1);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Item(u16, Command),
    Advance(i64),
    Clock(i64),
    Epoch,
    Restore(usize),
}

fn any_op() -> impl Strategy<Value = Op> {
    let tag = || 0..16_u8;
    let command = prop_oneof![
        6 => (tag(), 0..120_i64).prop_map(|(tag, at)| Command::Set(tag, at)),
        2 => tag().prop_map(Command::Cancel),
        1 => Just(Command::Forget),
    ];
    prop_oneof![
        12 => (0..6_u16, command).prop_map(|(key, command)| Op::Item(key, command)),
        2 => (0..15_i64).prop_map(Op::Advance),
        2 => (0..15_i64).prop_map(Op::Clock),
        2 => Just(Op::Epoch),
        1 => (1..5_usize).prop_map(Op::Restore),
    ]
}

fn same(harness: &mut ProcessHarness<Machine>, model: &mut Model) -> Result<(), TestCaseError> {
    let mut emitted = BTreeMap::<u16, Vec<(i64, u8)>>::new();
    for (key, at, tag) in harness.emitted() {
        emitted.entry(key).or_default().push((at.0, tag));
    }
    prop_assert_eq!(emitted, std::mem::take(&mut model.emitted));
    prop_assert_eq!(harness.keys(), model.keys.len());
    let mut timers = BTreeMap::<u16, Vec<(By, i64, u8)>>::new();
    let mut last = None;
    for (key, by, at, tag) in harness.timers() {
        prop_assert!(last <= Some((at, by)), "they are in order");
        last = Some((at, by));
        timers.entry(*key).or_default().push((by, at.0, *tag));
    }
    for key in 0..6 {
        let known = model.keys.get(&key);
        prop_assert_eq!(harness.state(&key).copied(), known.map(|known| known.calls));
        let of_key = harness.timers_of(&key);
        let mut found: Vec<_> = of_key.iter().map(|(by, at, tag)| (at.0, *by, **tag)).collect();
        let by = |tag: u8| if tag.is_multiple_of(2) { By::Event } else { By::Processing };
        let set = known.into_iter().flat_map(|known| &known.timers);
        let mut expected: Vec<_> = set.map(|(tag, (at, _))| (*at, by(*tag), *tag)).collect();
        expected.sort();
        prop_assert_eq!(found.len(), timers.get(&key).map_or(0, Vec::len));
        found.sort();
        prop_assert_eq!(found, expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn timers_fire_as_in_a_model(ops in prop::collection::vec(any_op(), 0..120)) {
        let mut harness = ProcessHarness::new(Machine);
        // Timers by event time need one: it is known from the start.
        let mut model = Model {
            keys: BTreeMap::new(),
            watermark: i64::MIN,
            now: 0,
            number: 0,
            emitted: BTreeMap::new(),
        };
        let mut saved = model.clone();
        for op in ops {
            match op {
                Op::Item(key, command) => {
                    harness.item(key, Timestamp(model.watermark.max(0)), command);
                    model.item(key, command);
                }
                Op::Advance(by) => {
                    model.watermark = model.watermark.max(0) + by;
                    harness.advance_to(Timestamp(model.watermark));
                    model.fire_due();
                }
                Op::Clock(by) => {
                    harness.advance_clock_to(Timestamp(model.now + by));
                    model.clock_to(model.now + by);
                }
                Op::Epoch => {
                    harness.epoch();
                    saved = model.clone();
                }
                Op::Restore(workers) => {
                    harness.restore_on(workers);
                    model = Model { now: model.now, ..saved.clone() };
                    model.fire_due();
                }
            }
            same(&mut harness, &mut model)?;
        }
        harness.finish();
        model.finish();
        same(&mut harness, &mut model)?;
    }
}

#[test]
fn what_was_emitted_since_the_last_epoch_is_gone_with_it() {
    let mut harness = ProcessHarness::new(Machine);
    harness.item(1, Timestamp(0), Command::Set(0, 10));
    harness.item(1, Timestamp(0), Command::Set(2, 20));
    harness.advance_to(Timestamp(10));
    assert_eq!(harness.epoch(), 1);
    harness.advance_to(Timestamp(20));
    harness.crash_and_restore();
    assert_eq!(harness.emitted(), [(1, Timestamp(10), 0)]);
    assert_eq!(harness.timers(), [(&1, By::Event, Timestamp(20), &2)]);
    harness.advance_to(Timestamp(20));
    assert_eq!(harness.emitted(), [(1, Timestamp(20), 2)]);
}

/// Counts what it is given, entry by entry.
struct ByEntry;

#[stateful]
#[derive(Debug, Default)]
struct Numbers {
    counts: MapState<u8, u32>,
}

impl Process for ByEntry {
    type Key = u16;
    type In = u8;
    type Out = ();
    type State = Numbers;
    type Timer = ();

    fn on_item(&self, numbers: &mut Option<Numbers>, item: u8, _: &mut ProcessContext<'_, Self>) {
        *numbers.get_or_insert_default().counts.get_or_default(item) += 1;
    }

    fn on_timer(&self, _: &mut Option<Numbers>, (): (), _: &mut ProcessContext<'_, Self>) {}
}

#[test]
fn of_a_state_with_a_map_the_entries_are_saved_that_have_changed() {
    let mut machine = ProcessHarness::new(ByEntry);
    let counts = |machine: &ProcessHarness<ByEntry>| {
        let state = machine.state(&7).expect("items have come");
        let mut counts = Vec::from_iter(state.counts.iter().map(|(item, n)| (*item, *n)));
        counts.sort_unstable();
        counts
    };
    for item in 0..20 {
        machine.item(7, Timestamp::MIN, item);
    }
    assert_eq!(machine.epoch(), 1 + 1 + 20, "the key, that the map is a new one, and its entries");
    machine.item(7, Timestamp::MIN, 3);
    assert_eq!(machine.epoch(), 1 + 1, "one of them has changed");
    machine.item(7, Timestamp::MIN, 100);
    machine.restore_on(3);
    let expected = Vec::from_iter((0..20).map(|item| (item, 1 + u32::from(item == 3))));
    assert_eq!(counts(&machine), expected);
    machine.item(7, Timestamp::MIN, 4);
    assert_eq!(machine.epoch(), 1 + 1, "what was restored is known to the log");
}
