//! Texts for the example `word_count`, and what is to come of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::random::Random;

/// The reference: what the words of a text are, and how often each comes.
pub(crate) fn reference(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in text.to_lowercase().split(|c: char| !c.is_alphabetic() && c != '\'') {
        if !word.is_empty() {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

/// A text that is always the same.
pub(crate) fn generated(lines: usize) -> String {
    by_chance(&mut Random::of(0), lines)
}

/// A text that chance decides: words of all lengths, apostrophes, umlauts, blank and long lines, both line ends.
pub(crate) fn by_chance(random: &mut Random, lines: usize) -> String {
    let mut text = String::new();
    for _ in 0..lines {
        for _ in 0..random.below(12) {
            let word = random.below(400) * random.below(400) / 300;
            match random.below(9) {
                0 => text.push_str("It's "),
                1 => text.push_str("ÄRGER, "),
                2 => text.push_str("'quoted' "),
                _ => text.push_str(&format!(
                    "Word{}-",
                    "abcdefgh"
                        .chars()
                        .cycle()
                        .skip(word as usize % 8)
                        .take(1 + word as usize % 5)
                        .collect::<String>()
                )),
            }
        }
        text.push_str(if random.below(2) == 0 { "\n" } else { "\r\n" });
    }
    text
}

/// Checks a file of updates: each word's counts are 1, 2, .. n, each once, in order. Gives the last ones.
pub(crate) fn final_counts(file: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(file).expect("the output was written").lines() {
        let (word, count) = line.rsplit_once(',').expect("a line is `word,count`");
        let last: &mut u64 = counts.entry(word.to_owned()).or_default();
        *last += 1;
        assert_eq!(count, last.to_string(), "a count of `{word}`");
    }
    counts
}
