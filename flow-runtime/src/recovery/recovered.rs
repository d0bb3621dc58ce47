//! What the log has for the steps, and how each worker takes its part of it.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};

use crate::describe::StepId;
use crate::error::Error;
use crate::io::file::Files;
use crate::io::{PartitionId, Resume, resume_at};
use crate::recovery::block::{Block, BlockHead, Entry, Kind, NO_GROUP};
use crate::recovery::changes::StepNames;
use crate::recovery::check::{FrameAt, NamedFile, Size};
use crate::recovery::cover::{Cover, Origin};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::frame::{Bad, Frames};
use crate::recovery::names::Layout;
use crate::recovery::older::Older;
use crate::recovery::progress::Reading;
use crate::recovery::report::StepRecovered;
use crate::state::parts::PartKind;
use crate::state::{KeyHasher, LoadError, Reader, Shape, worker_of};
use crate::time::{Epoch, Timestamp};

/// What the log has for the steps of a dataflow, as of the adopted commit.
pub(crate) struct Recovered {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) log_id: [u8; 16],
    pub(crate) names: Arc<StepNames>,
    pub(crate) seed: u64,
    /// The resume epoch.
    pub(crate) epoch: Epoch,
    pub(crate) barrier: u64,
    pub(crate) generation: u64,
    pub(crate) repaired: Vec<String>,
    pub(crate) dropped: Vec<String>,
    pub(crate) migrated: Vec<String>,
    /// By the number of the step, the shapes of older versions that its entries may have.
    pub(crate) older: BTreeMap<u32, Vec<Shape>>,
    /// When the start began.
    pub(crate) began: Timestamp,
    /// Whom to tell how far it is.
    pub(crate) reading: Option<Arc<Reading>>,
    /// The input was ended for good.
    pub(crate) finished: bool,
    /// What the commit names.
    pub(crate) named: Vec<NamedFile>,
    pub(crate) cover: Cover,
    /// By the number of the step, in the order in which they count.
    pub(crate) frames: BTreeMap<u32, Vec<FrameAt>>,
    /// By the number of the step, the last position of each partition.
    pub(crate) positions: BTreeMap<u32, BTreeMap<PartitionId, Vec<u8>>>,
    /// By the number of the step, how far event time had come.
    pub(crate) watermarks: BTreeMap<u32, Timestamp>,
    /// By the number of the step, what its values take.
    pub(crate) sizes: BTreeMap<u32, Size>,
    /// What workers have loaded.
    pub(crate) loaded: Mutex<BTreeMap<StepId, StepRecovered>>,
}

impl fmt::Debug for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovered").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Recovered {
    /// The saved positions of a source or sink.
    pub(crate) fn positions(&self, id: &StepId) -> Option<&BTreeMap<PartitionId, Vec<u8>>> {
        self.positions.get(&self.names.names.get(id)?.number)
    }

    /// What a sink's target knows a partition by: log, step and partition. The step by its number, so that one that is renamed
    /// stays the same.
    pub(crate) fn owner(&self, id: &StepId, partition: &PartitionId) -> Option<Arc<str>> {
        let step = self.names.names.get(id)?.number;
        let log = u128::from_be_bytes(self.log_id);
        Some(format!("{log:032x}/{step}/{partition}").into())
    }

    /// What workers have loaded, step by step.
    pub(crate) fn take_loaded(&self) -> Vec<StepRecovered> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *loaded).into_values().collect()
    }

    fn note(&self, id: &StepId, keys: u64, bytes: u64) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let step = loaded.entry(id.clone()).or_insert_with(|| StepRecovered {
            step: id.as_str().to_owned(),
            keys: 0,
            bytes: 0,
        });
        step.keys += keys;
        step.bytes += bytes;
    }
}

/// One worker's view of what is restored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restoring<'a> {
    recovered: &'a Recovered,
    worker: usize,
    workers: usize,
}

/// What a keyed entry says.
pub(crate) enum Keyed<'a> {
    /// With its schema where that is not the one of today.
    Value {
        key: &'a [u8],
        value: &'a [u8],
        older: Option<u32>,
    },
    Gone {
        key: &'a [u8],
    },
    /// Of a part of the key's state, with its schema as that of a value.
    Part {
        key: &'a [u8],
        slot: u16,
        says: PartSays<'a>,
        older: Option<u32>,
    },
}

