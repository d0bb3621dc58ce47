use std::collections::HashMap;

use flow_runtime::prelude::*;

type Rates = HashMap<String, u64>;

#[map]
fn convert(amount: u64, rates: &Rates, factor: u64) -> u64 {
    amount * factor * rates.len() as u64
}

#[dataflow]
fn unread(changes: impl Source<Item = (String, u64)>) {
    let updates = source(changes);
    let rates = broadcast(updates, |rates: &mut Rates, (name, rate)| {
        rates.insert(name, rate);
    });
}

#[dataflow]
fn by_value(changes: impl Source<Item = u64>, amounts: impl Source<Item = u64>) {
    let updates = source(changes);
    let factor = broadcast(updates, |factor: &mut u64, new| *factor = new);
    let input = source(amounts);
    let fixed = Rates::new();
    let converted = convert(input, fixed, factor);
    sink(converted, Stdout::lines());
}

fn main() {
    let _ = unread(from_iter([("EUR".to_owned(), 1)]));
    let _ = by_value(from_iter([1]), from_iter([1]));
}
