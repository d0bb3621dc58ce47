use flow_runtime::prelude::*;

#[map]
fn trim(line: String) -> String {
    line.trim().to_owned()
}

#[dataflow]
fn trimmed(text: Lines) {
    #[id = "text/lines"]
    let lines = source(text);
    #[id = "v1.short"]
    let short = trim(lines);
    #[id = ""]
    sink(short, Stdout::lines());
    #[id = "lines"]
    let other = trim(lines);
    #[id = "lines"]
    sink(other, Stdout::lines());
    #[id = 3]
    discard(other, "only an example");
}

fn main() {
    let _ = trimmed(Lines::of("text"));
}
