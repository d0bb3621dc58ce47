//! State machines with timers, against plain loops.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::rng::Rng;
use flow_tests::runner::everywhere;

/// How many items a key had in each ten seconds. What is emitted depends neither on batches nor on how sources interleave.
struct Tens;

const TEN: i64 = 10_000_000;

impl Process for Tens {
    type Key = u8;
    type In = i64;
    type Out = (i64, u64);
    type State = BTreeMap<i64, u64>;
    type Timer = i64;

    fn on_item(
        &self,
        tens: &mut Option<BTreeMap<i64, u64>>,
        at: i64,
        cx: &mut ProcessContext<'_, Self>,
    ) {
        assert_eq!(cx.time(), Timestamp(at), "an item has its own time");
        assert!(cx.watermark() <= Timestamp(at), "none is late");
        let ten = at.div_euclid(TEN);
        *tens.get_or_insert_default().entry(ten).or_insert(0) += 1;
        cx.set_timer(Timestamp((ten + 1) * TEN), ten);
    }

    fn on_timer(
        &self,
        tens: &mut Option<BTreeMap<i64, u64>>,
        ten: i64,
        cx: &mut ProcessContext<'_, Self>,
    ) {
        assert_eq!(
            cx.time(),
            Timestamp((ten + 1) * TEN),
            "a timer has the time that it was set for"
        );
        let open = tens.as_mut().expect("a key with a timer has state");
        let count = open.remove(&ten).expect("a timer fires once");
        assert!(open.keys().all(|later| *later > ten), "timers of a key fire in their order");
        if open.is_empty() {
            *tens = None;
        }
        cx.emit((ten, count));
    }
}

#[dataflow]
fn tens<S: Source<Item = (u8, i64)>, O: Sink<Stream<(u8, i64, u64)>>>(
    items: S,
    disorder: Disorder,
    out: O,
) {
    let all = source(items);
    let timed = event_time(all, |item| Timestamp(item.1), disorder);
    let by_key = key_by(timed, |item| item.0);
    let times = map(by_key, |item| item.1);
    let counted = process(times, Tens);
    let entries = entries(counted);
    let rows = map(entries, |(key, (ten, count))| (key, ten, count));
    sink(rows, out);
}

/// Items of some partitions, each out of order by at most `bound`.
fn items(rng: &mut Rng, partitions: usize, each: usize, bound: i64) -> Vec<Vec<(u8, i64)>> {
    let mut partition = || {
        let mut at = -40_000_000_i64;
        let mut items: Vec<(u8, i64)> = Vec::new();
        for _ in 0..each {
            at += rng.below(3_000_000) as i64 * i64::from(!rng.once_in(4));
            let late = rng.below(bound as usize + 1) as i64;
            items.push((rng.below(5) as u8, at - late));
        }
        items
    };
    (0..partitions).map(|_| partition()).collect()
}

fn naive<'a>(items: impl IntoIterator<Item = &'a (u8, i64)>) -> Vec<(u8, i64, u64)> {
    let mut counts = BTreeMap::new();
    for (key, at) in items {
        *counts.entry((*key, at.div_euclid(TEN))).or_insert(0) += 1;
    }
    counts.into_iter().map(|((key, ten), count)| (key, ten, count)).collect()
}

const BOUND: Duration = Duration::from_secs(4);

#[test]
fn timers_by_event_time_are_like_a_loop() {
    let mut rng = Rng::new(1);
    for partitions in [1, 2, 5] {
        let items = items(&mut rng, partitions, 120, BOUND.as_micros() as i64);
        let expected = naive(items.iter().flatten());
        everywhere(partitions as u64, 7, || {
            let out = Collect::new(1);
            let found = out.clone();
            let expected = expected.clone();
            let flow = tens(given(items.clone()), Disorder::bounded(BOUND), out);
            (flow, move || assert_eq!(found.sorted(), expected))
        });
    }
}

#[test]
fn timers_survive_crashes_and_fire_once() {
    let mut rng = Rng::new(2);
    let items = items(&mut rng, 3, 16, BOUND.as_micros() as i64);
    let expected = naive(items.iter().flatten());
    let report = Sim::new(|world| {
        let source = world.partitions("items", items.clone());
        tens(source, Disorder::bounded(BOUND), world.sink("counts")).finish()
    })
    .compare_by("counts", |mut rows: Vec<(u8, i64, u64)>| {
        rows.sort();
        rows
    })
    .rechunk()
    .crash_everywhere()
    .check(|outcome| {
        let mut rows = outcome.rows::<(u8, i64, u64)>("counts");
        rows.sort();
        assert_eq!(rows, expected);
    })
    .run();
    assert!(report.crashes > 50, "{report:?}");
}

/// Says each second of a key that it is there, for ever, and once that it has grown old.
struct Alive;

impl Process for Alive {
    type Key = u8;
    type In = i64;
    type Out = (i64, bool);
    type State = ();
    type Timer = bool;

    fn on_item(&self, known: &mut Option<()>, _: i64, cx: &mut ProcessContext<'_, Self>) {
        *known = Some(());
        cx.set_timer(cx.time().after(Duration::from_secs(1)), false);
        cx.set_timer(cx.time().after(Duration::from_secs(10)), true);
    }

    fn on_timer(&self, _: &mut Option<()>, is_old: bool, cx: &mut ProcessContext<'_, Self>) {
        cx.emit((cx.time().0 / 1_000_000, is_old));
        if !is_old {
            cx.set_timer(cx.time().after(Duration::from_secs(1)), false);
        }
    }
}

#[dataflow]
fn alive<S: Source<Item = (u8, i64)>, O: Sink<Stream<(u8, (i64, bool))>>>(items: S, out: O) {
    let all = source(items);
    let timed = event_time(all, |item| Timestamp::from_secs(item.1), Disorder::none());
    let by_key = key_by(timed, |item| item.0);
    let times = map(by_key, |item| item.1);
    let said = process(times, Alive);
    let rows = entries(said);
    sink(rows, out);
}

#[test]
fn timers_that_are_set_at_the_end_of_all_stay() {
    // A timer that sets itself again would never be done, and those set before it, for later, must fire all the same.
    let report = Sim::new(|world| {
        alive(world.source("items", [(1, 0), (2, 2), (1, 3)]), world.sink("said")).finish()
    })
    .crash_everywhere()
    // How far event time comes before the end depends on batches; each timer that is set by then fires at it, once.
    .any_order_of_arrival()
    .check(|outcome| {
        let rows = outcome.rows::<(u8, (i64, bool))>("said");
        let of = |key, is_old| {
            let rows = rows.iter().filter(move |row| (row.0, row.1.1) == (key, is_old));
            rows.map(|row| row.1.0).collect::<Vec<_>>()
        };
        assert_eq!((of(1, true), of(2, true)), (vec![13], vec![12]), "{rows:?}");
        assert_eq!(of(1, false).last(), Some(&4), "{rows:?}");
        assert!(matches!(of(2, false)[..], [3] | [3, 4]), "{rows:?}");
    })
    .run();
    assert!(report.crashes > 20, "{report:?}");
}
