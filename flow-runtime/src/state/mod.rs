//! State: what is kept per key, how it is saved, where it lies.

mod by_serde;
pub(crate) mod decode;
mod hash;
pub(crate) mod key_code;
pub(crate) mod older;
pub(crate) mod parts;
mod saved;
mod schema;
mod shape;
mod table;

pub use by_serde::BySerde;
pub(crate) use by_serde::Checked;
pub use hash::{GROUPS, KeyHasher, group_of, worker_of};
pub use older::Reader;
pub use parts::{ListState, MapState, Parted};
pub use saved::{LoadError, Saved, State, load_foreign, save_foreign};
pub use schema::{Field, OfSerde, Schema, Variant};
pub use shape::Shape;
pub use table::{EntryMut, InItem, Lent, Lookup, Table};
pub(crate) use table::{Swept, SweptTo};

#[cfg(test)]
pub(crate) use shape::tests as shape_tests;
