use flow_runtime::prelude::*;

#[dataflow]
fn read(text: String) {
    let lines = source(text);
    sink(lines, Stdout::lines());
}

fn main() {
    let _ = read("text".to_owned());
}
