//! A dataflow that goes on after a crash: state that is kept, changed and forgotten, epoch by epoch.

use flow_runtime::prelude::*;
use flow_runtime::{Error, ErrorKind};
use flow_tests::recovery::{
    Act, Do, Fuse, INTERRUPTED, On, Out, Place, Run, Script, Tallied, expected, run_reported,
};

const WAYS: [(On, usize); 5] = [
    (On::Threads, 1),
    (On::Threads, 3),
    (On::Virtual(1), 1),
    (On::Virtual(2), 2),
    (On::Virtual(3), 4),
];

fn act(key: u64, what: Do) -> Act {
    Act { key, what }
}

fn check_interrupted(outcome: Result<u64, Error>) {
    let error = outcome.expect_err("it is interrupted");
    assert!(error.message().contains(INTERRUPTED), "{error}");
}

/// Interrupts a run behind each epoch, lets it go on, and compares with a run that is never interrupted. The items have an epoch
/// each, so that what is committed is known exactly.
fn interrupted_everywhere(acts: &[Act]) {
    let all = expected((0..).zip(acts.iter().copied()));
    for (on, workers) in WAYS {
        for at in 0..acts.len() {
            let fuse = if workers == 3 { Fuse::before(at) } else { Fuse::behind(at) };
            let script = Script::<_>::each(acts.to_vec()).paced();
            let mut runs = Tallied::default();
            check_interrupted(runs.run(Run::on(on, workers), &script, fuse));
            let resumed = runs.run(Run::on(on, workers), &script, Fuse::none());
            assert_eq!(resumed.expect("it goes on"), at as u64, "{on:?}, {workers} workers");
            assert_eq!(runs.by_key(), all, "{on:?}, {workers} workers, interrupted at {at}");
        }
    }
}

#[test]
fn a_key_that_was_not_touched_for_long_keeps_its_state() {
    let busy = (0..30).map(|n| act(2 + n % 2, Do::Add(1)));
    let acts: Vec<_> = [act(1, Do::Add(7))].into_iter().chain(busy).collect();
    let mut later = acts.clone();
    later.push(act(1, Do::Add(1)));
    for (on, workers) in WAYS {
        let mut runs = Tallied::default();
        let fuse = Fuse::before(31);
        check_interrupted(runs.run(
            Run::on(on, workers),
            &Script::<_>::each(later.clone()).paced(),
            fuse,
        ));
        // It is not touched by a whole run, either.
        let short = Script::<_>::each(acts.clone()).paced();
        assert_eq!(runs.run(Run::on(on, workers), &short, Fuse::none()).expect("it goes on"), 31);
        let resumed =
            runs.run(Run::on(on, workers), &Script::<_>::each(later.clone()), Fuse::none());
        resumed.expect("it goes on");
        assert_eq!(runs.numbers()[&1], [Some(7), Some(8)], "{on:?}, {workers} workers");
    }
}

#[test]
fn what_was_deleted_stays_deleted_wherever_the_crash_comes() {
    use Do::{Add, Delete, Look, Replace};
    interrupted_everywhere(&[
        act(1, Add(5)),
        act(2, Add(1)),
        act(1, Delete),
        act(1, Look),
        act(2, Replace(9)),
        act(1, Add(3)),
        act(1, Delete),
        act(1, Add(4)),
        act(3, Delete),
        act(3, Look),
        act(2, Delete),
        act(2, Delete),
        act(1, Add(1)),
        act(2, Add(1)),
        act(3, Add(1)),
    ]);
}

#[test]
fn a_key_deleted_and_put_again_in_one_epoch_or_the_next_is_the_new_one() {
    use Do::{Add, Delete, Look};
    // Epochs of several items: what counts of a key is how it stands at the end of one.
    let epochs: [&[(u64, Do)]; 7] = [
        &[(1, Add(10)), (2, Add(20)), (3, Add(30))],
        // Deleted and put again in one epoch; put and deleted in one; deleted, put and deleted.
        &[
            (1, Delete),
            (1, Add(1)),
            (4, Add(4)),
            (4, Delete),
            (3, Delete),
            (3, Add(1)),
            (3, Delete),
        ],
        // Deleted, and put again in the next.
        &[(2, Delete), (1, Look)],
        &[(2, Add(2)), (4, Look)],
        &[(3, Look), (2, Look), (1, Look)],
        &[(1, Delete), (2, Delete)],
        &[(1, Look), (2, Look), (3, Add(3)), (4, Add(4))],
    ];
    let acts: Vec<(u64, Act)> = (0..)
        .zip(epochs)
        .flat_map(|(epoch, acts)| acts.iter().map(move |(key, what)| (epoch, act(*key, *what))))
        .collect();
    let all = expected(acts.iter().copied());
    for (on, workers) in WAYS {
        for (at, (epoch, _)) in acts.iter().enumerate() {
            let script = Script::<_>::of(acts.clone()).paced();
            let mut runs = Tallied::default();
            check_interrupted(runs.run(Run::on(on, workers), &script, Fuse::behind(at)));
            let resumed = runs.run(Run::on(on, workers), &script, Fuse::none());
            assert_eq!(resumed.expect("it goes on"), *epoch, "{on:?}, {workers} workers");
            assert_eq!(runs.by_key(), all, "{on:?}, {workers} workers, interrupted at {at}");
        }
    }
}

