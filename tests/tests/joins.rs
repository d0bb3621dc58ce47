//! Joins, against plain loops over all items of both sides.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use flow_runtime::io::Source;
use flow_runtime::joins::{JoinKind, NoItem};
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_runtime::windows::WindowKind;
use flow_tests::collect::Collect;
use flow_tests::given::{Given, given};
use flow_tests::recovery::{On, Place};
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

/// Key, time in seconds, number.
type Row = (u8, i64, u32);

/// A row of each side that there is, and the time that the item had.
type Found = (i64, Option<Row>, Option<Row>);

const SECOND: Duration = Duration::from_secs(1);

fn at(row: &Row) -> Timestamp {
    Timestamp::from_secs(row.1)
}

fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000_000)
}

/// Puts the event time of an item into it.
struct Stamp<T>(std::marker::PhantomData<fn(T)>);

impl<T: Item> Process for Stamp<T> {
    type Key = u8;
    type In = T;
    type Out = (i64, T);
    type State = bool;
    type Timer = ();
    fn on_item(&self, _: &mut Option<bool>, item: T, cx: &mut ProcessContext<'_, Self>) {
        cx.emit((seconds(cx.time()), item));
    }
}

fn stamp<T>() -> Stamp<T> {
    Stamp(std::marker::PhantomData)
}

/// Rows of some partitions. Each comes at most `bound` seconds behind the latest before it in its partition. The last partition is empty.
fn rows(rng: &mut Rng, partitions: usize, each: usize, bound: usize) -> Vec<Vec<Row>> {
    let mut number = 0;
    let mut partition = || {
        let mut at = -60_i64;
        let mut rows = Vec::new();
        for _ in 0..each {
            at += rng.below(5) as i64 * i64::from(!rng.once_in(3));
            // Now and then nothing for long.
            at += 40 * i64::from(rng.once_in(20));
            number += 1;
            rows.push((rng.below(4) as u8, at - rng.below(bound + 1) as i64, number));
        }
        rows
    };
    (0..partitions).map(|_| partition()).chain([Vec::new()]).collect()
}

