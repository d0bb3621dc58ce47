use flow_runtime::prelude::*;

#[dataflow]
fn copied(text: Lines) {
    let lines = source(text);
    sink(lines, Stdout::lines());
    sink(lines, Stdout::lines());
    let file = sink(lines, Stdout::lines());
}

fn main() {
    let _ = copied(Lines::of("text"));
}
