//! The coordinator: the one place that numbers barriers, and that knows when a run is over.
//!
//! A barrier goes round like this: the coordinator orders every worker to close; every source of every worker sends
//! the marker at its next batch boundary; every stage passes it when all its senders have; a worker whose stages have
//! all passed reports so; when all have reported, the epoch is committed and everybody is told. With a recovery log workers hand
//! what changed to the committer as they pass, and it is the committer's word that counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::engine::committer::ToCommitter;
use crate::engine::fifo::{Marker, Then};
use crate::engine::link::{Link, ToCoordinator, ToWorker};
use crate::error::{Error, ErrorKind};
use crate::recovery::RecoveryReport;
use crate::recovery::writer::Closing;
use crate::time::{Barrier, Epoch, Timestamp};

/// When an epoch ends.
///
/// A source that gives epochs itself overrides it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochPolicy(Policy);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    Every(Duration),
    Items(u64),
}

impl EpochPolicy {
    /// After this much time, if anything has happened; the default is a second.
    pub const fn every(period: Duration) -> EpochPolicy {
        EpochPolicy(Policy::Every(period))
    }

    /// After about this many items, summed over all sources and workers: a worker finishes its batch.
    pub const fn items(count: u64) -> EpochPolicy {
        EpochPolicy(Policy::Items(count))
    }

    /// How many items may at most go unreported.
    pub(crate) fn report_items(&self) -> Option<u64> {
        match self.0 {
            Policy::Every(_) => None,
            Policy::Items(count) => Some(count.max(1)),
        }
    }

    /// How many barriers may be on their way. By time two are enough; counted or given epochs can be so short that
    /// waiting for each commit would bound them.
    fn in_flight(&self) -> usize {
        match self.0 {
            Policy::Every(_) => 2,
            Policy::Items(_) => 256,
        }
    }
}

impl Default for EpochPolicy {
    fn default() -> Self {
        EpochPolicy::every(Duration::from_secs(1))
    }
}

/// No epoch is closed while so many bytes wait for the disk.
const GATHERED_MAX: u64 = 64 << 20;

/// What the coordinator is told at the start.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    pub(crate) policy: EpochPolicy,
    /// The end of the input is the end for good.
    pub(crate) finish: bool,
    /// The number of partitions of the source that gives epochs.
    pub(crate) authority: Option<usize>,
    /// How long a run that was told to stop, or has failed, may go without any progress.
    pub(crate) patience: Duration,
}

/// What conducting a run came to.
pub(crate) struct Conducted {
    pub(crate) outcome: Result<(), Error>,
    /// All workers have ended; otherwise some do not come back.
    pub(crate) all_gone: bool,
}

/// A barrier on its way.
struct InFlight {
    marker: Marker,
    passed: usize,
}

pub(crate) struct Coordinator<'a> {
    link: &'a Link,
    orders: Orders,
    ready: usize,
    running: bool,
    next: Barrier,
    epoch: Epoch,
    in_flight: VecDeque<InFlight>,
    exhausted: usize,
    items: u64,
    /// For each partition of the source that gives epochs and has not ended: the epoch that it waits for.
    partitions: BTreeMap<usize, Option<Epoch>>,
    closed_at: Timestamp,
    activity: u64,
    /// Nothing has happened in the open epoch: its period begins when something does.
    quiet: bool,
    stop: bool,
    ending: bool,
    failure: Option<Error>,
    gone: usize,
    /// Whether the committer has ended, or there is none.
    committer_gone: bool,
    /// Whether the committer was told that nothing more will come.
    committer_told: bool,
    /// What had happened, and when, the last time that something had.
    progress: (u64, Timestamp),
}

