//! The shape of a type with serde, found by asking its `Deserialize` what it wants.
//!
//! The type is deserialized from nothing, again and again. What it asks for is kept in a tree; what it gets are
//! dummies. Each pass learns something more: the next variant of an enum, that an element cannot be had and the list
//! must stay empty, that a number must not be zero. When a pass learns nothing more about a node, the node is done, and
//! so each pass brings the end nearer.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use crate::description::short_type_name;
use crate::state::Shape;

/// How many types may be inside each other.
const DEPTH: usize = 64;
/// How many nodes a shape may have: more is no type that somebody wrote, but one that unfolds.
const NODES: usize = 1 << 12;
/// How many questions are answered in all passes.
const QUESTIONS: usize = 1 << 18;
/// Serde knows tuples of up to so many parts. What is longer is an array.
const LONGEST_TUPLE: usize = 16;

type Names = &'static [&'static str];

pub(super) fn of_serde<T: DeserializeOwned>() -> Shape {
    let (mut root, mut cx) = (Node::default(), Cx::default());
    while !root.done && !cx.spent() {
        cx.settled = false;
        // What came of it is in the tree.
        let _ = ask(&mut root, &mut cx, PhantomData::<T>);
    }
    let shape = if cx.spent() { None } else { root.shape() };
    shape.unwrap_or_else(|| foreign(type_name::<T>()))
}

fn foreign(name: &str) -> Shape {
    Shape::Foreign(short_type_name(name))
}

