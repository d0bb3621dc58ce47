//! Recovery logs, without the dataflow that wrote them: what is in one, whether it is whole, and what can be done about it.
//!
//! [`RecoveryLog::read`](crate::RecoveryLog::read) opens a log for reading. It takes no lock and writes nothing, so it can be used while the
//! dataflow runs. A [`Snapshot`] is the log as of one commit: the steps, and what each of them keeps, as your own types or, where those
//! are not at hand, as JSON.
//!
//! ```
//! use flow_runtime::RecoveryLog;
//! use flow_runtime::io::{Collect, collect, from_iter};
//! use flow_runtime::prelude::*;
//!
//! #[stateful]
//! #[derive(Default)]
//! struct Count {
//!     total: u64,
//! }
//!
//! #[stateful_map]
//! fn count(count: &mut Count, _word: &str, _item: String) -> u64 {
//!     count.total += 1;
//!     count.total
//! }
//!
//! #[dataflow]
//! fn words(words: Vec<String>, out: Collect<(String, u64)>) {
//!     let words = source(from_iter(words));
//!     let by_word = key_by_ref(words, |word| word.as_str());
//!     let counts = count(by_word);
//!     sink(counts, out);
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let (out, _) = collect();
//! words(vec!["to".into(), "be".into(), "to".into()], out).recovery(folder.path()).spawn()?.wait()?;
//!
//! let log = RecoveryLog::read(folder.path())?;
//! assert_eq!(log.dataflow(), "words");
//! let newest = log.newest()?;
//! for entry in newest.state::<String, Count>("counts")? {
//!     let (word, count) = entry?;
//!     println!("{word}: {}", count.total);
//! }
//! let to = newest.get::<String, Count>("counts", &"to".to_owned())?;
//! assert_eq!(to.map(|count| count.total), Some(2));
//! // Without the types, by what the log knows of them.
//! let entry = newest.entries("counts")?.next().expect("there are two")?;
//! assert!(entry.key.is_string() && entry.state["total"].is_u64());
//! # Ok(())
//! # }
//! ```
//!
//! Epochs are named as [`RecoveryLog::resume_from`](crate::RecoveryLog::resume_from) names them: by where a run begins that goes on from there. The snapshot of
//! epoch 7 is the state before epoch 7.
//!
//! [`pin`], [`compact`], [`go_back`] and [`Repair`] change a log. But for pins they take its lock, so they are refused while the dataflow
//! runs. The program `flow-log` is made of all these.
//!
//! | file | what it owns |
//! |---|---|
//! | `at` | which commit is meant |
//! | `reader` | a log: its commits and pins |
//! | `snapshot` | a log as of a commit: its steps |
//! | `rows` | entries as bytes, a range of key groups at a time |
//! | `typed`, `dynamic` | entries as the program's types, and as JSON |
//! | `diff` | what is different between two snapshots |
//! | `verify` | reading everything that commits name |
//! | `inspect` | what each file is, and why it is there |
//! | `edit` | what changes a log: pins, compaction, going back, repair |

mod at;
mod diff;
mod dynamic;
mod edit;
mod inspect;
mod reader;
mod rows;
mod snapshot;
#[cfg(test)]
mod tests;
mod typed;
mod verify;

pub use at::At;
pub use diff::{Difference, Differences};
pub use dynamic::{Entries, Entry, Position};
pub use edit::{Compacted, Repair, WentBack, compact, go_back, pin, unpin};
pub use inspect::{Inspection, LogFile, Need, Role, Run, StoredRows};
pub use reader::{KeptEpoch, LogReader, PinnedEpoch};
pub use snapshot::{Keeps, Measure, Snapshot, Step};
pub use typed::States;
pub use verify::{Damage, Progress, Verified};
