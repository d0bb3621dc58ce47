use flow_runtime::prelude::*;

#[flat_map]
fn explode<T: Clone>(batch: Vec<T>) -> Vec<T> {
    batch
}

#[dataflow]
fn elements(text: Lines) {
    let lines = source(text);
    let each = explode(lines);
    sink(each, Stdout::lines());
}

fn main() {
    let _ = elements(Lines::of("text"));
}