/// What a type asks for.
#[derive(Clone, Copy, PartialEq, Default)]
enum Wish {
    /// It has not asked yet.
    #[default]
    Unknown,
    /// What cannot be traced: anything at all, now this and now that, too deep.
    Foreign,
    Plain(&'static str),
    Option,
    List,
    Map,
    Tuple(usize),
    TupleStruct(&'static str, usize),
    Struct(&'static str, Names),
    Enum(&'static str, Names),
}

/// What is known about one place in the type.
#[derive(Default)]
struct Node {
    wish: Wish,
    /// What is inside: one for options and lists, key and value for maps, the parts asked for, the variants.
    inner: Vec<Node>,
    /// The Rust type, as far as it is known here.
    name: &'static str,
    /// Whether the type is inside itself. Then this is only a value to go on with, and the shape is the name.
    again: bool,
    /// How many dummies of a plain value have been refused, and how many there are.
    refused: usize,
    dummies: usize,
    /// Whether there is nothing more to learn.
    done: bool,
    /// Whether the last pass brought no value.
    barren: bool,
}

impl Node {
    /// Whether no value can be had.
    fn dead(&self) -> bool {
        self.done && self.barren
    }

    /// Notes the type that is wanted here, from the outside in: what serde's macros make up is no name.
    fn named(&mut self, name: &'static str) {
        if self.name.is_empty() && !name.contains("::__") {
            self.name = name;
        }
    }

    /// Notes what is asked for here; it must be the same in all passes.
    fn wishes(&mut self, wish: Wish, cx: &mut Cx) -> Result<(), Stop> {
        cx.questions += 1;
        if self.dead() || self.wish == Wish::Foreign || cx.spent() {
            return Err(cx.stop());
        }
        if self.wish == Wish::Unknown {
            cx.nodes += 1;
            cx.news += 1;
            self.inner.resize_with(wish.inner(), Node::default);
            self.wish = wish;
        }
        if self.wish == wish { Ok(()) } else { Err(self.cannot_be_traced(cx)) }
    }

    fn cannot_be_traced(&mut self, cx: &mut Cx) -> Stop {
        if self.wish != Wish::Foreign {
            cx.news += 1;
            self.wish = Wish::Foreign;
            self.inner.clear();
        }
        cx.stop()
    }

    /// Draws the conclusions from a pass through this node, which began when there were so many `news`.
    fn settle(&mut self, brought_value: bool, news: usize, cx: &mut Cx) {
        self.barren = !brought_value;
        if brought_value && (cx.again > 0 || self.again || self.inner.iter().all(|n| n.done)) {
            self.finish(cx);
        }
        if !brought_value && !cx.settled {
            // Nobody further inside was to blame: it is the value itself that was refused.
            cx.settled = true;
            if self.refused + 1 < self.dummies {
                self.refused += 1;
                self.done = false;
                cx.news += 1;
            }
        }
        if cx.news == news {
            self.finish(cx);
        }
    }

    fn finish(&mut self, cx: &mut Cx) {
        if !self.done {
            self.done = true;
            cx.news += 1;
        }
    }

    /// The shape of what is here, if it has been seen.
    fn shape(&self) -> Option<Shape> {
        let inner = |n: usize| self.inner.get(n).and_then(Node::shape).map(Box::new);
        let shape = match self.wish {
            Wish::Unknown => return None,
            _ if self.again => None,
            Wish::Foreign => None,
            Wish::Plain(_) if self.barren => None,
            Wish::Plain(name) => Some(Shape::Plain(name.to_owned())),
            Wish::Option => inner(0).map(Shape::Option),
            Wish::List => inner(0).map(Shape::List),
            Wish::Map => inner(0).zip(inner(1)).map(|(key, value)| Shape::Map(key, value)),
            Wish::Tuple(_) => self.parts().map(|parts| tuple(parts.into_iter().map(|p| p.1))),
            Wish::TupleStruct(name, _) | Wish::Struct(name, _) => self
                .parts()
                .map(|fields| Shape::Struct { name: name.to_owned(), version: 1, fields }),
            Wish::Enum(name, names) => self.variants(names).map(|variants| Shape::Enum {
                name: name.to_owned(),
                version: 1,
                variants,
            }),
        };
        Some(shape.unwrap_or_else(|| foreign(self.name)))
    }

    /// The parts with their names, if all have been seen.
    fn parts(&self) -> Option<Vec<(String, Shape)>> {
        let (names, expected): (Names, _) = match self.wish {
            Wish::Struct(_, names) => (names, names.len()),
            Wish::Tuple(parts) | Wish::TupleStruct(_, parts) => (&[], parts),
            _ => return None,
        };
        if self.barren && self.inner.len() < expected {
            return None;
        }
        let part = |(n, part): (usize, &Node)| Some((self.name_of(n, names), part.shape()?));
        self.inner.iter().enumerate().map(part).collect()
    }

    fn variants(&self, names: Names) -> Option<Vec<(String, Vec<(String, Shape)>)>> {
        if self.inner.is_empty() && !names.is_empty() {
            return None;
        }
        let variant =
            |(n, variant): (usize, &Node)| Some((self.name_of(n, names), variant.parts()?));
        self.inner.iter().enumerate().map(variant).collect()
    }

    /// The name of a part. Serde lists other names of the same part (`alias`) as well; then nobody can tell which
    /// is whose, and the parts have numbers.
    fn name_of(&self, n: usize, names: Names) -> String {
        let name = names.get(n).filter(|_| names.len() == self.inner.len());
        name.map_or_else(|| n.to_string(), |name| (*name).to_owned())
    }
}

impl Wish {
    /// How many nodes are inside from the beginning; parts come as they are asked for.
    fn inner(self) -> usize {
        match self {
            Wish::Option | Wish::List => 1,
            Wish::Map => 2,
            Wish::Enum(_, names) => names.len(),
            _ => 0,
        }
    }
}

fn tuple(parts: impl ExactSizeIterator<Item = Shape>) -> Shape {
    let length = parts.len();
    let mut parts: Vec<Shape> = parts.collect();
    if length > LONGEST_TUPLE && parts.windows(2).all(|two| two[0] == two[1]) {
        Shape::Array(Box::new(parts.swap_remove(0)), length as u64)
    } else {
        Shape::Tuple(parts)
    }
}

/// What a pass carries through the tree, and all passes count.
#[derive(Default)]
struct Cx {
    /// The Rust types around the place where we are.
    around: Vec<&'static str>,
    /// How many of them are inside themselves.
    again: usize,
    /// Whether somebody has drawn the conclusion from this pass's failure.
    settled: bool,
    /// How much was learnt: a pass without news about a node is its last.
    news: usize,
    nodes: usize,
    questions: usize,
}

impl Cx {
    fn spent(&self) -> bool {
        self.nodes > NODES || self.questions > QUESTIONS
    }

    /// A failure of our own making: no value of the user's is to blame.
    fn stop(&mut self) -> Stop {
        self.settled = true;
        Stop
    }
}

/// Why a pass goes no further. What is to be learnt from it is in the tree.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is no value, but a question for the type's shape")
    }
}
impl std::error::Error for Stop {}
impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Stop
    }
}

