//! Values of the log as JSON, by their shapes alone: for those who look into a log without the program that wrote it.
//!
//! What comes out is what serde makes of the value: structs and variants by the names of their fields, an option as its value or
//! `null`. Where JSON has no such value: whole numbers beyond 64 bits, and floats that are no number, are text; bytes are in hex; a map
//! whose keys are not text or numbers is a list of pairs; a foreign type is its name with its bytes in hex.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | what is inside of what |
//! | `saved` | the encoding of state |
//! | `postcard` | the encoding of keys, positions and items |

mod postcard;
mod saved;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use serde_json::{Map, Number, Value};

use self::postcard::AsSerde;
use crate::state::{LoadError, Shape};
use saved::AsSaved;

/// A list of elements that take no bytes may be as long as its length says; no more than so many are made.
const IDLE_MAX: u32 = 1 << 12;

impl Shape {
    /// What [`Saved::save`](crate::state::Saved::save) wrote of a value of this shape, as JSON. The bytes may be any.
    ///
    /// ```
    /// use flow_runtime::state::{Saved, Shape};
    ///
    /// let mut bytes = Vec::new();
    /// (7_u64, Some("x".to_owned())).save(&mut bytes);
    /// let shape = Shape::from(<(u64, Option<String>)>::SCHEMA);
    /// assert_eq!(shape.json_of_saved(&bytes)?.to_string(), r#"[7,"x"]"#);
    /// # Ok::<(), flow_runtime::state::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// [`LoadError`] when the bytes are not one value of this shape.
    pub fn json_of_saved(&self, bytes: &[u8]) -> Result<Value, LoadError> {
        all::<AsSaved>(self, bytes)
    }

    /// What postcard wrote of a value of this shape, as JSON: a key that is neither a number nor text, a position. The bytes may be any.
    ///
    /// ```
    /// use flow_runtime::state::Shape;
    ///
    /// let shape = Shape::of_serde::<(u32, bool)>();
    /// assert_eq!(shape.json_of_serde(&[0xac, 2, 1])?.to_string(), "[300,true]");
    /// # Ok::<(), flow_runtime::state::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// [`LoadError`] when the bytes are not one value of this shape, or its type contains one that is known by its name only.
    pub fn json_of_serde(&self, bytes: &[u8]) -> Result<Value, LoadError> {
        all::<AsSerde>(self, bytes)
    }

    /// What stands for a value that cannot be told: its type, and its bytes in hex.
    pub(crate) fn json_of_unknown(&self, bytes: &[u8]) -> Value {
        match self {
            Shape::Foreign(name) => foreign(name, bytes),
            other => foreign(&other.to_string(), bytes),
        }
    }
}

/// How values are encoded.
trait Encoding {
    /// A value of a type with an encoding of its own.
    fn plain(name: &str, from: &mut &[u8]) -> Result<Value, LoadError>;
    /// The number of a variant.
    fn variant(from: &mut &[u8]) -> Result<usize, LoadError>;
    /// A value of a type that is known by its name only.
    fn foreign(name: &str, from: &mut &[u8]) -> Result<Value, LoadError>;
    /// A value that its serde implementation has saved, of this shape.
    fn serde(shape: &Shape, from: &mut &[u8]) -> Result<Value, LoadError>;
}

fn all<E: Encoding>(shape: &Shape, mut bytes: &[u8]) -> Result<Value, LoadError> {
    let mut idle = 0;
    let value = value::<E>(shape, &mut bytes, &mut idle)?;
    if bytes.is_empty() { Ok(value) } else { Err(LoadError::new("bytes are left over")) }
}

/// Goes over a value that [`Saved::save`](crate::state::Saved::save) wrote, at the front of the bytes.
pub(crate) fn skip_saved(shape: &Shape, from: &mut &[u8]) -> Result<(), LoadError> {
    value::<AsSaved>(shape, from, &mut 0).map(drop)
}