impl<'a> Coordinator<'a> {
    pub(crate) fn new(link: &'a Link, orders: Orders) -> Self {
        let now = link.env.now();
        let recovered = link.recovered.as_ref();
        let partitions =
            (0..orders.authority.unwrap_or(0)).map(|partition| (partition, None)).collect();
        Coordinator {
            link,
            orders,
            ready: 0,
            running: false,
            next: recovered.map_or(Barrier(0), |recovered| Barrier(recovered.barrier)),
            epoch: recovered.map_or(Epoch(0), |recovered| recovered.epoch),
            in_flight: VecDeque::new(),
            exhausted: 0,
            items: 0,
            partitions,
            closed_at: now,
            activity: 0,
            quiet: false,
            stop: false,
            ending: false,
            failure: None,
            gone: 0,
            committer_gone: recovered.is_none(),
            committer_told: false,
            progress: (0, now),
        }
    }

    /// Conducts the run to its end.
    pub(crate) fn conduct(mut self) -> Conducted {
        let who = self.link.coordinator();
        let env = &self.link.env;
        while !self.is_over() {
            env.turn(who);
            let mut heard = false;
            while let Some(message) = self.link.next_for_coordinator() {
                heard = true;
                self.hear(message);
            }
            let now = env.now();
            while let Some((next, then)) = self.due(now) {
                self.close(now, next, then);
            }
            self.link.hold(self.must_hold(now));
            if self.is_out_of_patience(now) {
                break;
            }
            if self.gone == self.link.workers && !self.committer_told {
                self.committer_told = true;
                self.link.tell_committer(ToCommitter::End);
                continue;
            }
            if !heard {
                env.park(who, self.wake_at());
            }
            if env.is_stuck() {
                self.failure.get_or_insert_with(stuck);
                break;
            }
        }
        let all_gone = self.is_over();
        Conducted { outcome: self.failure.map_or(Ok(()), Err), all_gone }
    }

    /// Whether all other participants have ended.
    fn is_over(&self) -> bool {
        self.gone == self.link.workers && self.committer_gone
    }

    fn hear(&mut self, message: ToCoordinator) {
        match message {
            ToCoordinator::Ready => {
                self.ready += 1;
                if self.ready == self.link.workers && self.failure.is_none() {
                    self.start();
                }
            }
            ToCoordinator::Passed(barrier) => self.passed(barrier),
            ToCoordinator::Exhausted => self.exhausted += 1,
            ToCoordinator::Items(items) => self.items += items,
            ToCoordinator::AtEpoch { partition, next } => {
                self.partitions.insert(partition, Some(next));
            }
            ToCoordinator::Ended { partition } => {
                self.partitions.remove(&partition);
            }
            ToCoordinator::Failed(error) => {
                self.failure.get_or_insert(error);
                self.link.abort();
            }
            ToCoordinator::Committed { barrier, counts } => self.committed(barrier, counts),
            ToCoordinator::Gone => self.gone += 1,
            ToCoordinator::CommitterGone => self.committer_gone = true,
            ToCoordinator::Stop => self.stop = true,
        }
    }

    fn start(&mut self) {
        self.running = true;
        self.closed_at = self.link.env.now();
        self.report();
        for worker in (0..self.link.workers).rev() {
            let start = ToWorker::Start { barrier: self.next, epoch: self.epoch };
            self.link.tell_worker(worker, start);
            // On a virtual schedule too a worker may run before the next one is told.
            self.link.env.turn(self.link.coordinator());
        }
    }

    /// Says what was found in the recovery log, now that all workers have taken their parts.
    fn report(&self) {
        let Some(recovered) = &self.link.recovered else { return };
        let report = RecoveryReport {
            resumed: recovered.barrier > 0,
            epoch: recovered.epoch,
            generation: recovered.generation,
            steps: recovered.take_loaded(),
            dropped: recovered.dropped.clone(),
            migrated: recovered.migrated.clone(),
            repaired: recovered.repaired.clone(),
            took: self.link.env.now().since(recovered.began),
        };
        tracing::info!(log = %recovered.layout.root().display(), "{report}");
        self.link.tell(&report.to_string());
        // Nobody else sets it.
        let _ = self.link.report.set(report);
    }