/// Goes through a node once.
fn ask<'de, S: DeserializeSeed<'de>>(
    node: &mut Node,
    cx: &mut Cx,
    seed: S,
) -> Result<S::Value, Stop> {
    node.named(type_name::<S::Value>());
    let news = cx.news;
    let result = seed.deserialize(Tracer { node: &mut *node, cx: &mut *cx });
    node.settle(result.is_ok(), news, cx);
    result
}

/// The deserializer of one place.
struct Tracer<'a> {
    node: &'a mut Node,
    cx: &'a mut Cx,
}

impl Tracer<'_> {
    fn plain<'de, V: Visitor<'de>, D: Copy>(
        self,
        name: &'static str,
        dummies: &[D],
        visit: impl FnOnce(V, D) -> Result<V::Value, Stop>,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.node.named(type_name::<V::Value>());
        self.node.wishes(Wish::Plain(name), self.cx)?;
        self.node.dummies = dummies.len();
        visit(visitor, dummies[self.node.refused])
    }

    /// Goes into what has something inside. A type inside itself is gone into once more, to get a value of it.
    fn enter<'de, V: Visitor<'de>>(
        self,
        wish: Wish,
        visitor: V,
        visit: impl FnOnce(&mut Node, &mut Cx, V) -> Result<V::Value, Stop>,
    ) -> Result<V::Value, Stop> {
        let Tracer { node, cx } = self;
        let name = type_name::<V::Value>();
        let again = cx.around.contains(&name);
        if (again && cx.again > 0) || cx.around.len() >= DEPTH {
            return Err(node.cannot_be_traced(cx));
        }
        node.wishes(wish, cx)?;
        node.name = name;
        node.again = again;
        cx.around.push(name);
        cx.again += usize::from(again);
        let result = visit(node, cx, visitor);
        cx.again -= usize::from(again);
        cx.around.pop();
        result
    }

    fn parts<'de, V: Visitor<'de>>(self, wish: Wish, visitor: V) -> Result<V::Value, Stop> {
        self.enter(wish, visitor, give_parts)
    }
}

fn give_option<'de, V: Visitor<'de>>(
    node: &mut Node,
    cx: &mut Cx,
    visitor: V,
) -> Result<V::Value, Stop> {
    let some = &mut node.inner[0];
    if some.dead() || cx.again > 0 {
        return visitor.visit_none();
    }
    let inner = node.name.strip_prefix("core::option::Option<");
    some.named(inner.and_then(|name| name.strip_suffix('>')).unwrap_or(node.name));
    let news = cx.news;
    let result = visitor.visit_some(Tracer { node: &mut *some, cx: &mut *cx });
    some.settle(result.is_ok(), news, cx);
    result
}

fn give_newtype<'de, V: Visitor<'de>>(
    node: &mut Node,
    cx: &mut Cx,
    visitor: V,
) -> Result<V::Value, Stop> {
    node.inner.resize_with(1, Node::default);
    let inner = &mut node.inner[0];
    inner.named(node.name);
    let news = cx.news;
    let result = visitor.visit_newtype_struct(Tracer { node: &mut *inner, cx: &mut *cx });
    inner.settle(result.is_ok(), news, cx);
    result
}

