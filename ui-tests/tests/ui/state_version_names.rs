use flow_runtime::prelude::*;

/// The log does not know it by this name.
#[stateful]
struct CartV1 {
    orders: Vec<u64>,
}

#[stateful(version = 2, from = CartV1)]
struct Cart {
    orders: Vec<u64>,
}

impl From<CartV1> for Cart {
    fn from(old: CartV1) -> Self {
        Cart { orders: old.orders }
    }
}

fn main() {}
