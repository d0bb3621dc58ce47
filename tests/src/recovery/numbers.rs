//! A dataflow that keeps a number for each key, and its model.

use std::collections::BTreeMap;

use flow_runtime::Error;
use flow_runtime::prelude::*;
use serde::{Deserialize, Serialize};

use crate::recovery::{Fuse, History, On, Out, Place, Script};

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Do {
    /// Adds to its number.
    Add(u64),
    /// Forgets it.
    Delete,
    /// Forgets it, and begins with this number.
    Replace(u64),
    /// Looks at it.
    Look,
}

/// Something to do to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The key.
    pub key: u64,
    /// What to do.
    pub what: Do,
}

impl Act {
    fn apply(self, number: &mut Option<u64>) -> Option<u64> {
        match self.what {
            Do::Add(more) => *number = Some(number.unwrap_or(0) + more),
            Do::Delete => *number = None,
            Do::Replace(new) => {
                *number = None;
                *number = Some(new);
            }
            Do::Look => {}
        }
        *number
    }
}

/// Keeps a number for each key, and lets out each key with its number after each act.
#[dataflow]
pub fn tally<A: Source<Item = Act>>(acts: A, fuse: Fuse, out: Out<(u64, Option<u64>)>) {
    let all = source(acts);
    let passed = inspect(all, |_, _| fuse.pass());
    let by_key = key_by(passed, |act| act.key);
    let numbers =
        stateful_map(by_key, |number: &mut Option<u64>, _key, act: Act| act.apply(number));
    let pairs = entries(numbers);
    let noted = inspect(pairs, |pair, seen| {
        out.note(seen.epoch, *pair);
        fuse.pass_behind();
    });
    discard(noted, "it is noted");
}

/// How one of several runs is run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Where.
    pub on: On,
    /// With so many workers.
    pub workers: usize,
    /// When an epoch ends, where the source does not give epochs.
    pub epochs: EpochPolicy,
}

impl Run {
    /// Epochs as the source gives them.
    pub fn on(on: On, workers: usize) -> Run {
        Run { on, workers, epochs: EpochPolicy::items(1) }
    }
}

/// Runs of [`tally`](fn@tally) on one log.
#[derive(Debug, Default)]
pub struct Tallied {
    /// Where the log is.
    pub place: Place,
    history: History<(u64, Option<u64>)>,
}

impl Tallied {
    /// Runs until it ends or is interrupted. Answers the epoch it began with.
    ///
    /// # Errors
    /// When the run fails.
    ///
    /// # Panics
    /// When it lets out something that was committed.
    pub fn run<const GIVES_EPOCHS: bool>(
        &mut self,
        run: Run,
        acts: &Script<Act, GIVES_EPOCHS>,
        fuse: Fuse,
    ) -> Result<u64, Error> {
        let out = Out::default();
        let flow = tally(acts.clone(), fuse, out.clone());
        let flow = flow.workers(run.workers).epochs(run.epochs).recovery(self.place.log());
        let outcome = run.on.run(flow);
        self.history.add(acts.resumed(), out.take());
        outcome.map(|()| acts.resumed())
    }

    /// What has come out, key by key, with its epochs.
    pub fn by_key(&self) -> BTreeMap<u64, Vec<(u64, Option<u64>)>> {
        let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (epoch, (key, number)) in self.history.all() {
            keys.entry(key).or_default().push((epoch, number));
        }
        keys
    }

    /// What has come out, key by key.
    pub fn numbers(&self) -> BTreeMap<u64, Vec<Option<u64>>> {
        without_epochs(&self.by_key())
    }
}

/// What would come out without any interruption, key by key, with the epochs of the acts.
pub fn expected(
    acts: impl IntoIterator<Item = (u64, Act)>,
) -> BTreeMap<u64, Vec<(u64, Option<u64>)>> {
    let mut kept: BTreeMap<u64, Option<u64>> = BTreeMap::new();
    let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (epoch, act) in acts {
        let number = act.apply(kept.entry(act.key).or_default());
        keys.entry(act.key).or_default().push((epoch, number));
    }
    keys
}

/// The same, epochs left out.
pub fn without_epochs<T: Clone>(keys: &BTreeMap<u64, Vec<(u64, T)>>) -> BTreeMap<u64, Vec<T>> {
    keys.iter()
        .map(|(key, all)| (*key, all.iter().map(|(_, item)| item.clone()).collect()))
        .collect()
}
