use flow_runtime::prelude::*;

#[dataflow]
fn connected(text: Lines) {
    let lines = source(text);
    let by_line = key_by(lines, |line| line.clone());
    let by_length = key_by(lines, |line| line.len());
    let both = connect(by_line, by_length);
    discard(both, "only an example");
}

fn main() {
    let _ = connected(Lines::of("text"));
}
