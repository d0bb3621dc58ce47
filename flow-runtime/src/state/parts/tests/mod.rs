//! States with maps and lists against plain ones: whatever is done to them, however they are saved, compacted and taken over.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::describe::StepId;
use crate::operator::{Held, load_held, save_held};
use crate::recovery::block::{Block, BlockHead, Run, encode, put_raw};
use crate::recovery::changes::{Buffers, Changes, StepName, StepNames};
use crate::recovery::compact::merge::Entries;
use crate::recovery::older::{Older, schema_of};
use crate::recovery::recovered::Keyed;
use crate::state::table::restore::Takeover;
use crate::state::{EntryMut, KeyHasher, Lent, Reader, Shape, Table, group_of, worker_of};
use crate::stateful;

const GROUPS: u32 = 4;

#[stateful]
#[derive(Clone, Debug, Default, PartialEq)]
struct Basket {
    history: ListState<u32>,
    owner: String,
    inner: Inner,
    items: MapState<u16, u32>,
}

#[stateful]
#[derive(Clone, Debug, Default, PartialEq)]
struct Inner {
    count: u64,
    names: MapState<String, Vec<u8>>,
    others: MapState<u16, u32>,
}

/// What there should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Plain {
    history: VecDeque<u32>,
    owner: String,
    count: u64,
    names: BTreeMap<String, Vec<u8>>,
    others: BTreeMap<u16, u32>,
    items: BTreeMap<u16, u32>,
}

impl From<&Basket> for Plain {
    fn from(basket: &Basket) -> Plain {
        let numbers = |map: &MapState<u16, u32>| map.iter().map(|(k, v)| (*k, *v)).collect();
        Plain {
            history: basket.history.iter().copied().collect(),
            owner: basket.owner.clone(),
            count: basket.inner.count,
            names: basket.inner.names.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            others: numbers(&basket.inner.others),
            items: numbers(&basket.items),
        }
    }
}

/// What a function does to the state of a key.
#[derive(Clone, Debug)]
enum Do {
    Name(String),
    Insert(u16, u32),
    Fill(u16),
    Add(u16),
    Remove(u16),
    PopFirst,
    Retain(u16),
    AddToAll,
    Clear,
    NameAdd(u8),
    NameRemove(u8),
    Push(u32),
    PushFront(u32),
    Pop,
    PopFront,
    Set(usize),
    SetAll,
    Truncate(usize),
    ClearHistory,
    /// The two maps of numbers change places.
    Swap,
    /// A copy takes the place of the map.
    Copy,
    /// The map and the list leave the state. Where there is something from before, of this or of another key, that takes their place.
    Exchange,
    /// The state is replaced by a fresh one.
    Reset,
    /// The state is taken away.
    Forget,
}

#[derive(Clone, Debug)]
enum Act {
    Do(u8, Do),
    Barrier,
    Crash(usize),
    Compact,
}

fn any_do() -> impl Strategy<Value = Do> {
    let number = || 0..12_u16;
    prop_oneof![
        1 => "[a-c]{0,3}".prop_map(Do::Name),
        6 => (number(), any::<u32>()).prop_map(|(k, v)| Do::Insert(k, v)),
        1 => (0..200_u16).prop_map(Do::Fill),
        4 => number().prop_map(Do::Add),
        4 => number().prop_map(Do::Remove),
        2 => Just(Do::PopFirst),
        1 => (2..4_u16).prop_map(Do::Retain),
        1 => Just(Do::AddToAll),
        1 => Just(Do::Clear),
        2 => (0..4_u8).prop_map(Do::NameAdd),
        2 => (0..4_u8).prop_map(Do::NameRemove),
        6 => any::<u32>().prop_map(Do::Push),
        1 => any::<u32>().prop_map(Do::PushFront),
        2 => Just(Do::Pop),
        4 => Just(Do::PopFront),
        4 => (0..20_usize).prop_map(Do::Set),
        1 => Just(Do::SetAll),
        1 => (0..20_usize).prop_map(Do::Truncate),
        1 => Just(Do::ClearHistory),
        1 => Just(Do::Swap),
        1 => Just(Do::Copy),
        2 => Just(Do::Exchange),
        1 => Just(Do::Reset),
        2 => Just(Do::Forget),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0..4_u8, any_do()).prop_map(|(key, act)| Act::Do(key, act)),
        4 => Just(Act::Barrier),
        1 => (1..4_usize).prop_map(Act::Crash),
        1 => Just(Act::Compact),
    ]
}

