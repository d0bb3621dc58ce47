//! What a log must say, and what was promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::time::Epoch;

/// What there is to be kept before an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// Keyed state.
    pub(super) state: BTreeMap<u64, Vec<u8>>,
    /// The position of the source: how many items it has given.
    pub(super) read: u64,
    /// What the sink that can be cut back has written.
    pub(super) out: Vec<u8>,
}

/// What outlives the machine: what was promised, and the target of the outbox.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    /// By the epoch that follows.
    pub(super) kept: BTreeMap<u64, Arc<Kept>>,
    /// The first epoch that was not reported as committed.
    pub(super) acknowledged: u64,
    /// What the target of the outbox has, by epoch.
    pub(super) applied: BTreeMap<u64, Arc<[u8]>>,
    /// What it must have, by epoch.
    pub(super) rows: BTreeMap<u64, Arc<[u8]>>,
}

impl World {
    /// A start has found this epoch to be the next one: what was tried later never happened.
    pub(super) fn goes_on_at(&mut self, next: u64) {
        self.acknowledged = next;
        self.kept.retain(|epoch, _| *epoch <= next);
        self.rows.retain(|epoch, _| *epoch < next);
    }

    /// The target is asked to apply the rows of an epoch, which it does unless it has done so before.
    pub(super) fn apply(&mut self, epoch: Epoch, rows: &[u8]) {
        let last = self.applied.last_key_value().map(|(last, _)| *last);
        if last.is_none_or(|last| epoch.0 > last) {
            self.applied.insert(epoch.0, rows.into());
        }
    }

    /// Whether the target has the rows of all epochs before this one, each once, and no others.
    pub(super) fn check_target(&self, next: u64) -> Result<(), String> {
        let must = self.rows.range(..next);
        if must.clone().eq(self.applied.iter()) {
            return Ok(());
        }
        let (must, has): (Vec<_>, Vec<_>) = (must.collect(), self.applied.keys().collect());
        Err(format!(
            "before epoch {next} the target has the rows of {has:?}, and must have {must:?}"
        ))
    }
}

/// What the world was like at each operation of a run.
#[derive(Debug, Default)]
pub(super) struct Trail(Vec<(u64, World)>);

impl Trail {
    /// From this operation on the world is like this.
    pub(super) fn note(&mut self, operation: u64, world: &World) {
        self.0.push((operation, world.clone()));
    }

    /// What it was like for a machine that crashed in this operation. The first is noted before the run begins.
    pub(super) fn at(&self, operation: u64) -> &World {
        let behind = self.0.partition_point(|(from, _)| *from <= operation);
        &self.0[behind.saturating_sub(1)].1
    }

    /// What it is like at the end.
    pub(super) fn last(&self) -> &World {
        self.at(u64::MAX)
    }
}
