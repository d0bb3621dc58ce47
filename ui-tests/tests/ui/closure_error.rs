use flow_runtime::prelude::*;

#[dataflow]
fn first_letters(text: Lines) {
    let lines = source(text);
    let by_letter = key_by(lines, |line| line.first_letter());
    discard(by_letter, "only an example");
}

fn main() {
    let _ = first_letters(Lines::of("text"));
}
