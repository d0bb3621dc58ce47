//! Where the time of a run went.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | what was measured, as a value |
//! | `table` | the same for people |
//! | `steps` | counts and times inside of stages, in a build with the feature `profile` |
//!
//! What is measured, and when, is the business of `engine/meter.rs`.

pub(crate) mod steps;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::control::Kept;
use crate::description::{Description, StageInfo};
use crate::engine::link::Counters;
use crate::engine::meter::{Account, Measured, StageMeter};
use crate::host::Spread;
use crate::profile::steps::{PER_STEP, StepCounts};

/// Where the time of a run went: what `--profile` and [`Dataflow::profile`](crate::Dataflow::profile) ask for, and
/// [`Summary::profile`](crate::Summary::profile) has when the run is over. Displayed as a table.
///
/// All is measured for whole batches, so a run is hardly slower for it, and one that is not profiled not at all. Steps that are fused into
/// one stage run in one loop: to count and time each of them takes code for every item, which is there only where this crate
/// is built with its feature `profile` (`cargo run --features flow-runtime/profile`).
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn totals(numbers: Vec<u64>, out: Collect<(bool, u64)>) {
///     let all = source(from_iter(numbers));
///     let by_evenness = key_by(all, |n| n % 2 == 0);
///     let sums = stateful_map(by_evenness, |sum: &mut u64, _even, n| {
///         *sum += n;
///         *sum
///     });
///     sink(sums, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, _) = collect();
/// let summary = totals((0..5000).collect(), out).workers(1).profile().spawn()?.wait()?;
/// let profile = summary.profile.expect("it was asked for");
/// let counting = &profile.stages[1];
/// assert_eq!(counting.items_in, 5000);
/// assert_eq!(counting.steps[1].step, "sums");
/// assert_eq!(counting.steps[1].keys, Some(2));
/// println!("{profile}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The name of the dataflow.
    pub name: &'static str,
    /// The stages, upstream first, each over all workers.
    pub stages: Vec<StageProfile>,
    /// The workers.
    pub workers: Vec<WorkerProfile>,
    /// How long workers have done what belongs to no stage: taking messages, looking for something to do.
    pub between: Duration,
    /// How often workers were looked at to find out which step they are in; `None` where steps are not timed.
    pub samples: Option<u64>,
    /// Epochs that were committed.
    pub epochs: u64,
    /// How often epochs were made durable in the recovery log. Epochs that wait for the disk go through together.
    pub commits: u64,
}

/// What was measured of a stage: a run of steps that are one loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageProfile {
    /// Its steps, upstream first.
    pub steps: Vec<StepProfile>,
    /// Items that came in: read by a source, or received from other stages. To the partitions of a sink come blocks of encoded items.
    pub items_in: u64,
    /// The same for each worker.
    pub items_by_worker: Vec<u64>,
    /// Of the items that came in, those that came from another worker.
    pub crossed: u64,
    /// The batches in which they came; of a source its turns.
    pub batches: u64,
    /// Items that were sent to other stages, or encoded by sinks. What `for_each` and `collect` take is not counted.
    pub items_out: u64,
    /// How long workers have run it. A stage that is run from inside of another one's push has its own time.
    pub busy: Duration,
    /// How long it has waited for room in the queues to other workers.
    pub waited: Duration,
    /// Keys and positions that it has put into the recovery log, each time.
    pub saved_entries: u64,
    /// The bytes of these.
    pub saved_bytes: u64,
    /// Where its items come from, in words.
    from: String,
}

/// What was measured of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepProfile {
    /// Its id.
    pub step: String,
    /// What sort of step it is.
    pub kind: &'static str,
    /// Items that it took. `None` where steps inside of stages are not counted.
    pub items_in: Option<u64>,
    /// Items that it emitted. `None` where that is not counted, and of sinks.
    pub items_out: Option<u64>,
    /// How often a worker was found in it, of [`Profile::samples`] times: its share of the time. Of the step that a stage begins
    /// with, also in what belongs to no other step of the stage: reading, taking items from batches. `None` where steps are not timed.
    pub samples: Option<u64>,
    /// The keys that it kept at the last barrier; `None` if it keeps none.
    pub keys: Option<u64>,
    /// The memory of its table then. What keys and states point to is not counted.
    pub state_bytes: Option<u64>,
}

/// How a worker has spent its time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerProfile {
    /// It has worked.
    pub busy: Duration,
    /// It has waited for room in a queue to another worker.
    pub waited: Duration,
    /// It had nothing to do.
    pub idle: Duration,
}

impl WorkerProfile {
    fn of(measured: &Measured) -> Self {
        let stages = &measured.stages;
        WorkerProfile {
            busy: stages.iter().map(|stage| stage.busy).sum::<Duration>() + measured.between,
            waited: stages.iter().map(|stage| stage.waited).sum(),
            idle: measured.idle,
        }
    }

    /// All of its time.
    pub fn total(&self) -> Duration {
        self.busy + self.waited + self.idle
    }
}

