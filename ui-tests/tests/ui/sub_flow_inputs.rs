use flow_runtime::prelude::*;

#[dataflow]
fn long(words: Stream<String>, than: usize) -> Stream<String> {
    let kept = filter(words, |word| word.len() > than);
    kept
}

#[dataflow]
fn wrong_output(words: Stream<String>) -> Stream<usize> {
    let kept = filter(words, |word| word.len() > 3);
    kept
}

#[dataflow]
fn unnamed(words: Stream<String>) -> Stream<String> {
    filter(words, |word| word.len() > 3)
}

#[dataflow]
fn lengths(text: Lines) {
    let lines = source(text);
    let sizes = map(lines, |line| line.len());
    let kept = long(sizes, 3);
    sink(kept, Stdout::lines());
}

fn main() {
    let _ = lengths(Lines::of("text"));
}
