//! Sources whose partitions come, end and go between runs, and several sources in one dataflow.

use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use flow_runtime::{EpochPolicy, Error, ErrorKind};
use flow_tests::recovery::{
    Act, Do, Fuse, History, INTERRUPTED, On, Out, Place, Run, Script, Tallied, expected,
    run_reported,
};
use serde::{Deserialize, Serialize};

fn check_interrupted<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    let error = outcome.expect_err("it is interrupted");
    assert!(error.message().contains(INTERRUPTED), "{error}");
}

fn adds(key: u64, epochs: impl IntoIterator<Item = u64>) -> Vec<(u64, Act)> {
    epochs.into_iter().map(|epoch| (epoch, Act { key, what: Do::Add(epoch + 1) })).collect()
}

const WAYS: [(On, usize); 3] = [(On::Threads, 4), (On::Virtual(1), 1), (On::Virtual(2), 5)];

#[test]
fn fewer_partitions_than_workers() {
    for (on, workers) in [(On::Threads, 6), (On::Virtual(1), 6)] {
        for parts in [1, 2] {
            let acts: Vec<_> = (0..parts).map(|part| adds(part, 0..10)).collect();
            let script = Script::<_>::parts(
                (0_u64..).zip(&acts).map(|(n, acts)| (n.to_string(), acts.clone())),
            );
            let script = script.paced();
            let mut runs = Tallied::default();
            for _ in 0..2 {
                let fuse = Fuse::behind(4 * parts as usize);
                check_interrupted(runs.run(Run::on(on, workers), &script, fuse));
            }
            let resumed = runs.run(Run::on(on, workers), &script, Fuse::none());
            assert_eq!(resumed.expect("it goes on"), 8);
            assert_eq!(runs.by_key(), expected(acts.concat()), "{on:?}, {parts} partitions");
        }
    }
}

#[test]
fn a_partition_that_ended_early_is_not_read_again() {
    for (on, workers) in WAYS {
        let parts = [("long", adds(1, 0..12)), ("short", adds(2, 0..2)), ("none", vec![])];
        let all = expected(parts.iter().flat_map(|(_, acts)| acts.clone()));
        let script = Script::<_>::parts(parts).paced();
        let mut runs = Tallied::default();
        for passed in [6, 3] {
            check_interrupted(runs.run(Run::on(on, workers), &script, Fuse::behind(passed)));
        }
        runs.run(Run::on(on, workers), &script, Fuse::none()).expect("it goes on");
        assert_eq!(runs.by_key(), all, "{on:?}");
    }
}

#[test]
fn new_partitions_are_read_from_their_beginning_and_ended_ones_may_be_gone() {
    for (on, workers) in WAYS {
        let first = [("a", adds(1, 0..8)), ("b", adds(2, 0..3))];
        let mut runs = Tallied::default();
        let script = Script::<_>::parts(first.clone()).paced();
        // Eight items are the three epochs of `b`, and two more of `a`.
        check_interrupted(runs.run(Run::on(on, workers), &script, Fuse::behind(8)));
        // `b` had been read to its end and is gone; `c` is new.
        let later = [("a", adds(1, 0..8)), ("c", adds(3, 0..9))];
        let script = Script::<_>::parts(later.clone()).paced();
        let resumed = runs.run(Run::on(on, workers), &script, Fuse::none());
        assert_eq!(resumed.expect("it goes on"), 5, "{on:?}");
        let all = expected(first.into_iter().chain(later).flat_map(|(_, acts)| acts));
        let numbers = runs.numbers();
        assert_eq!(numbers[&2], [Some(1), Some(3), Some(6)], "{on:?}");
        let count = |key: u64| all[&key].last().and_then(|(_, number)| *number);
        assert_eq!(numbers[&3].last(), Some(&count(3)), "{on:?}");
        assert_eq!(runs.by_key()[&1], expected(adds(1, 0..8))[&1], "{on:?}");
        // What came with the new partition belongs to the epochs that were open then.
        assert!(runs.by_key()[&3].iter().all(|(epoch, _)| *epoch >= 5), "{on:?}");
    }
}

