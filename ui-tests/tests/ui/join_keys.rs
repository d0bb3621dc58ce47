use std::time::Duration;

use flow_runtime::prelude::*;

#[dataflow]
fn joined(text: Lines) {
    let lines = source(text);
    let timed = event_time(lines, |_| Timestamp(0), Disorder::none());
    let by_line = key_by(timed, |line| line.clone());
    let by_length = key_by(timed, |line| line.len());
    let minute = Interval::between(Duration::ZERO, Duration::from_secs(60));
    let (matched, unmatched, late) = interval_join(by_line, by_length, minute);
    discard(matched, "only an example");
    discard(unmatched, "only an example");
    discard(late, "only an example");
}

fn main() {
    let _ = joined(Lines::of("text"));
}
