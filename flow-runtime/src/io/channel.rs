//! `channel`: items from the threads of the application into a dataflow.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind};
use crate::io::queue::{Nothing, Queue};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

/// A channel into a dataflow: a sender for the application's threads, and a source.
///
/// At most `capacity` items wait in the channel, and at least one may; a sender waits while it is full, so a dataflow that
/// cannot keep up holds its producers back. The stream ends when all senders have been dropped. What was sent cannot be
/// read again: after a crash it is gone.
///
/// ```
/// use flow_runtime::io::channel;
///
/// let (sender, source) = channel::<String>(1000);
/// std::thread::spawn(move || {
///     for n in 0..10 {
///         if sender.send(format!("order {n}")).is_err() {
///             break; // the dataflow has ended
///         }
///     }
/// });
/// // .. a dataflow with `source(source)` runs ..
/// # let _ = source;
/// ```
pub fn channel<T: Send + 'static>(capacity: usize) -> (Sender<T>, ChannelSource<T>) {
    let queue = Arc::new(Queue::new(capacity));
    let end = ReadEnd { queue: Arc::clone(&queue), taken: AtomicBool::new(false) };
    (Sender { queue }, ChannelSource { end: Arc::new(end) })
}

/// The end of a [`channel`] that the application puts items into. Each thread has a clone.
pub struct Sender<T> {
    queue: Arc<Queue<T>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.queue.add_writer();
        Sender { queue: Arc::clone(&self.queue) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.queue.remove_writer();
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> Sender<T> {
    /// Sends an item; waits while the channel is full.
    ///
    /// # Errors
    /// When the dataflow has ended: the item is given back.
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        self.queue.push(item).map_err(SendError)
    }

    /// Sends an item if there is room for it.
    ///
    /// # Errors
    /// When the channel is full or the dataflow has ended: the item is given back.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.queue.try_push(item).map_err(|(item, nothing)| match nothing {
            Nothing::Yet => TrySendError::Full(item),
            Nothing::Ever => TrySendError::Ended(item),
        })
    }
}

/// The dataflow that was to read an item has ended. Here is the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why an item was not sent. Here is the item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The channel is full.
    Full(T),
    /// The dataflow has ended.
    Ended(T),
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Ended(_) => "Ended(..)",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the dataflow that reads the channel has ended")
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "the channel is full",
            TrySendError::Ended(_) => "the dataflow that reads the channel has ended",
        })
    }
}

impl<T> StdError for SendError<T> {}
impl<T> StdError for TrySendError<T> {}

/// The end of a [`channel`] that a dataflow reads, as a source with one partition. One dataflow can read it, once.
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct ChannelSource<T> {
    end: Arc<ReadEnd<T>>,
}

impl<T> Clone for ChannelSource<T> {
    fn clone(&self) -> Self {
        ChannelSource { end: Arc::clone(&self.end) }
    }
}

impl<T> fmt::Debug for ChannelSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSource")
    }
}

/// Closes the queue when the last who might read it has gone.
struct ReadEnd<T> {
    queue: Arc<Queue<T>>,
    /// Whether there is, or was, a reader.
    taken: AtomicBool,
}

impl<T> Drop for ReadEnd<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<T: Send + 'static> Source for ChannelSource<T> {
    type Item = T;
    type Position = ();
    type Reader = ChannelReader<T>;
    type Replay = replay::NotReplayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("channel")])
    }

    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<ChannelReader<T>, Error> {
        if self.end.taken.swap(true, Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Source,
                "the channel is, or was, already read by another source step or run",
            )
            .help("make a channel for each: `channel(capacity)`"));
        }
        Ok(ChannelReader { queue: Arc::clone(&self.end.queue), taken: VecDeque::new() })
    }
}

/// The reader of a [`ChannelSource`]. When it goes, the channel is closed.
pub struct ChannelReader<T> {
    queue: Arc<Queue<T>>,
    /// What was taken out of the queue in one go, and is still to be emitted.
    taken: VecDeque<T>,
}

impl<T> ChannelReader<T> {
    pub(crate) fn new(queue: Arc<Queue<T>>) -> Self {
        ChannelReader { queue, taken: VecDeque::new() }
    }
}

impl<T> Drop for ChannelReader<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<T> fmt::Debug for ChannelReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelReader")
    }
}

