//! What is different between two snapshots of a log.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

use crate::error::Error;
use crate::recovery::block::{BlockHead, Entry};
use crate::recovery::fault::refused;
use crate::recovery::manifest::SavedStep;
use crate::recovery::offline::dynamic::Shapes;
use crate::recovery::offline::rows::Rows;
use crate::recovery::offline::snapshot::{Keeps, Snapshot};
use crate::state::parts::whole::PartEntry;

/// A key whose state is not the same in two snapshots.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The key.
    pub key: Value,
    /// Its state in the first snapshot; `None` if it has none there.
    pub before: Option<Value>,
    /// Its state in the second one.
    pub after: Option<Value>,
}

/// The keys of a step whose states are not the same in two snapshots, as [`Snapshot::differences`] gives them.
pub struct Differences {
    before: Side,
    after: Side,
}

impl fmt::Debug for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Differences").finish_non_exhaustive()
    }
}

impl Snapshot {
    /// The keys of a step whose states are not the same in this snapshot and a later one, in the order of key groups. States are compared as they
    /// are encoded: collections without an order, such as a `HashMap`, may count as another although they hold the same.
    ///
    /// A step that one of the snapshots does not have has no keys there.
    ///
    /// # Errors
    /// When the snapshots are of two logs, or the step has no keyed state in either. Items are errors where a file cannot be read any more.
    pub fn differences(&self, step: &str, after: &Snapshot) -> Result<Differences, Error> {
        if self.0.ground.log_id != after.0.ground.log_id {
            return Err(refused("two logs place their keys differently, and cannot be compared"));
        }
        let (found, other) =
            (self.find_with(step, Keeps::PerKey), after.find_with(step, Keeps::PerKey));
        if let (Err(error), Err(_)) = (&found, &other) {
            return Err(refused(error.message()));
        }
        let side = |snapshot: &Snapshot, saved: Option<&SavedStep>| Side {
            rows: saved.map(|saved| Rows::of(&snapshot.0, saved.number, Keeps::PerKey)),
            shapes: saved.map(|saved| Shapes::of(&saved.spec)),
            next: None,
        };
        Ok(Differences {
            before: side(self, found.ok().map(|(_, saved)| saved)),
            after: side(after, other.ok().map(|(_, saved)| saved)),
        })
    }
}

/// The entries of one snapshot.
struct Side {
    rows: Option<Rows>,
    shapes: Option<Shapes>,
    next: Option<Row>,
}

struct Row {
    head: BlockHead,
    /// Where it lies in the order of entries.
    group: u16,
    key: Vec<u8>,
    state: Vec<u8>,
}

impl Side {
    /// Has the next entry ready, if there is one.
    fn peek(&mut self) -> Result<Option<&Row>, Error> {
        if self.next.is_none()
            && let Some(rows) = &mut self.rows
        {
            let shapes = &self.shapes;
            let row =
                |head, Entry { group, key, value, .. }: Entry<'_>, parts: &[PartEntry<'_>]| {
                    let whole = shapes.as_ref().map(|shapes| shapes.whole(head, value, parts));
                    let state = whole.unwrap_or(value.into()).into_owned();
                    Row { head, group, key: key.to_vec(), state }
                };
            self.next = rows.next_state(row).transpose()?;
        }
        Ok(self.next.as_ref())
    }

    fn state(&self, row: &Row) -> Value {
        self.shapes.as_ref().map_or(Value::Null, |shapes| shapes.state(row.head, &row.state))
    }

    fn key(&self, row: &Row) -> Value {
        self.shapes.as_ref().map_or(Value::Null, |shapes| shapes.key(row.head, &row.key))
    }
}

impl Differences {
    fn find(&mut self) -> Result<Option<Difference>, Error> {
        loop {
            let order = match (self.before.peek()?, self.after.peek()?) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => (a.group, &a.key).cmp(&(b.group, &b.key)),
            };
            let before = if order.is_le() { self.before.next.take() } else { None };
            let after = if order.is_ge() { self.after.next.take() } else { None };
            if let (Some(a), Some(b)) = (&before, &after)
                && (a.head.schema, &a.state) == (b.head.schema, &b.state)
            {
                continue;
            }
            let key = match (&before, &after) {
                (Some(row), _) => self.before.key(row),
                (None, Some(row)) => self.after.key(row),
                (None, None) => continue,
            };
            return Ok(Some(Difference {
                key,
                before: before.map(|row| self.before.state(&row)),
                after: after.map(|row| self.after.state(&row)),
            }));
        }
    }
}

impl Iterator for Differences {
    type Item = Result<Difference, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.find();
        if found.is_err() {
            // Behind an error there is nothing.
            (self.before.rows, self.after.rows) = (None, None);
            (self.before.next, self.after.next) = (None, None);
        }
        found.transpose()
    }
}
