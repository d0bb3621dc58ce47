//! How a value is saved and loaded.
//!
//! Integers and floats take their full width, little-endian: no branches when writing, and the log compresses
//! zeros away. Lengths are LEB128 varints. Everything else is built from these.

#![allow(clippy::disallowed_types)] // Users keep hash maps as state; nothing here depends on their order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use compact_str::CompactString;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state::older::differs;
use crate::state::parts::{Part, whole};
use crate::state::{Reader, Schema, Shape};
use crate::time::{Epoch, Timestamp};

/// A value that can be part of saved state: written field by field, loaded as a whole.
///
/// Implemented for std types and, by `#[stateful]`, for structs and enums. `usize` and `isize` have no
/// implementation because their width depends on the machine.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of saved state",
    label = "this type cannot be saved",
    note = "put `#[stateful]` on the definition of `{Self}`; for a foreign type with serde, mark the field `#[state(foreign = \"name v1\")]`; leave a cache out with `#[state(skip)]`; write `u64` for `usize`"
)]
pub trait Saved: Sized {
    /// The shape of what is written.
    const SCHEMA: &'static Schema;
    /// Whether the value holds no reference or heap memory, so that its bytes may be copied and encoded later.
    const PLAIN: bool = false;
    /// How many parts of the value are saved entry by entry, where it is the state of a key: [`MapState`](crate::state::MapState) and
    /// [`ListState`](crate::state::ListState).
    const PARTS: u16 = 0;
    /// Appends the encoded value, as a whole.
    fn save(&self, to: &mut Vec<u8>);
    /// Takes a value from the front of `from`.
    ///
    /// # Errors
    /// [`LoadError`] when the bytes are not what [`save`](Saved::save) writes.
    fn load(from: &mut &[u8]) -> Result<Self, LoadError>;

    /// Appends the encoded value, its parts as empty ones.
    fn save_own(&self, to: &mut Vec<u8>) {
        self.save(to);
    }

    /// Part `n` of the value, counted from 0; `None` beyond the last one.
    #[doc(hidden)]
    fn part(&mut self, n: u16) -> Option<&mut dyn Part>
    where
        Self: 'static,
    {
        let _ = n;
        None
    }

    /// Loads a value that must fill `bytes`.
    ///
    /// # Errors
    /// [`LoadError`] when the bytes are not one saved value, bytes left over included.
    fn load_all(mut bytes: &[u8]) -> Result<Self, LoadError> {
        let value = Self::load(&mut bytes)?;
        if bytes.is_empty() { Ok(value) } else { Err(LoadError::new("bytes are left over")) }
    }

    /// Makes a reader of values that were saved under a shape which is not this type's own: because the type, or one inside
    /// of it, had an older version then. Without an implementation no other shape can be read.
    ///
    /// # Errors
    /// [`LoadError`] when there is no way from that shape to this type: the first difference, in words.
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        Err(differs::<Self>(was))
    }
}

/// A type that may be kept as the state of a step: a `#[stateful]` struct or enum, a number, a string, a collection.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept as a step's state",
    label = "not a `#[stateful]` type",
    note = "put `#[stateful]` on the definition of `{Self}`"
)]
pub trait State: Saved + 'static {}

/// Bytes that are not a saved value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    what: Cow<'static, str>,
}

impl LoadError {
    /// An error that says what is wrong with the bytes.
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        LoadError { what: what.into() }
    }

    /// The same, of a part of what was read.
    pub(crate) fn within(&self, part: &str) -> Self {
        LoadError::new(format!("{part}: {}", self.what))
    }

    /// What is wrong.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "saved state cannot be read: {}", self.what)
    }
}

impl std::error::Error for LoadError {}

/// Takes `N` bytes from the front.
fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], LoadError> {
    let (head, rest) = from.split_first_chunk::<N>().ok_or(LoadError::new("it ends too early"))?;
    *from = rest;
    Ok(*head)
}

pub(crate) fn save_length(length: usize, to: &mut Vec<u8>) {
    let mut rest = length as u64;
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

/// A length, which can be no more than the bytes that are left: every element takes at least `least` bytes.
pub(crate) fn load_length(from: &mut &[u8]) -> Result<usize, LoadError> {
    let mut length = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take(from)?;
        length |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return usize::try_from(length).map_err(|_| LoadError::new("a length is too large"));
        }
    }
    Err(LoadError::new("a length is too long"))
}

