//! A plain function, a constant and a local beside a stream are configuration.
use flow_runtime::prelude::*;

const LIMIT: usize = 3;

#[map]
fn apply(line: String, f: fn(&str) -> String, limit: usize) -> String {
    f(&line[..limit])
}

fn upper(text: &str) -> String {
    text.to_uppercase()
}

#[dataflow]
fn loud(text: Lines) {
    let lines = source(text);
    let once = apply(lines, upper, LIMIT);
    let two = 2;
    let twice = apply(once, upper, two);
    let thrice = map(twice, trim);
    sink(thrice, Stdout::lines());
}

fn trim(line: String) -> String {
    line.trim().to_owned()
}

fn main() {
    let _ = loud(Lines::of("text"));
}
