use flow_runtime::prelude::*;

#[filter]
fn longer(word: &str, than: usize) -> bool {
    word.len() > than
}

#[map]
fn tag(word: String, with: &String) -> String {
    format!("{with}{word}")
}

#[dataflow]
fn long(text: Lines) {
    let lines = source(text);
    let long = longer(lines, "three");
    let tagged = tag(long, 3);
    sink(tagged, Stdout::lines());
}

fn main() {
    let _ = long(Lines::of("text"));
}
