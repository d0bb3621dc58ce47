//! Random graphs, interrupted at random places and gone on with other numbers of workers, against the interpreter.

use flow_tests::random::{Graph, check_interrupted, graphs};
use flow_tests::recovery::Place;
use flow_tests::rng::Rng;
use flow_tests::runner::{OnEngine, OnThreads, Runner, Schedule};
use proptest::prelude::*;

fn interrupted(graph: &Graph, runner: &impl Runner, seed: u64) -> Result<(), TestCaseError> {
    let mut rng = Rng::new(seed);
    let place = Place::new();
    let count = 1 + rng.below(4);
    // How many items pass in all depends on the graph: some runs come to their end, which is one more case.
    let runs: Vec<_> = (0..count)
        .map(|_| {
            let schedule = Schedule {
                workers: 1 + rng.below(6),
                batch: 1,
                seed: rng.word(),
                barrier_every: [1, 3, 20][rng.below(3)],
            };
            let most = [10, 60, 400][rng.below(3)];
            (schedule, rng.below(most))
        })
        .collect();
    let outcome = check_interrupted(graph, runner, runs.clone(), &place.log());
    prop_assert!(outcome.is_ok(), "{runs:?}: {:?}", outcome.err());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn on_the_engine(graph in graphs(), seed: u64) {
        interrupted(&graph, &OnEngine, seed)?;
    }
}

// What real threads do is not replayed by a seed, so failures are not kept.
proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_threads(graph in graphs(), seed: u64) {
        interrupted(&graph, &OnThreads, seed)?;
    }
}
