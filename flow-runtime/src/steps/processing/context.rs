//! What a state machine may ask and do.

use std::fmt;

use crate::steps::Process;
use crate::time::{Epoch, Timestamp};
use crate::timers::{By, Timers};

/// What a [`Process`] may ask and do while it handles an item or a timer of a key.
pub struct ProcessContext<'a, P: Process> {
    pub(super) key: &'a P::Key,
    pub(super) time: Timestamp,
    pub(super) now: Timestamp,
    pub(super) watermark: Timestamp,
    pub(super) epoch: Epoch,
    pub(super) timers: &'a mut Timers<P::Timer>,
    pub(super) out: &'a mut Vec<(Timestamp, P::Out)>,
    /// The number of the next timer.
    pub(super) number: &'a mut u64,
    /// A timer by event time was set.
    pub(super) event_timers: bool,
}

impl<P: Process> fmt::Debug for ProcessContext<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessContext").field("time", &self.time).finish_non_exhaustive()
    }
}

impl<P: Process> ProcessContext<'_, P> {
    /// The key.
    pub fn key(&self) -> &P::Key {
        self.key
    }

    /// The event time of the item, or the time that the timer was set for. [`Timestamp::MIN`] for an item that has none.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Processing time: the machine's clock, as of the batch. It never goes back, also over restarts.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How far event time has come: no item of an earlier time is expected. [`Timestamp::MIN`] before anything is known, and
    /// [`Timestamp::MAX`] when the input has ended for good.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The epoch that the item belongs to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Emits an item, with the time of what led to it.
    pub fn emit(&mut self, item: P::Out) {
        self.out.push((self.time, item));
    }

    /// Emits an item of another event time. A step downstream takes it for late if that lies before the watermark.
    pub fn emit_at(&mut self, time: Timestamp, item: P::Out) {
        self.out.push((time, item));
    }

    /// Sets a timer that fires when the watermark has reached `at`, in place of the key's timer by event time with this tag. If it has
    /// done so already the timer fires with the next batch; if it is set by a timer, right behind that one.
    ///
    /// Without an `event_time` upstream the run ends with an error: such a timer would never fire.
    pub fn set_timer(&mut self, at: Timestamp, tag: P::Timer) {
        self.event_timers = true;
        self.set(By::Event, at, tag);
    }

    /// Sets a timer that fires when processing time has reached `at`, to the millisecond, in place of the key's timer by processing
    /// time with this tag. It never fires early; the end of the input does not make it due.
    pub fn set_processing_timer(&mut self, at: Timestamp, tag: P::Timer) {
        self.set(By::Processing, at, tag);
    }

    fn set(&mut self, by: By, at: Timestamp, tag: P::Timer) {
        self.timers.set(by, at, tag, *self.number);
        *self.number += 1;
    }

    /// Takes away the key's timer by event time with this tag. Answers when it would have fired; `None` if it is not set.
    pub fn cancel_timer(&mut self, tag: &P::Timer) -> Option<Timestamp> {
        self.timers.cancel(By::Event, tag)
    }

    /// Takes away the key's timer by processing time with this tag. Answers when it would have fired; `None` if it is not set.
    pub fn cancel_processing_timer(&mut self, tag: &P::Timer) -> Option<Timestamp> {
        self.timers.cancel(By::Processing, tag)
    }

    /// When the key's timer by event time with this tag fires; `None` if it is not set.
    pub fn timer(&self, tag: &P::Timer) -> Option<Timestamp> {
        self.timers.get(By::Event, tag)
    }

    /// When the key's timer by processing time with this tag fires; `None` if it is not set.
    pub fn processing_timer(&self, tag: &P::Timer) -> Option<Timestamp> {
        self.timers.get(By::Processing, tag)
    }
}
