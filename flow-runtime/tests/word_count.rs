//! The first program of the guide.

mod common;

use common::{Given, Kept, given, kept, run};
use flow_runtime::prelude::*;

/// Splits a line into lower-case words.
#[flat_map]
fn split(line: String) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().into_iter()
}

/// One more of this word.
#[stateful_map]
fn count(state: &mut u64, _word: &str, _item: String) -> u64 {
    *state += 1;
    *state
}

/// Counts words.
#[dataflow]
fn word_count(text: Given<String>, out: Kept<(String, u64)>) {
    let lines = source(text);
    let words = split(lines);
    let by_word = key_by_ref(words, |w| w.as_str());
    let counts = count(by_word);
    sink(counts, out);
}

const _: () = {
    assert!(word_count::GRAPH.has("counts"));
    assert!(word_count::GRAPH.has("counts.sink"));
    assert!(!word_count::GRAPH.has("count"));
};

#[test]
fn words_are_counted() {
    let out = kept();
    let ran = run(word_count(given(["a b A", "b a"]), out.clone()));
    let expected = [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)];
    assert_eq!(out.sorted(), expected.map(|(word, n)| (word.to_owned(), n)));
    assert_eq!(ran.ids(), ["by_word", "counts", "counts.sink", "words"]);
}

#[test]
fn operators_are_plain_functions() {
    assert_eq!(split("a B".into()).collect::<Vec<_>>(), ["a", "b"]);
    let mut state = 1;
    assert_eq!(count(&mut state, "a", "a".into()), 2);
}
