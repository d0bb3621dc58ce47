//! Blocks: what a frame of changes holds.
//!
//! ```text
//! block   step u32 | slot u16 | kind u8 | key form u8 | schema u32 | runs u32 | run* | entry*
//! run     group u16 | 0 u16 | count u32 | end u32      `end` counts from the first entry
//! entry   key length | [sub-key length] | value length | key | [sub-key] | value      lengths are varints
//! ```
//!
//! Entries lie in the order of their key groups, one run for each group, so that a worker finds its own without looking at
//! the others'. Nothing here knows what keys and values mean.

use crate::state::LoadError;

/// What a block's entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A key's state in a slot.
    Value = 1,
    /// One entry of a map that belongs to a key; it has a sub-key.
    MapEntry = 2,
    /// One element of a list that belongs to a key; the sub-key is its number.
    ListElement = 3,
    /// A timer of a key; the sub-key is domain, time and tag.
    Timer = 4,
    /// Of slot 0: a key is gone, with all its slots and timers. Of another slot: all that the key had in it is gone. It applies before what its
    /// barrier puts.
    Tombstone = 5,
    /// An entry of a map or list is gone, or a timer has fired.
    EntryTombstone = 6,
    /// A value that every worker has.
    Broadcast = 7,
    /// The position of a partition of a source or sink.
    Partition = 8,
    /// What a sink stores with an epoch to be carried out after its commit.
    Stored = 9,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::{
            Broadcast, EntryTombstone, ListElement, MapEntry, Partition, Stored, Timer, Tombstone,
            Value,
        };
        [
            Value,
            MapEntry,
            ListElement,
            Timer,
            Tombstone,
            EntryTombstone,
            Broadcast,
            Partition,
            Stored,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }

    /// Whether entries have a sub-key.
    pub(crate) fn has_sub_key(self) -> bool {
        matches!(self, Kind::MapEntry | Kind::ListElement | Kind::Timer | Kind::EntryTombstone)
    }
}

/// The group of what belongs to no key.
pub(crate) const NO_GROUP: u16 = 0xffff;

/// What a block says of all its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHead {
    /// The number of the step in the log.
    pub(crate) step: u32,
    pub(crate) slot: u16,
    pub(crate) kind: Kind,
    /// How keys are encoded.
    pub(crate) form: u8,
    /// The low half of the digest of the values' schema.
    pub(crate) schema: u32,
}

/// The most bytes of an entry: a block counts in 32 bits.
const ENTRY_MAX: usize = 2 << 30;
const HEAD: usize = 16;
const RUN: usize = 12;

/// A run of entries of one group, encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) group: u16,
    pub(crate) count: u32,
    pub(crate) entries: &'a [u8],
}

/// Encodes a block.
pub(crate) fn encode(head: BlockHead, runs: &[Run<'_>]) -> Vec<u8> {
    let entries: usize = runs.iter().map(|run| run.entries.len()).sum();
    let mut bytes = Vec::with_capacity(HEAD + RUN * runs.len() + entries);
    bytes.extend_from_slice(&head.step.to_le_bytes());
    bytes.extend_from_slice(&head.slot.to_le_bytes());
    bytes.push(head.kind as u8);
    bytes.push(head.form);
    bytes.extend_from_slice(&head.schema.to_le_bytes());
    bytes.extend_from_slice(&(runs.len() as u32).to_le_bytes());
    let mut end = 0_u32;
    for run in runs {
        end += run.entries.len() as u32;
        bytes.extend_from_slice(&run.group.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&run.count.to_le_bytes());
        bytes.extend_from_slice(&end.to_le_bytes());
    }
    runs.iter().for_each(|run| bytes.extend_from_slice(run.entries));
    bytes
}

/// Appends an entry whose key and value `key` and `value` append. Lengths are mostly short: they are guessed to take a byte
/// each, and where they do not the entry is moved.
#[inline]
pub(crate) fn put_entry(
    to: &mut Vec<u8>,
    key: impl FnOnce(&mut Vec<u8>) -> Result<(), LoadError>,
    value: impl FnOnce(&mut Vec<u8>),
) -> Result<(), LoadError> {
    let start = to.len();
    to.extend_from_slice(&[0, 0]);
    key(to)?;
    let middle = to.len();
    value(to);
    let (key, value) = (middle - start - 2, to.len() - middle);
    if key < 0x80 && value < 0x80 {
        to[start] = key as u8;
        to[start + 1] = value as u8;
    } else if key.saturating_add(value) > ENTRY_MAX {
        return Err(LoadError::new("one entry takes more than 2 GiB"));
    } else {
        let mut lengths = Vec::with_capacity(20);
        put_varint(&mut lengths, key as u64);
        put_varint(&mut lengths, value as u64);
        to.splice(start..start + 2, lengths);
    }
    Ok(())
}

/// Appends an entry as it was read.
pub(crate) fn put_raw(to: &mut Vec<u8>, kind: Kind, key: &[u8], sub: &[u8], value: &[u8]) {
    put_varint(to, key.len() as u64);
    if kind.has_sub_key() {
        put_varint(to, sub.len() as u64);
    }
    put_varint(to, value.len() as u64);
    to.extend_from_slice(key);
    to.extend_from_slice(sub);
    to.extend_from_slice(value);
}

fn put_varint(to: &mut Vec<u8>, mut rest: u64) {
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(from: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(usize::try_from(length).ok()?)?;
    *from = rest;
    Some(taken)
}

/// A block, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    pub(crate) head: BlockHead,
    runs: &'a [u8],
    entries: &'a [u8],
}

/// An entry, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) group: u16,
    pub(crate) key: &'a [u8],
    /// Of kinds that have one; else empty.
    pub(crate) sub: &'a [u8],
    pub(crate) value: &'a [u8],
}

