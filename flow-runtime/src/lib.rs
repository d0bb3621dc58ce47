//! Stateful stream dataflows inside your own application: annotate functions; the compiler wires and checks the
//! dataflow; run it; kill it; run it again: it goes on where it was.
//!
//! **Inside `#[dataflow]` a call wires; everywhere else it calls.**
//!
//! ```
//! use flow_runtime::io::{Collect, collect, from_iter};
//! use flow_runtime::prelude::*;
//!
//! #[stateful]
//! #[derive(Default)]
//! struct Spent {
//!     cents: u64,
//! }
//!
//! /// What a customer has spent so far.
//! #[stateful_map]
//! fn spend(spent: &mut Spent, _customer: &u32, (_, cents): (u32, u64)) -> u64 {
//!     spent.cents += cents;
//!     spent.cents
//! }
//!
//! #[dataflow]
//! fn spending(sales: Vec<(u32, u64)>, out: Collect<(u32, u64)>) {
//!     let all = source(from_iter(sales));
//!     let by_customer = key_by(all, |(customer, _)| *customer);
//!     let totals = spend(by_customer); // Keyed<u32, u64>
//!     sink(totals, out);
//! }
//!
//! # fn main() -> Result<(), flow_runtime::Error> {
//! let (out, totals) = collect();
//! spending(vec![(7, 100), (8, 5), (7, 50)], out).workers(2).spawn()?.wait()?;
//! assert_eq!(totals.sorted(), [(7, 100), (7, 150), (8, 5)]);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to find what
//!
//! * [`macro@dataflow`]: how a dataflow is written. [`macro@map`] and its sisters: functions that become steps. [`macro@stateful`]: state.
//! * [`steps`]: the built-in steps, each with an example.
//! * [`aggregate`]: what is made of many items: counts, sums, extremes, whatever you fold.
//! * [`joins`]: what joins of two streams are told.
//! * [`io`]: sources and sinks, and the traits for your own.
//! * [`Dataflow`]: what calling a dataflow function gives: `run` it as a program, `spawn` it inside a service, `simulate` it on a
//!   seeded schedule. [`RunOptions`]: the flags of a program. [`EpochPolicy`]: when an epoch ends.
//! * [`Dataflow::profile`], [`Profile`]: where the time of a run went.
//! * [`Dataflow::recovery`], [`RecoveryLog`], [`RecoveryReport`]: going on where the last run was.
//! * [`log`]: looking into a recovery log without its dataflow, checking and repairing it.
//! * [`schema_lock`]: a file that says what a dataflow keeps, checked by its tests, so that what does not fit is found before it is
//!   deployed.
//! * [`sim`]: tests that let a dataflow crash everywhere, one step in a harness, a simulated disk.
//! * [`graph`]: the const graph of a dataflow, and its pictures.
//! * [`host`], [`plan`], [`consumer`], [`control`], [`asynchronous`]: for those who bring a host of their own.
//!
//! # Names
//!
//! A *step* is a call in a dataflow; its `let` name is its id. A *stage* is a run of steps between two boundaries (sources,
//! exchanges, fan-in, sink partitions): one loop, without a queue inside. An *exchange* brings items to other workers. An *epoch* is the
//! unit that is committed; a *barrier* ends it on all workers, at one point of every stream.

// Tests prepare files and folders as a user would.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

// The attribute macros name this crate by its own name; so do its own tests.
extern crate self as flow_runtime;

/// The decoders, for fuzzers. Not part of the public interface.
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
#[path = "fuzz/mod.rs"]
pub mod __fuzz;
pub mod aggregate;
pub mod asynchronous;
mod at_home;
pub mod bounds;
pub mod consumer;
pub mod control;
pub mod describe;
pub mod description;
mod engine;
mod env;
mod error;
mod event_time;
mod expiry;
mod failure;
mod fields;
pub mod graph;
pub mod host;
pub mod io;
pub mod joins;
pub mod operator;
pub mod plan;
mod profile;
mod recovery;
mod run;
pub mod schema_lock;
pub mod sim;
pub mod state;
pub mod steps;
pub mod stream;
pub mod time;
mod timers;
pub mod windows;