/// The kinds of steps that are the other half of one of the same name.
const OTHER_HALVES: [&str; 2] = ["sink partitions", "sequencer"];

impl Profile {
    pub(crate) fn new(
        name: &'static str,
        described: &Description,
        measured: Vec<Measured>,
        counters: &Counters,
    ) -> Profile {
        // Workers number their stages downstream first.
        let last = described.stages.len().saturating_sub(1);
        let mut stages: Vec<_> = (described.stages.iter().enumerate())
            .map(|(n, stage)| StageProfile::new(described, stage, last - n, &measured))
            .collect();
        let mut samples = 0;
        for worker in &measured {
            for counts in &worker.steps.counts {
                samples += counts.samples;
                let mut steps = stages.iter_mut().flat_map(|stage| &mut stage.steps);
                if let Some(step) = steps.find(|step| step.is_counted_by(counts)) {
                    step.add(counts);
                }
            }
            for &(account, found) in &worker.steps.samples {
                samples += found;
                if let Account::Stage(at) = account
                    && let Some(stage) = last.checked_sub(at).and_then(|n| stages.get_mut(n))
                    && let Some(first) = stage.steps.first_mut()
                {
                    *first.samples.get_or_insert(0) += found;
                }
            }
        }
        if PER_STEP {
            stages.iter_mut().for_each(StageProfile::count_first);
        }
        Profile {
            name,
            stages,
            workers: measured.iter().map(WorkerProfile::of).collect(),
            between: measured.iter().map(|worker| worker.between).sum(),
            samples: PER_STEP.then_some(samples),
            epochs: counters.epochs.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
        }
    }

    /// The time of all workers together.
    pub fn total(&self) -> Duration {
        self.workers.iter().map(WorkerProfile::total).sum()
    }

    /// The steps, in the order of the graph.
    pub fn steps(&self) -> impl Iterator<Item = &StepProfile> {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }
}

impl StageProfile {
    fn new(described: &Description, stage: &StageInfo, at: usize, measured: &[Measured]) -> Self {
        let kept = |step: &str| {
            let kept = measured.iter().flat_map(|worker| &worker.kept);
            let kept = kept.filter(|(id, _)| id.as_str() == step).map(|(_, kept)| *kept);
            kept.reduce(|a, b| Kept { keys: a.keys + b.keys, bytes: a.bytes + b.bytes })
        };
        let steps = stage.steps.iter().map(|info| {
            let kept = kept(info.id.as_str()).filter(|_| !OTHER_HALVES.contains(&info.kind));
            StepProfile {
                step: info.id.to_string(),
                kind: info.kind,
                items_in: None,
                items_out: None,
                samples: PER_STEP.then_some(0),
                keys: kept.map(|kept| kept.keys),
                state_bytes: kept.map(|kept| kept.bytes),
            }
        });
        // Blocks of encoded items are no items: these were counted when they were encoded.
        let blocks: BTreeMap<_, _> = described
            .stages
            .iter()
            .flat_map(|stage| &stage.reads)
            .map(|read| (read.outlet, read.spread == Some(Spread::ToWorker)))
            .collect();
        let mut profile = StageProfile {
            steps: steps.collect(),
            from: described.comes_from(stage).trim().to_owned(),
            ..StageProfile::default()
        };
        for worker in measured {
            let sent = stage.writes.iter().filter(|outlet| blocks.get(outlet) == Some(&false));
            profile.items_out += sent.filter_map(|outlet| worker.sent.get(outlet)).sum::<u64>();
            let none = StageMeter::default();
            let stage = worker.stages.get(at).unwrap_or(&none);
            profile.items_by_worker.push(stage.items_in);
            profile.items_in += stage.items_in;
            profile.crossed += stage.crossed;
            profile.batches += stage.batches;
            profile.items_out += stage.written;
            profile.busy += stage.busy;
            profile.waited += stage.waited;
            profile.saved_entries += stage.saved_entries;
            profile.saved_bytes += stage.saved_bytes;
        }
        profile
    }

    /// What comes into the stage comes into the step that it begins with, which passes all of it on. Such a step may have a function
    /// that has been counted where it runs: before its items are sent here.
    fn count_first(&mut self) {
        if let Some(first) = self.steps.first_mut() {
            first.items_in = Some(self.items_in);
            first.items_out = match first.kind {
                "sink partitions" | "broadcast" => None,
                _ => Some(self.items_in),
            };
        }
    }
}

impl StepProfile {
    fn is_counted_by(&self, counts: &StepCounts) -> bool {
        self.step == counts.step && OTHER_HALVES.contains(&self.kind) == counts.apart
    }

    fn add(&mut self, counts: &StepCounts) {
        *self.items_in.get_or_insert(0) += counts.taken;
        if self.kind != "sink" && self.kind != "discard" && self.kind != "fail" {
            *self.items_out.get_or_insert(0) += counts.emitted;
        }
        *self.samples.get_or_insert(0) += counts.samples;
    }
}
