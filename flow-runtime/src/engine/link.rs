//! What the participants of a run share: queues, messages, counters.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crossbeam_queue::SegQueue;

use crate::asynchronous::Reactor;
use crate::describe::{OutletId, StepId};
use crate::engine::committer::ToCommitter;
use crate::engine::compactor::ToCompactor;
use crate::engine::fifo::{Fifo, Marker};
use crate::engine::meter::Measured;
use crate::env::Env;
use crate::error::Error;
use crate::event_time::{Board, PartitionTime};
use crate::host::Assignment;
use crate::io::{AwaitRoom, Io};
use crate::profile::Profile;
use crate::profile::steps::Watching;
use crate::recovery::RecoveryReport;
use crate::recovery::fence::Fence;
use crate::recovery::recovered::Recovered;
use crate::state::GROUPS;
use crate::time::{Barrier, Epoch};

/// From the coordinator to a worker.
#[derive(Debug)]
pub(crate) enum ToWorker {
    /// All workers are assembled: begin.
    Start { barrier: Barrier, epoch: Epoch },
    /// Close the epoch at the next batch boundary.
    Close(Marker),
    /// All epochs before this one are durable.
    Committed(Epoch),
    /// The last epoch is durable: the worker's thread may end.
    End,
}

/// From a worker to the coordinator.
#[derive(Debug)]
pub(crate) enum ToCoordinator {
    /// A worker is assembled, its input opened.
    Ready,
    /// Every stage of a worker has passed the barrier.
    Passed(Barrier),
    /// All readers of a worker have ended.
    Exhausted,
    /// Items that a worker's sources have emitted. Only where epochs are counted in items.
    Items(u64),
    /// A partition of the source that gives epochs is at the end of one.
    AtEpoch { partition: usize, next: Epoch },
    /// A partition of the source that gives epochs has ended.
    Ended { partition: usize },
    /// A worker has given up.
    Failed(Error),
    /// An epoch has been committed, or there was nothing to commit in it.
    Committed { barrier: Barrier, counts: bool },
    /// A worker's thread has ended.
    Gone,
    /// The committer's thread has ended.
    CommitterGone,
    /// Somebody outside wants the run to end with a commit.
    Stop,
}

/// What all participants of a run share.
pub(crate) struct Link {
    pub(crate) env: Arc<dyn Env>,
    pub(crate) workers: usize,
    pub(crate) hash_seed: u64,
    /// Key groups, which are dealt to the workers.
    pub(crate) groups: u32,
    /// Who reads and writes which partition.
    pub(crate) assignments: BTreeMap<StepId, Assignment>,
    /// The queues, made by whichever end asks first.
    queues: Mutex<BTreeMap<(OutletId, usize, usize), Arc<dyn Any + Send + Sync>>>,
    /// What the copies of a step on all workers share.
    shared: Mutex<BTreeMap<StepId, Arc<dyn Any + Send + Sync>>>,
    to_workers: Vec<SegQueue<ToWorker>>,
    to_coordinator: SegQueue<ToCoordinator>,
    to_committer: SegQueue<ToCommitter>,
    to_compactor: SegQueue<ToCompactor>,
    /// The bytes that workers have handed to the committer and that are not committed.
    gathered: AtomicU64,
    /// How many of them hold what sinks have stored and will carry out.
    stored: AtomicU64,
    /// Sources are not polled: an epoch should end and cannot.
    held: AtomicBool,
    /// What the recovery log has, in a run with one.
    pub(crate) recovered: Option<Recovered>,
    pub(crate) fence: Option<Fence>,
    /// What the start found, once all workers have taken their parts.
    pub(crate) report: OnceLock<RecoveryReport>,
    /// Somebody waits for a full disk.
    waits: AtomicBool,
    abort: AtomicBool,
    /// The coordinator sleeps until something happens.
    quiet: AtomicBool,
    pub(crate) counters: Counters,
    pub(crate) options: LinkOptions,
    /// What futures may wait with, beside the engine.
    pub(crate) reactor: Reactor,
    /// Who looks at workers, in a run that is profiled.
    pub(crate) watching: Watching,
    /// What was measured of the workers that have ended, in such a run.
    measured: Mutex<BTreeMap<usize, Measured>>,
    /// What it came to, at the end of such a run.
    pub(crate) profile: OnceLock<Profile>,
}

/// Settings that workers look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LinkOptions {
    /// Report emitted items to the coordinator, at least this often.
    pub(crate) report_items: Option<u64>,
    /// The most items per second that the sources of one worker may emit.
    pub(crate) rate: Option<f64>,
    /// Tells a person what was recovered, and what the run waits for.
    pub(crate) tells: Option<fn(&str)>,
    /// While a disk is full the run waits.
    pub(crate) waits_for_room: bool,
    /// Workers measure what they do.
    pub(crate) profiles: bool,
}

/// How often it is tried again whether a full disk has room.
const RETRY: Duration = Duration::from_secs(1);

/// Has a worker wait for a full disk.
#[derive(Debug)]
struct RoomFor {
    link: Arc<Link>,
    worker: usize,
}

