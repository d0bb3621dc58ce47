//! A worker: a loop that takes messages, runs stages, polls sources, and parks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::assemble::assemble;
use crate::engine::core::{Aborted, Core};
use crate::engine::link::{Link, ToCoordinator, ToWorker};
use crate::engine::meter::Account;
use crate::error::Error;
use crate::failure;
use crate::plan::FlowPlan;
use crate::time::Timestamp;

/// A source's turn begins with this many items ..
const FIRST_LIMIT: usize = 256;
/// .. grows as long as it is shorter than this ..
const SHORT_TURN: Duration = Duration::from_micros(500);
/// .. shrinks when it is longer than this ..
const LONG_TURN: Duration = Duration::from_millis(2);
/// .. and never exceeds this many.
const MOST_ITEMS: usize = 64 * 1024;
/// Processing time that stages see is this exact.
const TICK: Duration = Duration::from_millis(1);

/// Runs one worker to its end. An aborted worker unwinds.
pub(crate) fn work<P: FlowPlan>(plan: P, who: usize, link: &Arc<Link>) -> Result<(), Error> {
    let core = Rc::new(Core::new(who, Arc::clone(link)));
    // A worker that has failed is thrown away whole: nothing half-done is looked at again.
    let result = catch_unwind(AssertUnwindSafe(|| {
        assemble(plan, &core)?;
        if link.recovered.is_some() {
            restore(&core)?;
        }
        link.tell_coordinator(ToCoordinator::Ready);
        Worker::new(Rc::clone(&core)).run()
    }));
    let failure = core.take_failure();
    let error = match result {
        Ok(Ok(())) => failure,
        Ok(Err(error)) => Some(error),
        Err(payload) if payload.is::<Aborted>() => failure,
        Err(payload) => failure.or_else(|| Some(failure::of_panic(payload.as_ref()))),
    };
    if let Some(meter) = core.meter() {
        link.measured(who, meter.end());
    }
    let dismantled = failure::caught(|| {
        core.dismantle();
        Ok(())
    });
    error.map_or(dismantled, Err)
}

/// Lets every stage take over what is saved.
fn restore(core: &Core) -> Result<(), Error> {
    for at in 0..core.len() {
        core.enter(at, |stage| stage.restore(core));
        core.stop_if_aborted();
    }
    core.take_failure().map_or(Ok(()), Err)
}

struct Worker {
    core: Rc<Core>,
    /// Which stages are sources.
    sources: Vec<usize>,
    /// The first epoch has begun.
    running: bool,
    /// The coordinator has been told that all readers have ended.
    exhausted: bool,
    ended: bool,
    /// How many items a source may emit in its next turn.
    limit: usize,
    /// How many it may ever emit in a turn: no more than an epoch has, if that is counted in items.
    most: usize,
    ticked: Timestamp,
    allowance: Option<Allowance>,
    /// Which of `sources` is asked first: the one that the rate has held back.
    first: usize,
}

impl Worker {
    fn new(core: Rc<Core>) -> Self {
        let sources = (0..core.len())
            .rev()
            .filter(|&at| core.enter(at, |stage| stage.is_source()).unwrap_or(false))
            .collect();
        let options = core.link.options;
        let most = options.report_items.map_or(MOST_ITEMS, |items| MOST_ITEMS.min(items as usize));
        Worker {
            core,
            sources,
            limit: FIRST_LIMIT.min(most),
            most,
            running: false,
            exhausted: false,
            ended: false,
            ticked: Timestamp::MIN,
            allowance: options.rate.map(Allowance::new),
            first: 0,
        }
    }

    fn run(&mut self) -> Result<(), Error> {
        let core = Rc::clone(&self.core);
        let (who, env) = (core.who, Arc::clone(&core.link.env));
        if let Some(meter) = core.meter() {
            meter.begin(core.len());
        }
        loop {
            env.turn(who);
            core.set_now(env.now());
            self.take_messages();
            if self.ended {
                return Ok(());
            }
            let mut progress = self.tick();
            progress |= self.run_stages();
            progress |= self.poll_sources();
            self.flush();
            if let Some(failure) = core.take_failure() {
                return Err(failure);
            }
            core.stop_if_aborted();
            progress |= core.take_waited();
            if !progress {
                let until = self.wake_at();
                let before = core.meter().map(|meter| meter.turn_to(Account::Idle));
                env.park(who, until);
                if let (Some(meter), Some(before)) = (core.meter(), before) {
                    meter.turn_back(before);
                }
            }
        }
    }

    fn stages(&self) -> std::ops::Range<usize> {
        0..self.core.len()
    }

    fn take_messages(&mut self) {
        let core = &self.core;
        while let Some(message) = core.link.next_for_worker(core.who) {
            match message {
                ToWorker::Start { barrier, epoch } => {
                    core.begin(barrier);
                    // Downstream first: whatever a step emits when it opens finds an open step.
                    for at in self.stages() {
                        core.enter(at, |stage| stage.open(core, barrier, epoch));
                    }
                    self.running = true;
                }
                ToWorker::Close(marker) => {
                    for at in self.stages().rev() {
                        core.enter(at, |stage| stage.close(core, marker));
                    }
                }
                ToWorker::Committed(epoch) => {
                    for at in self.stages() {
                        core.enter(at, |stage| stage.committed(core, epoch));
                    }
                }
                ToWorker::End => self.ended = true,
            }
        }
    }

