//! Maps and lists that are saved entry by entry compile quietly: as fields, in a struct within a struct, in generic types, as a state by themselves.
#![deny(warnings)]
#![deny(clippy::pedantic)]

use flow_runtime::prelude::*;
use flow_runtime::state::Saved;

#[stateful]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Basket<K: Ord + Clone, V> {
    owner: String,
    items: MapState<K, V>,
    #[state(skip)]
    cache: MapState<u8, u8>,
    inner: Box<Inner<V>>,
}

#[stateful]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inner<V>(ListState<V>, #[state(foreign = "address v1")] Option<std::net::Ipv4Addr>);

#[stateful]
#[derive(Debug, Default)]
struct Unit;

#[stateful_map]
fn count(basket: &mut Basket<String, u64>, _owner: &str, item: String) -> u64 {
    let count = basket.items.get_or_default(item);
    *count += 1;
    basket.inner.0.push_back(*count);
    *count
}

#[stateful_map]
fn by_itself(items: &mut MapState<String, u64>, _owner: &str, item: String) -> usize {
    items.insert(item, 1);
    items.len()
}

#[stateful_map]
fn in_an_option(items: &mut Option<ListState<String>>, _owner: &str, item: String) -> usize {
    let items = items.get_or_insert_default();
    items.push_back(item);
    items.len()
}

fn main() {
    assert_eq!((Basket::<String, u64>::PARTS, Unit::PARTS, u64::PARTS), (2, 0, 0));
    let schema = <Basket<String, u64> as Saved>::SCHEMA.to_string();
    assert!(schema.contains("items: MapState<String, u64>") && schema.contains("0: ListState<u64>"));
    let mut step = count::harness();
    let mut alone = by_itself::harness();
    let mut optional = in_an_option::harness();
    for item in ["tea", "rye", "tea"] {
        step.item("ada", item.to_owned());
        alone.item("ada", item.to_owned());
        optional.item("ada", item.to_owned());
        (step.epoch(), alone.epoch(), optional.epoch());
    }
    let basket = step.state("ada").cloned();
    step.restore_on(2);
    alone.restore_on(2);
    optional.restore_on(2);
    assert_eq!(step.state("ada"), basket.as_ref());
    assert_eq!(alone.state("ada").map(MapState::len), Some(2));
    assert_eq!(optional.state("ada").map(ListState::len), Some(3));
}
