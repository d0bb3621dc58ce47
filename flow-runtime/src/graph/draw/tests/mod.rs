//! Graphs written by hand, and how they are drawn.

mod json;
mod pictures;

use crate::graph::{Edge, Graph, Kind, Node, Operator, Port};

/// The first output of a step.
const fn of(node: usize) -> Edge {
    Edge::Step { node, output: 0 }
}

/// A step of a built-in kind.
const fn built_in(
    id: &'static str,
    kind: Kind,
    inputs: &'static [Edge],
    outputs: &'static [&'static str],
) -> Node {
    Node { id, name: kind.name(), operator: Operator::of(kind), inputs, outputs }
}

/// A step by a function from `input` to `output`.
const fn by_function(
    id: &'static str,
    name: &'static str,
    kind: Kind,
    [input, output]: [&'static str; 2],
    inputs: &'static [Edge],
    outputs: &'static [&'static str],
) -> Node {
    Node { id, name, operator: Operator { input, output, ..Operator::of(kind) }, inputs, outputs }
}

const WORD_COUNT: Graph = Graph {
    name: "word_count",
    inputs: &[],
    nodes: &[
        built_in("lines", Kind::Source, &[], &["lines"]),
        by_function("words", "split", Kind::FlatMap, ["String", "String"], &[of(0)], &["words"]),
        built_in("by_word", Kind::KeyBy, &[of(1)], &["by_word"]),
        Node {
            id: "counts",
            name: "count",
            operator: Operator {
                kind: Kind::StatefulMap,
                key: "str",
                input: "String",
                output: "u64",
                state: "Count",
            },
            inputs: &[of(2)],
            outputs: &["counts"],
        },
        built_in("counts.sink", Kind::Sink, &[of(3)], &[]),
    ],
    outputs: &[],
};

/// A sub-flow in a sub-flow: `trim` takes a stream and gives one.
const TRIM: Graph = Graph {
    name: "trim",
    inputs: &[Port { name: "raw", ty: "Stream<String>" }],
    nodes: &[built_in("short", Kind::Filter, &[Edge::Input(0)], &["short"])],
    outputs: &[of(0)],
};

/// One input, two outputs, the second of which is the input as it came.
const CLEAN: Graph = Graph {
    name: "clean",
    inputs: &[Port { name: "text", ty: "Stream<String>" }],
    nodes: &[
        Node {
            id: "trimmed",
            name: "ops::trim",
            operator: Operator::of(Kind::Flow(&TRIM)),
            inputs: &[Edge::Input(0)],
            outputs: &["trimmed"],
        },
        by_function("parsed", "parse", Kind::Map, ["String", "Vec<&\"a\">"], &[of(0)], &["parsed"]),
    ],
    outputs: &[of(1), Edge::Input(0)],
};

/// Fan-out, merge, a branch with two outputs, a broadcast and sub-flows.
const MIXED: Graph = Graph {
    name: "mixed",
    inputs: &[],
    nodes: &[
        built_in("lines", Kind::Source, &[], &["lines"]),
        Node {
            id: "clean",
            name: "clean",
            operator: Operator::of(Kind::Flow(&CLEAN)),
            inputs: &[of(0)],
            outputs: &["clean", "dirty"],
        },
        built_in("limits", Kind::Source, &[], &["limits"]),
        built_in("limit", Kind::Broadcast, &[of(2)], &["limit"]),
        by_function(
            "judged",
            "judge",
            Kind::Map,
            ["Vec<&\"a\">", "Decision"],
            &[of(1), of(3)],
            &["judged"],
        ),
        built_in("allow", Kind::Branch, &[of(4)], &["allow", "deny"]),
        built_in("all", Kind::Merge, &[of(5), Edge::Step { node: 5, output: 1 }], &["all"]),
        built_in("all.sink", Kind::Sink, &[of(6)], &[]),
        built_in("denied", Kind::Discard, &[Edge::Step { node: 5, output: 1 }], &[]),
        built_in("raw", Kind::Sink, &[Edge::Step { node: 1, output: 1 }], &[]),
    ],
    outputs: &[],
};

/// A graph that was written wrongly: edges that lead nowhere. Pictures leave them out.
const DANGLING: Graph = Graph {
    name: "dangling",
    inputs: &[],
    nodes: &[built_in(
        "a",
        Kind::Map,
        &[of(7), Edge::Input(3), Edge::Step { node: 0, output: 9 }],
        &["a"],
    )],
    outputs: &[of(9)],
};
