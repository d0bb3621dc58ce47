//! The threads of a run: one for each worker, one for the coordinator.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::engine::coordinator::{Coordinator, EpochPolicy, Orders};
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
    let Settings { env, workers, policy, finish, rate, hash_seed } = settings;
    let found = survey(plan.clone(), &env.io(), workers)?;
    let options = LinkOptions {
        report_items: policy.report_items().filter(|_| found.authority.is_none()),
        rate: rate.map(|rate| rate / workers as f64),
    };
    let orders =
        Orders { policy, finish, authority: found.authority.map(|(_, partitions)| partitions) };
    let link = Arc::new(Link::new(env, workers, hash_seed, found.assignments, options));
    link.env.begin(workers + 1);
    let thread = {
        let link = Arc::clone(&link);
        spawn("flow-coordinator".to_owned(), move || {
            let outcome = run(&plan, &link, orders);
            after();
            outcome
        })?
    };
    Ok(Launched { link, thread })
}

/// Runs workers and coordinator to the end.
fn run<P: FlowPlan>(plan: &P, link: &Arc<Link>, orders: Orders) -> Result<(), Error> {
    let mut threads = Vec::with_capacity(link.workers);
    for who in 0..link.workers {
        let (plan, worker_link) = (plan.clone(), Arc::clone(link));
        match spawn(format!("flow-worker-{who}"), move || worker(plan, who, &worker_link)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                // Those that run already are told to end; those that do not exist are counted as gone.
                link.tell_coordinator(ToCoordinator::Failed(error));
                (who..link.workers).for_each(|worker| {
                    link.env.leave(worker);
                    link.tell_coordinator(ToCoordinator::Gone);
                });
                break;
            }
        }
    }
    link.env.enter(link.coordinator());
    let outcome = Coordinator::new(link, orders).conduct();
    link.env.leave(link.coordinator());
    // A worker that does not come back is left behind: its thread ends with the process.
    for thread in threads {
        if thread.is_finished()
            || !matches!(&outcome, Err(error) if error.kind() == ErrorKind::Stopped)
        {
            // A worker's panics are caught inside of it.
            let _ = thread.join();
        }
    }
    outcome
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
    name: String,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new().name(name).spawn(f).map_err(|error| {
        Error::new(ErrorKind::Configuration, format!("cannot start a thread: {error}"))
            .help("run with fewer workers")
            .caused_by(error)
    })
}
