//! Where the entries of a table lie: open addressing, probed line by line.
//!
//! A table is bound by memory, not by instructions: with a million keys every look-up misses the cache. So an entry is one
//! slot that is found without looking anywhere else: no byte of control beside it, no list of indices in front. A slot takes
//! eight bytes more than key and value.
//!
//! The slots lie in [`PARTS`] parts, by the top bits of the key group. Each grows by itself, so no single push moves the
//! whole table, growing needs little memory beside the table's own, and going through all slots meets the key groups in order: what is
//! gathered for the log and what is loaded from it stays in the cache.
//!
//! What is kept of a key's hash (its bits are dealt out in [`state::hash`](crate::state)):
//!
//! ```text
//! hash   .. 56 | part 48..56 | 40..48 | .. | 24 bits |       the part is known by where a slot lies
//! tag                        | 40..48      | 24 bits |       32 bits; the low ones say where probing begins
//! ```
//!
//! Part and tag tell the key group, so neither growing nor gathering hashes a key again.

use std::mem;
use std::num::NonZeroU32;

/// The number of parts. As many as a log has key groups by default; a worker uses those of its own groups.
pub(super) const PARTS: usize = 256;

/// The smallest part that has any slots.
const LEAST: usize = 8;

/// The stamp of an entry that has not changed in this run.
pub(super) const UNCHANGED: NonZeroU32 = NonZeroU32::MIN;

/// One entry. What is looked at first stands in front.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Slot<K, V> {
    tag: u32,
    /// The epoch count at which the entry was last handed out, and so may have changed.
    pub(super) stamp: NonZeroU32,
    pub(super) key: K,
    pub(super) value: V,
}

/// The part in which a hash is looked for.
#[inline(always)]
fn part_of(hash: u64) -> usize {
    usize::from((hash >> 48) as u8)
}

#[inline(always)]
fn tag_of(hash: u64) -> u32 {
    (hash as u32 & 0x00ff_ffff) | ((hash >> 40) as u32) << 24
}

/// What a slot knows of its key's hash.
#[inline(always)]
pub(super) fn trace_of(hash: u64) -> u64 {
    (part_of(hash) as u64) << 32 | u64::from(tag_of(hash))
}

impl<K, V> Slot<K, V> {
    /// What is known of the key's hash, of a slot in this part.
    #[inline(always)]
    pub(super) fn trace(&self, part: usize) -> u64 {
        (part as u64) << 32 | u64::from(self.tag)
    }

    /// The key group, among `groups`, of a slot in this part.
    #[inline(always)]
    pub(super) fn group(&self, part: usize, groups: u32) -> u32 {
        ((part as u32) << 8 | self.tag >> 24) >> (16 - groups.trailing_zeros())
    }
}

impl<K, V> Slot<K, V> {
    /// What is known of the hash of a slot in this part: all that it takes to find it.
    pub(super) fn hash(&self, part: usize) -> u64 {
        (part as u64) << 48 | u64::from(self.tag >> 24) << 40 | u64::from(self.tag & 0x00ff_ffff)
    }
}

/// A place among all slots, from which a sweep goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SweptTo {
    part: usize,
    at: usize,
}

/// An entry that was found, in its place.
pub(super) struct InPlace<'a, K, V> {
    part: &'a mut Part<K, V>,
    at: usize,
    len: &'a mut usize,
}

impl<K, V> InPlace<'_, K, V> {
    #[inline(always)]
    pub(super) fn slot(&mut self) -> &mut Slot<K, V> {
        self.part.slots[self.at].as_mut().expect("it was found there")
    }

    pub(super) fn remove(self) {
        self.part.remove(self.at);
        *self.len -= 1;
    }
}

/// All slots.
#[derive(Debug)]
pub(super) struct Slots<K, V> {
    parts: Box<[Part<K, V>; PARTS]>,
    len: usize,
    /// The number of slots, vacant ones included.
    size: usize,
}

/// The slots of some key groups. Their number is a power of two, or 0.
#[derive(Debug)]
struct Part<K, V> {
    slots: Box<[Option<Slot<K, V>>]>,
    /// How many more entries it takes before it must grow.
    room: usize,
}

