//! Every operator attribute and every built-in step, wired and run.

#![allow(unreachable_pub)] // What a module of operators exports is part of what is tested.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Given, Kept, given, kept, run};
use flow_runtime::prelude::*;

mod ops {
    use flow_runtime::prelude::*;

    /// Keeps what is above `threshold`.
    #[filter]
    pub fn above(t: &f64, threshold: f64) -> bool {
        *t > threshold
    }

    /// By reference: no clone per item.
    #[map]
    pub fn scale(t: f64, by: &f64) -> f64 {
        t * by
    }

    /// Generic: hands on every element.
    #[flat_map]
    pub fn explode<T: Clone>(batch: Vec<T>) -> Vec<T> {
        batch
    }

    /// Generic in what comes out.
    #[filter_map]
    pub fn parse<T>(line: String) -> Option<T>
    where
        T: std::str::FromStr,
    {
        line.parse().ok()
    }

    /// Generic in key and item.
    #[stateful_map]
    pub fn number<K: Key, T>(seen: &mut u64, key: &K, item: T) -> (u64, T) {
        let _ = key;
        *seen += 1;
        (*seen, item)
    }

    #[filter]
    pub fn not_in<T: Ord>(item: &T, stop: &std::collections::BTreeSet<T>) -> bool {
        !stop.contains(item)
    }
}
use ops::{above, explode};

#[dataflow]
fn numbers(batches: Given<Vec<f64>>, threshold: f64, out: Kept<String>) {
    let factor = 2.0_f64; // ordinary Rust in between
    let source_of = source(batches);
    let each = explode(source_of);
    let hot = above(each, threshold);
    let scaled = ops::scale(hot, factor);
    let text = map(scaled, |t| format!("{t}+{threshold}"));
    sink(text, out);
}

#[test]
fn configuration_by_value_and_by_reference() {
    let out = kept();
    let failure = run(numbers(given([vec![1.0, 20.0], vec![30.0]]), 5.0, out.clone())).failure;
    assert!(failure.is_none());
    assert_eq!(out.in_order(), ["40+5", "60+5"]);
}

/// Borrows from its configuration while it is called.
#[flat_map]
fn matching(line: String, words: &[String]) -> impl Iterator<Item = String> {
    words.iter().filter(move |word| line.contains(*word)).cloned()
}

/// Looks at a `String` as `&str`.
#[filter]
fn is_long(word: &str, than: usize) -> bool {
    word.len() > than
}

#[map]
fn tag(word: String, prefix: &str, (from, to): (char, char)) -> String {
    format!("{prefix}{}", word.replace(from, &to.to_string()))
}

#[filter_map]
fn checked(word: String) -> MaybeWord {
    (word != "bad").then_some(word)
}
type MaybeWord = Option<String>;

#[dataflow]
fn words(lines: Given<String>, known: Vec<String>, out: Kept<String>) {
    let read = source(lines);
    let found = matching(read, known);
    let long = is_long(found, 2);
    let good = checked(long);
    let tagged = tag(good, "w:", ('a', 'o'));
    let shared = map(tagged, Arc::<str>::from);
    let longer = is_long(shared, 3);
    let owned = map(longer, |word: Arc<str>| word.to_string());
    sink(owned, out);
}

#[test]
fn borrowed_views_and_configuration() {
    let out = kept();
    let known: Vec<String> = ["cat", "bad", "ox", "dogs"].map(String::from).into();
    run(words(given(["a cat and a bad ox", "dogs"]), known, out.clone()));
    assert_eq!(out.in_order(), ["w:cot", "w:dogs"]);
}

#[stateful]
#[derive(Default)]
struct Count {
    total: u64,
}

#[stateful]
struct Session {
    items: Vec<u32>,
}

#[stateful_map]
fn count(state: &mut Count, _word: &str, _item: String) -> u64 {
    state.total += 1;
    state.total
}

/// Emits a session when it is full, and forgets it.
#[stateful_filter_map]
fn sessions(
    state: &mut Option<Session>,
    key: &u32,
    item: u32,
    full: usize,
) -> Option<(u32, Vec<u32>)> {
    let session = state.get_or_insert_with(|| Session { items: Vec::new() });
    session.items.push(item);
    if session.items.len() < full {
        return None;
    }
    state.take().map(|session| (*key, session.items))
}

#[stateful_flat_map]
fn echo(times: &mut u64, _key: &u32, item: u32) -> impl Iterator<Item = u32> {
    *times += 1;
    std::iter::repeat_n(item, *times as usize)
}

#[dataflow]
fn stateful_steps(
    input: Given<u32>,
    full: usize,
    sessions_out: Kept<(u32, (u32, Vec<u32>))>,
    echoed: Kept<u32>,
    numbered: Kept<(u32, (u64, u32))>,
) {
    let items = source(input);
    let by_parity = key_by(items, |n| n % 2);
    let closed = sessions(by_parity, full);
    sink(closed, sessions_out);
    let repeated = echo(by_parity);
    let plain = values(repeated);
    sink(plain, echoed);
    let numbers = ops::number(by_parity);
    sink(numbers, numbered);
}

