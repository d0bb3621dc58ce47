//! Which streams of a graph have event times, known when the program is compiled.

use crate::graph::{Edge, Graph, Kind, Node};

/// So many nodes of a graph are looked at ..
const NODES: usize = 1024;
/// .. and so many outputs of each, and inputs of the graph. What lies beyond counts as having times.
const OUTPUTS: usize = 16;

/// Which outputs of a graph's nodes have times.
struct Timed([u16; NODES]);

impl Kind {
    /// Whether the step works by event time, so that all its inputs must have times.
    pub const fn needs_event_time(&self) -> bool {
        matches!(self, Kind::Window | Kind::Join | Kind::InOrder)
    }
}

impl Graph {
    /// Whether a step, by its index in [`Graph::nodes`], works by event time although items without a time can come to it: there is no
    /// `event_time` on some way from a source. `#[dataflow]` asks this about every step. What comes into a sub-flow is asked where it is called.
    pub const fn lacks_event_time(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        match node.operator.kind {
            Kind::Flow(inner) => inner.lacks_any(self.timed_inputs(node, u16::MAX)),
            kind if kind.needs_event_time() => {
                let all = !(u16::MAX << few(node.inputs.len()));
                self.timed_inputs(node, u16::MAX) & all != all
            }
            _ => false,
        }
    }

    /// The same about any step, if of the graph's own inputs these have times.
    const fn lacks_any(&self, given: u16) -> bool {
        let timed = self.timed(given);
        let mut n = 0;
        while n < self.nodes.len() {
            let node = &self.nodes[n];
            let inputs = timed.inputs(node, given);
            let lacks = match node.operator.kind {
                Kind::Flow(inner) => inner.lacks_any(inputs),
                kind if kind.needs_event_time() => {
                    let all = !(u16::MAX << few(node.inputs.len()));
                    inputs & all != all
                }
                _ => false,
            };
            if lacks {
                return true;
            }
            n += 1;
        }
        false
    }

    /// Which inputs of a node have times.
    const fn timed_inputs(&self, node: &Node, given: u16) -> u16 {
        self.timed(given).inputs(node, given)
    }

    /// Which outputs of all nodes have times.
    const fn timed(&self, given: u16) -> Timed {
        let mut timed = Timed([u16::MAX; NODES]);
        let mut n = 0;
        // A node uses those before it only.
        while n < self.nodes.len() && n < NODES {
            let node = &self.nodes[n];
            let inputs = timed.inputs(node, given);
            let all = !(u16::MAX << few(node.inputs.len()));
            timed.0[n] = match node.operator.kind {
                Kind::Source => 0,
                Kind::EventTime | Kind::Broadcast => u16::MAX,
                Kind::Flow(inner) => inner.timed_outputs(inputs),
                _ if inputs & all == all => u16::MAX,
                _ => 0,
            };
            n += 1;
        }
        timed
    }

    /// Which outputs of a sub-flow have times.
    const fn timed_outputs(&self, given: u16) -> u16 {
        let timed = self.timed(given);
        let (mut outputs, mut n) = (u16::MAX, 0);
        while n < self.outputs.len() && n < OUTPUTS {
            if !timed.has(&self.outputs[n], given) {
                outputs &= !(1 << n);
            }
            n += 1;
        }
        outputs
    }
}

impl Timed {
    const fn has(&self, edge: &Edge, given: u16) -> bool {
        match *edge {
            Edge::Input(n) => n >= OUTPUTS || given & (1 << n) != 0,
            Edge::Step { node, output } => {
                node >= NODES || output >= OUTPUTS || self.0[node] & (1 << output) != 0
            }
        }
    }

    const fn inputs(&self, node: &Node, given: u16) -> u16 {
        let (mut inputs, mut n) = (u16::MAX, 0);
        while n < node.inputs.len() && n < OUTPUTS {
            if !self.has(&node.inputs[n], given) {
                inputs &= !(1 << n);
            }
            n += 1;
        }
        inputs
    }
}

/// A number of inputs that can be looked at; a shift by more would overflow.
const fn few(inputs: usize) -> u32 {
    if inputs < OUTPUTS { inputs as u32 } else { OUTPUTS as u32 - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Operator;

    const fn node(id: &'static str, kind: Kind, inputs: &'static [Edge]) -> Node {
        Node { id, name: id, operator: Operator::of(kind), inputs, outputs: &["one", "two"] }
    }

    const fn from(node: usize) -> Edge {
        Edge::Step { node, output: 0 }
    }

    const INNER: Graph = Graph {
        name: "inner",
        inputs: &[],
        nodes: &[
            node("keyed", Kind::KeyBy, &[Edge::Input(1)]),
            node("windows", Kind::Window, &[from(0)]),
            node("other", Kind::Map, &[Edge::Input(0)]),
        ],
        outputs: &[from(1), from(2)],
    };

    const GRAPH: Graph = Graph {
        name: "outer",
        inputs: &[],
        nodes: &[
            node("plain", Kind::Source, &[]),
            node("timed", Kind::EventTime, &[from(0)]),
            node("merged", Kind::Merge, &[from(0), from(1)]),
            node("bad", Kind::Window, &[from(2)]),
            node("good", Kind::Window, &[from(1)]),
            node("inner_good", Kind::Flow(&INNER), &[from(0), from(1)]),
            node("inner_bad", Kind::Flow(&INNER), &[from(1), from(0)]),
            node("after_first", Kind::Window, &[Edge::Step { node: 5, output: 0 }]),
            node("after_second", Kind::Window, &[Edge::Step { node: 5, output: 1 }]),
        ],
        outputs: &[],
    };

    #[test]
    fn every_way_to_a_step_by_event_time_must_have_times() {
        let lacks: Vec<&str> = (0..GRAPH.nodes.len())
            .filter(|node| GRAPH.lacks_event_time(*node))
            .map(|node| GRAPH.nodes[node].id)
            .collect();
        assert_eq!(lacks, ["bad", "inner_bad", "after_second"]);
        assert!((0..INNER.nodes.len()).all(|node| !INNER.lacks_event_time(node)));
    }
}