/// Gives the parts in order, as the log does. Past a part that cannot be had, a struct still shows the others by name.
fn give_parts<'de, V: Visitor<'de>>(
    node: &mut Node,
    cx: &mut Cx,
    visitor: V,
) -> Result<V::Value, Stop> {
    match node.wish {
        Wish::Struct(_, names) if node.inner.iter().any(Node::dead) => {
            node.inner.resize_with(names.len(), Node::default);
            visitor.visit_map(ByName { parts: node.inner.iter_mut().zip(names), value: None, cx })
        }
        Wish::Struct(_, names) => {
            visitor.visit_seq(InOrder { node, cx, next: 0, end: names.len() })
        }
        Wish::Tuple(end) | Wish::TupleStruct(_, end) => {
            visitor.visit_seq(InOrder { node, cx, next: 0, end })
        }
        _ => Err(cx.stop()),
    }
}

fn give_list<'de, V: Visitor<'de>>(
    node: &mut Node,
    cx: &mut Cx,
    visitor: V,
) -> Result<V::Value, Stop> {
    let end = usize::from(!node.inner[0].dead() && cx.again == 0);
    visitor.visit_seq(InOrder { node, cx, next: 0, end })
}

fn give_map<'de, V: Visitor<'de>>(
    node: &mut Node,
    cx: &mut Cx,
    visitor: V,
) -> Result<V::Value, Stop> {
    let end = if node.inner.iter().any(Node::dead) || cx.again > 0 { 0 } else { 2 };
    visitor.visit_map(Entry(InOrder { node, cx, next: 0, end }))
}

fn give_enum<'de, V: Visitor<'de>>(
    node: &mut Node,
    cx: &mut Cx,
    visitor: V,
) -> Result<V::Value, Stop> {
    let new = node.inner.iter().position(|variant| !variant.done).filter(|_| cx.again == 0);
    let at = new.or_else(|| node.inner.iter().position(|variant| !variant.dead()));
    let at = at.ok_or_else(|| cx.stop())?;
    let news = cx.news;
    let result = visitor.visit_enum(VariantAt { node: &mut *node, cx: &mut *cx, at });
    if let Some(variant) = node.inner.get_mut(at) {
        variant.settle(result.is_ok(), news, cx);
    }
    result
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $name:literal, $dummies:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            self.plain($name, &$dummies, V::$visit, visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    numbers! {
        deserialize_bool, visit_bool, "bool", [false, true];
        deserialize_i8, visit_i8, "i8", [0, 1];
        deserialize_i16, visit_i16, "i16", [0, 1];
        deserialize_i32, visit_i32, "i32", [0, 1];
        deserialize_i64, visit_i64, "i64", [0, 1];
        deserialize_i128, visit_i128, "i128", [0, 1];
        deserialize_u8, visit_u8, "u8", [0, 1];
        deserialize_u16, visit_u16, "u16", [0, 1];
        deserialize_u32, visit_u32, "u32", [0, 1];
        deserialize_u64, visit_u64, "u64", [0, 1];
        deserialize_u128, visit_u128, "u128", [0, 1];
        deserialize_f32, visit_f32, "f32", [0.0, 1.0];
        deserialize_f64, visit_f64, "f64", [0.0, 1.0];
        deserialize_char, visit_char, "char", ['a', '1'];
    }
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let dummies = ["", "a", "1", "1970-01-01T00:00:00Z"];
        self.plain("String", &dummies, V::visit_borrowed_str, visitor)
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        // The lengths of nothing, of a UUID and of a hash.
        let dummies: [&'static [u8]; 3] = [&[], &[0; 16], &[0; 32]];
        self.plain("bytes", &dummies, V::visit_borrowed_bytes, visitor)
    }
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_bytes(visitor)
    }
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.plain("()", &[()], |visitor: V, ()| visitor.visit_unit(), visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.enter(Wish::Option, visitor, give_option)
    }
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.enter(Wish::TupleStruct(name, 0), visitor, |_, _, visitor| visitor.visit_unit())
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.enter(Wish::TupleStruct(name, 1), visitor, give_newtype)
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.enter(Wish::List, visitor, give_list)
    }
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.parts(Wish::Tuple(length), visitor)
    }
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.parts(Wish::TupleStruct(name, length), visitor)
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.enter(Wish::Map, visitor, give_map)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: Names,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.parts(Wish::Struct(name, fields), visitor)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: Names,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.enter(Wish::Enum(name, variants), visitor, give_enum)
    }
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.node.named(type_name::<V::Value>());
        Err(self.node.cannot_be_traced(self.cx))
    }
    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        // Half of an enum: as long as this is not seen, what it is a part of is known by its name only.
        Err(self.cx.stop())
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_any(visitor)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Parts in order. After a failure it goes on: whoever repeats the question gets to the end.
struct InOrder<'a> {
    node: &'a mut Node,
    cx: &'a mut Cx,
    next: usize,
    end: usize,
}

