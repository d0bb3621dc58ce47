//! Growing a graph from choices.

use std::sync::Arc;

use proptest::prelude::*;

use crate::random::{Graph, Node, Op, Order, Shape};

/// One choice: which step, which streams, with which parameter.
type Choice = (u8, [u16; 3], u64);

/// One to three sources of one to four partitions, and what is wired behind them.
///
/// A graph shrinks to fewer steps and fewer items, because every sequence of choices makes a graph.
pub fn graphs() -> impl Strategy<Value = Graph> {
    let partition = prop::collection::vec((0..6_u64, 0..40_u64), 0..30);
    let source = prop::collection::vec(partition, 1..=4);
    let choice = (any::<u8>(), any::<[u16; 3]>(), 0..6_u64);
    let sources = prop::collection::vec(source, 1..=3);
    let choices = prop::collection::vec(choice, 0..14);
    (sources, any::<bool>(), choices)
        .prop_map(|(sources, gives_epochs, choices)| grow(sources, gives_epochs, &choices))
}

fn grow(sources: Vec<Vec<Vec<(u64, u64)>>>, gives_epochs: bool, choices: &[Choice]) -> Graph {
    let mut graph = Graph { nodes: Vec::new(), streams: Vec::new() };
    for (n, mut partitions) in sources.into_iter().enumerate() {
        // The epochs that a source gives must not decrease, and there is one such source.
        partitions.iter_mut().for_each(|partition| partition.sort_by_key(|(epoch, _)| *epoch));
        let order = if partitions.len() == 1 { Order::Total } else { Order::None };
        let gives_epochs = gives_epochs && n == 0;
        let op = Op::Source { partitions: Arc::new(partitions), gives_epochs };
        graph.add(op, Vec::new(), &[Shape { keyed: false, order, late: false }]);
    }
    for choice in choices {
        graph.choose(choice);
    }
    for stream in 0..graph.streams.len() {
        if !graph.nodes.iter().any(|node| node.inputs.contains(&stream)) {
            graph.add(Op::Sink(1 + stream % 3), vec![stream], &[]);
        }
    }
    graph
}

impl Graph {
    fn add(&mut self, op: Op, inputs: Vec<usize>, outputs: &[Shape]) -> usize {
        let first = self.streams.len();
        self.streams.extend_from_slice(outputs);
        let outputs = (first..self.streams.len()).collect();
        self.nodes.push(Node { op, inputs, outputs });
        first
    }

    /// A stream that has keys, or has none. Where there is no such stream, one is made.
    fn pick(&mut self, keyed: bool, by: u16) -> usize {
        let fitting: Vec<_> =
            (0..self.streams.len()).filter(|n| self.streams[*n].keyed == keyed).collect();
        if fitting.is_empty() {
            // There is always a source, so it is keys that are missing.
            let from = usize::from(by) % self.streams.len();
            return self.key(Op::KeyBy(u64::from(by % 6)), from);
        }
        fitting[usize::from(by) % fitting.len()]
    }

    /// An exchange by key.
    fn key(&mut self, op: Op, from: usize) -> usize {
        let shape = self.keyed(from);
        self.add(op, vec![from], &[shape])
    }

    /// A stream after an exchange by key: items that came from one worker stay in order.
    fn keyed(&self, from: usize) -> Shape {
        let Shape { order, late, .. } = self.streams[from];
        let order = if order == Order::Total { Order::ByKey } else { Order::None };
        Shape { keyed: true, order, late }
    }

    fn choose(&mut self, (which, by, n): &Choice) {
        let (any, n) = (usize::from(by[0]) % self.streams.len(), *n);
        let shape = self.streams[any];
        match which % 24 {
            0 => self.add(Op::Map(n), vec![any], &[shape]),
            1 => self.add(Op::Filter(n), vec![any], &[shape]),
            2 => self.add(Op::FilterMap(n), vec![any], &[shape]),
            3 => self.add(Op::FlatMap(n), vec![any], &[shape]),
            4 => self.add(Op::Inspect, vec![any], &[shape]),
            5 => {
                let late = shape.late || shape.keyed;
                self.add(Op::Chunk(1 + n as usize), vec![any], &[Shape { late, ..shape }])
            }
            6 | 7 => self.key(Op::KeyBy(n), any),
            8 => self.key(Op::KeyByRef, any),
            9 => {
                let keyed = self.keyed(any);
                let values = Shape { keyed: false, order: Order::None, ..keyed };
                self.add(Op::KeyByRefChain(n), vec![any], &[keyed, values])
            }
            10 => {
                let from = self.pick(false, by[0]);
                self.key(Op::IntoKeyed(n), from)
            }
            11 => {
                let from = self.pick(false, by[0]);
                let shape = Shape { order: Order::None, ..self.streams[from] };
                self.add(Op::Rebalance, vec![from], &[shape])
            }
            12 => self.keyed_step(by[0], |_| Op::ThereAndBack),
            13 | 14 => self.keyed_step(by[0], |ordered| Op::StatefulMap { ordered }),
            15 => self.keyed_step(by[0], |_| Op::StatefulFilterMap(n)),
            16 => self.keyed_step(by[0], |_| Op::StatefulFlatMap(n)),
            17 => self.keyed_step(by[0], |ordered| Op::Dedupe { ordered }),
            18 => {
                let from = self.pick(true, by[0]);
                let shape = Shape { keyed: false, order: Order::None, ..self.streams[from] };
                self.add(Op::Values, vec![from], &[shape])
            }
            19 | 20 => {
                let mut inputs = vec![any, self.pick(shape.keyed, by[1])];
                (0..n).for_each(|m| inputs.push(self.pick(shape.keyed, by[2] / (m as u16 + 1))));
                let late = inputs.iter().any(|input| self.streams[*input].late);
                self.add(
                    Op::Merge,
                    inputs,
                    &[Shape { keyed: shape.keyed, order: Order::None, late }],
                )
            }
            21 => {
                let inputs = vec![self.pick(true, by[0]), self.pick(true, by[1])];
                let late = inputs.iter().any(|input| self.streams[*input].late);
                self.add(Op::Connect, inputs, &[Shape { keyed: true, order: Order::None, late }])
            }
            22 => self.add(Op::Branch(n), vec![any], &[shape, shape]),
            _ if n == 0 => self.add(Op::Discard, vec![any], &[]),
            _ if n < 3 => self.add(Op::Sink(n as usize), vec![any], &[]),
            _ => {
                let changes = self.pick(false, by[1]);
                self.add(Op::Broadcast, vec![changes, any], &[shape])
            }
        };
    }

    /// A step on a keyed stream that keeps its keys and its order.
    fn keyed_step(&mut self, by: u16, op: impl FnOnce(bool) -> Op) -> usize {
        let from = self.pick(true, by);
        let shape = self.streams[from];
        self.add(op(shape.order != Order::None), vec![from], &[shape])
    }
}
