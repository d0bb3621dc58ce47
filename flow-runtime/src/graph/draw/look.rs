//! What each kind of step looks like.

use crate::graph::Kind;

/// How a kind of step is drawn, and what a picture must know about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// What opens and closes the step's shape in Mermaid.
    pub(super) mermaid: (&'static str, &'static str),
    /// The step's shape in DOT.
    pub(super) dot: &'static str,
    /// Whether the items that come out are those that went in, so that their type is known from upstream.
    pub(super) keeps_items: bool,
    /// Whether what comes out is a value to be read and no items.
    pub(super) is_value: bool,
}

const STEP: Look = Look { mermaid: ("[", "]"), dot: "box", keeps_items: false, is_value: false };
const KEEPS: Look = Look { keeps_items: true, ..STEP };
const STATEFUL: Look = Look { mermaid: ("[[", "]]"), dot: "box3d", ..STEP };
const BOUNDARY: Look = Look { mermaid: ("{{", "}}"), dot: "hexagon", ..KEEPS };
const END: Look = Look { mermaid: ("[/", "/]"), dot: "parallelogram", ..STEP };

/// An input or output of a sub-flow that is drawn by itself.
pub(super) const PORT: Look = Look { mermaid: ("((", "))"), dot: "circle", ..STEP };

/// The one table of kinds.
pub(super) const fn look(kind: &Kind) -> Look {
    match kind {
        Kind::Source => Look { mermaid: ("([", "])"), dot: "oval", ..STEP },
        Kind::Map | Kind::FilterMap | Kind::FlatMap | Kind::Reshape | Kind::Flow(_) => STEP,
        Kind::Filter | Kind::Inspect | Kind::EventTime => KEEPS,
        Kind::StatefulMap
        | Kind::StatefulFilterMap
        | Kind::StatefulFlatMap
        | Kind::Process
        | Kind::Window
        | Kind::Join
        | Kind::TableJoin
        | Kind::CountWindow
        | Kind::Chunk
        | Kind::Running
        | Kind::Total
        | Kind::TopK
        | Kind::SequenceGap => STATEFUL,
        Kind::Dedupe | Kind::InOrder => Look { keeps_items: true, ..STATEFUL },
        Kind::KeyBy | Kind::Rebalance | Kind::Merge => BOUNDARY,
        Kind::Connect | Kind::AsyncMap | Kind::Enrich => Look { keeps_items: false, ..BOUNDARY },
        Kind::Broadcast => Look { keeps_items: false, is_value: true, ..BOUNDARY },
        Kind::Branch => Look { mermaid: ("{", "}"), dot: "diamond", ..STEP },
        Kind::Sink => Look { mermaid: ("[(", ")]"), dot: "cylinder", ..STEP },
        Kind::Discard | Kind::Fail => END,
    }
}
