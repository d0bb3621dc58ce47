use flow_runtime::prelude::*;

#[derive(Outputs)]
struct Sides {
    small: Stream<String>,
    large: Stream<String>,
}

#[derive(Outputs)]
struct NotStreams {
    count: usize,
}

#[dataflow]
fn sides(words: Stream<String>) -> Sides {
    let small = filter(words, |word| word.len() < 4);
    let large = filter(words, |word| word.len() >= 4);
    Sides { small, large }
}

#[dataflow]
fn sized(text: Lines) {
    let lines = source(text);
    let Sides { small } = sides(lines);
    sink(small, Stdout::lines());
}

fn main() {
    let _ = sized(Lines::of("text"));
}
