//! flow: starts a dataflow inside the program and waits for its end.

use flow_runtime::plan::FlowPlan;
use flow_runtime::{Dataflow, Summary};

/// Runs a dataflow to the end of its input.
pub fn run<P: FlowPlan>(dataflow: Dataflow<P>, workers: usize) -> Summary {
    let running = dataflow.workers(workers).spawn().expect("the dataflow starts");
    running.wait().expect("the dataflow runs")
}
