use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroI8, NonZeroU64};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::*;

/// The traced shape in words, as it comes back from a log.
fn traced<T: DeserializeOwned>() -> String {
    let shape = Shape::of_serde::<T>();
    assert_eq!(shape, Shape::of_serde::<T>());
    assert_eq!(Shape::decode(&shape.encode()), Ok(shape.clone()));
    let text = shape.to_string();
    assert!(!text.contains("::"), "{text}");
    text
}

#[test]
fn std_types() {
    assert_eq!(traced::<(u8, i16, u128, f32, bool, char)>(), "(u8, i16, u128, f32, bool, char)");
    assert_eq!(traced::<()>(), "()");
    assert_eq!(traced::<(String, Box<str>, Cow<'static, str>)>(), "(String, String, String)");
    assert_eq!(traced::<PathBuf>(), "String");
    assert_eq!(traced::<Option<Option<Vec<u8>>>>(), "Option<Option<[u8]>>");
    assert_eq!(traced::<HashSet<(u8, String)>>(), "[(u8, String)]");
    assert_eq!(traced::<HashMap<IpAddr, Vec<Box<u64>>>>(), format!("{{{IP}: [u64]}}"));
    assert_eq!(traced::<BTreeMap<String, BTreeMap<u8, ()>>>(), "{String: {u8: ()}}");
    assert_eq!(traced::<Duration>(), "Duration v1 { secs: u64, nanos: u32 }");
    assert_eq!(
        traced::<SystemTime>(),
        "SystemTime v1 { secs_since_epoch: u64, nanos_since_epoch: u32 }"
    );
    assert_eq!(traced::<Result<u8, String>>(), "Result v1 <Ok { 0: u8 } | Err { 0: String }>");
}

const IP: &str = "IpAddr v1 <V4 { 0: (u8, u8, u8, u8) } | V6 { 0: \
    (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8) }>";

#[test]
fn addresses_take_their_compact_form() {
    assert_eq!(traced::<IpAddr>(), IP);
    assert!(traced::<SocketAddr>().starts_with("SocketAddr v1 <V4 { 0: ((u8, u8, u8, u8), u16) }"));
}

#[test]
fn arrays_are_tuples_as_long_as_tuples_can_be() {
    assert_eq!(traced::<[u8; 0]>(), "()");
    assert_eq!(traced::<[u16; 3]>(), traced::<(u16, u16, u16)>());
    assert_eq!(traced::<[u16; 32]>(), "[u16; 32]");
}

#[derive(Deserialize)]
struct Unit;
#[derive(Deserialize)]
struct New(u64);
#[derive(Deserialize)]
struct Two(u8, String);
#[derive(Deserialize)]
struct Pair<A, B> {
    a: A,
    #[serde(rename = "z")]
    b: B,
    #[serde(skip)]
    cache: Vec<u8>,
}
#[derive(Deserialize)]
enum All<T> {
    Unit,
    New(T),
    Tuple(u8, Option<T>),
    Struct { a: T, b: Inner },
}
#[derive(Deserialize)]
enum Inner {
    X,
    Y,
    Z(bool),
}

#[test]
fn structs() {
    assert_eq!(traced::<Unit>(), "Unit v1 { }");
    assert_eq!(traced::<New>(), "New v1 { 0: u64 }");
    assert_eq!(traced::<Two>(), "Two v1 { 0: u8, 1: String }");
    assert_eq!(traced::<Pair<u8, New>>(), "Pair v1 { a: u8, z: New v1 { 0: u64 } }");
    assert_eq!(
        traced::<Pair<Pair<(), ()>, ()>>(),
        "Pair v1 { a: Pair v1 { a: (), z: () }, z: () }"
    );
}

#[test]
fn enums_show_all_their_variants_wherever_they_are() {
    let inner = "Inner v1 <X | Y | Z { 0: bool }>";
    let all = |t: &str| {
        format!(
            "All v1 <Unit | New {{ 0: {t} }} | Tuple {{ 0: u8, 1: Option<{t}> }} \
             | Struct {{ a: {t}, b: {inner} }}>"
        )
    };
    assert_eq!(traced::<All<u8>>(), all("u8"));
    assert_eq!(traced::<All<Inner>>(), all(inner));
    assert_eq!(traced::<All<All<Inner>>>(), all(&all(inner)));
    assert_eq!(
        traced::<HashMap<Inner, Pair<Vec<Inner>, Option<Inner>>>>(),
        format!("{{{inner}: Pair v1 {{ a: [{inner}], z: Option<{inner}> }}}}")
    );
}
impl PartialEq for Inner {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Inner {}
impl std::hash::Hash for Inner {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[derive(Deserialize)]
struct Chain {
    value: u8,
    next: Option<Box<Chain>>,
}
#[derive(Deserialize)]
struct Tree(Vec<Tree>, u8);
#[derive(Deserialize)]
#[serde(transparent)]
struct Forest {
    trees: BTreeMap<u8, Forest>,
}
#[derive(Deserialize)]
enum Expr {
    Add(Box<Expr>, Box<Expr>),
    Neg { of: Box<Expr>, kind: Inner },
    Number(i64),
}
#[derive(Deserialize)]
struct Endless {
    again: Box<Endless>,
    count: u8,
}
#[derive(Deserialize)]
struct Ping(Option<Box<Pong>>);
#[derive(Deserialize)]
struct Pong {
    ping: Ping,
    kind: Inner,
}

#[test]
fn types_inside_themselves_end_at_their_name() {
    assert_eq!(traced::<Chain>(), "Chain v1 { value: u8, next: Option<`Chain`> }");
    assert_eq!(traced::<Tree>(), "Tree v1 { 0: [`Tree`], 1: u8 }");
    assert_eq!(traced::<Forest>(), "{u8: `BTreeMap<u8, Forest>`}");
    assert_eq!(
        traced::<Expr>(),
        "Expr v1 <Add { 0: `Expr`, 1: `Expr` } \
         | Neg { of: `Expr`, kind: Inner v1 <X | Y | Z { 0: bool }> } | Number { 0: i64 }>"
    );
    assert_eq!(traced::<Endless>(), "Endless v1 { again: `Endless`, count: u8 }");
    assert_eq!(
        traced::<Ping>(),
        "Ping v1 { 0: Option<Pong v1 { ping: `Ping`, kind: Inner v1 <X | Y | Z { 0: bool }> }> }"
    );
}

#[derive(Deserialize)]
#[serde(try_from = "u16")]
struct Port(u16);
impl TryFrom<u16> for Port {
    type Error = &'static str;
    fn try_from(port: u16) -> Result<Self, Self::Error> {
        if port > 0 { Ok(Port(port)) } else { Err("no port") }
    }
}
/// Refuses whatever is made up for it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Email(String);
impl TryFrom<String> for Email {
    type Error = &'static str;
    fn try_from(email: String) -> Result<Self, Self::Error> {
        if email.contains('@') { Ok(Email(email)) } else { Err("no address") }
    }
}
#[derive(Deserialize)]
#[serde(try_from = "(u8, u8)")]
struct Span(u8, u8);
impl TryFrom<(u8, u8)> for Span {
    type Error = &'static str;
    fn try_from((from, to): (u8, u8)) -> Result<Self, Self::Error> {
        if from < to { Ok(Span(from, to)) } else { Err("empty") }
    }
}
#[derive(Deserialize)]
enum Reached {
    By(Email),
    Pair { email: Email, at: u8 },
    None,
}
#[derive(Deserialize)]
enum Contact {
    Tuple(Email, u8),
    None,
}

#[test]
fn values_that_are_refused_give_way_to_others() {
    assert_eq!(traced::<NonZeroU64>(), "u64");
    assert_eq!(traced::<Vec<Option<NonZeroI8>>>(), "[Option<i8>]");
    assert_eq!(traced::<Pair<Port, Option<Port>>>(), "Pair v1 { a: u16, z: Option<u16> }");
}

#[test]
fn a_type_that_refuses_all_values_is_its_name_and_hides_little() {
    assert_eq!(traced::<Email>(), "`Email`");
    assert_eq!(traced::<Vec<Email>>(), "[`Email`]");
    assert_eq!(traced::<Option<Email>>(), "Option<`Email`>");
    assert_eq!(traced::<BTreeMap<u8, Pair<Email, u8>>>(), "{u8: Pair v1 { a: `Email`, z: u8 }}");
    assert_eq!(
        traced::<Pair<Pair<Email, Inner>, Pair<Vec<Email>, Inner>>>(),
        "Pair v1 { a: Pair v1 { a: `Email`, z: Inner v1 <X | Y | Z { 0: bool }> }, \
         z: Pair v1 { a: [`Email`], z: Inner v1 <X | Y | Z { 0: bool }> } }"
    );
    assert_eq!(traced::<(u8, Email)>(), "(u8, `Email`)");
    assert_eq!(traced::<(Email, u8)>(), "`(Email, u8)`");
    assert_eq!(traced::<Pair<Span, u8>>(), "Pair v1 { a: (u8, u8), z: u8 }");
}

#[derive(Deserialize)]
struct Custom {
    #[serde(deserialize_with = "capitals")]
    refused: String,
    #[serde(deserialize_with = "capitals_or_none")]
    given: String,
}
fn capitals<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.starts_with('A') { Ok(text) } else { Err(de::Error::custom("no capitals")) }
}
fn capitals_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(capitals(deserializer).unwrap_or_default())
}

#[test]
fn functions_of_the_user_are_asked_like_types() {
    assert_eq!(traced::<Custom>(), "Custom v1 { refused: `String`, given: String }");
}

#[test]
fn a_variant_that_cannot_be_seen_whole_makes_the_enum_foreign() {
    assert_eq!(
        traced::<Reached>(),
        "Reached v1 <By { 0: `Email` } | Pair { email: `Email`, at: u8 } | None>"
    );
    assert_eq!(traced::<Contact>(), "`Contact`");
    assert_eq!(traced::<(Contact, u8)>(), "(`Contact`, u8)");
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Untagged {
    A(u8),
    B(String),
}
#[derive(Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    A(u8),
    B(String),
}
#[derive(Deserialize)]
enum Void {}
#[derive(Deserialize)]
struct Aliased {
    #[serde(alias = "old")]
    new: u8,
    other: u16,
}
struct Silent;
impl<'de> Deserialize<'de> for Silent {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Silent)
    }
}
struct Stubborn<T>(T);
impl<'de, T> Deserialize<'de> for Stubborn<T> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("never"))
    }
}
/// Goes on after errors until the list ends.
struct Lenient;
impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Lenient;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Lenient, A::Error> {
                while !matches!(list.next_element::<Email>(), Ok(None)) {}
                Ok(Lenient)
            }
        }
        deserializer.deserialize_seq(Any)
    }
}

