use std::rc::Rc;

use flow_runtime::prelude::*;

#[map]
fn share(line: String) -> Rc<str> {
    line.into()
}

#[dataflow]
fn shared(text: Lines) {
    let lines = source(text);
    let words = share(lines);
    let by_length = key_by(words, |word| word.len());
    discard(by_length, "only an example");
}

fn main() {
    let _ = shared(Lines::of("text"));
}
