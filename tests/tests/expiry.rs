//! State that expires by event time, against plain loops.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_runtime::io::{Source, from_iter};
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

/// Key, time in seconds, number.
type Row = (u8, i64, u64);

/// Which step, number of the row, items in a row.
type Seen = (String, u64, u64);

const SECOND: Duration = Duration::from_secs(1);
const BOUND: i64 = 5;

#[stateful_map(ttl)]
fn in_a_row(count: &mut u64, _key: &u8, row: Row, step: u64) -> Seen {
    *count += step;
    ("function".to_owned(), row.2, *count)
}

/// The same of a state that is taken away at every tenth item, and of a generic function.
#[stateful_filter_map(ttl)]
fn up_to_ten<T: Item + Into<u64>>(count: &mut Option<u64>, _key: &u8, item: T) -> Option<Seen> {
    let (number, items) = (item.into(), count.unwrap_or(0) + 1);
    *count = Some(items).filter(|items| *items < 10);
    Some(("taken away".to_owned(), number, items))
}

#[stateful]
#[derive(Default)]
struct Rests {
    /// How many of the numbers leave which rest.
    counts: MapState<u64, u64>,
}

/// The same of a state that is saved entry by entry.
#[stateful_map(ttl)]
fn by_entry(rests: &mut Rests, _key: &u8, row: Row) -> Seen {
    *rests.counts.get_or_default(row.2 % 3) += 1;
    ("by entry".to_owned(), row.2, rests.counts.values().sum())
}

#[dataflow]
fn counted<S, O>(rows: S, ttl: Ttl, out: O)
where
    S: Source<Item = Row>,
    O: Sink<Stream<Seen>>,
{
    let all = source(rows);
    let timed = event_time(all, |r| Timestamp::from_secs(r.1), Disorder::bounded(5 * SECOND));
    let by_key = key_by(timed, |row| row.0);
    let one = 1;
    let functions = in_a_row(by_key, one, ttl);
    let closures = expiring_map(
        by_key,
        |count: &mut u64, _key, row: Row| {
            *count += 1;
            ("closure".to_owned(), row.2, *count)
        },
        ttl,
    );
    let twice = expiring_flat_map(
        by_key,
        |count: &mut u64, _key, row: Row| {
            *count += 1;
            ["first", "second"].map(|step| (step.to_owned(), row.2, *count))
        },
        ttl,
    );
    let numbers = map(by_key, |row: Row| row.2);
    let taken = up_to_ten(numbers, ttl);
    let entries = by_entry(by_key, ttl);
    let firsts = dedupe(by_key, ttl);
    let first_seen = map(firsts, |row: Row| ("passed".to_owned(), row.2, 1));
    let seen = merge(functions, closures, twice, taken, entries, first_seen);
    let rows_seen = values(seen);
    sink(rows_seen, out);
}

/// Rows that come at most [`BOUND`] seconds behind the latest before them, with pauses about as long as a time to live.
fn rows(rng: &mut Rng, count: u64) -> Vec<Row> {
    let mut at = -100_i64;
    (0..count)
        .map(|number| {
            at += rng.below(7) as i64 + 15 * i64::from(rng.once_in(12));
            (rng.below(4) as u8, at - rng.below(BOUND as usize + 1) as i64, number)
        })
        .collect()
}

/// What all steps come to where state lives for `ttl` seconds.
fn naive(rows: &[Row], ttl: i64) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut keys = BTreeMap::<u8, (i64, u64)>::new();
    let mut taken = BTreeMap::<u8, (i64, u64)>::new();
    let mut passed = BTreeMap::<u8, i64>::new();
    for (key, at, number) in rows.iter().copied() {
        let count = |keys: &mut BTreeMap<u8, (i64, u64)>| {
            let (last, items) = keys.entry(key).or_insert((at, 0));
            if at - *last >= ttl {
                (*last, *items) = (at, 0);
            }
            *items += 1;
            *last = at.max(*last);
            *items
        };
        let items = count(&mut keys);
        let steps = ["function", "closure", "first", "second", "by entry"];
        seen.extend(steps.map(|step| (step.to_owned(), number, items)));
        let items = count(&mut taken);
        seen.push(("taken away".to_owned(), number, items));
        if items == 10 {
            taken.remove(&key);
        }
        if passed.get(&key).is_none_or(|last| at - last >= ttl) {
            passed.insert(key, at);
            seen.push(("passed".to_owned(), number, 1));
        }
    }
    seen.sort();
    seen
}

#[test]
fn state_expires_like_in_a_loop_however_items_come() {
    let mut rng = Rng::new(11);
    for (seed, ttl) in [(1, 12), (2, 20), (3, 1), (4, 1_000_000)] {
        let rows = rows(&mut rng, 160);
        let expected = naive(&rows, ttl);
        assert!(ttl > 100 || expected.iter().filter(|(step, ..)| *step == "passed").count() > 10);
        everywhere(seed, 7, || {
            let out = Collect::new(1);
            let seen = out.clone();
            let ttl = Ttl::event_time(Duration::from_secs(ttl as u64));
            let expected = expected.clone();
            (counted(given(vec![rows.clone()]), ttl, out), move || {
                let mut seen = seen.items();
                seen.sort();
                assert_eq!(seen, expected);
            })
        });
    }
}

#[test]
fn state_that_never_expires_is_like_any_other() {
    let rows = rows(&mut Rng::new(5), 80);
    let expected = naive(&rows, i64::MAX / 4);
    everywhere(1, 7, || {
        let out = Collect::new(1);
        let seen = out.clone();
        let expected = expected.clone();
        (counted(given(vec![rows.clone()]), Ttl::never(), out), move || {
            let mut seen = seen.items();
            seen.sort();
            assert_eq!(seen, expected);
        })
    });
}

#[test]
fn what_expires_survives_crashes_and_what_has_expired_does_not() {
    let rows = rows(&mut Rng::new(7), 40);
    let expected = naive(&rows, 12);
    let report = Sim::new(|world| {
        let source = world.source("rows", rows.clone());
        counted(source, Ttl::event_time(12 * SECOND), world.sink("seen"))
    })
    .rechunk()
    .crash_everywhere()
    .at_most(100)
    .check(|outcome| {
        let mut seen = outcome.rows::<Seen>("seen");
        seen.sort();
        assert_eq!(seen, expected);
    })
    .run();
    assert!(report.crashes > 50, "{report:?}");
}

#[dataflow]
fn untimed(numbers: Vec<u64>, ttl: Ttl) {
    let all = source(from_iter(numbers));
    let by_key = key_by(all, |n| *n);
    let counts = expiring_map(by_key, |_: &mut u64, _key, n: u64| n, ttl);
    discard(counts, "it does not come to that");
}

#[test]
fn an_item_without_a_time_ends_a_run_that_needs_one() {
    let flow = untimed(vec![1, 2], Ttl::event_time(SECOND)).workers(1);
    let error = flow.spawn().expect("it starts").wait().expect_err("it ends").to_string();
    for part in ["counts", "an item without a time", "expires by event time", "event_time(stream"] {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
    for ttl in [Ttl::never(), Ttl::processing_time(SECOND)] {
        untimed(vec![1, 2], ttl).spawn().expect("it starts").wait().expect("it needs no time");
    }
}