fn flipped(either: Either<Row, Row>) -> (Option<Row>, Option<Row>) {
    match either {
        Either::Left(row) => (Some(row), None),
        Either::Right(row) => (None, Some(row)),
    }
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

/// The rows without those that were late.
fn without(mut rows: Vec<Row>, late: impl Iterator<Item = Row>) -> Vec<Row> {
    for late in late {
        let at = rows.iter().position(|row| *row == late);
        rows.remove(at.expect("what is late was there"));
    }
    rows
}

// ---- Intervals ------------------------------------------------------------------------------------------------------------------------

#[dataflow]
fn near<A, B, O, U, L>(
    left: A,
    right: B,
    disorder: Disorder,
    interval: Interval,
    pairs: O,
    alone: U,
    dropped: L,
) where
    A: Source<Item = Row>,
    B: Source<Item = Row>,
    O: Sink<Stream<(i64, (Row, Row))>>,
    U: Sink<Stream<(i64, Either<Row, Row>)>>,
    L: Sink<Stream<Either<Row, Row>>>,
{
    let all_left = source(left);
    let timed_left = event_time(all_left, at, disorder);
    let left_by_key = key_by(timed_left, |row| row.0);
    let all_right = source(right);
    let timed_right = event_time(all_right, at, disorder);
    let right_by_key = key_by(timed_right, |row| row.0);
    let (matched, unmatched, late) = interval_join(left_by_key, right_by_key, interval);
    let stamped_pairs = process(matched, stamp());
    let plain_pairs = values(stamped_pairs);
    sink(plain_pairs, pairs);
    let stamped_alone = process(unmatched, stamp());
    let plain_alone = values(stamped_alone);
    sink(plain_alone, alone);
    let plain_late = values(late);
    sink(plain_late, dropped);
}

/// An interval, its signed ends, and how late items may be, in seconds.
#[derive(Clone, Copy)]
struct Reach {
    from: i64,
    to: i64,
    lateness: i64,
    interval: Interval,
}

fn reach(from: i64, to: i64) -> Reach {
    let length = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
    let interval = match (from < 0, to < 0) {
        (true, true) => Interval::before(length(from), length(to)),
        (true, false) => Interval::between(length(from), length(to)),
        _ => Interval::after(length(from), length(to)),
    };
    Reach { from, to, lateness: 0, interval }
}

impl Reach {
    fn late(self, lateness: i64) -> Reach {
        let interval = self.interval.allowed_lateness(Duration::from_secs(lateness as u64));
        Reach { lateness, interval, ..self }
    }

    fn meets(&self, left: &Row, right: &Row) -> bool {
        left.0 == right.0 && (left.1 + self.from..=left.1 + self.to).contains(&right.1)
    }
}

/// Pairs, and rows that are alone.
fn naive_near(left: &[Row], right: &[Row], reach: &Reach) -> Vec<Found> {
    let mut found = Vec::new();
    for l in left {
        let met = right.iter().filter(|r| reach.meets(l, r));
        found.extend(met.map(|r| (l.1.max(r.1), Some(*l), Some(*r))));
        if !right.iter().any(|r| reach.meets(l, r)) {
            found.push((l.1.max(l.1 + reach.to + reach.lateness), Some(*l), None));
        }
    }
    for r in right {
        if !left.iter().any(|l| reach.meets(l, r)) {
            found.push((r.1.max(r.1 - reach.from + reach.lateness), None, Some(*r)));
        }
    }
    sorted(found)
}

fn all_near(pairs: Vec<(i64, (Row, Row))>, alone: Vec<(i64, Either<Row, Row>)>) -> Vec<Found> {
    let pairs = pairs.into_iter().map(|(time, (l, r))| (time, Some(l), Some(r)));
    let alone = alone.into_iter().map(|(time, either)| {
        let (left, right) = flipped(either);
        (time, left, right)
    });
    sorted(pairs.chain(alone).collect())
}

#[test]
fn an_interval_join_is_like_two_loops() {
    let mut rng = Rng::new(1);
    for (seed, reach) in [reach(-3, 5), reach(0, 0), reach(2, 9), reach(-9, -2), reach(-60, 60)]
        .into_iter()
        .enumerate()
    {
        for (parts, others) in [(1, 1), (3, 2)] {
            let (left, right) = (rows(&mut rng, parts, 60, 7), rows(&mut rng, others, 60, 7));
            let expected = naive_near(&left.concat(), &right.concat(), &reach);
            assert!(expected.iter().any(|(_, left, right)| left.is_some() && right.is_some()));
            everywhere(seed as u64, 9, || {
                let (pairs, alone, late) = (Collect::new(1), Collect::new(1), Collect::new(1));
                let (found, single, dropped) = (pairs.clone(), alone.clone(), late.clone());
                let disorder = Disorder::bounded(7 * SECOND);
                let (left, right) = (given(left.clone()), given(right.clone()));
                let flow = near(left, right, disorder, reach.interval, pairs, alone, late);
                let expected = expected.clone();
                (flow, move || {
                    assert!(dropped.items().is_empty());
                    assert_eq!(all_near(found.items(), single.items()), expected);
                })
            });
        }
    }
}

/// Rows far out of order: those that come within the lateness are joined as if they had come in time, and the rest is late.
#[test]
fn what_comes_within_the_lateness_meets_what_it_should() {
    let mut rng = Rng::new(2);
    let dropped_some = Cell::new(false);
    let all = [reach(-3, 5).late(10), reach(2, 9).late(4), reach(-9, -2), reach(0, 0).late(10)];
    for (seed, reach) in (0..).zip(all) {
        let (left, right) = (rows(&mut rng, 1, 120, 25), rows(&mut rng, 1, 120, 25));
        everywhere(seed, 5, || {
            let (pairs, alone, late) = (Collect::new(1), Collect::new(1), Collect::new(1));
            let (found, single, dropped) = (pairs.clone(), alone.clone(), late.clone());
            let disorder = Disorder::bounded(2 * SECOND);
            let (from, to) = (given(left.clone()), given(right.clone()));
            let flow = near(from, to, disorder, reach.interval, pairs, alone, late);
            let (left, right, dropped_some) = (left.concat(), right.concat(), &dropped_some);
            (flow, move || {
                let dropped = dropped.items();
                dropped_some.set(dropped_some.get() || !dropped.is_empty());
                let left = without(left, dropped.iter().filter_map(|row| flipped(*row).0));
                let right = without(right, dropped.iter().filter_map(|row| flipped(*row).1));
                let expected = naive_near(&left, &right, &reach);
                assert_eq!(all_near(found.items(), single.items()), expected);
            })
        });
    }
    assert!(dropped_some.get(), "some items are late");
}

#[test]
fn an_interval_join_survives_crashes() {
    let mut rng = Rng::new(3);
    for reach in [reach(-3, 5), reach(2, 9)] {
        let (left, right) = (rows(&mut rng, 2, 10, 7), rows(&mut rng, 1, 20, 7));
        let expected = naive_near(&left.concat(), &right.concat(), &reach);
        let report = Sim::new(|world| {
            let left = world.partitions("left", left.clone());
            let right = world.partitions("right", right.clone());
            let (pairs, alone, late) =
                (world.sink("pairs"), world.sink("alone"), world.sink("late"));
            let disorder = Disorder::bounded(7 * SECOND);
            near(left, right, disorder, reach.interval, pairs, alone, late).finish()
        })
        .rechunk()
        .crash_everywhere()
        .at_most(150)
        .check(|outcome| {
            assert!(outcome.rows::<Either<Row, Row>>("late").is_empty());
            assert_eq!(all_near(outcome.rows("pairs"), outcome.rows("alone")), expected);
        })
        .run();
        assert!(report.crashes > 50, "{report:?}");
    }
}

#[dataflow]
fn near_itself<A, O>(rows: A, interval: Interval, pairs: O)
where
    A: Source<Item = Row>,
    O: Sink<Stream<(Row, Row)>>,
{
    let all = source(rows);
    let timed = event_time(all, at, Disorder::bounded(7 * SECOND));
    let by_key = key_by(timed, |row| row.0);
    let (matched, unmatched, late) = interval_join(by_key, by_key, interval);
    fail(unmatched);
    fail(late);
    let plain = values(matched);
    sink(plain, pairs);
}

#[test]
fn a_stream_can_be_joined_with_itself() {
    let mut rng = Rng::new(4);
    let rows = rows(&mut rng, 3, 40, 7);
    // Each row meets itself, so none is alone.
    let reach = reach(-2, 6);
    let all = rows.concat();
    let pairs = naive_near(&all, &all, &reach).into_iter();
    let pairs: Vec<_> = pairs.filter_map(|(_, left, right)| Some((left?, right?))).collect();
    let expected = sorted(pairs);
    everywhere(5, 9, || {
        let pairs = Collect::new(1);
        let found = pairs.clone();
        let flow = near_itself(given(rows.clone()), reach.interval, pairs);
        let expected = expected.clone();
        (flow, move || assert_eq!(found.sorted(), expected))
    });
}

// ---- Windows --------------------------------------------------------------------------------------------------------------------------

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

// ---- Versions -------------------------------------------------------------------------------------------------------------------------

#[dataflow]
fn valid<A, B, O, U>(left: A, versions: B, disorders: [Disorder; 2], keep: AsOf, pairs: O, alone: U)
where
    A: Source<Item = Row>,
    B: Source<Item = Row>,
    O: Sink<Stream<(i64, (Row, Row))>>,
    U: Sink<Stream<(i64, Row)>>,
{
    let all_left = source(left);
    let timed_left = event_time(all_left, at, disorders[0]);
    let left_by_key = key_by(timed_left, |row| row.0);
    let all_versions = source(versions);
    let timed_versions = event_time(all_versions, at, disorders[1]);
    let versions_by_key = key_by(timed_versions, |row| row.0);
    let (matched, unmatched) = as_of_join(left_by_key, versions_by_key, keep);
    let stamped_pairs = process(matched, stamp());
    let plain_pairs = values(stamped_pairs);
    sink(plain_pairs, pairs);
    let stamped_alone = process(unmatched, stamp());
    let plain_alone = values(stamped_alone);
    sink(plain_alone, alone);
}

/// What left items get, of versions that come in this order.
fn naive_valid(left: &[Row], versions: &[Row]) -> Vec<Found> {
    let found = left.iter().map(|row| {
        let known = versions.iter().filter(|version| version.0 == row.0 && version.1 <= row.1);
        // Of several of one time the last.
        let valid = known.max_by_key(|version| version.1).copied();
        (row.1, Some(*row), valid)
    });
    sorted(found.collect())
}

fn all_valid(pairs: Vec<(i64, (Row, Row))>, alone: Vec<(i64, Row)>) -> Vec<Found> {
    let pairs = pairs.into_iter().map(|(time, (row, version))| (time, Some(row), Some(version)));
    let alone = alone.into_iter().map(|(time, row)| (time, Some(row), None));
    sorted(pairs.chain(alone).collect())
}

/// Rows of which no key is in two partitions, so that of two of one time it is certain which comes last.
fn apart(rng: &mut Rng, partitions: usize, each: usize, bound: usize) -> Vec<Vec<Row>> {
    let mut all = rows(rng, partitions, each, bound);
    for (n, partition) in all.iter_mut().enumerate() {
        partition.iter_mut().for_each(|row| row.0 = row.0 / 2 * 4 + n as u8);
    }
    all
}

#[test]
fn an_as_of_join_is_like_a_search() {
    let mut rng = Rng::new(21);
    for keep in [Duration::ZERO, 5 * SECOND] {
        for partitions in [1, 3] {
            let versions = apart(&mut rng, partitions, 30, 7);
            let left = apart(&mut rng, partitions, 60, 7);
            let expected = naive_valid(&left.concat(), &versions.concat());
            assert!(
                expected.iter().any(|found| found.2.is_some_and(|version| version.1 == found.0))
            );
            everywhere(21, 9, || {
                let (pairs, alone) = (Collect::new(1), Collect::new(1));
                let (found, single) = (pairs.clone(), alone.clone());
                let disorders = [Disorder::bounded(7 * SECOND); 2];
                let (left, versions) = (given(left.clone()), given(versions.clone()));
                let flow = valid(left, versions, disorders, AsOf::keep(keep), pairs, alone);
                let expected = expected.clone();
                (flow, move || assert_eq!(all_valid(found.items(), single.items()), expected))
            });
        }
    }
}

/// Left items come up to 20 seconds later than said: versions that are kept so long are found all the same.
#[test]
fn a_left_item_that_comes_late_finds_what_is_kept() {
    let mut rng = Rng::new(22);
    let (left, versions) = (rows(&mut rng, 2, 80, 20), rows(&mut rng, 1, 60, 0));
    let expected = naive_valid(&left.concat(), &versions.concat());
    let missed = Cell::new(0);
    for keep in [20, 0] {
        everywhere(22, 5, || {
            let (pairs, alone) = (Collect::new(1), Collect::new(1));
            let (found, single) = (pairs.clone(), alone.clone());
            let disorders = [Disorder::none(); 2];
            let (left, versions) = (given(left.clone()), given(versions.clone()));
            let flow = valid(left, versions, disorders, AsOf::keep(keep * SECOND), pairs, alone);
            let (expected, missed) = (&expected, &missed);
            (flow, move || {
                let found = all_valid(found.items(), single.items());
                if keep > 0 {
                    return assert_eq!(&found, expected);
                }
                // Whoever gets a version gets the right one; the others are told to have none.
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    assert!(found == expected || (found.2.is_none() && found.1 == expected.1));
                    missed.set(missed.get() + usize::from(found != expected));
                }
            })
        });
    }
    assert!(missed.get() > 0, "without a time to keep them versions are given up");
}

