use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::stateful;

/// Saves as one type and reads as another.
fn read<Old: Saved, New: Saved + 'static>(old: &Old) -> Result<New, LoadError> {
    let mut bytes = Vec::new();
    old.save(&mut bytes);
    let reader = Reader::<New>::of(&Shape::from(Old::SCHEMA))?;
    for short in 0..bytes.len() {
        assert!(reader.read_all(&bytes[..short]).is_err(), "{short} of {} bytes", bytes.len());
    }
    assert!(reader.read_all(&[&bytes[..], &[0]].concat()).is_err(), "a byte too many was accepted");
    reader.read_all(&bytes)
}

fn refused<Old: Saved, New: Saved + 'static>() -> String {
    Reader::<New>::of(&Shape::from(Old::SCHEMA)).expect_err("it is another").what().to_owned()
}

#[stateful(name = "Line")]
#[derive(Clone, Debug, Default, PartialEq)]
struct LineV1 {
    order: u32,
}

#[stateful(name = "Line", version = 2, from = LineV1)]
#[derive(Clone, Debug, Default, PartialEq)]
struct LineV2 {
    order: u64,
    paid: bool,
}

#[stateful(version = 3, from = LineV2)]
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    order: u64,
    paid: Option<u64>,
}

impl From<LineV1> for LineV2 {
    fn from(old: LineV1) -> Self {
        LineV2 { order: old.order.into(), paid: false }
    }
}
impl From<LineV2> for Line {
    fn from(old: LineV2) -> Self {
        Line { order: old.order, paid: old.paid.then_some(0) }
    }
}

#[test]
fn a_chain_leads_from_every_version_to_the_newest() {
    assert_eq!(LineV1::SCHEMA.to_string(), "Line v1 { order: u32 }");
    let now = Line { order: 7, paid: None };
    assert_eq!(read(&LineV1 { order: 7 }), Ok(now.clone()));
    assert_eq!(read(&LineV2 { order: 7, paid: true }), Ok(Line { paid: Some(0), ..now.clone() }));
    assert_eq!(read(&now), Ok(now.clone()));
    // Back it does not lead.
    assert_eq!(refused::<Line, LineV2>(), "the version of `Line` was 3 and is 2");
}

/// Where versions may lie: all of it was saved with the first version of a line and is read with the newest one.
macro_rules! everywhere {
    ($module:ident, $line:ty) => {
        mod $module {
            use super::*;

            #[stateful]
            #[derive(Debug, PartialEq)]
            pub(super) struct All<K: Ord + 'static, T> {
                pub(super) first: $line,
                pub(super) list: Vec<($line, K)>,
                pub(super) map: BTreeMap<K, [$line; 2]>,
                pub(super) generic: T,
                pub(super) state: State,
                #[state(foreign = "Ip v1")]
                pub(super) ip: std::net::Ipv4Addr,
                #[state(skip)]
                pub(super) cache: HashMap<u8, u8>,
            }

            #[stateful]
            #[derive(Debug, PartialEq)]
            pub(super) enum State {
                Empty,
                Held(Option<Box<$line>>, String),
                Named { line: $line },
            }
        }
    };
}
everywhere!(before, LineV1);
everywhere!(now, Line);

fn was_and_is(
    line: u32,
    key: String,
    variant: u8,
) -> (before::All<String, LineV1>, now::All<String, Line>) {
    let (old, new) = (LineV1 { order: line }, Line { order: line.into(), paid: None });
    let ip = std::net::Ipv4Addr::new(127, 0, 0, variant);
    let was = before::All {
        first: old.clone(),
        list: vec![(old.clone(), key.clone()); 3],
        map: BTreeMap::from([(key.clone(), [old.clone(), old.clone()])]),
        generic: old.clone(),
        state: match variant {
            0 => before::State::Empty,
            1 => before::State::Held(Some(Box::new(old)), key.clone()),
            2 => before::State::Held(None, key.clone()),
            _ => before::State::Named { line: old },
        },
        ip,
        cache: HashMap::from([(1, 1)]),
    };
    let is = now::All {
        first: new.clone(),
        list: vec![(new.clone(), key.clone()); 3],
        map: BTreeMap::from([(key.clone(), [new.clone(), new.clone()])]),
        generic: new.clone(),
        state: match variant {
            0 => now::State::Empty,
            1 => now::State::Held(Some(Box::new(new)), key),
            2 => now::State::Held(None, key),
            _ => now::State::Named { line: new },
        },
        ip,
        cache: HashMap::new(),
    };
    (was, is)
}