/// Takes a value from the front. It goes no deeper than the shape, whose depth is bounded where it is decoded.
fn value<E: Encoding>(shape: &Shape, from: &mut &[u8], idle: &mut u32) -> Result<Value, LoadError> {
    match shape {
        Shape::Plain(name) => E::plain(name, from),
        Shape::Foreign(name) => E::foreign(name, from),
        Shape::Serde(inner) => E::serde(inner, from),
        Shape::Option(some) => match take::<1>(from)? {
            [0] => Ok(Value::Null),
            [1] => value::<E>(some, from, idle),
            _ => Err(LoadError::new("an option is neither there nor not")),
        },
        Shape::List(element) | Shape::ListState(element) => {
            let length = varint(from)?;
            elements::<E>(element, length, from, idle).map(Value::Array)
        }
        Shape::Array(element, length) => {
            elements::<E>(element, *length, from, idle).map(Value::Array)
        }
        Shape::Map(key, inner) | Shape::MapState(key, inner) => map::<E>(key, inner, from, idle),
        Shape::Tuple(parts) => {
            let parts = parts.iter().map(|part| value::<E>(part, from, idle));
            parts.collect::<Result<_, _>>().map(Value::Array)
        }
        Shape::Struct { fields, .. } => Ok(fields_of::<E>(fields, from, idle)?.into()),
        Shape::Enum { variants, .. } => {
            let variant = variants.get(E::variant(from)?);
            let (name, fields) = variant.ok_or(LoadError::new("a variant is not known"))?;
            let fields = fields_of::<E>(fields, from, idle)?;
            Ok(match fields {
                Fields::None => Value::String(name.clone()),
                fields => Value::Object(Map::from_iter([(name.clone(), fields.into())])),
            })
        }
    }
}

/// Takes so many elements. Nothing is reserved on the word of a length.
fn elements<E: Encoding>(
    shape: &Shape,
    length: u64,
    from: &mut &[u8],
    idle: &mut u32,
) -> Result<Vec<Value>, LoadError> {
    let mut elements = Vec::new();
    for _ in 0..length {
        let before = from.len();
        elements.push(value::<E>(shape, from, idle)?);
        takes_bytes(before, from, idle)?;
    }
    Ok(elements)
}

/// Counts what takes no bytes.
fn takes_bytes(before: usize, from: &[u8], idle: &mut u32) -> Result<(), LoadError> {
    *idle += u32::from(before == from.len());
    match *idle > IDLE_MAX {
        true => Err(LoadError::new("a list of values that take no bytes is too long")),
        false => Ok(()),
    }
}

fn map<E: Encoding>(
    key: &Shape,
    inner: &Shape,
    from: &mut &[u8],
    idle: &mut u32,
) -> Result<Value, LoadError> {
    let length = varint(from)?;
    let (mut object, mut pairs) = (Map::new(), Vec::new());
    let by_name = is_name(key);
    for _ in 0..length {
        let before = from.len();
        let name = value::<E>(key, from, idle)?;
        let inner = value::<E>(inner, from, idle)?;
        takes_bytes(before, from, idle)?;
        match (by_name, name) {
            (true, Value::String(name)) => drop(object.insert(name, inner)),
            (true, name) => drop(object.insert(name.to_string(), inner)),
            (false, name) => pairs.push(Value::Array(vec![name, inner])),
        }
    }
    Ok(if by_name { Value::Object(object) } else { Value::Array(pairs) })
}

/// Whether values of this shape can be the names of an object.
fn is_name(shape: &Shape) -> bool {
    match shape {
        Shape::Plain(name) => !matches!(name.as_str(), "()" | "Duration"),
        Shape::Enum { variants, .. } => variants.iter().all(|(_, fields)| fields.is_empty()),
        Shape::Struct { fields, .. } => match fields.as_slice() {
            [(name, inner)] => name == "0" && is_name(inner),
            _ => false,
        },
        _ => false,
    }
}

/// The fields of a struct or of a variant.
enum Fields {
    None,
    /// Without names: a tuple struct, or a variant like one.
    Parts(Vec<Value>),
    Named(Map<String, Value>),
}

