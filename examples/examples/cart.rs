//! Shopping carts: what each user has ordered and paid, joined from a file of order and payment events.
//!
//! `cart --events FILE --out FILE [--skip-bad-lines]`: every event becomes a line
//! `{"epoch":0,"user":"a","unpaid":[1],"paid":[]}` with the orders of its user after it. The epoch is the number of the
//! event's line, counted from 0: each event is committed by itself.

use std::path::PathBuf;

use clap::Parser;
use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use serde::{Deserialize, Serialize};

/// A line of the input: `{"user":"a","type":"order","order_id":1}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    user: String,
    #[serde(rename = "type")]
    kind: Kind,
    order_id: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Order,
    Payment,
}

/// The orders of a user: each is in one of the lists, in the order in which it came there.
#[stateful]
#[derive(Clone, Debug, Default, PartialEq)]
struct Cart {
    unpaid: Vec<u64>,
    paid: Vec<u64>,
}

/// A line of the output: the orders of a user after an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Update {
    epoch: Epoch,
    user: String,
    unpaid: Vec<u64>,
    paid: Vec<u64>,
}

/// A payment moves its order from the unpaid to the paid ones. It may come before its order, which is then paid from the
/// beginning. What comes a second time changes nothing.
#[stateful_map]
fn update(cart: &mut Cart, _user: &str, (epoch, event): (Epoch, Event)) -> Update {
    let Event { user, kind, order_id } = event;
    let paid = cart.paid.contains(&order_id);
    match kind {
        Kind::Order if !paid && !cart.unpaid.contains(&order_id) => cart.unpaid.push(order_id),
        Kind::Payment if !paid => {
            cart.unpaid.retain(|unpaid| *unpaid != order_id);
            cart.paid.push(order_id);
        }
        _ => {}
    }
    Update { epoch, user, unpaid: cart.unpaid.clone(), paid: cart.paid.clone() }
}

#[dataflow]
pub(crate) fn cart<S: Source<Item = (Epoch, Event)>>(events: S, out: JsonLinesFile) {
    let numbered = source(events);
    let by_user = key_by_ref(numbered, |(_, event)| event.user.as_str());
    let carts = update(by_user);
    let lines = values(carts);
    sink(lines, out);
}

/// Keeps the carts of users: which orders are paid, and which are not.
#[derive(Parser)]
struct Args {
    /// Events, one a line: `{"user":"a","type":"order","order_id":1}`; the type is `order` or `payment`
    #[arg(long, value_name = "FILE")]
    events: PathBuf,

    /// Where the user's orders after each event are written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Leave out lines that are no events; without this, the first one ends the run
    #[arg(long)]
    skip_bad_lines: bool,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let (events, out) = (JsonLines::of(args.events), JsonLinesFile::at(args.out));
    match args.skip_bad_lines {
        true => cart(events.skip_bad_rows().epoch_per_line(), out).with(args.run).run(),
        false => cart(events.epoch_per_line(), out).with(args.run).run(),
    }
}

/// What is saved by a deployment can be loaded by the program as it is now. `FLOW_SCHEMA_LOCK=write cargo test` writes the file.
#[cfg(test)]
#[test]
fn what_is_saved_fits_the_lock() -> Result<(), flow_runtime::Error> {
    let (events, out) = (JsonLines::of("events"), JsonLinesFile::at("out"));
    flow_runtime::schema_lock::check("schemas/cart.lock", &cart(events.epoch_per_line(), out))
}
