//! Aggregates in dataflows: `running`, `total`, `top_k` and `sequence_gap` against plain loops over the same input, in every way to
//! run them, through crashes and with other numbers of workers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use flow_runtime::RecoveryLog;
use flow_runtime::aggregate::{collect, count, last, max_by_key, sum};
use flow_runtime::io::{Sink, Source};
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_tests::collect::Collect;
use flow_tests::given::{Given, given};
use flow_tests::recovery::{Place, refused, run_reported};
use flow_tests::runner::everywhere;
use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};
use serde::{Deserialize, Serialize};

/// A row: its key, and what it counts for.
type Row = (u64, u64);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0..6_u64, 0..20_u64), 0..80)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 24, ..ProptestConfig::default() }
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort();
    items
}

/// What `step` makes of the rows of each key so far, after each row.
fn after_each<T: Ord>(rows: &[Row], mut step: impl FnMut(&[u64]) -> Option<T>) -> Vec<(u64, T)> {
    let mut by_key: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    sorted(rows.iter().filter_map(|(key, value)| {
        let values = by_key.entry(*key).or_default();
        values.push(*value);
        step(values).map(|out| (*key, out))
    }))
}

/// The first `k` by size; of equal ones it cannot be told which.
fn largest(values: &[u64], k: usize) -> Vec<u64> {
    let mut values = values.to_vec();
    values.sort_by_key(|value| Reverse(*value));
    values.truncate(k);
    values
}

mod in_order {
    use super::*;

    type Sums = (u64, u64, u64);

    #[dataflow]
    pub(super) fn steps<I, A, B, C>(input: I, k: usize, running_out: A, lists: B, tops: C)
    where
        I: Source<Item = Row>,
        A: Sink<Keyed<u64, Sums>>,
        B: Sink<Keyed<u64, Vec<u64>>>,
        C: Sink<Keyed<u64, Vec<u64>>>,
    {
        let all = source(input);
        let by_key = into_keyed(all);
        let sums = running(by_key, (count(), sum(|n: &u64| *n), last()));
        sink(sums, running_out);
        let gathered = running(by_key, collect());
        sink(gathered, lists);
        // A key that is read out of the item goes another way.
        let rows = entries(by_key);
        let by_ref = key_by_ref(rows, |row| &row.0);
        let best = top_k(by_ref, k, |row| row.1);
        let values =
            map(best, |rows: Vec<Row>| rows.into_iter().map(|row| row.1).collect::<Vec<_>>());
        sink(values, tops);
    }

    /// What comes out of the three sinks.
    pub(super) fn expected(
        rows: &[Row],
        k: usize,
    ) -> (Vec<(u64, Sums)>, Vec<(u64, Vec<u64>)>, Vec<(u64, Vec<u64>)>) {
        let sums = after_each(rows, |values| {
            Some((values.len() as u64, values.iter().sum(), *values.last()?))
        });
        let lists = after_each(rows, |values| Some(values.to_vec()));
        let tops = after_each(rows, |values| {
            let (new, before) = values.split_last()?;
            let top = largest(before, k);
            let gets_in = top.len() < k || top.last().is_some_and(|least| new > least);
            gets_in.then(|| largest(values, k))
        });
        (sums, lists, tops)
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_a_loop(rows in rows(), k in 0..4_usize, seed: u64, barriers in 0..20_usize) {
            let expected = expected(&rows, k);
            everywhere(seed, barriers, || {
                let (a, b, c) = (Collect::new(1), Collect::new(2), Collect::new(3));
                let flow = steps(given(vec![rows.clone()]), k, a.clone(), b.clone(), c.clone());
                let expected = &expected;
                (flow, move || {
                    assert_eq!((&a.sorted(), &b.sorted(), &c.sorted()), (&expected.0, &expected.1, &expected.2));
                })
            });
        }
    }

    #[test]
    fn they_survive_crashes_anywhere_and_other_numbers_of_workers() {
        let rows: Vec<Row> = (0..30).map(|n| (n % 4, n * 7 % 11)).collect();
        let (sums, lists, tops) = expected(&rows, 2);
        Sim::new(|world| {
            let sinks = (world.sink("sums"), world.sink("lists"), world.sink("tops"));
            steps(world.source("rows", rows.clone()), 2, sinks.0, sinks.1, sinks.2)
        })
        .rechunk()
        .crash_everywhere()
        .at_most(150)
        .check(|outcome| {
            assert_eq!(outcome.sorted_rows::<(u64, Sums)>("sums"), sums);
            assert_eq!(outcome.sorted_rows::<(u64, Vec<u64>)>("lists"), lists);
            assert_eq!(outcome.sorted_rows::<(u64, Vec<u64>)>("tops"), tops);
        })
        .run();
    }
}

