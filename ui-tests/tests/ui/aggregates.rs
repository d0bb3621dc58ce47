// An aggregate is of the stream's items, by key.

use flow_runtime::aggregate::{count, sum};
use flow_runtime::prelude::*;

struct Sale {
    cents: u64,
    note: String,
}

#[dataflow]
fn not_keyed(sales: Stream<Sale>) {
    let counts = running(sales, count());
    discard(counts, "only an example");
}

#[dataflow]
fn of_other_items(sales: Keyed<u32, Sale>) {
    let sums = running(sales, sum(|text: &String| text.len() as u64));
    discard(sums, "only an example");
}

#[dataflow]
fn no_sum(sales: Keyed<u32, Sale>) {
    let sums = total(sales, sum(|sale: &Sale| sale.note.clone()));
    discard(sums, "only an example");
}

#[dataflow]
fn items_unknown(sales: Keyed<u32, Sale>) {
    let sums = running(sales, sum(|sale| sale.cents));
    discard(sums, "only an example");
}

fn main() {}
