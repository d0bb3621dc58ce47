//! `channel_out`: items out of a dataflow to the threads of the application.

#![allow(clippy::disallowed_types)] // The application's own threads wait here, in its own time.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::bounds::Item;
use crate::error::{Error, ErrorKind};
use crate::io::queue::{Nothing, Queue};
use crate::io::{Encoder, Io, PartitionId, Resume, Sink, SinkWriter, delivery};
use crate::stream::{Keyed, NoKey, Stream};
use crate::time::Barrier;

/// A channel out of a dataflow: a sink, and a receiver for the application.
///
/// About `capacity` items wait in the channel: while that many wait nothing is added, but then a whole batch is (up to 64
/// KiB). So a receiver that is slow holds the dataflow back, and one that does not receive stops it: receive on a thread
/// that the dataflow does not wait for, never on the one that calls `run()`. When the receiver is dropped the run ends with
/// [`ErrorKind::OutputClosed`]. Items come before their epoch is committed; after a crash those of that epoch come again.
///
/// A keyed stream arrives as `(key, item)`.
///
/// ```
/// use flow_runtime::io::channel_out;
///
/// let (sink, alerts) = channel_out::<String>(1000);
/// let receiving = std::thread::spawn(move || {
///     for alert in alerts {
///         println!("{alert}");
///     }
/// });
/// // .. a dataflow with `sink(alerts, sink)` runs ..
/// # drop(sink);
/// # receiving.join().expect("ends with the dataflow");
/// ```
pub fn channel_out<T: Item>(capacity: usize) -> (ChannelSink<T>, Receiver<T>) {
    let queue = Arc::new(Queue::new(capacity));
    let end = WriteEnd { queue: Arc::clone(&queue) };
    (ChannelSink { end: Arc::new(end) }, Receiver { queue })
}

/// The end of a channel that a dataflow writes to, as a sink with one partition.
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct ChannelSink<T> {
    end: Arc<WriteEnd<T>>,
}

impl<T> Clone for ChannelSink<T> {
    fn clone(&self) -> Self {
        ChannelSink { end: Arc::clone(&self.end) }
    }
}

impl<T> fmt::Debug for ChannelSink<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSink")
    }
}

/// One who may write.
struct WriteEnd<T> {
    queue: Arc<Queue<T>>,
}

impl<T> Drop for WriteEnd<T> {
    fn drop(&mut self) {
        self.queue.remove_writer();
    }
}

/// The end of a channel that the application takes items out of. As an iterator it waits for each item, and ends when the
/// dataflow has ended.
pub struct Receiver<T> {
    queue: Arc<Queue<T>>,
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

/// Why no item was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// There is none yet.
    Empty,
    /// There will be none any more: the dataflow has ended.
    Ended,
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ReceiveError::Empty => "there is no item yet",
            ReceiveError::Ended => "the dataflow that writes to the channel has ended",
        })
    }
}

impl std::error::Error for ReceiveError {}

impl From<Nothing> for ReceiveError {
    fn from(nothing: Nothing) -> Self {
        match nothing {
            Nothing::Yet => ReceiveError::Empty,
            Nothing::Ever => ReceiveError::Ended,
        }
    }
}

impl<T> Receiver<T> {
    /// Takes an item; waits for one as long as one may come.
    ///
    /// # Errors
    /// When the dataflow has ended.
    pub fn recv(&self) -> Result<T, ReceiveError> {
        Ok(self.queue.pop(None)?)
    }

    /// Takes an item if there is one.
    ///
    /// # Errors
    /// When there is none yet, or the dataflow has ended.
    pub fn try_recv(&self) -> Result<T, ReceiveError> {
        Ok(self.queue.pop(Some(Instant::now()))?)
    }

    /// Takes an item; waits for one.
    ///
    /// # Errors
    /// When none has come in that time, or the dataflow has ended.
    pub fn recv_timeout(&self, most: Duration) -> Result<T, ReceiveError> {
        Ok(self.queue.pop(Instant::now().checked_add(most))?)
    }
}

impl<T> Iterator for Receiver<T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.queue.pop(None).ok()
    }
}

macro_rules! channel_sink {
    ([$($generics:tt)*] $stream:ty, $item:ty) => {
        impl<$($generics)*> Sink<$stream> for ChannelSink<$item> {
            type Block = Vec<$item>;
            type Position = ();
            type Encoder = ChannelEncoder;
            type Writer = ChannelWriter<$item>;
            type Delivery = delivery::AppendOnly;

            fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
                Ok(vec![PartitionId::new("channel")])
            }
            fn encoder(&self) -> ChannelEncoder {
                ChannelEncoder
            }
            fn open(
                &self,
                _: &Io,
                _: &PartitionId,
                _: Resume<()>,
            ) -> Result<ChannelWriter<$item>, Error> {
                Ok(ChannelWriter { queue: Arc::clone(&self.end.queue) })
            }
        }
    };
}

channel_sink!([T: Item] Stream<T>, T);
channel_sink!([K: Item, T: Item] Keyed<K, T>, (K, T));

/// Gathers items.
#[derive(Clone, Copy, Debug)]
pub struct ChannelEncoder;

