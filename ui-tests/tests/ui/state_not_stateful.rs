use flow_runtime::prelude::*;

#[derive(Default)]
struct Total {
    n: u64,
}

#[stateful_map]
fn add(total: &mut Total, _key: &u32, n: u64) -> u64 {
    total.n += n;
    total.n
}

#[dataflow]
fn totals(numbers: impl Source<Item = u64>) {
    let input = source(numbers);
    let by_rest = key_by(input, |n| (n % 3) as u32);
    let sums = add(by_rest);
    sink(sums, Stdout::lines());
}

fn main() {
    let _ = totals(from_iter(0..10_u64));
}