impl From<Fields> for Value {
    fn from(fields: Fields) -> Value {
        match fields {
            Fields::None => Value::Null,
            Fields::Parts(mut parts) if parts.len() == 1 => parts.swap_remove(0),
            Fields::Parts(parts) => Value::Array(parts),
            Fields::Named(fields) => Value::Object(fields),
        }
    }
}

fn fields_of<E: Encoding>(
    fields: &[(String, Shape)],
    from: &mut &[u8],
    idle: &mut u32,
) -> Result<Fields, LoadError> {
    if fields.is_empty() {
        return Ok(Fields::None);
    }
    let is_tuple = fields.iter().enumerate().all(|(n, (name, _))| *name == n.to_string());
    let mut values = fields.iter().map(|(name, shape)| Ok((name, value::<E>(shape, from, idle)?)));
    if is_tuple {
        return values.map(|value| Ok(value?.1)).collect::<Result<_, _>>().map(Fields::Parts);
    }
    let mut named = Map::new();
    values.try_for_each(|value| {
        let (name, value) = value?;
        named.insert(name.clone(), value);
        Ok(())
    })?;
    Ok(Fields::Named(named))
}

/// Takes `N` bytes from the front.
fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], LoadError> {
    let (head, rest) = from.split_first_chunk::<N>().ok_or(LoadError::new("it ends too early"))?;
    *from = rest;
    Ok(*head)
}

fn varint(from: &mut &[u8]) -> Result<u64, LoadError> {
    wide_varint(from, 64)
        .and_then(|wide| u64::try_from(wide).map_err(|_| LoadError::new("a number is too large")))
}

/// A number that takes up to so many bits, seven in a byte.
fn wide_varint(from: &mut &[u8], bits: u32) -> Result<u128, LoadError> {
    let mut number = 0_u128;
    for shift in (0..bits).step_by(7) {
        let [byte] = take(from)?;
        number |= u128::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(LoadError::new("a number has too many bytes"))
}

/// As many bytes as a varint says.
fn lengthy<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], LoadError> {
    let length = usize::try_from(varint(from)?);
    let split = length.ok().and_then(|length| from.split_at_checked(length));
    let (bytes, rest) = split.ok_or(LoadError::new("it ends too early"))?;
    *from = rest;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> Result<Value, LoadError> {
    let text = str::from_utf8(bytes).map_err(|_| LoadError::new("a string is not UTF-8"))?;
    Ok(Value::String(text.to_owned()))
}

fn boolean(from: &mut &[u8]) -> Result<Value, LoadError> {
    match take(from)? {
        [0] => Ok(Value::Bool(false)),
        [1] => Ok(Value::Bool(true)),
        _ => Err(LoadError::new("a bool is neither 0 nor 1")),
    }
}

fn unsigned(number: u128) -> Value {
    u64::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::from)
}

fn signed(number: i128) -> Value {
    match i64::try_from(number) {
        Ok(number) => Value::from(number),
        Err(_) if number > 0 => unsigned(number.unsigned_abs()),
        Err(_) => Value::String(number.to_string()),
    }
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
}

/// With as few digits as tell it from its neighbours: more were never there.
fn short_float(number: f32) -> Value {
    float(number.to_string().parse().unwrap_or(f64::from(number)))
}

fn foreign(name: &str, bytes: &[u8]) -> Value {
    let of = |text: &str| Value::String(text.to_owned());
    Value::Object(Map::from_iter([
        ("foreign".to_owned(), of(name)),
        ("hex".to_owned(), of(&hex(bytes))),
    ]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A key as it lies in the log, in JSON. One that cannot be told is its type and its bytes.
pub(crate) fn key(shape: &Shape, form: u8, bytes: &[u8]) -> Value {
    use crate::state::key_code::{NUMBER, TEXT};
    let told = match form {
        TEXT => text(bytes),
        NUMBER => shape.json_of_saved(bytes),
        _ => shape.json_of_serde(bytes),
    };
    told.unwrap_or_else(|_| shape.json_of_unknown(bytes))
}
