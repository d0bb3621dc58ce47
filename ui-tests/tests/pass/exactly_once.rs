//! What `delivery = exactly_once` accepts.

use flow_runtime::io::delivery::ExactlyOnce;
use flow_runtime::io::replay::Replayable;
use flow_runtime::io::{Latest, latest};
use flow_runtime::prelude::*;
// A step is known by its type, not by its name.
use flow_runtime::steps::{sink as write, source as read};

/// Nothing is read or written here: there is nothing to declare.
#[dataflow]
fn long(lines: Stream<String>) -> Stream<String> {
    let kept = filter(lines, |line| line.len() > 3);
    kept
}

#[dataflow(delivery = exactly_once)]
fn kept(lines: Stream<String>) {
    let kept = long(lines);
    sink(kept, TextFile::at("kept.txt"));
}

#[dataflow(delivery = exactly_once)]
fn lines_of(text: Lines) -> Stream<String> {
    let lines = source(text);
    lines
}

#[dataflow(delivery = exactly_once)]
fn counts(text: Lines, table: Latest<String, u64>) {
    let lines = source(lines_of(text));
    kept(lines);
    let by_line = key_by_ref(lines, |line| line.as_str());
    let counts = stateful_map(by_line, |count: &mut u64, _line, _item| {
        *count += 1;
        *count
    });
    sink(counts, CsvFile::at("counts.csv"));
    #[id = "table"]
    sink(counts, deterministic(table));
    #[id = "again"]
    write(counts, CsvFile::at("again.csv"));
}

/// What a parameter promises stands in its bounds.
#[dataflow(delivery = exactly_once)]
fn copied<S: Sink<Stream<String>, Delivery: ExactlyOnce>>(
    lines: impl Source<Item = String, Replay = Replayable>,
    out: S,
) {
    let all = source(lines);
    sink(all, out);
}

#[dataflow(delivery = at_least_once)]
fn printed(text: Lines) {
    let lines = source(lines_of(text));
    kept(lines);
    sink(lines, Stdout::lines());
}

fn main() {
    let _ = read::OPERATOR;
    let _ = counts(Lines::of("text"), latest().0);
    let _ = copied(Lines::of("text"), TextFile::at("copy.txt"));
    let _ = printed(Lines::of("text"));
}
