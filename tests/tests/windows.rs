//! Windows, against plain loops over all items.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_runtime::windows::WindowKind;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

/// Key, time in seconds, value.
type Row = (u8, i64, u64);

/// Key, start, end, items, sum of values; times in seconds.
type Found = (u8, i64, i64, u64, u64);

fn at(row: &Row) -> Timestamp {
    Timestamp::from_secs(row.1)
}

fn found(key: u8, result: &Windowed<(u64, u64)>) -> Found {
    let (count, sum) = result.value;
    (key, result.start.0 / 1_000_000, result.end.0 / 1_000_000, count, sum)
}

#[dataflow]
fn windowed<S, W, O, L>(rows: S, disorder: Disorder, kind: W, out: O, dropped: L)
where
    S: Source<Item = Row>,
    W: WindowKind + Send,
    O: Sink<Stream<(u8, Windowed<(u64, u64)>)>>,
    L: Sink<Stream<Row>>,
{
    let all = source(rows);
    let timed = event_time(all, at, disorder);
    let by_key = key_by(timed, |row| row.0);
    let sums = (aggregate::count(), aggregate::sum(|row: &Row| row.2));
    let (results, late) = window(by_key, kind, sums);
    let keyed_results = entries(results);
    sink(keyed_results, out);
    let late_rows = values(late);
    sink(late_rows, dropped);
}

/// Rows of some partitions. Each comes at most `bound` seconds behind the latest before it in its partition.
fn rows(rng: &mut Rng, partitions: usize, each: usize, bound: usize) -> Vec<Vec<Row>> {
    let mut partition = || {
        let mut at = -60_i64;
        let mut rows = Vec::new();
        for _ in 0..each {
            at += rng.below(6) as i64 * i64::from(!rng.once_in(3));
            // Now and then nothing for long.
            at += 40 * i64::from(rng.once_in(20));
            let back = rng.below(bound + 1) as i64;
            rows.push((rng.below(4) as u8, at - back, rng.below(100) as u64));
        }
        rows
    };
    (0..partitions).map(|_| partition()).collect()
}

/// What tumbling and hopping windows come to.
fn naive_windows(rows: &[Row], size: i64, hop: i64, offset: i64) -> BTreeSet<Found> {
    let mut windows = BTreeMap::new();
    for (key, at, value) in rows {
        let mut start = (at - offset).div_euclid(hop) * hop + offset;
        while start + size > *at {
            let window: &mut (u64, u64) = windows.entry((*key, start)).or_default();
            *window = (window.0 + 1, window.1 + value);
            start -= hop;
        }
    }
    windows
        .into_iter()
        .map(|((key, start), (count, sum))| (key, start, start + size, count, sum))
        .collect()
}

/// What sessions come to.
fn naive_sessions(rows: &[Row], gap: i64) -> BTreeSet<Found> {
    let mut sorted = rows.to_vec();
    sorted.sort();
    let mut sessions: Vec<Found> = Vec::new();
    for (key, at, value) in sorted {
        match sessions.last_mut() {
            Some(last) if last.0 == key && at < last.2 => {
                (last.2, last.3, last.4) = (at + gap, last.3 + 1, last.4 + value);
            }
            _ => sessions.push((key, at, at + gap, 1, value)),
        }
    }
    sessions.into_iter().collect()
}

const SECOND: Duration = Duration::from_secs(1);

/// Runs windows over rows of which none is late, and compares.
fn on_time<W: WindowKind + Send>(seed: u64, kind: &W, naive: impl Fn(&[Row]) -> BTreeSet<Found>) {
    let mut rng = Rng::new(seed);
    for partitions in [1, 2, 4] {
        let rows = rows(&mut rng, partitions, 100, 7);
        let expected = naive(&rows.concat());
        everywhere(seed, 9, || {
            let (out, dropped) = (Collect::new(1), Collect::new(1));
            let (results, late) = (out.clone(), dropped.clone());
            let disorder = Disorder::bounded(7 * SECOND);
            let flow = windowed(given(rows.clone()), disorder, kind.clone(), out, dropped);
            let expected = expected.clone();
            (flow, move || {
                assert!(late.items().is_empty());
                let results = results.items();
                let all: BTreeSet<_> = results.iter().map(|(key, row)| found(*key, row)).collect();
                assert_eq!(all, expected);
                assert_eq!(all.len(), results.len(), "one result of each window");
                assert!(results.iter().all(|(_, result)| result.pane == Pane::OnTime));
            })
        });
    }
}

#[test]
fn tumbling_windows_are_like_a_loop() {
    on_time(1, &Tumbling::of(10 * SECOND), |rows| naive_windows(rows, 10, 10, 0));
    let shifted = Tumbling::of(10 * SECOND).offset(13 * SECOND);
    on_time(2, &shifted, |rows| naive_windows(rows, 10, 10, 3));
}

