//! Windows of so many items, against plain loops.

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

/// Key, the how manieth window of the key, start and end in microseconds, the numbers of its rows.
type Found = (u8, u64, i64, i64, Vec<u64>);

/// The how manieth window of its key it is, so that the order shows.
#[stateful_map]
fn numbered(count: &mut u64, key: &u8, window: Windowed<Vec<Row>>) -> Found {
    *count += 1;
    let mut numbers: Vec<u64> = window.value.iter().map(|row| row.2).collect();
    numbers.sort();
    assert_eq!((window.pane, window.replaces.len()), (Pane::OnTime, 0));
    (*key, *count, window.start.0, window.end.0, numbers)
}

#[dataflow]
fn timed_windows<S, O>(rows: S, counting: Counting, out: O)
where
    S: Source<Item = Row>,
    O: Sink<Stream<Found>>,
{
    let all = source(rows);
    let disorder = Disorder::bounded(Duration::from_secs(60));
    let timed = event_time(all, |r| Timestamp::from_secs(r.1), disorder);
    let by_key = key_by(timed, |row| row.0);
    let windows = count_window(by_key, counting, aggregate::collect());
    let found = numbered(windows);
    let rows = values(found);
    sink(rows, out);
}

#[dataflow]
fn untimed_windows<S, O>(rows: S, counting: Counting, out: O)
where
    S: Source<Item = Row>,
    O: Sink<Stream<Found>>,
{
    let all = source(rows);
    let by_key = key_by(all, |row| row.0);
    let windows = count_window(by_key, counting, aggregate::collect());
    let found = numbered(windows);
    let rows = values(found);
    sink(rows, out);
}

fn rows(rng: &mut Rng, count: u64) -> Vec<Row> {
    let mut at = 0;
    (0..count)
        .map(|number| {
            at += rng.below(5) as i64;
            (rng.below(3) as u8, at - rng.below(8) as i64, number)
        })
        .collect()
}

/// What a loop makes of it: the last `size` rows of a key after every `every`.
fn naive(rows: &[Row], size: usize, every: usize, timed: bool) -> Vec<Found> {
    let mut keys = BTreeMap::<u8, Vec<Row>>::new();
    rows.iter().for_each(|row| keys.entry(row.0).or_default().push(*row));
    let mut found = Vec::new();
    for (key, rows) in keys {
        let full = (every..=rows.len()).step_by(every);
        let rest = (size == every && rows.len() % size > 0).then_some(rows.len());
        for (count, end) in (1..).zip(full.chain(rest)) {
            let begin =
                if size == every { (end - 1) / size * size } else { end.saturating_sub(size) };
            let window = &rows[begin..end];
            let start = window.iter().map(|row| row.1).min().expect("it has rows") * 1_000_000;
            let last = window.iter().map(|row| row.1).max().expect("it has rows") * 1_000_000;
            let (start, end) = if timed { (start, last + 1) } else { (i64::MIN, i64::MIN) };
            let mut numbers: Vec<u64> = window.iter().map(|row| row.2).collect();
            numbers.sort();
            found.push((key, count, start, end, numbers));
        }
    }
    found.sort();
    found
}

fn counting(size: usize, every: usize) -> Counting {
    if size == every {
        Counting::of(size as u64)
    } else {
        Counting::of(size as u64).every(every as u64)
    }
}

#[test]
fn they_are_like_a_loop_however_items_come() {
    let mut rng = Rng::new(3);
    let lengths = [(1, 1), (5, 5), (1000, 1000), (7, 1), (6, 4), (12, 3), (1000, 10)];
    for (seed, (size, every)) in (0..).zip(lengths) {
        let rows = rows(&mut rng, 100);
        for timed in [true, false] {
            let expected = naive(&rows, size, every, timed);
            assert!(!expected.is_empty());
            macro_rules! check {
                ($flow:ident) => {
                    everywhere(seed, 7, || {
                        let out = Collect::new(1);
                        let (found, expected) = (out.clone(), expected.clone());
                        let flow = $flow(given(vec![rows.clone()]), counting(size, every), out);
                        (flow, move || {
                            let mut found = found.items();
                            found.sort();
                            assert_eq!(found, expected, "{size} every {every}");
                        })
                    })
                };
            }
            if timed { check!(timed_windows) } else { check!(untimed_windows) }
        }
    }
}

#[test]
fn they_survive_crashes() {
    let rows = rows(&mut Rng::new(9), 30);
    for (size, every) in [(4, 4), (6, 4)] {
        let expected = naive(&rows, size, every, true);
        let report = Sim::new(|world| {
            let source = world.source("rows", rows.clone());
            timed_windows(source, counting(size, every), world.sink("found")).finish()
        })
        .rechunk()
        .crash_everywhere()
        .at_most(80)
        .check(|outcome| {
            let mut found = outcome.rows::<Found>("found");
            found.sort();
            assert_eq!(found, expected);
        })
        .run();
        assert!(report.crashes > 40, "{report:?}");
    }
}

#[dataflow]
fn senseless(numbers: Vec<u64>, counting: Counting) {
    let all = source(from_iter(numbers));
    let by_key = key_by(all, |n| *n);
    let windows = count_window(by_key, counting, aggregate::count());
    discard(windows, "there are none");
}

#[test]
fn numbers_that_make_no_sense_end_the_run_when_it_begins() {
    let cases = [
        (Counting::of(0), "a window of 0 items"),
        (Counting::of(3).every(0), "a window every 0 items"),
        (Counting::of(3).every(4), "windows of 3 items every 4 items, with gaps between them,"),
    ];
    for (counting, says) in cases {
        let flow = senseless(vec![1, 2, 3], counting).workers(2);
        let error = flow.spawn().expect("it starts").wait().expect_err("it ends").to_string();
        for part in [says, "cannot be had", "windows"] {
            assert!(error.contains(part), "`{part}` is missing: {error}");
        }
    }
}
