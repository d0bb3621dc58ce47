use flow_runtime::prelude::*;

// Programs that rustc alone could take for right, with a step that is not wired.

const LINES: u64 = 3;

static LATER: u64 = 3;

#[map]
fn trim(line: String) -> String {
    line.trim().to_owned()
}

#[allow(non_upper_case_globals)]
const elsewhere: u64 = 3;

// A first name that rustc knows and the dataflow does not.
#[dataflow]
fn of_a_constant(text: Lines) {
    let lines = source(text);
    sink(lines, Stdout::lines());
    discard(elsewhere, "never wired");
}

#[dataflow]
fn of_a_constant_in_upper_case(text: Lines) {
    let lines = source(text);
    sink(lines, Stdout::lines());
    let more = trim(LINES);
    sink(more, Stdout::lines());
}

// A first name that is a parameter.
#[dataflow]
fn of_a_parameter(text: Lines) {
    let lines = source(text);
    sink(lines, Stdout::lines());
    let never = trim(text);
}

// What follows would not be wired.
#[dataflow]
fn cut_short(text: Lines) {
    let lines = source(text);
    if LATER > 2 {
        return;
    }
    sink(lines, Stdout::lines());
}

// Compiled out.
#[dataflow]
fn under_a_condition(text: Lines) {
    let lines = source(text);
    sink(lines, Stdout::lines());
    #[cfg(feature = "never")]
    let trimmed = trim(lines);
}

fn main() {
    let _ = of_a_constant(Lines::of("text"));
    let _ = of_a_constant_in_upper_case(Lines::of("text"));
    let _ = of_a_parameter(Lines::of("text"));
    let _ = cut_short(Lines::of("text"));
    let _ = under_a_condition(Lines::of("text"));
}
