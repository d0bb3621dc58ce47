//! Items near one another in time.

use std::cell::Cell;
use std::time::Duration;

use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::recovery::{Place, run_reported};
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

use crate::{Found, Row, SECOND, at, flipped, rows, sorted, stamp, without};

#[dataflow]
pub(crate) fn near<A, B, O, U, L>(
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

/// Over several runs of one log an item waits for what is appended later; when nothing waits any more nothing is kept.
#[test]
fn an_item_waits_from_run_to_run_and_leaves_nothing_behind() {
    let place = Place::new();
    let (pairs, alone, late) = (Collect::new(1), Collect::new(1), Collect::new(1));
    let run = |left: &[Row], right: &[Row], workers: usize| {
        let (left, right) = (given(vec![left.to_vec()]), given(vec![right.to_vec()]));
        let sinks = (pairs.clone(), alone.clone(), late.clone());
        let interval = Interval::between(3 * SECOND, 5 * SECOND);
        near(left, right, Disorder::none(), interval, sinks.0, sinks.1, sinks.2)
            .workers(workers)
            .recovery(place.log())
    };
    let held = |flow| {
        let (report, _) = run_reported(flow);
        let step = report.steps.iter().find(|step| step.step == "matched");
        step.map_or(0, |step| step.keys)
    };
    let left = [(1, 10, 1), (2, 10, 2)];
    assert_eq!(held(run(&left, &[], 1)), 0);
    assert!(pairs.items().is_empty() && alone.items().is_empty(), "they go on waiting");
    assert_eq!(held(run(&left, &[(1, 15, 3)], 3).finish()), 2);
    assert_eq!(pairs.sorted(), [(15, ((1, 10, 1), (1, 15, 3)))]);
    assert_eq!(alone.sorted(), [(15, Either::Left((2, 10, 2)))]);
    assert_eq!(held(run(&left, &[(1, 15, 3)], 2)), 0, "what nothing can meet is given up");
}
