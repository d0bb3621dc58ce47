use std::rc::Rc;

use flow_runtime::prelude::*;

struct NotClone;

#[dataflow]
fn filtered(text: Lines, stop: Rc<Vec<String>>) {
    let lines = source(text);
    let kept = filter(lines, |line| !stop.contains(line));
    sink(kept, Stdout::lines());
}

#[dataflow]
fn counted(text: Lines, by: NotClone) {
    let lines = source(text);
    let kept = filter(lines, |line| std::mem::size_of_val(&by) < line.len());
    sink(kept, Stdout::lines());
}

fn main() {
    let _ = filtered(Lines::of("text"), Rc::default());
    let _ = counted(Lines::of("text"), NotClone);
}