mod totals {
    use super::*;

    type Report = (u64, u64, u64);

    #[dataflow]
    pub(super) fn report<I: Source<Item = Row>, O: Sink<Keyed<u64, Report>>>(input: I, out: O) {
        let all = source(input);
        let by_key = into_keyed(all);
        let totals = total(by_key, (count(), sum(|n: &u64| *n), max_by_key(|n: &u64| *n)));
        sink(totals, out);
    }

    fn expected(rows: impl IntoIterator<Item = Row>) -> Vec<(u64, Report)> {
        let mut totals: BTreeMap<u64, Report> = BTreeMap::new();
        for (key, value) in rows {
            let (count, sum, most) = totals.entry(key).or_default();
            (*count, *sum, *most) = (*count + 1, *sum + value, value.max(*most));
        }
        totals.into_iter().collect()
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_a_loop(input in prop::collection::vec(rows(), 1..4), seed: u64, barriers in 0..20_usize) {
            let expected = expected(input.iter().flatten().copied());
            everywhere(seed, barriers, || {
                let out = Collect::new(2);
                let flow = report(given(input.clone()), out.clone());
                let expected = &expected;
                (flow, move || assert_eq!(&out.sorted(), expected))
            });
        }
    }

    #[test]
    fn they_come_out_once_whatever_crashes_before() {
        let rows: Vec<Row> = (0..30).map(|n| (n % 7, n * 7 % 11)).collect();
        let expected = expected(rows.iter().copied());
        let report = Sim::new(|world| {
            report(world.source("rows", rows.clone()), world.sink("totals")).finish()
        })
        .rechunk()
        .crash_everywhere()
        .at_most(150)
        .check(|outcome| assert_eq!(outcome.sorted_rows::<(u64, Report)>("totals"), expected))
        .run();
        assert!(report.crashes > 100, "{report:?}");
    }

    #[dataflow]
    fn words(lines: Lines, out: flow_runtime::io::Collect<(String, u64)>) {
        let all = source(lines);
        let by_word = key_by_ref(all, |word| word.as_str());
        let counts = total(by_word, count());
        sink(counts, out);
    }

    #[test]
    fn they_wait_for_the_end_of_the_input_and_are_gone_after() {
        let place = Place::new();
        let run = |workers, finish| {
            let (out, found) = flow_runtime::io::collect();
            let flow = words(Lines::of(place.path("input")), out).workers(workers);
            let flow = flow.recovery(place.log());
            run_reported(if finish { flow.finish() } else { flow });
            found.sorted()
        };
        let kept = |word: &str| -> Option<u64> {
            let log = RecoveryLog::read(place.log()).expect("there is a log");
            let newest = log.newest().expect("something is committed");
            newest.get("counts", &word.to_owned()).expect("it is a count")
        };
        place.write("input", "to\nbe\n");
        assert!(run(2, false).is_empty(), "more may come");
        place.write("input", "to\nbe\nor\nto\n");
        assert!(run(3, false).is_empty(), "more may come");
        assert_eq!(kept("to"), Some(2));
        let all = [("be", 1), ("or", 1), ("to", 2)].map(|(word, n)| (word.to_owned(), n));
        assert_eq!(run(1, true), all);
        assert_eq!([kept("to"), kept("be"), kept("or")], [None; 3]);
        assert!(run(2, true).is_empty(), "they are out");
    }
}

mod numbered {
    use super::*;

    #[dataflow]
    fn watch<I, A, B>(input: I, out: A, lost: B)
    where
        I: Source<Item = Row>,
        A: Sink<Keyed<u64, u64>>,
        B: Sink<Keyed<u64, Gap>>,
    {
        let all = source(input);
        let by_sender = into_keyed(all);
        let (messages, gaps) = sequence_gap(by_sender, |number| *number);
        sink(messages, out);
        sink(gaps, lost);
    }

    /// By a set of all numbers of a sender, of which none restarts.
    fn expected(rows: &[Row]) -> Vec<(u64, Gap)> {
        let mut gaps = Vec::new();
        for (key, values) in after_each(rows, |values| Some(values.to_vec())) {
            let Some((number, before)) = values.split_last() else { continue };
            let (Some(first), Some(last)) = (before.iter().min(), before.iter().max()) else {
                continue;
            };
            let mut say = |gap| gaps.push((key, gap));
            if before.contains(number) {
                say(Gap::Repeated { number: *number });
            } else if number < last {
                say(Gap::Late { number: *number });
            }
            if number > last && number - last > 1 {
                say(Gap::Missing { from: last + 1, to: number - 1 });
            }
            if number < first && first - number > 1 {
                say(Gap::Missing { from: number + 1, to: first - 1 });
            }
        }
        sorted(gaps)
    }

