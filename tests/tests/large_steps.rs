//! Steps that hold much: they run where they lie, and are not moved for each batch.

use flow_runtime::io::{Collect, collect, from_iter};
use flow_runtime::prelude::*;

/// 4 KiB: more than is moved to the stack.
type Factors = [u64; 512];

#[dataflow]
fn scaled(numbers: Vec<u64>, factors: Factors, out: Collect<(u64, u64)>) {
    let all = source(from_iter(numbers));
    let scaled = map(all, move |n| n * factors[n as usize % factors.len()]);
    let by_rest = key_by(scaled, |n| n % 7);
    let sums = stateful_map(by_rest, move |sum: &mut u64, _rest, n| {
        *sum += n * factors[1];
        *sum
    });
    sink(sums, out);
}

#[test]
fn steps_that_capture_large_values_count_like_others() {
    let mut factors = [3; 512];
    factors[1] = 2;
    let numbers: Vec<u64> = (0..5000).collect();
    let (mut sums, mut expected) = ([0; 7], Vec::new());
    for n in &numbers {
        let scaled = n * factors[*n as usize % 512];
        let sum = &mut sums[(scaled % 7) as usize];
        *sum += scaled * 2;
        expected.push((scaled % 7, *sum));
    }
    expected.sort_unstable();
    // One reader, so the items of a key keep their order however many workers there are.
    for workers in [1, 3] {
        let (out, found) = collect();
        let running = scaled(numbers.clone(), factors, out).workers(workers).spawn();
        running.and_then(|running| running.wait()).expect("the dataflow runs");
        assert_eq!(found.sorted(), expected, "{workers} workers");
    }
}