impl<'de> de::SeqAccess<'de> for InOrder<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        if self.next == self.end {
            return Ok(None);
        }
        let at = self.next;
        self.next += 1;
        if self.node.inner.len() <= at {
            self.node.inner.resize_with(at + 1, Node::default);
        }
        ask(&mut self.node.inner[at], self.cx, seed).map(Some)
    }
}

/// One entry of a map, or none: a key and a value in order.
struct Entry<'a>(InOrder<'a>);

impl<'de> de::MapAccess<'de> for Entry<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        de::SeqAccess::next_element_seed(&mut self.0, seed)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let value = de::SeqAccess::next_element_seed(&mut self.0, seed)?;
        value.ok_or_else(|| self.0.cx.stop())
    }
}

/// The fields of a struct that are not done, by name. What comes of the struct itself does not matter any more.
struct ByName<'a, I> {
    parts: I,
    value: Option<&'a mut Node>,
    cx: &'a mut Cx,
}

impl<'de, 'a, I> de::MapAccess<'de> for ByName<'a, I>
where
    I: Iterator<Item = (&'a mut Node, &'a &'static str)>,
{
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let Some((part, name)) = self.parts.find(|(part, _)| !part.done) else {
            self.cx.settled = true;
            return Ok(None);
        };
        self.value = Some(part);
        let name: StrDeserializer<'_, Stop> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        match self.value.take() {
            Some(part) => ask(part, self.cx, seed),
            None => Err(self.cx.stop()),
        }
    }
}

/// The variant of an enum that has its turn, by number, as the log does.
struct VariantAt<'a> {
    node: &'a mut Node,
    cx: &'a mut Cx,
    at: usize,
}

impl<'de, 'a> de::EnumAccess<'de> for VariantAt<'a> {
    type Error = Stop;
    type Variant = Tracer<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Tracer<'a>), Stop> {
        let VariantAt { node, cx, at } = self;
        let number: U32Deserializer<Stop> = (at as u32).into_deserializer();
        match seed.deserialize(number) {
            Ok(value) => Ok((value, Tracer { node: &mut node.inner[at], cx })),
            Err(_) => {
                // More names than variants.
                node.inner.truncate(at);
                cx.news += 1;
                Err(cx.stop())
            }
        }
    }
}

/// What a variant contains: the node is the variant's, and its parts are those of a tuple or a struct.
impl<'de> de::VariantAccess<'de> for Tracer<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        self.node.wishes(Wish::Tuple(0), self.cx)
    }
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        self.node.wishes(Wish::Tuple(1), self.cx)?;
        self.node.inner.resize_with(1, Node::default);
        ask(&mut self.node.inner[0], self.cx, seed)
    }
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Stop> {
        self.node.wishes(Wish::Tuple(length), self.cx)?;
        give_parts(self.node, self.cx, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(self, fields: Names, visitor: V) -> Result<V::Value, Stop> {
        self.node.wishes(Wish::Struct("", fields), self.cx)?;
        give_parts(self.node, self.cx, visitor)
    }
}

#[cfg(test)]
#[allow(dead_code, clippy::disallowed_types)]
// Types to be asked, never made; users have hash maps.
mod tests;
