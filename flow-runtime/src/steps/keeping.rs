//! How steps with timers save what they keep.

use crate::bounds::Key;
use crate::control::Control;
use crate::describe::StepId;
use crate::state::{Checked, LoadError, Parted, Schema, Table};

/// An epoch has ended: saves what has changed of a table, in a run that does that. Keys for which `is_gone` says so are forgotten; what others
/// have is saved by `save`, as `schema` says, and could be loaded by `load`.
pub(super) fn end_epoch<K: Key, V: Parted, L>(
    id: &StepId,
    table: &mut Table<K, V>,
    control: &mut Control<'_>,
    is_gone: impl Fn(&V) -> bool + Copy,
    schema: &Schema,
    save: impl Fn(&V, &mut Vec<u8>),
    load: impl Fn(&[u8]) -> Result<L, LoadError>,
) {
    if let Some(changes) = control.changes() {
        // What serde writes of an item need not be what it reads.
        let checked = schema.has_items().then(Checked::few);
        table.gather(id, changes, is_gone, |value, to| {
            let start = to.len();
            save(value, to);
            if let Some(checked) = &checked {
                checked.saved(Ok::<_, ()>(()), &to[start..], &load);
            }
        });
        if let Some(failure) = checked.and_then(|checked| checked.failure(id)) {
            control.fail(failure);
        }
    }
    table.end_epoch(is_gone);
    control.keeps(id, table.len(), table.bytes());
}
