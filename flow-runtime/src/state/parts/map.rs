//! [`MapState`]: a map in a key's state, of which only the entries are saved that have changed.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::collections::btree_map::{self, Entry};
use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::ops::{Bound, RangeBounds};

use crate::recovery::part_changes::PartChanges;
use crate::state::older::differs;
use crate::state::parts::{Part, PartKind, Place, few, whole};
use crate::state::saved::{load_length, save_length, values_of};
use crate::state::{LoadError, Reader, Saved, Schema, Shape, State};

/// A map in the state of a key, of which only the entries that have changed are written to the recovery log.
///
/// A `BTreeMap` in a state is written as a whole whenever anything in the key's state changes. A `MapState` with 10,000 entries, of which one has
/// changed since the last epoch, costs one entry. Apart from that it is like a `BTreeMap`: its entries lie in the order of their keys, which is the
/// same after a restart.
///
/// It is the field of a [`#[stateful]`](macro@crate::stateful) struct, or of a struct that is itself such a field. Inside of a collection, an option, a tuple or
/// an enum it does not compile: there a `BTreeMap` is saved with the value that it is in.
///
/// What is handed out as `&mut V` counts as changed. A map that is replaced by another one is written as a whole.
///
/// ```
/// use flow_runtime::prelude::*;
///
/// #[stateful]
/// #[derive(Default)]
/// struct Basket {
///     owner: String,
///     items: MapState<String, u32>,
/// }
///
/// #[stateful_map]
/// fn add(basket: &mut Basket, owner: &str, item: String) -> u32 {
///     if basket.owner.is_empty() {
///         basket.owner = owner.to_owned();
///     }
///     let count = basket.items.get_or_insert_with(item, || 0);
///     *count += 1;
///     *count
/// }
///
/// let mut step = add::harness();
/// step.item("ada", "tea".to_owned());
/// step.item("ada", "rye".to_owned());
/// assert_eq!(step.epoch(), 3, "the basket, and two items");
/// step.item("ada", "tea".to_owned());
/// assert_eq!(step.epoch(), 2, "the basket, and one item");
///
/// step.crash_and_restore();
/// let basket = step.state("ada").expect("it was saved");
/// assert_eq!(basket.items.iter().map(|(item, n)| (item.as_str(), *n)).collect::<Vec<_>>(), [("rye", 1), ("tea", 2)]);
/// ```
pub struct MapState<K, V> {
    entries: BTreeMap<K, Held<V>>,
    /// Where it lay when it was lent out. Unknown, all of it is written.
    place: Option<Place>,
    /// Of the entries that the log has in this place, the keys of those that have been removed.
    removed: Vec<K>,
    /// The keys of the others that are not in the log as they are now; `None` where they are found by their marks. Before the map has
    /// been saved for the first time that is so: in a run without a log nothing is listed, however long it is.
    touched: Option<Vec<K>>,
}

/// A value, and what the log has of it.
struct Held<V> {
    value: V,
    mark: Mark,
}

/// What the log has of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Nothing.
    New,
    /// What it was before.
    Changed,
    /// What it is.
    Saved,
}

impl<K, V> MapState<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        MapState { entries: BTreeMap::new(), place: None, removed: Vec::new(), touched: None }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter(self.entries.iter())
    }

    /// The keys, in their order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + ExactSizeIterator {
        self.entries.keys()
    }

    /// The values, in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + ExactSizeIterator {
        self.entries.values().map(|held| &held.value)
    }

    /// All entries, in the order of their keys. Those that are looked at count as changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&K, &mut V)> {
        self.touched = None;
        self.entries.iter_mut().map(|(key, held)| (key, held.change()))
    }

    /// Removes all entries. In the log that is one entry, however many there were.
    pub fn clear(&mut self) {
        if !self.entries.is_empty() || !self.removed.is_empty() {
            *self = MapState::new();
        }
    }
}

