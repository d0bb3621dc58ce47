//! Every attribute, in a program that knows the runtime as `rills`: it compiles only if no expansion names
//! `flow_runtime`.

use std::collections::HashMap;

use rills::prelude::*;

/// State.
#[stateful(crate = rills)]
#[derive(Clone, Debug, Default)]
pub struct Count {
    total: u64,
    #[state(skip)]
    cache: Option<u64>,
}

/// State of several kinds.
#[stateful(crate = rills, version = 2)]
#[derive(Clone, Debug)]
pub enum Phase<T> {
    /// Not yet.
    Waiting,
    /// Since this.
    Running {
        /// What it began with.
        since: T,
    },
}

#[map(crate = rills)]
fn length(word: String, plus: &usize) -> usize {
    word.len() + plus
}

#[filter(crate = rills)]
fn longer(word: &str, than: usize) -> bool {
    word.len() > than
}

#[filter_map(crate = rills)]
fn parse<T: std::str::FromStr>(word: String) -> Option<T> {
    word.parse().ok()
}

#[flat_map(crate = rills)]
fn split(line: String) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[stateful_map(crate = rills)]
fn count(state: &mut Count, word: &str, _item: String) -> u64 {
    state.total += *state.cache.get_or_insert(word.len() as u64);
    state.total
}

#[stateful_filter_map(crate = rills)]
fn phase(state: &mut Option<Phase<u64>>, _word: &str, n: u64) -> Option<u64> {
    match state.get_or_insert(Phase::Waiting) {
        Phase::Waiting => {
            *state = Some(Phase::Running { since: n });
            None
        }
        Phase::Running { since } => Some(n - *since),
    }
}

#[stateful_flat_map(crate = rills)]
fn repeat(times: &mut u64, _word: &str, n: u64) -> Vec<u64> {
    *times += 1;
    vec![n; usize::try_from(*times).unwrap_or(0)]
}

/// One of two.
#[derive(Branch, Debug)]
#[flow(crate = rills)]
pub enum Size {
    /// Few letters.
    Small(String),
    /// Many.
    Large(String),
}

#[map(crate = rills)]
fn size(word: String) -> Size {
    if word.len() < 4 { Size::Small(word) } else { Size::Large(word) }
}

/// Two streams.
#[derive(Outputs, Debug)]
#[flow(crate = rills)]
pub struct Sizes {
    /// Few letters.
    pub small: Stream<String>,
    /// Many.
    pub large: Stream<String>,
}

/// A sub-flow.
#[dataflow(crate = rills)]
pub fn by_size(words: Stream<String>) -> Sizes {
    let sized = size(words);
    let Size { small, large } = branch(sized);
    Sizes { small, large }
}

/// A sub-flow with a source of its own.
#[dataflow(crate = rills)]
pub fn lines(text: Lines) -> Stream<String> {
    let read = source(text);
    read
}

/// A dataflow.
#[dataflow(crate = rills)]
pub fn words(text: Lines, stop: Vec<String>) {
    let read = source(lines(text));
    let all = split(read);
    let changes = map(all, |word| (word, 1_u64));
    let known = broadcast(changes, |known: &mut HashMap<String, u64>, (word, n)| {
        *known.entry(word).or_default() += n;
    });
    let Sizes { small, large } = by_size(all);
    discard(small, "of no interest");
    let kept = filter(large, |word| !stop.contains(word));
    let long = longer(kept, 5);
    let seen = times(long, known);
    sink(seen, Stdout::lines());
    let lengths = length(long, 3);
    sink(lengths, Stdout::lines());
    let numbers = parse::<u64>(long);
    discard(numbers, "of no interest");
    let by_word = key_by_ref(long, |word| word.as_str());
    let counts = count(by_word);
    let phases = phase(counts);
    let repeated = repeat(phases);
    sink(repeated, Stdout::lines());
}

#[map(crate = rills)]
fn times(word: String, known: &HashMap<String, u64>) -> u64 {
    known.get(&word).copied().unwrap_or(0)
}

const _: () = {
    assert!(words::GRAPH.has("counts"));
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_dataflow() {
        assert_eq!(words(Lines::of("none"), Vec::new()).graph().name, "words");
    }
}
