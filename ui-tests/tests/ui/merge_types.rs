use flow_runtime::prelude::*;

#[map]
fn length(line: String) -> usize {
    line.len()
}

#[dataflow]
fn merged(text: Lines) {
    let lines = source(text);
    let sizes = length(lines);
    let all = merge(lines, sizes);
    sink(all, Stdout::lines());
}

fn main() {
    let _ = merged(Lines::of("text"));
}