#[test]
fn odd_types_end_at_their_name() {
    assert_eq!(traced::<Untagged>(), "`Untagged`");
    assert_eq!(traced::<Adjacent>(), "`Adjacent`");
    assert_eq!(traced::<Silent>(), "`Silent`");
    assert_eq!(traced::<Stubborn<Vec<Silent>>>(), "`Stubborn<Vec<Silent>>`");
    assert_eq!(traced::<Void>(), "Void v1 <>");
    assert_eq!(traced::<Lenient>(), "[`Email`]");
    assert_eq!(traced::<Aliased>(), "Aliased v1 { 0: u8, 1: u16 }");
}

#[test]
fn types_that_unfold_without_measure_are_their_name() {
    type D<T> = (Box<T>, Box<T>);
    type Wide = D<D<D<D<D<D<D<D<D<D<D<D<D<u8>>>>>>>>>>>>>;
    assert!(traced::<Wide>().starts_with("`(Box<(Box<"));
    type L<T> = Vec<Vec<Vec<Vec<Vec<Vec<Vec<Vec<T>>>>>>>>;
    type Deep = L<L<L<L<L<L<L<L<L<u8>>>>>>>>>;
    assert!(traced::<Deep>().starts_with("[[[["));
}

#[test]
fn a_changed_field_is_a_difference() {
    #[derive(Deserialize)]
    struct Position {
        line: u64,
        file: Option<String>,
    }
    mod new {
        #[derive(serde::Deserialize)]
        pub(super) struct Position {
            line: u64,
            file: Option<u32>,
        }
    }
    let (was, is) = (Shape::of_serde::<Position>(), Shape::of_serde::<new::Position>());
    assert_ne!(was.digest(), is.digest());
    let text = "field `file` was `Option<String>` and is `Option<u32>`";
    assert_eq!(was.differences(&is).as_deref(), Some(text));
}
