//! [`ListState`]: a list in a key's state, of which only the elements are saved that have changed.

use std::collections::{BTreeMap, VecDeque, vec_deque};
use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::ops::Range;

use crate::recovery::part_changes::PartChanges;
use crate::state::older::differs;
use crate::state::parts::{Part, PartKind, Place, few, whole};
use crate::state::saved::{load_length, save_length};
use crate::state::{LoadError, Reader, Saved, Schema, Shape, State};

/// The number of a list's first element. In the middle, so that there is room on both sides.
const FIRST: u64 = 1 << 63;

/// So many numbers at both ends are never come to, and so there is always one that follows.
const ROOM: u64 = 1 << 62;

/// A list in the state of a key, of which only the elements that have changed are written to the recovery log.
///
/// It is like a `VecDeque` that grows and shrinks at its ends: there is no way to insert or remove in the middle, since all elements behind would then
/// be others. Where it may stand is said at [`MapState`](crate::state::MapState).
///
/// What is handed out as `&mut V` counts as changed. A list that is replaced by another one is written as a whole.
///
/// ```
/// use flow_runtime::prelude::*;
///
/// #[stateful]
/// #[derive(Default)]
/// struct Sensor {
///     last: ListState<i32>,
/// }
///
/// /// The sum of a sensor's last 1,000 values. At each epoch the new ones are written, and that old ones are gone.
/// #[stateful_map]
/// fn sum(sensor: &mut Sensor, _name: &str, value: i32) -> i32 {
///     sensor.last.push_back(value);
///     if sensor.last.len() > 1000 {
///         sensor.last.pop_front();
///     }
///     sensor.last.iter().sum()
/// }
///
/// let mut step = sum::harness();
/// for value in 0..1000 {
///     step.item("door", value);
/// }
/// assert_eq!(step.epoch(), 1001, "the sensor, and its values");
/// step.item("door", 1000);
/// assert_eq!(step.epoch(), 3, "the sensor, the new value, and that the oldest is gone");
///
/// step.crash_and_restore();
/// let sensor = step.state("door").expect("it was saved");
/// assert_eq!((sensor.last.len(), sensor.last.front(), sensor.last.back()), (1000, Some(&1), Some(&1000)));
/// ```
pub struct ListState<V> {
    elements: VecDeque<Held<V>>,
    /// The number of the first element. The others follow; what an element is called does not change.
    first: u64,
    /// The numbers of the elements that the log has in this place.
    saved: Range<u64>,
    /// Where it lay when it was lent out. Unknown, all of it is written.
    place: Option<Place>,
    /// Of the elements that the log has, the numbers of those that are others now; `None` where they are found by their marks.
    touched: Option<Vec<u64>>,
    /// What has been taken over, by number, as long as there may be more.
    restored: Option<BTreeMap<u64, V>>,
}

struct Held<V> {
    value: V,
    /// It is not in the log as it is now.
    changed: bool,
}

impl<V> ListState<V> {
    /// An empty list.
    pub const fn new() -> Self {
        ListState {
            elements: VecDeque::new(),
            first: FIRST,
            saved: FIRST..FIRST,
            place: None,
            touched: None,
            restored: None,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The element at this index, the first one's being 0.
    pub fn get(&self, index: usize) -> Option<&V> {
        self.elements.get(index).map(|held| &held.value)
    }

    /// The element at this index, to be changed.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut V> {
        let held = self.elements.get_mut(index)?;
        if !held.changed {
            held.changed = true;
            list(&mut self.touched, self.first + index as u64, self.elements.len());
        }
        self.elements.get_mut(index).map(|held| &mut held.value)
    }

    /// The first element.
    pub fn front(&self) -> Option<&V> {
        self.get(0)
    }

    /// The first element, to be changed.
    pub fn front_mut(&mut self) -> Option<&mut V> {
        self.get_mut(0)
    }

    /// The last element.
    pub fn back(&self) -> Option<&V> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The last element, to be changed.
    pub fn back_mut(&mut self) -> Option<&mut V> {
        self.get_mut(self.len().checked_sub(1)?)
    }

    /// Adds an element behind the last one.
    pub fn push_back(&mut self, value: V) {
        self.elements.push_back(Held { value, changed: true });
        self.note(self.end() - 1);
    }

    /// Adds an element in front of the first one.
    pub fn push_front(&mut self, value: V) {
        self.elements.push_front(Held { value, changed: true });
        self.first -= 1;
        self.note(self.first);
    }

    /// Takes the first element.
    pub fn pop_front(&mut self) -> Option<V> {
        let held = self.elements.pop_front()?;
        self.first += 1;
        Some(held.value)
    }

    /// Takes the last element.
    pub fn pop_back(&mut self) -> Option<V> {
        self.elements.pop_back().map(|held| held.value)
    }

    /// Keeps the first `length` elements.
    pub fn truncate(&mut self, length: usize) {
        self.elements.truncate(length);
    }

    /// Removes all elements. In the log that is one entry, however many there were.
    pub fn clear(&mut self) {
        if !self.elements.is_empty() || !self.saved.is_empty() {
            *self = ListState::new();
        }
    }

    /// The elements, from the first to the last.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter(self.elements.iter())
    }

