//! Sub-flows: generic, with several inputs and outputs, with branches, nested, and those with sources of their own.

mod common;

use common::{Given, Kept, given, kept, run};
use flow_runtime::graph::{Edge, Kind};
use flow_runtime::prelude::*;

#[map]
fn double(n: u32) -> u32 {
    n * 2
}

#[filter]
fn even(n: &u32) -> bool {
    n.is_multiple_of(2)
}

#[stateful_map]
fn total(sum: &mut u64, _key: &u32, n: u32) -> u64 {
    *sum += u64::from(n);
    *sum
}

/// Without an exchange: it fuses into its caller's stage.
#[dataflow]
fn doubled_twice(raw: Stream<u32>) -> Stream<u32> {
    let once = double(raw);
    let twice = double(once);
    twice
}

/// With an exchange inside, and a pinned id.
#[dataflow]
fn totals(numbers: Stream<u32>, modulo: u32) -> Keyed<u32, u64> {
    let by_rest = key_by(numbers, |n| n % modulo);
    #[id = "sums"]
    let totals = total(by_rest);
    totals
}

/// Generic, with a closure as a parameter.
#[dataflow]
fn only<T: Item, F: Fn(&T) -> bool + Clone + Send + 'static>(
    items: Stream<T>,
    keep: F,
) -> Stream<T> {
    let kept = filter(items, keep);
    kept
}

/// The same, without names for its types; and the closure is mentioned in a closure.
#[dataflow]
fn not<T: Item>(items: Stream<T>, drop: impl Fn(&T) -> bool + Clone + Send + 'static) -> Stream<T> {
    let kept = filter(items, |item| !drop(item));
    kept
}

/// Several outputs, by name.
#[derive(Outputs)]
struct Sides<T> {
    small: Stream<T>,
    large: Stream<T>,
    all: Keyed<bool, T>,
}

#[dataflow]
fn sides(numbers: Stream<u32>, limit: u32) -> Sides<u32> {
    let below = only(numbers, |n: &u32| *n < limit);
    let above = not(numbers, move |n: &u32| *n < limit);
    let all = key_by(numbers, |n| *n < limit);
    Sides { large: above, small: below, all }
}

/// Several inputs and a tuple of outputs.
#[dataflow]
fn crossed(left: Stream<u32>, right: Stream<u32>) -> (Stream<u32>, Stream<u32>) {
    let swapped = merge(right, left);
    let evens = even(swapped);
    (evens, left)
}

/// A sub-flow that ends its streams itself.
#[dataflow]
fn report(sums: Keyed<u32, u64>, out: Kept<(u32, u64)>) {
    sink(sums, out);
}

/// Sources of its own.
#[dataflow]
fn feed(numbers: Given<u32>, more: Given<u32>) -> Stream<u32> {
    let first = source(numbers);
    let second = source(more);
    let both = merge(first, second);
    both
}

#[dataflow]
fn plant(numbers: Given<u32>, limit: u32, out: Kept<u32>, sums: Kept<(u32, u64)>) {
    let input = source(feed(numbers, given([7_u32])));
    let quadrupled = doubled_twice(input);
    let Sides { small, large: big, all } = sides(quadrupled, limit);
    let (crossed_evens, crossed_left) = crossed(small, big);
    discard(crossed_left, "not of interest");
    sink(crossed_evens, out);
    let flat = values(all);
    let by_three = totals(flat, 3);
    let by_two = totals(quadrupled, 2);
    report(by_three, sums);
    report(by_two, sums);
}

const _: () = {
    assert!(plant::GRAPH.has("small"));
    assert!(plant::GRAPH.has("by_three.report"));
    assert!(!plant::GRAPH.has("big"));
    assert!(totals::GRAPH.has("sums"));
};

#[test]
fn sub_flows_nest_and_are_used_several_times() {
    let (out, sums) = (kept(), kept());
    let ran = run(plant(given([1_u32, 2, 3]), 10, out.clone(), sums.clone()));
    assert!(ran.failure.is_none());
    assert_eq!(out.sorted(), [4, 8, 12, 28]);
    assert_eq!(
        sums.sorted(),
        [(0, 4), (0, 12), (0, 12), (0, 24), (0, 52), (1, 4), (1, 32), (2, 8)],
        "4, 8, 12, 28, by three and by two"
    );
    for id in [
        "quadrupled/once",
        "small/below/kept",
        "by_three/sums",
        "by_two/sums",
        "by_two.report/sums.sink",
        "input/both",
    ] {
        assert!(ran.ids().contains(&id.to_owned()), "{id} in {:?}", ran.ids());
    }
}

#[test]
fn the_graph_tells_of_sub_flows() {
    let graph = plant::GRAPH;
    let node = graph.nodes[graph.index_of("small").expect("the sides")];
    assert_eq!(node.outputs, ["all", "big", "small"]);
    let Kind::Flow(inner) = node.operator.kind else { panic!("a sub-flow") };
    assert_eq!(
        (inner.name, inner.inputs[0].name, inner.inputs[0].ty),
        ("sides", "numbers", "Stream<u32>")
    );
    assert_eq!(inner.outputs.len(), 3);
    assert_eq!(inner.nodes[0].inputs, [Edge::Input(0)]);
    let crossed = graph.nodes[graph.index_of("crossed_evens").expect("crossed")];
    let sides = graph.index_of("small").expect("the sides");
    assert_eq!(
        crossed.inputs,
        [Edge::Step { node: sides, output: 2 }, Edge::Step { node: sides, output: 1 }]
    );
}