fn load_text<'a>(from: &mut &'a [u8]) -> Result<&'a str, LoadError> {
    let length = load_length(from)?;
    let (text, rest) = from.split_at_checked(length).ok_or(LoadError::new("it ends too early"))?;
    *from = rest;
    str::from_utf8(text).map_err(|_| LoadError::new("a string is not UTF-8"))
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl Saved for $number {
            const SCHEMA: &'static Schema = &Schema::Plain(stringify!($number));
            const PLAIN: bool = true;
            #[inline]
            fn save(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }
            #[inline]
            fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
                Ok($number::from_le_bytes(take(from)?))
            }
        }
        impl State for $number {}
    )*};
}
numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64);

impl Saved for bool {
    const SCHEMA: &'static Schema = &Schema::Plain("bool");
    const PLAIN: bool = true;
    fn save(&self, to: &mut Vec<u8>) {
        to.push(u8::from(*self));
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        match take(from)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(LoadError::new("a bool is neither 0 nor 1")),
        }
    }
}
impl State for bool {}

impl Saved for char {
    const SCHEMA: &'static Schema = &Schema::Plain("char");
    const PLAIN: bool = true;
    fn save(&self, to: &mut Vec<u8>) {
        u32::from(*self).save(to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        char::from_u32(u32::load(from)?)
            .ok_or(LoadError::new("a char is not a Unicode scalar value"))
    }
}

impl Saved for () {
    const SCHEMA: &'static Schema = &Schema::Plain("()");
    const PLAIN: bool = true;
    fn save(&self, _: &mut Vec<u8>) {}
    fn load(_: &mut &[u8]) -> Result<Self, LoadError> {
        Ok(())
    }
}
impl State for () {}

impl Saved for String {
    const SCHEMA: &'static Schema = &Schema::Plain("String");
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        to.extend_from_slice(self.as_bytes());
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        Ok(load_text(from)?.to_owned())
    }
}
impl State for String {}

/// Saved as a `String` is: the one can take the other's place.
impl Saved for CompactString {
    const SCHEMA: &'static Schema = String::SCHEMA;
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        to.extend_from_slice(self.as_bytes());
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        Ok(load_text(from)?.into())
    }
}
impl State for CompactString {}

impl<T: Saved> Saved for Option<T> {
    const SCHEMA: &'static Schema = &Schema::Option(whole::<T>());
    const PLAIN: bool = T::PLAIN;
    fn save(&self, to: &mut Vec<u8>) {
        self.is_some().save(to);
        if let Some(value) = self {
            value.save(to);
        }
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        if bool::load(from)? { T::load(from).map(Some) } else { Ok(None) }
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        let Shape::Option(some) = was else { return Err(differs::<Self>(was)) };
        let some = Reader::<T>::of(some)?;
        Ok(Reader::new(
            move |from| {
                if bool::load(from)? { some.read(from).map(Some) } else { Ok(None) }
            },
        ))
    }
}

impl<T: Saved> Saved for Box<T> {
    const SCHEMA: &'static Schema = T::SCHEMA;
    const PARTS: u16 = T::PARTS;
    fn save(&self, to: &mut Vec<u8>) {
        T::save(self, to);
    }
    fn save_own(&self, to: &mut Vec<u8>) {
        T::save_own(self, to);
    }
    fn part(&mut self, n: u16) -> Option<&mut dyn Part>
    where
        Self: 'static,
    {
        T::part(self, n)
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        T::load(from).map(Box::new)
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        let inner = Reader::<T>::of(was)?;
        Ok(Reader::new(move |from| inner.read(from).map(Box::new)))
    }
}

impl<T: Saved, const N: usize> Saved for [T; N] {
    const SCHEMA: &'static Schema = &Schema::Array(whole::<T>(), N);
    const PLAIN: bool = T::PLAIN;
    fn save(&self, to: &mut Vec<u8>) {
        self.iter().for_each(|element| element.save(to));
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let elements = (0..N).map(|_| T::load(from)).collect::<Result<Vec<T>, _>>()?;
        elements.try_into().map_err(|_| LoadError::new("an array has another length"))
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        let element = match was {
            Shape::Array(element, length) if *length == N as u64 => Reader::<T>::of(element)?,
            _ => return Err(differs::<Self>(was)),
        };
        Ok(Reader::new(move |from| {
            let elements = (0..N).map(|_| element.read(from)).collect::<Result<Vec<T>, _>>()?;
            elements.try_into().map_err(|_| LoadError::new("an array has another length"))
        }))
    }
}
impl<T: Saved + 'static, const N: usize> State for [T; N] {}

