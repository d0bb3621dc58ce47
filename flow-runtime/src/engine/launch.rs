//! The threads of a run: one for each worker, one for the coordinator.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::description::{Description, describe};
use crate::engine::committer::{Appliers, Committing, commit, nothing_applies};
use crate::engine::compactor::compact;
use crate::engine::coordinator::{Conducted, Coordinator, EpochPolicy, Orders};
use crate::engine::link::{Link, LinkOptions, ToCoordinator};
use crate::engine::survey::{End, Role, Surveyed, survey};
use crate::engine::worker::work;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::failure::{self, Note};
use crate::io::file::Lock;
use crate::io::{Io, RunBegin};
use crate::plan::FlowPlan;
use crate::profile::Profile;
use crate::profile::steps::PER_STEP;
use crate::recovery::check::read_stored;
use crate::recovery::folder::Folder;
use crate::recovery::start::Adopted;
use crate::recovery::writer::{Begun, LogWriter};
use crate::recovery::{Reading, RecoveryLog};

/// How to run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) workers: usize,
    pub(crate) policy: EpochPolicy,
    pub(crate) finish: bool,
    /// Items per second, over all workers.
    pub(crate) rate: Option<f64>,
    pub(crate) recovery: Option<RecoveryLog>,
    /// Tells a person what was recovered, and what the run waits for.
    pub(crate) tells: Option<fn(&str)>,
    /// How long a run that was told to stop, or has failed, may go without any progress.
    pub(crate) patience: Duration,
    /// Measure where the time goes.
    pub(crate) profiles: bool,
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
    let Settings { env, workers, policy, finish, rate, recovery, tells, patience, profiles } =
        settings;
    let io = env.io();
    let log = recovery.as_ref();
    // Before anything else: what follows may make folders.
    let folder = log.map(|log| Folder::open(&*env, log, P::GRAPH.name)).transpose()?;
    let reading = Reading::new(Arc::clone(&env), tells);
    let folder = folder.map(|folder| folder.telling(reading));
    let io = io.with_new_log(folder.as_ref().is_some_and(|folder| folder.is_new));
    let (plan, described, (found, adopted, appliers)) = failure::caught(move || {
        let found = survey(plan.clone(), &io, workers)?;
        found.check_ends(log)?;
        let adopted = match (folder, log) {
            (Some(folder), Some(log)) => Some(folder.adopt(&found.steps, workers, log)?),
            _ => None,
        };
        // Before sinks carry anything out: it refuses those that are others now.
        let dealt = found.deal(workers, adopted.as_ref().map(|adopted| &adopted.recovered))?;
        let appliers = match &adopted {
            Some(adopted) => {
                let allow_ahead = log.is_some_and(|log| log.sink_ahead);
                recover_sinks(&found, adopted, &io, allow_ahead)?
            }
            None => Appliers::new(),
        };
        let described = profiles.then(|| describe(plan.clone()));
        Ok((plan, described, ((found.stages, dealt), adopted, appliers)))
    })?;
    let (stages, found) = found;
    let mut hash_seed = 0;
    let (mut recovered, mut committing, mut lock) = (None, None, None);
    if let (Some(adopted), Some(log)) = (adopted, log) {
        hash_seed = adopted.recovered.seed;
        if let Some(last) = adopted.commits.manifest().last {
            env.not_before(last.at);
        }
        let writer = LogWriter::new(Begun {
            commits: adopted.commits,
            keeper: adopted.keeper,
            files: Arc::clone(&adopted.recovered.files),
            layout: adopted.recovered.layout.clone(),
            log_id: adopted.recovered.log_id,
            generation: adopted.generation,
            fence: adopted.fence.clone(),
            limits: log.limits,
            sizes: adopted.recovered.sizes.clone(),
        });
        committing = Some(Committing { writer, appliers });
        recovered = Some((adopted.recovered, adopted.fence));
        lock = Some(adopted.lock);
    }
    let options = LinkOptions {
        report_items: policy.report_items(),
        // Workers without a partition have no use for a share.
        rate: rate.map(|rate| rate / found.reading.len().max(1) as f64),
        tells,
        waits_for_room: recovery.as_ref().is_some_and(|log| log.waits_for_room),
        profiles,
    };
    let stack = stack_size(stages);
    let orders = Orders { policy, finish, authority: found.authority, patience };
    let link = Link::new(env, workers, hash_seed, found.assignments, options, recovered);
    let link = Arc::new(link);
    link.env.begin(link.participants());
    let thread = {
        let link = Arc::clone(&link);
        spawn(thread::Builder::new().name("flow-coordinator".to_owned()), move || {
            let looker = described.is_some().then(|| look_at_workers(&link)).flatten();
            let outcome = failure::caught(|| run(plan, &link, orders, stack, committing, lock));
            if let Some(described) = described {
                finish_profile(&link, P::GRAPH.name, &described, looker);
            }
            after();
            outcome
        })?
    };
    Ok(Launched { link, thread })
}