impl<K: Ord + Clone, V> MapState<K, V> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|held| &held.value)
    }

    /// Whether there is a value of this key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.entries.contains_key(key)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let few = few(self.len());
        let only = (Bound::Included(key), Bound::Included(key));
        let (key, held) = self.entries.range_mut::<Q, _>(only).next()?;
        if held.mark == Mark::Saved {
            list(&mut self.touched, key, few);
        }
        Some(held.change())
    }

    /// Puts a value under a key. Answers the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let few = few(self.len());
        match self.entries.entry(key) {
            Entry::Occupied(mut there) => {
                if there.get().mark == Mark::Saved {
                    list(&mut self.touched, there.key(), few);
                }
                Some(mem::replace(there.get_mut().change(), value))
            }
            Entry::Vacant(none) => {
                list(&mut self.touched, none.key(), few);
                none.insert(Held { value, mark: Mark::New });
                None
            }
        }
    }

    /// The value of a key, to be changed; where there is none, the one that `make` makes.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let few = few(self.len());
        match self.entries.entry(key) {
            Entry::Occupied(there) => {
                if there.get().mark == Mark::Saved {
                    list(&mut self.touched, there.key(), few);
                }
                there.into_mut().change()
            }
            Entry::Vacant(none) => {
                list(&mut self.touched, none.key(), few);
                &mut none.insert(Held { value: make(), mark: Mark::New }).value
            }
        }
    }

    /// The same with the default value.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.get_or_insert_with(key, V::default)
    }

    /// Removes a key. Answers its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (key, held) = self.entries.remove_entry(key)?;
        Some(self.gone(key, held).1)
    }

    /// Removes the entry with the smallest key.
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        let (key, held) = self.entries.pop_first()?;
        Some(self.gone(key, held))
    }

    /// The entry with the smallest key.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.entries.first_key_value().map(|(key, held)| (key, &held.value))
    }

    /// The entry with the largest key.
    pub fn last(&self) -> Option<(&K, &V)> {
        self.entries.last_key_value().map(|(key, held)| (key, &held.value))
    }

    /// The entries with these keys, in their order.
    ///
    /// # Panics
    /// When the range ends before it begins, or begins and ends at one key and excludes it twice.
    pub fn range<Q: Ord + ?Sized>(
        &self,
        keys: impl RangeBounds<Q>,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)>
    where
        K: Borrow<Q>,
    {
        self.entries.range(keys).map(|(key, held)| (key, &held.value))
    }

    /// Removes the entries for which `keep` says false. Those that stay do not count as changed.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let gone = self.entries.extract_if(.., |key, held| !keep(key, &held.value));
        let known = gone.filter(|(_, held)| held.mark != Mark::New);
        self.removed.extend(known.map(|(key, _)| key));
    }

    /// Notes that an entry was removed: a key if the log has it, and it is handed on.
    fn gone(&mut self, key: K, held: Held<V>) -> (K, V) {
        if held.mark != Mark::New {
            self.removed.push(key.clone());
        }
        (key, held.value)
    }
}

#[cfg(test)]
impl<K, V> MapState<K, V> {
    /// How many keys it remembers beside its entries.
    pub(super) fn remembers(&self) -> usize {
        self.removed.capacity() + self.touched.as_ref().map_or(0, Vec::capacity)
    }
}

/// Lists a key, unless so many are listed that it is cheaper to look at all.
fn list<K: Clone>(touched: &mut Option<Vec<K>>, key: &K, few: usize) {
    if let Some(listed) = touched {
        if listed.len() < few {
            listed.push(key.clone());
        } else {
            *touched = None;
        }
    }
}

impl<V> Held<V> {
    fn change(&mut self) -> &mut V {
        if self.mark == Mark::Saved {
            self.mark = Mark::Changed;
        }
        &mut self.value
    }
}

