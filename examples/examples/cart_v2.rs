//! The shopping carts of `cart`, in the program's next version: it says also how long ago a user's last event was.
//!
//! `cart_v2 --events FILE --out FILE --recovery DIR` goes on with what `cart` has saved in `DIR`: the type that it saved is kept as
//! `CartV1`, and what is loaded is converted. Every event becomes a line
//! `{"epoch":7,"user":"a","unpaid":[1],"paid":[],"since":3}`; `since` is `null` at the first event that this version sees of a user.

use std::path::PathBuf;

use clap::Parser;
use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use serde::{Deserialize, Serialize};

/// A line of the input: `{"user":"a","type":"order","order_id":1}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Event {
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

/// What `cart` has saved: the type as it was, under another Rust name. The log knows it as `Cart`.
#[stateful(name = "Cart", version = 1)]
struct CartV1 {
    unpaid: Vec<u64>,
    paid: Vec<u64>,
}

/// The orders of a user, and when the last event came.
#[stateful(version = 2, from = CartV1)]
#[derive(Clone, Debug, Default, PartialEq)]
struct Cart {
    unpaid: Vec<u64>,
    paid: Vec<u64>,
    last: Option<Epoch>,
}

impl From<CartV1> for Cart {
    fn from(CartV1 { unpaid, paid }: CartV1) -> Self {
        Cart { unpaid, paid, last: None }
    }
}

/// A line of the output: the orders of a user after an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Update {
    epoch: Epoch,
    user: String,
    unpaid: Vec<u64>,
    paid: Vec<u64>,
    /// Epochs since the user's last event.
    since: Option<u64>,
}

/// As in `cart`.
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
    let since = cart.last.replace(epoch).map(|last| epoch.0 - last.0);
    Update { epoch, user, unpaid: cart.unpaid.clone(), paid: cart.paid.clone(), since }
}

#[dataflow]
fn cart<S: Source<Item = (Epoch, Event)>>(events: S, out: JsonLinesFile) {
    let numbered = source(events);
    let by_user = key_by_ref(numbered, |(_, event)| event.user.as_str());
    let carts = update(by_user);
    let lines = values(carts);
    sink(lines, out);
}

/// Keeps the carts of users: which orders are paid, which are not, and when something last happened.
#[derive(Parser)]
struct Args {
    /// Events, one a line: `{"user":"a","type":"order","order_id":1}`; the type is `order` or `payment`
    #[arg(long, value_name = "FILE")]
    events: PathBuf,

    /// Where the user's orders after each event are written
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    run: RunOptions,
}

fn main() -> Result<(), flow_runtime::Error> {
    let args = Args::parse();
    let (events, out) = (JsonLines::of(args.events), JsonLinesFile::at(args.out));
    cart(events.epoch_per_line(), out).with(args.run).run()
}

/// What is deployed goes on with this: `cart` without a version before it is refused.
#[cfg(test)]
#[test]
fn what_is_saved_fits_the_lock() -> Result<(), flow_runtime::Error> {
    let (events, out) = (JsonLines::of("events"), JsonLinesFile::at("out"));
    flow_runtime::schema_lock::check("schemas/cart_v2.lock", &cart(events.epoch_per_line(), out))
}
