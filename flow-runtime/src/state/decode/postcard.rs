//! The encoding of keys and positions: postcard, whose numbers are varints.

use serde_json::Value;

use super::{
    Encoding, boolean, float, hex, lengthy, short_float, signed, take, text, unsigned, varint,
    wide_varint,
};
use crate::state::{LoadError, Shape};

/// As postcard writes it.
pub(super) struct AsSerde;

impl Encoding for AsSerde {
    fn plain(name: &str, from: &mut &[u8]) -> Result<Value, LoadError> {
        Ok(match name {
            "u8" => take::<1>(from)?[0].into(),
            "i8" => i8::from_le_bytes(take(from)?).into(),
            "u16" | "u32" | "u64" | "u128" => unsigned(whole(name, from)?),
            "i16" | "i32" | "i64" | "i128" => signed(zigzag(whole(name, from)?)),
            "f32" => short_float(f32::from_le_bytes(take(from)?)),
            "f64" => float(f64::from_le_bytes(take(from)?)),
            "bool" => boolean(from)?,
            "()" => Value::Null,
            "char" | "String" => text(lengthy(from)?)?,
            "bytes" => Value::String(hex(lengthy(from)?)),
            _ => return Err(LoadError::new("there is a type that this version does not know")),
        })
    }

    fn variant(from: &mut &[u8]) -> Result<usize, LoadError> {
        usize::try_from(varint(from)?).map_err(|_| LoadError::new("a variant is not known"))
    }

    fn foreign(_: &str, _: &mut &[u8]) -> Result<Value, LoadError> {
        // Nothing says where its bytes end.
        Err(LoadError::new("a type is known by its name only"))
    }

    fn serde(_: &Shape, _: &mut &[u8]) -> Result<Value, LoadError> {
        Err(LoadError::new("what serde writes contains nothing that is saved apart"))
    }
}

/// A whole number of the type of this name.
fn whole(name: &str, from: &mut &[u8]) -> Result<u128, LoadError> {
    let bits = name[1..].parse().unwrap_or(u128::BITS);
    let number = wide_varint(from, bits)?;
    match number.checked_shr(bits).unwrap_or(0) {
        0 => Ok(number),
        _ => Err(LoadError::new("a number is too large")),
    }
}

fn zigzag(number: u128) -> i128 {
    (number >> 1) as i128 ^ -((number & 1) as i128)
}
