use flow_runtime::prelude::*;

#[stateful(name = "Cart")]
struct CartV1 {
    orders: Vec<u64>,
}

/// Version 2 is left out.
#[stateful(name = "Cart", version = 3, from = CartV1)]
struct CartV3 {
    orders: Vec<u64>,
}

impl From<CartV1> for CartV3 {
    fn from(old: CartV1) -> Self {
        CartV3 { orders: old.orders }
    }
}

/// Does not grow.
#[stateful(name = "Cart", version = 1, from = CartV1)]
struct CartAgain {
    orders: Vec<u64>,
}

/// Is made from itself.
#[stateful(version = 2, from = Cart)]
struct Cart {
    orders: Vec<u64>,
}

/// Nothing converts.
#[stateful(name = "Cart", version = 2, from = CartV1)]
struct Unconverted {
    orders: Vec<u64>,
}

/// Nothing converts, also where it may fail.
#[stateful(name = "Cart", version = 2, try_from = CartV1)]
struct Untried {
    orders: Vec<u64>,
}

/// What it is made from is no state.
struct Plain;

#[stateful(version = 2, from = Plain)]
struct FromPlain {
    orders: Vec<u64>,
}

impl From<Plain> for FromPlain {
    fn from(_: Plain) -> Self {
        FromPlain { orders: Vec::new() }
    }
}

/// Which version it is is not said.
#[stateful(from = CartV1)]
struct Unsaid {
    orders: Vec<u64>,
}

fn main() {}
