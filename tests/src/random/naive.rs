//! The interpreter: every stream is a vector, every step a loop, every state a map.

use std::collections::{BTreeMap, BTreeSet};

use crate::random::functions::{
    counting, every, filter, filter_map, flat_map, judge, key, map, running, several,
};
use crate::random::{Graph, Node, Op, Order, Row, mix};

/// Items with their keys; 0 where there are none.
pub(super) type Items = Vec<(u64, Row)>;

/// The items of every stream. Where order is not certain, it is one that could be.
pub(super) fn interpret(graph: &Graph) -> Vec<Items> {
    let mut streams: Vec<Items> = vec![Vec::new(); graph.streams.len()];
    for node in &graph.nodes {
        let inputs: Vec<&Items> = node.inputs.iter().map(|n| &streams[*n]).collect();
        let outputs = step(graph, node, &inputs);
        for (n, items) in node.outputs.iter().zip(outputs) {
            streams[*n] = items;
        }
    }
    streams
}

/// The outputs of a step.
fn step(graph: &Graph, node: &Node, inputs: &[&Items]) -> Vec<Items> {
    let items = || inputs.iter().flat_map(|items| items.iter().cloned());
    let ordered = |stream: usize| graph.streams[stream].order != Order::None;
    let one = match node.op {
        Op::Source { ref partitions, .. } => {
            let row = |&(_, v): &(u64, u64)| (0, Row { k: v % 5, v, epoch: 0 });
            partitions.iter().flatten().map(row).collect()
        }
        Op::Map(n) => items().map(|(k, row)| (k, map(n, row))).collect(),
        Op::Filter(n) => items().filter(|(_, row)| filter(n, row)).collect(),
        Op::FilterMap(n) => items().filter_map(|(k, row)| Some((k, filter_map(n, row)?))).collect(),
        Op::FlatMap(n) => {
            items().flat_map(|(k, row)| flat_map(n, row).map(move |row| (k, row))).collect()
        }
        Op::Inspect | Op::Rebalance | Op::ThereAndBack | Op::Merge => items().collect(),
        Op::Chunk(size) if graph.streams[node.inputs[0]].keyed => {
            chunks(size, ordered(node.inputs[0]), items())
        }
        Op::Chunk(_) => items().collect(),
        Op::KeyBy(n) | Op::IntoKeyed(n) => items().map(|(_, row)| (key(n, &row), row)).collect(),
        Op::KeyByRef => items().map(|(_, row)| (row.k, row)).collect(),
        Op::KeyByRefChain(n) => {
            let passed = || items().map(|(_, row)| (row.k, row)).filter(|(_, row)| filter(n, row));
            let ordered = ordered(node.outputs[0]);
            let firsts = dedupe(ordered, passed()).into_iter().map(|(_, row)| (0, row));
            return vec![stateful(ordered, passed()), firsts.collect()];
        }
        Op::Values => items().map(|(_, row)| (0, row)).collect(),
        Op::StatefulMap { ordered } => stateful(ordered, items()),
        Op::StatefulFilterMap(n) => {
            let mut states: BTreeMap<u64, Option<u64>> = BTreeMap::new();
            let run = |(k, row)| Some((k, every(n, states.entry(k).or_default(), k, row)?));
            items().filter_map(run).collect()
        }
        Op::StatefulFlatMap(n) => {
            let mut states: BTreeMap<u64, u64> = BTreeMap::new();
            let mut run = |k, row| several(n, states.entry(k).or_default(), k, row);
            items().flat_map(|(k, row)| run(k, row).into_iter().map(move |row| (k, row))).collect()
        }
        Op::Dedupe { ordered } => dedupe(ordered, items()),
        Op::Connect => {
            let side = |items: &Items, side: u64| {
                let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
                let mut run = |(k, row): &(u64, Row)| {
                    let count = counts.entry(*k).or_default();
                    (*k, counting(count, k + 10 * side, row.clone()))
                };
                items.iter().map(&mut run).collect::<Vec<_>>()
            };
            let (left, right) = (side(inputs[0], 1), side(inputs[1], 2));
            left.into_iter().chain(right).collect()
        }
        Op::Branch(n) => {
            let judged = |good: bool| {
                let of = move |(k, row)| match judge(n, row) {
                    Ok(row) => good.then_some((k, row)),
                    Err(row) => (!good).then_some((k, row)),
                };
                items().filter_map(of).collect()
            };
            return vec![judged(true), judged(false)];
        }
        Op::Broadcast => inputs[1].clone(),
        Op::Sink(_) | Op::Discard => return Vec::new(),
    };
    vec![one]
}

fn stateful(ordered: bool, items: impl Iterator<Item = (u64, Row)>) -> Items {
    let mut states: BTreeMap<u64, u64> = BTreeMap::new();
    let f = if ordered { running } else { counting };
    items.map(|(k, row)| (k, f(states.entry(k).or_default(), k, row))).collect()
}

fn dedupe(ordered: bool, items: impl Iterator<Item = (u64, Row)>) -> Items {
    let mut seen = BTreeSet::new();
    let firsts = items.filter(|(k, _)| seen.insert(*k)).collect::<Items>();
    if ordered { firsts } else { stateful(false, firsts.into_iter()) }
}

/// Chunks by key, each item marked with its place.
fn chunks(size: usize, ordered: bool, items: impl Iterator<Item = (u64, Row)>) -> Items {
    let mut by_key: BTreeMap<u64, Vec<Row>> = BTreeMap::new();
    for (k, row) in items {
        by_key.entry(k).or_default().push(row);
    }
    let mut out = Vec::new();
    for (k, rows) in by_key {
        for chunk in rows.chunks(size) {
            out.extend(placed(ordered, chunk.to_vec()).into_iter().map(|row| (k, row)));
        }
    }
    out
}

/// The rows of a chunk, marked with its length and their place in it; what they were is forgotten where order is not
/// certain.
pub(super) fn placed(ordered: bool, mut chunk: Vec<Row>) -> Vec<Row> {
    let length = chunk.len() as u64;
    for (at, row) in chunk.iter_mut().enumerate() {
        let was = if ordered { row.v } else { 0 };
        row.k = length;
        row.v = mix(was, 100 * length + at as u64) % 1000;
    }
    chunk
}
