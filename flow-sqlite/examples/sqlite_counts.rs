//! Counts the words of texts into an SQLite database, exactly once.
//!
//! `sqlite_counts --recovery DIR [--db FILE] [INPUT]...`: every update becomes a row `(word, n)` of the table `counts`, so a word that
//! has come three times has the rows 1, 2 and 3. End the process however you like and start it again: it goes on where it was, and no
//! row is missing or there twice.

use std::path::PathBuf;

use clap::Parser;
use flow_runtime::io::{Lines, OutboxSink, outbox};
use flow_runtime::prelude::*;
use flow_sqlite::{Sqlite, SqliteOutbox};

/// Splits a line into words.
#[flat_map]
fn split(line: String) -> impl Iterator<Item = String> {
    line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().into_iter()
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

#[dataflow(delivery = exactly_once)]
fn sqlite_counts(text: Lines, out: OutboxSink<SqliteOutbox<(String, u64)>>) {
    let lines = source(text);
    let words = split(lines);
    let by_word = key_by_ref(words, |word| word.as_str());
    let counts = count(by_word);
    sink(counts, out);
}

/// Counts words into a database.
#[derive(Parser)]
struct Args {
    /// Files or folders; without any, this repository's Markdown files
    input: Vec<PathBuf>,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "counts.db")]
    db: PathBuf,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let text = match args.input.is_empty() {
        true => Lines::glob(concat!(env!("CARGO_MANIFEST_DIR"), "/../*.md")),
        false => Lines::of_all(args.input),
    };
    // No key and no `ON CONFLICT`: a row that came twice would be there twice.
    let counts = Sqlite::at(args.db)
        .schema("CREATE TABLE IF NOT EXISTS counts (word TEXT NOT NULL, n INTEGER NOT NULL)")
        .insert("INSERT INTO counts (word, n) VALUES (?1, ?2)");
    sqlite_counts(text, outbox(counts)).with(args.run).run()
}
