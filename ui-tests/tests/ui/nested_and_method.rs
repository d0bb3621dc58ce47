use flow_runtime::prelude::*;

#[map]
fn trim(line: String) -> String {
    line.trim().to_owned()
}

#[dataflow]
fn trimmed(text: Lines) {
    let lines = source(text);
    let upper = lines.map(|line| line.to_uppercase());
    let by_line = key_by(trim(lines), |line| line.clone());
    sink(upper, Stdout::lines());
    sink(by_line, Stdout::lines());
}

fn main() {
    let _ = trimmed(Lines::of("text"));
}
