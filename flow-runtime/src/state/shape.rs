//! Shapes: schemas that a log keeps, to be compared with those of the program that reads it.

mod difference;
mod trace;

use std::{fmt, vec};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use crate::state::{Field, KeyHasher, LoadError, Schema};

/// How deep shapes may nest in what is decoded: bytes choose how deep decoding recurses.
const DEPTH: usize = 128;

/// The shape of saved values, owned: a [`Schema`] that came from a log, or from a type that has only serde.
///
/// Two shapes are equal when what was saved under one can be read under the other as what it was. Names of fields,
/// variants and types are part of that, Rust paths are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Node>", try_from = "Vec<Node>")]
pub enum Shape {
    /// A type with an encoding of its own: `u64`, `String`, `bool`, ..
    Plain(String),
    /// `Option<T>`.
    Option(Box<Shape>),
    /// A sequence of any length.
    List(Box<Shape>),
    /// A sequence of fixed length.
    Array(Box<Shape>, u64),
    /// A map: key and value.
    Map(Box<Shape>, Box<Shape>),
    /// A tuple.
    Tuple(Vec<Shape>),
    /// A struct.
    Struct {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
        /// Its fields in order; those of tuple structs are called `0`, `1`, ..
        fields: Vec<(String, Shape)>,
    },
    /// An enum.
    Enum {
        /// Its name.
        name: String,
        /// Its version.
        version: u32,
        /// Its variants in order, with their fields.
        variants: Vec<(String, Vec<(String, Shape)>)>,
    },
    /// A type that is known by its name only.
    Foreign(String),
    /// A type that is saved by its serde implementation, [`BySerde`](crate::state::BySerde), and what that writes.
    Serde(Box<Shape>),
    /// A map that is saved entry by entry: key and value.
    MapState(Box<Shape>, Box<Shape>),
    /// A list that is saved element by element.
    ListState(Box<Shape>),
}

impl Shape {
    /// The shape of a type that has serde but not [`Saved`](crate::state::Saved): keys, positions, items.
    ///
    /// It is what the type's `Deserialize` asks for when it is given values made up for it. A type that refuses all of them is
    /// [`Foreign`](Shape::Foreign) under its name without paths, as is a type inside itself. Serde has no versions: they are 1.
    pub fn of_serde<T: DeserializeOwned>() -> Shape {
        trace::of_serde::<T>()
    }

    /// The shape as bytes, for [`decode`](Shape::decode).
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("names and numbers can always be encoded")
    }

    /// The shape that was [encoded](Shape::encode) as these bytes.
    ///
    /// # Errors
    /// [`LoadError`] when the bytes are not one shape, nested no deeper than 128 levels.
    pub fn decode(bytes: &[u8]) -> Result<Shape, LoadError> {
        match postcard::take_from_bytes(bytes) {
            Ok((shape, [])) => Ok(shape),
            _ => Err(LoadError::new("a shape cannot be decoded")),
        }
    }

    /// A hash of the encoded shape. It is pinned: the same in every version and on every machine.
    pub fn digest(&self) -> u64 {
        KeyHasher::new(0).hash(&Bytes(&self.encode()))
    }

    /// The first difference between this shape, which was saved, and another, which is new: in words, for messages.
    ///
    /// There is none if and only if the two are equal.
    pub fn differences(&self, other: &Shape) -> Option<String> {
        difference::between(self, other, "")
    }

    /// How many shapes are inside one another.
    fn depth(&self) -> usize {
        let of_fields =
            |fields: &[(String, Shape)]| fields.iter().map(|(_, shape)| shape.depth()).max();
        let inner = match self {
            Shape::Plain(_) | Shape::Foreign(_) => return 0,
            Shape::Option(inner)
            | Shape::List(inner)
            | Shape::Array(inner, _)
            | Shape::ListState(inner)
            | Shape::Serde(inner) => Some(inner.depth()),
            Shape::Map(key, value) | Shape::MapState(key, value) => {
                Some(key.depth().max(value.depth()))
            }
            Shape::Tuple(parts) => parts.iter().map(Shape::depth).max(),
            Shape::Struct { fields, .. } => of_fields(fields),
            Shape::Enum { variants, .. } => {
                variants.iter().filter_map(|(_, fields)| of_fields(fields)).max()
            }
        };
        inner.map_or(1, |inner| inner + 1)
    }

    /// How many parts a state of this shape has that are saved entry by entry.
    pub(crate) fn parts(&self) -> u16 {
        match self {
            Shape::MapState(..) | Shape::ListState(_) => 1,
            Shape::Struct { fields, .. } => {
                fields.iter().fold(0, |parts, (_, shape)| shape.parts().saturating_add(parts))
            }
            _ => 0,
        }
    }

    /// Writes the shape like a Rust type: in `full`, or with structs and enums by name.
    fn write(&self, f: &mut fmt::Formatter<'_>, full: bool) -> fmt::Result {
        match self {
            Shape::Foreign(name) if full => write!(f, "`{name}`"),
            Shape::Plain(name) | Shape::Foreign(name) => f.write_str(name),
            Shape::Option(some) => write!(f, "Option<{}>", Words(some, full)),
            Shape::Serde(inner) => write!(f, "serde({})", Words(inner, full)),
            Shape::List(element) => write!(f, "[{}]", Words(element, full)),
            Shape::Array(element, length) => write!(f, "[{}; {length}]", Words(element, full)),
            Shape::Map(key, value) => write!(f, "{{{}: {}}}", Words(key, full), Words(value, full)),
            Shape::MapState(key, value) => {
                write!(f, "MapState<{}, {}>", Words(key, full), Words(value, full))
            }
            Shape::ListState(element) => write!(f, "ListState<{}>", Words(element, full)),
            Shape::Tuple(parts) => {
                f.write_str("(")?;
                for (n, part) in parts.iter().enumerate() {
                    write!(f, "{}{}", if n == 0 { "" } else { ", " }, Words(part, full))?;
                }
                f.write_str(")")
            }
            Shape::Struct { name, .. } | Shape::Enum { name, .. } if !full => f.write_str(name),
            Shape::Struct { name, version, fields } => {
                write!(f, "{name} v{version} {{{} }}", Fields(fields))
            }
            Shape::Enum { name, version, variants } => {
                write!(f, "{name} v{version} <")?;
                for (n, (variant, fields)) in variants.iter().enumerate() {
                    write!(f, "{}{variant}", if n == 0 { "" } else { " | " })?;
                    if !fields.is_empty() {
                        write!(f, " {{{} }}", Fields(fields))?;
                    }
                }
                f.write_str(">")
            }
        }
    }
}