pub use bounds::{Item, Key};
/// Text of up to 24 bytes without memory of its own, for items and keys that cross an exchange: an owned `String` is allocated on one
/// worker and freed on another, which costs more than all else that is done with a word. It is saved as a `String` is.
///
/// ```
/// use flow_runtime::CompactString;
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[flat_map]
/// fn split(line: String) -> impl Iterator<Item = CompactString> {
///     line.split_whitespace().map(CompactString::from).collect::<Vec<_>>().into_iter()
/// }
///
/// #[stateful_map]
/// fn count(count: &mut u64, _word: &CompactString, _item: CompactString) -> u64 {
///     *count += 1;
///     *count
/// }
///
/// #[dataflow]
/// fn word_count(lines: Vec<String>, out: Collect<(CompactString, u64)>) {
///     let lines = source(from_iter(lines));
///     let words = split(lines);
///     let by_word = key_by_ref(words, |word| word);
///     let counts = count(by_word);
///     sink(counts, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, counts) = collect();
/// word_count(vec!["to be or not to be".into()], out).workers(2).spawn()?.wait()?;
/// assert!(counts.sorted().contains(&("be".into(), 2)));
/// # Ok(())
/// # }
/// ```
pub use compact_str::CompactString;
pub use engine::EpochPolicy;
pub use env::Virtual;
pub use error::{Error, ErrorKind};
pub use event_time::{Disorder, PartitionTime};
pub use flow_macros::*;
pub use profile::{Profile, StageProfile, StepProfile, WorkerProfile};
pub use recovery::offline as log;
pub use recovery::{RecoveryLog, RecoveryReport, StepRecovered};
pub use run::{
    Dataflow, Finished, GraphFormat, Progress, RunOptions, Running, Saving, Stopper, Summary,
};
pub use stream::{Broadcast, Keyed, Stream};

/// Everything that a dataflow is written with.
pub mod prelude {
    pub use crate::aggregate::{self, Aggregate};
    pub use crate::bounds::{Item, Key};
    pub use crate::io::{
        BadRow, ChannelSink, ChannelSource, Collect, Collected, Csv, CsvFile, EpochFiles,
        JsonLines, JsonLinesFile, Lines, Random, Receiver, Sender, Sink, Source, Stdout, TextFile,
        Utf8, channel, channel_out, collect, deterministic, epochs_from, epochs_with, for_each,
        for_each_keyed, from_iter, generate, outbox,
    };
    pub use crate::joins::{AsOf, Interval, Join};
    pub use crate::state::{ListState, MapState};
    pub use crate::steps::*;
    pub use crate::stream::{Broadcast, Keyed, Stream};
    pub use crate::time::Timestamp;
    pub use crate::windows::{
        Calendar, Counting, Early, Hopping, Pane, Session, Tumbling, Windowed,
    };
    pub use crate::{Dataflow, Disorder, EpochPolicy, RecoveryLog, RunOptions};
    pub use flow_macros::*;
}

/// What the macros name. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::Dataflow;
    pub use crate::asynchronous::{Answered, Async, AsyncFailed, again, attempt, reason};
    pub use crate::bounds::{
        CheckItem, CheckKey, FanOut, Feeds, FeedsKeyed, FeedsKeyedExactly, FeedsRef, Fits, Item,
        Key, OneStream, Param, Pass, one_stream, when,
    };
    pub use crate::consumer::{Consumer, Edge, Head, Tee};
    pub use crate::control::Control;
    pub use crate::describe::{Describe, StepId, StepInfo};
    pub use crate::fields::*;
    pub use crate::graph::{Edge as GraphEdge, Graph, Kind, Node, Operator, Port};
    pub use crate::host::Host;
    pub use crate::operator::{
        ExpiringPlan, FilterFn, FilterPlan, Held, Optional, StatefulFn, StatefulPlan, StepFn,
        StepPlan,
    };
    pub use crate::plan::*;
    pub use crate::sim::StepHarness;
    pub use crate::state::older::{
        Migrates, NameOf, NoName, TryMigrates, Version, from_older, is_named, is_older, parts_of,
        try_from_older,
    };
    pub use crate::state::parts::Part;
    pub use crate::state::{
        Field, LoadError, Reader, Saved, Schema, Shape, State, Variant, load_foreign, save_foreign,
    };
    pub use crate::steps::exactly_once::{Holds, NoEnds, Within};
    pub use crate::steps::{__seal as seal, AsyncPlan, Branch, Feed, SourceFlow, Ttl, async_map};
    pub use crate::stream::{
        Broadcast, ConfigArg, Fixed, Keyed, Slot, Stream, TakenSlot, Token, handle,
    };
}