    /// The next barrier to order now, if any.
    fn due(&mut self, now: Timestamp) -> Option<(Epoch, Then)> {
        if !self.running || self.ending || self.failure.is_some() {
            return None;
        }
        if self.stop {
            return Some((self.epoch.next(), Then::Stop));
        }
        if self.exhausted == self.link.workers {
            // Once: what an earlier run has emitted at the end of all is not followed by another end.
            let finishes = self.orders.finish && !self.had_finished();
            let then = if finishes { Then::Finish } else { Then::Stop };
            return Some((self.epoch.next(), then));
        }
        if !self.partitions.is_empty() {
            // The source says when, and what the next epoch is called: the earliest that a partition waits for.
            let all_wait = self.partitions.values().all(Option::is_some);
            let earliest = self.partitions.values().flatten().min().copied();
            return earliest
                .filter(|_| all_wait && self.in_flight.len() < 256 && !self.is_behind())
                .map(|next| (next, Then::Open));
        }
        if self.in_flight.len() >= self.orders.policy.in_flight() {
            return None;
        }
        let next = (self.epoch.next(), Then::Open);
        match self.orders.policy.0 {
            Policy::Items(count) => (self.items >= count && !self.is_behind()).then_some(next),
            Policy::Every(period) => {
                if now.since(self.closed_at) < period {
                    return None;
                }
                if self.is_quiet(now) {
                    return None;
                }
                Some(next)
            }
        }
    }

    /// Whether an earlier run has ended the input for good.
    fn had_finished(&self) -> bool {
        self.link.recovered.as_ref().is_some_and(|recovered| recovered.finished)
    }

    /// Whether so much waits for the disk that no more may be gathered.
    fn is_behind(&self) -> bool {
        self.link.gathered() >= GATHERED_MAX && !self.in_flight.is_empty()
    }

    /// Whether sources must wait, because the open epoch should end and cannot: too many are on their way. Otherwise the open one
    /// would grow with what is read meanwhile. By time that is what it does, unless rows that sinks have stored wait for their
    /// target: these grow with the epoch, which then takes the longer.
    fn must_hold(&self, now: Timestamp) -> bool {
        let full = self.in_flight.len() >= self.orders.policy.in_flight() || self.is_behind();
        if !self.running || self.ending || self.failure.is_some() || !full || self.stop {
            return false;
        }
        // A source that gives the epochs waits by itself, and the others with it where it has.
        match self.orders.policy.0 {
            _ if !self.partitions.is_empty() => self.is_behind(),
            // However short an epoch is, something must be read in it.
            Policy::Items(count) => self.items >= count.max(1),
            Policy::Every(period) => {
                let waits = self.is_behind() || self.link.has_stored();
                waits && now.since(self.closed_at) >= period
            }
        }
    }

    fn close(&mut self, now: Timestamp, next: Epoch, then: Then) {
        let marker = Marker { barrier: self.next, next, then };
        self.link.tell_committer(ToCommitter::Closing(Closing {
            barrier: self.next,
            epoch: self.epoch,
            next,
            at: now,
            finishes: then == Then::Finish,
        }));
        tracing::debug!(
            barrier = marker.barrier.0,
            epoch = self.epoch.0,
            ?then,
            "closing the epoch"
        );
        for worker in 0..self.link.workers {
            self.link.tell_worker(worker, ToWorker::Close(marker));
            self.link.env.turn(self.link.coordinator());
        }
        self.in_flight.push_back(InFlight { marker, passed: 0 });
        self.next = self.next.next();
        self.epoch = next;
        self.link.counters.epoch.store(next.0, Ordering::Relaxed);
        self.items = 0;
        self.closed_at = now;
        self.activity = self.link.happened();
        self.ending = then.ends();
        for waits_for in self.partitions.values_mut() {
            if waits_for.is_some_and(|waits_for| waits_for <= next) {
                *waits_for = None;
            }
        }
    }

    /// A worker has passed a barrier; when all have, it is committed. Barriers are passed in order.
    fn passed(&mut self, barrier: Barrier) {
        if let Some(in_flight) =
            self.in_flight.iter_mut().find(|in_flight| in_flight.marker.barrier == barrier)
        {
            in_flight.passed += 1;
        }
        if self.link.recovered.is_some() {
            // The committer has what changed, and the last word.
            return;
        }
        while let Some(done) =
            self.in_flight.pop_front_if(|first| first.passed == self.link.workers)
        {
            self.done(done.marker, true);
        }
    }

