//! What the steps of a worker changed in an epoch, gathered at the barrier: blocks, ready to be written.
//!
//! Keyed entries are met in the order of a table's slots and must lie in the order of their key groups. They are written
//! into one buffer per group; a buffer that has grown large becomes a frame at once, the rest are joined. So nothing is looked up
//! twice and nothing is sorted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::describe::StepId;
use crate::error::{Error, ErrorKind};
use crate::failure::Note;
use crate::io::{Durable, PartitionId};
use crate::recovery::block::{self, BlockHead, Kind, NO_GROUP, Run};
use crate::recovery::frame::PAYLOAD;
use crate::recovery::part_changes::{PartBuffers, PartChanges, Parts};
use crate::state::LoadError;
use crate::state::parts::PartKind;
use crate::time::Timestamp;

/// A group's buffer becomes a frame of its own from this size on. Small, so that the buffers of all groups together stay in the
/// processor's cache: with eight times as much a key costs a third more.
const LARGE: usize = 8 << 10;

/// What the log calls a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepName {
    pub(crate) number: u32,
    /// The low half of the digest of what it keeps.
    pub(crate) schema: u32,
}

/// What the log calls the steps that keep something.
#[derive(Clone, Debug)]
pub(crate) struct StepNames {
    pub(crate) groups: u32,
    pub(crate) names: BTreeMap<StepId, StepName>,
}

/// One frame to be written.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) group: u16,
    pub(crate) count: u32,
    pub(crate) bytes: Vec<u8>,
    /// It is what a sink stores with the epoch.
    pub(crate) stores: bool,
}

/// What must be durable before the epoch is committed, on behalf of a sink's partition.
pub(crate) struct Sync {
    pub(crate) step: u32,
    pub(crate) partition: PartitionId,
    pub(crate) run: Durable,
}

/// What a partition of a sink stores with the epoch. The bytes are in a payload of their own.
#[derive(Clone, Debug)]
pub(crate) struct StoredBy {
    pub(crate) step: u32,
    pub(crate) partition: PartitionId,
    pub(crate) bytes: Arc<[u8]>,
}

/// What the steps of a worker, or of a part of it, changed in an epoch.
pub(crate) struct Changes {
    names: Arc<StepNames>,
    pub(crate) payloads: Vec<Payload>,
    pub(crate) syncs: Vec<Sync>,
    pub(crate) stored: Vec<StoredBy>,
    /// How many keys have a value, by the number of the step. Compaction learns from it how much of the log is in use.
    pub(crate) keys: BTreeMap<u32, u64>,
    /// How far event time has come, by the number of the step.
    pub(crate) watermarks: BTreeMap<u32, Timestamp>,
    /// How many entries the maps and lists of these keys have.
    pub(crate) parts: BTreeMap<u32, u64>,
    /// Whether sources have emitted anything.
    pub(crate) read: bool,
    failure: Option<Error>,
    buffers: Buffers,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("payloads", &self.payloads.len()).finish_non_exhaustive()
    }
}

impl Changes {
    pub(crate) fn new(names: Arc<StepNames>, buffers: Buffers) -> Self {
        Changes {
            names,
            payloads: Vec::new(),
            syncs: Vec::new(),
            stored: Vec::new(),
            keys: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            parts: BTreeMap::new(),
            read: false,
            failure: None,
            buffers,
        }
    }

    /// The number of key groups of the log.
    pub(crate) fn groups(&self) -> u32 {
        self.names.groups
    }

    /// Adds what another part of the worker changed.
    pub(crate) fn append(&mut self, other: &mut Changes) {
        self.payloads.append(&mut other.payloads);
        self.syncs.append(&mut other.syncs);
        self.stored.append(&mut other.stored);
        for (step, keys) in std::mem::take(&mut other.keys) {
            *self.keys.entry(step).or_default() += keys;
        }
        for (step, time) in std::mem::take(&mut other.watermarks) {
            self.reached(step, time);
        }
        for (step, entries) in std::mem::take(&mut other.parts) {
            *self.parts.entry(step).or_default() += entries;
        }
        self.read |= other.read;
    }

    /// Gives the buffers back, to be used again.
    pub(crate) fn take_buffers(&mut self) -> Buffers {
        std::mem::take(&mut self.buffers)
    }

    /// What went wrong while gathering.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// The bytes gathered.
    pub(crate) fn bytes(&self) -> usize {
        self.payloads.iter().map(|payload| payload.bytes.len()).sum()
    }

    /// The entries gathered.
    pub(crate) fn entries(&self) -> u64 {
        self.payloads.iter().map(|payload| u64::from(payload.count)).sum()
    }

