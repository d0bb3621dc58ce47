use flow_runtime::prelude::*;

#[stateful_map]
fn count(total: &mut u64, _word: &str, _item: String) -> u64 {
    *total += 1;
    *total
}

#[dataflow]
fn word_count(text: Lines) {
    let words = source(text);
    let by_length = key_by(words, |word| word.len());
    let counts = count(by_length);
    sink(counts, Stdout::lines());
}

fn main() {
    let _ = word_count(Lines::of("text"));
}
