use flow_runtime::prelude::*;

fn upper(line: String) -> String {
    line.to_uppercase()
}

#[dataflow]
fn loud(text: Lines) {
    let lines = source(text);
    let loud = upper(lines);
    sink(loud, Stdout::lines());
}

fn main() {
    let _ = loud(Lines::of("text"));
}
