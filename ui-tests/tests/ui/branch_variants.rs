use flow_runtime::prelude::*;

#[derive(Branch)]
enum Decision {
    Allow(String),
    Review(String),
    Deny,
}

#[map]
fn judge(line: String) -> Decision {
    match line.len() {
        0 => Decision::Deny,
        1..10 => Decision::Allow(line),
        _ => Decision::Review(line),
    }
}

#[dataflow]
fn judged(text: Lines) {
    let lines = source(text);
    let judged = judge(lines);
    let Decision { allow, deny } = branch(judged);
    sink(allow, Stdout::lines());
    discard(deny, "only an example");
}

#[dataflow]
fn misspelt(text: Lines) {
    let lines = source(text);
    let judged = judge(lines);
    let Decision { alow, deny, review } = branch(judged);
    sink(alow, Stdout::lines());
    sink(review, Stdout::lines());
    discard(deny, "only an example");
}

fn main() {
    let _ = judged(Lines::of("text"));
    let _ = misspelt(Lines::of("text"));
}