#[test]
fn hopping_windows_are_like_a_loop() {
    on_time(3, &Hopping::of(12 * SECOND, 3 * SECOND), |rows| naive_windows(rows, 12, 3, 0));
    // Windows that begin and end at different places.
    let odd = Hopping::of(10 * SECOND, 4 * SECOND).offset(SECOND);
    on_time(4, &odd, |rows| naive_windows(rows, 10, 4, 1));
    on_time(5, &Hopping::of(60 * SECOND, SECOND), |rows| naive_windows(rows, 60, 1, 0));
}

#[test]
fn sessions_are_like_a_loop() {
    on_time(6, &Session::gap(8 * SECOND), |rows| naive_sessions(rows, 8));
    on_time(7, &Session::gap(2 * SECOND), |rows| naive_sessions(rows, 2));
}

/// The last result of each window; what a session replaces is taken away.
fn last_results(results: &[(u8, Windowed<(u64, u64)>)]) -> BTreeSet<Found> {
    let mut last = BTreeMap::new();
    for (key, result) in results {
        for span in &result.replaces {
            assert!(last.remove(&(*key, span.start, span.end)).is_some(), "it was emitted before");
        }
        last.insert((*key, result.start, result.end), found(*key, result));
    }
    last.into_values().collect()
}

/// Rows far out of order: what comes within the lateness counts in the end, however it comes, and the rest is late.
fn with_lateness<W: WindowKind + Send>(
    seed: u64,
    kind: &W,
    naive: impl Fn(&[Row]) -> BTreeSet<Found>,
) {
    let mut rng = Rng::new(seed);
    let mut late_panes = 0;
    for _ in 0..3 {
        // One partition, so that its order is the same in all runs.
        let rows = rows(&mut rng, 1, 150, 25).concat();
        everywhere(seed, 5, || {
            let (out, dropped) = (Collect::new(1), Collect::new(1));
            let (results, late) = (out.clone(), dropped.clone());
            let disorder = Disorder::bounded(2 * SECOND);
            let flow = windowed(given(vec![rows.clone()]), disorder, kind.clone(), out, dropped);
            let (rows, naive) = (rows.clone(), &naive);
            (flow, move || {
                let mut counted = rows;
                for dropped in late.items() {
                    let at = counted.iter().position(|row| *row == dropped);
                    counted.remove(at.expect("what is late was there"));
                }
                assert_eq!(last_results(&results.items()), naive(&counted));
            })
        });
        let (out, dropped) = (Collect::new(1), Collect::new(1));
        let (results, late) = (out.clone(), dropped.clone());
        let flow = windowed(
            given(vec![rows.clone()]),
            Disorder::bounded(SECOND),
            kind.clone(),
            out,
            dropped,
        );
        flow_tests::toy::Toy::new(2).batch(3).run(&flow).expect("it runs");
        let panes =
            results.items().into_iter().filter(|(_, row)| matches!(row.pane, Pane::Late(_)));
        late_panes += panes.count().min(1) * late.items().len().min(1);
    }
    assert!(late_panes > 0, "there are late results, and late items");
}

#[test]
fn what_comes_within_the_lateness_counts() {
    let lateness = 10 * SECOND;
    let tumbling = Tumbling::of(10 * SECOND).allowed_lateness(lateness);
    with_lateness(11, &tumbling, |rows| naive_windows(rows, 10, 10, 0));
    with_lateness(13, &Session::gap(5 * SECOND).allowed_lateness(lateness), |rows| {
        naive_sessions(rows, 5)
    });
}

#[test]
fn windows_fire_early() {
    let every_third = Tumbling::of(10 * SECOND).early(Early::Count(3));
    let mut rng = Rng::new(21);
    let rows = rows(&mut rng, 1, 200, 0).concat();
    let expected = naive_windows(&rows, 10, 10, 0);
    everywhere(3, 9, || {
        let (out, dropped) = (Collect::new(1), Collect::new(1));
        let results = out.clone();
        let flow = windowed(
            given(vec![rows.clone()]),
            Disorder::none(),
            every_third.clone(),
            out,
            dropped,
        );
        let expected = expected.clone();
        (flow, move || {
            let results = results.items();
            assert_eq!(last_results(&results), expected);
            for (_, result) in &results {
                if let Pane::Early(nth) = result.pane {
                    assert_eq!(result.value.0, u64::from(nth) * 3);
                }
            }
            let early = expected.iter().map(|window| (window.3 / 3) as usize).sum::<usize>();
            assert_eq!(results.len(), expected.len() + early);
        })
    });
}

