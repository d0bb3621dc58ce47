use flow_runtime::prelude::*;

#[derive(Clone)]
struct Word(String);

#[map]
fn word(line: String) -> Word {
    Word(line)
}

#[dataflow]
fn words(text: Lines) {
    let lines = source(text);
    let words = word(lines);
    let by_word = key_by_ref(words, |word| word.0.as_str());
    discard(by_word, "only an example");
}

fn main() {
    let _ = words(Lines::of("text"));
}
