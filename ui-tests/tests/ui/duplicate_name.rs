use flow_runtime::prelude::*;

#[map]
fn trim(line: String) -> String {
    line.trim().to_owned()
}

#[dataflow]
fn trimmed(text: Lines) {
    let lines = source(text);
    let lines = trim(lines);
    sink(lines, Stdout::lines());
}

fn main() {
    let _ = trimmed(Lines::of("text"));
}
