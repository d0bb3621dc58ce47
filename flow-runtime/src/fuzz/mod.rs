//! What reads bytes that somebody else may have written, as functions that take any bytes: whatever comes, none of them may panic, and what
//! is read must say the same when it is written and read again.
//!
//! The crate `fuzz/` calls them from a fuzzer, and a test here calls them with what lies in `fuzz/corpus`.
//!
//! | file | what it owns |
//! |---|---|
//! | `log` | headers, frames, blocks, manifests, the two copies of a commit file |
//! | `folder` | a start on a whole log |
//! | `values` | shapes, keys, states |
//! | `parts` | entries of maps and lists of states |
//! | `readers` | the sources that read text |

mod folder;
mod log;
mod parts;
mod readers;
#[cfg(test)]
mod tests;
mod values;

pub use folder::folder;
pub use log::{block, frames, header, manifest, newest};
pub use parts::parts;
pub use readers::{csv, json_lines, lines};
pub use values::{keys, shape, states};

/// All of them, by name: that of their folder in `fuzz/corpus`.
pub const TARGETS: [(&str, fn(&[u8])); 13] = [
    ("header", header),
    ("frames", frames),
    ("block", block),
    ("manifest", manifest),
    ("newest", newest),
    ("folder", folder),
    ("shape", shape),
    ("keys", keys),
    ("states", states),
    ("parts", parts),
    ("csv", csv),
    ("json_lines", json_lines),
    ("lines", lines),
];