/// Reads like a Rust type: `Count v1 { total: u64 }`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, true)
    }
}

/// A shape in words, in full or not.
struct Words<'a>(&'a Shape, bool);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, self.1)
    }
}

struct Fields<'a>(&'a [(String, Shape)]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, shape)) in self.0.iter().enumerate() {
            write!(f, "{}{name}: {shape}", if n == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

impl From<&Schema> for Shape {
    fn from(schema: &Schema) -> Shape {
        of_schema(schema, DEPTH)
    }
}

/// The shape of a schema, nested at most `room` levels: what lies deeper could not be decoded, so it is put in words.
fn of_schema(schema: &Schema, room: usize) -> Shape {
    let inner = |schema: &Schema| of_schema(schema, room - 1);
    let boxed = |schema: &Schema| Box::new(inner(schema));
    let fields = |fields: &[Field]| {
        fields.iter().map(|field| (field.name.to_owned(), inner(field.schema))).collect()
    };
    match *schema {
        Schema::Plain(name) => Shape::Plain(name.to_owned()),
        Schema::Foreign(name) => Shape::Foreign(name.to_owned()),
        _ if room == 0 => Shape::Foreign(Shape::from(schema).to_string()),
        Schema::Serde(of) => {
            let shape = Shape::Serde(Box::new(of.shape()));
            if shape.depth() <= room { shape } else { Shape::Foreign(shape.to_string()) }
        }
        Schema::Option(some) => Shape::Option(boxed(some)),
        Schema::List(element) => Shape::List(boxed(element)),
        Schema::Array(element, length) => Shape::Array(boxed(element), length as u64),
        Schema::Map(key, value) => Shape::Map(boxed(key), boxed(value)),
        Schema::MapState(key, value) => Shape::MapState(boxed(key), boxed(value)),
        Schema::ListState(element) => Shape::ListState(boxed(element)),
        Schema::Tuple(parts) => Shape::Tuple(parts.iter().map(|part| inner(part)).collect()),
        Schema::Struct(name, version, parts) => {
            Shape::Struct { name: name.to_owned(), version, fields: fields(parts) }
        }
        Schema::Enum(name, version, variants) => {
            let variants = variants.iter().map(|v| (v.name.to_owned(), fields(v.fields))).collect();
            Shape::Enum { name: name.to_owned(), version, variants }
        }
    }
}

/// A shape without what is in it. A shape is encoded as a list of these, every one before what it contains: so
/// whoever decodes one, inside a larger record too, recurses only as deep as we allow.
#[derive(Serialize, Deserialize)]
enum Node {
    Plain(String),
    Option,
    List,
    Array(u64),
    Map,
    Tuple(u64),
    Struct(String, u32, Vec<String>),
    Enum(String, u32, Vec<(String, Vec<String>)>),
    Foreign(String),
    Serde,
    MapState,
    ListState,
}

impl From<Shape> for Vec<Node> {
    fn from(shape: Shape) -> Vec<Node> {
        let mut nodes = Vec::new();
        flatten(shape, &mut nodes);
        nodes
    }
}

fn flatten(shape: Shape, to: &mut Vec<Node>) {
    let (node, inner) = match shape {
        Shape::Plain(name) => (Node::Plain(name), vec![]),
        Shape::Option(some) => (Node::Option, vec![*some]),
        Shape::List(element) => (Node::List, vec![*element]),
        Shape::Array(element, length) => (Node::Array(length), vec![*element]),
        Shape::Map(key, value) => (Node::Map, vec![*key, *value]),
        Shape::MapState(key, value) => (Node::MapState, vec![*key, *value]),
        Shape::ListState(element) => (Node::ListState, vec![*element]),
        Shape::Tuple(parts) => (Node::Tuple(parts.len() as u64), parts),
        Shape::Struct { name, version, fields } => {
            let (names, shapes) = fields.into_iter().unzip();
            (Node::Struct(name, version, names), shapes)
        }
        Shape::Enum { name, version, variants } => {
            let mut shapes = Vec::new();
            let names = variants.into_iter().map(|(variant, fields)| {
                let (names, inner): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
                shapes.extend(inner);
                (variant, names)
            });
            (Node::Enum(name, version, names.collect()), shapes)
        }
        Shape::Foreign(name) => (Node::Foreign(name), vec![]),
        Shape::Serde(inner) => (Node::Serde, vec![*inner]),
    };
    to.push(node);
    inner.into_iter().for_each(|shape| flatten(shape, to));
}

impl TryFrom<Vec<Node>> for Shape {
    type Error = LoadError;

    fn try_from(nodes: Vec<Node>) -> Result<Shape, LoadError> {
        let mut nodes = nodes.into_iter();
        let shape = unflatten(&mut nodes, DEPTH)?;
        match nodes.next() {
            None => Ok(shape),
            Some(_) => Err(LoadError::new("a shape has parts left over")),
        }
    }
}

fn unflatten(nodes: &mut vec::IntoIter<Node>, room: usize) -> Result<Shape, LoadError> {
    let node = nodes.next().ok_or(LoadError::new("a shape ends too early"))?;
    let mut inner = || match room.checked_sub(1) {
        Some(room) => unflatten(nodes, room),
        None => Err(LoadError::new("a shape nests too deep")),
    };
    let named = |names: Vec<String>, inner: &mut dyn FnMut() -> Result<Shape, LoadError>| {
        names.into_iter().map(|name| Ok((name, inner()?))).collect::<Result<Vec<_>, LoadError>>()
    };
    Ok(match node {
        Node::Plain(name) => Shape::Plain(name),
        Node::Option => Shape::Option(Box::new(inner()?)),
        Node::List => Shape::List(Box::new(inner()?)),
        Node::Array(length) => Shape::Array(Box::new(inner()?), length),
        Node::Map => Shape::Map(Box::new(inner()?), Box::new(inner()?)),
        Node::MapState => Shape::MapState(Box::new(inner()?), Box::new(inner()?)),
        Node::ListState => Shape::ListState(Box::new(inner()?)),
        // Nothing is reserved: the count is the word of the bytes, the nodes are there or not.
        Node::Tuple(count) => Shape::Tuple((0..count).map(|_| inner()).collect::<Result<_, _>>()?),
        Node::Struct(name, version, fields) => {
            Shape::Struct { name, version, fields: named(fields, &mut inner)? }
        }
        Node::Enum(name, version, variants) => {
            let variants = variants.into_iter();
            let variants = variants.map(|(name, fields)| Ok((name, named(fields, &mut inner)?)));
            Shape::Enum { name, version, variants: variants.collect::<Result<_, LoadError>>()? }
        }
        Node::Foreign(name) => Shape::Foreign(name),
        Node::Serde => Shape::Serde(Box::new(inner()?)),
    })
}

/// Bytes that serialize as bytes.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::state::{Saved, Variant};

    const ORDER: Schema = Schema::Struct(
        "Order",
        2,
        &[
            Field { name: "id", schema: &Schema::Plain("u64") },
            Field {
                name: "state",
                schema: &Schema::Enum(
                    "State",
                    1,
                    &[
                        Variant { name: "Open", fields: &[] },
                        Variant {
                            name: "Paid",
                            fields: &[Field { name: "0", schema: &Schema::Foreign("money v1") }],
                        },
                    ],
                ),
            },
        ],
    );

    pub(crate) fn any_shape() -> impl Strategy<Value = Shape> {
        let leaf = prop_oneof![
            "[a-z0-9]{0,5}".prop_map(Shape::Plain),
            "[a-z0-9]{0,5}".prop_map(Shape::Foreign),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let boxed = inner.clone().prop_map(Box::new);
            let fields = prop::collection::vec(("[a-z]{0,3}", inner.clone()), 0..3);
            let variants = prop::collection::vec(("[A-Z]{0,3}", fields.clone()), 0..3);
            prop_oneof![
                boxed.clone().prop_map(Shape::Option),
                boxed.clone().prop_map(Shape::List),
                boxed.clone().prop_map(Shape::Serde),
                (boxed.clone(), any::<u64>()).prop_map(|(shape, n)| Shape::Array(shape, n)),
                boxed.clone().prop_map(Shape::ListState),
                (boxed.clone(), boxed.clone()).prop_map(|(key, value)| Shape::MapState(key, value)),
                (boxed.clone(), boxed).prop_map(|(key, value)| Shape::Map(key, value)),
                prop::collection::vec(inner, 0..3).prop_map(Shape::Tuple),
                ("[A-Z]{0,2}", 0..3_u32, fields)
                    .prop_map(|(name, version, fields)| Shape::Struct { name, version, fields }),
                ("[A-Z]{0,2}", 0..3_u32, variants)
                    .prop_map(|(name, version, variants)| Shape::Enum { name, version, variants }),
            ]
        })
    }

