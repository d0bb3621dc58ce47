use flow_runtime::prelude::*;

#[dataflow]
fn printed(lines: Stream<String>) {
    let upper = map(lines, |line| line.to_uppercase());
    sink(upper, Stdout::lines());
}

#[dataflow]
fn twice(lines: Stream<String>) -> Stream<usize> {
    printed(lines);
    let lengths = map(lines, |line| line.len());
    lengths
}

#[dataflow]
fn read(text: Lines) -> Stream<String> {
    let lines = source(text);
    lines
}

#[dataflow(delivery = exactly_once)]
fn flow(text: Lines) {
    let lines = source(read(text));
    printed(lines);
    let lengths = twice(lines);
    sink(lengths, CsvFile::at("lengths.csv"));
}

#[dataflow(delivery = exactly_once)]
fn declared(lines: Stream<String>) {
    sink(lines, Stdout::lines());
}

fn main() {
    let _ = flow(Lines::of("text"));
}
