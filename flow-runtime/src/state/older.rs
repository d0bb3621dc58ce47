//! Reading what was saved under an older shape: of the type itself, or of a type inside of it.
//!
//! A [`Reader`] is made once for a saved shape, by going through shape and type side by side. Where the two are the same it
//! loads; where the shape is an older version of a `#[stateful]` type it reads the older type and converts; everywhere else it
//! goes on inside. So a value is migrated wherever it lies, and a shape that cannot be read is known before anything is.

use std::fmt;
use std::fmt::Display;
use std::marker::PhantomData;

use crate::description::short_type_name;
use crate::state::{LoadError, Saved, Schema, Shape};

/// Reads values of `T` that were saved under another shape than its own.
pub struct Reader<T>(Box<dyn Fn(&mut &[u8]) -> Result<T, LoadError>>);

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl<T> Reader<T> {
    /// A reader that does this: it takes a value from the front of the bytes.
    pub fn new(read: impl Fn(&mut &[u8]) -> Result<T, LoadError> + 'static) -> Self {
        Reader(Box::new(read))
    }

    /// Takes a value from the front of `from`.
    ///
    /// # Errors
    /// [`LoadError`] when the bytes are no value of the shape, or the value cannot be converted.
    pub fn read(&self, from: &mut &[u8]) -> Result<T, LoadError> {
        (self.0)(from)
    }

    /// Reads a value that must fill `bytes`.
    ///
    /// # Errors
    /// As [`read`](Reader::read), bytes left over included.
    pub fn read_all(&self, mut bytes: &[u8]) -> Result<T, LoadError> {
        let value = self.read(&mut bytes)?;
        if bytes.is_empty() { Ok(value) } else { Err(LoadError::new("bytes are left over")) }
    }
}

impl<T: Saved + 'static> Reader<T> {
    /// A reader of values that were saved under this shape.
    ///
    /// # Errors
    /// Where neither the type nor one of its older versions has the shape: the first difference, in words.
    pub fn of(was: &Shape) -> Result<Self, LoadError> {
        if Shape::from(T::SCHEMA) == *was { Ok(Reader::new(T::load)) } else { T::older(was) }
    }
}

/// Why values of this shape cannot be read as a `T`.
pub(crate) fn differs<T: Saved>(was: &Shape) -> LoadError {
    match was.differences(&Shape::from(T::SCHEMA)) {
        Some(difference) => LoadError::new(difference),
        None => LoadError::new("it is the same"),
    }
}

/// The shapes of the fields of a struct, or of all variants of an enum, in order. The saved one must have the name, the version
/// and the names inside that `T` has.
///
/// # Errors
/// The first difference, in words.
pub fn parts_of<T: Saved, const N: usize>(was: &Shape) -> Result<[&Shape; N], LoadError> {
    let parts = parts(was, T::SCHEMA).and_then(|parts| parts.try_into().ok());
    parts.ok_or_else(|| differs::<T>(was))
}

fn parts<'a>(was: &'a Shape, is: &Schema) -> Option<Vec<&'a Shape>> {
    match (was, *is) {
        (Shape::Struct { name, version, fields }, Schema::Struct(is, at, now)) => {
            let is_it = name == is && *version == at;
            let same = fields.iter().map(|(name, _)| name.as_str()).eq(now.iter().map(|f| f.name));
            (is_it && same).then(|| fields.iter().map(|(_, shape)| shape).collect())
        }
        (Shape::Enum { name, version, variants }, Schema::Enum(is, at, now)) => {
            let is_it = name == is && *version == at && variants.len() == now.len();
            let same = variants.iter().zip(now).all(|((name, fields), now)| {
                let names = fields.iter().map(|(name, _)| name.as_str());
                name == now.name && names.eq(now.fields.iter().map(|field| field.name))
            });
            let fields = variants.iter().flat_map(|(_, fields)| fields);
            (is_it && same).then(|| fields.map(|(_, shape)| shape).collect())
        }
        _ => None,
    }
}

/// Whether values of this shape were saved by an older version of `T`.
pub fn is_older<T: Saved>(was: &Shape) -> bool {
    match (was, *T::SCHEMA) {
        (
            Shape::Struct { name, version, .. } | Shape::Enum { name, version, .. },
            Schema::Struct(is, at, _) | Schema::Enum(is, at, _),
        ) => name == is && *version < at,
        _ => false,
    }
}