    /// Tells stages that use it what time it is: before items come, and when they asked to be told.
    fn tick(&mut self) -> bool {
        let core = &self.core;
        let now = core.now();
        let stale = now.since(self.ticked) >= TICK || self.ticked == Timestamp::MIN;
        let mut ticked = false;
        for at in self.stages().rev() {
            core.enter(at, |stage| {
                let due = stage.wake_at().is_some_and(|at| at <= now);
                if due || (stale && stage.uses_time()) {
                    stage.tick(core);
                    ticked |= due;
                }
            });
        }
        if stale {
            self.ticked = now;
        }
        ticked
    }

    fn run_stages(&mut self) -> bool {
        // A quicker worker may have sent batches before this one has been told to begin.
        if !self.running {
            return false;
        }
        let core = &self.core;
        let mut progress = false;
        for at in self.stages() {
            progress |= core.enter(at, |stage| stage.run(core)).unwrap_or(false);
        }
        progress
    }

    fn poll_sources(&mut self) -> bool {
        if !self.running || self.exhausted || self.core.link.is_held() {
            return false;
        }
        let core = Rc::clone(&self.core);
        let mut progress = false;
        let mut ended = true;
        let mut held_back = None;
        let (first, count) = (self.first, self.sources.len());
        for n in (0..count).map(|n| (first + n) % count) {
            let began = core.now();
            let allowed = match &mut self.allowance {
                Some(allowance) => allowance.items(began),
                None => usize::MAX,
            };
            let limit = match self.limit.min(allowed) {
                0 => 0,
                limit => core.link.env.limit(limit),
            };
            let polled =
                core.enter(self.sources[n], |stage| stage.poll(&core, limit)).unwrap_or_default();
            ended &= polled.ended;
            if limit == 0 && !polled.ended {
                held_back = held_back.or(Some(n));
            }
            if polled.polled {
                progress = true;
                self.count(polled.items);
                self.adapt(began);
            }
        }
        self.first = held_back.unwrap_or(self.first);
        if ended {
            self.exhausted = true;
            core.link.tell_coordinator(ToCoordinator::Exhausted);
        }
        progress
    }

    fn count(&mut self, items: u64) {
        let link = &self.core.link;
        if items == 0 {
            return;
        }
        link.count(&link.counters.items_in, items);
        if let Some(allowance) = &mut self.allowance {
            allowance.spend(items);
        }
        if link.options.report_items.is_some() {
            link.tell_coordinator(ToCoordinator::Items(items));
        }
    }

    /// A turn should be long enough that what is done once a turn does not count, and short enough that barriers and
    /// a stop do not wait.
    fn adapt(&mut self, began: Timestamp) {
        let now = self.core.link.env.now();
        self.core.set_now(now);
        let took = now.since(began);
        if took < SHORT_TURN {
            self.limit = (self.limit * 2).min(self.most);
        } else if took > LONG_TURN {
            self.limit = (self.limit / 2).max(1);
        }
    }

    fn flush(&mut self) {
        let core = &self.core;
        for at in self.stages().rev() {
            core.enter(at, |stage| stage.flush(core));
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let core = &self.core;
        let stages =
            self.stages().filter_map(|at| core.enter(at, |stage| stage.wake_at()).flatten());
        // A source that the rate holds back is polled when that is over, however early it wants to be.
        let sources = match self.allowance.as_ref().and_then(Allowance::wake_at) {
            Some(allowed) => (self.running && !self.exhausted).then_some(allowed),
            None => self
                .sources
                .iter()
                .filter_map(|&at| core.enter(at, |stage| stage.poll_at()).flatten())
                .min(),
        };
        // Sources that are held are polled when they are not any more, and not before.
        let sources = sources.filter(|_| !core.link.is_held());
        stages.chain(sources).min()
    }
}

/// How many items the sources of a worker may emit, so that a rate is kept.
struct Allowance {
    per_second: f64,
    items: f64,
    at: Option<Timestamp>,
}

impl Allowance {
    fn new(per_second: f64) -> Self {
        Allowance { per_second, items: 0.0, at: None }
    }

    /// What may be emitted now. At most a tenth of a second's worth is saved up.
    fn items(&mut self, now: Timestamp) -> usize {
        if let Some(at) = self.at {
            let earned = now.since(at).as_secs_f64() * self.per_second;
            self.items = (self.items + earned).min((self.per_second / 10.0).max(1.0));
        }
        self.at = Some(now);
        self.items as usize
    }

    fn spend(&mut self, items: u64) {
        self.items -= items as f64;
    }

    /// When the next item may be emitted, if it is the rate that holds it back.
    fn wake_at(&self) -> Option<Timestamp> {
        let missing = 1.0 - self.items;
        let wait = || {
            let wait = Duration::try_from_secs_f64(missing / self.per_second);
            // A microsecond more: time is counted in whole ones, and must not stand still for want of a part of one.
            wait.unwrap_or(Duration::MAX).saturating_add(Duration::from_micros(1))
        };
        self.at.filter(|_| missing > 0.0).map(|at| at.after(wait()))
    }
}