#[test]
fn state_is_kept_and_given_up() {
    let (closed, echoed, numbered) = (kept(), kept(), kept());
    run(stateful_steps(
        given([1_u32, 2, 3, 5]),
        2,
        closed.clone(),
        echoed.clone(),
        numbered.clone(),
    ));
    assert_eq!(closed.sorted(), [(1, (1, vec![1, 3]))]);
    assert_eq!(echoed.sorted(), [1, 2, 3, 3, 5, 5, 5]);
    assert_eq!(numbered.sorted(), [(0, (1, 2)), (1, (1, 1)), (1, (2, 3)), (1, (3, 5))]);
}

/// A generic dataflow, with its ends as parameters.
#[dataflow]
fn generic<S, T>(input: S, stop: BTreeSet<T>, out: Kept<T>)
where
    S: Source<Item = String>,
    T: Item + Ord + std::str::FromStr,
{
    let lines = source(input);
    let parsed: Stream<T> = ops::parse(lines);
    let passed = ops::not_in(parsed, stop);
    sink(passed, out);
}

#[dataflow]
fn hidden(input: impl Source<Item = String>, out: Kept<u8>) {
    let lines = source(input);
    let parsed = ops::parse::<u8>(lines);
    sink(parsed, out);
}

#[test]
fn generics_are_learnt_from_the_stream_or_said() {
    let out = kept();
    run(generic(given::<String>(["1", "x", "2"]), BTreeSet::from([2_u64]), out.clone()));
    assert_eq!(out.in_order(), [1]);
    let out = kept();
    run(hidden(given::<String>(["7", "700"]), out.clone()));
    assert_eq!(out.in_order(), [7]);
}

#[stateful]
#[derive(Clone, Default)]
struct Rates {
    of: std::collections::BTreeMap<String, u64>,
}

#[map]
fn convert(amount: u64, rates: &Rates, base: &str) -> u64 {
    amount * rates.of.get(base).copied().unwrap_or(1)
}

/// Both a live and a fixed configuration fit a `&C` parameter.
#[dataflow]
fn exchange(
    changes: Given<(String, u64)>,
    orders: Given<u64>,
    live: Kept<u64>,
    fixed: Kept<u64>,
    base: String,
) {
    let updates = source(changes);
    let rates = broadcast(updates, |rates: &mut Rates, (name, rate)| {
        rates.of.insert(name, rate);
    });
    let amounts = source(orders);
    let converted = convert(amounts, rates, base);
    sink(converted, live);
    let nothing = Rates::default();
    let unchanged = convert(amounts, nothing, "EUR");
    sink(unchanged, fixed);
    let sub_converted = converting(amounts, rates, base);
    discard(sub_converted, "only wired");
}

/// A sub-flow that reads a broadcast value.
#[dataflow]
fn converting(amounts: Stream<u64>, rates: Broadcast<Rates>, base: String) -> Stream<u64> {
    let converted = convert(amounts, rates, base);
    converted
}

#[test]
fn a_broadcast_is_configuration() {
    let (live, fixed) = (kept(), kept());
    run(exchange(
        given([("EUR".to_owned(), 3_u64)]),
        given([2_u64]),
        live.clone(),
        fixed.clone(),
        "EUR".into(),
    ));
    assert_eq!(fixed.in_order(), [2]);
    // Whether the change or the order comes first is free.
    assert!([vec![2], vec![6]].contains(&live.in_order()));
    let node = exchange::GRAPH.nodes[exchange::GRAPH.index_of("converted").expect("a step")];
    assert_eq!(node.inputs.len(), 2, "the broadcast value is an edge");
}

#[dataflow]
fn built_in(
    left: Given<(u32, String)>,
    right: Given<(u32, u64)>,
    out: Kept<(u32, String)>,
    seen: Arc<std::sync::Mutex<Vec<String>>>,
) {
    let names = source(left);
    let amounts = source(right);
    let names_by = into_keyed(names);
    let amounts_by = key_by(amounts, |(id, _)| *id);
    let just = map(amounts_by, |(_, amount)| amount);
    let both = connect(names_by, just);
    let text = stateful_map(both, |n: &mut u64, key, either| {
        *n += 1;
        format!("{key}:{n}:{either:?}")
    });
    let once = dedupe(text, Ttl::never());
    let pairs = entries(once);
    let spread = rebalance(pairs);
    let looked = inspect(spread, |item, _| seen.lock().expect("no panic").push(item.1.clone()));
    let merged = merge(looked, looked, spread);
    let kept = filter(merged, |(_, text)| !text.is_empty());
    let chunks = chunk(kept, 2, std::time::Duration::from_secs(1));
    let again = flat_map(chunks, |chunk| chunk);
    sink(again, out);
}

#[test]
fn built_in_steps() {
    let (out, seen) = (kept(), Arc::<std::sync::Mutex<Vec<String>>>::default());
    let ran = run(built_in(
        given([(1_u32, "a".to_owned())]),
        given([(1_u32, 5_u64), (2, 6)]),
        out.clone(),
        seen.clone(),
    ));
    assert!(ran.failure.is_none());
    assert_eq!(out.in_order().len(), 6);
    assert_eq!(seen.lock().expect("no panic").len(), 2);
}

#[dataflow]
fn failing(input: Given<u32>) {
    let items = source(input);
    fail(items);
}

#[test]
fn fail_ends_the_run() {
    let failure = run(failing(given([3_u32]))).failure.expect("a failure");
    assert_eq!(failure.step(), Some("items.fail"));
}
