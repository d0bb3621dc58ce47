use std::collections::HashMap;

use flow_runtime::prelude::*;

type Rates = HashMap<String, f64>;

#[dataflow]
fn rates(changes: Stream<(String, f64)>) -> Broadcast<Rates> {
    let rates = broadcast(changes, |rates: &mut Rates, (name, rate)| {
        rates.insert(name, rate);
    });
    rates
}

fn main() {}
