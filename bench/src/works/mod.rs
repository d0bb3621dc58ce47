//! What is measured, one work a file.

mod fused;
mod words;

use crate::harness::{Measured, Options};

/// A work.
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// Runs it both ways.
    pub measure: fn(&Options) -> Measured,
}

/// All works.
pub const ALL: &[Work] = &[
    Work { name: "fused", measure: fused::measure },
    Work { name: "words", measure: words::measure },
];
