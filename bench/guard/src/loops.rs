//! The loops, each a dataflow through the public interface.

use std::path::Path;

use flow_runtime::Virtual;
use flow_runtime::io::{Sink, Source, epochs_from, for_each, for_each_keyed, from_iter};
use flow_runtime::prelude::*;

use crate::sum::Sum;
use crate::text::{self, mixed};

/// Keys of the loops that keep state.
const KEYS: u64 = 100_000;
/// Items of an epoch where there is a log.
const EPOCH: u64 = 100_000;

/// Threads take turns as a seed decides and the clock stands still, so a loop is cut into the same batches each time, and they grow
/// to the size that they have where it runs at full speed.
fn schedule() -> Virtual {
    Virtual::new(1).whole_batches()
}

type Result = std::result::Result<u64, flow_runtime::Error>;

#[map]
fn mix(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

#[filter]
fn most(n: &u64) -> bool {
    n & 7 > 1
}

#[map]
fn turn(n: u64) -> u64 {
    n.rotate_left(17) ^ 0x55
}

#[dataflow]
fn chain<N: Source<Item = u64>, S: Sink<Stream<u64>>>(numbers: N, out: S) {
    let all = source(numbers);
    let mixed = mix(all);
    let chosen = most(mixed);
    let turned = turn(chosen);
    sink(turned, out);
}

/// Steps without state.
pub fn stateless(items: u64) -> Result {
    let sum = Sum::default();
    let mut part = sum.part();
    let out = for_each(move |n: u64| part.add(n));
    chain(from_iter(0..items), out).workers(1).simulate(schedule())?;
    Ok(sum.get())
}

#[dataflow]
fn by_key<N: Source<Item = u64>, S: Sink<Keyed<u64, u64>>>(numbers: N, out: S) {
    let all = source(numbers);
    let keyed = key_by(all, |n| key_of(mixed(*n)));
    sink(keyed, out);
}

/// The way from one worker to another, or to itself, alone.
pub fn exchange(items: u64) -> Result {
    let sum = Sum::default();
    let mut part = sum.part();
    let out = for_each_keyed(move |key: &u64, n: u64| part.add(key ^ n));
    by_key(from_iter(0..items), out).workers(1).simulate(schedule())?;
    Ok(sum.get())
}

/// What is kept of a key.
#[stateful]
#[derive(Clone, Copy, Default)]
struct Totals {
    count: u64,
    sum: u64,
    least: u64,
    most: u64,
}

#[stateful_map]
fn total(state: &mut Totals, _key: &u64, amount: u64) -> u64 {
    state.count += 1;
    state.sum = state.sum.wrapping_add(amount);
    state.least = if state.count == 1 { amount } else { state.least.min(amount) };
    state.most = state.most.max(amount);
    state.sum
}

#[dataflow]
fn totals<N: Source<Item = u64>, S: Sink<Keyed<u64, u64>>>(numbers: N, out: S) {
    let all = source(numbers);
    let amounts = map(all, mixed);
    let by_key = key_by(amounts, |amount| key_of(*amount));
    let sums = total(by_key);
    sink(sums, out);
}

/// The key of a number without visible order, among `KEYS`.
#[inline(always)]
fn key_of(n: u64) -> u64 {
    ((u128::from(n) * u128::from(KEYS)) >> 64) as u64
}

/// State of a fixed size under keys that are numbers.
pub fn keyed(items: u64) -> Result {
    let sum = Sum::default();
    let mut part = sum.part();
    let out = for_each_keyed(move |key: &u64, total: u64| part.add(key ^ total));
    totals(from_iter(0..items), out).workers(1).simulate(schedule())?;
    Ok(sum.get())
}

/// The same with a log: what has changed is gathered at the end of each epoch, encoded and written. The epochs are the input's.
pub fn gather(items: u64, folder: &Path) -> Result {
    let sum = Sum::default();
    let mut part = sum.part();
    let numbers = epochs_from((0..items).map(|n| (n / EPOCH, n)));
    let out = for_each_keyed(move |key: &u64, total: u64| part.add(key ^ total));
    totals(numbers, out).workers(1).recovery(folder).simulate(schedule())?;
    Ok(sum.get())
}

#[dataflow]
fn distinct<N: Source<Item = u64>, S: Sink<Keyed<u64, u64>>>(numbers: N, out: S) {
    let all = source(numbers);
    let by_number = key_by(all, |n| mixed(*n));
    let sums = total(by_number);
    sink(sums, out);
}

/// Begins with the state of `items` keys, if there is a log in the folder, and finds its input read. Otherwise reads it, so that
/// the log is there.
pub fn restart(items: u64, folder: &Path) -> Result {
    let sum = Sum::default();
    let mut part = sum.part();
    let out = for_each_keyed(move |_: &u64, _: u64| part.add(1));
    distinct(from_iter(0..items), out).workers(1).recovery(folder).simulate(schedule())?;
    Ok(sum.get())
}

#[flat_map]
fn split(line: &'static str) -> impl Iterator<Item = String> {
    line.split_ascii_whitespace().map(str::to_owned)
}

/// How often a word has come.
#[stateful]
#[derive(Default)]
struct Count {
    total: u64,
}

#[stateful_map]
fn count(state: &mut Count, _word: &str, _item: String) -> u64 {
    state.total += 1;
    state.total
}

#[dataflow]
fn word_count<L: Source<Item = &'static str>, S: Sink<Keyed<String, u64>>>(text: L, out: S) {
    let lines = source(text);
    let words = split(lines);
    let by_word = key_by_ref(words, |word| word.as_str());
    let counts = count(by_word);
    sink(counts, out);
}

/// State under keys that own memory.
pub fn words(items: u64) -> Result {
    let sum = Sum::default();
    let mut part = sum.part();
    let lines = text::lines().iter().map(String::as_str);
    let lines = lines.cycle().take((items / text::LINE) as usize);
    let out = for_each_keyed(move |word: &String, n: u64| part.add(n ^ word.len() as u64));
    word_count(from_iter(lines), out).workers(1).simulate(schedule())?;
    Ok(sum.get())
}
