//! What waits of one key, told by hand how event time goes on, against loops over all that has come.

use std::time::Duration;

use proptest::prelude::*;

use super::{AsOf, Found, Interval, Rules};
use crate::steps::Either;
use crate::time::Timestamp;

/// An item: how manieth it is that came.
type Id = usize;

/// What happens at a key.
#[derive(Clone, Copy, Debug)]
enum Op {
    Left(i64),
    Right(i64),
    /// Event time goes on by so much.
    Pass(i64),
}

fn any_ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (-20..20_i64).prop_map(Op::Left),
        3 => (-20..20_i64).prop_map(Op::Right),
        2 => (0..8_i64).prop_map(Op::Pass),
    ];
    prop::collection::vec(op, 0..60)
}

/// Times are told from where event time stands, so that there are late ones and early ones in all of a test.
fn later(at: Timestamp, by: i64) -> Timestamp {
    Timestamp(at.0 + by)
}

/// What came out, and when event time stood where.
type Out<N> = Vec<(Timestamp, Timestamp, Found<Id, Id, N>)>;

/// A key of a join.
struct Key<R: Rules<Id, Id>> {
    rules: R,
    kept: R::Kept,
    watermark: Timestamp,
    out: Out<R::Alone>,
}

impl<R: Rules<Id, Id>> Key<R> {
    fn new(rules: R) -> Self {
        Key { rules, kept: R::Kept::default(), watermark: Timestamp(-50), out: Vec::new() }
    }

    fn is_late(&self, at: Timestamp) -> bool {
        self.rules.is_late(at, self.watermark)
    }

    fn take(&mut self, at: Timestamp, item: Either<Id, Id>) {
        let Key { rules, kept, watermark, out } = self;
        let now = *watermark;
        let emit = &mut |time, found| out.push((now, time, found));
        rules.take(kept, at, item, now, emit);
    }

    /// Event time goes on, from one thing that is due to the next, as in a run.
    fn pass(&mut self, to: Timestamp) {
        let Key { rules, kept, watermark, out } = self;
        let before = *watermark;
        while let Some(next) = rules.next(kept).filter(|next| *next <= to) {
            rules.decide(kept, next, &mut |time, found| {
                assert!(time >= before, "it is not late downstream, which was told {before:?}");
                out.push((next, time, found));
            });
            assert_ne!(rules.next(kept), Some(next), "what was due is done");
        }
        *watermark = to;
    }

    /// The end of event time.
    fn end(&mut self) {
        let Key { rules, kept, out, .. } = self;
        while let Some(next) = rules.next(kept) {
            assert!(next < Timestamp::MAX, "it can be put on an agenda");
            rules.decide(kept, next, &mut |time, found| out.push((next, time, found)));
        }
    }
}

