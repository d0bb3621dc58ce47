//! How far the partitions of a source have come, seen from outside and from other workers.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::control::Standing;
use crate::io::PartitionId;
use crate::time::Timestamp;

/// How far event time has come in a partition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionTime {
    /// The step that gives items their time.
    pub step: String,
    /// The partition of its source.
    pub partition: PartitionId,
    /// Up to where nothing is expected any more; `None` before the first item.
    pub watermark: Option<Timestamp>,
    /// Whether time is expected to go on there. An idle or ended partition holds nothing back.
    pub standing: Standing,
}

/// One partition, written by the worker that reads it.
#[derive(Debug)]
pub(crate) struct Cell {
    partition: PartitionId,
    watermark: AtomicI64,
    standing: AtomicU8,
}

impl Cell {
    /// Answers whether that says something new.
    pub(crate) fn tell(&self, watermark: Timestamp, standing: Standing) -> bool {
        let before = self.watermark.swap(watermark.0, Ordering::SeqCst);
        let stood = self.standing.swap(standing as u8, Ordering::SeqCst);
        before != watermark.0 || stood != standing as u8
    }

    fn told(&self) -> (Timestamp, Standing) {
        let standing = match self.standing.load(Ordering::SeqCst) {
            0 => Standing::Ended,
            1 => Standing::Idle,
            _ => Standing::Active,
        };
        (Timestamp(self.watermark.load(Ordering::SeqCst)), standing)
    }
}

/// What all workers tell of the partitions of one source.
#[derive(Debug, Default)]
pub(crate) struct Board {
    cells: Mutex<Vec<Arc<Cell>>>,
    /// Workers that have put up their cells.
    ready: AtomicUsize,
    /// Some partition is not read because it is ahead; its worker wants to know when others have followed.
    waiting: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Board {
    /// Puts up the partitions of a worker.
    pub(crate) fn put_up(&self, partitions: &[PartitionId], waker: Waker) -> Vec<Arc<Cell>> {
        let cell = |partition: &PartitionId| {
            Arc::new(Cell {
                partition: partition.clone(),
                watermark: AtomicI64::new(Timestamp::MIN.0),
                standing: AtomicU8::new(Standing::Active as u8),
            })
        };
        let mine: Vec<_> = partitions.iter().map(cell).collect();
        lock(&self.cells).extend(mine.iter().map(Arc::clone));
        lock(&self.wakers).push(waker);
        self.ready.fetch_add(1, Ordering::SeqCst);
        self.wake();
        mine
    }

    /// The watermark of the partition that is furthest behind, of those that are active and have had items. `None` while not all
    /// of `workers` have put up theirs.
    pub(crate) fn furthest_behind(&self, workers: usize) -> Option<Timestamp> {
        if self.ready.load(Ordering::SeqCst) < workers {
            return None;
        }
        let cells = lock(&self.cells);
        let told = cells.iter().map(|cell| cell.told());
        let active =
            told.filter(|(mark, standing)| *standing == Standing::Active && *mark > Timestamp::MIN);
        Some(active.map(|(mark, _)| mark).min().unwrap_or(Timestamp::MAX))
    }

    /// Asks to be woken when anything is told that is new. Look once more after this.
    pub(crate) fn wait(&self) {
        self.waiting.store(true, Ordering::SeqCst);
    }

    /// Something new has been told.
    pub(crate) fn wake(&self) {
        if self.waiting.load(Ordering::SeqCst) && self.waiting.swap(false, Ordering::SeqCst) {
            lock(&self.wakers).iter().for_each(Waker::wake_by_ref);
        }
    }

    /// What is told.
    pub(crate) fn times(&self, step: &str) -> Vec<PartitionTime> {
        let cells = lock(&self.cells);
        let time = |cell: &Arc<Cell>| {
            let (mark, standing) = cell.told();
            let watermark = Some(mark).filter(|mark| *mark > Timestamp::MIN);
            let (step, partition) = (step.to_owned(), cell.partition.clone());
            PartitionTime { step, partition, watermark, standing }
        };
        cells.iter().map(time).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
