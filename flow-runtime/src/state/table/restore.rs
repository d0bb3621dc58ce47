//! Taking over what is saved: of each key the state, and the entries of its parts.

use crate::bounds::Key;
use crate::describe::StepId;
use crate::error::Error;
use crate::recovery::older::{Older, Unconverted, convert};
use crate::recovery::recovered::{Keyed, PartSays, Restoring};
use crate::recovery::waiting::Waiting;
use crate::state::key_code::load_key;
use crate::state::parts::whole::{PartEntry, no_such_part};
use crate::state::parts::{Part, PartKind};
use crate::state::table::Table;
use crate::state::{KeyHasher, LoadError, Parted, Reader, Shape, group_of};

/// Takes over, entry by entry, what is saved of a step.
pub(crate) struct Takeover<'a, K, V, L> {
    pub(crate) table: &'a mut Table<K, V>,
    pub(crate) id: &'a StepId,
    pub(crate) hasher: KeyHasher,
    pub(crate) groups: u32,
    /// Reads the own bytes of a state.
    pub(crate) load: L,
    pub(crate) older: Older<V>,
    pub(crate) unconverted: Unconverted,
    pub(crate) waiting: Waiting,
}

/// Why what was taken over makes no states.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// Something is missing.
    NotWhole(LoadError),
    /// What an older version has saved is not converted.
    NotConverted(LoadError),
}

impl<K: Key, V: Parted> Table<K, V> {
    /// Takes over what is saved for a step and belongs to this worker. `load` reads a value.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn restore_from(
        &mut self,
        id: &StepId,
        from: &Restoring<'_>,
        load: impl Fn(&[u8]) -> Result<V, LoadError>,
        older: impl Fn(&Shape) -> Result<Reader<V>, LoadError>,
    ) -> Result<(), Error> {
        self.saves();
        let older = from.older(id, older)?;
        let (hasher, groups) = (from.hasher(), from.groups());
        if let Some(own) = from.own_groups() {
            self.slots.reserve(from.keys_at_least(id), own, groups);
        }
        let (unconverted, waiting) = Default::default();
        let mut takeover =
            Takeover { table: self, id, hasher, groups, load, older, unconverted, waiting };
        from.keyed(id, |group, entry| takeover.entry(group, entry))?;
        takeover.finish().map_err(|unfit| match unfit {
            Unfit::NotWhole(error) => from.not_whole(id, &error),
            Unfit::NotConverted(error) => from.not_converted(id, &error),
        })?;
        from.has_keys(id, self.len());
        self.unlisted = self.few();
        Ok(())
    }

    /// Takes over what an entry says of a part of a key's state.
    ///
    /// # Errors
    /// When it cannot be read, or there is no such key or part.
    pub(crate) fn restore_part(
        &mut self,
        hash: u64,
        key: &K,
        slot: u16,
        says: PartSays<'_>,
    ) -> Result<(), LoadError> {
        let Some(part) = self.part_mut(hash, key, slot) else {
            return Err(no_such_part(slot, V::PARTS));
        };
        match says {
            PartSays::Cleared => part.restore_cleared(),
            PartSays::Gone { sub } => part.restore(sub, None)?,
            PartSays::Put { kind, sub, value } if kind == part.kind() => {
                part.restore(sub, Some(value))?;
            }
            PartSays::Put { kind, .. } => {
                let what = |kind| match kind {
                    PartKind::Map => "a map",
                    PartKind::List => "a list",
                };
                let (is, said) = (what(part.kind()), what(kind));
                let error = format!("part {slot} of the state is {is}, and the entry is of {said}");
                return Err(LoadError::new(error));
            }
        }
        Ok(())
    }

    fn part_mut(&mut self, hash: u64, key: &K, slot: u16) -> Option<&mut dyn Part> {
        let found = self.slots.find_mut(hash, |stored| stored == key)?;
        found.value.part(slot.checked_sub(1)?)
    }

    /// Takes over a state that was saved: a later one of the same key replaces it. Its parts stay, as their entries are saved one by one.
    pub(crate) fn restore(&mut self, hash: u64, key: K, mut value: V) {
        match self.slots.find_mut(hash, |stored| *stored == key) {
            Some(slot) => {
                for n in 0..V::PARTS {
                    if let (Some(new), Some(there)) = (value.part(n), slot.value.part(n)) {
                        new.trade(there);
                    }
                }
                slot.value = value;
            }
            None => drop(self.slots.find_or_insert(hash, |_| false, || (key, value))),
        }
    }

    /// Takes over that a key was gone.
    fn restore_gone(&mut self, hash: u64, key: &K) {
        self.slots.remove(hash, |stored, _| stored == key);
    }

    /// Everything has been taken over.
    ///
    /// # Errors
    /// When something of a state is missing.
    pub(crate) fn restored(&mut self) -> Result<(), LoadError> {
        if V::PARTS == 0 {
            return Ok(());
        }
        let mut entries = 0;
        for slot in self.slots.iter_mut() {
            for n in 0..V::PARTS {
                if let Some(part) = slot.value.part(n) {
                    part.restored()?;
                    entries += part.count() as u64;
                }
            }
        }
        self.journal.part_entries = entries;
        Ok(())
    }
}

