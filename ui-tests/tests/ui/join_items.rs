use std::rc::Rc;

use flow_runtime::prelude::*;

#[dataflow]
fn joined(text: Lines) {
    let lines = source(text);
    let by_line = key_by(lines, |line| line.clone());
    let shared = map(by_line, |line| Rc::<str>::from(line));
    let (matched, unmatched) = table_join(by_line, shared);
    discard(matched, "only an example");
    discard(unmatched, "only an example");
}

fn main() {
    let _ = joined(Lines::of("text"));
}