#[test]
fn an_as_of_join_survives_crashes() {
    let mut rng = Rng::new(23);
    let (left, versions) = (apart(&mut rng, 2, 10, 7), apart(&mut rng, 2, 8, 7));
    let expected = naive_valid(&left.concat(), &versions.concat());
    let report = Sim::new(|world| {
        let left = world.partitions("left", left.clone());
        let versions = world.partitions("versions", versions.clone());
        let (pairs, alone) = (world.sink("pairs"), world.sink("alone"));
        let disorders = [Disorder::bounded(7 * SECOND); 2];
        valid(left, versions, disorders, AsOf::keep(SECOND), pairs, alone).finish()
    })
    .rechunk()
    .crash_everywhere()
    .at_most(150)
    .check(|outcome| assert_eq!(all_valid(outcome.rows("pairs"), outcome.rows("alone")), expected))
    .run();
    assert!(report.crashes > 50, "{report:?}");
}

// ---- Tables ---------------------------------------------------------------------------------------------------------------------------

/// A change of a table: key, and its row.
type Change = (u8, Option<u32>);

/// An item and the row that it got.
type WithRow = (u8, (u32, Option<u32>));

#[dataflow]
fn replaced<A, B, O>(items: A, rows: B, out: O)
where
    A: Source<Item = (u8, u32)>,
    B: Source<Item = (u8, u32)>,
    O: Sink<Stream<WithRow>>,
{
    let all_rows = source(rows);
    let row_of = into_keyed(all_rows);
    let all_items = source(items);
    let items_of = into_keyed(all_items);
    let (matched, unmatched) = table_join(items_of, row_of);
    let with_row = map(matched, |(item, row)| (item, Some(row)));
    let without_row = map(unmatched, |item| (item, None));
    let all = merge(with_row, without_row);
    let plain = entries(all);
    sink(plain, out);
}

