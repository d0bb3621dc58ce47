//! The input of all sides: items by their number, read in parts.

use std::marker::PhantomData;
use std::ops::Range;

use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

/// The numbers of the items that one of several workers reads.
pub fn part(items: u64, worker: usize, workers: usize) -> Range<u64> {
    let bound = |n: usize| items * n as u64 / workers as u64;
    bound(worker)..bound(worker + 1)
}

/// The same as a source of flow: the n-th item is what a function makes of n.
pub struct Numbered<T, F> {
    items: u64,
    parts: usize,
    make: F,
    types: PhantomData<fn() -> T>,
}

/// Reads one part.
pub struct NumberedReader<T, F> {
    next: u64,
    end: u64,
    make: F,
    types: PhantomData<fn() -> T>,
}

impl<T, F: Fn(u64) -> T> Numbered<T, F> {
    /// So many items, in so many partitions.
    pub fn new(items: u64, parts: usize, make: F) -> Self {
        Numbered { items, parts, make, types: PhantomData }
    }
}

impl<T, F: Clone> Clone for Numbered<T, F> {
    fn clone(&self) -> Self {
        Numbered {
            items: self.items,
            parts: self.parts,
            make: self.make.clone(),
            types: PhantomData,
        }
    }
}

impl<T: 'static, F: Fn(u64) -> T + Clone + Send + 'static> Source for Numbered<T, F> {
    type Item = T;
    /// The number of the next item.
    type Position = u64;
    type Reader = NumberedReader<T, F>;
    type Replay = replay::Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, flow_runtime::Error> {
        Ok((0..self.parts).map(|n| PartitionId::new(format!("{n:03}"))).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<NumberedReader<T, F>, flow_runtime::Error> {
        let n = partition.as_str().parse().expect("partitions are named by their number");
        let Range { start, end } = part(self.items, n, self.parts);
        let next = match resume {
            Resume::Fresh => start,
            Resume::At { position, .. } => position,
        };
        Ok(NumberedReader { next, end, make: self.make.clone(), types: PhantomData })
    }
}

impl<T: 'static, F: Fn(u64) -> T + 'static> Reader for NumberedReader<T, F> {
    type Item = T;
    type Position = u64;

    #[inline(always)] // The loop over the items is then compiled together with the steps behind it.
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(T),
    ) -> Result<Poll, flow_runtime::Error> {
        let end = self.end.min(self.next + cx.limit() as u64);
        for n in self.next..end {
            emit((self.make)(n));
        }
        self.next = end;
        Ok(if end == self.end { Poll::End } else { Poll::Ready })
    }

    fn position(&self) -> u64 {
        self.next
    }
}