proptest! {
    #[test]
    fn a_version_is_found_wherever_it_lies(line: u32, key: String, variant in 0..4_u8) {
        let (was, is) = was_and_is(line, key, variant);
        prop_assert_eq!(read(&was), Ok(is));
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>) {
        let shape = Shape::from(before::All::<String, LineV1>::SCHEMA);
        let reader = Reader::<now::All<String, Line>>::of(&shape).expect("it can be read");
        let _ = reader.read_all(&bytes);
    }
}

#[test]
fn what_has_changed_without_a_version_is_found_inside() {
    type Was = (u8, before::All<String, LineV1>);
    type Is = (u8, now::All<u32, Line>);
    assert_eq!(refused::<Was, Is>(), "in field `list`, the type was `String` and is `u32`");
    mod other {
        use super::*;
        #[stateful(name = "Line")]
        pub(super) struct Wrong {
            order: u64,
        }
        #[stateful(name = "Line", version = 2, from = Wrong)]
        pub(super) struct Line {
            order: u64,
        }
        impl From<Wrong> for Line {
            fn from(old: Wrong) -> Self {
                Line { order: old.order }
            }
        }
        #[stateful]
        pub(super) struct Of(#[state(foreign = "a v1")] u8);
        pub(super) mod two {
            use super::*;
            #[stateful]
            pub(in super::super) struct Of(#[state(foreign = "a v2")] u8);
        }
    }
    assert_eq!(
        refused::<LineV1, other::Line>(),
        "as `Wrong`: in field `order`, the type was `u32` and is `u64`"
    );
    assert_eq!(
        refused::<other::Of, other::two::Of>(),
        "in field `0`, the type was `a v1` and is `a v2`"
    );
}

#[test]
fn what_values_are_told_apart_by_is_not_migrated() {
    assert_eq!(
        refused::<BTreeMap<Option<[u8; 1]>, LineV1>, BTreeMap<Option<[u8; 2]>, Line>>(),
        "the keys of a map are not converted: the type was `Option<[u8; 1]>` and is `Option<[u8; 2]>`"
    );
    assert_eq!(
        refused::<BTreeSet<u8>, BTreeSet<u16>>(),
        "the elements of a set are not converted: the type was `[u8]` and is `[u16]`"
    );
    assert_eq!(refused::<[LineV1; 2], [Line; 3]>(), "the type was `[Line; 2]` and is `[Line; 3]`");
    assert_eq!(refused::<(u8, LineV1), (Line,)>(), "the type was `(u8, Line)` and is `(Line)`");
}

#[test]
fn a_conversion_that_fails_says_why() {
    #[stateful(name = "Amount")]
    struct AmountV1(i64);
    #[stateful(version = 2, try_from = AmountV1)]
    #[derive(Debug, PartialEq)]
    struct Amount(u64);
    impl TryFrom<AmountV1> for Amount {
        type Error = String;
        fn try_from(old: AmountV1) -> Result<Self, String> {
            u64::try_from(old.0).map(Amount).map_err(|_| format!("{} is below zero", old.0))
        }
    }
    assert_eq!(read(&AmountV1(3)), Ok(Amount(3)));
    let error = read::<_, Amount>(&AmountV1(-3)).expect_err("it is below zero");
    assert_eq!(error.what(), "it cannot be converted from the older version: -3 is below zero");
}
