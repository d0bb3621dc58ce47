use flow_runtime::prelude::*;

#[dataflow]
fn merged(text: Lines) {
    let a = source(text);
    let one = merge(a);
    let nine = merge(a, a, a, a, a, a, a, a, a);
    let c = merge(one, nine);
    sink(c, Stdout::lines());
}

#[dataflow]
fn two_streams(text: Lines) {
    let a = source(text);
    let b = values(a);
    sink(b, Stdout::lines());
}

fn main() {
    let _ = merged(Lines::of("text"));
    let _ = two_streams(Lines::of("text"));
}
