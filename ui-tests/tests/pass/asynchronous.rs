//! Asynchronous steps of all shapes, without a warning.
#![deny(warnings)]

use flow_runtime::io::from_iter;
use flow_runtime::prelude::*;
use std::fmt::{Debug, Display};
use std::rc::Rc;

/// Not `Send`, with all kinds of configuration.
#[async_map]
async fn score(amount: u64, name: &str, weights: &[u64], factor: u64) -> Result<u64, String> {
    let shared = Rc::new(amount);
    std::future::ready(()).await;
    Ok(*shared * weights.iter().sum::<u64>() * factor + name.len() as u64)
}

/// Under another name of `Result`.
#[async_map]
async fn read(number: u64) -> std::io::Result<String> {
    Ok(number.to_string())
}

mod generic {
    use super::*;

    #[async_map]
    pub async fn shown<T: Clone + Display, const N: usize>(item: T, _at: &[T; N]) -> String {
        item.to_string()
    }

    #[async_map]
    pub async fn parsed<T: std::str::FromStr>(text: String) -> Result<T, T::Err>
    where
        T::Err: Display,
    {
        text.parse()
    }
}

use generic::{parsed, shown};

/// An `Option` is an item like any other.
#[async_map]
async fn found(text: String) -> Option<u8> {
    text.bytes().next()
}

async fn look_up(key: u64) -> Result<Option<String>, std::num::ParseIntError> {
    Ok(Some(key.to_string()))
}

#[dataflow]
fn inner<T: Item + Debug>(items: Keyed<u64, T>) -> (Keyed<u64, (T, Option<String>)>, Keyed<u64, AsyncFailed<T>>) {
    let (enriched, failed) = enrich(items, Async::in_flight(4), Cache::of(10), |_| 7, look_up);
    (enriched, failed)
}

#[dataflow]
fn all(numbers: Vec<u64>, name: String, weights: Vec<u64>) {
    let numbers = source(from_iter(numbers));
    let options = Async::in_flight(8).unordered().retry(1, Backoff::constant(std::time::Duration::ZERO));
    let (scored, unscored) = score(numbers, options.clone(), name, weights, 2);
    let (texts, unread) = read(scored, options.clone());
    let (parts, unparsed) = parsed::<u64>(texts, options);
    let keyed = key_by(parts, |n| n % 3);
    let (enriched, unknown) = inner(keyed);
    let plain = map(enriched, |(n, _)| n);
    let (strings, unshown) = shown(plain, Async::in_flight(2), [1_u64, 2]);
    let (first, unfound) = found(strings, Async::in_flight(2));
    discard(first, "only wired");
    discard(unscored, "only wired");
    discard(unread, "only wired");
    discard(unparsed, "only wired");
    discard(unknown, "only wired");
    discard(unshown, "only wired");
    discard(unfound, "only wired");
}

fn main() {
    let flow = all(vec![1, 2, 3], "name".to_owned(), vec![1, 2]);
    flow.workers(2).simulate(flow_runtime::Virtual::new(0)).expect("it runs");
}
