//! Stateful stream dataflows inside your own application.
//!
//! **Inside `#[dataflow]` a call wires; everywhere else it calls.**

// Tests prepare files and folders as a user would.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::disallowed_types))]

// The attribute macros name this crate by its own name; so do its own tests.
extern crate self as flow_runtime;

pub mod bounds;
pub mod consumer;
pub mod control;
pub mod describe;
pub mod description;
mod engine;
mod env;
mod error;
mod failure;
mod fields;
pub mod graph;
pub mod host;
pub mod io;
pub mod operator;
pub mod plan;
mod run;
pub mod state;
pub mod steps;
pub mod stream;
pub mod time;

pub use bounds::{Item, Key};
pub use engine::EpochPolicy;
pub use env::Virtual;
pub use error::{Error, ErrorKind};
pub use flow_macros::*;
pub use run::{Dataflow, Finished, GraphFormat, Progress, RunOptions, Running, Stopper, Summary};
pub use stream::{Broadcast, Keyed, Stream};

/// Everything that a dataflow is written with.
pub mod prelude {
    pub use crate::bounds::{Item, Key};
    pub use crate::io::{
        BadRow, ChannelSink, ChannelSource, Collect, Collected, Csv, CsvFile, JsonLines,
        JsonLinesFile, Lines, Random, Receiver, Sender, Sink, Source, Stdout, TextFile, Utf8,
        channel, channel_out, collect, epochs_from, epochs_with, for_each, for_each_keyed,
        from_iter, generate,
    };
    pub use crate::steps::*;
    pub use crate::stream::{Broadcast, Keyed, Stream};
    pub use crate::{Dataflow, EpochPolicy, RunOptions};
    pub use flow_macros::*;
}

/// What the macros name. Not part of the public interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::Dataflow;
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
        FilterFn, FilterPlan, Held, Optional, StatefulFn, StatefulPlan, StepFn, StepPlan,
    };
    pub use crate::plan::*;
    pub use crate::state::{
        Field, LoadError, Saved, Schema, State, Variant, load_foreign, save_foreign,
    };
    pub use crate::steps::{__seal as seal, Branch, Feed, SourceFlow};
    pub use crate::stream::{Broadcast, ConfigArg, Fixed, Keyed, Slot, Stream, Token, handle};
}
