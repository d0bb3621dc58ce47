//! Word count with owned words, every update emitted.

use std::sync::OnceLock;

use flow_runtime::io::{Sink, Source, for_each_keyed, from_iter};
use flow_runtime::prelude::*;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::harness::{Measured, Options, compare};
use crate::tally::{Sum, Whole};
use crate::text::zipf_lines;

/// Words of the text, and how many different ones there may be.
const WORDS: usize = 20_000_000;
const DIFFERENT: usize = 200_000;

#[flat_map]
fn split(line: &'static str) -> impl Iterator<Item = String> {
    line.split_ascii_whitespace().map(str::to_owned)
}

/// How often a word has come.
#[stateful]
#[derive(Default)]
struct Count {
    total: u64,
}

#[stateful_map]
fn count(state: &mut Count, _word: &str, _item: String) -> u64 {
    state.total += 1;
    state.total
}

#[dataflow]
fn word_count<L, S>(text: L, out: S)
where
    L: Source<Item = &'static str>,
    S: Sink<Keyed<String, u64>>,
{
    let lines = source(text);
    let words = split(lines);
    let by_word = key_by_ref(words, |word| word.as_str());
    let counts = count(by_word);
    sink(counts, out);
}

/// What an update adds to the checksum.
#[inline(always)]
fn update(sum: &mut Sum, word: &str, count: u64) {
    sum.add(count.wrapping_mul(word.len() as u64 + 31) ^ u64::from(word.as_bytes()[0]));
}

fn on_flow(lines: &'static [&'static str], workers: usize) -> Sum {
    let whole = Whole::default();
    let mut part = whole.part();
    let out = for_each_keyed(move |word: &String, count: u64| update(part.sum(), word, count));
    let text = from_iter(lines.iter().copied());
    let running = word_count(text, out).workers(workers).spawn();
    running.and_then(|running| running.wait()).expect("the dataflow runs");
    whole.sum()
}

fn by_hand(lines: &'static [&'static str]) -> Sum {
    let mut sum = Sum::default();
    let mut counts: HashMap<String, u64, FixedState> = HashMap::default();
    for line in lines {
        for word in line.split_ascii_whitespace() {
            let word = word.to_owned();
            if let Some(count) = counts.get_mut(&word) {
                *count += 1;
                update(&mut sum, &word, *count);
            } else {
                update(&mut sum, &word, 1);
                counts.insert(word, 1);
            }
        }
    }
    sum
}

pub fn measure(options: &Options) -> Measured {
    static TEXT: OnceLock<&'static [&'static str]> = OnceLock::new();
    let words = if options.quick { WORDS / 10 } else { WORDS };
    let lines = *TEXT.get_or_init(|| zipf_lines(words, DIFFERENT, 42));
    // The loop has one thread whatever the workers: a second one would need the exchange that an engine is.
    compare("words", options, words as u64, || by_hand(lines), || on_flow(lines, options.workers))
}
