//! A source whose items are due at fixed times.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use flow_runtime::time::Epoch;
use serde::{Deserialize, Serialize};

use super::times::{AllTimes, Times};
use crate::input::part;
use crate::works::keyed::record;

/// One item of so many is measured: reading the clock for each would be a good part of the work.
const EACH: u64 = 16;

/// A record that may know when it was due.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Item {
    /// The record.
    pub amount: u64,
    /// In nanoseconds from the beginning; the greatest number if it is not measured.
    due_ns: u64,
}

impl Item {
    /// When it was due, from the beginning, if it is measured.
    #[inline(always)]
    pub fn due(&self) -> Option<Duration> {
        (self.due_ns != u64::MAX).then(|| Duration::from_nanos(self.due_ns))
    }
}

/// The source: every partition has its share of the items and of the rate.
#[derive(Clone)]
pub struct Paced {
    items: u64,
    parts: usize,
    /// Between two items of a partition.
    gap_ns: f64,
    begin: Instant,
    /// What is due before is not measured.
    from: Instant,
    commits: AllTimes,
}

impl Paced {
    /// So many items, so many in a second from all partitions together.
    pub fn new(
        items: u64,
        parts: usize,
        rate: f64,
        begin: Instant,
        from: Instant,
        commits: AllTimes,
    ) -> Paced {
        let gap_ns = 1e9 * parts as f64 / rate;
        Paced { items, parts, gap_ns, begin, from, commits }
    }
}

/// Reads a partition.
pub struct PacedReader {
    source: Paced,
    numbers: Range<u64>,
    next: u64,
    commits: Times,
    /// The items of epochs that are not committed.
    open: VecDeque<(Epoch, Range<u64>)>,
}

impl PacedReader {
    /// When an item is due, in nanoseconds from the beginning.
    fn due_ns(&self, n: u64) -> u64 {
        ((n - self.numbers.start + 1) as f64 * self.source.gap_ns) as u64
    }

    /// Whether what is due then is behind the part of the run that is not counted.
    fn counts(&self, due_ns: u64) -> bool {
        self.source.begin + Duration::from_nanos(due_ns) >= self.source.from
    }

    /// Keeps in mind which epoch items belong to.
    fn emitted(&mut self, epoch: Epoch, numbers: Range<u64>) {
        match self.open.back_mut() {
            Some((last, open)) if *last == epoch => open.end = numbers.end,
            _ => self.open.push_back((epoch, numbers)),
        }
    }
}

impl Source for Paced {
    type Item = Item;
    /// The number of the next item.
    type Position = u64;
    type Reader = PacedReader;
    type Replay = replay::Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, flow_runtime::Error> {
        Ok((0..self.parts).map(|n| PartitionId::new(format!("{n:03}"))).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<PacedReader, flow_runtime::Error> {
        let n = partition.as_str().parse().expect("partitions are named by their number");
        let numbers = part(self.items, n, self.parts);
        let next = match resume {
            Resume::Fresh => numbers.start,
            Resume::At { position, .. } => position,
        };
        let commits = self.commits.part();
        Ok(PacedReader { source: self.clone(), numbers, next, commits, open: VecDeque::new() })
    }
}

impl Reader for PacedReader {
    type Item = Item;
    type Position = u64;

    /// Emits all that is due, and asks to be polled when the next item is. `Poll::At` counts whole microseconds, and a thread that sleeps
    /// for one is woken by Linux some 60 later: so the worker sleeps between batches, as one that reads from a network does, and what
    /// becomes due in the meantime waits. The waiting counts: with little else to do the median is about half of that sleep.
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(Item),
    ) -> Result<Poll, flow_runtime::Error> {
        let now_ns = Instant::now().saturating_duration_since(self.source.begin).as_nanos() as u64;
        let first = self.next;
        let most = self.numbers.end.min(first + cx.limit() as u64);
        while self.next < most {
            let due_ns = self.due_ns(self.next);
            if due_ns > now_ns {
                break;
            }
            let measured = self.next.is_multiple_of(EACH) && self.counts(due_ns);
            let due_ns = if measured { due_ns } else { u64::MAX };
            emit(Item { amount: record(self.next), due_ns });
            self.next += 1;
        }
        if self.next > first {
            self.emitted(cx.epoch(), first..self.next);
        }
        if self.next == self.numbers.end {
            return Ok(Poll::End);
        }
        let due = self.source.begin + Duration::from_nanos(self.due_ns(self.next));
        let wait = due.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(Poll::Ready);
        }
        // Less than a microsecond would be none, and the worker would not sleep at all.
        Ok(Poll::At(cx.now().after(wait.max(Duration::from_micros(1)))))
    }

    fn position(&self) -> u64 {
        self.next
    }

    fn committed(&mut self, epoch: Epoch) -> Result<(), flow_runtime::Error> {
        let now = self.source.begin.elapsed();
        while self.open.front().is_some_and(|(open, _)| *open < epoch) {
            let Some((_, numbers)) = self.open.pop_front() else { break };
            for n in numbers.step_by(EACH as usize) {
                let due_ns = self.due_ns(n);
                if self.counts(due_ns) {
                    self.commits.add(now.saturating_sub(Duration::from_nanos(due_ns)));
                }
            }
        }
        Ok(())
    }
}
