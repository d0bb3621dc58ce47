//! Running a graph and comparing what its sinks were given with what the interpreter says.

use std::path::Path;

use flow_runtime::{Dataflow, Error};

use crate::collect::Collect;
use crate::random::build::RandomPlan;
use crate::random::naive::{Items, interpret};
use crate::random::{Changes, Graph, Op, Order, Row, Traces};
use crate::recovery::{Fuse, INTERRUPTED};
use crate::runner::{Runner, Schedule};

/// A plan of the graph, and what its run will leave behind.
fn dataflow(graph: &Graph, workers: usize) -> (Dataflow<RandomPlan>, Traces) {
    let partitions = |op: &Op| if let Op::Sink(partitions) = op { *partitions } else { 1 };
    let each = || graph.nodes.iter().map(|node| partitions(&node.op));
    let changes = || (0..workers).map(|_| Changes::default()).collect();
    let traces = Traces {
        plain: each().map(Collect::new).collect(),
        keyed: each().map(Collect::new).collect(),
        applied: graph.nodes.iter().map(|_| changes()).collect(),
        fuse: Fuse::none(),
    };
    (Dataflow::__new(RandomPlan { graph: graph.clone(), traces: traces.clone() }), traces)
}

/// Runs a graph and compares.
///
/// # Errors
/// When the run fails.
///
/// # Panics
/// When a sink was given something else than it should have been.
pub fn check(graph: &Graph, runner: &impl Runner, mut schedule: Schedule) -> Result<(), Error> {
    if graph.gives_epochs() {
        schedule.barrier_every = 0;
    }
    let (dataflow, traces) = dataflow(graph, schedule.workers);
    runner.run(dataflow, schedule)?;
    let expected = interpret(graph);
    compare_sinks(graph, &traces, &expected);
    for (n, node) in graph.nodes.iter().enumerate() {
        if let Op::Broadcast = node.op {
            let input = node.inputs[0];
            let what = format!("step_{n}, Broadcast of stream {input}");
            check_changes(&traces.applied[n], &expected[input], &what);
        }
    }
    Ok(())
}

/// Runs a graph with a recovery log, again and again: in the end a run has come to the end of the input, and what sinks were given in
/// the epochs that count is compared. Each run has a number of items after which it is interrupted.
///
/// # Errors
/// When a run fails otherwise.
///
/// # Panics
/// When a sink was given something else than it should have been.
pub fn check_interrupted(
    graph: &Graph,
    runner: &impl Runner,
    runs: impl IntoIterator<Item = (Schedule, usize)>,
    log: &Path,
) -> Result<(), Error> {
    let runs = runs.into_iter().map(|(schedule, after)| (schedule, Fuse::before(after)));
    let runs: Vec<_> = runs.collect();
    let last = Schedule { workers: 2, batch: 7, seed: 1, barrier_every: 5 };
    let most = runs.iter().map(|(schedule, _)| schedule.workers).max().unwrap_or(0);
    let (_, traces) = dataflow(graph, most.max(last.workers));
    for (mut schedule, fuse) in runs.into_iter().chain([(last, Fuse::none())]) {
        if graph.gives_epochs() {
            schedule.barrier_every = 0;
        }
        let traces = Traces { fuse, ..traces.clone() };
        let dataflow = Dataflow::__new(RandomPlan { graph: graph.clone(), traces });
        match runner.run(dataflow.recovery(log).finish(), schedule) {
            Err(error) if error.message().contains(INTERRUPTED) => {}
            outcome => outcome?,
        }
    }
    compare_sinks(graph, &traces, &interpret(graph));
    Ok(())
}

/// Compares what each sink was given.
fn compare_sinks(graph: &Graph, traces: &Traces, expected: &[Items]) {
    for (n, node) in graph.nodes.iter().enumerate() {
        let (Op::Sink(_), Some(&input)) = (&node.op, node.inputs.first()) else { continue };
        let shape = graph.streams[input];
        let what = format!("step_{n}, {:?} of stream {input}: {shape:?}", node.op);
        // Epoch by epoch: the worker that has a partition may be another one after a restart.
        let (epochs, lost): (Vec<Items>, _) = if shape.keyed {
            (traces.keyed[n].epochs(), traces.keyed[n].lost())
        } else {
            let keyed = |rows: Vec<Row>| rows.into_iter().map(|row| (0, row)).collect();
            (traces.plain[n].epochs().into_iter().map(keyed).collect(), traces.plain[n].lost())
        };
        check_epochs(&epochs, shape.late, &what);
        compare(epochs.concat(), &expected[input], shape.order, &what);
        assert_eq!(lost, 0, "{what}: items were never sealed");
    }
}

/// What is sealed with one barrier is of one epoch, and epochs rise.
fn check_epochs(epochs: &[Items], late: bool, what: &str) {
    let mut before = None;
    for rows in epochs {
        let Some(latest) = rows.iter().map(|(_, row)| row.epoch).max() else { continue };
        assert!(
            late || before.is_none_or(|before| before < latest),
            "{what}: epoch {latest} twice"
        );
        assert!(
            late || rows.iter().all(|(_, row)| row.epoch == latest),
            "{what}: epochs are mixed"
        );
        before = Some(latest);
    }
}

/// Every worker has applied the same changes in the same order, epoch by epoch, and each of them once.
fn check_changes(applied: &[Changes], expected: &Items, what: &str) {
    let of = |changes: &Changes| changes.lock().expect("no holder panics").clone();
    let first = of(&applied[0]);
    for other in &applied[1..] {
        assert_eq!(of(other), first, "{what}: copies differ");
    }
    compare(first.into_iter().map(|row| (0, row)).collect(), expected, Order::None, what);
}

/// Compares as much as is certain. Epochs are a matter of the schedule.
fn compare(mut found: Items, expected: &Items, order: Order, what: &str) {
    let mut expected = expected.clone();
    for (_, row) in found.iter_mut().chain(&mut expected) {
        row.epoch = 0;
    }
    match order {
        Order::Total => {}
        // Sorting is stable: the items of a key stay in order.
        Order::ByKey => {
            found.sort_by_key(|(key, _)| *key);
            expected.sort_by_key(|(key, _)| *key);
        }
        Order::None => {
            found.sort();
            expected.sort();
        }
    }
    assert_eq!(found, expected, "{what}");
}