/// Sequences: a length, then the elements. Nothing is reserved on the word of the bytes alone.
macro_rules! sequences {
    ($($name:ident)*) => {$(
        impl<T: Saved> Saved for $name<T> {
            const SCHEMA: &'static Schema = &Schema::List(whole::<T>());
            fn save(&self, to: &mut Vec<u8>) {
                save_length(self.len(), to);
                self.iter().for_each(|element| element.save(to));
            }
            fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
                let length = load_length(from)?;
                (0..length).map(|_| T::load(from)).collect()
            }
            fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
            where
                Self: 'static,
            {
                let Shape::List(element) = was else { return Err(differs::<Self>(was)) };
                let element = Reader::<T>::of(element)?;
                Ok(Reader::new(move |from| {
                    let length = load_length(from)?;
                    (0..length).map(|_| element.read(from)).collect()
                }))
            }
        }
        impl<T: Saved + 'static> State for $name<T> {}
    )*};
}
sequences!(Vec VecDeque);

impl<T: Saved + Ord> Saved for BTreeSet<T> {
    const SCHEMA: &'static Schema = &Schema::List(whole::<T>());
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        self.iter().for_each(|element| element.save(to));
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let length = load_length(from)?;
        (0..length).map(|_| T::load(from)).collect()
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        Err(not_of_set::<Self>(was))
    }
}
impl<T: Saved + Ord + 'static> State for BTreeSet<T> {}

impl<T: Saved + Eq + Hash, H: BuildHasher + Default> Saved for HashSet<T, H> {
    const SCHEMA: &'static Schema = &Schema::List(whole::<T>());
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        self.iter().for_each(|element| element.save(to));
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let length = load_length(from)?;
        (0..length).map(|_| T::load(from)).collect()
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        Err(not_of_set::<Self>(was))
    }
}
impl<T: Saved + Eq + Hash + 'static, H: BuildHasher + Default + 'static> State for HashSet<T, H> {}

/// Reads the values of a map. What its entries are told apart by stays as it is: two keys could become the same.
pub(crate) fn values_of<K: Saved, V: Saved + 'static>(
    key: &Shape,
    value: &Shape,
) -> Result<Reader<V>, LoadError> {
    match key.differences(&Shape::from(K::SCHEMA)) {
        None => Reader::of(value),
        Some(difference) => {
            Err(LoadError::new(format!("the keys of a map are not converted: {difference}")))
        }
    }
}

/// Why a set cannot be read: its elements stay as they are, too.
fn not_of_set<S: Saved>(was: &Shape) -> LoadError {
    let error = differs::<S>(was);
    match was {
        Shape::List(_) => {
            LoadError::new(format!("the elements of a set are not converted: {}", error.what()))
        }
        _ => error,
    }
}

impl<K: Saved + Ord, V: Saved> Saved for BTreeMap<K, V> {
    const SCHEMA: &'static Schema = &Schema::Map(whole::<K>(), whole::<V>());
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        for (key, value) in self {
            key.save(to);
            value.save(to);
        }
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let length = load_length(from)?;
        (0..length).map(|_| Ok((K::load(from)?, V::load(from)?))).collect()
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        let Shape::Map(key, value) = was else { return Err(differs::<Self>(was)) };
        let value = values_of::<K, V>(key, value)?;
        Ok(Reader::new(move |from| {
            let length = load_length(from)?;
            (0..length).map(|_| Ok((K::load(from)?, value.read(from)?))).collect()
        }))
    }
}
impl<K: Saved + Ord + 'static, V: Saved + 'static> State for BTreeMap<K, V> {}

impl<K: Saved + Eq + Hash, V: Saved, H: BuildHasher + Default> Saved for HashMap<K, V, H> {
    const SCHEMA: &'static Schema = &Schema::Map(whole::<K>(), whole::<V>());
    fn save(&self, to: &mut Vec<u8>) {
        save_length(self.len(), to);
        for (key, value) in self {
            key.save(to);
            value.save(to);
        }
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let length = load_length(from)?;
        (0..length).map(|_| Ok((K::load(from)?, V::load(from)?))).collect()
    }
    fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
    where
        Self: 'static,
    {
        let Shape::Map(key, value) = was else { return Err(differs::<Self>(was)) };
        let value = values_of::<K, V>(key, value)?;
        Ok(Reader::new(move |from| {
            let length = load_length(from)?;
            (0..length).map(|_| Ok((K::load(from)?, value.read(from)?))).collect()
        }))
    }
}
impl<K: Saved + Eq + Hash + 'static, V: Saved + 'static, H: BuildHasher + Default + 'static> State
    for HashMap<K, V, H>
{
}

