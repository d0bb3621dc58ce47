use flow_runtime::prelude::*;

#[flat_map]
fn split(line: String) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[map]
fn length(word: String) -> usize {
    word.len()
}

#[dataflow]
fn lengths(text: Lines) {
    let lines = source(text);
    let sizes = length(lines);
    let words = split(sizes);
    sink(words, Stdout::lines());
}

fn main() {
    let _ = lengths(Lines::of("text"));
}
