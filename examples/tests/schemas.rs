//! The examples' own tests: what they save is what their schema locks in `schemas/` say.
#![allow(dead_code)] // Programs, taken for their tests.

#[path = "../examples/bars.rs"]
mod bars;
#[path = "../examples/cart.rs"]
mod cart;
#[path = "../examples/cart_v2.rs"]
mod cart_v2;
#[path = "../examples/fraud.rs"]
mod fraud;
#[path = "../examples/nexmark/main.rs"]
mod nexmark_queries;
#[path = "../examples/parking.rs"]
mod parking;
#[path = "../examples/sessions.rs"]
mod sessions;
#[path = "../examples/trades.rs"]
mod trades;
#[path = "../examples/word_count.rs"]
mod word_count;