    /// The committer has committed an epoch, or found nothing to commit in it. Epochs come in order.
    fn committed(&mut self, barrier: Barrier, counts: bool) {
        if let Some(done) = self.in_flight.pop_front_if(|first| first.marker.barrier == barrier) {
            self.done(done.marker, counts);
        }
    }

    /// Everything before a marker is durable. Where nothing counted, the log knows nothing of the epoch.
    fn done(&mut self, marker: Marker, counts: bool) {
        let Marker { barrier, next, then } = marker;
        tracing::debug!(barrier = barrier.0, next = next.0, counts, "committed");
        if counts {
            self.link.counters.committed.store(next.0, Ordering::Relaxed);
            self.link.counters.epochs.fetch_add(1, Ordering::Relaxed);
        }
        for worker in 0..self.link.workers {
            if counts {
                self.link.tell_worker(worker, ToWorker::Committed(next));
            }
            if then.ends() {
                self.link.tell_worker(worker, ToWorker::End);
            }
        }
    }

    /// Whether nothing has happened in the open epoch. An idle run sleeps until something does, and a period later the
    /// epoch is closed.
    fn is_quiet(&mut self, now: Timestamp) -> bool {
        let was_quiet = self.quiet;
        self.link.set_quiet(true);
        self.quiet = self.link.happened() == self.activity;
        if !self.quiet {
            self.link.set_quiet(false);
        }
        if was_quiet && !self.quiet {
            self.closed_at = now;
            return true;
        }
        self.quiet
    }

    /// Whether all workers have done what they were told, and only the committer has not.
    fn waits_for_committer(&self) -> bool {
        let passed = |first: &InFlight| first.passed == self.link.workers;
        self.link.recovered.is_some() && self.in_flight.front().is_none_or(passed)
    }

    /// A run that was told to stop, or has failed, and no longer moves is given up.
    fn is_out_of_patience(&mut self, now: Timestamp) -> bool {
        let happened =
            self.link.happened().wrapping_add(self.link.counters.committed.load(Ordering::Relaxed));
        let committing = self.link.counters.committing.load(Ordering::Relaxed);
        let happened = happened.wrapping_add(committing);
        if happened != self.progress.0 {
            self.progress = (happened, now);
        }
        let waits = self.stop || self.failure.is_some();
        if !waits {
            self.progress.1 = now;
        }
        if !waits || now.since(self.progress.1) < self.orders.patience {
            return false;
        }
        let committed = self.link.counters.committed.load(Ordering::Relaxed);
        let waits_for_committer = self.waits_for_committer();
        self.failure.get_or_insert_with(|| {
            Error::new(
                ErrorKind::Stopped,
                format!(
                    "the run was told to stop and has not moved for {} s; the first epoch that is not committed is {committed}",
                    self.orders.patience.as_secs()
                ),
            )
            .help(if waits_for_committer {
                "the disk of the recovery log, or a sink that writes with its commits, does not come back; the last epochs may have been committed all the same: the next start says"
            } else {
                "a step does not come back: look for a function that waits for something"
            })
        });
        self.link.abort();
        true
    }

    fn wake_at(&self) -> Option<Timestamp> {
        if self.stop || self.failure.is_some() {
            return Some(self.progress.1.after(self.orders.patience));
        }
        match self.orders.policy.0 {
            Policy::Every(period)
                if self.running && !self.ending && !self.quiet && self.partitions.is_empty() =>
            {
                // When too many barriers are on their way, a passed one wakes the coordinator; before that it may have to hold sources.
                let due = self.closed_at.after(period);
                let can_close = self.in_flight.len() < self.orders.policy.in_flight();
                (can_close || due > self.link.env.now()).then_some(due)
            }
            _ => None,
        }
    }
}

fn stuck() -> Error {
    Error::new(
        ErrorKind::Stopped,
        "every worker waits for another one, so nothing will ever happen again",
    )
    .help("a source that is fed from outside cannot be used on the virtual schedule")
}
