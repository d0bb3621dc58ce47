//! Against the real encoders: what is decoded by a shape is what serde makes of the value.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use flow_runtime::stateful;

use super::*;
use crate::state::{Saved, key_code};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[stateful]
enum Size {
    Small,
    Large,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[stateful]
enum Act {
    Nothing,
    Put(u64),
    Move(i32, i32),
    Named { name: String, at: Option<i64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[stateful]
struct Wrapped(u16);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[stateful]
struct Pair(i8, char);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[stateful]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[stateful]
struct All {
    acts: Vec<Act>,
    by_name: BTreeMap<String, Wrapped>,
    by_number: BTreeMap<u64, Pair>,
    by_size: BTreeMap<Size, f64>,
    took: Duration,
    both: (bool, Unit),
    three: [u8; 3],
    nested: Option<Vec<Option<String>>>,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Nothing),
        any::<u64>().prop_map(Act::Put),
        any::<(i32, i32)>().prop_map(|(a, b)| Act::Move(a, b)),
        any::<(String, Option<i64>)>().prop_map(|(name, at)| Act::Named { name, at }),
    ]
}

prop_compose! {
    fn all_of_it()(
        acts in prop::collection::vec(act(), 0..4),
        by_name in prop::collection::btree_map(any::<String>(), any::<u16>().prop_map(Wrapped), 0..3),
        by_number in prop::collection::btree_map(any::<u64>(), any::<(i8, char)>().prop_map(|(a, b)| Pair(a, b)), 0..3),
        by_size in prop::collection::btree_map(prop_oneof![Just(Size::Small), Just(Size::Large)], -1e9..1e9_f64, 0..2),
        secs: u64, nanos in 0..1_000_000_000_u32, both: bool, three: [u8; 3], nested: Option<Vec<Option<String>>>,
    ) -> All {
        All {
            acts, by_name, by_number, by_size, took: Duration::new(secs, nanos), both: (both, Unit), three, nested,
        }
    }
}

fn check<T: Serialize + DeserializeOwned + Saved + Debug>(value: &T) {
    let expected = serde_json::to_value(value).expect("is JSON");
    let mut bytes = Vec::new();
    value.save(&mut bytes);
    let shape = Shape::from(T::SCHEMA);
    assert_eq!(shape.json_of_saved(&bytes), Ok(expected.clone()));
    assert!((0..bytes.len()).all(|short| shape.json_of_saved(&bytes[..short]).is_err()));
    let bytes = ::postcard::to_allocvec(value).expect("can be encoded");
    let shape = Shape::of_serde::<T>();
    assert_eq!(shape.json_of_serde(&bytes), Ok(expected), "{shape}");
    assert!((0..bytes.len()).all(|short| shape.json_of_serde(&bytes[..short]).is_err()));
}

fn key_of<K: Serialize + DeserializeOwned + 'static>(of: &K) -> Value {
    let mut bytes = Vec::new();
    key_code::save_key(of, &mut bytes).expect("can be saved");
    key(&Shape::of_serde::<K>(), key_code::form_of::<K>(), &bytes)
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_as_serde_has_it(value in all_of_it()) {
        check(&value);
    }

    #[test]
    fn numbers_of_all_widths_are_what_they_are(
        a: (u8, u16, u32, u64), b: (i8, i16, i32, i64), c: char, d: (u64, i64),
    ) {
        check(&(a.0, a.1, a.2, a.3));
        check(&(b.0, b.1, b.2, b.3, c));
        check(&(u128::from(d.0), i128::from(d.1)));
    }

    #[test]
    fn keys_are_told_in_each_of_their_forms(text: String, number: i32, wide: u64, pair: (u8, String)) {
        prop_assert_eq!(key_of(&text), json!(text));
        prop_assert_eq!(key_of(&number), json!(number));
        prop_assert_eq!(key_of(&u128::from(wide)), json!(wide));
        prop_assert_eq!(key_of(&pair), json!(pair));
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>, form: u8) {
        for shape in [Shape::from(All::SCHEMA), Shape::of_serde::<All>(), Shape::Foreign("x".into())] {
            let _ = (shape.json_of_saved(&bytes), shape.json_of_serde(&bytes));
            key(&shape, form, &bytes);
        }
    }
}

#[test]
fn what_json_has_no_value_for_is_text() {
    let saved = |value: &dyn Fn(&mut Vec<u8>), shape: &str| {
        let mut bytes = Vec::new();
        value(&mut bytes);
        Shape::Plain(shape.into()).json_of_saved(&bytes).expect("can be decoded")
    };
    assert_eq!(saved(&|to| u128::MAX.save(to), "u128"), json!(u128::MAX.to_string()));
    assert_eq!(saved(&|to| i128::MIN.save(to), "i128"), json!(i128::MIN.to_string()));
    assert_eq!(saved(&|to| (1_i128 << 63).save(to), "i128"), json!(1_u64 << 63));
    assert_eq!(saved(&|to| f64::NAN.save(to), "f64"), json!("NaN"));
    assert_eq!(saved(&|to| 0.1_f32.save(to), "f32"), json!(0.1));
    let pairs = BTreeMap::from([((1_u8, 2_u8), true)]);
    let mut bytes = Vec::new();
    pairs.save(&mut bytes);
    let shape = Shape::from(<BTreeMap<(u8, u8), bool>>::SCHEMA);
    assert_eq!(shape.json_of_saved(&bytes), Ok(json!([[[1, 2], true]])));
}

#[test]
fn a_foreign_value_is_its_name_and_its_bytes() {
    let shape = Shape::Tuple(vec![Shape::Foreign("money v1".into()), Shape::Plain("u8".into())]);
    let mut bytes = Vec::new();
    crate::state::save_foreign(&300_u32, &mut bytes);
    bytes.push(9);
    assert_eq!(
        shape.json_of_saved(&bytes),
        Ok(json!([{ "foreign": "money v1", "hex": "ac02" }, 9]))
    );
    // Among postcard's bytes nothing says where it ends.
    assert!(shape.json_of_serde(&[1, 2]).is_err());
    let told = key(&shape, 0, &[1, 2]);
    assert_eq!(told, json!({ "foreign": "(`money v1`, u8)", "hex": "0102" }));
}

#[test]
fn a_length_alone_makes_nothing() {
    let nothing = || Box::new(Shape::Plain("()".into()));
    let list = Shape::List(nothing());
    assert_eq!(list.json_of_saved(&[3]), Ok(json!([null, null, null])));
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert!(list.json_of_saved(&huge).is_err());
    assert!(Shape::Map(nothing(), nothing()).json_of_serde(&huge).is_err());
    let array = Shape::Array(Box::new(Shape::Array(nothing(), u64::MAX)), u64::MAX);
    assert!(array.json_of_serde(&[]).is_err());
}
