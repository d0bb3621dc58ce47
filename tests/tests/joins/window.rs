//! Items of one window.

use std::collections::BTreeMap;

use flow_runtime::io::Source;
use flow_runtime::joins::{JoinKind, NoItem};
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_runtime::windows::WindowKind;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

use crate::{Row, SECOND, at, flipped, rows, seconds, sorted, without};

#[dataflow]
#[allow(clippy::too_many_arguments)]
fn windowed<A, B, W, J, M, N, O, U, L>(
    left: A,
    right: B,
    disorder: Disorder,
    kind: W,
    join: Join<J>,
    pairs: O,
    alone: U,
    dropped: L,
) where
    A: Source<Item = Row>,
    B: Source<Item = Row>,
    W: WindowKind + Send,
    J: JoinKind<Row, Row, Matched = M, Unmatched = N>,
    M: Item,
    N: Item,
    O: Sink<Stream<Windowed<M>>>,
    U: Sink<Stream<Windowed<N>>>,
    L: Sink<Stream<Either<Row, Row>>>,
{
    let all_left = source(left);
    let timed_left = event_time(all_left, at, disorder);
    let left_by_key = key_by(timed_left, |row| row.0);
    let all_right = source(right);
    let timed_right = event_time(all_right, at, disorder);
    let right_by_key = key_by(timed_right, |row| row.0);
    let (matched, unmatched, late) = window_join(left_by_key, right_by_key, kind, join);
    let plain_pairs = values(matched);
    sink(plain_pairs, pairs);
    let plain_alone = values(unmatched);
    sink(plain_alone, alone);
    let plain_late = values(late);
    sink(plain_late, dropped);
}

/// Start, end, and the rows: of a pair, or one that is alone.
type InWindow = (i64, i64, Option<Row>, Option<Row>);

/// What windows that begin every `hop` seconds come to.
fn naive_windows(left: &[Row], right: &[Row], size: i64, hop: i64) -> Vec<InWindow> {
    let mut windows: BTreeMap<(u8, i64), (Vec<Row>, Vec<Row>)> = BTreeMap::new();
    for (n, row) in left.iter().map(|row| (0, row)).chain(right.iter().map(|row| (1, row))) {
        let mut start = row.1.div_euclid(hop) * hop;
        while start + size > row.1 {
            let window = windows.entry((row.0, start)).or_default();
            if n == 0 {
                window.0.push(*row)
            } else {
                window.1.push(*row)
            }
            start -= hop;
        }
    }
    let all = windows.into_iter();
    sorted(all.flat_map(|((_, start), sides)| in_window(start, start + size, sides)).collect())
}

/// What sessions come to.
fn naive_sessions(left: &[Row], right: &[Row], gap: i64) -> Vec<InWindow> {
    let sides = left.iter().map(|row| (*row, 0)).chain(right.iter().map(|row| (*row, 1)));
    let mut sessions: Vec<(u8, i64, i64, (Vec<Row>, Vec<Row>))> = Vec::new();
    for (row, side) in sorted(sides.map(|(row, side)| ((row.0, row.1, row.2), side)).collect()) {
        match sessions.last_mut() {
            Some(last) if last.0 == row.0 && row.1 < last.2 => last.2 = row.1 + gap,
            _ => sessions.push((row.0, row.1, row.1 + gap, (Vec::new(), Vec::new()))),
        }
        let last = sessions.last_mut().expect("one was pushed");
        if side == 0 { last.3.0.push(row) } else { last.3.1.push(row) }
    }
    let all = sessions.into_iter();
    sorted(all.flat_map(|(_, start, end, sides)| in_window(start, end, sides)).collect())
}

fn in_window(start: i64, end: i64, (left, right): (Vec<Row>, Vec<Row>)) -> Vec<InWindow> {
    let mut found = Vec::new();
    match (left.is_empty(), right.is_empty()) {
        (false, false) => {
            for l in &left {
                found.extend(right.iter().map(|r| (start, end, Some(*l), Some(*r))));
            }
        }
        _ => {
            found.extend(left.into_iter().map(|row| (start, end, Some(row), None)));
            found.extend(right.into_iter().map(|row| (start, end, None, Some(row))));
        }
    }
    found
}

fn flat<T>(
    results: Vec<Windowed<T>>,
    sides: impl Fn(T) -> (Option<Row>, Option<Row>),
) -> Vec<InWindow> {
    let flat = |result: Windowed<T>| {
        assert_eq!(result.pane, Pane::OnTime);
        let span = result.span();
        let (left, right) = sides(result.value);
        (seconds(span.start), seconds(span.end), left, right)
    };
    results.into_iter().map(flat).collect()
}

/// Runs a window join in which nothing is late. Of what is alone in its window `counts` says whether it is matched.
#[allow(clippy::too_many_arguments)]
fn in_windows<J, W, M, N>(
    seed: u64,
    kind: &W,
    join: Join<J>,
    naive: impl Fn(&[Row], &[Row]) -> Vec<InWindow>,
    counts: impl Fn(&InWindow) -> bool,
    matched: impl Fn(M) -> (Option<Row>, Option<Row>),
    unmatched: impl Fn(N) -> (Option<Row>, Option<Row>),
) where
    J: JoinKind<Row, Row, Matched = M, Unmatched = N>,
    W: WindowKind + Send,
    M: Item,
    N: Item,
{
    let mut rng = Rng::new(seed);
    let (left, right) = (rows(&mut rng, 2, 40, 7), rows(&mut rng, 3, 20, 7));
    let all = naive(&left.concat(), &right.concat());
    let (expected, expected_alone): (Vec<_>, Vec<_>) = all.into_iter().partition(counts);
    everywhere(seed, 9, || {
        let (pairs, alone, late) = (Collect::new(1), Collect::new(1), Collect::new(1));
        let (found, single, dropped) = (pairs.clone(), alone.clone(), late.clone());
        let disorder = Disorder::bounded(7 * SECOND);
        let (left, right) = (given(left.clone()), given(right.clone()));
        let flow = windowed(left, right, disorder, kind.clone(), join, pairs, alone, late);
        let (expected, expected_alone) = (&expected, &expected_alone);
        let (matched, unmatched) = (&matched, &unmatched);
        (flow, move || {
            assert!(dropped.items().is_empty());
            assert_eq!(&sorted(flat(found.items(), matched)), expected);
            assert_eq!(&sorted(flat(single.items(), unmatched)), expected_alone);
        })
    });
}

