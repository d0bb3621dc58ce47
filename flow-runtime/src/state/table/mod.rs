//! The table of a stateful step: one entry per key, found by the hash that the item brought along.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | the table: looking up, what has changed, gathering that |
//! | `slots` | where entries lie |
//! | `restore` | taking over what is saved |

pub(crate) mod restore;
mod slots;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bounds::Key;
use crate::consumer::KeyInItem;
use crate::describe::StepId;
use crate::failure::Note;
use crate::recovery::changes::{Changes, KeyedChanges};
use crate::state::key_code::{check_key, form_of, save_key};
use crate::state::parts::Place;
pub(crate) use crate::state::table::slots::SweptTo;
use crate::state::table::slots::{Slot, Slots, UNCHANGED, trace_of};
use crate::state::{GROUPS, LoadError, Parted};
use crate::stream::Token;

/// A key to look up: lent, or still in its item.
pub trait Lookup<K> {
    /// Whether it is this stored key.
    fn is(&self, stored: &K) -> bool;
    /// The key, to be stored.
    fn to_key(&self) -> K;
}

/// A key that is lent.
#[derive(Debug)]
pub struct Lent<'a, K>(pub &'a K);

impl<K: Eq + Clone> Lookup<K> for Lent<'_, K> {
    #[inline(always)]
    fn is(&self, stored: &K) -> bool {
        self.0 == stored
    }
    #[inline(always)]
    fn to_key(&self) -> K {
        self.0.clone()
    }
}

/// A key that still lies in its item.
#[derive(Debug)]
pub struct InItem<'a, S: Token, X>(pub &'a S::Item, pub &'a X);

impl<S: Token, X: KeyInItem<S>> Lookup<S::Key> for InItem<'_, S, X> {
    #[inline(always)]
    fn is(&self, stored: &S::Key) -> bool {
        self.1.is(stored, self.0)
    }
    #[inline(always)]
    fn to_key(&self) -> S::Key {
        self.1.to_key(self.0)
    }
}

/// An entry, lent to the step.
#[derive(Debug)]
pub struct EntryMut<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// What is kept for it.
    pub state: &'a mut V,
}

/// What has become of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    /// It is as it was.
    Same,
    /// It is to be saved.
    Changed,
    /// It is to be forgotten.
    Gone,
}

/// What a step keeps per key.
pub struct Table<K, V> {
    slots: Slots<K, V>,
    /// Counts barriers; an entry with this stamp has changed since the last one.
    stamp: NonZeroU32,
    /// How many more changed entries are listed. Where there are none left, going through the whole table is cheaper than
    /// looking up what is listed.
    unlisted: usize,
    /// Apart, so that the table itself is only ever seen from here: in the loop over a batch it then lies in registers.
    journal: Box<Journal>,
}

/// What has happened to a table since the last barrier.
#[derive(Debug, Default)]
struct Journal {
    /// Hashes of keys whose state was taken away.
    forgotten: Vec<u64>,
    /// Hashes of the entries that have changed, as far as they are listed.
    changed: Vec<u64>,
    /// Keys that were dropped, encoded, with what tells their key groups. Only where they are to be saved.
    dropped: Vec<(u32, Vec<u8>)>,
    /// Whether changes are saved at barriers.
    saves: bool,
    /// What parts of states know this table by.
    number: u64,
    /// How many entries the parts of states have, without those of states that have changed.
    part_entries: u64,
}

/// Counts tables whose changes are saved.
static TABLES: AtomicU64 = AtomicU64::new(0);

impl Journal {
    /// Tells the parts of a state, which is lent out now, where they lie. Of a new one nothing is counted as yet.
    #[inline(never)]
    fn lend<V: Parted>(&mut self, trace: u64, stamp: NonZeroU32, value: &mut V, is_new: bool) {
        for slot in 0..V::PARTS {
            if let Some(part) = value.part(slot) {
                let counted = if is_new { 0 } else { part.count() as u64 };
                // It is what compaction guesses by, and nothing to fail of.
                self.part_entries = self.part_entries.saturating_sub(counted);
                part.lend(Place::of(self.number, trace, stamp.get(), slot));
            }
        }
    }