/// What has left a state, with its model.
type Away = (ListState<u32>, MapState<u16, u32>, VecDeque<u32>, BTreeMap<u16, u32>);

fn act(state: &mut Option<Basket>, model: &mut Option<Plain>, act: &Do, away: &mut Option<Away>) {
    if let Do::Forget = act {
        (*state, *model) = (None, None);
        return;
    }
    let (state, model) = (state.get_or_insert_default(), model.get_or_insert_default());
    let (items, history) = (&mut state.items, &mut state.history);
    match act {
        Do::Name(name) => {
            state.owner.clone_from(name);
            model.owner.clone_from(name);
            state.inner.count += 1;
            model.count += 1;
        }
        Do::Insert(k, v) => assert_eq!(items.insert(*k, *v), model.items.insert(*k, *v)),
        Do::Fill(many) => {
            items.extend((100..100 + many).map(|k| (k, 1)));
            model.items.extend((100..100 + many).map(|k| (k, 1)));
        }
        Do::Add(k) => {
            if let Some(value) = items.get_mut(k) {
                *value = value.wrapping_add(1);
            }
            if let Some(value) = model.items.get_mut(k) {
                *value = value.wrapping_add(1);
            }
            *state.inner.others.get_or_default(*k) += 1;
            *model.others.entry(*k).or_default() += 1;
        }
        Do::Remove(k) => {
            assert_eq!(items.remove(k), model.items.remove(k));
            assert_eq!(state.inner.others.remove(k), model.others.remove(k));
        }
        Do::PopFirst => assert_eq!(items.pop_first(), model.items.pop_first()),
        Do::Retain(rest) => {
            items.retain(|k, _| k % rest != 0);
            model.items.retain(|k, _| k % rest != 0);
        }
        Do::AddToAll => {
            items.iter_mut().for_each(|(_, v)| *v = v.wrapping_add(1));
            model.items.values_mut().for_each(|v| *v = v.wrapping_add(1));
        }
        Do::Clear => {
            items.clear();
            model.items.clear();
        }
        Do::NameAdd(name) => {
            let (key, value) = ("n".repeat((*name).into()), vec![*name; (*name).into()]);
            state.inner.names.insert(key.clone(), value.clone());
            model.names.insert(key, value);
        }
        Do::NameRemove(name) => {
            let key = "n".repeat((*name).into());
            assert_eq!(state.inner.names.remove(key.as_str()), model.names.remove(&key));
        }
        Do::Push(value) => {
            history.push_back(*value);
            model.history.push_back(*value);
        }
        Do::PushFront(value) => {
            history.push_front(*value);
            model.history.push_front(*value);
        }
        Do::Pop => assert_eq!(history.pop_back(), model.history.pop_back()),
        Do::PopFront => assert_eq!(history.pop_front(), model.history.pop_front()),
        Do::Set(at) => {
            let (value, of_model) = (history.get_mut(*at), model.history.get_mut(*at));
            assert_eq!(value, of_model);
            if let (Some(value), Some(of_model)) = (value, of_model) {
                *value = value.wrapping_add(1);
                *of_model = *value;
            }
        }
        Do::SetAll => {
            history.iter_mut().for_each(|v| *v = v.wrapping_add(1));
            model.history.iter_mut().for_each(|v| *v = v.wrapping_add(1));
        }
        Do::Truncate(length) => {
            history.truncate(*length);
            model.history.truncate(*length);
        }
        Do::ClearHistory => {
            history.clear();
            model.history.clear();
        }
        Do::Swap => {
            std::mem::swap(items, &mut state.inner.others);
            std::mem::swap(&mut model.items, &mut model.others);
        }
        Do::Copy => {
            *items = items.clone();
            *history = history.clone();
        }
        Do::Exchange => {
            let (h, i, of_history, of_items) = away.take().unwrap_or_default();
            *away = Some((
                std::mem::replace(history, h),
                std::mem::replace(items, i),
                std::mem::replace(&mut model.history, of_history),
                std::mem::replace(&mut model.items, of_items),
            ));
        }
        Do::Reset => (*state, *model) = (Basket::default(), Plain::default()),
        Do::Forget => {}
    }
}

