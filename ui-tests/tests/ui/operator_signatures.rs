use flow_runtime::prelude::*;

#[stateful_map]
fn no_state(word: String) -> u64 {
    word.len() as u64
}

#[stateful_map]
fn state_by_value(state: u64, _key: &str, _word: String) -> u64 {
    state
}

#[stateful_map]
fn key_by_value(state: &mut u64, _key: String, _word: String) -> u64 {
    *state
}

#[filter]
fn by_value(n: u32) -> bool {
    n > 0
}

#[filter]
fn not_a_bool(n: &u32) -> u32 {
    *n
}

#[map]
fn borrowed(line: &str) -> usize {
    line.len()
}

#[flat_map]
fn nothing(line: String) {
    drop(line);
}

#[filter_map]
fn not_an_option(line: String) -> usize {
    line.len()
}

#[map]
fn no_item() -> u32 {
    0
}

struct Steps;

impl Steps {
    #[map]
    fn method(&self, n: u32) -> u32 {
        n
    }
}

fn main() {}
