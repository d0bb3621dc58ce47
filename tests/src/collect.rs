//! A sink that keeps what it is given, and checks how it is called. A run that goes on drops what had not been committed.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use flow_runtime::bounds::{Item, Key};
use flow_runtime::io::{Encoder, Io, PartitionId, Resume, Sink, SinkWriter, delivery};
use flow_runtime::stream::{Keyed, Stream};
use flow_runtime::time::{Barrier, Epoch};
use flow_runtime::{Error, ErrorKind};

/// Keeps items in memory; a keyed stream as pairs. Clones share what they keep.
pub struct Collect<X> {
    partitions: usize,
    kept: Arc<Mutex<Kept<X>>>,
}

/// What has been sealed.
#[derive(Debug)]
struct Kept<X> {
    /// By partition: the items of each epoch.
    epochs: Vec<Vec<Vec<X>>>,
    committed: Epoch,
    /// Items that were written but not sealed when a writer went away.
    lost: usize,
}

impl<X> Clone for Collect<X> {
    fn clone(&self) -> Self {
        Collect { partitions: self.partitions, kept: Arc::clone(&self.kept) }
    }
}

impl<X> fmt::Debug for Collect<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collect").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

impl<X> Default for Collect<X> {
    fn default() -> Self {
        Collect::new(1)
    }
}

impl<X> Collect<X> {
    /// A sink with so many partitions.
    pub fn new(partitions: usize) -> Self {
        let epochs = (0..partitions).map(|_| Vec::new()).collect();
        let kept = Kept { epochs, committed: Epoch(0), lost: 0 };
        Collect { partitions, kept: Arc::new(Mutex::new(kept)) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept<X>) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first epoch that is not committed.
    pub fn committed(&self) -> Epoch {
        self.with(|kept| kept.committed)
    }

    /// Items that were written but never sealed.
    pub fn lost(&self) -> usize {
        self.with(|kept| kept.lost)
    }
}

impl<X: Clone + Ord> Collect<X> {
    /// All items, sorted.
    ///
    /// # Panics
    /// When items were written but never sealed.
    pub fn sorted(&self) -> Vec<X> {
        assert_eq!(self.lost(), 0, "items were written but never sealed");
        let mut items = self.items();
        items.sort();
        items
    }
}

impl<X: Clone> Collect<X> {
    /// All items, partition by partition, each in order.
    pub fn items(&self) -> Vec<X> {
        self.with(|kept| kept.epochs.iter().flatten().flatten().cloned().collect())
    }

    /// The items of each epoch, over all partitions.
    pub fn epochs(&self) -> Vec<Vec<X>> {
        self.with(|kept| {
            let count = kept.epochs.iter().map(Vec::len).max().unwrap_or(0);
            let of = |n: usize| kept.epochs.iter().filter_map(move |epochs| epochs.get(n));
            (0..count).map(|n| of(n).flatten().cloned().collect()).collect()
        })
    }
}

/// Both halves of the sink.
#[derive(Debug)]
pub struct Collecting<X> {
    partition: usize,
    open: Vec<X>,
    sink: Collect<X>,
}

/// Turns items into rows.
pub struct Gathering<X>(PhantomData<fn(X)>);

impl<X> fmt::Debug for Gathering<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathering")
    }
}

impl<X> Collect<X> {
    fn names(&self) -> Vec<PartitionId> {
        (0..self.partitions).map(|n| PartitionId::new(format!("{n:04}"))).collect()
    }

    fn writer(&self, partition: &PartitionId, resume: Resume<u64>) -> Result<Collecting<X>, Error> {
        let partition = self.names().iter().position(|name| name == partition);
        let unknown = || Error::new(ErrorKind::Sink, "there is no such partition");
        let partition = partition.ok_or_else(unknown)?;
        let sealed = match resume {
            Resume::Fresh => 0,
            Resume::At { position, .. } => position as usize,
        };
        self.with(|kept| {
            assert!(kept.epochs[partition].len() >= sealed, "what was committed is not here");
            kept.epochs[partition].truncate(sealed);
            kept.lost = 0;
        });
        Ok(Collecting { partition, open: Vec::new(), sink: self.clone() })
    }
}

macro_rules! sinks {
    ($([$($bound:tt)*] $stream:ty => $row:ty, |$key:ident, $item:ident| $make:expr;)*) => {$(
        impl<$($bound)*> Sink<$stream> for Collect<$row> {
            type Block = Vec<$row>;
            type Position = u64;
            type Encoder = Gathering<$row>;
            type Writer = Collecting<$row>;
            type Delivery = delivery::Rewindable;
            fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
                Ok(self.names())
            }
            fn encoder(&self) -> Gathering<$row> {
                Gathering(PhantomData)
            }
            fn open(
                &self,
                _: &Io,
                partition: &PartitionId,
                resume: Resume<u64>,
            ) -> Result<Collecting<$row>, Error> {
                self.writer(partition, resume)
            }
        }

        impl<$($bound)*> Encoder<$stream> for Gathering<$row> {
            type Block = Vec<$row>;
            fn encode(
                &mut self,
                $key: &<$stream as flow_runtime::stream::Token>::Key,
                $item: T,
                block: &mut Vec<$row>,
            ) -> Result<usize, Error> {
                block.push($make);
                Ok(block.len() * size_of::<$row>())
            }
        }
    )*};
}

sinks! {
    [T: Item] Stream<T> => T, |_key, item| item;
    [K: Key, T: Item] Keyed<K, T> => (K, T), |key, item| (key.clone(), item);
}

impl<X: 'static> SinkWriter for Collecting<X> {
    type Block = Vec<X>;
    type Position = u64;

    fn write(&mut self, mut block: Vec<X>) -> Result<(), Error> {
        self.open.append(&mut block);
        Ok(())
    }

    fn seal(&mut self, barrier: Barrier) -> Result<u64, Error> {
        let items = std::mem::take(&mut self.open);
        self.sink.with(|kept| {
            let epochs = &mut kept.epochs[self.partition];
            assert_eq!(epochs.len() as u64, barrier.0, "epochs are sealed one after the other");
            epochs.push(items);
            Ok(epochs.len() as u64)
        })
    }

    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.sink.with(|kept| kept.committed = kept.committed.max(epoch));
        Ok(())
    }
}

impl<X> Drop for Collecting<X> {
    fn drop(&mut self) {
        let lost = self.open.len();
        self.sink.with(|kept| kept.lost += lost);
    }
}
