//! `flow-log`.
fn main() {}