impl AwaitRoom for RoomFor {
    fn wait(&self, refused: &Error) -> bool {
        self.link.wait_for_room(self.worker, refused)
    }
    fn has_room(&self) {
        self.link.has_room();
    }
}

/// What has happened so far; for progress and for the summary.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) items_in: AtomicU64,
    pub(crate) items_out: AtomicU64,
    pub(crate) epoch: AtomicU64,
    pub(crate) committed: AtomicU64,
    /// Epochs committed by this run.
    pub(crate) epochs: AtomicU64,
    /// How often the committer has made epochs durable.
    pub(crate) commits: AtomicU64,
    pub(crate) saved: SavedCounters,
    /// What the committer has done: syncs, commits, rows carried out. It counts as progress.
    pub(crate) committing: AtomicU64,
}

/// What the recovery log has cost so far.
#[derive(Debug, Default)]
pub(crate) struct SavedCounters {
    pub(crate) entries: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Bytes that compaction has written.
    pub(crate) compacted: AtomicU64,
    /// Microseconds that workers have gathered for, all together, and the most for one stage at one barrier.
    pub(crate) micros: AtomicU64,
    pub(crate) longest: AtomicU64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(
        env: Arc<dyn Env>,
        workers: usize,
        hash_seed: u64,
        assignments: BTreeMap<StepId, Assignment>,
        options: LinkOptions,
        recovery: Option<(Recovered, Fence)>,
    ) -> Self {
        let groups = recovery.as_ref().map_or(GROUPS, |(recovered, _)| recovered.names.groups);
        let (recovered, fence) = recovery.unzip();
        let resume = recovered.as_ref().map_or(Epoch(0), |recovered| recovered.epoch);
        let counters = Counters {
            epoch: AtomicU64::new(resume.0),
            committed: AtomicU64::new(resume.0),
            ..Counters::default()
        };
        Link {
            env,
            workers,
            hash_seed,
            groups,
            assignments,
            queues: Mutex::default(),
            shared: Mutex::default(),
            to_workers: (0..workers).map(|_| SegQueue::new()).collect(),
            to_coordinator: SegQueue::new(),
            to_committer: SegQueue::new(),
            to_compactor: SegQueue::new(),
            gathered: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            held: AtomicBool::new(false),
            recovered,
            fence,
            report: OnceLock::new(),
            waits: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            quiet: AtomicBool::new(false),
            counters,
            options,
            // This is the thread on which the run is started.
            reactor: Reactor::of_caller(),
            watching: Watching::default(),
            measured: Mutex::default(),
            profile: OnceLock::new(),
        }
    }