#[test]
fn a_partition_that_was_not_read_to_its_end_must_be_there() {
    for (on, workers) in WAYS {
        let mut runs = Tallied::default();
        let script = Script::<_>::parts([("a", adds(1, 0..8)), ("b", adds(2, 0..8))]).paced();
        check_interrupted(runs.run(Run::on(on, workers), &script, Fuse::behind(8)));
        let less = Script::<_>::parts([("a", adds(1, 0..8))]);
        let error = runs.run(Run::on(on, workers), &less, Fuse::none()).expect_err("`b` is gone");
        assert_eq!((error.kind(), error.step()), (ErrorKind::Source, Some("all")), "{error}");
        assert!(error.message().contains("partition b is gone"), "{error}");
        // The refusal has changed nothing.
        assert_eq!(runs.run(Run::on(on, workers), &script, Fuse::none()).expect("it goes on"), 4);
        assert_eq!(runs.by_key(), expected([adds(1, 0..8), adds(2, 0..8)].concat()), "{on:?}");
    }
}

/// Two sources, one of which gives the epochs, and one that follows.
#[dataflow]
fn two<A: Source<Item = Act>, B: Source<Item = Act>>(
    leader: A,
    follower: B,
    fuse: Fuse,
    out: Out<(u64, Option<u64>)>,
) {
    let leading = source(leader);
    let following = source(follower);
    let both = merge(leading, following);
    let passed = inspect(both, |_, _| fuse.pass());
    let by_key = key_by(passed, |act| act.key);
    let sums = stateful_map(by_key, |sum: &mut Option<u64>, _key, act: Act| {
        if let Do::Add(more) = act.what {
            *sum = Some(sum.unwrap_or(0) + more);
        }
        *sum
    });
    let pairs = entries(sums);
    let noted = inspect(pairs, |pair, seen| out.note(seen.epoch, *pair));
    discard(noted, "it is noted");
}

#[test]
fn of_several_sources_each_goes_on_where_it_was() {
    for seed in 0..12 {
        let on = if seed % 4 == 0 { On::Threads } else { On::Virtual(seed) };
        let place = Place::new();
        let leader = Script::<_>::parts([("a", adds(1, 0..20)), ("b", adds(2, 0..15))]).paced();
        let follower = Script::<_, false>::parts([("c", adds(3, 0..40)), ("d", adds(4, 0..3))]);
        let mut history = History::default();
        for run in 0..5 {
            let out = Out::default();
            let fuse = if run < 4 { Fuse::before(11 + run) } else { Fuse::none() };
            let flow = two(leader.clone(), follower.clone(), fuse, out.clone());
            let outcome = on.run(flow.workers(1 + (seed as usize + run) % 5).recovery(place.log()));
            history.add(leader.resumed().max(follower.resumed()), out.take());
            if run == 4 {
                outcome.expect("it goes on");
            }
        }
        let all =
            expected([adds(1, 0..20), adds(2, 0..15), adds(3, 0..40), adds(4, 0..3)].concat());
        for (key, items) in all {
            let of_key = history.all().into_iter().filter(|(_, (of, _))| *of == key);
            let (mut epochs, numbers): (Vec<_>, Vec<_>) =
                of_key.map(|(epoch, (_, number))| (epoch, number)).unzip();
            let wanted: Vec<_> = items.iter().map(|(_, number)| *number).collect();
            assert_eq!(numbers, wanted, "seed {seed}, key {key}");
            assert!(epochs.is_sorted());
            if key <= 2 {
                epochs.dedup();
                assert_eq!(epochs.len(), wanted.len(), "an epoch for each item of the leader");
            }
        }
    }
}

#[test]
fn a_source_that_is_added_begins_at_its_beginning_and_one_that_is_gone_is_refused() {
    mod before {
        use super::*;
        #[dataflow]
        pub(super) fn sources(numbers: Script<u64, false>, out: Out<u64>) {
            let old = source(numbers);
            let noted = inspect(old, |n, seen| out.note(seen.epoch, *n));
            discard(noted, "it is noted");
        }
    }
    #[dataflow]
    fn sources(numbers: Script<u64, false>, more: Script<u64, false>, out: Out<u64>) {
        let old = source(numbers);
        let new = source(more);
        let both = merge(old, new);
        let noted = inspect(both, |n, seen| out.note(seen.epoch, *n));
        discard(noted, "it is noted");
    }
    let place = Place::new();
    let out = Out::default();
    let old = || Script::<_, false>::each(0..5);
    let new = || Script::<_, false>::each(10..13);
    run_reported(before::sources(old(), out.clone()).workers(2).recovery(place.log()));
    assert_eq!(out.take().len(), 5);
    run_reported(sources(old(), new(), out.clone()).workers(2).recovery(place.log()));
    let mut found: Vec<_> = out.take().into_iter().map(|(_, n)| n).collect();
    found.sort_unstable();
    assert_eq!(found, [10, 11, 12]);
    let flow = || before::sources(old(), out.clone()).workers(2);
    let error = On::Threads.run(flow().recovery(place.log())).expect_err("`new` is gone");
    assert_eq!(error.kind(), ErrorKind::Recovery, "{error}");
    assert!(error.to_string().contains("--drop-state new"), "{error}");
    let log = RecoveryLog::at(place.log()).drop_state("new");
    run_reported(flow().recovery(log));
    assert!(out.take().is_empty());
    // It comes back as another one.
    run_reported(sources(old(), new(), out.clone()).workers(2).recovery(place.log()));
    assert_eq!(out.take().len(), 3);
}

