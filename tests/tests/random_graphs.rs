//! Random graphs on every host, against the interpreter.

use flow_tests::random::{check, graphs};
use flow_tests::runner::{OnEngine, OnThreads, OnToy, Runner, Schedule};
use proptest::prelude::*;

/// How a graph is run: every number of workers with one of the batch sizes.
fn run_all_ways(
    graph: &flow_tests::random::Graph,
    runner: &impl Runner,
    workers: &[usize],
    seed: u64,
    barrier_every: usize,
) -> Result<(), TestCaseError> {
    for (n, &workers) in workers.iter().enumerate() {
        let batch = [1, 7, 1024][(seed as usize + n) % 3];
        let schedule = Schedule { workers, batch, seed, barrier_every };
        let outcome = check(graph, runner, schedule);
        prop_assert!(outcome.is_ok(), "{schedule:?}: {:?}", outcome.err());
    }
    Ok(())
}

fn barriers() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0_usize), 1..4_usize, 4..60_usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn on_the_toy_host(graph in graphs(), seed: u64, barrier_every in barriers()) {
        run_all_ways(&graph, &OnToy, &[1, 2, 3, 8], seed, barrier_every)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn on_the_engine(graph in graphs(), seed: u64, barrier_every in barriers()) {
        run_all_ways(&graph, &OnEngine, &[1, 2, 3, 8], seed, barrier_every)?;
    }
}

// What real threads do is not replayed by a seed, so failures are not kept.
proptest! {
    #![proptest_config(ProptestConfig { cases: 25, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_threads(graph in graphs(), seed: u64, barrier_every in barriers()) {
        run_all_ways(&graph, &OnThreads, &[1, 2, 3], seed, barrier_every)?;
    }
}