/// What a payment is judged to be.
#[derive(Branch)]
enum Decision<T> {
    Review(T, String),
    Allow(T),
    HardDeny,
}

#[map]
fn judge(n: u32) -> Decision<u32> {
    match n {
        0 => Decision::HardDeny,
        1..=5 => Decision::Allow(n),
        _ => Decision::Review(n, format!("{n} is much")),
    }
}

#[map]
fn parse(n: u32) -> Result<u32, String> {
    if n < 100 { Ok(n) } else { Err(format!("{n} is too much")) }
}

#[dataflow]
fn decisions(
    numbers: Given<u32>,
    allowed: Kept<u32>,
    reviewed: Kept<(u32, String)>,
    denied: Kept<()>,
    bad: Kept<String>,
) {
    let input = source(numbers);
    let parsed = parse(input);
    let Result { ok, err: refused } = branch(parsed);
    sink(refused, bad);
    let judged = judge(ok);
    #[id = "decision"]
    let Decision { hard_deny, allow, review: look } = branch(judged);
    sink(allow, allowed);
    sink(look, reviewed);
    sink(hard_deny, denied);
}

#[test]
fn enums_are_taken_apart_by_name() {
    let (allowed, reviewed, denied, bad) = (kept(), kept(), kept(), kept());
    let flow = decisions(
        given([0_u32, 3, 9, 100, 1]),
        allowed.clone(),
        reviewed.clone(),
        denied.clone(),
        bad.clone(),
    );
    let ran = run(flow);
    assert_eq!(allowed.in_order(), [3, 1]);
    assert_eq!(reviewed.in_order(), [(9, "9 is much".to_owned())]);
    assert_eq!(denied.in_order(), [()]);
    assert_eq!(bad.in_order(), ["100 is too much"]);
    let ids = ran.ids();
    for id in ["ok", "decision", "decision.sink", "allow.sink", "look.sink", "refused.sink"] {
        assert!(ids.contains(&id.to_owned()), "{id} in {ids:?}");
    }
}

/// Keyed streams stay keyed through a branch.
#[dataflow]
fn keyed_decisions(numbers: Given<u32>, out: Kept<(u32, u64)>) {
    let input = source(numbers);
    let by_rest = key_by(input, |n| n % 2);
    let judged = judge(by_rest);
    let Decision { allow, review, hard_deny } = branch(judged);
    discard(review, "not of interest");
    discard(hard_deny, "not of interest");
    let sums = total(allow);
    sink(sums, out);
}

#[test]
fn a_branch_of_a_keyed_stream_is_keyed() {
    let out = kept();
    run(keyed_decisions(given([1_u32, 2, 3, 4, 9]), out.clone()));
    assert_eq!(out.sorted(), [(0, 2), (0, 6), (1, 1), (1, 4)]);
}

#[dataflow]
fn turbofished(numbers: Given<u32>, out: Kept<u32>) {
    let input = source(numbers);
    let some = only::<u32, _>(input, |n| *n > 1);
    let all = crate::not::<_, fn(&u32) -> bool>(some, |n| *n > 5);
    sink(all, out);
}

#[test]
fn type_parameters_may_be_given() {
    let out = kept();
    run(turbofished(given([1_u32, 2, 9]), out.clone()));
    assert_eq!(out.in_order(), [2]);
}

/// A chain that would nest too deep for the compiler, were it not cut.
#[dataflow]
fn long(numbers: Given<u32>, out: Kept<u32>) {
    let a0 = source(numbers);
    let a1 = even(a0);
    let a2 = even(a1);
    let a3 = even(a2);
    let a4 = even(a3);
    let a5 = even(a4);
    let a6 = even(a5);
    let a7 = even(a6);
    let a8 = even(a7);
    let a9 = even(a8);
    let b0 = even(a9);
    let b1 = even(b0);
    let b2 = even(b1);
    let b3 = even(b2);
    let b4 = even(b3);
    let b5 = even(b4);
    let b6 = even(b5);
    let b7 = even(b6);
    let b8 = even(b7);
    let b9 = even(b8);
    let c0 = even(b9);
    let c1 = even(c0);
    let c2 = even(c1);
    let c3 = even(c2);
    let c4 = even(c3);
    let c5 = even(c4);
    let c6 = even(c5);
    let c7 = even(c6);
    let c8 = even(c7);
    let c9 = even(c8);
    let d0 = even(c9);
    let d1 = even(d0);
    let d2 = even(d1);
    let d3 = even(d2);
    let d4 = even(d3);
    let d5 = even(d4);
    let d6 = even(d5);
    sink(d6, out);
}

#[test]
fn long_chains_are_cut() {
    let out = kept();
    let ran = run(long(given([1_u32, 2]), out.clone()));
    assert_eq!(out.in_order(), [2]);
    assert_eq!(ran.boundaries, 3, "source, seal, sink");
}
