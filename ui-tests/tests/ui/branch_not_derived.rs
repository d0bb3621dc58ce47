use flow_runtime::prelude::*;

enum Decision {
    Allow(String),
    Deny,
}

#[map]
fn judge(line: String) -> Decision {
    if line.is_empty() { Decision::Deny } else { Decision::Allow(line) }
}

#[dataflow]
fn judged(text: Lines) {
    let lines = source(text);
    let judged = judge(lines);
    let Decision { allow, deny } = branch(judged);
    sink(allow, Stdout::lines());
    discard(deny, "only an example");
}

#[derive(Branch)]
enum WithFields {
    Point { x: u32, y: u32 },
}

fn main() {
    let _ = judged(Lines::of("text"));
}
