//! A source of given partitions.

use std::sync::Arc;

use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use flow_runtime::{Error, ErrorKind};

/// Items by partition.
#[derive(Clone, Debug)]
pub struct Given<T> {
    partitions: Arc<Vec<Vec<T>>>,
}

/// A source of these partitions.
pub fn given<T>(partitions: Vec<Vec<T>>) -> Given<T> {
    Given { partitions: Arc::new(partitions) }
}

/// Reads one partition.
#[derive(Debug)]
pub struct GivenReader<T> {
    partitions: Arc<Vec<Vec<T>>>,
    partition: usize,
    at: usize,
}

impl<T: Clone + Send + Sync + 'static> Source for Given<T> {
    type Item = T;
    type Position = u64;
    type Reader = GivenReader<T>;
    type Replay = replay::Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok((0..self.partitions.len()).map(|n| PartitionId::new(format!("{n:04}"))).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<GivenReader<T>, Error> {
        let at = match resume {
            Resume::Fresh => 0,
            Resume::At { position, .. } => position as usize,
        };
        let unknown =
            || Error::new(ErrorKind::Source, format!("there is no partition {partition}"));
        let partition = partition.as_str().parse().map_err(|_| unknown())?;
        Ok(GivenReader { partitions: Arc::clone(&self.partitions), partition, at })
    }
}

impl<T: Clone + 'static> Reader for GivenReader<T> {
    type Item = T;
    type Position = u64;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        let rest = self.partitions[self.partition].get(self.at..).unwrap_or_default();
        let batch = &rest[..rest.len().min(cx.limit())];
        self.at += batch.len();
        batch.iter().cloned().for_each(emit);
        Ok(if batch.len() == rest.len() { Poll::End } else { Poll::Ready })
    }

    fn position(&self) -> u64 {
        self.at as u64
    }
}
