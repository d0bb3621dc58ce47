//! What a recovery log would have of a single step, for the harnesses.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bounds::Key;
use crate::describe::StepId;
use crate::recovery::block::{Block, Entry, Kind};
use crate::recovery::changes::{Buffers, Changes, StepName, StepNames};
use crate::state::key_code::load_key;
use crate::state::{KeyHasher, LoadError, group_of, worker_of};
use crate::time::Timestamp;

/// The key groups of the made-up log.
const GROUPS: u32 = 256;

/// A step, and what a log has of it as of the last epoch.
pub(super) struct OneStep {
    pub(super) id: StepId,
    names: Arc<StepNames>,
    pub(super) hasher: KeyHasher,
    /// Keys and states, encoded.
    saved: BTreeMap<Vec<u8>, Vec<u8>>,
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

    /// Takes over what a worker has changed. Answers how many keys that are.
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
                |Entry { key, value, .. }| {
                    match block.head.kind {
                        Kind::Tombstone => drop(saved.remove(key)),
                        _ => drop(saved.insert(key.to_owned(), value.to_owned())),
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

    /// Loads what is saved: hash, key and value of each entry.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub(super) fn load<K: Key, V>(
        &self,
        load: impl Fn(&[u8]) -> Result<V, LoadError>,
    ) -> impl Iterator<Item = (u64, K, V)> {
        self.saved.iter().map(move |(key, value)| {
            let loaded = load_key::<K>(key).and_then(|key| Ok((key, load(value)?)));
            let (key, value) = loaded.unwrap_or_else(|error| {
                panic!("what was saved of the step cannot be loaded: {}", error.what())
            });
            (self.hasher.hash(&key), key, value)
        })
    }
}