macro_rules! tuples {
    ($(($($part:ident $at:tt),+);)*) => {$(
        impl<$($part: Saved),+> Saved for ($($part,)+) {
            const SCHEMA: &'static Schema = &Schema::Tuple(&[$(whole::<$part>()),+]);
            const PLAIN: bool = $($part::PLAIN &&)+ true;
            fn save(&self, to: &mut Vec<u8>) {
                $(self.$at.save(to);)+
            }
            fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
                Ok(($($part::load(from)?,)+))
            }
            fn older(was: &Shape) -> Result<Reader<Self>, LoadError>
            where
                Self: 'static,
            {
                let parts = match was {
                    Shape::Tuple(parts) if parts.len() == [$($at),+].len() => parts,
                    _ => return Err(differs::<Self>(was)),
                };
                let readers = ($(Reader::<$part>::of(&parts[$at])?,)+);
                Ok(Reader::new(move |from| Ok(($(readers.$at.read(from)?,)+))))
            }
        }
        impl<$($part: Saved + 'static),+> State for ($($part,)+) {}
    )*};
}
tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, E 4);
    (A 0, B 1, C 2, D 3, E 4, F 5);
}

impl Saved for Duration {
    const SCHEMA: &'static Schema = &Schema::Plain("Duration");
    const PLAIN: bool = true;
    fn save(&self, to: &mut Vec<u8>) {
        self.as_secs().save(to);
        self.subsec_nanos().save(to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        let (secs, nanos) = (u64::load(from)?, u32::load(from)?);
        if nanos < 1_000_000_000 {
            Ok(Duration::new(secs, nanos))
        } else {
            Err(LoadError::new("a duration is malformed"))
        }
    }
}

impl State for Duration {}

impl Saved for Timestamp {
    const SCHEMA: &'static Schema = &Schema::Plain("Timestamp");
    const PLAIN: bool = true;
    fn save(&self, to: &mut Vec<u8>) {
        self.0.save(to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        i64::load(from).map(Timestamp)
    }
}

impl State for Timestamp {}

impl Saved for Epoch {
    const SCHEMA: &'static Schema = &Schema::Plain("Epoch");
    const PLAIN: bool = true;
    fn save(&self, to: &mut Vec<u8>) {
        self.0.save(to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        u64::load(from).map(Epoch)
    }
}

/// Saves a foreign type by its serde implementation, in postcard's encoding, behind its length.
///
/// Used by `#[state(foreign = "..")]`.
///
/// # Panics
/// When the value refuses to be serialised.
pub fn save_foreign<T: Serialize>(value: &T, to: &mut Vec<u8>) {
    // The run ends with the step's failure, before the epoch is committed: what cannot be saved must not be taken for saved.
    let bytes = postcard::to_allocvec(value)
        .unwrap_or_else(|error| panic!("a foreign value in the state cannot be saved: {error}"));
    save_length(bytes.len(), to);
    to.extend_from_slice(&bytes);
}

/// Loads what [`save_foreign`] wrote.
///
/// # Errors
/// [`LoadError`] when the bytes are not that.
pub fn load_foreign<T: DeserializeOwned>(from: &mut &[u8]) -> Result<T, LoadError> {
    let length = load_length(from)?;
    let (bytes, rest) = from.split_at_checked(length).ok_or(LoadError::new("it ends too early"))?;
    *from = rest;
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(LoadError::new("a foreign value cannot be decoded")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip<T: Saved + PartialEq + fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        value.save(&mut bytes);
        assert_eq!(T::load_all(&bytes).as_ref(), Ok(&value));
        for short in (0..bytes.len()).step_by(1 + bytes.len() / 40) {
            assert!(
                T::load_all(&bytes[..short]).is_err(),
                "{short} of {} bytes were accepted",
                bytes.len()
            );
        }
        bytes.push(0);
        assert!(T::load_all(&bytes).is_err(), "a byte too many was accepted");
    }

    proptest! {
        #[test]
        fn what_is_saved_is_loaded_and_nothing_else_is(
            number: i64, text: String, list: Vec<(u16, Option<bool>)>, map: BTreeMap<String, Vec<u8>>, tag: char,
        ) {
            round_trip((number, text, list));
            round_trip((map, tag, [1_u8, 2, 3]));
        }

        #[test]
        fn any_bytes_are_refused_or_read_without_a_panic(bytes: Vec<u8>) {
            let _ = <(String, Vec<Option<char>>, BTreeMap<u8, Duration>)>::load_all(&bytes);
        }
    }

    #[test]
    fn a_huge_length_allocates_nothing() {
        let mut bytes = Vec::new();
        save_length(usize::MAX, &mut bytes);
        assert_eq!(Vec::<u64>::load_all(&bytes), Err(LoadError::new("it ends too early")));
        assert_eq!(Vec::<()>::load_all(&[3]), Ok(vec![(); 3]));
    }

    #[test]
    fn schemas_read_like_types() {
        let schema = <(u64, Option<Vec<String>>, BTreeMap<u8, [bool; 2]>)>::SCHEMA;
        assert_eq!(schema.to_string(), "(u64, Option<[String]>, {u8: [bool; 2]})");
    }
}
