//! The encoding of state, as `state/saved.rs` writes it.

use serde_json::{Map, Value};

use super::{
    Encoding, boolean, float, foreign, lengthy, short_float, signed, take, text, unsigned,
};
use crate::state::{LoadError, Shape};

/// As [`Saved`](crate::state::Saved) writes it.
pub(super) struct AsSaved;

impl Encoding for AsSaved {
    fn plain(name: &str, from: &mut &[u8]) -> Result<Value, LoadError> {
        macro_rules! numbers {
            ($($number:ident as $sign:ident),*) => {
                match name {
                    $(stringify!($number) => {
                        return Ok($sign($number::from_le_bytes(take(from)?).into()));
                    })*
                    _ => {}
                }
            };
        }
        numbers!(
            u8 as unsigned,
            u16 as unsigned,
            u32 as unsigned,
            u64 as unsigned,
            u128 as unsigned,
            i8 as signed,
            i16 as signed,
            i32 as signed,
            i64 as signed,
            i128 as signed,
            f32 as short_float,
            f64 as float
        );
        match name {
            "bool" => boolean(from),
            "char" => {
                let char = char::from_u32(u32::from_le_bytes(take(from)?));
                let char = char.ok_or(LoadError::new("a char is not a Unicode scalar value"))?;
                Ok(Value::String(char.to_string()))
            }
            "()" => Ok(Value::Null),
            "String" => text(lengthy(from)?),
            "Epoch" => Ok(u64::from_le_bytes(take(from)?).into()),
            "Timestamp" => Ok(i64::from_le_bytes(take(from)?).into()),
            "Duration" => {
                let secs = u64::from_le_bytes(take(from)?);
                let nanos = u32::from_le_bytes(take(from)?);
                let fields = [("secs".to_owned(), secs.into()), ("nanos".to_owned(), nanos.into())];
                Ok(Value::Object(Map::from_iter(fields)))
            }
            _ => Err(LoadError::new("there is a type that this version does not know")),
        }
    }

    fn variant(from: &mut &[u8]) -> Result<usize, LoadError> {
        let [number] = take(from)?;
        Ok(usize::from(number))
    }

    fn foreign(name: &str, from: &mut &[u8]) -> Result<Value, LoadError> {
        Ok(foreign(name, lengthy(from)?))
    }

    fn serde(shape: &Shape, from: &mut &[u8]) -> Result<Value, LoadError> {
        let bytes = lengthy(from)?;
        // Its length says where it ends, also where a type inside of it is known by its name only.
        Ok(shape.json_of_serde(bytes).unwrap_or_else(|_| shape.json_of_unknown(bytes)))
    }
}
