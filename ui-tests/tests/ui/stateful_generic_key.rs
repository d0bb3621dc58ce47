use flow_runtime::prelude::*;

#[stateful_map]
fn number<K: Key, T>(seen: &mut u64, _key: &K, item: T) -> (u64, T) {
    *seen += 1;
    (*seen, item)
}

#[dataflow]
fn numbered(text: Lines) {
    let lines = source(text);
    let numbers = number(lines);
    sink(numbers, Stdout::json());
}

fn main() {
    let _ = numbered(Lines::of("text"));
}