impl<K: Key, V: Parted, L: Fn(&[u8]) -> Result<V, LoadError>> Takeover<'_, K, V, L> {
    /// Takes over an entry of this key group.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn entry(&mut self, group: u16, entry: Keyed<'_>) -> Result<(), LoadError> {
        let bytes = entry.key();
        let key: K = load_key(bytes)?;
        let hash = self.hasher.hash(&key);
        if group_of(hash, self.groups) != u32::from(group) {
            return Err(LoadError::new("a key does not belong to its key group"));
        }
        if let Keyed::Part { slot, says, older, .. } = entry {
            return self.part((hash, &key), bytes, older, slot, says);
        }
        self.unconverted.replaced(bytes);
        match entry {
            Keyed::Value { value, older: None, .. } => {
                let value = (self.load)(value)?;
                match self.waiting.take(bytes) {
                    None => self.table.restore(hash, key, value),
                    Some(early) => {
                        self.table.restore(hash, key.clone(), value);
                        for PartEntry { slot, sub, value } in early.entries() {
                            let part = self.table.part_mut(hash, &key, slot);
                            let part = part.ok_or_else(|| no_such_part(slot, V::PARTS))?;
                            part.restore(sub, Some(value))?;
                        }
                    }
                }
                Ok(())
            }
            Keyed::Value { value, older: Some(schema), .. } => {
                // Its parts are none of what an earlier state had.
                self.table.restore_gone(hash, &key);
                if self.older.parts(schema)? > 0 {
                    self.waiting.value(bytes, schema, value);
                    return Ok(());
                }
                drop(self.waiting.take(bytes));
                self.converted(bytes, hash, key, |older| older.load(schema, value))
            }
            _ => {
                drop(self.waiting.take(bytes));
                self.table.restore_gone(hash, &key);
                Ok(())
            }
        }
    }

    /// Takes over what an entry says of a part of a key's state, or lets it wait for that state.
    fn part(
        &mut self,
        (hash, key): (u64, &K),
        bytes: &[u8],
        was: Option<u32>,
        slot: u16,
        says: PartSays<'_>,
    ) -> Result<(), LoadError> {
        let parts = match was {
            None => V::PARTS,
            Some(schema) => self.older.parts(schema)?,
        };
        if slot > parts {
            return Err(no_such_part(slot, parts));
        }
        let is_here = self.table.slots.find(hash, |stored| stored == key).is_some();
        match (was, is_here) {
            (None, true) => return self.table.restore_part(hash, key, slot, says),
            // It belongs to a state that has been replaced by this one.
            (Some(_), true) => {}
            (_, false) => self.waiting.part(bytes, was, slot, says),
        }
        Ok(())
    }

    /// Takes over what an older version has saved, if it can be converted; a later state of the key may make that needless.
    fn converted(
        &mut self,
        bytes: &[u8],
        hash: u64,
        key: K,
        load: impl FnOnce(&Older<V>) -> Result<V, LoadError>,
    ) -> Result<(), LoadError> {
        match convert(self.id, &key, || load(&self.older)) {
            Ok(value) => self.table.restore(hash, key, value),
            Err(error) => self.unconverted.add(bytes, error)?,
        }
        Ok(())
    }

    /// Everything has been taken over.
    ///
    /// # Errors
    /// When it does not make states.
    pub(crate) fn finish(mut self) -> Result<(), Unfit> {
        let waiting = std::mem::take(&mut self.waiting);
        let converted = waiting.finish(|bytes, schema, own, entries| {
            let key: K = load_key(bytes)?;
            let hash = self.hasher.hash(&key);
            self.converted(bytes, hash, key, |older| older.load_with(schema, own, entries))
        });
        converted.map_err(Unfit::NotWhole)?;
        if let Some(error) = self.unconverted.first() {
            return Err(Unfit::NotConverted(error.clone()));
        }
        self.table.restored().map_err(Unfit::NotWhole)
    }
}
