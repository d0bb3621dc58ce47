use std::path::PathBuf;

use flow_runtime::io::{CsvFile, from_iter};
use flow_runtime::prelude::*;

#[filter]
fn above(n: &u64, limit: u64) -> bool {
    *n > limit
}

/// What is wrong with a parameter is told where it is given.
#[dataflow]
fn wrong(input: PathBuf, limit: String, out: PathBuf, numbers: Vec<u64>) {
    let rows = source(input);
    discard(rows, "a path is no source");
    let all = source(from_iter(numbers));
    let high = above(all, limit);
    sink(high, out);
}

fn main() {
    let _ = wrong(PathBuf::new(), String::new(), PathBuf::new(), Vec::new());
    let _ = CsvFile::at("x");
}