impl<T: Send + 'static> Reader for ChannelReader<T> {
    type Item = T;
    type Position = ();

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        if self.taken.is_empty() {
            match self.queue.take_all(&mut self.taken, cx.waker()) {
                Ok(()) => {}
                Err(Nothing::Yet) => return Ok(Poll::Pending),
                Err(Nothing::Ever) => return Ok(Poll::End),
            }
        }
        let count = self.taken.len().min(cx.limit());
        self.taken.drain(..count).for_each(emit);
        Ok(Poll::Ready)
    }

    fn position(&self) {}
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::thread;

    use super::*;
    use crate::io::testing::{Calls, poll, poll_in};
    use crate::time::Epoch;

    fn open<T: Send + 'static>(source: &ChannelSource<T>) -> Result<ChannelReader<T>, String> {
        let opened = source.open(&Io::real(), &PartitionId::new("channel"), Resume::Fresh);
        opened.map_err(|error| error.to_string())
    }

    #[test]
    fn items_pass_until_all_senders_are_gone() {
        let (one, source) = channel(10);
        let mut reader = open(&source).expect("opens");
        let two = one.clone();
        one.send(1).expect("is read");
        two.send(2).expect("is read");
        drop(one);
        two.try_send(3).expect("is read");
        assert_eq!(poll(&mut reader, 2), (vec![1, 2], Ok(Poll::Ready)));
        assert_eq!(poll(&mut reader, 2), (vec![3], Ok(Poll::Ready)));
        assert_eq!(poll(&mut reader, 2), (vec![], Ok(Poll::Pending)));
        two.send(4).expect("is read");
        drop(two);
        assert_eq!(poll(&mut reader, 2), (vec![4], Ok(Poll::Ready)));
        assert_eq!(poll(&mut reader, 2), (vec![], Ok(Poll::End)));
    }

    #[test]
    fn the_worker_is_woken_once_for_each_wait() {
        let (sender, source) = channel(10);
        let mut reader = open(&source).expect("opens");
        let calls = Arc::new(Calls::default());
        let waker = Waker::from(Arc::clone(&calls));
        sender.send(1).expect("is read");
        assert_eq!(calls.count(), 0, "nobody waits");
        assert_eq!(poll_in(&mut reader, 9, Epoch(0), &waker), (vec![1], Ok(Poll::Ready)));
        assert_eq!(poll_in(&mut reader, 9, Epoch(0), &waker), (vec![], Ok(Poll::Pending)));
        sender.send(2).expect("is read");
        sender.send(3).expect("is read");
        assert_eq!(calls.count(), 1);
        assert_eq!(poll_in(&mut reader, 9, Epoch(0), &waker), (vec![2, 3], Ok(Poll::Ready)));
        assert_eq!(poll_in(&mut reader, 9, Epoch(0), &waker), (vec![], Ok(Poll::Pending)));
        drop(sender);
        assert_eq!(calls.count(), 2, "the end is told, too");
    }

    #[test]
    fn a_full_channel_holds_its_senders_back() {
        let (sender, source) = channel(1);
        let mut reader = open(&source).expect("opens");
        sender.try_send(0).expect("there is room");
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        let sending = thread::spawn(move || (1..100).try_for_each(|n| sender.send(n)));
        let mut all = Vec::new();
        loop {
            let (items, answer) = poll(&mut reader, 9);
            all.extend(items);
            match answer.expect("reads") {
                Poll::End => break,
                _ => thread::yield_now(),
            }
        }
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        sending.join().expect("does not panic").expect("all was read");
    }

    #[test]
    fn after_the_end_items_come_back() {
        let (sender, source) = channel(1);
        let reader = open(&source).expect("opens");
        sender.send("kept").expect("there is room");
        let waiting = thread::spawn({
            let sender = sender.clone();
            move || sender.send("waits")
        });
        drop(reader);
        assert_eq!(waiting.join().expect("does not panic"), Err(SendError("waits")));
        assert_eq!(sender.send("late"), Err(SendError("late")));
        assert_eq!(sender.try_send("late"), Err(TrySendError::Ended("late")));
    }

    #[test]
    fn a_dataflow_that_never_ran_has_ended_when_it_is_dropped() {
        let (sender, source) = channel(1);
        let flow = source.clone();
        drop(source);
        sender.send(1).expect("it may still run");
        drop(flow);
        assert_eq!(sender.send(2), Err(SendError(2)));
    }

    #[test]
    fn it_is_read_once() {
        let (_sender, source) = channel::<i32>(1);
        let reader = open(&source).expect("opens");
        assert!(open(&source).expect_err("is taken").contains("already read"));
        drop(reader);
        assert!(open(&source).expect_err("was taken").contains("already read"));
    }
}
