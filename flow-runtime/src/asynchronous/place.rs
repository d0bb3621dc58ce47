//! What an item carries, stored while the item is in flight.

use crate::bounds::Key;
use crate::consumer::Head;
use crate::describe::StepId;
use crate::failure::Note;
use crate::stream::NoKey;
use crate::time::Timestamp;

/// A key, or none, that an item in flight is given back to go on with.
pub trait Placed: Sized + 'static {
    /// What is stored.
    type Place: 'static;
    /// Stores what an item carries.
    fn place(head: Head<'_, Self>) -> Self::Place;
    /// Lends it again.
    fn head(place: &Self::Place) -> Head<'_, Self>;
    /// The hash of the key, if there is one.
    fn hash(place: &Self::Place) -> Option<u64>;
    /// Runs a function of the user's for the item: what panics is known by step and key.
    fn noted<R>(id: &StepId, place: &Self::Place, f: impl FnOnce() -> R) -> R;
}

impl Placed for NoKey {
    type Place = Timestamp;
    fn place(head: Head<'_, NoKey>) -> Timestamp {
        head.time
    }
    fn head(time: &Timestamp) -> Head<'_, NoKey> {
        Head::at(*time)
    }
    fn hash(_: &Timestamp) -> Option<u64> {
        None
    }
    fn noted<R>(id: &StepId, _: &Timestamp, f: impl FnOnce() -> R) -> R {
        let note = Note::beside(id);
        let result = f();
        note.clear();
        result
    }
}

impl<K: Key> Placed for K {
    type Place = (u64, Timestamp, K);
    fn place(head: Head<'_, K>) -> Self::Place {
        (head.hash, head.time, head.key.clone())
    }
    fn head((hash, time, key): &Self::Place) -> Head<'_, K> {
        Head { hash: *hash, time: *time, key }
    }
    fn hash((hash, ..): &Self::Place) -> Option<u64> {
        Some(*hash)
    }
    fn noted<R>(id: &StepId, (.., key): &Self::Place, f: impl FnOnce() -> R) -> R {
        let note = Note::beside_key(id, key);
        let result = f();
        note.clear();
        result
    }
}
