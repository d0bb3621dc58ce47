//! How a table of states is saved and restored.

use std::marker::PhantomData;

use crate::bounds::Key;
use crate::control::{Control, Signal};
use crate::describe::StepId;
use crate::expiry::state_reader;
use crate::operator::Held;
use crate::state::{Checked, LoadError, Parted, Reader, Saved, Shape, State, Table};

/// How what a table holds for a key is saved and read.
pub(crate) trait Form<V> {
    /// The user's state in it.
    type State: State;
    /// Whether the state was taken away.
    fn is_gone(value: &V) -> bool;
    /// Appends it, its parts as empty ones.
    fn save(&self, value: &V, to: &mut Vec<u8>);
    /// Loads one that must fill `bytes`.
    fn load(&self, bytes: &[u8]) -> Result<V, LoadError>;
    /// Reads what was saved under another shape.
    fn older(&self, was: &Shape) -> Result<Reader<V>, LoadError>;
}

/// The state and nothing else. Where a log has the times of keys' last items beside it, from when it expired, they are left out.
struct Plainly<V>(PhantomData<fn(V)>);

impl<V: Held> Form<V> for Plainly<V> {
    type State = V::State;
    fn is_gone(held: &V) -> bool {
        held.is_gone()
    }
    fn save(&self, held: &V, to: &mut Vec<u8>) {
        save_held(held, to);
    }
    fn load(&self, bytes: &[u8]) -> Result<V, LoadError> {
        load_held(bytes)
    }
    fn older(&self, was: &Shape) -> Result<Reader<V>, LoadError> {
        let state = state_reader::<V::State>(was)?;
        Ok(Reader::new(move |from| state.read(from).map(V::of_state)))
    }
}

/// Saves and restores a step's table. Apart from the step: it is then compiled once for all steps with the same types of key and state.
pub(crate) fn keep<K: Key, V: Held>(
    id: &StepId,
    table: &mut Table<K, V>,
    control: &mut Control<'_>,
) {
    keep_as(id, table, &Plainly(PhantomData), control);
}

/// The same in this form.
pub(crate) fn keep_as<K: Key, V: Parted, F: Form<V>>(
    id: &StepId,
    table: &mut Table<K, V>,
    form: &F,
    control: &mut Control<'_>,
) {
    match control.signal() {
        Signal::Restore => {
            if let Some(from) = control.restored()
                && let Err(error) =
                    table.restore_from(id, &from, |b| form.load(b), |was| form.older(was))
            {
                control.fail(error);
            }
        }
        Signal::Barrier(_) => {
            if let Some(changes) = control.changes() {
                // What serde writes of an item need not be what it reads.
                let checked = F::State::SCHEMA.has_items().then(Checked::few);
                table.gather(id, changes, F::is_gone, |value, to| {
                    let start = to.len();
                    form.save(value, to);
                    if let Some(checked) = &checked {
                        checked.saved(Ok::<_, LoadError>(()), &to[start..], |b| form.load(b));
                    }
                });
                if let Some(failure) = checked.and_then(|checked| checked.failure(id)) {
                    control.fail(failure);
                }
            }
            table.end_epoch(F::is_gone);
            control.keeps(id, table.len(), table.bytes());
        }
        _ => {}
    }
}

pub(crate) fn load_held<V: Held>(bytes: &[u8]) -> Result<V, LoadError> {
    V::State::load_all(bytes).map(V::of_state)
}

#[inline]
pub(crate) fn save_held<V: Held>(held: &V, to: &mut Vec<u8>) {
    if let Some(state) = held.state() {
        state.save_own(to);
    }
}