#[dataflow]
fn changed<A, B, O>(items: A, changes: B, out: O)
where
    A: Source<Item = (u8, u32)>,
    B: Source<Item = Change>,
    O: Sink<Stream<WithRow>>,
{
    let all_changes = source(changes);
    let row_of = into_keyed(all_changes);
    let all_items = source(items);
    let items_of = into_keyed(all_items);
    let (matched, unmatched) = changelog_join(items_of, row_of);
    let with_row = map(matched, |(item, row)| (item, Some(row)));
    let without_row = map(unmatched, |item| (item, None));
    let all = merge(with_row, without_row);
    let plain = entries(all);
    sink(plain, out);
}

/// In turn the table is changed in one run, and items come in the next: which row an item gets is then certain.
#[test]
fn an_item_gets_the_row_that_came_last() {
    for (removes, on) in [(false, On::Threads), (true, On::Threads), (true, On::Virtual(7))] {
        let mut rng = Rng::new(31);
        let place = Place::new();
        let out = Collect::new(1);
        let (mut items, mut changes) = (Vec::new(), Vec::new());
        let (mut table, mut expected) = (BTreeMap::new(), Vec::new());
        for turn in 0..8_u32 {
            if turn % 2 == 0 {
                for n in 0..5 {
                    let (key, row) = (rng.below(6) as u8, turn * 100 + n);
                    let row = (!removes || !rng.once_in(3)).then_some(row);
                    changes.push((key, row));
                    table.insert(key, row);
                }
            } else {
                for key in 0..7_u8 {
                    let item = turn * 100 + u32::from(key);
                    items.push((key, item));
                    expected.push((key, (item, table.get(&key).copied().flatten())));
                }
            }
            let workers = [1, 3, 2][turn as usize % 3];
            let items = given(vec![items.clone()]);
            let outcome = if removes {
                let flow = changed(items, given(vec![changes.clone()]), out.clone());
                on.run(flow.workers(workers).recovery(place.log()))
            } else {
                let rows = changes.iter().map(|(key, row)| (*key, row.expect("none is removed")));
                let flow = replaced(items, given(vec![rows.collect()]), out.clone());
                on.run(flow.workers(workers).recovery(place.log()))
            };
            outcome.expect("it runs");
        }
        assert_eq!(out.sorted(), sorted(expected));
        assert!(!removes || out.items().iter().any(|(key, (_, row))| *key < 6 && row.is_none()));
    }
}

