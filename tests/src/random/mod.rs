//! Random graphs: grown from choices, built as a plan, interpreted over vectors, compared.
//!
//! All items are [`Row`]s, and between two steps of a random graph stands a box, so a graph can be put together while the
//! program runs. Within a step there are no boxes: where a graph holds a chain of steps as one, it is nested as a dataflow is.

mod build;
mod compare;
mod grow;
mod naive;
mod rows;

use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};

pub use compare::{check, check_interrupted};
pub use grow::graphs;

use crate::collect::Collect;
use crate::recovery::Fuse;

/// An item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// What `key_by_ref` finds its key in.
    pub k: u64,
    /// What steps compute with.
    pub v: u64,
    /// The epoch in which its source emitted it.
    pub epoch: u64,
}

/// A graph: steps in the order in which they are wired. Streams are numbered in the order in which they appear.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The steps.
    pub nodes: Vec<Node>,
    /// What is known of each stream.
    pub streams: Vec<Shape>,
}

/// A step.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// The streams it takes.
    pub inputs: Vec<usize>,
    /// The streams it yields.
    pub outputs: Vec<usize>,
}

/// What is known of a stream before the run.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Whether it has keys.
    pub keyed: bool,
    /// Which order is certain.
    pub order: Order,
    /// Whether items may come in a later epoch than they were emitted in, because a step held them back.
    pub late: bool,
}

/// Which order of a stream's items is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// That of all items: they come from one partition and have stayed on its worker.
    Total,
    /// That of the items of each key.
    ByKey,
    /// None.
    None,
}

/// A step, or a chain of steps.
#[derive(Clone, Debug)]
pub enum Op {
    /// Partitions of (epoch, value).
    Source {
        /// The input.
        partitions: Arc<Vec<Vec<(u64, u64)>>>,
        /// Whether the epochs given are those of the run.
        gives_epochs: bool,
    },
    /// A map with a parameter.
    Map(u64),
    /// A filter.
    Filter(u64),
    /// A filter and map in one.
    FilterMap(u64),
    /// None to three items for one.
    FlatMap(u64),
    /// Looks at items and epochs.
    Inspect,
    /// Spreads items.
    Rebalance,
    /// Chunks of this size, taken apart again.
    Chunk(usize),
    /// A key by a closure.
    KeyBy(u64),
    /// A key that lies in the item.
    KeyByRef,
    /// `key_by_ref`, a filter, a fan-out to a stateful step and a `dedupe` with `values`: one nested stage, two outputs.
    KeyByRefChain(u64),
    /// Pairs made and partitioned by their first part.
    IntoKeyed(u64),
    /// To pairs, and back to keys.
    ThereAndBack,
    /// Keys dropped.
    Values,
    /// State by default.
    StatefulMap {
        /// Whether the result may depend on the order of a key's items.
        ordered: bool,
    },
    /// State that goes with every n-th item of a key.
    StatefulFilterMap(u64),
    /// A number of items that depends on the state.
    StatefulFlatMap(u64),
    /// The first item of each key.
    Dedupe {
        /// Whether it is certain which one that is.
        ordered: bool,
    },
    /// Fan-in of two to eight.
    Merge,
    /// Two keyed streams counted side by side.
    Connect,
    /// A `Result` taken apart.
    Branch(u64),
    /// The first stream is kept as a value on every worker, which a map over the second one reads.
    Broadcast,
    /// Kept with so many partitions.
    Sink(usize),
    /// Dropped.
    Discard,
}

/// What a run of a graph leaves behind. Clones share it.
#[derive(Clone, Debug)]
pub struct Traces {
    /// By node: what its sink was given, with the key or 0.
    pub(crate) plain: Vec<Collect<Row>>,
    pub(crate) keyed: Vec<Collect<(u64, Row)>>,
    /// By node and worker: the changes that a broadcast applied.
    pub(crate) applied: Vec<Vec<Changes>>,
    /// Every item of every stream passes it.
    pub(crate) fuse: Fuse,
}

/// Changes in the order in which they were applied.
pub(crate) type Changes = Arc<Mutex<Vec<Row>>>;

impl Graph {
    /// Whether a source gives the epochs.
    pub fn gives_epochs(&self) -> bool {
        let gives = |node: &Node| matches!(node.op, Op::Source { gives_epochs: true, .. });
        self.nodes.iter().any(gives)
    }
}

/// Numbers that look like chance, so that results that ought to differ do.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_add(0xd6e8_feb8_6659_fd93);
    z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    z ^ (z >> 32)
}

/// What the steps compute: one definition for plan and interpreter. How often, in which order and with which state
/// is each one's own affair.
mod functions {
    use super::{Row, mix};

    pub(super) fn map(n: u64, row: Row) -> Row {
        Row { k: row.v % 5, v: mix(row.v, n) % 1000, ..row }
    }
    pub(super) fn filter(n: u64, row: &Row) -> bool {
        !mix(row.v, n).is_multiple_of(4)
    }
    pub(super) fn filter_map(n: u64, row: Row) -> Option<Row> {
        filter(n, &row).then(|| map(n, row))
    }
    pub(super) fn flat_map(n: u64, row: Row) -> impl Iterator<Item = Row> {
        (0..mix(row.v, n) % 4).map(move |m| Row { v: row.v + m, ..row.clone() })
    }
    pub(super) fn key(n: u64, row: &Row) -> u64 {
        row.v % (n + 1)
    }
    /// A result that depends on the order of a key's items.
    pub(super) fn running(state: &mut u64, key: u64, row: Row) -> Row {
        *state = mix(*state, row.v ^ key);
        Row { v: *state % 1000, ..row }
    }
    /// A result that depends on their number only.
    pub(super) fn counting(state: &mut u64, key: u64, row: Row) -> Row {
        *state += 1;
        Row { k: key % 5, v: mix(key, *state) % 1000, ..row }
    }
    /// Every n-th item of a key, and then its state goes.
    pub(super) fn every(n: u64, state: &mut Option<u64>, key: u64, row: Row) -> Option<Row> {
        let count = state.unwrap_or(0) + 1;
        *state = (count <= n).then_some(count);
        state.is_none().then_some(Row { k: key % 5, v: key, ..row })
    }
    pub(super) fn several(n: u64, state: &mut u64, key: u64, row: Row) -> Vec<Row> {
        let row = counting(state, key, row);
        vec![row.clone(); (mix(row.v, n) % 3) as usize]
    }
    pub(super) fn judge(n: u64, row: Row) -> Result<Row, Row> {
        if filter(n, &row) { Ok(row) } else { Err(row) }
    }
}
