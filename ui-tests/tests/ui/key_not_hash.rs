use flow_runtime::prelude::*;

#[dataflow]
fn lengths(text: Lines) {
    let lines = source(text);
    let by_length = key_by(lines, |line| line.len() as f64);
    discard(by_length, "only an example");
}

fn main() {
    let _ = lengths(Lines::of("text"));
}
