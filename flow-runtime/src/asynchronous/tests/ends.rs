//! Panics, failures elsewhere, configuration.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Gate, Inside, ms};
use crate::io::{Collect, collect, from_iter};
use crate::prelude::*;
use crate::time::sleep;
use crate::{Error, ErrorKind, Virtual};

#[async_map]
async fn unlucky(n: u64) -> u64 {
    sleep(ms(1)).await;
    assert!(n != 13, "no luck with {n}");
    n
}

#[dataflow]
fn plain() {
    let all = source(from_iter(0..20));
    let (scored, failed) = unlucky(all, Async::in_flight(4));
    discard(scored, "it panics");
    discard(failed, "nothing fails");
}

#[dataflow]
fn keyed() {
    let all = source(from_iter(0..20));
    let by_ten = key_by(all, |n| format!("tens {}", n / 10));
    let (scored, failed) = unlucky(by_ten, Async::in_flight(4));
    discard(scored, "it panics");
    discard(failed, "nothing fails");
}

#[test]
fn a_panic_in_a_future_ends_the_run_with_step_and_key() {
    let check = |result: Result<(), Error>, key: &str| {
        let error = result.expect_err("it panics");
        assert_eq!((error.kind(), error.step()), (ErrorKind::Panic, Some("scored")));
        assert!(error.message().contains("no luck with 13"), "{error}");
        assert!(error.message().ends_with(key), "{error}");
    };
    for workers in [1, 2, 3] {
        check(plain().workers(workers).simulate(Virtual::new(1)), "no luck with 13");
        check(keyed().workers(workers).simulate(Virtual::new(1)), "(while at key \"tens 1\")");
        check(keyed().workers(workers).spawn().and_then(|run| run.wait().map(drop)), "\"tens 1\")");
    }
}

#[test]
fn a_failure_elsewhere_drops_what_is_in_flight() {
    #[dataflow]
    fn fails(gate: Gate, inside: Inside) {
        let all = source(from_iter(0..20));
        let options = Async::in_flight(10).unordered();
        let (scored, failed) = async_map(all, options, move |n: u64| {
            let (gate, guard) = (gate.clone(), inside.enter());
            async move {
                let _guard = guard;
                // One ends the run, the others would never end.
                if n < 9 {
                    gate.pass().await;
                }
                Ok::<_, String>(n)
            }
        });
        discard(failed, "nothing is refused");
        fail(scored);
    }
    for workers in [1, 2, 3] {
        let inside = Inside::default();
        let flow = fails(Gate::default(), inside.clone()).workers(workers);
        let error = flow.simulate(Virtual::new(0)).expect_err("it fails");
        assert_eq!((error.kind(), error.step()), (ErrorKind::Failed, Some("scored.fail")));
        assert_eq!((inside.now(), inside.most()), (0, 10));
    }
}

#[test]
fn futures_that_nobody_wakes_are_found_out_by_a_simulation() {
    #[dataflow]
    fn forever() {
        let all = source(from_iter(0..5));
        let (never, failed) = async_map(all, Async::in_flight(2), |_: u64| {
            std::future::pending::<Result<u64, String>>()
        });
        discard(never, "nothing comes");
        discard(failed, "nothing fails");
    }
    let error = forever().workers(2).simulate(Virtual::new(0)).expect_err("it is stuck");
    assert_eq!(error.kind(), ErrorKind::Stopped);
}

#[derive(Clone, Default, Debug)]
#[stateful]
struct Rates {
    of: BTreeMap<String, u64>,
}

/// What is not `Send` may be held over an `await`, and configuration is lent.
#[async_map]
async fn convert(cents: u64, to: &str, rates: &Rates, factor: u64) -> Result<String, String> {
    let held = Rc::new(to.to_owned());
    sleep(ms(1)).await;
    let rate = rates.of.get(held.as_str()).ok_or_else(|| format!("no rate for {held}"))?;
    Ok(format!("{} {held}", cents * rate * factor))
}

#[dataflow]
fn converted(to: String, changes: Vec<(String, u64)>, out: Collect<String>, bad: Collect<String>) {
    let changes = source(from_iter(changes));
    let rates = broadcast(changes, |rates: &mut Rates, (to, rate)| {
        rates.of.insert(to, rate);
    });
    let cents = source(crate::io::epochs_from([(1_u64, 5_u64), (2, 7)]));
    let (converted, failed) = convert(cents, Async::in_flight(4), to, rates, 10);
    sink(converted, out);
    let reasons = map(failed, |failed| failed.to_string());
    sink(reasons, bad);
}

#[test]
fn configuration_is_lent_and_a_broadcast_is_seen_as_it_is() {
    let run = |to: &str| {
        let ((out, found), (bad, refused)) = (collect(), collect());
        let flow = converted(to.to_owned(), vec![("euro".to_owned(), 3)], out, bad);
        flow.workers(1).simulate(Virtual::new(0)).expect("it runs");
        (found.take(), refused.take())
    };
    assert_eq!(run("euro").0, ["150 euro", "210 euro"]);
    assert_eq!(run("yen").1, ["given up after 1 attempt: no rate for yen"; 2]);
}

/// A generic function, in a sub-flow.
#[async_map]
async fn twice<T: Clone + std::fmt::Debug>(item: T, note: &str) -> (T, String) {
    let text = format!("{note} {item:?}");
    (item, text)
}

#[dataflow]
fn noted<T: Item + std::fmt::Debug>(
    items: Stream<T>,
    note: String,
) -> (Stream<(T, String)>, Stream<AsyncFailed<T>>) {
    let (noted, failed) = twice(items, Async::in_flight(2), note);
    (noted, failed)
}

#[test]
fn it_may_be_generic_and_stand_in_a_sub_flow() {
    #[dataflow]
    fn outer(out: Collect<(u8, String)>) {
        let all = source(from_iter([1_u8, 2]));
        let (texts, failed) = noted(all, "item".to_owned());
        sink(texts, out);
        discard(failed, "nothing fails");
    }
    let (out, found) = collect();
    outer(out).workers(2).simulate(Virtual::new(0)).expect("it runs");
    assert_eq!(found.sorted(), [(1, "item 1".to_owned()), (2, "item 2".to_owned())]);
    let description = outer(collect().0).describe();
    let text = format!("{description:?}");
    assert!(text.contains("async_map"), "{text}");
    const { assert!(noted::GRAPH.has("noted")) }
}