#[test]
fn items_that_were_read_in_large_epochs_are_read_once() {
    for seed in 0..10 {
        let on = if seed % 5 == 0 { On::Threads } else { On::Virtual(seed) };
        let acts: Vec<_> = (0..5).map(|key| adds(key, 0..400)).collect();
        let parts = acts.iter().map(|acts| (acts[0].1.key.to_string(), acts.clone()));
        let script = Script::<_, false>::parts(parts);
        let mut runs = Tallied::default();
        let epochs = EpochPolicy::items(150);
        for (workers, passed) in [(3, 500), (2, 700), (7, 100)] {
            let run = Run { on, workers, epochs };
            check_interrupted(runs.run(run, &script, Fuse::behind(passed)));
        }
        let run = Run { on, workers: 2, epochs };
        runs.run(run, &script, Fuse::none()).expect("it goes on");
        let all = flow_tests::recovery::without_epochs(&expected(acts.concat()));
        assert_eq!(runs.numbers(), all, "seed {seed}");
    }
}

/// Something that happened in a shop.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Event {
    user: String,
    order: Option<u64>,
    paid: Option<u64>,
}

#[stateful]
#[derive(Default)]
struct Cart {
    unpaid: Vec<u64>,
    paid: Vec<u64>,
}

/// Orders and payments of each user; each event is an epoch.
#[dataflow]
fn carts<A: Source<Item = (Epoch, Event)>>(events: A, out: Out<String>) {
    let all = source(events);
    let by_user = key_by_ref(all, |(_, event)| &event.user);
    let shown = stateful_map(by_user, |cart: &mut Cart, user, (_, event): (Epoch, Event)| {
        cart.unpaid.extend(event.order);
        cart.unpaid.retain(|order| Some(*order) != event.paid);
        cart.paid.extend(event.paid);
        format!("{user} {:?} {:?}", cart.unpaid, cart.paid)
    });
    let texts = values(shown);
    let noted = inspect(texts, |text, seen| out.note(seen.epoch, text.clone()));
    discard(noted, "it is noted");
}

#[test]
fn a_line_that_does_not_fit_is_a_crash_that_a_changed_program_gets_over() {
    let event =
        |user: &str, what: &str, n: u64| format!("{{\"user\": \"{user}\", \"{what}\": {n}}}\n");
    let lines = [
        event("a", "order", 1),
        event("a", "order", 2),
        event("b", "order", 3),
        event("a", "paid", 2),
        event("b", "order", 4),
        "FAIL HERE\n".to_owned(),
        event("a", "paid", 1),
        event("b", "paid", 4),
    ];
    let all: Vec<(u64, String)> = [
        (0, "a [1] []"),
        (1, "a [1, 2] []"),
        (2, "b [3] []"),
        (3, "a [1] [2]"),
        (4, "b [3, 4] []"),
        (6, "a [] [2, 1]"),
        (7, "b [3] [4]"),
    ]
    .map(|(epoch, text)| (epoch, text.to_owned()))
    .into();
    for on in [On::Threads, On::Virtual(1), On::Virtual(2)] {
        let place = Place::new();
        let path = place.write("events", lines.concat());
        let out = Out::default();
        let events = || JsonLines::<Event>::of(&path).epoch_per_line();
        for run in 0..2 {
            let flow = carts(events(), out.clone()).workers(1).recovery(place.log());
            let error = on.run(flow).expect_err("a line does not fit");
            assert!(error.message().contains("line 6"), "{error}");
            // With one worker the barrier of an epoch has been passed before the next one's line is read.
            assert_eq!(out.take(), if run == 0 { &all[..5] } else { &[] }, "{on:?}");
        }
        let events = JsonLines::<Event>::of(&path).skip_bad_rows().epoch_per_line();
        let flow = carts(events, out.clone()).workers(3).recovery(place.log());
        on.run(flow).expect("the line is left out");
        let mut found = out.take();
        found.sort();
        assert_eq!(found, &all[5..], "{on:?}");
    }
}
