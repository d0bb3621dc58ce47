//! Which entries of a range are left: of each key the last word, and nothing of keys that are gone.

use crate::error::Error;
use crate::io::file::File;
use crate::recovery::block::{Block, BlockHead, Entry, Kind};
use crate::recovery::check::NamedFile;
use crate::recovery::cover::{Cover, Origin};
use crate::recovery::fault::damaged;
use crate::recovery::frame::{Bad, Frames};
use crate::state::parts::whole::PartEntry;

/// Entries in the order in which they were written. Their bytes lie in one piece.
#[derive(Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    /// What blocks say of their entries, each once.
    heads: Vec<BlockHead>,
    entries: Vec<At>,
}

/// Where an entry's bytes lie: key, sub-key, value.
#[derive(Clone, Copy)]
struct At {
    start: usize,
    key: u32,
    sub: u32,
    value: u32,
    head: u32,
    group: u16,
}

impl Entries {
    /// Adds the entries of the groups that are wanted; `None` if the block is malformed.
    pub(crate) fn add(&mut self, block: &Block<'_>, wanted: impl Fn(u16) -> bool) -> Option<()> {
        let known = self.heads.iter().position(|head| *head == block.head);
        let head = known.unwrap_or_else(|| {
            self.heads.push(block.head);
            self.heads.len() - 1
        });
        let Entries { bytes, entries, .. } = self;
        let read = block.entries(wanted, |entry| {
            let Entry { group, key, sub, value } = entry;
            let length = |part: &[u8]| u32::try_from(part.len()).map_err(|_| ());
            entries.push(At {
                start: bytes.len(),
                key: length(key)?,
                sub: length(sub)?,
                value: length(value)?,
                head: head as u32,
                group,
            });
            [key, sub, value].into_iter().for_each(|part| bytes.extend_from_slice(part));
            Ok::<(), ()>(())
        });
        read?.ok()
    }

    /// Adds what frames of a file say of a range of groups.
    pub(crate) fn add_frames(
        &mut self,
        (file, named): (&mut dyn File, &NamedFile),
        frames: impl Iterator<Item = (u64, Origin)>,
        (first, last): (u16, u16),
        cover: &Cover,
    ) -> Result<(), Error> {
        let NamedFile { path, seed, end, .. } = named;
        let mut reader = Frames::new(file, *seed, 0, *end);
        for (offset, origin) in frames {
            reader.go_to(offset);
            let malformed = || damaged(path, Bad::at(offset, "a block is malformed"));
            let read = reader.next().map_err(|bad| damaged(path, bad))?;
            let block = read.and_then(|read| Block::decode(read.payload));
            let wanted =
                |group: u16| (first..=last).contains(&group) && cover.counts(group, origin);
            self.add(&block.ok_or_else(malformed)?, wanted).ok_or_else(malformed)?;
        }
        Ok(())
    }

    fn key(&self, at: &At) -> &[u8] {
        &self.bytes[at.start..][..at.key as usize]
    }

    fn sub(&self, at: &At) -> &[u8] {
        &self.bytes[at.start + at.key as usize..][..at.sub as usize]
    }

