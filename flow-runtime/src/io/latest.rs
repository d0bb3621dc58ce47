//! `latest`: a sink that keeps the last item of each key, for a table of final results.

#![allow(clippy::disallowed_types)] // What is found has no order, and says so.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use crate::bounds::{Item, Key};
use crate::error::Error;
use crate::io::{Encoder, Io, PartitionId, Resume, Sink, SinkWriter, delivery};
use crate::stream::Keyed;
use crate::time::Barrier;

/// A sink for a keyed stream that keeps the last item of each key, and the place where they are found.
///
/// It takes as much memory as there are keys, however many items there are. What is found is the state at the end of
/// an epoch: items of the open one are not seen.
///
/// ```
/// use flow_runtime::io::latest;
///
/// let (sink, counts) = latest::<String, u64>();
/// // .. a dataflow with `sink(counts, sink)` runs ..
/// assert!(counts.take().is_empty());
/// # let _ = sink;
/// ```
pub fn latest<K: Key, T: Item>() -> (Latest<K, T>, LatestItems<K, T>) {
    let items = LatestItems { items: Arc::default() };
    (Latest { items: items.clone() }, items)
}

/// The sink that [`latest`] makes.
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct Latest<K, T> {
    items: LatestItems<K, T>,
}

/// The last item of each key that has arrived at a [`Latest`].
pub struct LatestItems<K, T> {
    items: Arc<Mutex<HashMap<K, T>>>,
}

impl<K, T> Clone for Latest<K, T> {
    fn clone(&self) -> Self {
        Latest { items: self.items.clone() }
    }
}
impl<K, T> Clone for LatestItems<K, T> {
    fn clone(&self) -> Self {
        LatestItems { items: Arc::clone(&self.items) }
    }
}
impl<K, T> fmt::Debug for Latest<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Latest")
    }
}
impl<K, T> fmt::Debug for LatestItems<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LatestItems")
    }
}

impl<K, T> LatestItems<K, T> {
    /// Takes the items out, in no order.
    pub fn take(&self) -> Vec<(K, T)> {
        std::mem::take(&mut *self.items.lock().unwrap_or_else(PoisonError::into_inner))
            .into_iter()
            .collect()
    }
}

/// Gathers the last item of each key of a batch.
pub struct LatestEncoder<K, T>(PhantomData<fn(K, T)>);

impl<K, T> fmt::Debug for LatestEncoder<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LatestEncoder")
    }
}

/// Publishes what has arrived at the end of each epoch.
pub struct LatestWriter<K, T> {
    open: HashMap<K, T>,
    items: LatestItems<K, T>,
}

impl<K, T> fmt::Debug for LatestWriter<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LatestWriter")
    }
}

impl<K: Key, T: Item> Sink<Keyed<K, T>> for Latest<K, T> {
    type Block = HashMap<K, T>;
    type Position = ();
    type Encoder = LatestEncoder<K, T>;
    type Writer = LatestWriter<K, T>;
    type Delivery = delivery::Upsert;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("latest")])
    }
    fn encoder(&self) -> LatestEncoder<K, T> {
        LatestEncoder(PhantomData)
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<LatestWriter<K, T>, Error> {
        Ok(LatestWriter { open: HashMap::new(), items: self.items.clone() })
    }
}

impl<K: Key, T: Item> Encoder<Keyed<K, T>> for LatestEncoder<K, T> {
    type Block = HashMap<K, T>;
    #[inline]
    fn encode(&mut self, key: &K, item: T, block: &mut HashMap<K, T>) -> Result<usize, Error> {
        match block.get_mut(key) {
            Some(last) => *last = item,
            None => drop(block.insert(key.clone(), item)),
        }
        Ok(block.len() * size_of::<(K, T)>().max(1))
    }
}

impl<K: Key, T: Item> SinkWriter for LatestWriter<K, T> {
    type Block = HashMap<K, T>;
    type Position = ();
    fn write(&mut self, block: HashMap<K, T>) -> Result<(), Error> {
        self.open.extend(block);
        Ok(())
    }
    fn seal(&mut self, _: Barrier) -> Result<(), Error> {
        let mut items = self.items.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.extend(self.open.drain());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_item_of_each_key_is_found_once_its_epoch_has_ended() {
        let (sink, items) = latest::<String, u64>();
        let mut encoder = sink.encoder();
        let mut writer = sink
            .open(&Io::real(), &PartitionId::new("latest"), Resume::Fresh)
            .expect("opening does nothing");
        for (key, item) in [("a", 1), ("b", 1), ("a", 2)] {
            let mut block = HashMap::new();
            encoder.encode(&key.to_owned(), item, &mut block).expect("encoding does not fail");
            writer.write(block).expect("writing does not fail");
        }
        assert!(items.take().is_empty());
        writer.seal(Barrier(0)).expect("sealing does not fail");
        let mut found = items.take();
        found.sort();
        assert_eq!(found, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    }
}