impl<K, V> Part<K, V> {
    /// How many entries so many slots take. Four in five, as long probes cost less than memory that is not used; never
    /// all, since a vacant slot ends a probe.
    fn takes(size: usize) -> usize {
        size - size.div_ceil(5)
    }

    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    #[inline(always)]
    fn home(&self, tag: u32) -> usize {
        tag as usize & self.slots.len().wrapping_sub(1)
    }

    /// The slot that is sought, or the vacant one where it would be. The part has slots.
    #[inline(always)]
    fn seek(&self, tag: u32, is: impl Fn(&K) -> bool) -> usize {
        let mut at = self.home(tag);
        while let Some(slot) = &self.slots[at] {
            if slot.tag == tag && is(&slot.key) {
                break;
            }
            at = self.after(at);
        }
        at
    }

    /// Makes room, and says by how many slots it has grown.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) -> usize {
        let before = self.slots.len();
        self.resize((before * 2).max(LEAST));
        self.slots.len() - before
    }

    fn resize(&mut self, size: usize) {
        let mut slots = Vec::new();
        slots.resize_with(size, || None);
        let old = mem::replace(&mut self.slots, slots.into_boxed_slice());
        self.room = Self::takes(size);
        for slot in old.into_vec().into_iter().flatten() {
            let at = self.seek(slot.tag, |_| false);
            self.slots[at] = Some(slot);
            self.room -= 1;
        }
    }

    /// Empties a slot, and closes the gap: entries behind it that would not be found beyond it move up.
    fn remove(&mut self, at: usize) {
        let size = self.slots.len();
        self.slots[at] = None;
        self.room += 1;
        let (mut gap, mut next) = (at, self.after(at));
        while let Some(slot) = &self.slots[next] {
            let distance = |from: usize| next.wrapping_sub(from) & (size - 1);
            if distance(self.home(slot.tag)) >= distance(gap) {
                self.slots.swap(gap, next);
                gap = next;
            }
            next = self.after(next);
        }
    }
}

