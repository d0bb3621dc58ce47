use flow_runtime::prelude::*;

#[stateful]
#[derive(Default)]
struct Basket {
    items: MapState<String, u32>,
}

#[stateful]
#[derive(Default)]
struct Shop {
    baskets: Vec<Basket>,
}

#[stateful]
#[derive(Default)]
enum Visit {
    #[default]
    Before,
    Open { seen: ListState<u64> },
}

#[stateful]
#[derive(Default)]
struct Floats {
    by_price: MapState<f64, u32>,
}

fn main() {}
