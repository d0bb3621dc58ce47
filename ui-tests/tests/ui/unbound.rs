use flow_runtime::prelude::*;

#[map]
fn trim(line: String) -> String {
    line.trim().to_owned()
}

#[dataflow]
fn trimmed(text: Lines, limit: usize) {
    let lines = source(text);
    let _ = trim(lines);
    let n = usize::min(limit, 3);
    let m = double(limit);
    let mut short = trim(lines);
    sink(short, Stdout::lines());
}

fn double(n: usize) -> usize {
    2 * n
}

fn main() {
    let _ = trimmed(Lines::of("text"), 3);
}
