//! Where a panic of a user's function happened: which step, which key.
//!
//! Asking costs nothing while nothing goes wrong: a [`Note`] is dropped only by unwinding, and is otherwise
//! forgotten.

use serde::Serialize;
use std::cell::RefCell;
use std::mem;

use crate::describe::StepId;

/// The step, and the key where there is one, of a panic on this thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) step: StepId,
    pub(crate) key: Option<String>,
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Takes the place of the panic that has just been caught.
pub(crate) fn take_place() -> Option<Place> {
    PLACE.with_borrow_mut(Option::take)
}

/// Marks the time in which a user's function runs.
pub(crate) struct Note<'a, K: Serialize> {
    step: &'a StepId,
    key: Option<&'a K>,
}

impl<'a> Note<'a, ()> {
    #[inline(always)]
    pub(crate) fn of(step: &'a StepId) -> Self {
        Note { step, key: None }
    }
}

impl<'a, K: Serialize> Note<'a, K> {
    #[inline(always)]
    pub(crate) fn keyed(step: &'a StepId, key: &'a K) -> Self {
        Note { step, key: Some(key) }
    }

    /// The function has returned.
    #[inline(always)]
    pub(crate) fn clear(self) {
        mem::forget(self);
    }
}

impl<K: Serialize> Drop for Note<'_, K> {
    #[cold]
    fn drop(&mut self) {
        let key = self.key.and_then(|key| serde_json::to_string(key).ok());
        PLACE.with_borrow_mut(|place| {
            place.get_or_insert_with(|| Place { step: self.step.clone(), key });
        });
    }
}
