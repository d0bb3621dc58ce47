//! The table of a stateful step: one entry per key, found by the hash that the item brought along.

use std::fmt;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::consumer::KeyInItem;
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

/// One key's entry. The hash stands beside the key, so growing the table computes none and a look-up compares
/// keys only where the hashes agree.
struct Slot<K, V> {
    hash: u64,
    /// The epoch count at which the entry was last handed out, and so may have changed.
    stamp: u32,
    key: K,
    value: V,
}

/// An entry, lent to the step.
#[derive(Debug)]
pub struct EntryMut<'a, K, V> {
    /// The key.
    pub key: &'a K,
    /// What is kept for it.
    pub state: &'a mut V,
}

/// What a step keeps per key.
pub struct Table<K, V> {
    slots: HashTable<Slot<K, V>>,
    /// Counts barriers; an entry with this stamp has changed since the last one.
    stamp: u32,
    /// Hashes of keys whose state was taken away since the last barrier.
    forgotten: Vec<u64>,
}

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
        Table { slots: HashTable::new(), stamp: 1, forgotten: Vec::new() }
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Finds the entry of a key, or makes one, and marks it as changed.
    #[inline(always)]
    pub fn find_or_insert(
        &mut self,
        hash: u64,
        key: &impl Lookup<K>,
        fresh: impl FnOnce() -> V,
    ) -> EntryMut<'_, K, V> {
        let found =
            self.slots.entry(hash, |slot| slot.hash == hash && key.is(&slot.key), |slot| slot.hash);
        let slot = match found {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(place) => place
                .insert(Slot { hash, stamp: self.stamp, key: key.to_key(), value: fresh() })
                .into_mut(),
        };
        slot.stamp = self.stamp;
        EntryMut { key: &slot.key, state: &mut slot.value }
    }

    /// The state of a key, if there is any, marked as changed.
    pub fn find_mut(&mut self, hash: u64, key: &K) -> Option<&mut V>
    where
        K: Eq,
    {
        let slot = self.slots.find_mut(hash, |slot| slot.hash == hash && slot.key == *key)?;
        slot.stamp = self.stamp;
        Some(&mut slot.value)
    }

    /// Drops the entries for which `keep` says false.
    pub fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        self.slots.retain(|slot| keep(&slot.key, &slot.value));
    }

    /// Remembers that the state of a key with this hash was taken away.
    #[cold]
    pub fn forget(&mut self, hash: u64) {
        self.forgotten.push(hash);
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
        for hash in self.forgotten.drain(..) {
            // A key that was forgotten, came back and is still here is not gone.
            while let Ok(slot) =
                self.slots.find_entry(hash, |slot| slot.hash == hash && is_gone(&slot.value))
            {
                slot.remove();
            }
        }
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            // Four billion epochs later: no entry may look changed by accident.
            self.slots.iter_mut().for_each(|slot| slot.stamp = 0);
            self.stamp = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

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
        table.stamp = u32::MAX;
        add(&mut table, "a", 1);
        table.end_epoch(|_| false);
        assert_eq!((table.stamp, table.changed().count()), (1, 0));
    }
}