    /// What the copies of a step on all workers share.
    pub(crate) fn shared<T: Default + Send + Sync + 'static>(&self, id: &StepId) -> Arc<T> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::<T>::default() as Arc<dyn Any + Send + Sync>;
        let it = Arc::clone(shared.entry(id.clone()).or_insert_with(make));
        it.downcast().expect("the copies of a step share something of one type")
    }

    /// How far event time has come in the partitions of sources.
    pub(crate) fn event_times(&self) -> Vec<PartitionTime> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let boards = shared.iter().filter_map(|(id, it)| Some((id, it.downcast_ref::<Board>()?)));
        boards.flat_map(|(id, board)| board.times(id.as_str())).collect()
    }

    /// The coordinator's number among the participants.
    pub(crate) fn coordinator(&self) -> usize {
        self.workers
    }

    /// The committer's number among the participants, in a run with a recovery log.
    pub(crate) fn committer(&self) -> usize {
        self.workers + 1
    }

    /// The compactor's number among the participants, in a run with a recovery log.
    pub(crate) fn compactor(&self) -> usize {
        self.workers + 2
    }

    /// How many participate.
    pub(crate) fn participants(&self) -> usize {
        self.workers + if self.recovered.is_some() { 3 } else { 1 }
    }

    /// The files as a worker uses them: not written any more once a later run has taken over the log, and waited for while
    /// they are full.
    pub(crate) fn io(self: &Arc<Self>, worker: usize) -> Io {
        let room = RoomFor { link: Arc::clone(self), worker };
        let room = self.options.waits_for_room.then(|| Arc::new(room) as Arc<dyn AwaitRoom>);
        self.env.io().fenced(self.fence.clone()).patient(room)
    }

    /// What a full disk may have refused went well.
    pub(crate) fn has_room(&self) {
        if self.waits.swap(false, Ordering::Relaxed) {
            tracing::info!("there is room again");
            self.tell("there is room again");
        }
    }

    /// A worker has ended, and this is what was measured of it.
    pub(crate) fn measured(&self, worker: usize, measured: Measured) {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).insert(worker, measured);
    }

    /// What was measured of the workers, in their order.
    pub(crate) fn take_measured(&self) -> Vec<Measured> {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *measured).into_values().collect()
    }

    /// Tells a person, if there is one, what happens.
    pub(crate) fn tell(&self, text: &str) {
        if let Some(tell) = self.options.tells {
            tell(text);
        }
    }

    /// Waits a while for a full disk, which has refused something. Answers `false` if the run is being given up.
    pub(crate) fn wait_for_room(&self, who: usize, refused: &Error) -> bool {
        if !self.waits.swap(true, Ordering::Relaxed) {
            let message = refused.message();
            tracing::warn!(error = message, "the disk is full: waiting until there is room");
            self.tell(&format!("the disk is full: {message}; waiting until there is room"));
        }
        let until = self.env.now().after(RETRY);
        while self.env.now() < until && !self.is_aborted() && !self.env.is_stuck() {
            self.env.park(who, Some(until));
        }
        !self.is_aborted() && !self.env.is_stuck()
    }

    /// The queue of an outlet between two workers.
    pub(crate) fn queue<R: Send + 'static>(
        &self,
        outlet: OutletId,
        from: usize,
        to: usize,
    ) -> Arc<Fifo<R>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry((outlet, from, to)).or_insert_with(|| {
            Arc::new(Fifo::<R>::new(self.queue_limit())) as Arc<dyn Any + Send + Sync>
        });
        Arc::clone(queue).downcast().expect(
            "every worker assembles the same plan, so both ends of an outlet have one row type",
        )
    }

    /// Batches a queue may hold. There are workers² queues per exchange, so each is the shorter the more there are.
    pub(crate) fn queue_limit(&self) -> usize {
        (32 / self.workers).clamp(2, 16)
    }

    pub(crate) fn tell_worker(&self, worker: usize, message: ToWorker) {
        self.to_workers[worker].push(message);
        self.env.unpark(worker);
    }

    pub(crate) fn next_for_worker(&self, worker: usize) -> Option<ToWorker> {
        self.to_workers[worker].pop()
    }

    /// In a run without a recovery log there is nobody to be told.
    pub(crate) fn tell_committer(&self, message: ToCommitter) {
        if self.recovered.is_some() {
            if let ToCommitter::Gathered { changes, .. } = &message {
                self.gathered.fetch_add(changes.bytes() as u64, Ordering::Relaxed);
                self.stored.fetch_add(changes.stored.len() as u64, Ordering::Relaxed);
            }
            self.to_committer.push(message);
            self.env.unpark(self.committer());
        }
    }

    pub(crate) fn next_for_committer(&self) -> Option<ToCommitter> {
        self.to_committer.pop()
    }

    pub(crate) fn tell_compactor(&self, message: ToCompactor) {
        self.to_compactor.push(message);
        self.env.unpark(self.compactor());
    }

    pub(crate) fn next_for_compactor(&self) -> Option<ToCompactor> {
        self.to_compactor.pop()
    }

    /// So many gathered bytes have been committed, and so many things that sinks had stored carried out.
    pub(crate) fn freed(&self, bytes: usize, stored: usize) {
        self.gathered.fetch_sub(bytes as u64, Ordering::Relaxed);
        self.stored.fetch_sub(stored as u64, Ordering::Relaxed);
    }

    /// Whether sinks have stored what is still to be carried out.
    pub(crate) fn has_stored(&self) -> bool {
        self.stored.load(Ordering::Relaxed) > 0
    }

    /// Lets sources be polled, or not.
    pub(crate) fn hold(&self, held: bool) {
        if self.held.swap(held, Ordering::Relaxed) && !held {
            (0..self.workers).for_each(|worker| self.env.unpark(worker));
        }
    }

    /// Whether sources are not to be polled.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// The bytes that wait to be committed.
    pub(crate) fn gathered(&self) -> u64 {
        self.gathered.load(Ordering::Relaxed)
    }

    pub(crate) fn tell_coordinator(&self, message: ToCoordinator) {
        self.to_coordinator.push(message);
        self.env.unpark(self.coordinator());
    }

    pub(crate) fn next_for_coordinator(&self) -> Option<ToCoordinator> {
        self.to_coordinator.pop()
    }

    /// Counts items, and wakes the coordinator if it sleeps until there are some.
    pub(crate) fn count(&self, counter: &AtomicU64, items: u64) {
        counter.fetch_add(items, Ordering::SeqCst);
        if self.quiet.load(Ordering::SeqCst) && self.quiet.swap(false, Ordering::SeqCst) {
            self.env.unpark(self.coordinator());
        }
    }

    /// A number that changes whenever something happens.
    pub(crate) fn happened(&self) -> u64 {
        let counters = &self.counters;
        counters
            .items_in
            .load(Ordering::SeqCst)
            .wrapping_add(counters.items_out.load(Ordering::SeqCst))
    }

    /// The coordinator is about to sleep until something happens. It must look whether something has once more.
    pub(crate) fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::SeqCst);
    }

    /// Makes every worker give up as soon as it can.
    pub(crate) fn abort(&self) {
        self.abort.store(true, Ordering::SeqCst);
        (0..self.participants()).for_each(|who| self.env.unpark(who));
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.abort.load(Ordering::Relaxed)
    }
}
