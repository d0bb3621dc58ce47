//! The version that was valid at a time.

use std::cell::Cell;
use std::time::Duration;

use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

use crate::{Found, Row, SECOND, at, rows, sorted, stamp};

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