    /// The state was lent out and has not changed.
    #[inline(never)]
    fn lent_for_nothing<V: Parted>(&mut self, value: &mut V) {
        for slot in 0..V::PARTS {
            if let Some(part) = value.part(slot) {
                self.part_entries = self.part_entries.saturating_add(part.count() as u64);
            }
        }
    }
}

/// The stamp of the first epoch.
const FIRST: NonZeroU32 = UNCHANGED.saturating_add(1);

/// So many entries are brought into the cache together.
const TOGETHER: usize = 32;

/// A table of so many bytes is found in the cache anyway.
const IN_CACHE: usize = 1 << 20;

/// Up to so many changed entries are looked up ..
const FEW: usize = 64;
/// .. or one in so many.
const FEW_OF: usize = 16;

/// Of so many keys at each barrier it is checked that they can be loaded again: it is their type that can or cannot.
const CHECKED: usize = 4;

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("keys", &self.slots.len()).finish_non_exhaustive()
    }
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Table::new()
    }
}

impl<K, V> Table<K, V> {
    /// An empty table. It allocates nothing until the first key.
    pub fn new() -> Self {
        Table { slots: Slots::new(), stamp: FIRST, unlisted: 0, journal: Box::default() }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory of the entries. What keys and states point to is not counted.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// Finds the entry of a key, or makes one, and marks it as changed.
    #[inline(always)]
    pub fn find_or_insert(
        &mut self,
        hash: u64,
        key: &impl Lookup<K>,
        fresh: impl FnOnce() -> V,
    ) -> EntryMut<'_, K, V>
    where
        V: Parted,
    {
        let mut is_new = false;
        let fresh = || {
            is_new = true;
            (key.to_key(), fresh())
        };
        let slot = self.slots.find_or_insert(hash, |stored| key.is(stored), fresh);
        if slot.stamp != self.stamp {
            slot.stamp = self.stamp;
            if self.unlisted > 0 {
                self.unlisted -= 1;
                self.journal.changed.push(hash);
            }
            if V::PARTS > 0 && self.journal.saves {
                self.journal.lend(trace_of(hash), self.stamp, &mut slot.value, is_new);
            }
        }
        EntryMut { key: &slot.key, state: &mut slot.value }
    }

    /// Items with these hashes come next: brings their entries into the cache, where the table is too large to lie there.
    #[inline(always)]
    pub fn expect(&self, hashes: impl Iterator<Item = u64>) {
        if self.slots.bytes() > IN_CACHE {
            self.slots.touch(hashes);
        }
    }

    /// The state of a key, if there is any, to be looked at.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, key: &impl Lookup<K>) -> Option<&V> {
        let slot = self.slots.find(hash, |stored| key.is(stored))?;
        Some(&slot.value)
    }

    /// The entry of a key, if there is any, to be looked at.
    #[inline(always)]
    pub(crate) fn find_entry(&self, hash: u64, key: &impl Lookup<K>) -> Option<(&K, &V)> {
        let slot = self.slots.find(hash, |stored| key.is(stored))?;
        Some((&slot.key, &slot.value))
    }

    /// The state of a key, if there is any, marked as changed.
    pub fn find_mut(&mut self, hash: u64, key: &K) -> Option<&mut V>
    where
        K: Eq,
        V: Parted,
    {
        let slot = self.slots.find_mut(hash, |stored| stored == key)?;
        if slot.stamp != self.stamp {
            slot.stamp = self.stamp;
            if self.unlisted > 0 {
                self.unlisted -= 1;
                self.journal.changed.push(hash);
            }
            if V::PARTS > 0 && self.journal.saves {
                self.journal.lend(trace_of(hash), self.stamp, &mut slot.value, false);
            }
        }
        Some(&mut slot.value)
    }