fn id() -> StepId {
    StepId::root().child("step")
}

/// A step on some workers, and its log.
struct World<V> {
    tables: Vec<Table<u8, V>>,
    /// Blocks, as they were committed.
    log: Vec<Vec<u8>>,
    /// The low half of the digest of what the step keeps.
    schema: u32,
    /// The shapes that older versions have.
    older: Vec<Shape>,
}

impl<V: Held> World<V> {
    fn new(workers: usize, log: Vec<Vec<u8>>, older: Vec<Shape>) -> Result<Self, String> {
        let schema = schema_of(&Shape::from(<V::State as Saved>::SCHEMA));
        let mut world = World { tables: Vec::new(), log, schema, older };
        world.crash(workers)?;
        Ok(world)
    }

    fn worker(&self, key: u8) -> (usize, u64) {
        let hash = KeyHasher::new(0).hash(&key);
        (worker_of(group_of(hash, GROUPS), GROUPS, self.tables.len()), hash)
    }

    fn with<T>(&mut self, key: u8, act: impl FnOnce(&mut V) -> T) -> T {
        let (worker, hash) = self.worker(key);
        let table = &mut self.tables[worker];
        let EntryMut { state, .. } = table.find_or_insert(hash, &Lent(&key), V::fresh);
        let done = act(state);
        if state.is_gone() {
            table.forget(hash);
        }
        done
    }

    /// Commits what has changed. Answers the bytes that it takes.
    fn barrier(&mut self) -> usize {
        let before = self.log.len();
        for table in &mut self.tables {
            let name = StepName { number: 0, schema: self.schema };
            let names = StepNames { groups: GROUPS, names: [(id(), name)].into() };
            let mut changes = Changes::new(Arc::new(names), Buffers::default());
            table.gather(&id(), &mut changes, V::is_gone, save_held::<V>);
            table.end_epoch(V::is_gone);
            assert!(changes.take_failure().is_none());
            let mut entries = 0;
            table.each_mut(|_, held| {
                entries += (0..V::PARTS).filter_map(|n| Some(held.part(n)?.count())).sum::<usize>();
            });
            assert_eq!(changes.parts.get(&0).copied().unwrap_or(0), entries as u64);
            self.log.extend(changes.payloads.into_iter().map(|payload| payload.bytes));
        }
        self.log[before..].iter().map(Vec::len).sum()
    }

    /// Loses what was not committed, and takes over what was.
    fn crash(&mut self, workers: usize) -> Result<(), String> {
        self.tables = (0..workers).map(|_| Table::new()).collect();
        for worker in 0..workers {
            let older = Older::new(&self.older, |was| {
                let state = Reader::<V::State>::of(was)?;
                Ok(Reader::new(move |from| state.read(from).map(V::of_state)))
            });
            let table = &mut self.tables[worker];
            table.saves();
            let (unconverted, waiting) = Default::default();
            let mut takeover = Takeover {
                table,
                id: &id(),
                hasher: KeyHasher::new(0),
                groups: GROUPS,
                load: load_held::<V>,
                older: older.map_err(|error| error.to_string())?,
                unconverted,
                waiting,
            };
            for block in &self.log {
                let block = Block::decode(block).ok_or("no block")?;
                let older = Some(block.head.schema).filter(|saved| *saved != self.schema);
                let mine = |group| worker_of(u32::from(group), GROUPS, workers) == worker;
                let taken = block.entries(mine, |entry| {
                    takeover.entry(entry.group, Keyed::of(block.head, older, entry)?)
                });
                taken.ok_or("a block is malformed")?.map_err(|error| error.to_string())?;
            }
            takeover.finish().map_err(|unfit| format!("{unfit:?}"))?;
        }
        Ok(())
    }

