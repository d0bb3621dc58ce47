//! `#[stateful]`: saving, loading, schemas.

use std::collections::BTreeMap;

use flow_runtime::state::{Saved, State};
use flow_runtime::stateful;
use serde::{Deserialize, Serialize};

#[stateful]
#[derive(Debug, Default, Clone, PartialEq)]
struct Count {
    total: u64,
    #[state(skip)]
    cache: Vec<String>,
}

#[stateful(version = 3)]
#[derive(Debug, Clone, PartialEq)]
enum Cart<T> {
    Empty,
    Open { items: Vec<T>, r#type: u8 },
    Paid(Count, BTreeMap<String, T>),
}

#[stateful]
#[derive(Debug, PartialEq)]
struct Pair(u32, Inner);

#[stateful]
#[derive(Debug, PartialEq)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Foreign(char);

mod hidden {
    #[flow_runtime::stateful]
    #[derive(Debug, PartialEq)]
    pub(super) struct Inner {
        #[state(foreign = "Foreign v1")]
        pub(super) foreign: super::Foreign,
        private: Private,
    }
    #[flow_runtime::stateful]
    #[derive(Debug, PartialEq)]
    struct Private(bool);
    impl Inner {
        pub(super) fn new(letter: char) -> Self {
            Inner { foreign: super::Foreign(letter), private: Private(true) }
        }
    }
}
use hidden::Inner;

fn round_trip<T: State + PartialEq + std::fmt::Debug>(value: T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.save(&mut bytes);
    assert_eq!(T::load_all(&bytes).as_ref(), Ok(&value));
    for short in 0..bytes.len() {
        assert!(
            T::load_all(&bytes[..short]).is_err(),
            "{short} of {} bytes were accepted",
            bytes.len()
        );
    }
    bytes
}

#[test]
fn what_is_saved_is_loaded() {
    round_trip(Count { total: 7, cache: Vec::new() });
    round_trip(Cart::<u8>::Empty);
    round_trip(Cart::Open { items: vec![1_u64, 2], r#type: 3 });
    round_trip(Cart::Paid(Count::default(), BTreeMap::from([("a".to_owned(), 'x')])));
    round_trip(Pair(3, Inner::new('x')));
    assert!(round_trip(Unit).is_empty());
}

#[test]
fn a_skipped_field_begins_anew() {
    let mut bytes = Vec::new();
    Count { total: 7, cache: vec!["x".to_owned()] }.save(&mut bytes);
    assert_eq!(Count::load_all(&bytes), Ok(Count { total: 7, cache: Vec::new() }));
}

#[test]
fn an_unknown_variant_is_refused() {
    let error = Cart::<u8>::load_all(&[9]).expect_err("there is no variant 9");
    assert!(error.to_string().contains("a variant of `Cart` is not known"));
}

#[test]
fn schemas_are_constants() {
    const SCHEMA: &flow_runtime::state::Schema = <Cart<u8> as Saved>::SCHEMA;
    assert_eq!(
        SCHEMA.to_string(),
        "Cart v3 <Empty | Open { items: [u8], type: u8 } | Paid { 0: Count v1 { total: u64 }, 1: {String: u8} }>"
    );
    assert_eq!(
        Pair::SCHEMA.to_string(),
        "Pair v1 { 0: u32, 1: Inner v1 { foreign: `Foreign v1`, private: Private v1 { 0: bool } } }"
    );
}

#[test]
fn plain_memory_is_known() {
    #[stateful]
    struct Plain {
        _a: u64,
        _b: Option<[u8; 4]>,
    }
    const {
        assert!(<Plain as Saved>::PLAIN);
        assert!(!<Count as Saved>::PLAIN, "a skipped field may be anything");
        assert!(!<Cart<u8> as Saved>::PLAIN);
        assert!(!<Inner as Saved>::PLAIN, "a foreign field may be anything");
    }
}