impl<K, V> Slots<K, V> {
    /// None.
    pub(super) fn new() -> Self {
        let part = |_| Part { slots: Box::default(), room: 0 };
        Slots { parts: Box::new(std::array::from_fn(part)), len: 0, size: 0 }
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The memory that the slots take, without what keys and values own elsewhere.
    pub(super) fn bytes(&self) -> usize {
        self.size * size_of::<Option<Slot<K, V>>>()
    }

    /// Brings what look-ups will need into the cache. Looking at many slots one behind the other costs hardly more than looking at one: the
    /// processor waits for all of them at once.
    #[inline(always)]
    pub(super) fn touch(&self, hashes: impl Iterator<Item = u64>) {
        let mut there = 0;
        for hash in hashes {
            let part = &self.parts[part_of(hash)];
            let home = part.home(tag_of(hash));
            // The next one, too: the last bytes of this one may lie in another line, and a probe may go on to it.
            let two = part.slots.get(home..home.saturating_add(2)).unwrap_or_default();
            there += two.iter().filter(|slot| slot.is_some()).count();
        }
        std::hint::black_box(there);
    }

    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&Slot<K, V>> {
        let part = &self.parts[part_of(hash)];
        if part.slots.is_empty() {
            return None;
        }
        part.slots[part.seek(tag_of(hash), is)].as_ref()
    }

    #[inline(always)]
    pub(super) fn find_mut(
        &mut self,
        hash: u64,
        is: impl Fn(&K) -> bool,
    ) -> Option<&mut Slot<K, V>> {
        let part = &mut self.parts[part_of(hash)];
        if part.slots.is_empty() {
            return None;
        }
        let at = part.seek(tag_of(hash), is);
        part.slots[at].as_mut()
    }

    /// The entry of a key; where there is none, one with what `fresh` makes, unchanged as yet.
    #[inline(always)]
    pub(super) fn find_or_insert(
        &mut self,
        hash: u64,
        is: impl Fn(&K) -> bool,
        fresh: impl FnOnce() -> (K, V),
    ) -> &mut Slot<K, V> {
        let tag = tag_of(hash);
        if self.parts[part_of(hash)].room == 0 {
            self.size += self.parts[part_of(hash)].grow();
        }
        let part = &mut self.parts[part_of(hash)];
        let at = part.seek(tag, is);
        let slot = &mut part.slots[at];
        if slot.is_none() {
            part.room -= 1;
            self.len += 1;
        }
        slot.get_or_insert_with(|| {
            let (key, value) = fresh();
            Slot { tag, stamp: UNCHANGED, key, value }
        })
    }

    /// Makes room for so many entries of key groups from `first` to `last` of `groups`.
    pub(super) fn reserve(&mut self, entries: usize, own: (u32, u32), groups: u32) {
        let part_of = |group: u32| (group << (16 - groups.trailing_zeros()) >> 8) as usize;
        let (first, last) = (part_of(own.0), part_of(own.1));
        let each = entries / (last - first + 1);
        let mut size = LEAST;
        while Part::<K, V>::takes(size) < each {
            size *= 2;
        }
        for part in &mut self.parts[first..=last] {
            if part.slots.len() < size {
                self.size += size - part.slots.len();
                part.resize(size);
            }
        }
    }

    /// Each part, with its number.
    pub(super) fn parts(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = &Slot<K, V>>)> {
        self.parts.iter().map(|part| part.slots.iter().flatten()).enumerate()
    }

    /// The same, to be changed.
    pub(super) fn parts_mut(
        &mut self,
    ) -> impl Iterator<Item = (usize, impl Iterator<Item = &mut Slot<K, V>>)> {
        self.parts.iter_mut().map(|part| part.slots.iter_mut().flatten()).enumerate()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<K, V>> {
        self.parts().flat_map(|(_, slots)| slots)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot<K, V>> {
        self.parts.iter_mut().flat_map(|part| part.slots.iter_mut().flatten())
    }

    /// Gives each entry that may be the one with this hash, and the number of its part, to `each`.
    pub(super) fn with_hash(&mut self, hash: u64, mut each: impl FnMut(usize, &mut Slot<K, V>)) {
        let (number, tag) = (part_of(hash), tag_of(hash));
        let part = &mut self.parts[number];
        let mut at = part.home(tag);
        while let Some(Some(slot)) = part.slots.get_mut(at) {
            if slot.tag == tag {
                each(number, slot);
            }
            at = part.after(at);
        }
    }

    /// The entry for which `is` says so, of those that may be the one with this hash.
    #[inline(always)]
    pub(super) fn find_by_hash(
        &mut self,
        hash: u64,
        is: impl Fn(&Slot<K, V>) -> bool,
    ) -> Option<InPlace<'_, K, V>> {
        let number = part_of(hash);
        let (part, tag) = (&mut self.parts[number], tag_of(hash));
        let mut at = part.home(tag);
        while let Some(Some(slot)) = part.slots.get(at) {
            if slot.tag == tag && is(slot) {
                return Some(InPlace { part, at, len: &mut self.len });
            }
            at = part.after(at);
        }
        None
    }

    /// Removes the entries with this hash for which `goes` says so.
    pub(super) fn remove(&mut self, hash: u64, goes: impl Fn(&K, &V) -> bool) {
        let part = &mut self.parts[part_of(hash)];
        let tag = tag_of(hash);
        let mut at = part.home(tag);
        while let Some(Some(slot)) = part.slots.get(at) {
            if slot.tag == tag && goes(&slot.key, &slot.value) {
                // Another one may have moved up to here.
                part.remove(at);
                self.len -= 1;
            } else {
                at = part.after(at);
            }
        }
    }

    /// Removes the entries in so many slots behind `from` for which `keep` says false. Answers where to go on; `None` at the end. It may be asked twice
    /// about one that stays, and not at all about one that moves meanwhile because a part grows.
    pub(super) fn sweep(
        &mut self,
        from: SweptTo,
        mut slots: usize,
        mut keep: impl FnMut(usize, &mut Slot<K, V>) -> bool,
    ) -> Option<SweptTo> {
        let mut at = from.at;
        for (number, part) in self.parts.iter_mut().enumerate().skip(from.part) {
            while let Some(slot) = part.slots.get_mut(at) {
                if slots == 0 {
                    return Some(SweptTo { part: number, at });
                }
                slots -= 1;
                if slot.as_mut().is_some_and(|slot| !keep(number, slot)) {
                    part.remove(at);
                    self.len -= 1;
                } else {
                    at += 1;
                }
            }
            at = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Op {
        Put(u16, u32),
        Remove(u16),
        Sweep(u16, usize),
        Reserve(usize),
    }

    fn any_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            20 => (any::<u16>(), any::<u32>()).prop_map(|(key, value)| Op::Put(key, value)),
            5 => any::<u16>().prop_map(Op::Remove),
            1 => (2..5_u16, 1..50_usize).prop_map(|(rest, few)| Op::Sweep(rest, few)),
            1 => (0..3000_usize).prop_map(Op::Reserve),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn slots_are_a_map(ops in prop::collection::vec(any_op(), 0..600), keys in 1..600_u16, homes in 1..40_u64, part in 0..256_u64) {
            // All in one part, where keys begin at few places: long probes, over the end, too.
            let hash = |key: u16| part << 48 | (u64::from(key) % homes).wrapping_sub(3) & 0xffff_ffff;
            let (mut slots, mut model) = (Slots::new(), BTreeMap::new());
            for op in ops {
                match op {
                    Op::Put(key, value) => {
                        let key = key % keys;
                        slots.find_or_insert(hash(key), |k| *k == key, || (key, 0)).value = value;
                        model.insert(key, value);
                    }
                    Op::Remove(key) => {
                        let key = key % keys;
                        slots.remove(hash(key), |k, _| *k == key);
                        model.remove(&key);
                    }
                    Op::Sweep(rest, few) => {
                        let mut from = Some(SweptTo::default());
                        while let Some(at) = from {
                            from = slots.sweep(at, few, |_, slot| slot.key % rest != 0);
                        }
                        model.retain(|key, _| key % rest != 0);
                    }
                    Op::Reserve(entries) => slots.reserve(entries, (0, 255), 256),
                }
                slots.touch((0..keys).map(hash));
                prop_assert_eq!(slots.len(), model.len());
                prop_assert!(slots.bytes() >= slots.len() * size_of::<Slot<u16, u32>>());
            }
            let all: BTreeMap<_, _> = slots.iter().map(|slot| (slot.key, slot.value)).collect();
            prop_assert_eq!(&all, &model);
            for key in 0..keys {
                let found = slots.find(hash(key), |k| *k == key).map(|slot| slot.value);
                prop_assert_eq!(found, model.get(&key).copied());
            }
        }

        #[test]
        fn a_slot_knows_its_key_group(hash: u64, log in 0..=15_u32) {
            let mut slots = Slots::new();
            slots.find_or_insert(hash, |_| false, || ((), ()));
            let (part, slot) = slots.parts().find_map(|(part, mut slots)| Some((part, slots.next()?))).expect("it is there");
            prop_assert_eq!(slot.group(part, 1 << log), crate::state::group_of(hash, 1 << log));
            let known = slot.hash(part);
            prop_assert_eq!((part_of(known), tag_of(known)), (part_of(hash), tag_of(hash)));
        }

        #[test]
        fn room_is_made_where_entries_go(entries in 0..5000_usize, log in 0..=15_u32, range: (u32, u32)) {
            let own = (range.0 % (1 << log), range.1 % (1 << log));
            let own = (own.0.min(own.1), own.0.max(own.1));
            let mut slots = Slots::<u64, u64>::new();
            slots.reserve(entries, own, 1 << log);
            let before = slots.bytes();
            prop_assert!(before >= entries * size_of::<Slot<u64, u64>>());
            let group = u64::from(own.1) << (56 - log);
            slots.find_or_insert(group, |_| false, || (0, 0));
            prop_assert_eq!(slots.bytes(), before);
        }
    }

    #[test]
    fn a_slot_takes_eight_bytes_more_than_key_and_value() {
        assert_eq!(size_of::<Option<Slot<u64, [u64; 4]>>>(), 48);
        assert_eq!(size_of::<Option<Slot<String, u64>>>(), 40);
    }
}
