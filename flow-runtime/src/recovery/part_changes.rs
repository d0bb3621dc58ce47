//! The entries of maps and lists of keys that have changed, gathered at the barrier beside the states that they belong to.
//!
//! Each slot has blocks of its own, of up to three kinds. They are written in such an order that what is gone comes before what is new.

use std::collections::BTreeMap;

use crate::recovery::block::{BlockHead, Kind, put_raw};
use crate::recovery::changes::{ByGroup, Payload};
use crate::state::LoadError;
use crate::state::parts::PartKind;

/// The most bytes of an entry: as of a state.
const ENTRY_MAX: usize = 2 << 30;

/// Buffers that are used again, by what they are for.
pub(crate) type PartBuffers = BTreeMap<(u16, Kind), ByGroup>;

/// What has changed of the parts of one step's states.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// What blocks of the step's states say.
    head: BlockHead,
    groups: usize,
    buffers: &'a mut PartBuffers,
    /// What is gone; it comes before anything that is not.
    gone: Vec<Payload>,
    put: Vec<Payload>,
    failure: Option<LoadError>,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(head: BlockHead, groups: usize, buffers: &'a mut PartBuffers) -> Self {
        Parts { head, groups, buffers, gone: Vec::new(), put: Vec::new(), failure: None }
    }

    /// A part of the state of this key.
    pub(crate) fn of<'b>(
        &'b mut self,
        group: u32,
        key: &'b [u8],
        slot: u16,
        kind: PartKind,
    ) -> PartChanges<'b> {
        PartChanges { to: self, group, key, slot, kind }
    }

    fn entry(&mut self, group: u32, slot: u16, kind: Kind, [key, sub, value]: [&[u8]; 3]) {
        if key.len().saturating_add(sub.len()).saturating_add(value.len()) > ENTRY_MAX {
            self.failure.get_or_insert(LoadError::new("one entry takes more than 2 GiB"));
            return;
        }
        let head = BlockHead { slot, kind, ..self.head };
        let buffer = self.buffers.entry((slot, kind)).or_default();
        buffer.fit(self.groups);
        let entries = buffer.of(group);
        put_raw(&mut entries.bytes, kind, key, sub, value);
        entries.count += 1;
        let is_put = matches!(kind, Kind::MapEntry | Kind::ListElement);
        entries.spill(head, group, if is_put { &mut self.put } else { &mut self.gone });
    }

    /// What is gone, what is not, and why something cannot be saved.
    pub(crate) fn finish(self) -> (Vec<Payload>, Vec<Payload>, Option<LoadError>) {
        let Parts { head, buffers, mut gone, mut put, failure, .. } = self;
        for ((slot, kind), buffer) in buffers.iter_mut() {
            let is_put = matches!(kind, Kind::MapEntry | Kind::ListElement);
            let head = BlockHead { slot: *slot, kind: *kind, ..head };
            buffer.finish(head, if is_put { &mut put } else { &mut gone });
        }
        (gone, put, failure)
    }
}

/// What has changed of one part of a key's state.
#[derive(Debug)]
pub struct PartChanges<'a> {
    to: &'a mut dyn TakesEntries,
    group: u32,
    key: &'a [u8],
    slot: u16,
    kind: PartKind,
}

/// Where entries go. A trait, so that those who write need not know for how long there are buffers.
trait TakesEntries: std::fmt::Debug {
    fn take(&mut self, group: u32, slot: u16, kind: Kind, entry: [&[u8]; 3]);
}

impl TakesEntries for Parts<'_> {
    fn take(&mut self, group: u32, slot: u16, kind: Kind, entry: [&[u8]; 3]) {
        self.entry(group, slot, kind, entry);
    }
}

impl PartChanges<'_> {
    /// All that the log had before is gone. It comes before everything else, whenever it is said.
    pub fn clear(&mut self) {
        self.to.take(self.group, self.slot, Kind::Tombstone, [self.key, &[], &[]]);
    }

    /// The entry with this sub-key is gone. It comes before what is put.
    pub fn gone(&mut self, sub: &[u8]) {
        self.to.take(self.group, self.slot, Kind::EntryTombstone, [self.key, sub, &[]]);
    }

    /// The entry with this sub-key has this value.
    pub fn put(&mut self, sub: &[u8], value: &[u8]) {
        let kind = match self.kind {
            PartKind::Map => Kind::MapEntry,
            PartKind::List => Kind::ListElement,
        };
        self.to.take(self.group, self.slot, kind, [self.key, sub, value]);
    }
}
