use flow_runtime::prelude::*;
use flow_runtime::steps::sink as write;

#[dataflow(delivery = exactly_once)]
fn weak_sinks(text: Lines, out: Collect<String>) {
    let lines = source(text);
    sink(lines, Stdout::lines());
    #[id = "collected"]
    sink(lines, out);
    #[id = "renamed"]
    write(lines, Stdout::lines());
}

#[dataflow(delivery = exactly_once)]
fn weak_source(items: ChannelSource<u64>) {
    let numbers = source(items);
    sink(numbers, CsvFile::at("numbers.csv"));
}

#[dataflow(delivery = exactly_once)]
fn weak_parameters<I: Source<Item = u64>, O: Sink<Stream<u64>>>(items: I, out: O) {
    let numbers = source(items);
    sink(numbers, out);
}

fn main() {
    let _ = weak_sinks(Lines::of("text"), collect().0);
    let _ = weak_source(channel(8).1);
    let _ = weak_parameters(from_iter(0..3_u64), CsvFile::at("numbers.csv"));
}
