use flow_runtime::prelude::*;

#[map(parallel)]
fn trim(line: String) -> String {
    line.trim().to_owned()
}

#[stateful(ttl = 3)]
struct Total {
    n: u64,
}

#[stateful(version = 2, from = Total)]
struct TotalV2 {
    n: u64,
    #[state(skipped)]
    m: u64,
}

#[dataflow(workers = 4)]
fn trimmed(text: Lines) {
    let lines = source(text);
    let short = trim(lines);
    sink(short, Stdout::lines());
}

#[dataflow(delivery = at_most_once)]
fn at_most(text: Lines) {
    let lines = source(text);
    sink(lines, Stdout::lines());
}

#[dataflow(delivery)]
fn said_nothing(text: Lines) {
    let lines = source(text);
    sink(lines, Stdout::lines());
}

fn main() {
    let _ = trimmed(Lines::of("text"));
    let _ = at_most(Lines::of("text"));
    let _ = said_nothing(Lines::of("text"));
}
