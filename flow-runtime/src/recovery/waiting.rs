//! Keys whose states can only be put together when all of their entries are there.
//!
//! A state of the schema that it has today takes its entries as they come. One that an older version has saved is converted as a whole, so
//! its entries wait with it. And should an entry come before the state that it belongs to, it waits for that.
//!
//! An entry belongs to a state if both have the same schema. When a key is written under another one all of it is; what is left of
//! before does not count any more.

use std::collections::BTreeMap;

use crate::recovery::recovered::PartSays;
use crate::state::LoadError;
use crate::state::parts::whole::PartEntry;

/// What is called by its schema, its slot and its sub-key.
type Entries = BTreeMap<(Option<u32>, u16, Box<[u8]>), Box<[u8]>>;

/// What waits, by the key as it is encoded.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeMap<Box<[u8]>, State>);

/// What is there of a key.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Of an older version: its schema, and its own bytes.
    value: Option<(u32, Box<[u8]>)>,
    /// Those that were saved under today's schema have none.
    entries: Entries,
}

impl Waiting {
    /// The key is gone, or has a value that waits for nothing. Answers the entries that have come for it.
    pub(crate) fn take(&mut self, key: &[u8]) -> Option<State> {
        // Mostly nothing waits at all.
        if self.0.is_empty() { None } else { self.0.remove(key) }
    }

    /// The key has this value of an older version.
    pub(crate) fn value(&mut self, key: &[u8], schema: u32, own: &[u8]) {
        let state = self.0.entry(key.into()).or_default();
        state.entries.retain(|(of, ..), _| *of == Some(schema));
        state.value = Some((schema, own.into()));
    }

    /// An entry has come, or that one is gone.
    pub(crate) fn part(&mut self, key: &[u8], schema: Option<u32>, slot: u16, says: PartSays<'_>) {
        if let PartSays::Put { sub, value, .. } = says {
            let state = self.0.entry(key.into()).or_default();
            state.entries.insert((schema, slot, sub.into()), value.into());
        } else if let Some(State { entries, .. }) = self.0.get_mut(key) {
            match says {
                PartSays::Gone { sub } => drop(entries.remove(&(schema, slot, sub.into()))),
                _ => entries.retain(|(of, at, _), _| (*of, *at) != (schema, slot)),
            }
        }
    }

    /// Gives every key with its value and the entries that belong to it to `each`.
    ///
    /// # Errors
    /// When entries wait for a state that never came, and as `each`.
    pub(crate) fn finish(
        self,
        mut each: impl FnMut(&[u8], u32, &[u8], &[PartEntry<'_>]) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        for (key, State { value, entries }) in self.0 {
            match value {
                Some((schema, own)) => {
                    let belongs = |of: &Option<u32>| *of == Some(schema);
                    let entries = entries.iter().filter(|((of, ..), _)| belongs(of));
                    let entries: Vec<_> = entries
                        .map(|((_, slot, sub), value)| PartEntry { slot: *slot, sub, value })
                        .collect();
                    each(&key, schema, &own, &entries)?;
                }
                None if entries.is_empty() => {}
                None => return Err(LoadError::new("there are entries of a key without a state")),
            }
        }
        Ok(())
    }
}

impl State {
    /// The entries that were saved under today's schema.
    pub(crate) fn entries(&self) -> impl Iterator<Item = PartEntry<'_>> {
        let own = self.entries.iter().filter(|((schema, ..), _)| schema.is_none());
        own.map(|((_, slot, sub), value)| PartEntry { slot: *slot, sub, value })
    }
}