fn survives<W: WindowKind + Send>(kind: &W, naive: impl Fn(&[Row]) -> BTreeSet<Found>) {
    let mut rng = Rng::new(31);
    let rows = rows(&mut rng, 3, 14, 7);
    let expected = naive(&rows.concat());
    let report = Sim::new(|world| {
        let source = world.partitions("rows", rows.clone());
        let (out, late) = (world.sink("results"), world.sink("late"));
        windowed(source, Disorder::bounded(7 * SECOND), kind.clone(), out, late).finish()
    })
    .rechunk()
    .crash_everywhere()
    .at_most(150)
    .check(|outcome| {
        assert!(outcome.rows::<Row>("late").is_empty());
        let results = outcome.rows::<(u8, Windowed<(u64, u64)>)>("results");
        let all: BTreeSet<_> = results.iter().map(|(key, row)| found(*key, row)).collect();
        assert_eq!((results.len(), all), (expected.len(), expected.clone()));
    })
    .run();
    assert!(report.crashes > 50, "{report:?}");
}

#[test]
fn windows_survive_crashes() {
    survives(&Tumbling::of(10 * SECOND), |rows| naive_windows(rows, 10, 10, 0));
    survives(&Hopping::of(12 * SECOND, 4 * SECOND), |rows| naive_windows(rows, 12, 4, 0));
    survives(&Session::gap(6 * SECOND), |rows| naive_sessions(rows, 6));
}

/// The most items that any key has in a window of four seconds, in each twelve seconds.
#[dataflow]
fn busiest<S: Source<Item = Row>, O: Sink<Stream<(i64, u64)>>>(
    rows: S,
    disorder: Disorder,
    out: O,
) {
    let all = source(rows);
    let timed = event_time(all, at, disorder);
    let by_key = key_by(timed, |row| row.0);
    let (counts, late) = window(by_key, Tumbling::of(4 * SECOND), aggregate::count());
    discard(late, "none is");
    let by_nothing = key_by(counts, |_| ());
    let most = aggregate::max(|window: &Windowed<u64>| window.value);
    let busiest = rollup(by_nothing, Tumbling::of(12 * SECOND), most);
    let results = values(busiest);
    let rows_of = map(results, |window| (window.start.0 / 1_000_000, window.value));
    sink(rows_of, out);
}

#[test]
fn a_rollup_is_like_a_loop_over_results() {
    let mut rng = Rng::new(41);
    let rows = rows(&mut rng, 3, 100, 7);
    let mut expected = BTreeMap::new();
    for (_, start, _, count, _) in naive_windows(&rows.concat(), 4, 4, 0) {
        let most: &mut u64 = expected.entry(start.div_euclid(12) * 12).or_default();
        *most = count.max(*most);
    }
    let expected: Vec<_> = expected.into_iter().collect();
    everywhere(4, 9, || {
        let out = Collect::new(1);
        let found = out.clone();
        let flow = busiest(given(rows.clone()), Disorder::bounded(7 * SECOND), out);
        let expected = expected.clone();
        (flow, move || assert_eq!(found.sorted(), expected))
    });
}

#[dataflow]
fn all_windowed<S, W, O, L>(rows: S, disorder: Disorder, kind: W, out: O, dropped: L)
where
    S: Source<Item = Row>,
    W: WindowKind<Windows = flow_runtime::windows::Slicing> + Send,
    O: Sink<Stream<Windowed<(u64, u64)>>>,
    L: Sink<Stream<Row>>,
{
    let all = source(rows);
    let timed = event_time(all, at, disorder);
    let sums = (aggregate::count(), aggregate::sum(|row: &Row| row.2));
    let (results, late) = window_all(timed, kind, sums);
    sink(results, out);
    sink(late, dropped);
}

#[test]
fn windows_over_all_items_are_like_a_loop() {
    let mut rng = Rng::new(51);
    for (kind, size, hop) in [
        (Hopping::of(10 * SECOND, 10 * SECOND), 10, 10),
        (Hopping::of(12 * SECOND, 4 * SECOND), 12, 4),
    ] {
        let rows: Vec<Vec<Row>> = rows(&mut rng, 3, 100, 7)
            .into_iter()
            .map(|rows| rows.into_iter().map(|row| (0, row.1, row.2)).collect())
            .collect();
        let expected = naive_windows(&rows.concat(), size, hop, 0);
        everywhere(6, 9, || {
            let (out, dropped) = (Collect::new(1), Collect::new(1));
            let (results, late) = (out.clone(), dropped.clone());
            let disorder = Disorder::bounded(7 * SECOND);
            let flow = all_windowed(given(rows.clone()), disorder, kind.clone(), out, dropped);
            let expected = expected.clone();
            (flow, move || {
                assert!(late.items().is_empty());
                let results = results.items();
                let all: BTreeSet<_> = results.iter().map(|result| found(0, result)).collect();
                assert_eq!((results.len(), all), (expected.len(), expected));
            })
        });
        let report = Sim::new(|world| {
            let source = world.partitions("rows", rows.iter().map(|rows| rows[..14].to_vec()));
            let (out, late) = (world.sink("results"), world.sink("late"));
            let disorder = Disorder::bounded(7 * SECOND);
            all_windowed(source, disorder, kind.clone(), out, late).finish()
        })
        .rechunk()
        .crash_everywhere()
        .at_most(60)
        .run();
        assert!(report.crashes > 30, "{report:?}");
    }
}

