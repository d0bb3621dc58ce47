//! Attacks on the log: what is damaged, torn, swapped or foreign is repaired or refused by name, and never taken for something
//! else.

mod changes;
mod crashes;
mod damage;
mod decode;
mod disk;
mod fence;
mod golden;
mod migrate;
mod past;
mod refusals;
mod soak;
mod torn;
mod version_1;

use std::sync::Arc;

use crate::Virtual;
use crate::io::testing::Memory;

/// A schedule on this disk.
fn schedule(disk: &Memory, seed: u64) -> Arc<Virtual> {
    Arc::new(Virtual::new(seed).with_io(disk.io()))
}
