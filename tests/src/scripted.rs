//! A source whose partitions have items at given times of the clock.

use std::sync::Arc;
use std::time::Duration;

use flow_runtime::Error;
use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use flow_runtime::time::Timestamp;

/// What a partition has, and how long after the one before, in processing time.
pub type Script<T> = Vec<(Duration, T)>;

/// Items by partition.
#[derive(Clone, Debug)]
pub struct Scripted<T> {
    partitions: Arc<Vec<(String, Script<T>)>>,
}

/// A source of these partitions, each of which ends with its script.
pub fn scripted<T>(partitions: Vec<(&str, Script<T>)>) -> Scripted<T> {
    let partitions = partitions.into_iter().map(|(name, script)| (name.to_owned(), script));
    Scripted { partitions: Arc::new(partitions.collect()) }
}

/// Reads one partition.
#[derive(Debug)]
pub struct ScriptedReader<T> {
    partitions: Arc<Vec<(String, Script<T>)>>,
    partition: usize,
    at: usize,
    /// When the next item comes.
    next: Option<Timestamp>,
}

impl<T: Clone + Send + Sync + 'static> Source for Scripted<T> {
    type Item = T;
    type Position = u64;
    type Reader = ScriptedReader<T>;
    type Replay = replay::Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(self.partitions.iter().map(|(name, _)| PartitionId::new(name.as_str())).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<ScriptedReader<T>, Error> {
        let at = match resume {
            Resume::Fresh => 0,
            Resume::At { position, .. } => position as usize,
        };
        let partition = self.partitions.iter().position(|(name, _)| name == partition.as_str());
        let partition = partition.expect("it is one of those that were listed");
        Ok(ScriptedReader { partitions: Arc::clone(&self.partitions), partition, at, next: None })
    }
}

impl<T: Clone + 'static> Reader for ScriptedReader<T> {
    type Item = T;
    type Position = u64;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        let (_, script) = &self.partitions[self.partition];
        for _ in 0..cx.limit() {
            let Some((after, item)) = script.get(self.at) else { return Ok(Poll::End) };
            let next = *self.next.get_or_insert_with(|| cx.now().after(*after));
            if cx.now() < next {
                return Ok(Poll::At(next));
            }
            emit(item.clone());
            self.at += 1;
            self.next = None;
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> u64 {
        self.at as u64
    }
}