impl<'a> Keyed<'a> {
    pub(crate) fn key(&self) -> &'a [u8] {
        match self {
            Keyed::Value { key, .. } | Keyed::Gone { key } | Keyed::Part { key, .. } => key,
        }
    }

    /// What an entry of a block says.
    pub(crate) fn of(
        head: BlockHead,
        older: Option<u32>,
        entry: Entry<'a>,
    ) -> Result<Self, LoadError> {
        let Entry { key, sub, value, .. } = entry;
        let (slot, kind) = (head.slot, head.kind);
        let part = |says| Ok(Keyed::Part { key, slot, says, older });
        match (slot, kind) {
            (0, Kind::Value) => Ok(Keyed::Value { key, value, older }),
            (0, Kind::Tombstone) => Ok(Keyed::Gone { key }),
            (1.., Kind::Tombstone) => part(PartSays::Cleared),
            (1.., Kind::EntryTombstone) => part(PartSays::Gone { sub }),
            (1.., Kind::MapEntry) => part(PartSays::Put { kind: PartKind::Map, sub, value }),
            (1.., Kind::ListElement) => part(PartSays::Put { kind: PartKind::List, sub, value }),
            _ => Err(LoadError::new("there is an entry of a kind that this version never writes")),
        }
    }
}

/// What an entry says of a part of a key's state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PartSays<'a> {
    /// Nothing that was said before counts.
    Cleared,
    Gone {
        sub: &'a [u8],
    },
    Put {
        kind: PartKind,
        sub: &'a [u8],
        value: &'a [u8],
    },
}

impl<'a> Restoring<'a> {
    pub(crate) fn new(recovered: &'a Recovered, worker: usize, workers: usize) -> Self {
        Restoring { recovered, worker, workers }
    }

    /// Hashes keys as the log does.
    pub(crate) fn hasher(&self) -> KeyHasher {
        KeyHasher::new(self.recovered.seed)
    }

    /// The number of key groups.
    pub(crate) fn groups(&self) -> u32 {
        self.recovered.names.groups
    }

    /// The first and the last key group of this worker; none where there are more workers than groups.
    pub(crate) fn own_groups(&self) -> Option<(u32, u32)> {
        let mut own = (0..self.groups())
            .filter(|group| worker_of(*group, self.groups(), self.workers) == self.worker);
        let first = own.next()?;
        Some((first, own.next_back().unwrap_or(first)))
    }

    /// Where to begin with a partition, and its saved position as it lies in the log.
    pub(crate) fn position<P: DeserializeOwned>(
        &self,
        id: &StepId,
        partition: &PartitionId,
    ) -> Result<(Resume<P>, Option<Vec<u8>>), Error> {
        resume_at(Some(self.recovered), id, partition)
    }

    /// How far event time had come at a step.
    pub(crate) fn watermark(&self, id: &StepId) -> Option<Timestamp> {
        let number = self.recovered.names.names.get(id)?.number;
        self.recovered.watermarks.get(&number).copied()
    }

    /// What a sink's target knows a partition by.
    pub(crate) fn owner(&self, id: &StepId, partition: &PartitionId) -> Option<Arc<str>> {
        self.recovered.owner(id, partition)
    }

    /// Notes how many keys a step has after all.
    pub(crate) fn has_keys(&self, id: &StepId, keys: usize) {
        self.recovered.note(id, keys as u64, 0);
    }

    /// How many keys of a step this worker will have at some time, at least: no key is twice in an epoch.
    pub(crate) fn keys_at_least(&self, id: &StepId) -> usize {
        let (mut bases, mut most, mut now) = (0_u64, 0_u64, (0_u64, 0_u64));
        for frame in self.frames_of(id) {
            let entries = u64::from(frame.entries);
            match frame.origin {
                // A group's keys are in one base, but of an older one not all may count.
                Origin::Base(_) => bases += entries,
                Origin::Changes(barrier) => {
                    if barrier != now.0 {
                        now = (barrier, 0);
                    }
                    now.1 += entries;
                    most = most.max(now.1);
                }
            }
        }
        let most = most.max(bases);
        usize::try_from(most / self.workers as u64).unwrap_or(0)
    }

