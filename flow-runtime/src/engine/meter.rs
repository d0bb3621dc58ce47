//! What a worker measures of itself in a run that is profiled.
//!
//! The worker's time goes to one account at a time: to a stage, to waiting for room on behalf of a stage, to idling, or to what lies
//! between. Whoever is entered takes the time over and gives it back when it is left, so the time of a stage that is run from inside
//! another one's push is its own, and all accounts together are all of the time. The clock is read when the account changes, which is
//! a few times for each batch and never for an item.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::control::{Answer, Kept};
use crate::describe::{OutletId, StepId};
use crate::env::Env;
use crate::profile::steps::{Outer, Steps, Watched};
use crate::recovery::changes::Changes;
use crate::time::Timestamp;

/// Whose time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// Of a stage, by its number on the worker.
    Stage(usize),
    /// Of a stage that waits for room in a queue, and of looking for another one to run meanwhile.
    Room(usize),
    /// Of nobody: the worker is parked.
    Idle,
    /// Of the engine, between stages.
    Between,
}

/// What was measured of a stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageMeter {
    pub(crate) busy: Duration,
    pub(crate) waited: Duration,
    pub(crate) items_in: u64,
    /// Of these, those that came from another worker.
    pub(crate) crossed: u64,
    pub(crate) batches: u64,
    /// Items that its sinks have encoded.
    pub(crate) written: u64,
    /// What it has saved at barriers.
    pub(crate) saved_entries: u64,
    pub(crate) saved_bytes: u64,
}

/// What was measured of a worker.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// The stages by their numbers on the worker, downstream first.
    pub(crate) stages: Vec<StageMeter>,
    pub(crate) idle: Duration,
    pub(crate) between: Duration,
    /// The rows that left by each outlet.
    pub(crate) sent: BTreeMap<OutletId, u64>,
    /// What each step kept at the last barrier.
    pub(crate) kept: BTreeMap<StepId, Kept>,
    pub(crate) steps: Steps,
}

/// Measures one worker.
pub(crate) struct Meter {
    env: Arc<dyn Env>,
    watched: Watched,
    account: Cell<Account>,
    /// Since when the time is the account's.
    since: Cell<Timestamp>,
    /// Has no stages before the worker runs.
    measured: RefCell<Measured>,
}

/// Whose time it was before.
pub(crate) struct Before {
    account: Account,
    outer: Outer,
}

impl Meter {
    pub(crate) fn new(env: Arc<dyn Env>, watched: Watched) -> Self {
        Meter {
            since: Cell::new(env.now()),
            env,
            watched,
            account: Cell::new(Account::Between),
            measured: RefCell::default(),
        }
    }

    /// The worker has been assembled from so many stages and begins to run.
    pub(crate) fn begin(&self, stages: usize) {
        let stages = vec![StageMeter::default(); stages];
        self.measured.replace(Measured { stages, ..Measured::default() });
        self.since.set(self.env.now());
        self.watched.begin();
        self.watched.set(Account::Between);
    }

    /// From now on the time is of another account.
    pub(crate) fn turn_to(&self, account: Account) -> Before {
        self.charge();
        Before { account: self.account.replace(account), outer: self.watched.set(account) }
    }

    /// The time is whose it was before.
    pub(crate) fn turn_back(&self, before: Before) {
        self.charge();
        self.account.set(before.account);
        self.watched.set_back(before.outer);
    }

    /// The stage that runs begins to wait for room.
    pub(crate) fn wait_for_room(&self) -> Before {
        self.turn_to(match self.account.get() {
            Account::Stage(at) => Account::Room(at),
            other => other,
        })
    }

    fn charge(&self) {
        let now = self.env.now();
        let took = now.since(self.since.replace(now));
        let mut measured = self.measured.borrow_mut();
        match self.account.get() {
            Account::Idle => measured.idle += took,
            Account::Between => measured.between += took,
            Account::Stage(at) => measured.with(at, |stage| stage.busy += took),
            Account::Room(at) => measured.with(at, |stage| stage.waited += took),
        }
    }

    fn stage(&self, f: impl FnOnce(&mut StageMeter)) {
        if let Account::Stage(at) = self.account.get() {
            self.measured.borrow_mut().with(at, f);
        }
    }

    /// The stage that runs takes a batch.
    pub(crate) fn took(&self, rows: usize, crossed: bool) {
        self.stage(|stage| {
            stage.batches += 1;
            stage.items_in += rows as u64;
            stage.crossed += if crossed { rows as u64 } else { 0 };
        });
    }

    /// A batch leaves by an outlet.
    pub(crate) fn sent(&self, outlet: OutletId, rows: usize) {
        *self.measured.borrow_mut().sent.entry(outlet).or_insert(0) += rows as u64;
    }

    /// The stage that runs has gathered what it changed.
    pub(crate) fn saved(&self, changes: &Changes) {
        self.stage(|stage| {
            stage.saved_entries += changes.entries();
            stage.saved_bytes += changes.bytes() as u64;
        });
    }

    /// The consumers of the stage that runs have answered.
    pub(crate) fn answered(&self, answer: &mut Answer) {
        self.stage(|stage| stage.written += answer.items_out);
        let kept = answer.kept.take().unwrap_or_default();
        self.measured.borrow_mut().kept.extend(kept);
    }

    /// The worker has ended.
    pub(crate) fn end(&self) -> Measured {
        self.charge();
        let steps = self.watched.end();
        Measured { steps, ..self.measured.take() }
    }
}

impl Measured {
    /// Before the worker runs it has no stages here, and nothing is measured.
    fn with(&mut self, at: usize, f: impl FnOnce(&mut StageMeter)) {
        if let Some(stage) = self.stages.get_mut(at) {
            f(stage);
        }
    }
}
