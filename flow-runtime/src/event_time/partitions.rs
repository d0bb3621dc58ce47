//! How far each partition of a source has come, and what they come to together.

use std::sync::Arc;
use std::time::Duration;

use crate::control::{EventTime, Reading, Standing};
use crate::describe::StepId;
use crate::event_time::board::Cell;
use crate::event_time::{Board, Disorder};
use crate::io::PartitionId;
use crate::time::Timestamp;

/// So long nothing must move before it is said which partition holds time back.
const LONG: Duration = Duration::from_secs(30);

/// A partition of the source, on the worker that reads it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) name: PartitionId,
    /// The latest time that an item had; [`Timestamp::MIN`] before the first.
    pub(crate) latest: Timestamp,
    /// The same as it is saved.
    pub(crate) saved: Timestamp,
    standing: Standing,
    /// Since when it has had nothing to read, in processing time.
    since: Option<Timestamp>,
    cell: Arc<Cell>,
}

/// The partitions of a source that this worker reads.
#[derive(Debug)]
pub(crate) struct Partitions {
    disorder: Disorder,
    pub(crate) all: Vec<Partition>,
    /// The one that is being read.
    current: usize,
    /// What was told last.
    told: Option<EventTime>,
    /// When that was, and when it was last said that it has been long.
    moved_at: Timestamp,
    said_at: Timestamp,
}

impl Partitions {
    pub(crate) fn new(disorder: Disorder) -> Self {
        Partitions {
            disorder,
            all: Vec::new(),
            current: 0,
            told: None,
            moved_at: Timestamp::MIN,
            said_at: Timestamp::MIN,
        }
    }

    /// The run begins. `saved` says how far a partition had come.
    pub(crate) fn begin(
        &mut self,
        names: &[PartitionId],
        cells: Vec<Arc<Cell>>,
        now: Timestamp,
        saved: impl Fn(&PartitionId) -> Option<Timestamp>,
    ) {
        (self.moved_at, self.said_at) = (now, now);
        let names = names.iter().zip(cells);
        self.all = names
            .map(|(name, cell)| {
                let saved = saved(name).unwrap_or(Timestamp::MIN);
                let (name, standing, since) = (name.clone(), Standing::Active, Some(now));
                Partition { name, latest: saved, saved, standing, since, cell }
            })
            .collect();
        for number in 0..self.all.len() {
            self.publish(number);
        }
    }

    fn publish(&self, number: usize) -> bool {
        let partition = &self.all[number];
        partition.cell.tell(partition.watermark(self.disorder.bound), partition.standing)
    }

    /// Items up to `latest` have been read from the partition that is being read; none if it is `None`.
    pub(crate) fn has_read(&mut self, latest: Option<Timestamp>, board: &Board) {
        let Some(latest) = latest else { return };
        if let Some(partition) = self.all.get_mut(self.current) {
            partition.latest = latest.max(partition.latest);
            (partition.standing, partition.since) = (Standing::Active, None);
            if self.publish(self.current) {
                board.wake();
            }
        }
    }

    /// Whether a partition may be read now. It is too far ahead of others otherwise, and its worker will be woken.
    pub(crate) fn may_read(&self, number: usize, board: &Board, workers: usize) -> bool {
        let (Some(skew), Some(partition)) = (self.disorder.skew, self.all.get(number)) else {
            return true;
        };
        let mark = partition.watermark(self.disorder.bound);
        if mark == Timestamp::MIN {
            return true;
        }
        let may = || {
            let last = board.furthest_behind(workers);
            last.is_some_and(|last| mark <= last.after(skew))
        };
        may() || {
            board.wait();
            may()
        }
    }

    /// A partition is to be read, or cannot be.
    pub(crate) fn is(&mut self, number: usize, is: Reading, now: Timestamp, board: &Board) {
        match is {
            Reading::Begins => self.current = number,
            Reading::Waits => {
                if let Some(partition) = self.all.get_mut(number) {
                    partition.since = partition.since.or(Some(now));
                }
            }
            Reading::Ended => {
                if let Some(partition) = self.all.get_mut(number) {
                    partition.standing = Standing::Ended;
                    self.publish(number);
                    board.wake();
                }
            }
        }
    }

    /// Finds partitions that have become idle. Answers when the next one will.
    pub(crate) fn look(&mut self, now: Timestamp, board: &Board) -> Option<Timestamp> {
        let after = self.disorder.idle_after?;
        let mut next: Option<Timestamp> = None;
        for number in 0..self.all.len() {
            let partition = &mut self.all[number];
            let Some(since) = partition.since.filter(|_| partition.standing == Standing::Active)
            else {
                continue;
            };
            let due = since.after(after);
            if due <= now {
                partition.standing = Standing::Idle;
                self.publish(number);
                board.wake();
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// What all partitions of this worker come to, if that is not what was told last.
    pub(crate) fn news(&mut self, now: Timestamp) -> Option<EventTime> {
        let bound = self.disorder.bound;
        let before = self.told.unwrap_or(EventTime::UNTIMED);
        let each = self.all.iter().map(|partition| {
            let (watermark, standing) = (partition.watermark(bound), partition.standing);
            Some(EventTime { watermark, standing })
        });
        let time = EventTime::of_all(each, Some(before)).unwrap_or(before);
        if self.told == Some(time) {
            return None;
        }
        (self.moved_at, self.said_at) = (now, now);
        self.told = Some(time);
        Some(time)
    }

    /// Says which partition holds time back, where one has for long. Answers when to look again, the first time.
    pub(crate) fn say_if_held(&mut self, id: &StepId, now: Timestamp) -> Option<Timestamp> {
        let bound = self.disorder.bound;
        let active = self.all.iter().filter(|partition| partition.standing == Standing::Active);
        let last = active.min_by_key(|partition| partition.watermark(bound))?;
        if now.since(self.said_at) < LONG {
            return (self.said_at == self.moved_at).then(|| self.said_at.after(LONG));
        }
        self.said_at = now;
        let waits = last.since.map(|since| now.since(since));
        tracing::info!(
            step = %id,
            partition = %last.name,
            latest = %last.latest,
            silent_for = ?waits.unwrap_or_default(),
            stands_for = ?now.since(self.moved_at),
            "event time waits for a partition: if it may be silent for long, say so with `Disorder::idle_after`"
        );
        None
    }
}

impl Partition {
    fn watermark(&self, bound: Duration) -> Timestamp {
        match self.latest {
            Timestamp::MIN => Timestamp::MIN,
            latest => latest.before(bound),
        }
    }
}