    fn from_two(rows: Vec<Row>) -> Vec<Row> {
        rows.into_iter().map(|(key, number)| (key, number + 2)).collect()
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn like_a_loop(rows in rows().prop_map(from_two), seed: u64, barriers in 0..20_usize) {
            let (all, gaps) = (sorted(rows.iter().copied()), expected(&rows));
            everywhere(seed, barriers, || {
                let (out, lost) = (Collect::new(2), Collect::new(1));
                let flow = watch(given(vec![rows.clone()]), out.clone(), lost.clone());
                let (all, gaps) = (&all, &gaps);
                (flow, move || assert_eq!((&out.sorted(), &lost.sorted()), (all, gaps)))
            });
        }
    }

    #[test]
    fn crashes_and_other_numbers_of_workers_are_no_gaps() {
        let rows = from_two((0..40).map(|n| (n % 3, n * 7 % 23)).collect());
        let gaps = expected(&rows);
        assert!(gaps.len() > 20);
        Sim::new(|world| {
            watch(world.source("rows", rows.clone()), world.sink("all"), world.sink("gaps"))
        })
        .rechunk()
        .crash_everywhere()
        .at_most(150)
        .check(|outcome| {
            assert_eq!(outcome.rows::<Row>("all").len(), 40);
            assert_eq!(outcome.sorted_rows::<(u64, Gap)>("gaps"), gaps);
        })
        .run();
    }
}

mod refusals {
    use super::*;

    #[dataflow]
    fn small(rows: Given<Row>) {
        let all = source(rows);
        let by_key = into_keyed(all);
        let sums = running(by_key, sum(|n: &u64| *n as u8));
        discard(sums, "it overflows");
    }

    #[test]
    fn a_sum_that_does_not_fit_names_step_and_key() {
        refused(
            small(given(vec![vec![(7, 200), (8, 1), (7, 100)]])),
            &["step `sums`", "no longer fits into `u8`", "wider type", "at key 7"],
        );
    }

    #[derive(Clone, Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
    }

    #[dataflow]
    fn untagged(rows: Given<Row>) {
        let all = source(rows);
        let by_key = into_keyed(all);
        let ids = map(by_key, Id::Number);
        let latest = running(ids, last());
        discard(latest, "it cannot be saved");
    }

    #[test]
    fn items_that_could_not_be_loaded_again_are_refused_before_they_are_committed() {
        let place = Place::new();
        let flow = untagged(given(vec![vec![(7, 200)]])).recovery(place.log());
        refused(flow, &["`latest`", "an item cannot be saved and loaded again"]);
    }

    mod before {
        use super::*;

        #[derive(Clone, Serialize, Deserialize)]
        struct Sale {
            cents: u32,
        }

        #[dataflow]
        pub(super) fn latest(rows: Given<Row>) {
            let all = source(rows);
            let by_key = into_keyed(all);
            let sales = map(by_key, |n| Sale { cents: n as u32 });
            let last = running(sales, last());
            discard(last, "it only has to fit");
        }
    }

    mod after {
        use super::*;

        #[derive(Clone, Serialize, Deserialize)]
        struct Sale {
            cents: u64,
        }

        #[dataflow]
        pub(super) fn latest(rows: Given<Row>) {
            let all = source(rows);
            let by_key = into_keyed(all);
            let sales = map(by_key, |cents| Sale { cents });
            let last = running(sales, last());
            discard(last, "it only has to fit");
        }
    }

    #[test]
    fn a_field_of_a_held_item_that_has_changed_is_named() {
        let place = Place::new();
        let rows = || given(vec![vec![(7, 200)]]);
        run_reported(before::latest(rows()).recovery(place.log()));
        refused(
            after::latest(rows()).recovery(place.log()),
            &["`last` keeps something else", "field `1.cents` was `u32` and is `u64`"],
        );
    }
}

/// Aggregates see the times of the items, and what comes out has one. The two steps that give times and show them are of this test.
mod timed {
    use super::*;
    use flow_runtime::aggregate::first;
    use flow_runtime::consumer::{Consumer, Head};
    use flow_runtime::control::Control;
    use flow_runtime::describe::{Describe, StepId};
    use flow_runtime::graph::{Kind, Operator};
    use flow_runtime::host::Host;
    use flow_runtime::plan::Plan1;
    use flow_runtime::stream::Token;
    use flow_runtime::time::Timestamp;
    use std::marker::PhantomData;