    /// Writes the log again without what has been superseded.
    fn compact(&mut self) {
        let mut entries = Entries::default();
        for block in &self.log {
            let block = Block::decode(block).expect("is a block");
            entries.add(&block, |_| true).expect("is whole");
        }
        let mut log = Vec::new();
        for (head, entries) in entries.merged().blocks() {
            for entry in entries {
                let mut bytes = Vec::new();
                put_raw(&mut bytes, head.kind, entry.key, entry.sub, entry.value);
                log.push(encode(head, &[Run { group: entry.group, count: 1, entries: &bytes }]));
            }
        }
        self.log = log;
    }

    fn states(&mut self) -> BTreeMap<u8, &V::State> {
        let all = self.tables.iter().flat_map(Table::iter);
        all.filter_map(|(key, held)| Some((*key, held.state()?))).collect()
    }
}

fn plain(world: &mut World<Option<Basket>>) -> BTreeMap<u8, Plain> {
    world.states().into_iter().map(|(key, basket)| (key, basket.into())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn maps_and_lists_are_what_they_were_at_the_last_barrier(
        acts in prop::collection::vec(any_act(), 0..120), workers in 1..4_usize,
    ) {
        let mut world = World::<Option<Basket>>::new(workers, vec![], vec![]).expect("is empty");
        let mut model: BTreeMap<u8, Option<Plain>> = BTreeMap::new();
        let (mut committed, mut away) = (model.clone(), None);
        let of = |model: &BTreeMap<u8, Option<Plain>>| -> BTreeMap<u8, Plain> {
            model.iter().filter_map(|(key, state)| Some((*key, state.clone()?))).collect()
        };
        for this in acts {
            match this {
                Act::Do(key, what) => {
                    let model = model.entry(key).or_default();
                    world.with(key, |state| act(state, model, &what, &mut away));
                }
                Act::Barrier => {
                    world.barrier();
                    committed = model.clone();
                }
                Act::Crash(workers) => {
                    world.crash(workers).map_err(TestCaseError::fail)?;
                    (model, away) = (committed.clone(), None);
                    prop_assert_eq!(plain(&mut world), of(&model));
                }
                Act::Compact => world.compact(),
            }
        }
        prop_assert_eq!(plain(&mut world), of(&model));
        world.crash(2).map_err(TestCaseError::fail)?;
        prop_assert_eq!(plain(&mut world), of(&committed));
    }

    #[test]
    fn any_entry_is_taken_over_or_refused_without_a_panic(
        slot in 0..6_u16, kind in 0..12_u8, sub: Vec<u8>, value: Vec<u8>, number: u64,
    ) {
        let mut world = World::<Option<Basket>>::new(1, vec![], vec![]).expect("is empty");
        world.with(1, |state| state.get_or_insert_default().history.push_back(1));
        world.barrier();
        for sub in [sub, number.to_be_bytes().to_vec()] {
            let mut bytes = world.log[0].clone();
            bytes[4..6].copy_from_slice(&slot.to_le_bytes());
            bytes[6] = kind;
            let Some(head) = Block::decode(&bytes).map(|block| block.head) else { continue };
            let mut log = world.log.clone();
            log.push(one(head, 1, &sub, &value));
            if let Ok(mut world) = World::<Option<Basket>>::new(1, log, vec![]) {
                world.with(1, |state| {
                    if let Some(state) = state {
                        state.history.push_back(1);
                        state.history.push_front(1);
                    }
                });
                world.barrier();
            }
        }
    }
}

/// A block with one entry.
fn one(head: BlockHead, key: u8, sub: &[u8], value: &[u8]) -> Vec<u8> {
    let group = group_of(KeyHasher::new(0).hash(&key), GROUPS) as u16;
    let mut entries = Vec::new();
    put_raw(&mut entries, head.kind, &[key], sub, value);
    encode(head, &[Run { group, count: 1, entries: &entries }])
}

mod cases;
