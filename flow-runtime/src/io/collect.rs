//! `collect`: a sink that keeps what arrives, for tests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::io::{Encoder, Io, PartitionId, Resume, Sink, SinkWriter, delivery};
use crate::stream::{Keyed, NoKey, Stream};
use crate::time::Barrier;

/// A sink that keeps what arrives, and the place where it is found after the run.
///
/// A keyed stream arrives as `(key, item)`. With one worker the order is that of the stream; with several only the items of one
/// key are in order. What arrives is kept at once, not at the end of an epoch: a run that goes on after a crash adds to it.
///
/// ```
/// use flow_runtime::io::{Collected, collect};
///
/// let (sink, counts) = collect::<(String, u64)>();
/// // .. a dataflow with `sink(counts, sink)` runs ..
/// assert!(counts.sorted().is_empty());
/// # let _ = sink;
/// ```
pub fn collect<T: Send + 'static>() -> (Collect<T>, Collected<T>) {
    let items = Collected { items: Arc::new(Mutex::new(Vec::new())) };
    (Collect { items: items.clone() }, items)
}

/// The sink that [`collect`] makes.
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct Collect<T> {
    items: Collected<T>,
}

/// What has arrived at a [`Collect`].
pub struct Collected<T> {
    items: Arc<Mutex<Vec<T>>>,
}

impl<T> Clone for Collect<T> {
    fn clone(&self) -> Self {
        Collect { items: self.items.clone() }
    }
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Collected { items: Arc::clone(&self.items) }
    }
}

impl<T> fmt::Debug for Collect<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collect")
    }
}

impl<T> fmt::Debug for Collected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collected").field("items", &self.lock().len()).finish()
    }
}

impl<T> Collected<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing that is done under the lock leaves the items half changed.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what has arrived, in the order of arrival.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.lock())
    }

    /// Takes out what has arrived, sorted: the same whatever the number of workers.
    pub fn sorted(&self) -> Vec<T>
    where
        T: Ord,
    {
        let mut items = self.take();
        items.sort();
        items
    }

    /// The number of items that have arrived and have not been taken out.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The writing half of a sink whose encoder does everything: nothing is left to be written.
#[derive(Clone, Copy, Debug)]
pub struct NoWriter;

impl SinkWriter for NoWriter {
    type Block = ();
    type Position = ();
    fn write(&mut self, (): ()) -> Result<(), Error> {
        Ok(())
    }
    fn seal(&mut self, _: Barrier) -> Result<(), Error> {
        Ok(())
    }
}

/// Implements a [`Sink`] that is its own encoder and has one partition without a writer.
macro_rules! direct_sink {
    ([$($generics:tt)*] $stream:ty, $sink:ty) => {
        impl<$($generics)*> Sink<$stream> for $sink {
            type Block = ();
            type Position = ();
            type Encoder = Self;
            type Writer = NoWriter;
            type Delivery = delivery::AppendOnly;

            fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
                Ok(vec![PartitionId::new("items")])
            }
            fn encoder(&self) -> Self {
                self.clone()
            }
            fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<NoWriter, Error> {
                Ok(NoWriter)
            }
        }
    };
}
pub(crate) use direct_sink;

direct_sink!([T: Send + 'static] Stream<T>, Collect<T>);
direct_sink!([K: Clone + Send + 'static, T: Send + 'static] Keyed<K, T>, Collect<(K, T)>);

impl<T: Send + 'static> Encoder<Stream<T>> for Collect<T> {
    type Block = ();
    const DIRECT: bool = true;
    #[inline(always)]
    fn encode(&mut self, _: &NoKey, item: T, (): &mut ()) -> Result<usize, Error> {
        self.items.lock().push(item);
        Ok(0)
    }
}

impl<K: Clone + Send + 'static, T: Send + 'static> Encoder<Keyed<K, T>> for Collect<(K, T)> {
    type Block = ();
    const DIRECT: bool = true;
    #[inline(always)]
    fn encode(&mut self, key: &K, item: T, (): &mut ()) -> Result<usize, Error> {
        self.items.lock().push((key.clone(), item));
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_arrives_at_any_worker() {
        let (sink, items) = collect();
        let mut workers =
            [Sink::<Stream<i32>>::encoder(&sink), Sink::<Stream<i32>>::encoder(&sink)];
        for n in [3, 1, 2] {
            let size =
                Encoder::<Stream<i32>>::encode(&mut workers[n as usize % 2], &NoKey, n, &mut ());
            assert_eq!(size.ok(), Some(0), "nothing is left to be sent");
        }
        assert_eq!(items.len(), 3);
        assert_eq!(items.take(), [3, 1, 2]);
        assert!(items.is_empty());
    }

    #[test]
    fn keyed_items_come_with_their_key() {
        let (sink, items) = collect();
        let mut encoder = Sink::<Keyed<String, i32>>::encoder(&sink);
        for (key, item) in [("b", 1), ("a", 2)] {
            Encoder::<Keyed<String, i32>>::encode(&mut encoder, &key.to_owned(), item, &mut ())
                .expect("is kept");
        }
        assert_eq!(items.sorted(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }
}