    /// Whether anything has changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    fn name(&mut self, id: &StepId) -> Option<StepName> {
        let name = self.names.names.get(id).copied();
        if name.is_none() {
            // The survey has asked every step of the plan.
            self.fail(id, "it keeps state and did not say so");
        }
        name
    }

    fn fail(&mut self, id: &StepId, what: impl fmt::Display) {
        let error = || {
            Error::new(ErrorKind::Encoding, format!("the state cannot be saved: {what}"))
                .at_step(id)
        };
        self.failure.get_or_insert_with(error);
    }

    /// Begins to gather the keyed state of a step.
    pub(crate) fn keyed(&mut self, id: &StepId, form: u8) -> Option<KeyedChanges<'_>> {
        let name = self.name(id)?;
        let head = |kind| BlockHead { step: name.number, slot: 0, kind, form, schema: name.schema };
        let Changes { payloads, failure, buffers, names, .. } = self;
        let groups = names.groups as usize;
        let Buffers { values, gone, parts } = buffers;
        values.fit(groups);
        Some(KeyedChanges {
            first: payloads.len(),
            tombstones: Vec::new(),
            values: head(Kind::Value),
            gone: head(Kind::Tombstone),
            parts: Some(Parts::new(head(Kind::Value), groups, parts)),
            id: id.clone(),
            value_buffers: values,
            gone_buffers: gone,
            groups,
            payloads,
            failure,
        })
    }

    /// How many keys of a step have a value on this worker.
    pub(crate) fn has_keys(&mut self, id: &StepId, keys: u64) {
        if let Some(name) = self.name(id) {
            *self.keys.entry(name.number).or_default() += keys;
        }
    }

    /// How far event time has come at a step. Its copies on several workers may have seen different things of it, where a partition
    /// was idle for a while: the latest counts, since somebody has acted on it.
    pub(crate) fn watermark(&mut self, id: &StepId, time: Timestamp) {
        if time > Timestamp::MIN
            && let Some(name) = self.name(id)
        {
            self.reached(name.number, time);
        }
    }

    fn reached(&mut self, step: u32, time: Timestamp) {
        let known = self.watermarks.entry(step).or_insert(time);
        *known = time.max(*known);
    }

    /// How many entries the maps and lists of these keys have.
    pub(crate) fn has_part_entries(&mut self, id: &StepId, entries: u64) {
        if let Some(name) = self.name(id) {
            *self.parts.entry(name.number).or_default() += entries;
        }
    }

    /// The value that every worker has.
    pub(crate) fn broadcast(&mut self, id: &StepId, save: impl FnOnce(&mut Vec<u8>)) {
        self.single(id, Kind::Broadcast, "", save);
    }

    /// The position of a partition of a source or sink.
    pub(crate) fn partition(&mut self, id: &StepId, partition: &PartitionId, position: &[u8]) {
        self.single(id, Kind::Partition, partition.as_str(), |to| to.extend_from_slice(position));
    }

    /// What a partition of a sink stores with the epoch.
    pub(crate) fn store(&mut self, id: &StepId, partition: &PartitionId, bytes: Vec<u8>) {
        let Some(name) = self.name(id) else { return };
        self.single(id, Kind::Stored, partition.as_str(), |to| to.extend_from_slice(&bytes));
        let stored =
            StoredBy { step: name.number, partition: partition.clone(), bytes: bytes.into() };
        self.stored.push(stored);
    }

    /// What must be durable before the epoch is committed.
    pub(crate) fn sync(&mut self, id: &StepId, partition: &PartitionId, run: Durable) {
        let Some(name) = self.name(id) else { return };
        self.syncs.push(Sync { step: name.number, partition: partition.clone(), run });
    }

    /// An entry that belongs to no key, in a block of its own.
    fn single(&mut self, id: &StepId, kind: Kind, key: &str, save: impl FnOnce(&mut Vec<u8>)) {
        let Some(name) = self.name(id) else { return };
        let mut entries = Vec::new();
        let put = |to: &mut Vec<u8>| {
            to.extend_from_slice(key.as_bytes());
            Ok::<(), LoadError>(())
        };
        let note = Note::of(id);
        let put = block::put_entry(&mut entries, put, save);
        note.clear();
        if let Err(error) = put {
            return self.fail(id, error.what());
        }
        let head = BlockHead { step: name.number, slot: 0, kind, form: 0, schema: name.schema };
        let run = Run { group: NO_GROUP, count: 1, entries: &entries };
        let bytes = block::encode(head, &[run]);
        let stores = kind == Kind::Stored;
        self.payloads.push(Payload { group: NO_GROUP, count: 1, bytes, stores });
    }
}

/// Buffers that are used again at every barrier.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    values: ByGroup,
    gone: ByGroup,
    parts: PartBuffers,
}

/// One buffer per key group.
#[derive(Debug, Default)]
pub(crate) struct ByGroup {
    buffers: Vec<Entries>,
    /// The groups that have entries.
    touched: Vec<u16>,
}

#[derive(Debug, Default)]
pub(crate) struct Entries {
    pub(crate) count: u32,
    pub(crate) bytes: Vec<u8>,
}

impl ByGroup {
    pub(crate) fn fit(&mut self, groups: usize) {
        if self.buffers.len() < groups {
            self.buffers.resize_with(groups, Entries::default);
        }
    }

