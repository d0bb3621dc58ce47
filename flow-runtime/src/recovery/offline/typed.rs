//! What steps keep, as the types of the program that wrote it.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::recovery::block::{BlockHead, Kind};
use crate::recovery::fault::refused;
use crate::recovery::manifest::SavedStep;
use crate::recovery::offline::rows::Rows;
use crate::recovery::offline::snapshot::{Keeps, Snapshot};
use crate::state::key_code::load_key;
use crate::state::{KeyHasher, LoadError, Saved, Shape, group_of};

/// The keys of a step with their states, as [`Snapshot::state`] gives them: in the order of key groups, which is the same each time.
pub struct States<K, V> {
    rows: Rows,
    loads: Loads,
    types: PhantomData<fn() -> (K, V)>,
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
    /// one with the same names and fields.
    ///
    /// # Errors
    /// When no such step keeps keyed state, or its keys or states have other shapes; both are named. Items are errors where an entry cannot be
    /// loaded, or a file cannot be read any more.
    pub fn state<K, V>(&self, step: &str) -> Result<States<K, V>, Error>
    where
        K: DeserializeOwned + 'static,
        V: Saved,
    {
        let (loads, saved) = self.loads::<K, V>(step)?;
        let rows = Rows::of(&self.0, saved.number, Keeps::Keyed);
        Ok(States { rows, loads, types: PhantomData })
    }

    /// The state of one key; `None` if it has none. Only the key's group is read.
    ///
    /// # Errors
    /// As [`state`](Snapshot::state).
    pub fn get<K, V>(&self, step: &str, key: &K) -> Result<Option<V>, Error>
    where
        K: Serialize + DeserializeOwned + Eq + 'static,
        V: Saved,
    {
        let (loads, saved) = self.loads::<K, V>(step)?;
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
    pub fn broadcast<V: Saved>(&self, step: &str) -> Result<Option<V>, Error> {
        let (found, saved) = self.find_with(step, Keeps::Broadcast)?;
        self.same("values", step, &found.state, &Shape::from(V::SCHEMA))?;
        let loads = self.loads_of(step, saved);
        let mut rows = Rows::of(&self.0, saved.number, Keeps::Broadcast);
        let mut value = None;
        while let Some(loaded) = rows.next(|head, entry| loads.value::<V>(head, entry.value)) {
            value = Some(loaded??);
        }
        Ok(value)
    }

    fn loads<K: DeserializeOwned, V: Saved>(
        &self,
        step: &str,
    ) -> Result<(Loads, &SavedStep), Error> {
        let (found, saved) = self.find_with(step, Keeps::Keyed)?;
        if let Some(key) = &found.key {
            self.same("keys", step, key, &Shape::of_serde::<K>())?;
        }
        self.same("states", step, &found.state, &Shape::from(V::SCHEMA))?;
        Ok((self.loads_of(step, saved), saved))
    }

    fn loads_of(&self, step: &str, saved: &SavedStep) -> Loads {
        let current = saved.spec.slots.first().map_or(0, |slot| slot.shape.digest() as u32);
        Loads { step: step.to_owned(), current }
    }

    /// Refuses to read one shape as another.
    fn same(&self, what: &str, step: &str, saved: &Shape, asked: &Shape) -> Result<(), Error> {
        let Some(difference) = saved.differences(asked) else { return Ok(()) };
        Err(refused(format!(
            "its {what} are saved as {saved}, and are to be read as {asked}: {difference}"
        ))
        .at_step(step)
        .help("read it with the types of the program that wrote it, or without types, by `Snapshot::entries`"))
    }
}

/// How the entries of a step are loaded.
struct Loads {
    step: String,
    /// The schema of what the step keeps now.
    current: u32,
}

impl Loads {
    /// Loads a value. One that was saved under an older version of the type bears another schema.
    fn value<V: Saved>(&self, head: BlockHead, bytes: &[u8]) -> Result<V, Error> {
        if head.schema != self.current {
            return Err(self.failed("it has the shape of an older version of the type"));
        }
        V::load_all(bytes).map_err(|error| self.failed(error))
    }

    fn entry<K: DeserializeOwned + 'static, V: Saved>(
        &self,
        head: BlockHead,
        key: &[u8],
        value: &[u8],
    ) -> Result<(K, V), Error> {
        if head.kind != Kind::Value {
            let what = "there is an entry of a kind that this version never writes";
            return Err(self.failed(LoadError::new(what)));
        }
        let key = load_key(key).map_err(|error| self.failed(error))?;
        Ok((key, self.value(head, value)?))
    }

    fn failed(&self, why: impl fmt::Display) -> Error {
        refused(format!("an entry cannot be loaded: {why}")).at_step(&self.step)
    }
}

impl<K: DeserializeOwned + 'static, V: Saved> Iterator for States<K, V> {
    type Item = Result<(K, V), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let States { rows, loads, .. } = self;
        let loaded = rows.next(|head, entry| loads.entry(head, entry.key, entry.value))?;
        Some(loaded.and_then(|loaded| loaded))
    }
}
