use flow_runtime::prelude::*;

#[map]
fn length(word: String) -> usize {
    word.len()
}

#[dataflow]
fn lengths(text: Lines) {
    let lines = source(text);
    let sizes = length(lines);
    let _late = length(lines);
}

fn main() {
    let _ = lengths(Lines::of("text"));
}
