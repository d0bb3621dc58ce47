//! The source of random graphs: rows that carry the epoch they were emitted in.

use std::sync::Arc;
use std::time::Duration;

use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use flow_runtime::time::Epoch;
use flow_runtime::{Error, ErrorKind};

use crate::random::{Row, mix};

/// Partitions of (epoch, value). The epochs count only where `GIVES_EPOCHS`.
#[derive(Clone, Debug)]
pub(super) struct Rows<const GIVES_EPOCHS: bool>(pub(super) Arc<Vec<Vec<(u64, u64)>>>);

impl<const GIVES_EPOCHS: bool> Source for Rows<GIVES_EPOCHS> {
    type Item = Row;
    type Position = u64;
    type Reader = RowReader<GIVES_EPOCHS>;
    type Replay = replay::Replayable;
    const GIVES_EPOCHS: bool = GIVES_EPOCHS;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        // In no order, as is allowed.
        Ok((0..self.0.len()).rev().map(|n| PartitionId::new(format!("{n:04}"))).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<Self::Reader, Error> {
        let at = match resume {
            Resume::Fresh => 0,
            Resume::At { position, .. } => position as usize,
        };
        let index = partition.as_str().parse::<usize>().ok().filter(|n| *n < self.0.len());
        let unknown =
            || Error::new(ErrorKind::Source, format!("there is no partition {partition}"));
        let partition = index.ok_or_else(unknown)?;
        Ok(RowReader { rows: Arc::clone(&self.0), partition, at, polls: 0, committed: Epoch(0) })
    }
}

pub(super) struct RowReader<const GIVES_EPOCHS: bool> {
    rows: Arc<Vec<Vec<(u64, u64)>>>,
    partition: usize,
    at: usize,
    polls: u64,
    committed: Epoch,
}

impl<const GIVES_EPOCHS: bool> Reader for RowReader<GIVES_EPOCHS> {
    type Item = Row;
    type Position = u64;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(Row)) -> Result<Poll, Error> {
        self.polls += 1;
        match mix(self.polls, self.partition as u64) % 8 {
            0 => return Ok(Poll::At(cx.now().after(Duration::from_micros(50)))),
            1 => {
                cx.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
            _ => {}
        }
        let epoch = cx.epoch();
        assert!(epoch >= self.committed, "epoch {epoch} is committed and still open");
        for _ in 0..cx.limit() {
            match self.rows[self.partition].get(self.at) {
                None => return Ok(Poll::End),
                Some((later, _)) if GIVES_EPOCHS && *later > epoch.0 => {
                    return Ok(Poll::Epoch(Epoch(*later)));
                }
                Some((given, v)) => {
                    assert!(!GIVES_EPOCHS || *given == epoch.0, "an item of a past epoch");
                    self.at += 1;
                    emit(Row { k: v % 5, v: *v, epoch: epoch.0 });
                }
            }
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> u64 {
        self.at as u64
    }

    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.committed = self.committed.max(epoch);
        Ok(())
    }
}
