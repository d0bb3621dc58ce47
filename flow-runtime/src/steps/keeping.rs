//! How steps with timers save what they keep: one value a key.

use crate::bounds::Key;
use crate::control::Control;
use crate::describe::StepId;
use crate::state::{Checked, Saved, Table};

/// An epoch has ended: saves what has changed of a table, in a run that does that. Keys for which `is_gone` says so are forgotten.
pub(super) fn end_epoch<K: Key, V: Saved>(
    id: &StepId,
    table: &mut Table<K, V>,
    control: &mut Control<'_>,
    is_gone: impl Fn(&V) -> bool + Copy,
) {
    if let Some(changes) = control.changes() {
        // What serde writes of an item need not be what it reads.
        let checked = V::SCHEMA.has_items().then(Checked::few);
        table.gather(id, changes, is_gone, |value, to| {
            let start = to.len();
            value.save(to);
            if let Some(checked) = &checked {
                checked.saved(Ok::<_, ()>(()), &to[start..], V::load_all);
            }
        });
        if let Some(failure) = checked.and_then(|checked| checked.failure(id)) {
            control.fail(failure);
        }
    }
    table.end_epoch(is_gone);
    control.keeps(id, table.len(), table.bytes());
}