    /// Gives the entry with this hash for which `is` says so to `act`, which answers what has become of it.
    #[inline]
    pub(crate) fn with_hash(
        &mut self,
        hash: u64,
        is: impl Fn(&V) -> bool,
        act: impl FnOnce(&K, &mut V) -> Swept,
    ) where
        V: Parted,
    {
        let found = self.slots.find_by_hash(hash, |slot| is(&slot.value));
        let Some(mut found) = found else { return };
        let (stamp, journal) = (self.stamp, &mut *self.journal);
        let slot = found.slot();
        let lends = V::PARTS > 0 && slot.stamp != stamp && journal.saves;
        if lends {
            journal.lend(trace_of(hash), stamp, &mut slot.value, false);
        }
        let becomes = act(&slot.key, &mut slot.value);
        match becomes {
            Swept::Same if lends => return journal.lent_for_nothing(&mut slot.value),
            Swept::Same => return,
            // Nobody is to be told.
            Swept::Gone if !journal.saves => return found.remove(),
            Swept::Gone => journal.forgotten.push(hash),
            Swept::Changed => {}
        }
        if slot.stamp != stamp {
            slot.stamp = stamp;
            if self.unlisted > 0 {
                self.unlisted -= 1;
                journal.changed.push(hash);
            }
        }
    }

    /// Looking up so many changed entries is cheaper than going through the whole table.
    fn few(&self) -> usize {
        FEW.max(self.slots.len() / FEW_OF)
    }

    /// Remembers that the state of a key with this hash was taken away.
    #[inline]
    pub fn forget(&mut self, hash: u64) {
        self.journal.forgotten.push(hash);
    }

    /// The entries that changed since the last barrier.
    pub fn changed(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots
            .iter()
            .filter(|slot| slot.stamp == self.stamp)
            .map(|slot| (&slot.key, &slot.value))
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.slots.iter().map(|slot| (&slot.key, &slot.value))
    }

    /// Ends the epoch: entries whose state is gone are dropped, and every other one counts as unchanged.
    pub fn end_epoch(&mut self, is_gone: impl Fn(&V) -> bool) {
        let mut forgotten = std::mem::take(&mut self.journal.forgotten);
        for some in forgotten.chunks(TOGETHER) {
            self.expect(some.iter().copied());
            // A key that was forgotten, came back and is still here is not gone.
            some.iter().for_each(|hash| self.slots.remove(*hash, |_, value| is_gone(value)));
        }
        forgotten.clear();
        self.journal.forgotten = forgotten;
        self.journal.changed.clear();
        if self.journal.saves {
            self.unlisted = self.few();
        }
        self.stamp = self.stamp.checked_add(1).unwrap_or_else(|| {
            // Four billion epochs later: no entry may look changed by accident.
            self.slots.iter_mut().for_each(|slot| slot.stamp = UNCHANGED);
            FIRST
        });
    }
}

/// How a table is saved and loaded.
impl<K: Key, V> Table<K, V> {
    /// From now on changes are saved at barriers.
    pub(crate) fn saves(&mut self) {
        if !self.journal.saves {
            self.journal.saves = true;
            self.journal.number = TABLES.fetch_add(1, Ordering::Relaxed);
        }
        self.unlisted = FEW;
    }

    /// Goes through all entries, once or twice: `each` says what has become of one.
    ///
    /// # Errors
    /// When a key cannot be encoded.
    pub(crate) fn sweep(&mut self, each: impl FnMut(&K, &mut V) -> Swept) -> Result<(), LoadError>
    where
        V: Parted,
    {
        // It may be most of them: listing them would be for nothing.
        self.unlisted = 0;
        self.sweep_some(SweptTo::default(), usize::MAX, each).map(drop)
    }

