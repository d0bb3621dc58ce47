//! What may stand in the body of a dataflow: ordinary Rust, parameters in closures, fan-out, ids.

mod common;

use std::collections::BTreeSet;

use common::{Given, Kept, given, kept, run};
use flow_runtime::graph::Edge;
use flow_runtime::prelude::*;

const LIMIT: usize = 3;

/// A helper, not a step.
fn doubled(n: usize) -> usize {
    2 * n
}

#[filter]
fn shorter(word: &str, than: usize) -> bool {
    word.len() < than
}

#[map]
fn with(word: String, by: fn(&str) -> String) -> String {
    by(&word)
}

#[derive(Clone)]
struct Settings {
    stop: BTreeSet<String>,
    prefix: String,
    longest: usize,
}

#[dataflow]
fn body(words: Given<String>, settings: Settings, out: Kept<String>, other: Kept<String>) {
    // Items, macros, control flow and locals between the steps.
    use std::collections::BTreeMap;
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for n in 0..3 {
        sizes.insert(n, doubled(n));
    }
    assert_eq!(sizes.len(), 3);
    let longest = if settings.longest > 100 { 100 } else { settings.longest };
    let both = { doubled(longest) };
    let pattern = PatternOf::from(settings);

    let input = source(words);
    let short = shorter(input, both);
    // Parameters in closures, several times, and a local in a closure that bears a stream's name.
    let kept_words = filter(short, |word| !settings.stop.contains(word));
    let prefixed = map(kept_words, |word| {
        let input = format!("{}{word}", settings.prefix);
        input
    });
    let again = map(prefixed, |word| format!("{}{word}{}", settings.prefix, pattern.0));
    // A plain function as configuration beside a stream.
    let upper = with(again, to_upper);
    let longer = filter(upper, |w| w.len() > LIMIT);
    // Fan-out.
    sink(longer, out);
    #[id = "copy"]
    sink(longer, other);
    println!("{} steps", sizes.len());
}

struct PatternOf(String);
impl From<Settings> for PatternOf {
    fn from(settings: Settings) -> Self {
        PatternOf(settings.prefix)
    }
}

fn to_upper(word: &str) -> String {
    word.to_uppercase()
}

#[test]
fn ordinary_rust_and_cloned_parameters() {
    let settings = Settings {
        stop: BTreeSet::from(["stop".to_owned()]),
        prefix: "-".to_owned(),
        longest: 200,
    };
    let (out, other) = (kept(), kept());
    let ran = run(body(given(["a", "stop", "b"]), settings, out.clone(), other.clone()));
    assert_eq!(out.in_order(), ["--A-", "--B-"]);
    assert_eq!(other.in_order(), out.in_order());
    assert!(
        ran.ids().contains(&"copy".to_owned()) && ran.ids().contains(&"longer.sink".to_owned())
    );
}

#[dataflow]
fn ids(numbers: Given<u32>, a: Kept<u32>, b: Kept<u32>) {
    #[id = "numbers-v1"]
    let input = source(numbers);
    sink(input, a);
    #[id = "second"]
    sink(input, b);
}

#[test]
fn ids_are_names_unless_pinned() {
    let ids: Vec<&str> = ids::GRAPH.nodes.iter().map(|node| node.id).collect();
    assert_eq!(ids, ["numbers-v1", "numbers-v1.sink", "second"]);
    assert_eq!(ids::GRAPH.nodes[1].inputs, [Edge::Step { node: 0, output: 0 }]);
    assert_eq!(ids::GRAPH.nodes[0].outputs, ["input"]);
}

/// A dataflow may be made by a `macro_rules`.
macro_rules! pass_on {
    ($name:ident, $step:ident, |$item:ident| $with:expr) => {
        #[dataflow]
        fn $name(numbers: Given<u32>, out: Kept<u32>) {
            let input = source(numbers);
            let $step = map(input, |$item| $with);
            sink($step, out);
        }
    };
}
pass_on!(plus_one, incremented, |n| n + 1);

#[test]
fn a_dataflow_of_a_macro() {
    let out = kept();
    run(plus_one(given([1_u32]), out.clone()));
    assert_eq!(out.in_order(), [2]);
    assert!(plus_one::GRAPH.has("incremented"));
}

#[test]
fn a_dataflow_within_a_function() {
    #[map]
    fn half(n: u32) -> u32 {
        n / 2
    }
    #[dataflow]
    fn local(numbers: Given<u32>, out: Kept<u32>) {
        let input = source(numbers);
        let halves = half(input);
        sink(halves, out);
    }
    let out = kept();
    run(local(given([4_u32]), out.clone()));
    assert_eq!(out.in_order(), [2]);
}

#[test]
fn a_dataflow_is_a_value() {
    fn described<P: flow_runtime::plan::FlowPlan>(flow: Dataflow<P>) -> &'static str {
        let sent = std::thread::spawn(move || flow.graph().name);
        sent.join().expect("no panic")
    }
    assert_eq!(described(ids(given([1_u32]), kept(), kept())), "ids");
}
