//! The threads of a run: one for each worker, one for the coordinator.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::coordinator::{Conducted, Coordinator, EpochPolicy, Orders};
use crate::engine::link::{Link, LinkOptions, ToCoordinator};
use crate::engine::survey::survey;
use crate::engine::worker::work;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::failure;
use crate::plan::FlowPlan;

/// How to run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) workers: usize,
    pub(crate) policy: EpochPolicy,
    pub(crate) finish: bool,
    /// Items per second, over all workers.
    pub(crate) rate: Option<f64>,
    pub(crate) hash_seed: u64,
    /// How long a run that was told to stop, or has failed, may go without any progress.
    pub(crate) patience: Duration,
}

/// A run that has been started.
pub(crate) struct Launched {
    pub(crate) link: Arc<Link>,
    pub(crate) thread: JoinHandle<Result<(), Error>>,
}

/// Asks for partitions, then starts the threads. `after` is called on the coordinator's thread with the outcome.
pub(crate) fn launch<P: FlowPlan>(
    plan: P,
    settings: Settings,
    after: impl FnOnce() + Send + 'static,
) -> Result<Launched, Error> {
    let Settings { env, workers, policy, finish, rate, hash_seed, patience } = settings;
    let io = env.io();
    let (plan, found) = failure::caught(move || {
        let found = survey(plan.clone(), &io, workers)?;
        Ok((plan, found))
    })?;
    let options = LinkOptions {
        report_items: policy.report_items(),
        // Workers without a partition have no use for a share.
        rate: rate.map(|rate| rate / found.reading.len().max(1) as f64),
    };
    let stack = stack_size(found.stages);
    let authority = found.authority.map(|(_, partitions)| partitions);
    let orders = Orders { policy, finish, authority, patience };
    let link = Arc::new(Link::new(env, workers, hash_seed, found.assignments, options));
    link.env.begin(workers + 1);
    let thread = {
        let link = Arc::clone(&link);
        spawn(thread::Builder::new().name("flow-coordinator".to_owned()), move || {
            let outcome = failure::caught(|| run(plan, &link, orders, stack));
            after();
            outcome
        })?
    };
    Ok(Launched { link, thread })
}

/// Runs workers and coordinator to the end.
fn run<P: FlowPlan>(plan: P, link: &Arc<Link>, orders: Orders, stack: usize) -> Result<(), Error> {
    let mut threads = Vec::with_capacity(link.workers);
    // A plan holds values of the user's, which may panic when they are cloned or dropped.
    let started = failure::caught(|| {
        for who in 0..link.workers {
            let (plan, link) = (plan.clone(), Arc::clone(link));
            let thread = thread::Builder::new().name(format!("flow-worker-{who}"));
            threads.push(spawn(thread.stack_size(stack), move || worker(plan, who, &link))?);
        }
        Ok(())
    });
    if let Err(error) = started {
        // Those that run already are told to end; those that do not exist are counted as gone.
        link.tell_coordinator(ToCoordinator::Failed(error));
        (threads.len()..link.workers).for_each(|worker| {
            link.env.leave(worker);
            link.tell_coordinator(ToCoordinator::Gone);
        });
    }
    link.env.enter(link.coordinator());
    let Conducted { outcome, all_gone } = Coordinator::new(link, orders).conduct();
    link.env.leave(link.coordinator());
    // A worker that does not come back is left behind: its thread ends with the process.
    for thread in threads.into_iter().filter(|thread| all_gone || thread.is_finished()) {
        // A worker's panics are caught inside of it.
        let _ = thread.join();
    }
    // Not before: a channel, for one, closes with the last that might still be opened.
    let dropped = failure::caught(|| {
        drop(plan);
        Ok(())
    });
    outcome.and(dropped)
}

/// The bytes of a worker's stack. A push goes through as many stages as there are, one inside the other; without
/// optimisation each takes some kilobytes, and what users' functions need. Memory that is not used is only reserved.
fn stack_size(stages: usize) -> usize {
    const BASE: usize = 8 << 20;
    const STAGE: usize = 32 << 10;
    // What the standard library would look at, if the size were not given.
    let asked = std::env::var("RUST_MIN_STACK").ok().and_then(|bytes| bytes.parse().ok());
    (BASE + STAGE * stages).max(asked.unwrap_or(0))
}

fn worker<P: FlowPlan>(plan: P, who: usize, link: &Arc<Link>) {
    failure::keep_panics_quiet();
    link.env.enter(who);
    if let Err(error) = work(plan, who, link) {
        link.tell_coordinator(ToCoordinator::Failed(error));
    }
    link.tell_coordinator(ToCoordinator::Gone);
    link.env.leave(who);
}

fn spawn<T: Send + 'static>(
    thread: thread::Builder,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    thread.spawn(f).map_err(|error| {
        Error::new(ErrorKind::Configuration, format!("cannot start a thread: {error}"))
            .help("run with fewer workers")
            .caused_by(error)
    })
}