    /// The same of so many slots behind `from`. Answers where to go on; `None` at the end of the table. Entries that move meanwhile because the table
    /// grows may be left out, until the next time. Where `each` changes an entry it leaves the parts of its state alone.
    ///
    /// # Errors
    /// When a key cannot be encoded.
    pub(crate) fn sweep_some(
        &mut self,
        from: SweptTo,
        slots: usize,
        mut each: impl FnMut(&K, &mut V) -> Swept,
    ) -> Result<Option<SweptTo>, LoadError>
    where
        V: Parted,
    {
        let mut result = Ok(());
        let (stamp, unlisted) = (self.stamp, &mut self.unlisted);
        let journal = &mut *self.journal;
        let to = self.slots.sweep(from, slots, |part, slot| {
            let becomes = each(&slot.key, &mut slot.value);
            if becomes == Swept::Same {
                return true;
            }
            if slot.stamp != stamp {
                slot.stamp = stamp;
                if V::PARTS > 0 && journal.saves {
                    journal.lend(slot.trace(part), stamp, &mut slot.value, false);
                }
                if becomes == Swept::Changed && *unlisted > 0 {
                    *unlisted -= 1;
                    journal.changed.push(slot.hash(part));
                }
            }
            if becomes == Swept::Gone && journal.saves {
                let mut key = Vec::new();
                let saved = save_key(&slot.key, &mut key);
                result = std::mem::replace(&mut result, Ok(())).and(saved);
                journal.dropped.push((slot.group(part, GROUPS), key));
            }
            becomes != Swept::Gone
        });
        result.map(|()| to)
    }

    /// Gathers what has changed since the last barrier, in a run that saves it. `save` appends a value, without its parts. Those say themselves what
    /// has changed.
    pub(crate) fn gather(
        &mut self,
        id: &StepId,
        changes: &mut Changes,
        is_gone: impl Fn(&V) -> bool,
        save: impl Fn(&V, &mut Vec<u8>),
    ) where
        V: Parted,
    {
        let groups = changes.groups();
        let Some(mut to) = changes.keyed(id, form_of::<K>()) else { return };
        let note = Note::beside(id);
        for (group, key) in self.journal.dropped.drain(..) {
            to.gone(group >> (GROUPS / groups).trailing_zeros(), |bytes| {
                bytes.extend_from_slice(&key);
                Ok(())
            });
        }
        let (mut unchecked, mut gone) = (CHECKED, 0);
        let (stamp, number) = (self.stamp, self.journal.number);
        let mut part_entries = self.journal.part_entries;
        let mut put = |part: usize, slot: &mut Slot<K, V>| {
            let trace = slot.trace(part);
            let (group, key) = (slot.group(part, groups), &slot.key);
            let save_key = |bytes: &mut Vec<u8>| {
                let start = bytes.len();
                save_key(key, bytes)?;
                if unchecked == 0 {
                    return Ok(());
                }
                unchecked -= 1;
                check_key(key, &bytes[start..])
            };
            if is_gone(&slot.value) {
                gone += 1;
                to.gone(group, save_key);
            } else {
                let value = &slot.value;
                to.put(group, save_key, |bytes| save(value, bytes));
                if V::PARTS > 0 {
                    let place = |n| Place::of(number, trace, stamp.get(), n);
                    part_entries += gather_parts(&mut to, group, slot, place);
                }
            }
        };
        if self.unlisted > 0 {
            for hash in self.journal.changed.drain(..) {
                self.slots.with_hash(hash, |part, slot| {
                    if slot.stamp == stamp {
                        put(part, slot);
                        // Another key of the same hash leads here once more.
                        slot.stamp = UNCHANGED;
                    }
                });
            }
        } else {
            for (part, slots) in self.slots.parts_mut() {
                slots.filter(|slot| slot.stamp == stamp).for_each(|slot| put(part, slot));
            }
        }
        self.journal.part_entries = part_entries;
        drop(to);
        changes.has_keys(id, (self.slots.len() - gone) as u64);
        if V::PARTS > 0 {
            changes.has_part_entries(id, part_entries);
        }
        note.clear();
    }

