//! Loading entries that were saved before a step's state had the version that it has now.
//!
//! Every block bears the low half of the digest of its values' shape, so entries of several versions lie side by side and each
//! is read as what it is. The manifest has the shapes of those that there may still be.

use std::fmt;

use crate::state::{LoadError, Reader, Shape};

/// Readers, by the schema of the blocks that they are for.
pub(crate) struct Older<V>(Vec<(u32, Reader<V>)>);

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
        let readers = shapes.iter().map(|was| Ok((schema_of(was), reader(was)?)));
        readers.collect::<Result<_, _>>().map(Older)
    }

    /// Reads a value of a block with this schema.
    pub(crate) fn load(&self, schema: u32, bytes: &[u8]) -> Result<V, LoadError> {
        match self.0.iter().find(|(known, _)| *known == schema) {
            Some((_, reader)) => reader.read_all(bytes),
            None => Err(LoadError::new(format!(
                "it was saved under the schema {schema:08x}, which the log does not know of the step"
            ))),
        }
    }
}

/// What blocks say of a shape: the low half of its digest.
pub(crate) fn schema_of(shape: &Shape) -> u32 {
    shape.digest() as u32
}