    /// `at(stream, |time, item| (time, out))`: sees the time of each item, and gives it one.
    #[allow(non_camel_case_types)]
    enum at {}

    struct At<U, F, B, D>(F, D, PhantomData<fn(U) -> B>);

    impl at {
        const OPERATOR: Operator = Operator::of(Kind::Map);
        fn __check<U>(_: U) {}
        fn __post<U>(_: U) {}
        fn __wire<U: Token, B, F>(_: U, f: F) -> (U::With<B>, At<U, F, B, ()>)
        where
            F: Fn(Timestamp, U::Item) -> (Timestamp, B) + 'static,
            B: 'static,
        {
            (Token::token(), At(f, (), PhantomData))
        }
    }

    impl<H: Host, U: Token, F, B: 'static, D: Consumer<U::With<B>>> Plan1<H, U, (D,)>
        for At<U, F, B, ()>
    where
        F: Fn(Timestamp, U::Item) -> (Timestamp, B) + 'static,
    {
        fn assemble(
            self,
            _: &mut H::Cx<'_>,
            _: StepId,
            (down,): (D,),
        ) -> (impl Consumer<U> + use<H, U, F, B, D>,) {
            (At(self.0, down, PhantomData),)
        }
    }

    impl<U: Token, F, B: 'static, D: Consumer<U::With<B>>> Consumer<U> for At<U, F, B, D>
    where
        F: Fn(Timestamp, U::Item) -> (Timestamp, B) + 'static,
    {
        fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
            let (time, out) = (self.0)(head.time, item);
            self.1.push(Head { hash: head.hash, time, key: head.key }, out);
        }
        fn control(&mut self, control: &mut Control<'_>) {
            self.1.control(control);
        }
        fn describe(&self, to: &mut dyn Describe) {
            self.1.describe(to);
        }
    }

    type Seen = (i64, (u64, u64, Vec<u64>));

    /// The key of a row is its time.
    #[dataflow]
    fn by_time(
        rows: Given<Row>,
        all: Collect<(u64, Seen)>,
        tops: Collect<(u64, (i64, Vec<Row>))>,
        lost: Collect<(u64, (i64, Gap))>,
    ) {
        let all_rows = source(rows);
        let dated = at(all_rows, |_, (time, n)| (Timestamp(time as i64), n));
        let by_key = key_by(dated, |_| 0_u64);
        let reduced = running(by_key, (first(), last(), collect()));
        let shown = at(reduced, |time, out| (time, (time.0, out)));
        sink(shown, all);
        let pairs = at(by_key, |time, n| (time, (time.0 as u64, n)));
        let best = top_k(pairs, 2, |row: &Row| row.1 % 2);
        let best_shown = at(best, |time, out| (time, (time.0, out)));
        sink(best_shown, tops);
        let (messages, gaps) = sequence_gap(by_key, |n| *n);
        discard(messages, "as they are");
        let gaps_shown = at(gaps, |time, gap| (time, (time.0, gap)));
        sink(gaps_shown, lost);
    }

    #[test]
    fn items_are_taken_by_their_times_and_what_comes_out_has_them() {
        everywhere(3, 2, || {
            let (all, tops, lost) = (Collect::new(1), Collect::new(1), Collect::new(1));
            let rows = vec![(20, 1), (30, 2), (10, 3), (20, 5), (5, 5)];
            let flow = by_time(given(vec![rows]), all.clone(), tops.clone(), lost.clone());
            (flow, move || {
                let seen =
                    |time, first, last, list: &[u64]| (0, (time, (first, last, list.to_vec())));
                let expected = [
                    seen(20, 1, 1, &[1]),
                    seen(30, 1, 2, &[1, 2]),
                    seen(10, 3, 2, &[3, 1, 2]),
                    seen(20, 3, 2, &[3, 1, 5, 2]),
                    seen(5, 5, 2, &[5, 3, 1, 5, 2]),
                ];
                assert_eq!(all.sorted(), sorted(expected));
                // Odd before even, and of those the earlier ones.
                let expected = [
                    (20, vec![(20, 1)]),
                    (30, vec![(20, 1), (30, 2)]),
                    (10, vec![(10, 3), (20, 1)]),
                    (5, vec![(5, 5), (10, 3)]),
                ];
                assert_eq!(tops.sorted(), sorted(expected.map(|top| (0, top))));
                let gaps =
                    [(20, Gap::Missing { from: 4, to: 4 }), (5, Gap::Repeated { number: 5 })];
                assert_eq!(lost.sorted(), sorted(gaps.map(|gap| (0, gap))));
            })
        });
    }
}
