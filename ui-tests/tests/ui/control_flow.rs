use flow_runtime::prelude::*;

#[map]
fn trim(line: String) -> String {
    line.trim().to_owned()
}

#[dataflow]
fn trimmed(text: Lines, verbose: bool) {
    let lines = source(text);
    if verbose {
        sink(lines, Stdout::lines());
    }
    let cleaned = if verbose { trim(lines) } else { lines };
    for n in 0..3 {
        println!("{n} is ordinary Rust");
    }
    sink(cleaned, Stdout::lines());
}

fn main() {
    let _ = trimmed(Lines::of("text"), true);
}
