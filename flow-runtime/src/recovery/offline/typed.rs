//! What steps keep, as the types of the program that wrote it.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::recovery::block::{BlockHead, Entry, Kind};
use crate::recovery::fault::refused;
use crate::recovery::manifest::SavedStep;
use crate::recovery::offline::rows::Rows;
use crate::recovery::offline::snapshot::{Keeps, Snapshot, Step};
use crate::recovery::older::{Older, schema_of};
use crate::state::key_code::load_key;
use crate::state::parts::whole::{PartEntry, put_together};
use crate::state::{KeyHasher, Reader, Saved, Shape, group_of};

/// The keys of a step with their states, as [`Snapshot::state`] gives them: in the order of key groups, which is the same each time.
pub struct States<K, V> {
    rows: Rows,
    loads: Loads<V>,
    types: PhantomData<fn() -> K>,
}

impl<K, V> fmt::Debug for States<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("States").field("step", &self.loads.step).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The keys of a step with their states. About 32 MiB of them are in memory at a time.
    ///
    /// `K` and `V` are the types of the key and of the state, or such as have the same shape: a `String` reads a `CompactString`, a `#[stateful]` struct
    /// one with the same names and fields. States that were saved under an older version of `V` are converted, as a start would.
    ///
    /// # Errors
    /// When no such step keeps keyed state, or its keys or states have other shapes; both are named. Items are errors where an entry cannot be
    /// loaded, or a file cannot be read any more.
    pub fn state<K, V>(&self, step: &str) -> Result<States<K, V>, Error>
    where
        K: DeserializeOwned + 'static,
        V: Saved + 'static,
    {
        let (loads, saved) = self.keyed::<K, V>(step)?;
        let rows = Rows::of(&self.0, saved.number, Keeps::PerKey);
        Ok(States { rows, loads, types: PhantomData })
    }

    /// The state of one key; `None` if it has none. Only the key's group is read.
    ///
    /// # Errors
    /// As [`state`](Snapshot::state).
    pub fn get<K, V>(&self, step: &str, key: &K) -> Result<Option<V>, Error>
    where
        K: Serialize + DeserializeOwned + Eq + 'static,
        V: Saved + 'static,
    {
        let (loads, saved) = self.keyed::<K, V>(step)?;
        let format = &self.0.ground.format;
        let group = group_of(KeyHasher::new(format.seed).hash(key), format.groups);
        let rows = Rows::of_group(&self.0, saved.number, group as u16);
        for entry in (States::<K, V> { rows, loads, types: PhantomData }) {
            let (found, state) = entry?;
            if found == *key {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// The value that all workers have of a broadcast; `None` if there is none yet.
    ///
    /// # Errors
    /// When no such step is a broadcast, its value has another shape, or it cannot be loaded.
    pub fn broadcast<V: Saved + 'static>(&self, step: &str) -> Result<Option<V>, Error> {
        let (found, saved) = self.find_with(step, Keeps::OneValue)?;
        let loads = Loads::<V>::of("values", found, saved)?;
        let mut rows = Rows::of(&self.0, saved.number, Keeps::OneValue);
        let mut value = None;
        while let Some(loaded) = rows.next(|head, entry| loads.value(head, entry.value, &[])) {
            value = Some(loaded??);
        }
        Ok(value)
    }

    fn keyed<K: DeserializeOwned, V: Saved + 'static>(
        &self,
        step: &str,
    ) -> Result<(Loads<V>, &SavedStep), Error> {
        let (found, saved) = self.find_with(step, Keeps::PerKey)?;
        if let Some(key) = &found.key {
            let asked = Shape::of_serde::<K>();
            if let Some(difference) = key.differences(&asked) {
                return Err(others("keys", step, key, &asked, &difference));
            }
        }
        Ok((Loads::of("states", found, saved)?, saved))
    }
}

/// Refuses to read one shape as another.
fn others(what: &str, step: &str, saved: &Shape, asked: &Shape, why: &str) -> Error {
    refused(format!("its {what} are saved as {saved}, and are to be read as {asked}: {why}"))
        .at_step(step)
        .help("read it with the types of the program that wrote it, or without types, by `Snapshot::entries`")
}

/// How what a step keeps is loaded.
struct Loads<V> {
    step: String,
    /// `V` as it is now, and what blocks say of it.
    shape: Shape,
    current: u32,
    older: Older<V>,
}

impl<V: Saved + 'static> Loads<V> {
    fn of(what: &str, found: &Step, saved: &SavedStep) -> Result<Loads<V>, Error> {
        let asked = Shape::from(V::SCHEMA);
        let mut older: Vec<Shape> = saved.spec.older().cloned().collect();
        if let Some(difference) = found.state.differences(&asked) {
            if Reader::<V>::of(&found.state).is_err() {
                return Err(others(what, &found.id, &found.state, &asked, &difference));
            }
            older.push(found.state.clone());
        }
        // A version that nothing converts any more matters only where there is an entry of it.
        older.retain(|was| *was != asked && Reader::<V>::of(was).is_ok());
        let older = Older::new(&older, Reader::of)
            .map_err(|error| refused(error.to_string()).at_step(&found.id))?;
        Ok(Loads { step: found.id.clone(), current: schema_of(&asked), shape: asked, older })
    }

    /// Loads a value. One that was saved under an older version of the type bears another schema.
    fn value(&self, head: BlockHead, own: &[u8], parts: &[PartEntry<'_>]) -> Result<V, Error> {
        let loaded = match head.schema == self.current {
            true if parts.is_empty() => V::load_all(own),
            true => put_together(&self.shape, own, parts).and_then(|whole| V::load_all(&whole)),
            false => self.older.load_with(head.schema, own, parts),
        };
        loaded.map_err(|error| self.failed(error))
    }

    fn entry<K: DeserializeOwned + 'static>(
        &self,
        head: BlockHead,
        entry: Entry<'_>,
        parts: &[PartEntry<'_>],
    ) -> Result<(K, V), Error> {
        if head.kind != Kind::Value {
            return Err(self.failed("there is an entry of a kind that this version never writes"));
        }
        let key = load_key(entry.key).map_err(|error| self.failed(error))?;
        Ok((key, self.value(head, entry.value, parts)?))
    }

    fn failed(&self, why: impl fmt::Display) -> Error {
        refused(format!("an entry cannot be loaded: {why}")).at_step(&self.step)
    }
}

impl<K: DeserializeOwned + 'static, V: Saved + 'static> Iterator for States<K, V> {
    type Item = Result<(K, V), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let States { rows, loads, .. } = self;
        let loaded = rows.next_state(|head, entry, parts| loads.entry(head, entry, parts))?;
        Some(loaded.and_then(|loaded| loaded))
    }
}
