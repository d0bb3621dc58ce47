use flow_runtime::prelude::*;

#[filter]
fn longer(word: &str, than: usize) -> bool {
    word.len() > than
}

#[dataflow]
fn long(text: Lines) {
    let lines = source(text);
    let long = longer(lines);
    sink(long, Stdout::lines());
}

fn main() {
    let _ = long(Lines::of("text"));
}
