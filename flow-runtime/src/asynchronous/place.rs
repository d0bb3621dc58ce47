//! What an item carries, stored while the item is in flight.

use crate::bounds::Key;
use crate::consumer::Head;
use crate::describe::StepId;
use crate::failure::Note;
use crate::stream::NoKey;

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
    type Place = ();
    fn place(_: Head<'_, NoKey>) {}
    fn head((): &()) -> Head<'_, NoKey> {
        Head::NONE
    }
    fn hash((): &()) -> Option<u64> {
        None
    }
    fn noted<R>(id: &StepId, (): &(), f: impl FnOnce() -> R) -> R {
        let note = Note::beside(id);
        let result = f();
        note.clear();
        result
    }
}

impl<K: Key> Placed for K {
    type Place = (u64, K);
    fn place(head: Head<'_, K>) -> (u64, K) {
        (head.hash, head.key.clone())
    }
    fn head((hash, key): &(u64, K)) -> Head<'_, K> {
        Head { hash: *hash, key }
    }
    fn hash((hash, _): &(u64, K)) -> Option<u64> {
        Some(*hash)
    }
    fn noted<R>(id: &StepId, (_, key): &(u64, K), f: impl FnOnce() -> R) -> R {
        let note = Note::beside_key(id, key);
        let result = f();
        note.clear();
        result
    }
}