fn all_joins<W: WindowKind + Send>(
    seed: u64,
    kind: &W,
    naive: impl Fn(&[Row], &[Row]) -> Vec<InWindow>,
) {
    let inner = |pair: (Row, Row)| (Some(pair.0), Some(pair.1));
    let is_pair = |found: &InWindow| found.2.is_some() && found.3.is_some();
    in_windows(seed, kind, Join::inner(), &naive, is_pair, inner, flipped);
    let left = |pair: (Row, Option<Row>)| (Some(pair.0), pair.1);
    let has_left = |found: &InWindow| found.2.is_some();
    in_windows(seed, kind, Join::left(), &naive, has_left, left, |right| (None, Some(right)));
    let right = |pair: (Option<Row>, Row)| (pair.0, Some(pair.1));
    let has_right = |found: &InWindow| found.3.is_some();
    in_windows(seed, kind, Join::right(), &naive, has_right, right, |left| (Some(left), None));
    let full = |pair| pair;
    let nothing = |nothing: NoItem| match nothing {};
    in_windows(seed, kind, Join::full(), &naive, |_| true, full, nothing);
}

#[test]
fn window_joins_are_like_loops() {
    all_joins(11, &Tumbling::of(10 * SECOND), |left, right| naive_windows(left, right, 10, 10));
    all_joins(12, &Hopping::of(12 * SECOND, 4 * SECOND), |left, right| {
        naive_windows(left, right, 12, 4)
    });
    all_joins(13, &Session::gap(3 * SECOND), |left, right| naive_sessions(left, right, 3));
}

#[test]
fn the_last_results_of_a_window_replace_those_before() {
    let mut rng = Rng::new(14);
    let lateness = Tumbling::of(10 * SECOND).allowed_lateness(10 * SECOND);
    let (left, right) = (rows(&mut rng, 1, 100, 20), rows(&mut rng, 1, 100, 20));
    everywhere(14, 9, || {
        let (pairs, alone, late) = (Collect::new(1), Collect::new(1), Collect::new(1));
        let (found, single, dropped) = (pairs.clone(), alone.clone(), late.clone());
        let disorder = Disorder::bounded(2 * SECOND);
        let (from, to) = (given(left.clone()), given(right.clone()));
        let flow =
            windowed(from, to, disorder, lateness.clone(), Join::inner(), pairs, alone, late);
        let (left, right) = (left.concat(), right.concat());
        (flow, move || {
            let dropped = dropped.items();
            let left = without(left, dropped.iter().filter_map(|row| flipped(*row).0));
            let right = without(right, dropped.iter().filter_map(|row| flipped(*row).1));
            // Of both streams together the results of the latest pane of a window count.
            let mut last: BTreeMap<(u8, Timestamp), (Pane, Vec<InWindow>)> = BTreeMap::new();
            let pairs = found.items().into_iter();
            let pairs = pairs.map(|result| result.with(|(l, r)| (Some(l), Some(r))));
            let alone = single.items().into_iter().map(|result| result.with(flipped));
            for Windowed { start, end, pane, value: (l, r), .. } in pairs.chain(alone) {
                let key = l.or(r).expect("one is there").0;
                let window = last.entry((key, start)).or_insert((pane, Vec::new()));
                if pane > window.0 {
                    *window = (pane, Vec::new());
                }
                if pane == window.0 {
                    window.1.push((seconds(start), seconds(end), l, r));
                }
            }
            let last = last.into_values().flat_map(|window| window.1).collect();
            assert_eq!(sorted(last), naive_windows(&left, &right, 10, 10));
        })
    });
}

#[test]
fn a_window_join_survives_crashes() {
    let mut rng = Rng::new(15);
    let (left, right) = (rows(&mut rng, 2, 8, 7), rows(&mut rng, 1, 16, 7));
    let expected = naive_windows(&left.concat(), &right.concat(), 12, 6);
    let report = Sim::new(|world| {
        let left = world.partitions("left", left.clone());
        let right = world.partitions("right", right.clone());
        let (pairs, alone, late) = (world.sink("pairs"), world.sink("alone"), world.sink("late"));
        let kind = Hopping::of(12 * SECOND, 6 * SECOND);
        let disorder = Disorder::bounded(7 * SECOND);
        windowed(left, right, disorder, kind, Join::full(), pairs, alone, late).finish()
    })
    .rechunk()
    .crash_everywhere()
    .at_most(150)
    .check(|outcome| {
        assert!(outcome.rows::<Either<Row, Row>>("late").is_empty());
        assert_eq!(sorted(flat(outcome.rows("pairs"), |pair| pair)), expected);
    })
    .run();
    assert!(report.crashes > 50, "{report:?}");
}
