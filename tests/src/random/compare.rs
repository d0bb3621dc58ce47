//! Running a graph and comparing what its sinks were given with what the interpreter says.

use flow_runtime::{Dataflow, Error};

use crate::collect::Collect;
use crate::random::build::RandomPlan;
use crate::random::naive::{Items, interpret};
use crate::random::{Changes, Graph, Op, Order, Row, Traces};
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
    for (n, node) in graph.nodes.iter().enumerate() {
        let Some(&input) = node.inputs.first() else { continue };
        let shape = graph.streams[input];
        let what = format!("step_{n}, {:?} of stream {input}: {shape:?}", node.op);
        match node.op {
            Op::Sink(_) if shape.keyed => {
                let kept = &traces.keyed[n];
                let rows = |epoch: Vec<(u64, Row)>| epoch.into_iter().map(|(_, row)| row).collect();
                check_epochs(kept.epochs().into_iter().map(rows).collect(), shape.late, &what);
                compare(kept.items(), &expected[input], shape.order, &what);
                assert_eq!(kept.lost(), 0, "{what}: items were never sealed");
            }
            Op::Sink(_) => {
                let kept = &traces.plain[n];
                check_epochs(kept.epochs(), shape.late, &what);
                let items = kept.items().into_iter().map(|row| (0, row)).collect();
                compare(items, &expected[input], shape.order, &what);
                assert_eq!(kept.lost(), 0, "{what}: items were never sealed");
            }
            Op::Broadcast => check_changes(&traces.applied[n], &expected[input], &what),
            _ => {}
        }
    }
    Ok(())
}

/// What is sealed with one barrier is of one epoch, and epochs rise.
fn check_epochs(epochs: Vec<Vec<Row>>, late: bool, what: &str) {
    let mut before = None;
    for rows in epochs {
        let Some(latest) = rows.iter().map(|row| row.epoch).max() else { continue };
        assert!(
            late || before.is_none_or(|before| before < latest),
            "{what}: epoch {latest} twice"
        );
        assert!(late || rows.iter().all(|row| row.epoch == latest), "{what}: epochs are mixed");
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