#[test]
fn what_was_deleted_is_not_loaded_any_more() {
    let place = Place::new();
    let put = (0..100).map(|key| act(key, Do::Add(1)));
    let deleted = (0..90).map(|key| act(key, Do::Delete));
    let acts: Vec<_> = put.map(|act| (0, act)).chain(deleted.map(|act| (1, act))).collect();
    for (end, keys) in [(100, 0), (100, 100), (190, 100), (190, 10), (190, 10)] {
        let script = Script::<_>::of(acts[..end].to_vec());
        let flow = tally(script, place.log());
        let (report, _) = run_reported(flow.workers(3));
        let step = report.steps.iter().find(|step| step.step == "numbers").expect("it is reported");
        assert_eq!(step.keys, keys, "{report}");
    }
}

/// Without interruption.
fn tally(
    acts: Script<Act>,
    log: std::path::PathBuf,
) -> Dataflow<impl flow_runtime::plan::FlowPlan> {
    flow_tests::recovery::tally(acts, Fuse::none(), Out::default()).recovery(log)
}

#[test]
fn a_crash_before_the_first_commit_loses_no_input_however_often_it_comes() {
    let acts: Vec<_> = (0..6).map(|n| act(n % 2, Do::Add(n))).collect();
    for (on, workers) in WAYS {
        let script = Script::<_>::each(acts.clone()).paced();
        let mut runs = Tallied::default();
        for fuse in [Fuse::before(0), Fuse::behind(0), Fuse::before(0)] {
            check_interrupted(runs.run(Run::on(on, workers), &script, fuse));
            assert_eq!(script.resumed(), 0);
        }
        assert_eq!(runs.run(Run::on(on, workers), &script, Fuse::none()).expect("it goes on"), 0);
        assert_eq!(runs.by_key(), expected((0..).zip(acts.clone())));
    }
}

#[test]
fn a_crash_and_three_runs_after_it_repeat_nothing_that_was_committed() {
    let acts: Vec<_> = (0..20).map(|n| act(n % 3, Do::Add(n))).collect();
    for (on, workers) in WAYS {
        let script = Script::<_>::each(acts.clone()).paced();
        let mut runs = Tallied::default();
        let mut begun = Vec::new();
        // Each run is interrupted some epochs later; one at once, so that it commits nothing.
        for passed in [4, 3, 0, 0, 5] {
            check_interrupted(runs.run(Run::on(on, workers), &script, Fuse::behind(passed)));
            begun.push(script.resumed());
        }
        begun.push(runs.run(Run::on(on, workers), &script, Fuse::none()).expect("it goes on"));
        assert_eq!(begun, [0, 4, 7, 7, 7, 12], "{on:?}, {workers} workers");
        assert_eq!(runs.by_key(), expected((0..).zip(acts.clone())));
        // Nothing is left to be done, three times.
        for _ in 0..3 {
            runs.run(Run::on(on, workers), &script, Fuse::none()).expect("it goes on");
            assert_eq!(script.resumed(), 20);
        }
        assert_eq!(runs.by_key(), expected((0..).zip(acts.clone())));
    }
}

#[test]
fn epochs_keep_the_numbers_that_their_source_gives_also_across_gaps() {
    let numbers = [0, 3, 4, 100, 101, 5_000_000_000];
    let acts: Vec<_> = numbers.map(|epoch| (epoch, act(epoch % 2, Do::Add(1)))).into();
    for (on, workers) in WAYS {
        for (at, epoch) in numbers.into_iter().enumerate().skip(1) {
            let script = Script::<_>::of(acts.clone()).paced();
            let mut runs = Tallied::default();
            check_interrupted(runs.run(Run::on(on, workers), &script, Fuse::before(at)));
            let resumed = runs.run(Run::on(on, workers), &script, Fuse::none());
            assert_eq!(resumed.expect("it goes on"), epoch);
            assert_eq!(runs.by_key(), expected(acts.clone()));
        }
    }
}

#[dataflow]
fn failing(acts: Script<u64>, out: Out<u64>, fails: bool) {
    let all = source(acts);
    let by_key = key_by(all, |_| 0);
    let sums = stateful_map(by_key, |sum: &mut u64, _key, n: u64| {
        *sum += n;
        *sum
    });
    let totals = values(sums);
    let noted = inspect(totals, |sum, seen| out.note(seen.epoch, *sum));
    let bad = filter(noted, |sum| fails && *sum > 10);
    fail(bad);
}

#[test]
fn a_source_that_fails_and_a_run_that_is_failed_are_crashes_like_others() {
    for (on, workers) in WAYS {
        let place = Place::new();
        let script = || Script::<u64>::each(1..=6).paced();
        let (out, log) = (Out::default(), place.log());
        let run = |script: Script<u64>, fails| {
            let outcome = on.run(
                failing(script.clone(), out.clone(), fails).workers(workers).recovery(log.clone()),
            );
            (script.resumed(), outcome, out.take())
        };
        let (resumed, outcome, noted) = run(script().fails_at(2), false);
        let error = outcome.expect_err("the source fails");
        assert_eq!(
            (resumed, error.kind(), error.step()),
            (0, ErrorKind::Source, Some("all")),
            "{error}"
        );
        assert_eq!(noted, [(0, 1), (1, 3)]);
        let (resumed, outcome, noted) = run(script(), true);
        assert_eq!((resumed, outcome.expect_err("it is failed").kind()), (2, ErrorKind::Failed));
        assert_eq!(noted, [(2, 6), (3, 10), (4, 15)]);
        let (resumed, outcome, noted) = run(script(), false);
        assert_eq!((resumed, outcome.is_ok()), (4, true));
        assert_eq!(noted, [(4, 15), (5, 21)]);
    }
}
