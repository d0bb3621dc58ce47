//! The source of a simulation: given items, in partitions.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use crate::time::Epoch;

/// A source of given items, which a [`World`](super::World) makes. It can be read again from any position.
///
/// With `GIVES_EPOCHS` it says which epoch an item belongs to, as [`epochs_from`](crate::io::epochs_from) does.
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct SimSource<T, const GIVES_EPOCHS: bool = false> {
    name: String,
    /// Under a lock since items need not be shared between threads to be sent to one.
    partitions: Arc<Mutex<Vec<Vec<(u64, T)>>>>,
    count: usize,
}

impl<T, const GIVES_EPOCHS: bool> SimSource<T, GIVES_EPOCHS> {
    pub(super) fn new(name: &str, partitions: Vec<Vec<(u64, T)>>) -> Self {
        let count = partitions.len();
        SimSource { name: name.to_owned(), partitions: Arc::new(Mutex::new(partitions)), count }
    }

    fn partition(&self, n: usize) -> PartitionId {
        PartitionId::new(format!("{}-{n}", self.name))
    }
}

impl<T, const GIVES_EPOCHS: bool> Clone for SimSource<T, GIVES_EPOCHS> {
    fn clone(&self) -> Self {
        SimSource {
            name: self.name.clone(),
            partitions: Arc::clone(&self.partitions),
            count: self.count,
        }
    }
}

impl<T, const GIVES_EPOCHS: bool> fmt::Debug for SimSource<T, GIVES_EPOCHS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSource").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T: Clone + Send + 'static, const GIVES_EPOCHS: bool> Source for SimSource<T, GIVES_EPOCHS> {
    type Item = T;
    /// The number of items that have been read.
    type Position = u64;
    type Reader = SimReader<T, GIVES_EPOCHS>;
    type Replay = replay::Replayable;
    const GIVES_EPOCHS: bool = GIVES_EPOCHS;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok((0..self.count).map(|n| self.partition(n)).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<Self::Reader, Error> {
        let read = match resume {
            Resume::Fresh => 0,
            Resume::At { position, .. } => position,
        };
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let items = (0..self.count)
            .find(|n| self.partition(*n) == *partition)
            .and_then(|n| partitions.get(n)?.get(usize::try_from(read).ok()?..));
        let Some(items) = items else {
            return Err(Error::new(
                ErrorKind::Source,
                format!("{read} items of {partition} had been read, and now there are fewer"),
            )
            .help("give the source of a simulation the same items each time"));
        };
        let items = items.to_vec();
        Ok(SimReader { items: items.into_iter(), ahead: None, read })
    }
}

/// The reader of a [`SimSource`].
pub struct SimReader<T, const GIVES_EPOCHS: bool> {
    items: std::vec::IntoIter<(u64, T)>,
    /// An item whose epoch has not begun.
    ahead: Option<(u64, T)>,
    read: u64,
}

impl<T, const GIVES_EPOCHS: bool> fmt::Debug for SimReader<T, GIVES_EPOCHS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimReader").field("read", &self.read).finish_non_exhaustive()
    }
}

impl<T: 'static, const GIVES_EPOCHS: bool> Reader for SimReader<T, GIVES_EPOCHS> {
    type Item = T;
    type Position = u64;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            let Some((epoch, item)) = self.ahead.take().or_else(|| self.items.next()) else {
                return Ok(Poll::End);
            };
            if GIVES_EPOCHS && epoch > cx.epoch().0 {
                self.ahead = Some((epoch, item));
                return Ok(Poll::Epoch(Epoch(epoch)));
            }
            self.read += 1;
            emit(item);
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> u64 {
        self.read
    }
}
