//! Recovery with other numbers of workers, at random places, against a model.

use flow_runtime::{EpochPolicy, Error};
use flow_tests::recovery::{
    Act, Do, Fuse, INTERRUPTED, On, Run, Script, Tallied, expected, without_epochs,
};
use flow_tests::rng::Rng;

fn check_interrupted(outcome: Result<u64, Error>) {
    let error = outcome.expect_err("it is interrupted");
    assert!(error.message().contains(INTERRUPTED), "{error}");
}

/// Random acts, by partition; a key is in one partition only, so that the order of its acts is certain.
fn random_acts(rng: &mut Rng, partitions: usize, count: usize) -> Vec<Vec<(u64, Act)>> {
    let keys = 1 + rng.below(40);
    let per_epoch = 1 + rng.below(6);
    let mut all = vec![Vec::new(); partitions];
    for n in 0..count {
        let key = rng.below(keys);
        let what = match rng.below(8) {
            0 | 1 => Do::Delete,
            2 => Do::Replace(rng.word() % 100),
            3 => Do::Look,
            _ => Do::Add(rng.word() % 100),
        };
        all[key % partitions].push(((n / per_epoch) as u64, Act { key: key as u64, what }));
    }
    all
}

fn named(partitions: &[Vec<(u64, Act)>]) -> impl Iterator<Item = (String, Vec<(u64, Act)>)> {
    (0..).zip(partitions).map(|(n, acts): (usize, _)| (format!("{n:02}"), acts.clone()))
}

#[test]
fn three_five_one_and_eight_workers_in_turn() {
    for on in [On::Threads, On::Virtual(5)] {
        let mut rng = Rng::new(11);
        let acts = random_acts(&mut rng, 4, 240);
        let script = Script::<_>::parts(named(&acts)).paced();
        let mut runs = Tallied::default();
        let mut begun = Vec::new();
        for workers in [3, 5, 1, 8] {
            check_interrupted(runs.run(Run::on(on, workers), &script, Fuse::behind(50)));
            begun.push(script.resumed());
        }
        begun.push(runs.run(Run::on(on, 3), &script, Fuse::none()).expect("it goes on"));
        assert!(begun.is_sorted_by(|a, b| a < b), "every run has committed something: {begun:?}");
        assert_eq!(runs.by_key(), expected(acts.concat()), "{on:?}");
    }
}

#[test]
fn a_crash_in_the_first_epoch_loses_nothing_that_any_worker_has_read() {
    for seed in 0..30 {
        let on = if seed % 5 == 0 { On::Threads } else { On::Virtual(seed) };
        let acts = random_acts(&mut Rng::new(seed), 5, 60);
        let script = Script::<_>::parts(named(&acts));
        let mut runs = Tallied::default();
        // How far workers are apart is left to chance: some are in the first epoch still, some have passed it.
        check_interrupted(runs.run(Run::on(on, 4), &script, Fuse::before(seed as usize % 9)));
        runs.run(Run::on(on, 1 + seed as usize % 6), &script, Fuse::none()).expect("it goes on");
        assert_eq!(runs.by_key(), expected(acts.concat()), "seed {seed}");
    }
}

/// Interrupts runs at random places, with random numbers of workers, until one comes to the end.
fn interrupted_at_random<const GIVES_EPOCHS: bool>(seed: u64, on: impl Fn(&mut Rng) -> On) {
    let mut rng = Rng::new(seed);
    let (partitions, count) = (1 + rng.below(6), 1 + rng.below(150));
    let acts = random_acts(&mut rng, partitions, count);
    let script = Script::<_, GIVES_EPOCHS>::parts(named(&acts));
    let mut runs = Tallied::default();
    let mut told = Vec::new();
    for left in (0..6).rev() {
        let at = rng.below(count + 1);
        let fuse = match rng.below(3) {
            _ if left == 0 => Fuse::none(),
            0 => Fuse::before(at),
            _ => Fuse::behind(at),
        };
        let epochs = EpochPolicy::items([1, 2, 7, 100][rng.below(4)]);
        let run = Run { on: on(&mut rng), workers: 1 + rng.below(8), epochs };
        let script = if rng.once_in(2) { script.clone().paced() } else { script.clone() };
        let outcome = runs.run(run, &script, fuse);
        told.push((run, script.resumed(), outcome.is_ok()));
        match outcome {
            Ok(_) if left % 2 == 0 => break,
            Ok(_) => {}
            Err(error) => assert!(error.message().contains(INTERRUPTED), "{error}, {told:?}"),
        }
    }
    let all = expected(acts.concat());
    if GIVES_EPOCHS {
        assert_eq!(runs.by_key(), all, "seed {seed}: {told:?}");
    } else {
        assert_eq!(runs.numbers(), without_epochs(&all), "seed {seed}: {told:?}");
    }
}

#[test]
fn interrupted_at_random_it_equals_the_model_on_a_virtual_schedule() {
    for seed in 0..40 {
        interrupted_at_random::<true>(seed, |rng| On::Virtual(rng.word()));
        interrupted_at_random::<false>(1000 + seed, |rng| On::Virtual(rng.word()));
    }
}

#[test]
fn interrupted_at_random_it_equals_the_model_on_threads() {
    for seed in 0..12 {
        interrupted_at_random::<true>(seed, |_| On::Threads);
        interrupted_at_random::<false>(1000 + seed, |_| On::Threads);
    }
}

#[test]
fn many_keys_and_few_changes_are_gathered_whole() {
    // More keys than a step looks up one by one, in epochs that change all, some or few of them.
    let all = (0..3000).map(|key| (0, Act { key, what: Do::Add(key) }));
    let some = (0..1500).map(|key| (1, Act { key: 2 * key, what: Do::Delete }));
    let few = (0..9).map(|key| (2, Act { key: 100 * key, what: Do::Add(1) }));
    let look = (0..3000).map(|key| (3, Act { key, what: Do::Look }));
    let acts: Vec<_> = all.chain(some).chain(few).chain(look).collect();
    for workers in [1, 3] {
        let script = Script::<_>::of(acts.clone()).paced();
        let mut runs = Tallied::default();
        for items in [3200, 1505, 100] {
            check_interrupted(runs.run(
                Run::on(On::Threads, workers),
                &script,
                Fuse::behind(items),
            ));
        }
        let resumed = runs.run(Run::on(On::Threads, 4 - workers), &script, Fuse::none());
        assert_eq!(resumed.expect("it goes on"), 3);
        assert_eq!(runs.by_key(), expected(acts.clone()));
    }
}
