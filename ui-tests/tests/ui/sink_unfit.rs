use flow_runtime::prelude::*;

struct Ticket(String);

#[map]
fn ticket(line: String) -> Ticket {
    Ticket(line)
}

#[dataflow]
fn printed(text: Lines) {
    let lines = source(text);
    let tickets = ticket(lines);
    sink(tickets, Stdout::lines());
}

fn main() {
    let _ = printed(Lines::of("text"));
}