impl<K: Saved + Ord + Clone + 'static, V: Saved + 'static> Part for MapState<K, V> {
    fn kind(&self) -> PartKind {
        PartKind::Map
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn lend(&mut self, place: Place) {
        self.place = Some(place);
    }

    fn gather(&mut self, place: Place, to: &mut PartChanges<'_>) {
        let mut bytes = Vec::new();
        let mut put = |key: &K, held: &mut Held<V>| {
            bytes.clear();
            key.save(&mut bytes);
            let middle = bytes.len();
            held.value.save(&mut bytes);
            let (key, value) = bytes.split_at(middle);
            to.put(key, value);
            held.mark = Mark::Saved;
        };
        let is_here = self.place.take() == Some(place);
        let removed = mem::take(&mut self.removed);
        let touched = self.touched.replace(Vec::new());
        // Where more are gone than are left it is cheaper to begin anew.
        if !is_here || removed.len() > self.entries.len() {
            self.entries.iter_mut().for_each(|(key, held)| put(key, held));
            return to.clear();
        }
        match touched {
            Some(touched) => {
                for key in &touched {
                    let only = (Bound::Included(key), Bound::Included(key));
                    let found = self.entries.range_mut::<K, _>(only).next();
                    // One that was listed twice has been put.
                    if let Some((key, held)) = found.filter(|(_, held)| held.mark != Mark::Saved) {
                        put(key, held);
                    }
                }
            }
            None => {
                let changed = self.entries.iter_mut().filter(|(_, held)| held.mark != Mark::Saved);
                changed.for_each(|(key, held)| put(key, held));
            }
        }
        for key in removed {
            bytes.clear();
            key.save(&mut bytes);
            to.gone(&bytes);
        }
    }

    fn restore(&mut self, sub: &[u8], value: Option<&[u8]>) -> Result<(), LoadError> {
        let key = K::load_all(sub).map_err(|error| error.within("a key of a map"))?;
        let Some(value) = value else {
            self.entries.remove(&key);
            return Ok(());
        };
        let value = V::load_all(value).map_err(|error| error.within("a value of a map"))?;
        if self.entries.is_empty() {
            self.touched = Some(Vec::new());
        }
        self.entries.insert(key, Held { value, mark: Mark::Saved });
        Ok(())
    }

    fn restore_cleared(&mut self) {
        *self = MapState::new();
    }

    fn restored(&mut self) -> Result<(), LoadError> {
        Ok(())
    }

    fn trade(&mut self, other: &mut dyn Part) {
        if let Some(other) = (other as &mut dyn std::any::Any).downcast_mut::<Self>() {
            mem::swap(self, other);
        }
    }
}

/// As a whole it is saved as a `BTreeMap` is: where it has no slot, and in front of its entries, as an empty one.
impl<K: Saved + Ord + Clone, V: Saved> Saved for MapState<K, V> {
    const SCHEMA: &'static Schema = &Schema::MapState(whole::<K>(), whole::<V>());
    const PARTS: u16 = 1;
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        for (key, held) in &self.entries {
            key.save(to);
            held.value.save(to);
        }
    }
    fn save_own(&self, to: &mut Vec<u8>) {
        save_length(0, to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let length = load_length(from)?;
        (0..length).map(|_| Ok((K::load(from)?, V::load(from)?))).collect()
    }
    fn part(&mut self, n: u16) -> Option<&mut dyn Part>
    where
        Self: 'static,
    {
        (n == 0).then_some(self as &mut dyn Part)
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        let Shape::MapState(key, value) = was else { return Err(differs::<Self>(was)) };
        let value = values_of::<K, V>(key, value)?;
        Ok(Reader::new(move |from| {
            let length = load_length(from)?;
            (0..length).map(|_| Ok((K::load(from)?, value.read(from)?))).collect()
        }))
    }
}
impl<K: Saved + Ord + Clone + 'static, V: Saved + 'static> State for MapState<K, V> {}

impl<K, V> Default for MapState<K, V> {
    fn default() -> Self {
        MapState::new()
    }
}

/// The copy is another map, of which the log knows nothing: in the place of this one it is written as a whole.
impl<K: Ord + Clone, V: Clone> Clone for MapState<K, V> {
    fn clone(&self) -> Self {
        self.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for MapState<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for MapState<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other)
    }
}
impl<K: Eq, V: Eq> Eq for MapState<K, V> {}

impl<K: Ord, V> FromIterator<(K, V)> for MapState<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let new = |(key, value)| (key, Held { value, mark: Mark::New });
        let entries = entries.into_iter().map(new).collect();
        MapState { entries, ..MapState::new() }
    }
}

impl<K: Ord + Clone, V> Extend<(K, V)> for MapState<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        entries.into_iter().for_each(|(key, value)| drop(self.insert(key, value)));
    }
}

impl<K, V> IntoIterator for MapState<K, V> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;
    fn into_iter(self) -> IntoIter<K, V> {
        IntoIter(self.entries.into_iter())
    }
}

impl<'a, K, V> IntoIterator for &'a MapState<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;
    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

/// The entries of a [`MapState`], in the order of their keys.
pub struct Iter<'a, K, V>(btree_map::Iter<'a, K, Held<V>>);

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, held)| (key, &held.value))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, held)| (key, &held.value))
    }
}
impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(Iter(self.0.clone())).finish()
    }
}

/// The entries of a [`MapState`], taken out of it, in the order of their keys.
pub struct IntoIter<K, V>(btree_map::IntoIter<K, Held<V>>);

impl<K, V> Iterator for IntoIter<K, V> {
    type Item = (K, V);
    fn next(&mut self) -> Option<(K, V)> {
        self.0.next().map(|(key, held)| (key, held.value))
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
impl<K, V> ExactSizeIterator for IntoIter<K, V> {}
impl<K, V> FusedIterator for IntoIter<K, V> {}

impl<K, V> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.0.len()).finish()
    }
}