/// Is implemented by `#[stateful]` for the version that a type is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not version {N} of a `#[stateful]` type",
    label = "the version right before is needed here, which is version {N}",
    note = "keep the old type under a new Rust name, and let it be what the log knows it as: `#[stateful(name = \"Cart\", version = 1)] struct CartV1 {{ .. }}`",
    note = "versions grow by one, each converted from the one before: version 3 from version 2 from version 1"
)]
pub trait Version<const N: u32>: Saved {
    /// The name that the log knows the type by.
    const NAME: &'static str;
}

/// What the log knows version `N` of a type by; nothing where `T` is no such version, which is reported elsewhere.
#[derive(Debug)]
pub struct NameOf<T, const N: u32>(PhantomData<fn(T)>);

impl<T: Version<N>, const N: u32> NameOf<T, N> {
    /// The name. An inherent constant goes before one of a trait, where its bounds hold.
    pub const NAME: Option<&'static str> = Some(T::NAME);
}

/// Any other type has no name.
pub trait NoName {
    /// None.
    const NAME: Option<&'static str> = None;
}
impl<T, const N: u32> NoName for NameOf<T, N> {}

/// Can be made from its older version, `from = Old`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from its older version `{Old}`",
    label = "nothing converts this older version",
    note = "write `impl From<{Old}> for {Self}`",
    note = "where the conversion can fail: `impl TryFrom<{Old}> for {Self}`, and `try_from = {Old}` in place of `from = {Old}`"
)]
pub trait Migrates<Old>: Sized {
    /// Converts.
    fn migrate(old: Old) -> Self;
}
#[diagnostic::do_not_recommend]
impl<Old, New: From<Old>> Migrates<Old> for New {
    fn migrate(old: Old) -> New {
        New::from(old)
    }
}

/// Can be made from its older version, or not: `try_from = Old`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from its older version `{Old}`",
    label = "nothing converts this older version",
    note = "write `impl TryFrom<{Old}> for {Self}`, with an error that can be displayed",
    note = "where the conversion cannot fail: `impl From<{Old}> for {Self}`, and `from = {Old}` in place of `try_from = {Old}`"
)]
pub trait TryMigrates<Old>: Sized {
    /// Converts.
    ///
    /// # Errors
    /// What the conversion says.
    fn try_migrate(old: Old) -> Result<Self, LoadError>;
}
#[diagnostic::do_not_recommend]
impl<Old, New: TryFrom<Old, Error: Display>> TryMigrates<Old> for New {
    fn try_migrate(old: Old) -> Result<New, LoadError> {
        New::try_from(old).map_err(|error| {
            LoadError::new(format!("it cannot be converted from the older version: {error}"))
        })
    }
}

/// A reader of what the older version saved, for `from = Old`.
///
/// # Errors
/// Where the older version does not have the shape, nor has one before it.
pub fn from_older<Old, New, const N: u32>(was: &Shape) -> Result<Reader<New>, LoadError>
where
    Old: Version<N> + 'static,
    New: Migrates<Old> + 'static,
{
    let old = reader_of_older::<Old>(was)?;
    Ok(Reader::new(move |from| old.read(from).map(New::migrate)))
}

/// The same for `try_from = Old`.
///
/// # Errors
/// As [`from_older`].
pub fn try_from_older<Old, New, const N: u32>(was: &Shape) -> Result<Reader<New>, LoadError>
where
    Old: Version<N> + 'static,
    New: TryMigrates<Old> + 'static,
{
    let old = reader_of_older::<Old>(was)?;
    Ok(Reader::new(move |from| old.read(from).and_then(New::try_migrate)))
}

fn reader_of_older<Old: Saved + 'static>(was: &Shape) -> Result<Reader<Old>, LoadError> {
    Reader::of(was).map_err(|error| {
        let name = short_type_name(std::any::type_name::<Old>());
        LoadError::new(format!("as `{name}`: {}", error.what()))
    })
}

/// Whether a name, if there is one, is this one. Asked while a program is compiled.
pub const fn is_named(name: Option<&str>, as_is: &str) -> bool {
    let Some(name) = name else { return true };
    let (name, as_is) = (name.as_bytes(), as_is.as_bytes());
    let mut same = name.len() == as_is.len();
    let mut at = 0;
    while same && at < name.len() {
        same = name[at] == as_is[at];
        at += 1;
    }
    same
}

#[cfg(test)]
mod tests;
