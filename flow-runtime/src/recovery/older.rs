//! Loading entries that were saved before a step's state had the version that it has now.
//!
//! Every block bears the low half of the digest of its values' shape, so entries of several versions lie side by side and each
//! is read as what it is. The manifest has the shapes of those that there may still be.

use std::collections::BTreeMap;
use std::fmt;

use crate::bounds::Key;
use crate::describe::StepId;
use crate::failure::Note;
use crate::state::parts::whole::{PartEntry, put_together};
use crate::state::{LoadError, Reader, Shape};

/// Readers, by the schema of the blocks that they are for.
pub(crate) struct Older<V>(Vec<(u32, Shape, Reader<V>)>);

impl<V> fmt::Debug for Older<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Older").field(&self.0.len()).finish()
    }
}

impl<V> Older<V> {
    /// A reader for each of the shapes.
    pub(crate) fn new(
        shapes: &[Shape],
        reader: impl Fn(&Shape) -> Result<Reader<V>, LoadError>,
    ) -> Result<Self, LoadError> {
        let readers = shapes.iter().map(|was| Ok((schema_of(was), was.clone(), reader(was)?)));
        readers.collect::<Result<_, _>>().map(Older)
    }

    /// Reads a value of a block with this schema.
    pub(crate) fn load(&self, schema: u32, bytes: &[u8]) -> Result<V, LoadError> {
        self.of(schema)?.1.read_all(bytes)
    }

    /// The same of a value some of whose parts are saved entry by entry.
    pub(crate) fn load_with(
        &self,
        schema: u32,
        own: &[u8],
        entries: &[PartEntry<'_>],
    ) -> Result<V, LoadError> {
        let (shape, reader) = self.of(schema)?;
        reader.read_all(&put_together(shape, own, entries)?)
    }

    /// How many parts values of this schema have that are saved entry by entry.
    pub(crate) fn parts(&self, schema: u32) -> Result<u16, LoadError> {
        Ok(self.of(schema)?.0.parts())
    }

    fn of(&self, schema: u32) -> Result<(&Shape, &Reader<V>), LoadError> {
        let known = self.0.iter().find(|(known, ..)| *known == schema);
        known.map(|(_, shape, reader)| (shape, reader)).ok_or_else(|| {
            LoadError::new(format!(
                "it was saved under the schema {schema:08x}, which the log does not know of the step"
            ))
        })
    }
}

/// What blocks say of a shape: the low half of its digest.
pub(crate) fn schema_of(shape: &Shape) -> u32 {
    shape.digest() as u32
}

/// Keys whose state was saved by an older version and could not be converted. Only the last state of a key has to be: what a
/// later one replaces may be what nothing converts any more.
#[derive(Debug, Default)]
pub(crate) struct Unconverted(BTreeMap<Box<[u8]>, LoadError>);

/// So many keys that cannot be converted are not waited for.
const UNCONVERTED_MAX: usize = 1 << 16;

impl Unconverted {
    #[inline]
    /// The key has a later state, or none.
    pub(crate) fn replaced(&mut self, key: &[u8]) {
        if !self.0.is_empty() {
            self.0.remove(key);
        }
    }

    /// The state of this key could not be converted.
    pub(crate) fn add(&mut self, key: &[u8], error: LoadError) -> Result<(), LoadError> {
        if self.0.len() >= UNCONVERTED_MAX {
            return Err(error);
        }
        self.0.insert(key.into(), error);
        Ok(())
    }

    /// One of those that are left.
    pub(crate) fn first(&self) -> Option<&LoadError> {
        self.0.values().next()
    }
}

/// Loads what an older version has saved: what the user's conversion says, or panics with, names the key.
pub(crate) fn convert<K: Key, V>(
    id: &StepId,
    key: &K,
    load: impl FnOnce() -> Result<V, LoadError>,
) -> Result<V, LoadError> {
    let note = Note::beside_key(id, key);
    let loaded = load();
    note.clear();
    loaded.map_err(|error| match serde_json::to_string(key) {
        Ok(key) => LoadError::new(format!("of key {key}: {}", error.what())),
        Err(_) => error,
    })
}