    /// The elements, from the first to the last. Those that are looked at count as changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut V> + ExactSizeIterator {
        self.touched = None;
        self.elements.iter_mut().map(|held| {
            held.changed = true;
            &mut held.value
        })
    }

    /// The number behind the last element's.
    fn end(&self) -> u64 {
        self.first + self.elements.len() as u64
    }

    /// An element has come under a number that the log may have.
    fn note(&mut self, number: u64) {
        if self.saved.contains(&number) {
            list(&mut self.touched, number, self.elements.len());
        }
    }

    /// How many of the elements are gone that the log has.
    fn gone(&self) -> u64 {
        let left = self.end().min(self.saved.end).saturating_sub(self.first.max(self.saved.start));
        self.saved.end - self.saved.start - left
    }

    /// The numbers of the elements that the log does not have as they are.
    fn changed(&mut self) -> Vec<u64> {
        let (first, end, saved) = (self.first, self.end(), self.saved.clone());
        let Some(mut touched) = self.touched.take() else {
            let all = (first..).zip(&self.elements);
            return all.filter(|(_, held)| held.changed).map(|(number, _)| number).collect();
        };
        touched.retain(|number| (first..end).contains(number));
        touched.sort_unstable();
        touched.dedup();
        touched.extend(first..end.min(saved.start));
        touched.extend(first.max(saved.end)..end);
        touched
    }
}

#[cfg(test)]
impl<V> ListState<V> {
    /// How many numbers it remembers beside its elements.
    pub(super) fn remembers(&self) -> usize {
        self.touched.as_ref().map_or(0, Vec::capacity)
    }
}

/// Lists an element, unless so many are listed that it is cheaper to look at all.
fn list(touched: &mut Option<Vec<u64>>, number: u64, elements: usize) {
    if let Some(listed) = touched {
        if listed.len() < few(elements) {
            listed.push(number);
        } else {
            *touched = None;
        }
    }
}

impl<V: Saved + 'static> Part for ListState<V> {
    fn kind(&self) -> PartKind {
        PartKind::List
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn lend(&mut self, place: Place) {
        self.place = Some(place);
    }

    fn gather(&mut self, place: Place, to: &mut PartChanges<'_>) {
        let is_here = self.place.take() == Some(place);
        let (first, end, saved) = (self.first, self.end(), self.saved.clone());
        let changed = self.changed();
        let mut bytes = Vec::new();
        let mut put = |number: u64, held: &mut Held<V>| {
            bytes.clear();
            held.value.save(&mut bytes);
            to.put(&sub_key(number), &bytes);
            held.changed = false;
        };
        // Where more are gone than are left it is cheaper to begin anew.
        if !is_here || self.gone() > self.elements.len() as u64 {
            (first..).zip(&mut self.elements).for_each(|(number, held)| put(number, held));
            to.clear();
        } else {
            for number in changed {
                if let Some(held) = self.elements.get_mut((number - first) as usize) {
                    put(number, held);
                }
            }
            let before = saved.start..saved.end.min(first);
            let behind = saved.start.max(end).max(before.end)..saved.end;
            before.chain(behind).for_each(|number| to.gone(&sub_key(number)));
        }
        self.saved = first..end;
        self.touched = Some(Vec::new());
    }

    fn restore(&mut self, sub: &[u8], value: Option<&[u8]>) -> Result<(), LoadError> {
        let bytes = sub.try_into().map_err(|_| {
            let what = "the number of an element of a list takes 8 bytes, and here it takes";
            LoadError::new(format!("{what} {}", sub.len()))
        })?;
        let number = u64::from_be_bytes(bytes);
        let restored = self.restored.get_or_insert_default();
        match value {
            None => drop(restored.remove(&number)),
            Some(value) => {
                let value =
                    V::load_all(value).map_err(|error| error.within("an element of a list"))?;
                restored.insert(number, value);
            }
        }
        Ok(())
    }

    fn restore_cleared(&mut self) {
        *self = ListState::new();
    }

    fn restored(&mut self) -> Result<(), LoadError> {
        let Some(restored) = self.restored.take() else { return Ok(()) };
        let Some((first, last)) = restored.keys().next().zip(restored.keys().next_back()) else {
            return Ok(());
        };
        let (first, last) = (*first, *last);
        let missing = last - first - (restored.len() as u64 - 1);
        if missing > 0 {
            return Err(LoadError::new(format!("{missing} elements of a list are missing")));
        }
        if first < ROOM || last > u64::MAX - ROOM {
            return Err(LoadError::new("an element of a list has a number that no list comes to"));
        }
        if self.elements.is_empty() {
            let saved = |value| Held { value, changed: false };
            self.elements = restored.into_values().map(saved).collect();
            (self.first, self.saved) = (first, first..last + 1);
            self.touched = Some(Vec::new());
        }
        Ok(())
    }

    fn trade(&mut self, other: &mut dyn Part) {
        if let Some(other) = (other as &mut dyn std::any::Any).downcast_mut::<Self>() {
            mem::swap(self, other);
        }
    }
}

