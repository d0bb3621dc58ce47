//! Versions of state compile quietly: a chain, a conversion that can fail, generic ones, enums, and old types that nothing else uses.
#![deny(warnings)]
#![deny(clippy::pedantic)]

use flow_runtime::prelude::*;
use flow_runtime::state::{Reader, Saved, Shape};

#[stateful(name = "Cart")]
struct CartV1 {
    orders: Vec<u32>,
}

#[stateful(name = "Cart", version = 2, from = CartV1)]
struct CartV2 {
    orders: Vec<u64>,
}

#[stateful(version = 3, try_from = CartV2)]
#[derive(Debug, PartialEq)]
struct Cart {
    last: Option<u64>,
}

impl From<CartV1> for CartV2 {
    fn from(old: CartV1) -> Self {
        CartV2 { orders: old.orders.into_iter().map(u64::from).collect() }
    }
}

impl TryFrom<CartV2> for Cart {
    type Error = &'static str;
    fn try_from(mut old: CartV2) -> Result<Self, &'static str> {
        if old.orders.len() > 1 { Err("several orders") } else { Ok(Cart { last: old.orders.pop() }) }
    }
}

mod generic {
    use super::*;

    #[stateful(name = "Pair")]
    pub(super) struct PairV1<A, B = u64>(pub(super) A, pub(super) B);

    #[stateful(version = 2, from = PairV1<A, Vec<B>>)]
    #[derive(Debug, PartialEq)]
    pub(super) enum Pair<A, B> {
        Nothing,
        Both { first: A, second: Vec<B> },
    }

    impl<A, B> From<PairV1<A, Vec<B>>> for Pair<A, B> {
        fn from(old: PairV1<A, Vec<B>>) -> Self {
            Pair::Both { first: old.0, second: old.1 }
        }
    }
}

fn read<Old: Saved, New: Saved + 'static>(old: &Old) -> Option<New> {
    let mut bytes = Vec::new();
    old.save(&mut bytes);
    Reader::of(&Shape::from(Old::SCHEMA)).ok()?.read_all(&bytes).ok()
}

fn main() {
    assert_eq!(read(&CartV1 { orders: vec![7] }), Some(Cart { last: Some(7) }));
    assert_eq!(read::<_, Cart>(&CartV1 { orders: vec![7, 8] }), None);
    let pair = generic::PairV1(String::from("a"), vec![1_u8]);
    let now = generic::Pair::Both { first: String::from("a"), second: vec![1_u8] };
    assert_eq!(read(&pair), Some(now));
    assert_eq!(generic::Pair::<u8, u8>::Nothing, generic::Pair::Nothing);
}