#[dataflow]
fn at_any_time<W: WindowKind + Send>(
    times: Vec<i64>,
    kind: W,
    out: Collect<u64>,
    dropped: Collect<i64>,
) {
    let all = source(given(vec![times]));
    let timed = event_time(all, |at| Timestamp(*at), Disorder::bounded(7 * SECOND));
    let by_nothing = key_by(timed, |_| ());
    let (results, late) = window(by_nothing, kind, aggregate::count());
    let rows = values(results);
    let counts = map(rows, |window| window.value);
    sink(counts, out);
    let late_rows = values(late);
    sink(late_rows, dropped);
}

#[test]
fn times_at_the_ends_of_all_time_break_nothing() {
    fn counted(kind: impl WindowKind + Send) -> u64 {
        // The earliest time stands for none, and is taken for the one behind it.
        let times = vec![i64::MIN, i64::MIN + 1, i64::MIN + 5, -1, 0, i64::MAX - 5, i64::MAX];
        let (out, dropped) = (Collect::new(1), Collect::new(1));
        let (counts, late) = (out.clone(), dropped.clone());
        let flow = at_any_time(times, kind, out, dropped).workers(1);
        flow.spawn().expect("it starts").wait().expect("it runs");
        assert!(late.items().is_empty());
        counts.items().into_iter().sum()
    }
    assert_eq!(counted(Tumbling::of(10 * SECOND)), 7);
    assert_eq!(counted(Tumbling::calendar(Calendar::Day, "Europe/Berlin")), 7);
    assert_eq!(counted(Session::gap(10 * SECOND).allowed_lateness(3 * SECOND)), 7);
    assert!(counted(Hopping::of(10 * SECOND, 3 * SECOND).early(Early::Count(1))) >= 7);
    // Windows that are kept for ever are given up at the end of all.
    let ever = Duration::MAX;
    assert_eq!(counted(Tumbling::of(10 * SECOND).allowed_lateness(ever)), 7);
    let days = Tumbling::calendar(Calendar::Day, "Europe/Berlin");
    assert_eq!(counted(days.allowed_lateness(ever)), 7);
    assert_eq!(counted(Session::gap(10 * SECOND).allowed_lateness(ever)), 7);
    assert!(counted(Hopping::of(10 * SECOND, 3 * SECOND).allowed_lateness(ever)) >= 7);
}

#[dataflow]
fn results_by_time<S, W, O>(rows: S, kind: W, in_time: O, behind: O)
where
    S: Source<Item = Row>,
    W: WindowKind + Send,
    O: Sink<Keyed<u8, Windowed<u64>>>,
{
    let all = source(rows);
    let timed = event_time(all, at, Disorder::bounded(2 * SECOND));
    let by_key = key_by(timed, |row| row.0);
    let (results, late) = window(by_key, kind, aggregate::count());
    discard(late, "looked at elsewhere");
    let (sorted, late_results) = in_order(results);
    sink(sorted, in_time);
    sink(late_results, behind);
}

#[test]
fn a_result_on_time_is_not_late_downstream() {
    fn check(seed: u64, kind: &(impl WindowKind + Send)) {
        let rows = rows(&mut Rng::new(seed), 2, 150, 25);
        everywhere(seed, 7, || {
            let (in_time, behind) = (Collect::new(1), Collect::new(1));
            let (sorted, late) = (in_time.clone(), behind.clone());
            let flow = results_by_time(given(rows.clone()), kind.clone(), in_time, behind);
            (flow, move || {
                assert!(sorted.items().len() > 20, "some are on time");
                let is_late = |pane| matches!(pane, Pane::Late(_));
                assert!(late.items().iter().all(|(_, result)| is_late(result.pane)));
            })
        });
    }
    check(61, &Tumbling::of(4 * SECOND).allowed_lateness(10 * SECOND));
    check(62, &Hopping::of(9 * SECOND, 3 * SECOND).allowed_lateness(10 * SECOND));
    check(63, &Session::gap(3 * SECOND).allowed_lateness(20 * SECOND));
    check(64, &Session::gap(8 * SECOND).allowed_lateness(30 * SECOND));
}
