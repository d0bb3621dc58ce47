//! Expansions cause no warnings where the author's own code causes none.
#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications, )]
#![deny(rust_2018_idioms, unused, unnameable_types)]
#![forbid(unsafe_code)]

use flow_runtime::prelude::*;

mod inner {
    use flow_runtime::prelude::*;

    /// What is counted.
    #[stateful(version = 2)]
    #[derive(Debug, Default)]
    pub(crate) struct Count {
        total: u64,
        #[state(skip)]
        cache: Option<u64>,
    }

    #[stateful_map]
    pub(crate) fn count(state: &mut Count, word: &str, _: String) -> u64 {
        state.total += 1;
        *state.cache.get_or_insert(word.len() as u64) + state.total
    }

    #[filter]
    pub(crate) fn longer<'a, 'b>(word: &'a str, than: &'b usize) -> bool {
        word.len() > *than
    }

    #[flat_map]
    pub(crate) fn twice<T: Clone>(item: T) -> [T; 2] {
        [item.clone(), item]
    }

    /// Two ways.
    #[derive(Debug, Branch)]
    pub(crate) enum Way<T> {
        Left(T),
        Right(T),
    }

    /// Two streams.
    #[derive(Outputs)]
    pub(crate) struct Both {
        pub(crate) all: Stream<String>,
        pub(crate) long: Stream<String>,
    }
}
use inner::{Both, Way, count, longer, twice};

#[map]
fn way(line: String) -> Way<String> {
    if line.is_empty() { Way::Left(line) } else { Way::Right(line) }
}

#[dataflow]
fn both(lines: Stream<String>, than: usize) -> Both {
    let more = twice(lines);
    let long = longer(more, than);
    Both { all: lines, long }
}

#[dataflow]
fn flow(text: Lines, unit: usize) {
    let lines = source(text);
    let ways = way(lines);
    let Way { left, right } = branch(ways);
    discard(left, "empty");
    let Both { all, long } = both(right, unit);
    let by_word = key_by(all, |word| word.clone());
    let counts = count(by_word);
    sink(counts, Stdout::lines());
    sink(long, Stdout::lines());
}

fn main() {
    let _ = flow(Lines::of("text"), 3);
}