#[test]
fn a_table_join_survives_crashes() {
    let items: Vec<_> = (0..24_u32).map(|n| ((n % 3) as u8, n)).collect();
    let rows: Vec<_> = (0..12_u32).map(|n| ((n % 3) as u8, n)).collect();
    let report = Sim::new(|world| {
        replaced(
            world.source("items", items.clone()),
            world.source("rows", rows.clone()),
            world.sink("out"),
        )
    })
    .any_order_of_arrival()
    .rechunk()
    .crash_everywhere()
    .at_most(150)
    .check(|outcome| {
        let mut found = outcome.rows::<WithRow>("out");
        found.sort_by_key(|(key, (item, _))| (*key, *item));
        let all: Vec<_> = found.iter().map(|(key, (item, _))| (*item, *key)).collect();
        assert_eq!(sorted(all), sorted(items.iter().map(|(key, item)| (*item, *key)).collect()));
        // Items of a key come in order, and so do its rows: no item gets an earlier row than one before it.
        let rows: Vec<_> = found.iter().map(|(key, (_, row))| (*key, *row)).collect();
        assert!(rows.is_sorted(), "{rows:?}");
    })
    .run();
    assert!(report.crashes > 50, "{report:?}");
}

// ---- What is refused ------------------------------------------------------------------------------------------------------------------

