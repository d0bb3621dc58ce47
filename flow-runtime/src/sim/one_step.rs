//! What a recovery log would have of a single step, for the harnesses.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bounds::Key;
use crate::describe::StepId;
use crate::recovery::block::Block;
use crate::recovery::changes::{Buffers, Changes, StepName, StepNames};
use crate::recovery::recovered::{Keyed, PartSays};
use crate::state::key_code::load_key;
use crate::state::parts::PartKind;
use crate::state::{KeyHasher, LoadError, Parted, Table, group_of, worker_of};
use crate::time::Timestamp;

/// The key groups of the made-up log.
const GROUPS: u32 = 256;

/// A step, and what a log has of it as of the last epoch.
pub(super) struct OneStep {
    pub(super) id: StepId,
    names: Arc<StepNames>,
    pub(super) hasher: KeyHasher,
    /// By the keys as they are encoded.
    saved: BTreeMap<Vec<u8>, SavedKey>,
    /// How far event time had come.
    pub(super) watermark: Timestamp,
}

impl OneStep {
    pub(super) fn new() -> Self {
        let id = StepId::root().child("step");
        let name = StepName { number: 0, schema: 0 };
        let names = StepNames { groups: GROUPS, names: [(id.clone(), name)].into() };
        OneStep {
            id,
            names: Arc::new(names),
            hasher: KeyHasher::new(0),
            saved: BTreeMap::new(),
            watermark: Timestamp::MIN,
        }
    }

    /// Which of so many workers has the keys with this hash.
    pub(super) fn worker(&self, hash: u64, workers: usize) -> usize {
        worker_of(group_of(hash, GROUPS), GROUPS, workers)
    }

    /// Where a worker puts what it has changed in an epoch.
    pub(super) fn changes(&self) -> Changes {
        Changes::new(Arc::clone(&self.names), Buffers::default())
    }

    /// Takes over what a worker has changed. Answers how many entries that are.
    ///
    /// # Panics
    /// When a key could not be encoded.
    pub(super) fn save(&mut self, mut changes: Changes) -> usize {
        if let Some(error) = changes.take_failure() {
            panic!("{error}");
        }
        let mut entries = 0;
        for payload in &changes.payloads {
            entries += payload.count as usize;
            let block = Block::decode(&payload.bytes).expect("it has just been encoded");
            let saved = &mut self.saved;
            let applied = block.entries(
                |_| true,
                |entry| {
                    match Keyed::of(block.head, None, entry)? {
                        Keyed::Gone { key } => drop(saved.remove(key)),
                        Keyed::Value { key, value, .. } => {
                            value.clone_into(&mut saved.entry(key.to_owned()).or_default().own);
                        }
                        Keyed::Part { key, slot, says, .. } => {
                            saved.entry(key.to_owned()).or_default().apply(slot, says);
                        }
                    }
                    Ok::<(), LoadError>(())
                },
            );
            let _: () = applied.expect("it has just been encoded").expect("nothing fails");
        }
        if let Some(watermark) = changes.watermarks.values().max() {
            self.watermark = self.watermark.max(*watermark);
        }
        entries
    }

    /// Loads what is saved into the tables of workers, of each key into the one that has it. `load` reads a value without its parts.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub(super) fn restore<K: Key, V: Parted>(
        &self,
        tables: &mut [&mut Table<K, V>],
        load: impl Fn(&[u8]) -> Result<V, LoadError>,
    ) {
        let restored = self.saved.iter().try_for_each(|(key, saved)| {
            let key: K = load_key(key)?;
            let hash = self.hasher.hash(&key);
            let table = &mut tables[self.worker(hash, tables.len())];
            table.restore(hash, key.clone(), load(&saved.own)?);
            saved.entries.iter().try_for_each(|((slot, sub), (kind, value))| {
                let says = PartSays::Put { kind: *kind, sub, value };
                table.restore_part(hash, &key, *slot, says)
            })
        });
        let whole =
            restored.and_then(|()| tables.iter_mut().try_for_each(|table| table.restored()));
        if let Err(error) = whole {
            panic!("what was saved of the step cannot be loaded: {}", error.what());
        }
    }
}

/// What the log has of a key.
#[derive(Default)]
struct SavedKey {
    /// The value, without its parts.
    own: Vec<u8>,
    /// The entries of its maps and lists, by slot and sub-key.
    entries: BTreeMap<(u16, Vec<u8>), (PartKind, Vec<u8>)>,
}

impl SavedKey {
    fn apply(&mut self, slot: u16, says: PartSays<'_>) {
        let entries = &mut self.entries;
        match says {
            PartSays::Cleared => entries.retain(|(of, _), _| *of != slot),
            PartSays::Gone { sub } => drop(entries.remove(&(slot, sub.to_owned()))),
            PartSays::Put { kind, sub, value } => {
                entries.insert((slot, sub.to_owned()), (kind, value.to_owned()));
            }
        }
    }
}
