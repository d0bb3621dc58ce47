//! A source of given items in given epochs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use flow_runtime::time::{Epoch, Timestamp};
use flow_runtime::{Error, ErrorKind};

use crate::recovery::INTERRUPTED;

/// How long a paced script waits for a commit. Longer than any machine takes: then it will never come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Partitions of items in epochs. Where the source does not give the epochs of the run (`GIVES_EPOCHS`), theirs are only labels.
///
/// A paced one emits no item of an epoch before all items of earlier epochs are committed, so that a test knows what is.
#[derive(Clone, Debug)]
pub struct Script<T, const GIVES_EPOCHS: bool = true> {
    partitions: Arc<BTreeMap<String, Vec<(u64, T)>>>,
    paced: bool,
    fails: Option<u64>,
    shared: Arc<Mutex<Shared>>,
}

/// What the readers of a run share.
#[derive(Debug, Default)]
struct Shared {
    /// The epoch that the run began with, as far as partitions were told of one.
    resumed: u64,
    /// The latest epoch of which items were emitted that are not known to be committed.
    open: Option<u64>,
    wakers: Vec<Waker>,
}

impl<T, const GIVES_EPOCHS: bool> Script<T, GIVES_EPOCHS> {
    /// Partitions, by their names.
    pub fn parts<N: Into<String>>(
        partitions: impl IntoIterator<Item = (N, Vec<(u64, T)>)>,
    ) -> Self {
        let partitions = partitions.into_iter().map(|(name, items)| (name.into(), items));
        Script {
            partitions: Arc::new(partitions.collect()),
            paced: false,
            fails: None,
            shared: Arc::default(),
        }
    }

    /// One partition.
    pub fn of(items: impl IntoIterator<Item = (u64, T)>) -> Self {
        Script::parts([("0", items.into_iter().collect())])
    }

    /// One partition, each item an epoch of its own.
    pub fn each(items: impl IntoIterator<Item = T>) -> Self {
        Script::of((0..).zip(items))
    }

    /// Waits for each commit.
    pub fn paced(self) -> Self {
        Script { paced: true, ..self }
    }

    /// Fails in front of the first item of this epoch or a later one.
    pub fn fails_at(self, epoch: u64) -> Self {
        Script { fails: Some(epoch), ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The epoch that the last run began with, 0 if it was a fresh one.
    pub fn resumed(&self) -> u64 {
        self.lock().resumed
    }
}

/// How far a partition has been read, and whether that was its end.
pub type ScriptPosition = (u64, bool);

impl<T: Clone + Send + Sync + 'static, const GIVES_EPOCHS: bool> Source
    for Script<T, GIVES_EPOCHS>
{
    type Item = T;
    type Position = ScriptPosition;
    type Reader = ScriptReader<T, GIVES_EPOCHS>;
    type Replay = replay::Replayable;
    const GIVES_EPOCHS: bool = GIVES_EPOCHS;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        *self.lock() = Shared::default();
        Ok(self.partitions.keys().map(PartitionId::new).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<ScriptPosition>,
    ) -> Result<Self::Reader, Error> {
        let (at, ended) = match resume {
            Resume::Fresh => (0, false),
            Resume::At { epoch, position } => {
                let mut shared = self.lock();
                shared.resumed = shared.resumed.max(epoch.0);
                position
            }
        };
        let items = match self.partitions.get(partition.as_str()) {
            Some(items) => items.get(at as usize..).unwrap_or_default().to_vec(),
            None if ended => Vec::new(),
            None => {
                let message = format!("partition {partition} is gone, and was not read to its end");
                return Err(Error::new(ErrorKind::Source, message));
            }
        };
        Ok(ScriptReader { script: self.clone(), items: items.into_iter(), at, ended, since: None })
    }
}

/// Reads a partition of a [`Script`].
#[derive(Debug)]
pub struct ScriptReader<T, const GIVES_EPOCHS: bool> {
    script: Script<T, GIVES_EPOCHS>,
    items: std::vec::IntoIter<(u64, T)>,
    at: u64,
    ended: bool,
    /// Since when it has been waiting.
    since: Option<Timestamp>,
}

impl<T: 'static, const GIVES_EPOCHS: bool> ScriptReader<T, GIVES_EPOCHS> {
    /// Whether an item of this epoch must wait.
    fn waits(&self, cx: &PollContext<'_>) -> bool {
        let mut shared = self.script.lock();
        let waits = self.script.paced && shared.open.is_some_and(|open| open < cx.epoch().0);
        if waits {
            shared.wakers.push(cx.waker().clone());
        } else {
            shared.open = Some(cx.epoch().0);
        }
        waits
    }
}

impl<T: 'static, const GIVES_EPOCHS: bool> Reader for ScriptReader<T, GIVES_EPOCHS> {
    type Item = T;
    type Position = ScriptPosition;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            let Some((epoch, _)) = self.items.as_slice().first() else {
                self.ended = true;
                return Ok(Poll::End);
            };
            let (epoch, fails) = (*epoch, self.script.fails.is_some_and(|fails| fails <= *epoch));
            if GIVES_EPOCHS && epoch > cx.epoch().0 {
                return Ok(Poll::Epoch(Epoch(epoch)));
            }
            if self.waits(cx) {
                let since = *self.since.get_or_insert(cx.now());
                if cx.now().since(since) > PATIENCE {
                    return Err(Error::new(ErrorKind::Source, "a commit does not come"));
                }
                return Ok(Poll::At(cx.now().after(PATIENCE / 10)));
            }
            self.since = None;
            if fails {
                return Err(Error::new(ErrorKind::Source, INTERRUPTED));
            }
            if let Some((_, item)) = self.items.next() {
                (self.at, self.ended) = (self.at + 1, false);
                emit(item);
            }
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> ScriptPosition {
        (self.at, self.ended)
    }

    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        let mut shared = self.script.lock();
        if shared.open.is_some_and(|open| open < epoch.0) {
            shared.open = None;
        }
        shared.wakers.drain(..).for_each(Waker::wake);
        Ok(())
    }
}