    #[inline]
    pub(crate) fn of(&mut self, group: u32) -> &mut Entries {
        let entries = &mut self.buffers[group as usize];
        if entries.count == 0 {
            self.touched.push(group as u16);
        }
        entries
    }

    /// Makes frames of what is left, and empties the buffers.
    pub(crate) fn finish(&mut self, head: BlockHead, payloads: &mut Vec<Payload>) {
        self.touched.sort_unstable();
        // A group that has been emptied on the way may have been touched again.
        self.touched.dedup();
        let mut at = 0;
        while at < self.touched.len() {
            let (mut runs, mut size, mut count) = (Vec::new(), 0, 0);
            while let Some(group) = self.touched.get(at).filter(|_| size < PAYLOAD) {
                let entries = &self.buffers[usize::from(*group)];
                at += 1;
                if entries.count > 0 {
                    runs.push(Run { group: *group, count: entries.count, entries: &entries.bytes });
                    size += entries.bytes.len();
                    count += entries.count;
                }
            }
            if let Some(first) = runs.first() {
                let bytes = block::encode(head, &runs);
                payloads.push(Payload { group: first.group, count, bytes, stores: false });
            }
        }
        for group in self.touched.drain(..) {
            let entries = &mut self.buffers[usize::from(group)];
            entries.bytes.clear();
            entries.count = 0;
        }
    }
}

impl Entries {
    /// Makes a frame of the entries once they are many.
    #[inline]
    pub(crate) fn spill(&mut self, head: BlockHead, group: u32, payloads: &mut Vec<Payload>) {
        if self.bytes.len() >= LARGE {
            let group = group as u16;
            let run = Run { group, count: self.count, entries: &self.bytes };
            let bytes = block::encode(head, &[run]);
            payloads.push(Payload { group, count: self.count, bytes, stores: false });
            self.bytes.clear();
            self.count = 0;
        }
    }
}

/// The changes of one step's keyed state.
pub(crate) struct KeyedChanges<'a> {
    id: StepId,
    values: BlockHead,
    gone: BlockHead,
    /// Until it is dropped.
    parts: Option<Parts<'a>>,
    value_buffers: &'a mut ByGroup,
    gone_buffers: &'a mut ByGroup,
    groups: usize,
    payloads: &'a mut Vec<Payload>,
    /// Where the step's frames begin among all.
    first: usize,
    /// They come before the others: a key that was dropped may have come back.
    tombstones: Vec<Payload>,
    failure: &'a mut Option<Error>,
}

impl KeyedChanges<'_> {
    /// The state of a key, as `key` and `value` append them.
    #[inline]
    pub(crate) fn put(
        &mut self,
        group: u32,
        key: impl FnOnce(&mut Vec<u8>) -> Result<(), LoadError>,
        value: impl FnOnce(&mut Vec<u8>),
    ) {
        let entries = self.value_buffers.of(group);
        if let Err(error) = block::put_entry(&mut entries.bytes, key, value) {
            return self.fail(&error);
        }
        entries.count += 1;
        entries.spill(self.values, group, self.payloads);
    }

    /// A key whose state is gone.
    pub(crate) fn gone(
        &mut self,
        group: u32,
        key: impl FnOnce(&mut Vec<u8>) -> Result<(), LoadError>,
    ) {
        self.gone_buffers.fit(self.groups);
        let entries = self.gone_buffers.of(group);
        if let Err(error) = block::put_entry(&mut entries.bytes, key, |_| {}) {
            return self.fail(&error);
        }
        entries.count += 1;
        entries.spill(self.gone, group, &mut self.tombstones);
    }

    /// A part of the state of a key, which is encoded as `key`.
    pub(crate) fn part<'b>(
        &'b mut self,
        group: u32,
        key: &'b [u8],
        slot: u16,
        kind: PartKind,
    ) -> Option<PartChanges<'b>> {
        self.parts.as_mut().map(|parts| parts.of(group, key, slot, kind))
    }

    #[cold]
    fn fail(&mut self, error: &LoadError) {
        let (id, what) = (&self.id, error.what());
        self.failure.get_or_insert_with(|| {
            Error::new(ErrorKind::Encoding, format!("the state cannot be saved: {what}"))
                .at_step(id)
        });
    }
}

impl Drop for KeyedChanges<'_> {
    fn drop(&mut self) {
        self.value_buffers.finish(self.values, self.payloads);
        self.gone_buffers.finish(self.gone, &mut self.tombstones);
        let (gone, put, failure) = match self.parts.take() {
            Some(parts) => parts.finish(),
            None => Default::default(),
        };
        // What is gone before what is there, and a state before its entries.
        let first = self.tombstones.drain(..).chain(gone);
        self.payloads.splice(self.first..self.first, first);
        self.payloads.extend(put);
        if let Some(error) = failure {
            self.fail(&error);
        }
    }
}
