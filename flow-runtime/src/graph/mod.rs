//! The const graph: a dataflow as it was written, known at compile time.
//!
//! `word_count::GRAPH` holds ids, kinds, edges, sub-flows and types *as written*; it does not depend on type
//! parameters and can be used in `const { assert!(..) }`. What rustc resolved is told by
//! [`Dataflow::describe`](crate::Dataflow::describe).

mod draw;
mod times;

/// A dataflow as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graph {
    /// The name of the function.
    pub name: &'static str,
    /// The streams that come in, if it is a sub-flow.
    pub inputs: &'static [Port],
    /// The steps, in the order in which they were written.
    pub nodes: &'static [Node],
    /// The streams that it returns, if it is a sub-flow.
    pub outputs: &'static [Edge],
}

/// A stream at the rim of a sub-flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The parameter's name.
    pub name: &'static str,
    /// Its type as written.
    pub ty: &'static str,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The id: the `let` name, or the pinned one.
    pub id: &'static str,
    /// The path of the operator as written: `ops::scale`.
    pub name: &'static str,
    /// What sort of step it is, and its types.
    pub operator: Operator,
    /// Where its inputs come from.
    pub inputs: &'static [Edge],
    /// The names of the streams that it yields.
    pub outputs: &'static [&'static str],
}

/// Where a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// An input of the sub-flow.
    Input(usize),
    /// An output of an earlier step.
    Step {
        /// The index of the step in [`Graph::nodes`].
        node: usize,
        /// The index in [`Node::outputs`].
        output: usize,
    },
}

/// What sort of step an operator is, with the types of its signature as written. Empty where there is no signature,
/// as for closures and built-in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The kind.
    pub kind: Kind,
    /// The type of the key.
    pub key: &'static str,
    /// The type of the items it takes.
    pub input: &'static str,
    /// The type of the items it emits.
    pub output: &'static str,
    /// The type of the state.
    pub state: &'static str,
}

impl Operator {
    /// An operator without a signature.
    pub const fn of(kind: Kind) -> Operator {
        Operator { kind, key: "", input: "", output: "", state: "" }
    }
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Reads input.
    Source,
    /// One out for one in.
    Map,
    /// Lets items pass or not.
    Filter,
    /// One or none out for one in.
    FilterMap,
    /// Any number out for one in.
    FlatMap,
    /// One out for one in, with state per key.
    StatefulMap,
    /// One or none out for one in, with state per key.
    StatefulFilterMap,
    /// Any number out for one in, with state per key.
    StatefulFlatMap,
    /// Gives items their event time.
    EventTime,
    /// A keyed state machine with timers.
    Process,
    /// Puts the items of a key in the order of event time.
    InOrder,
    /// Items gathered by event time.
    Window,
    /// One out for one in, by a future.
    AsyncMap,
    /// Adds what is looked up by a future.
    Enrich,
    /// Two keyed streams, item by item with what belongs together by event time.
    Join,
    /// A keyed stream, item by item with the latest row of a table.
    TableJoin,
    /// Items gathered by their number.
    CountWindow,
    /// Partitions by a key.
    KeyBy,
    /// Spreads over the workers.
    Rebalance,
    /// Several streams of one type into one.
    Merge,
    /// Two keyed streams into one of either.
    Connect,
    /// Keeps a value up to date on every worker.
    Broadcast,
    /// Takes an enum apart.
    Branch,
    /// The first item of each key.
    Dedupe,
    /// Items gathered into chunks.
    Chunk,
    /// An aggregate of each key, after every item.
    Running,
    /// An aggregate of each key, once all items have come.
    Total,
    /// The items of each key with the largest scores.
    TopK,
    /// What is missing in the numbers of each key, and what came again.
    SequenceGap,
    /// Looks at items.
    Inspect,
    /// Changes the shape of a stream only: `into_keyed`, `entries`, `values`.
    Reshape,
    /// Writes output.
    Sink,
    /// Drops a stream visibly.
    Discard,
    /// Stops the run.
    Fail,
    /// A sub-flow.
    Flow(&'static Graph),
}

impl Kind {
    /// The kind's name.
    pub const fn name(&self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Map => "map",
            Kind::Filter => "filter",
            Kind::FilterMap => "filter_map",
            Kind::FlatMap => "flat_map",
            Kind::StatefulMap => "stateful_map",
            Kind::StatefulFilterMap => "stateful_filter_map",
            Kind::StatefulFlatMap => "stateful_flat_map",
            Kind::EventTime => "event_time",
            Kind::Process => "process",
            Kind::InOrder => "in_order",
            Kind::Window => "window",
            Kind::AsyncMap => "async_map",
            Kind::Enrich => "enrich",
            Kind::Join => "join",
            Kind::TableJoin => "table_join",
            Kind::CountWindow => "count_window",
            Kind::KeyBy => "key_by",
            Kind::Rebalance => "rebalance",
            Kind::Merge => "merge",
            Kind::Connect => "connect",
            Kind::Broadcast => "broadcast",
            Kind::Branch => "branch",
            Kind::Dedupe => "dedupe",
            Kind::Chunk => "chunk",
            Kind::Running => "running",
            Kind::Total => "total",
            Kind::TopK => "top_k",
            Kind::SequenceGap => "sequence_gap",
            Kind::Inspect => "inspect",
            Kind::Reshape => "reshape",
            Kind::Sink => "sink",
            Kind::Discard => "discard",
            Kind::Fail => "fail",
            Kind::Flow(_) => "flow",
        }
    }

    /// Whether a stage begins here: items queue up in front of it.
    pub const fn starts_stage(&self) -> bool {
        matches!(
            self,
            Kind::Source
                | Kind::AsyncMap
                | Kind::Enrich
                | Kind::KeyBy
                | Kind::Rebalance
                | Kind::Merge
                | Kind::Connect
                | Kind::Join
                | Kind::TableJoin
                | Kind::Broadcast
        )
    }
}

impl Graph {
    /// Whether it has a source or a sink, its sub-flows' included.
    pub const fn has_ends(&self) -> bool {
        let mut n = 0;
        while n < self.nodes.len() {
            let ends = match self.nodes[n].operator.kind {
                Kind::Source | Kind::Sink => true,
                Kind::Flow(inner) => inner.has_ends(),
                _ => false,
            };
            if ends {
                return true;
            }
            n += 1;
        }
        false
    }

    /// The index in [`Graph::nodes`] of the step with this id.
    pub const fn index_of(&self, id: &str) -> Option<usize> {
        let mut n = 0;
        while n < self.nodes.len() {
            if equal(self.nodes[n].id, id) {
                return Some(n);
            }
            n += 1;
        }
        None
    }

    /// Whether there is a step with this id.
    ///
    /// `const { assert!(word_count::GRAPH.has("counts")) }` keeps an editor's rename from renaming saved state.
    pub const fn has(&self, id: &str) -> bool {
        self.index_of(id).is_some()
    }
}

/// `==` of strings, in a const.
const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut n = 0;
    while n < a.len() {
        if a[n] != b[n] {
            return false;
        }
        n += 1;
    }
    true
}
