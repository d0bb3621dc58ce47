use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

#[stateful]
#[derive(Default, Serialize, Deserialize)]
struct Inner {
    n: u64,
}

#[stateful]
#[derive(Default, Serialize, Deserialize)]
struct Cart {
    #[serde(flatten)]
    inner: Inner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
#[stateful]
enum Payment {
    Card(String),
    Cash,
}

fn main() {}
