//! The fields of `#[stateful]` types, as the macro names them.
//!
//! A field's type is an associated type with a bound. The code that saves and loads it goes through the associated
//! type, where the bound is known to hold: a type that does not fulfil it is reported at the field, once.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

use crate::bounds::{Never, Nothing};
use crate::state::parts::{Part, whole};
use crate::state::{LoadError, Reader, Saved, Schema, Shape, load_foreign, save_foreign};

/// A foreign type that serde can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved as a foreign type",
    label = "serde cannot write and read this type",
    note = "`#[state(foreign = \"..\")]` needs `serde::Serialize` and `serde::Deserialize`; leave a cache out with `#[state(skip)]`"
)]
pub trait Foreign: Sized {
    /// Saves the value.
    fn save(&self, to: &mut Vec<u8>);
    /// Loads a value.
    ///
    /// # Errors
    /// As [`load_foreign`].
    fn load(from: &mut &[u8]) -> Result<Self, LoadError>;
}
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Foreign for T {
    fn save(&self, to: &mut Vec<u8>) {
        save_foreign(self, to);
    }
    fn load(from: &mut &[u8]) -> Result<Self, LoadError> {
        load_foreign(from)
    }
}
#[diagnostic::do_not_recommend]
impl<T> Foreign for T
where
    Nothing<T>: Never,
{
    fn save(&self, _: &mut Vec<u8>) {}
    fn load(_: &mut &[u8]) -> Result<Self, LoadError> {
        Err(LoadError::new("this is never called"))
    }
}

/// Field `N`, which is saved.
pub trait SavedField<const N: usize> {
    /// The field's type.
    type Type: Saved;
}

/// Field `N`, which serde saves.
pub trait ForeignField<const N: usize> {
    /// The field's type.
    type Type: Foreign;
}

/// Field `N`, which is not saved.
pub trait SkippedField<const N: usize> {
    /// The field's type.
    type Type: Default;
}

/// What is done with field `N` of `F`.
#[derive(Debug)]
pub struct SavedAt<F, const N: usize>(PhantomData<fn(F)>);

impl<F: SavedField<N>, const N: usize> SavedAt<F, N> {
    /// The field's schema.
    pub const SCHEMA: &'static Schema = <F::Type as Saved>::SCHEMA;
    /// The same for a field of a variant, whose parts would have no slot.
    pub const WHOLE: &'static Schema = whole::<F::Type>();
    /// Whether the field is plain memory.
    pub const PLAIN: bool = <F::Type as Saved>::PLAIN;
    /// How many parts of the field are saved entry by entry.
    pub const PARTS: u16 = <F::Type as Saved>::PARTS;

    /// Saves the field.
    #[inline]
    pub fn save(value: &F::Type, to: &mut Vec<u8>) {
        value.save(to);
    }

    /// Saves the field, its parts as empty ones.
    #[inline]
    pub fn save_own(value: &F::Type, to: &mut Vec<u8>) {
        value.save_own(to);
    }

    /// Part `n` of the field, counted from 0.
    #[inline]
    pub fn part(value: &mut F::Type, n: u16) -> Option<&mut dyn Part>
    where
        F::Type: 'static,
    {
        value.part(n)
    }

    /// Loads the field.
    ///
    /// # Errors
    /// As [`Saved::load`].
    #[inline]
    pub fn load(from: &mut &[u8]) -> Result<F::Type, LoadError> {
        Saved::load(from)
    }

    /// Reads the field as it was saved under another shape.
    ///
    /// # Errors
    /// As [`Reader::of`].
    pub fn reader(was: &Shape, name: &str) -> Result<Reader<F::Type>, LoadError>
    where
        F::Type: 'static,
    {
        Reader::of(was).map_err(|error| in_field(name, &error))
    }
}

fn in_field(name: &str, error: &LoadError) -> LoadError {
    LoadError::new(format!("in field `{name}`, {}", error.what()))
}

/// What is done with a foreign field.
#[derive(Debug)]
pub struct ForeignAt<F, const N: usize>(PhantomData<fn(F)>);

impl<F: ForeignField<N>, const N: usize> ForeignAt<F, N> {
    /// Saves the field.
    pub fn save(value: &F::Type, to: &mut Vec<u8>) {
        value.save(to);
    }

    /// Loads the field.
    ///
    /// # Errors
    /// As [`load_foreign`].
    pub fn load(from: &mut &[u8]) -> Result<F::Type, LoadError> {
        Foreign::load(from)
    }

    /// Reads the field as it was saved: a foreign type has no versions, so its name must be the same.
    ///
    /// # Errors
    /// Where it is another one.
    pub fn reader(was: &Shape, name: &str, is: &'static str) -> Result<Reader<F::Type>, LoadError>
    where
        F::Type: 'static,
    {
        let is = Shape::Foreign(is.to_owned());
        match was.differences(&is) {
            None => Ok(Reader::new(Foreign::load)),
            Some(difference) => Err(in_field(name, &LoadError::new(difference))),
        }
    }
}

/// What is done with a field that is not saved.
#[derive(Debug)]
pub struct SkippedAt<F, const N: usize>(PhantomData<fn(F)>);

impl<F: SkippedField<N>, const N: usize> SkippedAt<F, N> {
    /// Makes the field anew.
    ///
    /// # Errors
    /// None.
    pub fn load(_: &mut &[u8]) -> Result<F::Type, LoadError> {
        Ok(F::Type::default())
    }
}
