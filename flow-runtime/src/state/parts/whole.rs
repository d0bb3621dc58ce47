//! Putting a state's own bytes and the entries of its parts together, as they would lie in one piece: for those who convert, show or compare a
//! state as a whole.
//!
//! Of a state's own bytes each part is an empty one. Where that is follows from the shape.

use crate::state::decode::skip_saved;
use crate::state::saved::save_length;
use crate::state::{LoadError, Shape};

/// An entry of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartEntry<'a> {
    pub(crate) slot: u16,
    pub(crate) sub: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// A state of this shape, of which `own` are its own bytes, as [`save`](crate::state::Saved::save) would write it. The entries are in their order.
///
/// # Errors
/// When the bytes are not of this shape, or it has no such parts.
pub(crate) fn put_together(
    shape: &Shape,
    own: &[u8],
    entries: &[PartEntry<'_>],
) -> Result<Vec<u8>, LoadError> {
    let values: usize = entries.iter().map(|entry| entry.sub.len() + entry.value.len()).sum();
    let mut whole = Whole { own, entries, slot: 0, to: Vec::with_capacity(own.len() + values + 8) };
    whole.add(shape)?;
    if let Some(entry) = whole.entries.first() {
        return Err(no_such_part(entry.slot, whole.slot));
    }
    // What is left over is a mistake, and found to be one by whoever reads this.
    whole.to.extend_from_slice(whole.own);
    Ok(whole.to)
}

/// There is an entry of a part that a state does not have.
pub(crate) fn no_such_part(slot: u16, parts: u16) -> LoadError {
    LoadError::new(format!(
        "there is an entry of part {slot} of a state that has {parts} maps and lists saved by entry"
    ))
}

struct Whole<'a> {
    own: &'a [u8],
    entries: &'a [PartEntry<'a>],
    slot: u16,
    to: Vec<u8>,
}

impl Whole<'_> {
    fn add(&mut self, shape: &Shape) -> Result<(), LoadError> {
        match shape {
            Shape::Struct { fields, .. } if shape.parts() > 0 => {
                fields.iter().try_for_each(|(_, shape)| self.add(shape))
            }
            Shape::MapState(..) => self.part(true),
            Shape::ListState(_) => self.part(false),
            _ => {
                let before = self.own;
                skip_saved(shape, &mut self.own)?;
                self.to.extend_from_slice(&before[..before.len() - self.own.len()]);
                Ok(())
            }
        }
    }

    fn part(&mut self, has_keys: bool) -> Result<(), LoadError> {
        self.own = match self.own {
            [0, rest @ ..] => rest,
            _ => return Err(LoadError::new("a map or list saved by entry lies in the state")),
        };
        self.slot = self.slot.saturating_add(1);
        let here = self.entries.iter().take_while(|entry| entry.slot == self.slot).count();
        let (here, rest) = self.entries.split_at(here);
        self.entries = rest;
        save_length(here.len(), &mut self.to);
        for PartEntry { sub, value, .. } in here {
            self.to.extend_from_slice(if has_keys { sub } else { &[] });
            self.to.extend_from_slice(value);
        }
        Ok(())
    }
}