    /// Goes through all entries, and marks them as changed.
    pub(crate) fn each_changed(&mut self, mut each: impl FnMut(&K, &mut V)) {
        // All of them: listing them would be for nothing.
        self.unlisted = 0;
        let stamp = self.stamp;
        self.slots.iter_mut().for_each(|slot| {
            slot.stamp = stamp;
            each(&slot.key, &mut slot.value);
        });
    }

    /// Goes through all entries without marking them as changed.
    pub(crate) fn each_mut(&mut self, mut each: impl FnMut(&K, &mut V)) {
        self.slots.iter_mut().for_each(|slot| each(&slot.key, &mut slot.value));
    }
}

/// Gathers what has changed of the parts of a state. Answers how many entries they have.
#[inline(never)]
fn gather_parts<K: Key, V: Parted>(
    to: &mut KeyedChanges<'_>,
    group: u32,
    slot: &mut Slot<K, V>,
    place: impl Fn(u16) -> Place,
) -> u64 {
    let (mut key, mut entries) = (Vec::new(), 0);
    if save_key(&slot.key, &mut key).is_err() {
        // It has just been saved with the state, and the mistake been told.
        return 0;
    }
    for n in 0..V::PARTS {
        if let Some(part) = slot.value.part(n) {
            entries += part.count() as u64;
            if let Some(mut to) = to.part(group, &key, n + 1, part.kind()) {
                part.gather(place(n), &mut to);
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::block::{Block, Kind};
    use crate::recovery::changes::{Buffers, StepName, StepNames};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// What happens to a table that is saved.
    #[derive(Clone, Copy, Debug)]
    enum Op {
        Add(u16),
        Touch(u16),
        Forget(u16),
        /// Goes over some slots, drops the keys that leave this rest, and changes those of the next.
        Sweep(u16, u8),
        /// Takes the state of those away that leave this rest, and touches all.
        Each(u16),
        Barrier,
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let key = || prop_oneof![0..8_u16, 0..400_u16];
        prop_oneof![
            8 => key().prop_map(Op::Add),
            2 => key().prop_map(Op::Touch),
            3 => key().prop_map(Op::Forget),
            1 => (0..3_u16, any::<u8>()).prop_map(|(rest, slots)| Op::Sweep(rest, slots)),
            1 => (0..4_u16).prop_map(Op::Each),
            1 => Just(Op::Barrier),
        ]
    }

    /// Gathers what has changed and applies it, in the order in which it is written, to what was saved before.
    fn save(table: &mut Table<u16, u32>, saved: &mut BTreeMap<u16, u32>) -> usize {
        let id = StepId::root().child("step");
        let name = StepName { number: 0, schema: 0 };
        let names = StepNames { groups: 4, names: [(id.clone(), name)].into() };
        let mut changes = Changes::new(Arc::new(names), Buffers::default());
        table.gather(
            &id,
            &mut changes,
            |v| *v == 0,
            |v, to| to.extend_from_slice(&v.to_le_bytes()),
        );
        table.end_epoch(|v| *v == 0);
        let mut entries = 0;
        for payload in &changes.payloads {
            let block = Block::decode(&payload.bytes).expect("is a block");
            let apply = |entry: crate::recovery::block::Entry<'_>| {
                entries += 1;
                let key = u16::from_le_bytes(entry.key.try_into().expect("has 2 bytes"));
                match block.head.kind {
                    Kind::Tombstone => drop(saved.remove(&key)),
                    _ => {
                        let value = entry.value.try_into().expect("has 4 bytes");
                        saved.insert(key, u32::from_le_bytes(value));
                    }
                }
                Ok::<(), ()>(())
            };
            assert_eq!(block.entries(|_| true, apply), Some(Ok(())));
        }
        entries
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn what_is_saved_at_barriers_is_what_is_there(
            mut ops in prop::collection::vec(any_op(), 0..400), spread in 1..60_u64, many in 0..400_u16,
        ) {
            // A poor hash: keys share it, and all of it but for the group.
            let hash = |key: u16| ((u64::from(key) % spread) << 60) | (u64::from(key) % spread);
            let mut table = Table::<u16, u32>::new();
            table.saves();
            let mut saved = BTreeMap::new();
            ops.splice(0..0, (0..many).map(Op::Add).chain([Op::Barrier]));
            ops.extend([Op::Barrier, Op::Barrier]);
            let (mut last, mut swept) = (0, None);
            for op in ops {
                match op {
                    Op::Add(key) => *table.find_or_insert(hash(key), &Lent(&key), || 0).state += 1,
                    Op::Touch(key) => drop(table.find_mut(hash(key), &key)),
                    Op::Forget(key) => {
                        *table.find_or_insert(hash(key), &Lent(&key), || 0).state = 0;
                        table.forget(hash(key));
                    }
                    Op::Sweep(rest, slots) => {
                        let from = swept.unwrap_or_default();
                        swept = table.sweep_some(from, usize::from(slots), |_, value| match *value % 3 {
                            _ if *value == 0 => Swept::Same,
                            its if u32::from(rest) == its => Swept::Gone,
                            its if u32::from(rest + 1) == its => {
                                *value += 1;
                                Swept::Changed
                            }
                            _ => Swept::Same,
                        }).expect("keys can be encoded");
                    }
                    Op::Each(rest) => {
                        let mut gone = Vec::new();
                        table.each_changed(|key, value| {
                            if key % 3 == rest {
                                *value = 0;
                                gone.push(hash(*key));
                            }
                        });
                        gone.into_iter().for_each(|hash| table.forget(hash));
                    }
                    Op::Barrier => {
                        last = save(&mut table, &mut saved);
                        let there: BTreeMap<_, _> = table.iter().map(|(k, v)| (*k, *v)).collect();
                        prop_assert_eq!(&there, &saved);
                    }
                }
            }
            prop_assert_eq!(last, 0, "nothing had changed");
        }
    }

    fn add(table: &mut Table<String, u32>, key: &str, n: u32) {
        // A poor hash on purpose: many keys share it.
        let hash = (key.len() as u64) << 57 | key.len() as u64;
        *table.find_or_insert(hash, &Lent(&key.to_owned()), || 0).state += n;
        if n == 0 {
            *table.find_or_insert(hash, &Lent(&key.to_owned()), || 0).state = 0;
            table.forget(hash);
        }
    }

    #[test]
    fn it_is_a_map_whose_changes_are_known() {
        let mut table = Table::new();
        let mut model = BTreeMap::new();
        for n in 0..500_u32 {
            let key = format!("{}{}", "k".repeat((n % 7) as usize), n % 50);
            add(&mut table, &key, 1);
            *model.entry(key).or_insert(0) += 1;
        }
        let all: BTreeMap<_, _> = table.iter().map(|(k, v)| (k.clone(), *v)).collect();
        assert_eq!(all, model);
        assert_eq!(table.changed().count(), model.len());
        table.end_epoch(|v| *v == 0);
        assert_eq!(table.changed().count(), 0);
        add(&mut table, "k1", 5);
        assert_eq!(table.changed().map(|(k, _)| k.as_str()).collect::<Vec<_>>(), ["k1"]);
    }

    #[test]
    fn forgotten_keys_go_at_the_end_of_the_epoch_unless_they_came_back() {
        let mut table = Table::new();
        add(&mut table, "aa", 1);
        add(&mut table, "bb", 1);
        table.end_epoch(|v| *v == 0);
        add(&mut table, "aa", 0);
        add(&mut table, "bb", 0);
        add(&mut table, "bb", 3);
        assert_eq!(table.len(), 2);
        table.end_epoch(|v| *v == 0);
        assert_eq!(table.iter().map(|(k, v)| (k.as_str(), *v)).collect::<Vec<_>>(), [("bb", 3)]);
    }

    #[test]
    fn stamps_survive_their_wrap_around() {
        let mut table = Table::new();
        table.stamp = NonZeroU32::MAX;
        add(&mut table, "a", 1);
        table.end_epoch(|_| false);
        assert_eq!((table.stamp, table.changed().count()), (FIRST, 0));
    }
}