    fn entry(&self, at: &At) -> Entry<'_> {
        let value = &self.bytes[at.start + (at.key + at.sub) as usize..][..at.value as usize];
        Entry { group: at.group, key: self.key(at), sub: self.sub(at), value }
    }

    fn head(&self, at: &At) -> &BlockHead {
        &self.heads[at.head as usize]
    }

    /// What is left, in the order of what blocks say, then of groups, then of keys.
    pub(crate) fn merged(&self) -> Merged<'_> {
        let mut left = self.left();
        left.sort_by_key(|at| {
            let head = self.head(at);
            (head.step, head.slot, head.kind, at.head, at.group)
        });
        Merged { of: self, left }
    }

    /// What is left, in the order of groups, then of steps, then of keys.
    pub(crate) fn by_key(self) -> ByKey {
        let left = self.left().into_iter().copied().collect();
        ByKey { of: self, left, next: 0 }
    }

    fn left(&self) -> Vec<&At> {
        // By key, and of each key in the order in which they were written: the bytes lie in that order.
        let mut order: Vec<&At> = self.entries.iter().collect();
        let whose = |at: &At| (at.group, self.head(at).step, self.key(at));
        order.sort_unstable_by(|a, b| whose(a).cmp(&whose(b)).then(a.start.cmp(&b.start)));
        let mut left = Vec::with_capacity(order.len());
        for of_key in order.chunk_by_mut(|a, b| whose(a) == whose(b)) {
            self.last_words(of_key, &mut left);
        }
        left
    }

    /// Of all that was written of a key, in that order, what counts.
    fn last_words<'a>(&self, of_key: &mut [&'a At], left: &mut Vec<&'a At>) {
        // Tombstones stand before the values of their barrier.
        let is_gone = |at: &&At| self.head(at).kind == Kind::Tombstone;
        let gone = of_key.iter().rposition(|at| is_gone(at) && self.head(at).slot == 0);
        let of_key = &mut of_key[gone.map_or(0, |gone| gone + 1)..];
        let state = of_key.iter().rfind(|at| self.head(at).kind == Kind::Value);
        let schema = state.map(|at| self.head(at).schema);
        // The order in which they were written stays.
        of_key.sort_by_key(|at| self.head(at).slot);
        for of_slot in of_key.chunk_by_mut(|a, b| self.head(a).slot == self.head(b).slot) {
            let cleared = of_slot.iter().rposition(&is_gone);
            let of_slot = &mut of_slot[cleared.map_or(0, |cleared| cleared + 1)..];
            of_slot.sort_by(|a, b| self.sub(a).cmp(self.sub(b)));
            for same in of_slot.chunk_by(|a, b| self.sub(a) == self.sub(b)) {
                left.extend(same.last().filter(|at| self.counts(self.head(at), schema)).copied());
            }
        }
    }

    /// Whether the last word about something says that there is something. Entries of maps and lists belong to a state of the same schema:
    /// when a state is written under another one, all of its entries are, and those of before are left behind.
    fn counts(&self, last: &BlockHead, state: Option<u32>) -> bool {
        match last.kind {
            Kind::EntryTombstone => false,
            Kind::MapEntry | Kind::ListElement => state.is_none_or(|schema| schema == last.schema),
            _ => true,
        }
    }
}

/// The entries that are left of a range, key by key.
pub(crate) struct ByKey {
    of: Entries,
    left: Vec<At>,
    next: usize,
}

impl ByKey {
    /// The next entry, and what its block says of it. With a state come the entries of its maps and lists, in the order of their slots.
    pub(crate) fn next_state(&mut self) -> Option<(BlockHead, Entry<'_>, Vec<PartEntry<'_>>)> {
        let (start, of) = (self.next, &self.of);
        let first = self.left.get(start)?;
        let whose = |at: &At| (at.group, of.head(at).step, of.key(at));
        let is_part = |at: &At| matches!(of.head(at).kind, Kind::MapEntry | Kind::ListElement);
        let has_parts = of.head(first).kind == Kind::Value;
        let parts: Vec<_> = self.left[start + 1..]
            .iter()
            .take_while(|at| has_parts && is_part(at) && whose(at) == whose(first))
            .map(|at| {
                let Entry { sub, value, .. } = of.entry(at);
                PartEntry { slot: of.head(at).slot, sub, value }
            })
            .collect();
        self.next = start + 1 + parts.len();
        Some((*of.head(first), of.entry(first), parts))
    }

    /// The next entry, and what its block says of it.
    pub(crate) fn next(&mut self) -> Option<(BlockHead, Entry<'_>)> {
        let at = self.left.get(self.next)?;
        self.next += 1;
        Some((*self.of.head(at), self.of.entry(at)))
    }

    pub(crate) fn is_at_its_end(&self) -> bool {
        self.next == self.left.len()
    }
}

/// The entries that are left of a range.
pub(crate) struct Merged<'a> {
    of: &'a Entries,
    left: Vec<&'a At>,
}

impl<'a> Merged<'a> {
    /// Runs of entries of which blocks say the same, each in the order of groups.
    pub(crate) fn blocks(
        &self,
    ) -> impl Iterator<Item = (BlockHead, impl Iterator<Item = Entry<'a>>)> {
        self.left.chunk_by(|a, b| a.head == b.head).map(|same| {
            let head = *self.of.head(same[0]);
            (head, same.iter().map(|at| self.of.entry(at)))
        })
    }
}
