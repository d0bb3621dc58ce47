//! Word count of the same text with words that lie in their value: up to 24 bytes need no block of their own.

use compact_str::CompactString;
use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;

use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::Whole;
use crate::works::words::{Count, count_by_hand, text, update};
use crate::works::{Side, Work};

/// The work.
pub const WORDS_INLINE: Work =
    Work::new("words_inline", &[Side::new("hand", by_hand), Side::new("flow", on_flow)]);

#[flat_map]
fn split(line: &'static str) -> impl Iterator<Item = CompactString> {
    line.split_ascii_whitespace().map(CompactString::new)
}

#[stateful_map]
fn count(state: &mut Count, _word: &CompactString, _item: CompactString) -> u64 {
    state.one_more()
}

#[dataflow]
fn word_count<L, S>(text: L, out: S)
where
    L: Source<Item = &'static str>,
    S: Sink<Keyed<CompactString, u64>>,
{
    let lines = source(text);
    let words = split(lines);
    let by_word = key_by_ref(words, |word| word);
    let counts = count(by_word);
    sink(counts, out);
}

fn on_flow(job: &Job) -> Outcome {
    let (lines, words) = text(job);
    timed(words, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let out = for_each_keyed(move |word: &CompactString, count: u64| {
            update(part.sum(), word, count);
        });
        let text = Numbered::new(lines.len() as u64, job.workers, |n| lines[n as usize]);
        side::flow::run(word_count(text, out), job.workers);
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let (lines, words) = text(job);
    timed(words, || count_by_hand(lines, job.workers, |word| CompactString::new(word)))
}
