//! What steps keep, as JSON: by the shapes in the log, without the types of the program.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::error::Error;
use crate::recovery::block::BlockHead;
use crate::recovery::manifest::StepSpec;
use crate::recovery::offline::rows::Rows;
use crate::recovery::offline::snapshot::{Keeps, Snapshot};
use crate::recovery::older::schema_of;
use crate::state::parts::whole::{PartEntry, put_together};
use crate::state::{Shape, decode};

/// A key with its state, as JSON. What that looks like is said at [`Shape::json_of_saved`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The key.
    pub key: Value,
    /// Its state.
    pub state: Value,
}

/// Where a source or sink is in one of its partitions.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Position {
    /// The partition.
    pub partition: String,
    /// Where it is.
    pub position: Value,
}

/// The keys of a step with their states, as [`Snapshot::entries`] gives them.
pub struct Entries {
    rows: Rows,
    shapes: Shapes,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The keys of a step with their states, as JSON, in the order of key groups. About 32 MiB of them are in memory at a time.
    ///
    /// Where the log does not say enough to take bytes apart, they are given in hex, with the name of their type: keys and states whose types are
    /// foreign, or have a serde implementation that cannot be traced.
    ///
    /// # Errors
    /// When no such step keeps keyed state. Items are errors where a file cannot be read any more.
    pub fn entries(&self, step: &str) -> Result<Entries, Error> {
        let (_, saved) = self.find_with(step, Keeps::PerKey)?;
        let rows = Rows::of(&self.0, saved.number, Keeps::PerKey);
        Ok(Entries { rows, shapes: Shapes::of(&saved.spec) })
    }

    /// The value that all workers have of a broadcast, as JSON; `None` if there is none yet.
    ///
    /// # Errors
    /// When no such step is a broadcast, or a file cannot be read any more.
    pub fn broadcast_json(&self, step: &str) -> Result<Option<Value>, Error> {
        let (_, saved) = self.find_with(step, Keeps::OneValue)?;
        let mut rows = Rows::of(&self.0, saved.number, Keeps::OneValue);
        let (mut value, shapes) = (None, Shapes::of(&saved.spec));
        while let Some(shown) = rows.next(|head, entry| shapes.state(head, entry.value)) {
            value = Some(shown?);
        }
        Ok(value)
    }

    /// The positions of a source or sink, as JSON, by partition.
    ///
    /// # Errors
    /// When no such step is a source or sink that keeps positions.
    pub fn positions(&self, step: &str) -> Result<Vec<Position>, Error> {
        let (found, saved) = self.find_with(step, Keeps::Positions)?;
        let positions = self.0.checked.positions.get(&saved.number).into_iter().flatten();
        let shown = positions.map(|(partition, bytes)| Position {
            partition: partition.as_str().to_owned(),
            position: position(&found.state, bytes),
        });
        Ok(shown.collect())
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Entries { rows, shapes } = self;
        rows.next_state(|head, entry, parts| Entry {
            key: shapes.key(head, entry.key),
            state: shapes.state(head, &shapes.whole(head, entry.value, parts)),
        })
    }
}

/// The shapes that the log knows of a step.
pub(crate) struct Shapes {
    key: Option<Shape>,
    /// Of what it keeps, slot by slot, each with what blocks call it.
    slots: Vec<(u32, Shape)>,
}

impl Shapes {
    pub(crate) fn of(spec: &StepSpec) -> Shapes {
        let slots = spec.slots.iter().map(|slot| (schema_of(&slot.shape), slot.shape.clone()));
        Shapes { key: spec.key.clone(), slots: slots.collect() }
    }

    /// A key.
    pub(crate) fn key(&self, head: BlockHead, bytes: &[u8]) -> Value {
        match &self.key {
            Some(shape) => decode::key(shape, head.form, bytes),
            None => Value::Null,
        }
    }

    /// What a block's entries are. It says which of the shapes they have.
    fn of_block(&self, head: BlockHead) -> Option<&Shape> {
        let of_schema = self.slots.iter().find(|(schema, _)| *schema == head.schema);
        let found = of_schema.or_else(|| self.slots.get(usize::from(head.slot)));
        found.map(|(_, shape)| shape)
    }

    /// A state together with the entries of its maps and lists. What does not go together stays in pieces, one behind the other.
    pub(crate) fn whole<'a>(
        &self,
        head: BlockHead,
        own: &'a [u8],
        parts: &[PartEntry<'_>],
    ) -> Cow<'a, [u8]> {
        if parts.is_empty() {
            return own.into();
        }
        let whole = self.of_block(head).and_then(|shape| put_together(shape, own, parts).ok());
        let pieces = || {
            let parts = parts.iter().flat_map(|part| [part.sub, part.value]);
            [own].into_iter().chain(parts).collect::<Vec<_>>().concat()
        };
        whole.unwrap_or_else(pieces).into()
    }

    /// What is kept, as a whole.
    pub(crate) fn state(&self, head: BlockHead, bytes: &[u8]) -> Value {
        match self.of_block(head) {
            Some(shape) => {
                let told = shape.json_of_saved(bytes);
                told.unwrap_or_else(|_| shape.json_of_unknown(bytes))
            }
            None => Shape::Tuple(Vec::new()).json_of_unknown(bytes),
        }
    }
}

fn position(shape: &Shape, bytes: &[u8]) -> Value {
    shape.json_of_serde(bytes).unwrap_or_else(|_| shape.json_of_unknown(bytes))
}
