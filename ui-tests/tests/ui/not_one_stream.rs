use flow_runtime::prelude::*;

#[derive(Outputs)]
struct Sides {
    small: Stream<String>,
    large: Stream<String>,
}

#[dataflow]
fn sides(words: Stream<String>) -> Sides {
    let below = filter(words, |word| word.len() < 4);
    let above = filter(words, |word| word.len() >= 4);
    Sides { small: below, large: above }
}

#[dataflow]
fn printed(words: Stream<String>) {
    sink(words, Stdout::lines());
}

#[dataflow]
fn sized(text: Lines) {
    let lines = source(text);
    let both = sides(lines);
    sink(both, Stdout::lines());
}

#[dataflow]
fn none(text: Lines) {
    let lines = source(text);
    let done = printed(lines);
    sink(done, Stdout::lines());
}

fn main() {
    let _ = sized(Lines::of("text"));
    let _ = none(Lines::of("text"));
}