impl ChannelEncoder {
    #[inline]
    fn gather<T>(item: T, block: &mut Vec<T>) -> Result<usize, Error> {
        block.push(item);
        Ok(block.len() * size_of::<T>().max(1))
    }
}

impl<T: Item> Encoder<Stream<T>> for ChannelEncoder {
    type Block = Vec<T>;
    #[inline]
    fn encode(&mut self, _: &NoKey, item: T, block: &mut Vec<T>) -> Result<usize, Error> {
        ChannelEncoder::gather(item, block)
    }
}

impl<K: Item, T: Item> Encoder<Keyed<K, T>> for ChannelEncoder {
    type Block = Vec<(K, T)>;
    #[inline]
    fn encode(&mut self, key: &K, item: T, block: &mut Vec<(K, T)>) -> Result<usize, Error> {
        ChannelEncoder::gather((key.clone(), item), block)
    }
}

/// Puts items into the channel. When it goes, the receiver comes to its end, also if the sink is still there.
pub struct ChannelWriter<T> {
    queue: Arc<Queue<T>>,
}

impl<T> fmt::Debug for ChannelWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelWriter")
    }
}

impl<T> Drop for ChannelWriter<T> {
    fn drop(&mut self) {
        self.queue.remove_writer();
    }
}

impl<T> SinkWriter for ChannelWriter<T>
where
    T: 'static,
{
    type Block = Vec<T>;
    type Position = ();

    /// Waits while the channel is full, which an engine that asks whether the writer is [`ready`](SinkWriter::ready) avoids: there is
    /// room for a whole block as soon as there is room for an item.
    fn write(&mut self, block: Vec<T>) -> Result<(), Error> {
        if self.queue.push_all(block) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::OutputClosed, "the receiver of the channel was dropped"))
    }

    fn ready(&mut self, waker: &Waker) -> bool {
        self.queue.has_room(waker)
    }

    fn seal(&mut self, _: Barrier) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn open<T: Item>(sink: &ChannelSink<T>) -> ChannelWriter<T> {
        Sink::<Stream<T>>::open(sink, &Io::real(), &PartitionId::new("channel"), Resume::Fresh)
            .expect("opens")
    }

    #[test]
    fn items_pass_until_the_dataflow_ends() {
        let (sink, mut receiver) = channel_out(10);
        let mut writer = open(&sink);
        assert_eq!(receiver.try_recv(), Err(ReceiveError::Empty));
        writer.write(vec![1, 2, 3]).expect("is received");
        assert_eq!(receiver.try_recv(), Ok(1));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Ok(2));
        drop(writer);
        assert_eq!(receiver.next(), Some(3));
        assert_eq!(receiver.next(), None, "although there is still a sink");
        assert_eq!(receiver.try_recv(), Err(ReceiveError::Ended));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Err(ReceiveError::Ended));
    }

    #[test]
    fn a_dataflow_that_never_ran_has_ended_when_it_is_dropped() {
        let (sink, mut receiver) = channel_out::<i32>(10);
        let receiving = thread::spawn(move || receiver.next());
        drop(sink.clone());
        drop(sink);
        assert_eq!(receiving.join().expect("does not panic"), None);
    }

    #[test]
    fn waiting_has_an_end() {
        let (_sink, receiver) = channel_out::<i32>(10);
        let short = Duration::from_millis(1);
        assert_eq!(receiver.recv_timeout(short), Err(ReceiveError::Empty));
    }

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicBool);
    impl Woken {
        fn is(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::SeqCst)
        }
    }
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn a_slow_receiver_holds_the_dataflow_back() {
        let (sink, receiver) = channel_out(3);
        let mut writer = open(&sink);
        assert!(writer.ready(Waker::noop()));
        writer.write(vec![0, 1]).expect("is received");
        assert!(writer.ready(Waker::noop()));
        writer.write(vec![2, 3, 4]).expect("is received");
        let woken = Arc::new(Woken::default());
        assert!(!writer.ready(&Waker::from(Arc::clone(&woken))));
        assert!(!woken.is());
        let writing = thread::spawn(move || (5..50).try_for_each(|n| writer.write(vec![n])));
        assert_eq!(receiver.collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        writing.join().expect("does not panic").expect("all was received");
        assert!(woken.is(), "room was made");
    }

    #[test]
    fn a_receiver_that_goes_ends_the_run() {
        let (sink, receiver) = channel_out(1);
        let mut writer = open(&sink);
        writer.write(vec![1]).expect("is received");
        let waiting = thread::spawn(move || writer.write(vec![2]));
        drop(receiver);
        let error = waiting.join().expect("does not panic").expect_err("is closed");
        assert_eq!(error.kind(), ErrorKind::OutputClosed);
    }

    #[test]
    fn keyed_items_come_with_their_key() {
        let mut block = Vec::new();
        let size = Encoder::<Keyed<String, u32>>::encode(
            &mut ChannelEncoder,
            &"a".to_owned(),
            1,
            &mut block,
        );
        assert_eq!(block, [("a".to_owned(), 1)]);
        assert!(size.expect("encodes") > 0);
    }
}
