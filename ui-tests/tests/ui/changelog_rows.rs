use flow_runtime::prelude::*;

#[dataflow]
fn joined(text: Lines) {
    let lines = source(text);
    let by_line = key_by(lines, |line| line.clone());
    let (matched, unmatched) = changelog_join(by_line, by_line);
    discard(matched, "only an example");
    discard(unmatched, "only an example");
}

fn main() {
    let _ = joined(Lines::of("text"));
}