#[dataflow]
fn untimed(rows: Given<Row>) {
    let all = source(rows);
    let by_key = key_by(all, |row| row.0);
    let (matched, unmatched, late) =
        interval_join(by_key, by_key, Interval::between(SECOND, SECOND));
    discard(matched, "is not looked at");
    discard(unmatched, "is not looked at");
    discard(late, "is not looked at");
}

#[dataflow]
fn untimed_versions(rows: Given<Row>) {
    let all = source(rows);
    let by_key = key_by(all, |row| row.0);
    let timed = event_time(all, at, Disorder::none());
    let timed_by_key = key_by(timed, |row| row.0);
    let (matched, unmatched) = as_of_join(timed_by_key, by_key, AsOf::keep(SECOND));
    discard(matched, "is not looked at");
    discard(unmatched, "is not looked at");
}

#[dataflow]
fn untimed_windows(rows: Given<Row>) {
    let all = source(rows);
    let by_key = key_by(all, |row| row.0);
    let (matched, unmatched, late) =
        window_join(by_key, by_key, Tumbling::of(SECOND), Join::full());
    discard(matched, "is not looked at");
    discard(unmatched, "is not looked at");
    discard(late, "is not looked at");
}

#[test]
fn an_item_without_a_time_is_an_error_that_names_the_step() {
    let rows = || given(vec![vec![(1, 1, 1)]]);
    let outcomes = [
        On::Threads.run(untimed(rows())),
        On::Threads.run(untimed_versions(rows())),
        On::Threads.run(untimed_windows(rows())),
    ];
    for outcome in outcomes {
        let error = outcome.expect_err("it cannot be joined").to_string();
        for part in ["`matched`", "an item without a time has come to a join", "event_time("] {
            assert!(error.contains(part), "`{part}` is missing: {error}");
        }
    }
}

#[test]
fn an_empty_interval_is_an_error_when_the_run_begins() {
    let (pairs, alone, late) = (Collect::new(1), Collect::new(1), Collect::new(1));
    let none = || given(vec![Vec::new()]);
    let interval = Interval::after(9 * SECOND, 2 * SECOND);
    let flow = near(none(), none(), Disorder::none(), interval, pairs, alone, late);
    let error = On::Threads.run(flow).expect_err("it is refused").to_string();
    for part in
        ["`matched`", "from 9s after an item to 2s after it is empty", "Interval::after(2s, 9s)"]
    {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
}
