//! What is measured, one work a file.

mod durable;
mod fused;
mod keyed;
mod restart;
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
    Work { name: "keyed", measure: keyed::measure },
    Work { name: "durable_second", measure: durable::each_second },
    Work { name: "durable_million", measure: durable::each_million },
    Work { name: "durable_item", measure: durable::each_item },
    Work { name: "restart_1m", measure: restart::one },
    Work { name: "restart_4m", measure: restart::four },
    Work { name: "restart_16m", measure: restart::sixteen },
];
