//! State of several versions in a log that is compacted, and that is gone back in.

use std::sync::Arc;

use super::golden::log;
use super::*;
use crate::io::{Collect, collect, from_iter};
use crate::prelude::*;
use crate::time::Epoch;

#[stateful(name = "Cart")]
#[derive(Default)]
struct CartV1 {
    orders: Vec<u32>,
}

#[stateful(version = 2, from = CartV1)]
#[derive(Default)]
struct Cart {
    orders: Vec<u64>,
    /// So that the one cannot be taken for the other.
    marks: Vec<u8>,
}

impl From<CartV1> for Cart {
    fn from(old: CartV1) -> Self {
        let orders: Vec<_> = old.orders.into_iter().map(u64::from).collect();
        Cart { marks: vec![1; orders.len()], orders }
    }
}

/// A user and an order.
type Event = (u64, u64);
type Out = Collect<(u64, Vec<u64>)>;

mod before {
    use super::*;

    #[dataflow]
    pub(super) fn carts(events: Vec<Event>, out: Out) {
        let all = source(from_iter(events));
        let by_user = key_by(all, |(user, _)| *user);
        let filled = stateful_map(by_user, |cart: &mut CartV1, _user, (_, order): Event| {
            cart.orders.push(order as u32);
            cart.orders.iter().copied().map(u64::from).collect::<Vec<_>>()
        });
        sink(filled, out);
    }
}

#[dataflow]
fn carts(events: Vec<Event>, out: Out) {
    let all = source(from_iter(events));
    let by_user = key_by(all, |(user, _)| *user);
    let filled = stateful_map(by_user, |cart: &mut Cart, _user, (_, order): Event| {
        cart.orders.push(order);
        cart.marks.push(1);
        assert_eq!(cart.marks.len(), cart.orders.len());
        cart.orders.clone()
    });
    sink(filled, out);
}

/// Sixteen users; the later an event, the fewer of them it may be of.
fn events(count: u64) -> Vec<Event> {
    (0..count).map(|n| (n * 7 % (16 - n / 20), n)).collect()
}

/// What comes out for the events from one to another.
fn expected(from: u64, to: u64) -> Vec<(u64, Vec<u64>)> {
    let all = events(to);
    let of_user = |user: u64, until: u64| {
        all.iter().filter(|(of, n)| *of == user && *n <= until).map(|(_, n)| *n).collect()
    };
    let mut rows: Vec<_> =
        (from..to).map(|n| (all[n as usize].0, of_user(all[n as usize].0, n))).collect();
    rows.sort();
    rows
}

/// Runs a version to the end of so many events. Answers what came out, and where it began.
macro_rules! run {
    ($program:path, $disk:expr, $log:expr, $count:expr, $seed:expr) => {{
        let (out, found) = collect();
        let flow =
            $program(events($count), out).workers(1 + $seed % 3).epochs(EpochPolicy::items(1));
        let schedule: Arc<Virtual> = schedule($disk, $seed as u64);
        flow.recovery($log).spawn_on(schedule, None).and_then(|running| {
            let watch = running.watch();
            running.wait()?;
            let mut rows = found.take();
            rows.sort();
            Ok((rows, watch.recovered().map(|report| report.epoch)))
        })
    }};
}

#[test]
fn compaction_and_going_back_leave_every_entry_its_version() {
    for seed in 0..6_usize {
        let disk = Memory::default();
        let log = || log().keep_epochs(1000);
        let (rows, _) = run!(before::carts, &disk, log(), 30, seed).expect("it runs");
        assert_eq!(rows, expected(0, 30));
        let (rows, began) = run!(before::carts, &disk, log(), 60, seed + 1).expect("it runs");
        assert_eq!(rows, expected(30, 60));
        for (from, to) in [(60, 80), (80, 100), (100, 140)] {
            let (rows, _) = run!(carts, &disk, log(), to, seed + from as usize).expect("it runs");
            assert_eq!(rows, expected(from, to), "seed {seed}");
        }
        let bases = golden::files_of(&disk);
        assert!(bases.keys().any(|path| path.to_string_lossy().contains("base")), "{bases:?}");
        // The program of before goes on only where nothing newer was saved.
        let error = run!(before::carts, &disk, log(), 150, seed).expect_err("is refused");
        assert!(error.to_string().contains("a newer program has saved it"), "{error}");
        // Into the first run.
        let began = began.expect("it has a log");
        let back = log().resume_from(Epoch(began.0 - 1));
        let (rows, _) = run!(before::carts, &disk, back, 90, seed + 2).expect("it goes back");
        let from = 90 - rows.len() as u64;
        assert!(from < 30 && rows == expected(from, 90), "seed {seed}: {rows:?}");
        let (rows, _) = run!(carts, &disk, log(), 150, seed + 3).expect("it runs");
        assert_eq!(rows, expected(90, 150), "seed {seed}");
    }
}
