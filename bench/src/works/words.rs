//! Word count with owned words, every update emitted.

use std::hash::BuildHasher;

use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use renoir::BatchMode;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::{Map, ToStream};
use timely::dataflow::operators::{Inspect, Operator};

use crate::child::{Outcome, timed};
use crate::input::{Numbered, part};
use crate::options::Job;
use crate::side;
use crate::side::hand::{Mesh, owner};
use crate::tally::{Sum, Whole};
use crate::text::zipf_lines;
use crate::works::{Side, Work};

/// The work.
pub const WORDS: Work = Work::new(
    "words",
    &[
        Side::new("hand", by_hand),
        Side::new("flow", on_flow),
        Side::new("timely", on_timely),
        Side::new("renoir", on_renoir),
    ],
);

/// Words of the text, and how many different ones there may be.
const LENGTH: u64 = 20_000_000;
const DIFFERENT: usize = 200_000;

/// The text, and the number of its words.
pub fn text(job: &Job) -> (&'static [&'static str], u64) {
    let words = job.scaled(LENGTH);
    (zipf_lines(words as usize, DIFFERENT, 42), words)
}

#[flat_map]
fn split(line: &'static str) -> impl Iterator<Item = String> {
    line.split_ascii_whitespace().map(str::to_owned)
}

/// How often a word has come.
#[stateful]
#[derive(Default)]
pub struct Count {
    total: u64,
}

impl Count {
    /// Once more; answers how often it is now.
    #[inline(always)]
    pub fn one_more(&mut self) -> u64 {
        self.total += 1;
        self.total
    }
}

#[stateful_map]
fn count(state: &mut Count, _word: &str, _item: String) -> u64 {
    state.one_more()
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
pub fn update(sum: &mut Sum, word: &str, count: u64) {
    sum.add(count.wrapping_mul(word.len() as u64 + 31) ^ u64::from(word.as_bytes()[0]));
}

fn on_flow(job: &Job) -> Outcome {
    let (lines, words) = text(job);
    timed(words, || {
        let whole = Whole::default();
        let mut part = whole.part();
        let out = for_each_keyed(move |word: &String, count: u64| update(part.sum(), word, count));
        let text = Numbered::new(lines.len() as u64, job.workers, |n| lines[n as usize]);
        side::flow::run(word_count(text, out), job.workers);
        whole.sum()
    })
}

fn on_timely(job: &Job) -> Outcome {
    let (lines, words) = text(job);
    timed(words, || {
        let whole = Whole::default();
        let parts = whole.clone();
        side::timely::run(job.workers, move |worker| {
            let range = part(lines.len() as u64, worker.index(), worker.peers());
            let lines = lines[range.start as usize..range.end as usize].iter().copied();
            let mut sums = parts.part();
            worker.dataflow::<u64, _, _>(|scope| {
                let words = lines.to_stream(scope).flat_map(split);
                let hasher = FixedState::default();
                let route = Exchange::new(move |word: &String| hasher.hash_one(word) >> 24);
                let counts = words.unary(route, "count", |_, _| {
                    let mut counts: HashMap<String, u64, FixedState> = HashMap::default();
                    move |input, output| {
                        input.for_each(|time, words| {
                            let mut session = output.session(&time);
                            for word in words.drain(..) {
                                let count = match counts.get_mut(&word) {
                                    Some(count) => {
                                        *count += 1;
                                        *count
                                    }
                                    None => {
                                        counts.insert(word.clone(), 1);
                                        1
                                    }
                                };
                                session.give((word, count));
                            }
                        });
                    }
                });
                let counts = counts.container::<Vec<_>>();
                counts.inspect(move |(word, count)| update(sums.sum(), word, *count));
            });
        });
        whole.sum()
    })
}

fn on_renoir(job: &Job) -> Outcome {
    let (lines, words) = text(job);
    timed(words, || {
        let whole = Whole::default();
        let mut sums = whole.part();
        side::renoir::run(job.workers, |env| {
            let lines = env.stream_par_iter(move |worker, workers| {
                let range = part(lines.len() as u64, worker as usize, workers as usize);
                lines[range.start as usize..range.end as usize].iter().copied()
            });
            let words = lines.batch_mode(BatchMode::fixed(1024)).flat_map(split);
            let mut count = 0;
            // Each key has a copy of the function, and so of what it keeps.
            let counts = words.group_by(String::clone).rich_map(move |_| {
                count += 1;
                count
            });
            counts.for_each(move |(word, count)| update(sums.sum(), &word, count));
        });
        whole.sum()
    })
}

fn by_hand(job: &Job) -> Outcome {
    let (lines, words) = text(job);
    timed(words, || count_by_hand(lines, job.workers, str::to_owned))
}

/// What the loop keeps.
struct Counts<W> {
    counts: HashTable<(u64, W, u64)>,
    sum: Sum,
}

impl<W: AsRef<str>> Counts<W> {
    fn new() -> Self {
        Counts { counts: HashTable::new(), sum: Sum::default() }
    }

    #[inline(always)]
    fn take(&mut self, hash: u64, word: W) {
        let same = |entry: &(u64, W, u64)| entry.1.as_ref() == word.as_ref();
        if let Some((_, _, count)) = self.counts.find_mut(hash, same) {
            *count += 1;
            update(&mut self.sum, word.as_ref(), *count);
        } else {
            update(&mut self.sum, word.as_ref(), 1);
            self.counts.insert_unique(hash, (hash, word, 1), |entry| entry.0);
        }
    }
}

/// Counts the words of lines, each as a value of its own. A word is hashed once, for its thread and for the table.
pub fn count_by_hand<W>(
    lines: &'static [&'static str],
    threads: usize,
    own: impl Fn(&str) -> W + Copy + Sync,
) -> Sum
where
    W: AsRef<str> + Send,
{
    let hasher = &FixedState::default();
    let words = &move |worker| {
        let lines = part(lines.len() as u64, worker, threads).map(|n| lines[n as usize]);
        let words = lines.flat_map(str::split_ascii_whitespace);
        words.map(move |word| (hasher.hash_one(word), own(word)))
    };
    if threads == 1 {
        let mut counts = Counts::new();
        words(0).for_each(|(hash, word)| counts.take(hash, word));
        return counts.sum;
    }
    side::hand::exchanging(threads, |mut mesh: Mesh<(u64, W)>| {
        let mut counts = Counts::new();
        let mut take = |(hash, word)| counts.take(hash, word);
        for (hash, word) in words(mesh.me()) {
            mesh.give(owner(hash, threads), (hash, word), &mut take);
        }
        mesh.finish(&mut take);
        counts.sum
    })
}