    proptest! {
        #[test]
        fn shapes_come_back_from_their_bytes(shape in any_shape(), other in any_shape()) {
            let bytes = shape.encode();
            prop_assert_eq!(Shape::decode(&bytes), Ok(shape.clone()));
            prop_assert!((0..bytes.len()).all(|short| Shape::decode(&bytes[..short]).is_err()));
            prop_assert!(Shape::decode(&[&bytes[..], &[0]].concat()).is_err());
            prop_assert_eq!(shape == other, shape.digest() == other.digest());
            prop_assert_eq!(shape == other, shape.differences(&other).is_none());
            prop_assert_eq!(shape.differences(&shape), None);
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>) {
            if let Ok(shape) = Shape::decode(&bytes) {
                let _ = (shape.to_string(), shape.digest());
            }
        }
    }

    #[test]
    fn shapes_that_nest_without_end_are_refused() {
        let nested = |depth| {
            let mut nodes: Vec<Node> = (0..depth).map(|_| Node::Option).collect();
            nodes.push(Node::Plain("u8".into()));
            postcard::to_stdvec(&nodes).unwrap()
        };
        assert!(Shape::decode(&nested(DEPTH)).is_ok());
        assert!(Shape::decode(&nested(DEPTH + 1)).is_err());
        assert!(Shape::decode(&nested(1_000_000)).is_err());
        // The same inside a record, where `decode` is not asked.
        assert!(postcard::from_bytes::<(Shape, u8)>(&nested(1_000_000)).is_err());
    }

