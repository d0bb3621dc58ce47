//! One queue: from one worker's outlet to one worker's inlet.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::SegQueue;

use crate::control::EventTime;
use crate::host::Batch;
use crate::time::{Barrier, Epoch};

/// What stands in a queue.
#[derive(Debug)]
pub(crate) enum Message<R> {
    Batch(Batch<R>),
    /// How far the sender's event time has come.
    EventTime(EventTime),
    Marker(Marker),
}

/// The end of an epoch, on its way through the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) barrier: Barrier,
    /// The epoch that follows.
    pub(crate) next: Epoch,
    pub(crate) then: Then,
}

/// What comes after a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next epoch.
    Open,
    /// Nothing: the run ends here.
    Stop,
    /// Nothing, and the input has ended for good: what is held back is emitted before the marker.
    Finish,
}

/// A queue of batches, markers and watermarks in order. Only batches count towards its limit.
#[derive(Debug)]
pub(crate) struct Fifo<R> {
    messages: SegQueue<Message<R>>,
    batches: AtomicUsize,
    limit: usize,
    /// The sender waits for room.
    waiting: AtomicBool,
    /// Emptied buffers on their way back to the sender, so that memory is freed where it was allocated.
    spare: SegQueue<Batch<R>>,
}

impl<R> Fifo<R> {
    /// A queue that is full at `limit` batches.
    pub(crate) fn new(limit: usize) -> Self {
        Fifo {
            messages: SegQueue::new(),
            batches: AtomicUsize::new(0),
            limit,
            waiting: AtomicBool::new(false),
            spare: SegQueue::new(),
        }
    }

    pub(crate) fn push(&self, rows: Batch<R>) {
        self.batches.fetch_add(1, Ordering::SeqCst);
        self.messages.push(Message::Batch(rows));
    }

    pub(crate) fn mark(&self, marker: Marker) {
        self.messages.push(Message::Marker(marker));
    }

    pub(crate) fn event_time(&self, time: EventTime) {
        self.messages.push(Message::EventTime(time));
    }

    pub(crate) fn pop(&self) -> Option<Message<R>> {
        let message = self.messages.pop()?;
        if let Message::Batch(_) = message {
            self.batches.fetch_sub(1, Ordering::SeqCst);
        }
        Some(message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.batches.load(Ordering::SeqCst) >= self.limit
    }

    /// The sender is about to wait. It must look at [`is_full`](Fifo::is_full) once more before it does.
    pub(crate) fn wait(&self) {
        self.waiting.store(true, Ordering::SeqCst);
    }

    /// Whether the sender waited; asked by the receiver after it has popped.
    pub(crate) fn take_waiting(&self) -> bool {
        // A load first: the line stays shared while nobody waits.
        self.waiting.load(Ordering::SeqCst) && self.waiting.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn recycle(&self, mut rows: Batch<R>) {
        rows.clear();
        if self.spare.len() < self.limit {
            self.spare.push(rows);
        }
    }

    pub(crate) fn buffer(&self) -> Batch<R> {
        self.spare.pop().unwrap_or_default()
    }
}
