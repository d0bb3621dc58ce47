//! A state machine needs a stream of its key and items.

use flow_runtime::io::from_iter;
use flow_runtime::prelude::*;

struct Latest;

impl Process for Latest {
    type Key = u8;
    type In = i64;
    type Out = i64;
    type State = i64;
    type Timer = ();
    fn on_item(&self, state: &mut Option<i64>, item: i64, cx: &mut ProcessContext<'_, Self>) {
        *state = Some(item);
        cx.emit(item);
    }
}

#[dataflow]
fn not_keyed(numbers: Vec<i64>) {
    let all = source(from_iter(numbers));
    let latest = process(all, Latest);
    discard(latest, "only compiled");
}

#[dataflow]
fn other_items(rows: Vec<(u8, i64)>) {
    let all = source(from_iter(rows));
    let by_key = key_by(all, |row| row.0);
    let latest = process(by_key, Latest);
    discard(latest, "only compiled");
}

fn main() {}