/// Signed ends of an interval, and the interval.
fn any_interval() -> impl Strategy<Value = (i64, i64, Interval)> {
    let us = |n: i64| Duration::from_micros(n.unsigned_abs());
    (-12..12_i64, 0..12_i64).prop_map(move |(from, length)| {
        let to = from + length;
        let interval = match (from < 0, to < 0) {
            (true, true) => Interval::before(us(from), us(to)),
            (true, false) => Interval::between(us(from), us(to)),
            _ => Interval::after(us(from), us(to)),
        };
        (from, to, interval)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Of what is not late all pairs are found, once; the rest is alone, when nothing can come any more that it could meet and not before.
    #[test]
    fn an_interval_join_is_like_two_loops(
        ops in any_ops(), (from, to, interval) in any_interval(), lateness in prop_oneof![Just(0), 0..20_i64],
    ) {
        let interval = interval.allowed_lateness(Duration::from_micros(lateness as u64));
        let mut key = Key::new(interval.rules().expect("it is not empty"));
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (id, op) in ops.into_iter().enumerate() {
            let watermark = key.watermark;
            match op {
                Op::Pass(by) => key.pass(later(watermark, by)),
                Op::Left(by) | Op::Right(by) => {
                    let at = later(watermark, by);
                    let late = at.0 < watermark.0 - lateness;
                    prop_assert_eq!(key.is_late(at), late);
                    if late {
                        continue;
                    }
                    if matches!(op, Op::Left(_)) {
                        left.push((at, id));
                        key.take(at, Either::Left(id));
                    } else {
                        right.push((at, id));
                        key.take(at, Either::Right(id));
                    }
                }
            }
            // What is held is what can still meet somebody.
            let horizon = key.watermark.0 - lateness;
            let lives = |all: &[(Timestamp, Id)], reach: i64| {
                all.iter().filter(|(at, _)| at.0 + reach >= horizon).count()
            };
            let held = (key.kept.held(), (lives(&left, to), lives(&right, -from)));
            prop_assert_eq!(held.0, held.1);
        }
        key.end();
        prop_assert_eq!(key.kept.held(), (0, 0));

        let mut pairs = Vec::new();
        for (l, left) in &left {
            for (r, right) in &right {
                if (l.0 + from..=l.0 + to).contains(&r.0) {
                    pairs.push((*l.max(r), *left, *right));
                }
            }
        }
        let mut found = Vec::new();
        let mut alone = Vec::new();
        for (decided, time, what) in key.out {
            match what {
                Found::Pair(left, right) => found.push((time, left, right)),
                Found::Alone(Either::Left(id)) => alone.push((id, time, decided)),
                Found::Alone(Either::Right(id)) => alone.push((id, time, decided)),
            }
        }
        found.sort_unstable();
        pairs.sort_unstable();
        prop_assert_eq!(&found, &pairs);

        let without = |all: &[(Timestamp, Id)], reach: i64, met: &dyn Fn(Id) -> bool| -> Vec<_> {
            let alone = all.iter().filter(|(_, id)| !met(*id));
            alone.map(|(at, id)| (*id, at.0 + reach + lateness, *at)).collect()
        };
        let mut expected = without(&left, to, &|id| pairs.iter().any(|pair| pair.1 == id));
        expected.extend(without(&right, -from, &|id| pairs.iter().any(|pair| pair.2 == id)));
        expected.sort_unstable();
        alone.sort_unstable();
        prop_assert_eq!(alone.len(), expected.len());
        for ((id, time, decided), (expected, last, at)) in alone.into_iter().zip(expected) {
            prop_assert_eq!((id, time), (expected, at.max(Timestamp(last))));
            prop_assert!(decided.0 > last, "decided at {decided:?}, though it could meet somebody at {last}");
        }
    }

    /// Each left item gets the latest version that had come when it was decided, unless that has been given up.
    #[test]
    fn an_as_of_join_is_like_a_search(ops in any_ops(), keep in prop_oneof![Just(0), 0..20_i64]) {
        let mut key = Key::new(AsOf::keep(Duration::from_micros(keep as u64)).rules());
        let mut versions: Vec<(Timestamp, Id)> = Vec::new();
        let mut waiting: Vec<(Timestamp, Id)> = Vec::new();
        let mut expected = Vec::new();
        // What a left item gets, when event time stands at `now`.
        let search = |versions: &[(Timestamp, Id)], at: Timestamp, id: Id, now: Timestamp| {
            let valid = versions.iter().filter(|version| version.0 <= at).max().copied();
            let given_up = |version: &(Timestamp, Id)| {
                versions.iter().any(|next| next.0 > version.0 && next.0.0 + keep <= now.0)
            };
            match valid.filter(|version| !given_up(version)) {
                Some((_, version)) => (at, Found::Pair(id, version)),
                None => (at, Found::Alone(id)),
            }
        };
        for (id, op) in ops.into_iter().enumerate() {
            let watermark = key.watermark;
            match op {
                Op::Pass(by) => {
                    let to = later(watermark, by);
                    key.pass(to);
                    waiting.sort_unstable();
                    let due = waiting.partition_point(|(at, _)| at.0 < to.0);
                    let decide = |(at, id)| search(&versions, at, id, at);
                    expected.extend(waiting.drain(..due).map(decide));
                }
                Op::Left(by) => {
                    let at = later(watermark, by);
                    prop_assert!(!key.is_late(at));
                    key.take(at, Either::Left(id));
                    match at < watermark {
                        true => expected.push(search(&versions, at, id, watermark)),
                        false => waiting.push((at, id)),
                    }
                }
                Op::Right(by) => {
                    let at = later(watermark, by);
                    versions.push((at, id));
                    key.take(at, Either::Right(id));
                }
            }
            // Of each time one version is kept, from the last on that all that may come can see.
            let mut lives: Vec<_> = versions.iter().map(|version| version.0).collect();
            lives.sort_unstable();
            lives.dedup();
            let first = lives.partition_point(|at| at.0 + keep <= key.watermark.0).saturating_sub(1);
            prop_assert_eq!(key.kept.held(), (waiting.len(), lives.len() - first));
        }
        key.end();
        waiting.sort_unstable();
        expected.extend(waiting.into_iter().map(|(at, id)| search(&versions, at, id, at)));
        let found: Vec<_> = key.out.into_iter().map(|(_, time, found)| (time, found)).collect();
        prop_assert_eq!(found, expected);
        prop_assert!(key.kept.held().1 <= 1, "the last version stays");
    }
}

#[test]
fn the_ends_of_time_are_no_exception() {
    let (first, last) = (Timestamp(i64::MIN + 1), Timestamp(i64::MAX));
    let wide = Duration::from_secs(1 << 40);
    let mut key = Key::new(Interval::between(wide, wide).rules().expect("it is not empty"));
    key.watermark = Timestamp::MIN;
    for (id, at) in [first, last, last, first].into_iter().enumerate() {
        key.take(at, if id < 2 { Either::Left(id) } else { Either::Right(id) });
    }
    key.end();
    let found: Vec<_> = key.out.into_iter().map(|(_, time, found)| (time, found)).collect();
    assert_eq!(found, [(last, Found::Pair(1, 2)), (first, Found::Pair(0, 3))]);

    let mut key = Key::new(AsOf::keep(Duration::MAX).rules());
    key.watermark = Timestamp::MIN;
    for (id, at) in [first, last, last, first].into_iter().enumerate() {
        key.take(at, if id < 2 { Either::Left(id) } else { Either::Right(id) });
    }
    key.end();
    let found: Vec<_> = key.out.into_iter().map(|(_, time, found)| (time, found)).collect();
    assert_eq!(found, [(first, Found::Pair(0, 3)), (last, Found::Pair(1, 2))]);
}

#[test]
fn what_says_nothing_or_too_much_is_refused() {
    const SECOND: Duration = Duration::from_secs(1);
    let says = |interval: Interval| {
        let error = interval.rules().expect_err("it makes no sense");
        error.to_string()
    };
    let after = says(Interval::after(3 * SECOND, SECOND));
    assert!(after.contains("an interval from 3s after an item to 1s after it is empty"), "{after}");
    assert!(after.contains("`Interval::after(1s, 3s)`"), "{after}");
    let before = says(Interval::before(SECOND, 3 * SECOND));
    assert!(before.contains("from 1s before an item to 3s before it is empty"), "{before}");
    assert!(before.contains("`Interval::before(3s, 1s)`"), "{before}");
    let long = says(Interval::between(Duration::ZERO, Duration::MAX));
    assert!(long.contains("cannot be had"), "{long}");
    assert!(Interval::between(Duration::ZERO, Duration::ZERO).rules().is_ok());
    assert!(Interval::after(SECOND, SECOND).rules().is_ok());
}
