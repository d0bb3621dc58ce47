//! Parts of a key's state that are saved entry by entry: of a map or list with many entries only those are written that have
//! changed.
//!
//! A part lies somewhere in the state of a key, and the log holds its entries under the key and the part's *slot*: its place among all
//! parts of the state, counted from 1 in the order of fields. Slots are told apart by the shape that the block's schema names, so a
//! field that is moved or added mixes nothing up: it makes another shape.
//!
//! A part marks what changes of it. That is enough as long as it stays where it is; but a function may as well put another one in its
//! place, or swap two. So whoever lends a state out first tells each part its [`Place`], which is another one each time, and a part that
//! does not know its place at the barrier is written as a whole, in front of it that nothing older counts.
//!
//! | file | what it owns |
//! |---|---|
//! | `map` | [`MapState`] |
//! | `list` | [`ListState`] |
//! | `whole` | putting a state's own bytes and its entries together |

mod list;
mod map;
#[cfg(test)]
mod tests;
pub(crate) mod whole;

pub use list::ListState;
pub use map::MapState;

use std::any::Any;
use std::num::NonZeroU64;

use crate::recovery::part_changes::PartChanges;
use crate::state::{LoadError, Saved, Schema};

/// What a part is, and so how the log calls its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// A map; the sub-key of an entry is its key.
    Map,
    /// A list; the sub-key of an element is its number.
    List,
}

/// A part of a key's state that is saved entry by entry.
pub trait Part: Any {
    /// What it is.
    fn kind(&self) -> PartKind;

    /// How many entries it has.
    fn count(&self) -> usize;

    /// It is lent out where `place` says. What the log has of this place is what the part holds, but for what it has marked.
    fn lend(&mut self, place: Place);

    /// Gives what has changed to `to`, and begins to mark anew.
    fn gather(&mut self, place: Place, to: &mut PartChanges<'_>);

    /// Takes over an entry that was saved, or that one was gone.
    ///
    /// # Errors
    /// When it cannot be read.
    fn restore(&mut self, sub: &[u8], value: Option<&[u8]>) -> Result<(), LoadError>;

    /// Takes over that all entries before were gone.
    fn restore_cleared(&mut self);

    /// Everything has been taken over.
    ///
    /// # Errors
    /// When something is missing.
    fn restored(&mut self) -> Result<(), LoadError>;

    /// Changes places with a part of the same type.
    fn trade(&mut self, other: &mut dyn Part);
}

/// Where a part lies, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(NonZeroU64);

impl Place {
    /// The part with this slot, of the entry that leaves such a trace in a table, since the epoch with this stamp. Two that are not the same are
    /// taken for the same once in 2^63.
    pub(crate) fn of(table: u64, trace: u64, stamp: u32, slot: u16) -> Place {
        let parts = [trace, u64::from(stamp), u64::from(slot)];
        let word = parts.into_iter().fold(table, |word, part| {
            let word = (word ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word ^ (word >> 32)
        });
        Place(NonZeroU64::MIN | word)
    }
}

/// What a table keeps for a key, as far as parts of it are saved entry by entry. Of values without parts nothing is compiled, neither time
/// nor memory is spent.
pub trait Parted {
    /// How many parts there are.
    const PARTS: u16 = 0;

    /// Part `n`, counted from 0; `None` beyond the last one, and where there is no state.
    fn part(&mut self, n: u16) -> Option<&mut dyn Part> {
        let _ = n;
        None
    }
}

/// The schema of what is inside of a collection, an option or a variant, where a part would have no slot.
pub(crate) const fn whole<T: Saved>() -> &'static Schema {
    assert!(
        T::PARTS == 0,
        "`MapState` and `ListState` are saved entry by entry, and for that they have to be fields of a `#[stateful]` struct, or of a struct that is itself such a field. Inside of a collection, an option, a tuple or an enum take a `BTreeMap` or a `Vec`, which is saved with the value that it is in."
    );
    T::SCHEMA
}

/// Where fewer entries have changed than this ..
const FEW: usize = 64;
/// .. or than one in so many, they are listed. Where there are more it is cheaper to look at all of them.
const FEW_OF: usize = 16;

/// Up to how many changed entries of so many are listed.
fn few(entries: usize) -> usize {
    FEW.max(entries / FEW_OF)
}
