//! Counts the words of texts.
//!
//! `word_count [--out FILE] [INPUT]...`: with `--out` every update is a line `word,count`; without, the most frequent of the words
//! that came are printed at the end. Without an input it reads this repository's own Markdown files. With `--recovery DIR` it goes on
//! where the last run was, and counts on.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use flow_runtime::io::{CsvFile, Lines, Sink, latest};
use flow_runtime::prelude::*;

/// Splits a line into lower-case words: maximal runs of letters and apostrophes.
#[flat_map]
fn split(line: String) -> impl Iterator<Item = String> {
    let line = line.to_lowercase();
    let words =
        line.split(|c: char| !c.is_alphabetic() && c != '\'').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// How often a word has come.
#[stateful]
#[derive(Default)]
struct Count {
    total: u64,
}

/// One more of this word.
#[stateful_map]
fn count(state: &mut Count, _word: &str, _item: String) -> u64 {
    state.total += 1;
    state.total
}

#[dataflow]
pub(crate) fn word_count<S: Sink<Keyed<String, u64>>>(text: Lines, out: S) {
    let lines = source(text);
    let words = split(lines);
    let by_word = key_by_ref(words, |word| word.as_str());
    let counts = count(by_word);
    sink(counts, out);
}

/// Counts words.
#[derive(Parser)]
struct Args {
    /// Files or folders; without any, this repository's Markdown files
    input: Vec<PathBuf>,

    /// Write every update as a line `word,count`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let text = match args.input.is_empty() {
        true => Lines::glob(concat!(env!("CARGO_MANIFEST_DIR"), "/../*.md")),
        false => Lines::of_all(args.input),
    };
    if let Some(out) = args.out {
        return word_count(text, CsvFile::at(out)).with(args.run).run();
    }
    let (sink, counts) = latest();
    word_count(text, sink).with(args.run).run()?;
    let mut counts: Vec<(String, u64)> = counts.take();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    // Whoever reads this may have seen enough: a closed pipe is no failure.
    let _ = print(&counts[..counts.len().min(20)]);
    Ok(())
}

fn print(counts: &[(String, u64)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    counts.iter().try_for_each(|(word, count)| writeln!(out, "{count:>8}  {word}"))
}

#[cfg(test)]
#[test]
fn what_is_saved_fits_the_lock() -> Result<(), flow_runtime::Error> {
    let flow = word_count(Lines::of("text"), CsvFile::at("counts.csv"));
    flow_runtime::schema_lock::check("schemas/word_count.lock", &flow)
}