    #[test]
    fn counts_that_nothing_follows_allocate_nothing() {
        let tuple = postcard::to_stdvec(&vec![Node::Tuple(u64::MAX)]).unwrap();
        assert!(Shape::decode(&tuple).is_err());
        assert!(Shape::decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).is_err());
        // One node, a struct named "" of version 1, with 2^63 fields to come.
        let fields = [1, 6, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1];
        assert!(Shape::decode(&fields).is_err());
    }

    #[test]
    fn a_schema_deeper_than_can_be_decoded_goes_on_in_words() {
        let mut schema = Schema::Plain("u8");
        for _ in 0..DEPTH + 1 {
            schema = Schema::Option(Box::leak(Box::new(schema)));
        }
        let shape = Shape::from(&schema);
        assert_eq!(Shape::decode(&shape.encode()), Ok(shape.clone()));
        assert!(shape.to_string().contains("`Option<u8>`"));
    }

    #[test]
    fn shapes_read_like_schemas() {
        let text = "Order v2 { id: u64, state: State v1 <Open | Paid { 0: `money v1` }> }";
        assert_eq!(Shape::from(&ORDER).to_string(), text);
        assert_eq!(ORDER.to_string(), text);
        type All = (u64, Option<Vec<String>>, BTreeMap<u8, [bool; 2]>);
        let shape = Shape::from(All::SCHEMA);
        assert_eq!(shape.to_string(), "(u64, Option<[String]>, {u8: [bool; 2]})");
    }

    #[test]
    fn digests_are_pinned() {
        let digests = [
            Shape::from(u64::SCHEMA).digest(),
            Shape::from(&ORDER).digest(),
            Shape::from(<(u64, Option<Vec<String>>, BTreeMap<u8, [bool; 2]>)>::SCHEMA).digest(),
        ];
        let pinned = [0x0094_4fdd_79b0_2c4a, 0xa841_4e7b_3d0d_f41c, 0x70ee_733f_cc41_5104];
        assert_eq!(digests, pinned, "a changed digest makes every log foreign: {digests:#x?}");
    }
}