    /// Gives the keyed entries of a step that belong to this worker to `each`, in the order of their epochs.
    pub(crate) fn keyed(
        &self,
        id: &StepId,
        mut each: impl FnMut(u16, Keyed<'_>) -> Result<(), LoadError>,
    ) -> Result<(), Error> {
        let (groups, worker, workers) = (self.groups(), self.worker, self.workers);
        let owner = move |group: u16| worker_of(u32::from(group), groups, workers);
        let mine = move |group: u16| group != NO_GROUP && owner(group) == worker;
        let has_mine = move |frame: &FrameAt| {
            let (first, last) = frame.groups;
            first != NO_GROUP && owner(first) <= worker && owner(last) >= worker
        };
        self.entries(id, has_mine, mine, |head, older, entry| {
            each(entry.group, Keyed::of(head, older, entry)?)
        })
    }

    /// How entries of a step are read that were saved under older versions.
    pub(crate) fn older<V>(
        &self,
        id: &StepId,
        reader: impl Fn(&Shape) -> Result<Reader<V>, LoadError>,
    ) -> Result<Older<V>, Error> {
        let name = self.recovered.names.names.get(id);
        let shapes = name.and_then(|name| self.recovered.older.get(&name.number));
        // The start has asked the step before: it is refused there.
        Older::new(shapes.map_or(&[], Vec::as_slice), reader)
            .map_err(|error| refused(error.to_string()).at_step(id))
    }

    /// What was saved for a step does not make a state.
    pub(crate) fn not_whole(&self, id: &StepId, error: &LoadError) -> Error {
        refused(format!("state cannot be loaded: {error}"))
            .help(self.ways_out(id, false))
            .at_step(id)
    }

    /// State that an older version has saved cannot be converted.
    pub(crate) fn not_converted(&self, id: &StepId, error: &LoadError) -> Error {
        refused(error.to_string()).help(self.ways_out(id, true)).at_step(id)
    }

    /// What to do about state that cannot be loaded.
    fn ways_out(&self, id: &StepId, is_older: bool) -> String {
        let way = match is_older {
            true => {
                "let the conversion from the older version take this value; until something is saved the program of before can go on"
            }
            false => "if the type's serde implementation has changed, change it back",
        };
        format!("{way}; or begin the step anew: `--drop-state {id}@{}`", self.recovered.epoch)
    }

    /// Gives the value that every worker has to `each`, with its schema where that is not the one of today.
    pub(crate) fn broadcast(
        &self,
        id: &StepId,
        mut each: impl FnMut(Option<u32>, &[u8]) -> Result<(), LoadError>,
    ) -> Result<(), Error> {
        let frames = self.frames_of(id).last().copied();
        let is_last = |frame: &FrameAt| {
            frames.is_some_and(|last| (last.file, last.offset) == (frame.file, frame.offset))
        };
        self.entries(id, is_last, |_| true, |_, older, entry| each(older, entry.value))
    }

    fn frames_of(&self, id: &StepId) -> &'a [FrameAt] {
        let name = self.recovered.names.names.get(id);
        let frames = name.and_then(|name| self.recovered.frames.get(&name.number));
        frames.map_or(&[], Vec::as_slice)
    }

    fn entries(
        &self,
        id: &StepId,
        has: impl Fn(&FrameAt) -> bool,
        wanted: impl Fn(u16) -> bool,
        mut each: impl FnMut(BlockHead, Option<u32>, Entry<'_>) -> Result<(), LoadError>,
    ) -> Result<(), Error> {
        let schema = self.recovered.names.names.get(id).map_or(0, |name| name.schema);
        let Recovered { files, named, cover, .. } = self.recovered;
        let mut frames = self.frames_of(id).iter().filter(|frame| has(frame)).peekable();
        let mut bytes = 0;
        while let Some(first) = frames.peek().map(|frame| frame.file) {
            let checked = &named[first as usize];
            let path = &checked.path;
            let mut file = files.open(path).map_err(|error| failed("read", path, error))?;
            let mut reader = Frames::new(&mut *file, checked.seed, 0, checked.end);
            while let Some(frame) = frames.next_if(|frame| frame.file == first) {
                reader.go_to(frame.offset);
                let malformed = |what| damaged(path, Bad::at(frame.offset, what));
                let read = reader.next().map_err(|bad| damaged(path, bad))?;
                let read = read.ok_or_else(|| malformed("a frame is gone"))?;
                if let Some(reading) = &self.recovered.reading {
                    reading.read(read.payload.len() as u64);
                }
                let block =
                    Block::decode(read.payload).ok_or_else(|| malformed("a block is malformed"))?;
                let older = Some(block.head.schema).filter(|saved| *saved != schema);
                let counts = |group| wanted(group) && cover.counts(group, frame.origin);
                let taken = block.entries(counts, |entry| {
                    bytes += (entry.key.len() + entry.value.len()) as u64;
                    each(block.head, older, entry)
                });
                match taken {
                    None => return Err(malformed("the entries of a block are malformed")),
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        return Err(refused(format!(
                            "`{}` holds, at byte {}, state that cannot be loaded: {error}",
                            path.display(),
                            frame.offset
                        ))
                        .help(self.ways_out(id, older.is_some()))
                        .at_step(id));
                    }
                }
            }
        }
        self.recovered.note(id, 0, bytes);
        Ok(())
    }
}