/// Runs workers and coordinator to the end.
fn run<P: FlowPlan>(
    plan: P,
    link: &Arc<Link>,
    orders: Orders,
    stack: usize,
    committing: Option<Committing>,
    lock: Option<Arc<dyn Lock>>,
) -> Result<(), Error> {
    let mut threads = Vec::with_capacity(link.workers + 1);
    let mut helped = Ok(());
    if let Some(committing) = committing {
        let thread = thread::Builder::new().name("flow-committer".to_owned());
        let committer = {
            let link = Arc::clone(link);
            spawn(thread, move || commit(&link, committing))
        };
        threads.push(committer?);
        let thread = thread::Builder::new().name("flow-compactor".to_owned());
        let compacting = Arc::clone(link);
        match spawn(thread, move || compact(&compacting)) {
            Ok(compactor) => threads.push(compactor),
            Err(error) => {
                link.env.leave(link.compactor());
                helped = Err(error);
            }
        }
    }
    let others = threads.len();
    // A plan holds values of the user's, which may panic when they are cloned or dropped.
    let started = failure::caught(|| {
        helped?;
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
        (threads.len() - others..link.workers).for_each(|worker| {
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
    if !all_gone {
        // A worker that comes back after all must not find the log in other hands.
        std::mem::forget(lock);
    }
    // Not before: a channel, for one, closes with the last that might still be opened.
    let dropped = failure::caught(|| {
        drop(plan);
        Ok(())
    });
    outcome.and(dropped)
}

/// A thread that finds out which steps workers are in, where steps are timed.
fn look_at_workers(link: &Arc<Link>) -> Option<JoinHandle<()>> {
    if !PER_STEP {
        return None;
    }
    let link = Arc::clone(link);
    let thread = thread::Builder::new().name("flow-profiler".to_owned());
    // Without it there are no times, which the profile says.
    thread.spawn(move || while link.watching.look(&*link.env) {}).ok()
}

/// Puts together what workers have measured.
fn finish_profile(
    link: &Link,
    name: &'static str,
    described: &Description,
    looker: Option<JoinHandle<()>>,
) {
    link.watching.stop();
    // It does nothing that could panic.
    let _ = looker.map(JoinHandle::join);
    // Nobody else sets it.
    let _ = link.profile.set(Profile::new(name, described, link.take_measured(), &link.counters));
}

/// Has every sink carry out what it stored with committed epochs and is not known to have carried out. Answers what will go on
/// doing so.
fn recover_sinks(
    found: &Surveyed,
    adopted: &Adopted,
    io: &Io,
    allow_ahead: bool,
) -> Result<Appliers, Error> {
    let mut appliers = Appliers::new();
    let recovered = &adopted.recovered;
    for End { id, partitions, role } in &found.ends {
        let (Role::Sink(Some((_, make))), Some(name)) = (role, recovered.names.names.get(id))
        else {
            continue;
        };
        for partition in partitions {
            let Some(owner) = recovered.owner(id, partition) else { continue };
            let note = Note::of(id);
            let made = make(io, partition, &owner).map_err(|error| error.at_step(id))?;
            note.clear();
            let stored = adopted.commits.manifest().stored.iter();
            let mine = stored
                .filter(|at| at.step == name.number && at.partition == partition.as_str())
                .map(|at| {
                    Ok((
                        at.epoch,
                        read_stored(&recovered.files, &recovered.named, &recovered.layout, at)?,
                    ))
                })
                .collect::<Result<Vec<_>, Error>>()?;
            let Some(mut applier) = made else {
                if mine.is_empty() {
                    continue;
                }
                return Err(nothing_applies(partition).at_step(id));
            };
            adopted.fence.check()?;
            let note = Note::of(id);
            let mut begin = RunBegin::at(recovered.epoch);
            begin.allow_ahead = allow_ahead;
            applier.recover(&mine, begin).map_err(|error| error.at_step(id))?;
            note.clear();
            appliers.insert((name.number, partition.clone()), applier);
        }
    }
    Ok(appliers)
}

/// The bytes of a worker's stack. A push goes through as many stages as there are, one inside the other; without
/// optimisation each takes some kilobytes, the steps themselves among them, and what users' functions need. Memory that is not used is only reserved.
fn stack_size(stages: usize) -> usize {
    const BASE: usize = 8 << 20;
    const STAGE: usize = 48 << 10;
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
