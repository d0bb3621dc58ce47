use flow_runtime::prelude::*;

struct Ticket(String);

#[map]
fn ticket(line: String) -> Ticket {
    Ticket(line)
}

#[map]
fn number(ticket: Ticket) -> usize {
    ticket.0.len()
}

#[dataflow]
fn tickets(text: Lines) {
    let lines = source(text);
    let tickets = ticket(lines);
    let numbers = number(tickets);
    sink(numbers, Stdout::lines());
    discard(tickets, "only an example");
}

fn main() {
    let _ = tickets(Lines::of("text"));
}