/// An element's number, so that the order of bytes is that of the elements.
fn sub_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// As a whole it is saved as a `Vec` is: where it has no slot, and in front of its elements, as an empty one.
impl<V: Saved> Saved for ListState<V> {
    const SCHEMA: &'static Schema = &Schema::ListState(whole::<V>());
    const PARTS: u16 = 1;
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        self.iter().for_each(|element| element.save(to));
    }
    fn save_own(&self, to: &mut Vec<u8>) {
        save_length(0, to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let length = load_length(from)?;
        (0..length).map(|_| V::load(from)).collect()
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
        let Shape::ListState(element) = was else { return Err(differs::<Self>(was)) };
        let element = Reader::<V>::of(element)?;
        Ok(Reader::new(move |from| {
            let length = load_length(from)?;
            (0..length).map(|_| element.read(from)).collect()
        }))
    }
}
impl<V: Saved + 'static> State for ListState<V> {}

impl<V> Default for ListState<V> {
    fn default() -> Self {
        ListState::new()
    }
}

/// The copy is another list, of which the log knows nothing: in the place of this one it is written as a whole.
impl<V: Clone> Clone for ListState<V> {
    fn clone(&self) -> Self {
        self.iter().cloned().collect()
    }
}

impl<V: fmt::Debug> fmt::Debug for ListState<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<V: PartialEq> PartialEq for ListState<V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other)
    }
}
impl<V: Eq> Eq for ListState<V> {}

impl<V> FromIterator<V> for ListState<V> {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        let new = |value| Held { value, changed: true };
        ListState { elements: values.into_iter().map(new).collect(), ..ListState::new() }
    }
}

impl<V> Extend<V> for ListState<V> {
    fn extend<I: IntoIterator<Item = V>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push_back(value));
    }
}

impl<V> IntoIterator for ListState<V> {
    type Item = V;
    type IntoIter = IntoIter<V>;
    fn into_iter(self) -> IntoIter<V> {
        IntoIter(self.elements.into_iter())
    }
}

impl<'a, V> IntoIterator for &'a ListState<V> {
    type Item = &'a V;
    type IntoIter = Iter<'a, V>;
    fn into_iter(self) -> Iter<'a, V> {
        self.iter()
    }
}

/// The elements of a [`ListState`], from the first to the last.
pub struct Iter<'a, V>(vec_deque::Iter<'a, Held<V>>);

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = &'a V;
    fn next(&mut self) -> Option<&'a V> {
        self.0.next().map(|held| &held.value)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
impl<V> DoubleEndedIterator for Iter<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|held| &held.value)
    }
}
impl<V> ExactSizeIterator for Iter<'_, V> {}
impl<V> FusedIterator for Iter<'_, V> {}

impl<V: fmt::Debug> fmt::Debug for Iter<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(Iter(self.0.clone())).finish()
    }
}

/// The elements of a [`ListState`], taken out of it.
pub struct IntoIter<V>(vec_deque::IntoIter<Held<V>>);

impl<V> Iterator for IntoIter<V> {
    type Item = V;
    fn next(&mut self) -> Option<V> {
        self.0.next().map(|held| held.value)
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}
impl<V> DoubleEndedIterator for IntoIter<V> {
    fn next_back(&mut self) -> Option<V> {
        self.0.next_back().map(|held| held.value)
    }
}
impl<V> ExactSizeIterator for IntoIter<V> {}
impl<V> FusedIterator for IntoIter<V> {}

impl<V> fmt::Debug for IntoIter<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.0.len()).finish()
    }
}
