use flow_runtime::prelude::*;

#[map]
fn length(word: String) -> usize {
    word.len()
}

#[dataflow]
fn lengths(text: Lines) {
    let lines = source(text);
    let sizes = length(linse);
    sink(sizes, Stdout::lines());
}

fn main() {
    let _ = lengths(Lines::of("text"));
}
