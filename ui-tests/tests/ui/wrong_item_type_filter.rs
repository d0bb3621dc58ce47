use flow_runtime::prelude::*;

#[map]
fn length(word: String) -> usize {
    word.len()
}

#[filter]
fn is_long(word: &str) -> bool {
    word.len() > 3
}

#[dataflow]
fn lengths(text: Lines) {
    let lines = source(text);
    let sizes = length(lines);
    let long = is_long(sizes);
    sink(long, Stdout::lines());
}

fn main() {
    let _ = lengths(Lines::of("text"));
}
