//! Schemas: the shape of saved state, as a constant and in words.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::state::Shape;

/// The shape of a saved value. Field and variant names are part of it, Rust paths are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// A type with an encoding of its own: `u64`, `String`, `bool`, ..
    Plain(&'static str),
    /// `Option<T>`.
    Option(&'static Schema),
    /// A sequence of any length.
    List(&'static Schema),
    /// A sequence of fixed length.
    Array(&'static Schema, usize),
    /// A map: key and value.
    Map(&'static Schema, &'static Schema),
    /// A tuple.
    Tuple(&'static [&'static Schema]),
    /// A struct: its name, its version, its fields in order.
    Struct(&'static str, u32, &'static [Field]),
    /// An enum: its name, its version, its variants in order.
    Enum(&'static str, u32, &'static [Variant]),
    /// A foreign type, under the name that the author gave its encoding.
    Foreign(&'static str),
    /// A type that is saved by its serde implementation.
    Serde(OfSerde),
}

impl Schema {
    /// Whether there is something in it that is saved by its serde implementation.
    pub(crate) fn has_items(&self) -> bool {
        let in_fields = |fields: &[Field]| fields.iter().any(|field| field.schema.has_items());
        match *self {
            Schema::Serde(_) => true,
            Schema::Plain(_) | Schema::Foreign(_) => false,
            Schema::Option(inner) | Schema::List(inner) | Schema::Array(inner, _) => {
                inner.has_items()
            }
            Schema::Map(key, value) => key.has_items() || value.has_items(),
            Schema::Tuple(parts) => parts.iter().any(|part| part.has_items()),
            Schema::Struct(_, _, fields) => in_fields(fields),
            Schema::Enum(_, _, variants) => variants.iter().any(|v| in_fields(v.fields)),
        }
    }
}

/// The shape of a type that has serde only. It is found by asking the type, so it is known when the program runs.
#[derive(Clone, Copy)]
pub struct OfSerde(fn() -> Shape);

impl OfSerde {
    /// Of this type.
    pub const fn of<T: DeserializeOwned>() -> OfSerde {
        OfSerde(Shape::of_serde::<T>)
    }

    /// The shape.
    pub fn shape(self) -> Shape {
        (self.0)()
    }
}

impl PartialEq for OfSerde {
    fn eq(&self, other: &OfSerde) -> bool {
        self.shape() == other.shape()
    }
}
impl Eq for OfSerde {}

impl fmt::Debug for OfSerde {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OfSerde({})", self.shape())
    }
}

/// A field of a struct or of a variant; tuple fields are called `0`, `1`, ..
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The field's name.
    pub name: &'static str,
    /// The field's shape.
    pub schema: &'static Schema,
}

/// A variant of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The variant's name.
    pub name: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

/// Reads like a Rust type: `Count v1 { total: u64 }`.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shape::from(self).fmt(f)
    }
}
