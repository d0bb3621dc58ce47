//! The items of a key in the order of event time, against a sort.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

/// A key, a time in microseconds, a number that no other item has.
type Row = (u8, i64, u32);

/// A row, and the how manieth of its key it was, from 0.
type Ranked = (u8, u64, i64, u32);

#[stateful_map]
fn rank(count: &mut u64, key: &u8, (_, at, id): Row) -> Ranked {
    *count += 1;
    (*key, *count - 1, at, id)
}

#[dataflow]
fn ranked<S, O, L>(rows: S, bound: Duration, out: O, dropped: L)
where
    S: Source<Item = Row>,
    O: Sink<Stream<Ranked>>,
    L: Sink<Stream<Row>>,
{
    let all = source(rows);
    let timed = event_time(all, |row| Timestamp(row.1), Disorder::bounded(bound));
    let by_key = key_by(timed, |row| row.0);
    let (sorted, late) = in_order(by_key);
    let numbered = rank(sorted);
    let results = values(numbered);
    sink(results, out);
    let late_rows = values(late);
    sink(late_rows, dropped);
}

/// Rows of some partitions, each out of order by less than `bound`, many at one time if `ties`.
fn rows(rng: &mut Rng, partitions: usize, each: usize, bound: i64, ties: bool) -> Vec<Vec<Row>> {
    let mut id = 0;
    let mut partition = || {
        let mut latest = -50_000;
        let mut rows = Vec::new();
        for _ in 0..each {
            latest += rng.below(5_000) as i64 * i64::from(!rng.once_in(4));
            let at = latest - rng.below(bound as usize) as i64;
            let at = if ties { at.div_euclid(10_000) * 10_000 } else { at * 1000 + i64::from(id) };
            rows.push((rng.below(4) as u8, at, id));
            id += 1;
        }
        rows
    };
    (0..partitions).map(|_| partition()).collect()
}

/// The ids of a key's rows, in the order in which they came out.
fn ids(found: &[Ranked]) -> BTreeMap<u8, Vec<(i64, u32)>> {
    let mut sorted = found.to_vec();
    sorted.sort_unstable();
    let mut keys: BTreeMap<u8, Vec<(i64, u32)>> = BTreeMap::new();
    for (key, rank, at, id) in sorted {
        let key = keys.entry(key).or_default();
        assert_eq!(key.len() as u64, rank, "each rank is there once");
        key.push((at, id));
    }
    keys
}

/// What a sort makes of rows of which those of one time stand as they came.
fn naive(rows: &[Row]) -> BTreeMap<u8, Vec<(i64, u32)>> {
    let mut keys: BTreeMap<u8, Vec<(i64, u32)>> = BTreeMap::new();
    for (key, at, id) in rows {
        keys.entry(*key).or_default().push((*at, *id));
    }
    keys.values_mut().for_each(|key| key.sort_by_key(|row| row.0));
    keys
}

#[test]
fn a_keys_items_come_in_the_order_of_time() {
    let mut rng = Rng::new(1);
    for (partitions, ties, bound) in
        [(1, true, 30_000), (1, false, 40_000_000), (4, false, 40_000_000)]
    {
        let disorder = if ties { bound - 10_000 } else { bound / 1000 };
        let rows = rows(&mut rng, partitions, 150, disorder, ties);
        let expected = naive(&rows.concat());
        everywhere(partitions as u64, 7, || {
            let (out, dropped) = (Collect::new(2), Collect::new(1));
            let (found, late) = (out.clone(), dropped.clone());
            let expected = expected.clone();
            let bound = Duration::from_micros(bound as u64);
            let flow = ranked(given(rows.clone()), bound, out, dropped);
            (flow, move || {
                assert!(late.items().is_empty());
                assert_eq!(ids(&found.items()), expected);
            })
        });
    }
}

#[test]
fn what_comes_too_late_is_told_apart_and_nothing_is_lost() {
    let mut rng = Rng::new(2);
    let rows = rows(&mut rng, 3, 150, 40_000, true);
    let mut all = rows.concat();
    all.sort_unstable();
    // What lies so far behind its own partition may be late; nothing else is.
    const BOUND: i64 = 8_000;
    let mut may_be_late = Vec::new();
    for partition in &rows {
        let mut latest = i64::MIN;
        for row in partition {
            latest = latest.max(row.1);
            may_be_late.extend((row.1 < latest - BOUND).then_some(row.2));
        }
    }
    everywhere(3, 7, || {
        let (out, dropped) = (Collect::new(1), Collect::new(1));
        let (found, late) = (out.clone(), dropped.clone());
        let (all, may_be_late) = (all.clone(), may_be_late.clone());
        let bound = Duration::from_micros(BOUND as u64);
        let flow = ranked(given(rows.clone()), bound, out, dropped);
        (flow, move || {
            let (found, late) = (found.items(), late.items());
            assert!(ids(&found).values().all(|key| key.is_sorted_by_key(|row| row.0)));
            assert!(late.iter().all(|row| may_be_late.contains(&row.2)));
            let found = found.into_iter().map(|(key, _, at, id)| (key, at, id));
            let mut both: Vec<_> = found.chain(late).collect();
            both.sort_unstable();
            assert_eq!(both, all);
        })
    });
}

#[test]
fn what_waits_survives_crashes() {
    let mut rng = Rng::new(3);
    let rows = rows(&mut rng, 3, 14, 40_000, false);
    let expected = naive(&rows.concat());
    let report = Sim::new(|world| {
        let source = world.partitions("rows", rows.clone());
        let bound = Duration::from_secs(40);
        ranked(source, bound, world.sink("ranked"), world.sink("late")).finish()
    })
    .compare_by("ranked", |mut rows: Vec<Ranked>| {
        rows.sort_unstable();
        rows
    })
    .rechunk()
    .crash_everywhere()
    .check(|outcome| {
        assert_eq!(ids(&outcome.rows::<Ranked>("ranked")), expected);
        assert!(outcome.rows::<Row>("late").is_empty());
    })
    .run();
    assert!(report.crashes > 50, "{report:?}");
}
