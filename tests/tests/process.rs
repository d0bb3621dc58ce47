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