impl<'a> Block<'a> {
    /// Reads a block; `None` if the bytes are none.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Block<'a>> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let half = |at: usize| {
            u32::from_le_bytes(head[at..at + 4].try_into().expect("a slice of 4 bytes"))
        };
        let runs = usize::try_from(half(12)).ok()?;
        let (runs, entries) = rest.split_at_checked(runs.checked_mul(RUN)?)?;
        let head = BlockHead {
            step: half(0),
            slot: u16::from_le_bytes([head[4], head[5]]),
            kind: Kind::of(head[6])?,
            form: head[7],
            schema: half(8),
        };
        Some(Block { head, runs, entries })
    }

    /// The groups that it has entries of, each with the bytes that they take.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (u16, u32)> {
        let mut start = 0;
        self.runs.chunks_exact(RUN).map(move |run| {
            let end = u32::from_le_bytes([run[8], run[9], run[10], run[11]]);
            let size = end.saturating_sub(start);
            start = end;
            (u16::from_le_bytes([run[0], run[1]]), size)
        })
    }

    /// The first and the last group.
    pub(crate) fn groups(&self) -> Option<(u16, u16)> {
        let group = |run: &[u8]| u16::from_le_bytes([run[0], run[1]]);
        let (first, last) =
            (self.runs.chunks_exact(RUN).next()?, self.runs.chunks_exact(RUN).last()?);
        Some((group(first), group(last)))
    }

    /// Gives each entry of the groups for which `wanted` says so to `each`. Answers `None` if the block is malformed, or what
    /// `each` failed with.
    pub(crate) fn entries<E>(
        &self,
        wanted: impl Fn(u16) -> bool,
        mut each: impl FnMut(Entry<'a>) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let mut start = 0;
        for run in self.runs.chunks_exact(RUN) {
            let group = u16::from_le_bytes([run[0], run[1]]);
            let half = |at: usize| {
                u32::from_le_bytes(run[at..at + 4].try_into().expect("a slice of 4 bytes"))
            };
            let (count, end) = (half(4), half(8) as usize);
            let mut rest = self.entries.get(start..end)?;
            start = end;
            if !wanted(group) {
                continue;
            }
            for _ in 0..count {
                let key = take_varint(&mut rest)?;
                let sub = if self.head.kind.has_sub_key() { take_varint(&mut rest)? } else { 0 };
                let value = take_varint(&mut rest)?;
                let key = take(&mut rest, key)?;
                let sub = take(&mut rest, sub)?;
                let value = take(&mut rest, value)?;
                if let Err(error) = each(Entry { group, key, sub, value }) {
                    return Some(Err(error));
                }
            }
            if !rest.is_empty() {
                return None;
            }
        }
        (start == self.entries.len()).then_some(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD_OF: BlockHead =
        BlockHead { step: 7, slot: 1, kind: Kind::Value, form: 2, schema: 0xdead_beef };

    fn all(bytes: &[u8], wanted: impl Fn(u16) -> bool) -> Option<Vec<(u16, Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        let read = Block::decode(bytes)?.entries(wanted, |entry| {
            found.push((entry.group, entry.key.to_vec(), entry.value.to_vec()));
            Ok::<(), ()>(())
        });
        read.map(|_| found)
    }

    fn entry(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
        let put = put_entry(
            to,
            |to| {
                to.extend_from_slice(key);
                Ok(())
            },
            |to| to.extend_from_slice(value),
        );
        put.expect("cannot fail");
    }

    proptest! {
        #[test]
        fn what_is_put_into_a_block_is_found_in_it(
            groups in prop::collection::btree_map(0_u16..256, prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..300), prop::collection::vec(any::<u8>(), 0..300)), 1..5), 0..5),
        ) {
            let encoded: Vec<_> = groups.iter().map(|(group, entries)| {
                let mut bytes = Vec::new();
                entries.iter().for_each(|(key, value)| entry(&mut bytes, key, value));
                (*group, entries.len() as u32, bytes)
            }).collect();
            let runs: Vec<_> = encoded.iter()
                .map(|(group, count, entries)| Run { group: *group, count: *count, entries }).collect();
            let bytes = encode(HEAD_OF, &runs);
            let expected = |wanted: &dyn Fn(u16) -> bool| -> Vec<_> {
                groups.iter().filter(|(group, _)| wanted(**group))
                    .flat_map(|(group, entries)| entries.iter().map(|(k, v)| (*group, k.clone(), v.clone())))
                    .collect()
            };
            prop_assert_eq!(all(&bytes, |_| true), Some(expected(&|_| true)));
            prop_assert_eq!(all(&bytes, |group| group % 2 == 0), Some(expected(&|group| group % 2 == 0)));
            prop_assert_eq!(Block::decode(&bytes).map(|block| block.head), Some(HEAD_OF));
            for short in 0..bytes.len() {
                prop_assert!(all(&bytes[..short], |_| true).is_none());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            all(&bytes, |_| true);
        }
    }
}
