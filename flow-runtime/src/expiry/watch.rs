//! The clock of a step whose state expires, and what is over by it.

use std::time::Duration;

use crate::bounds::Key;
use crate::control::{Control, Signal};
use crate::describe::StepId;
use crate::error::{Error, ErrorKind};
use crate::event_time::{Clock, without_time};
use crate::expiry::{Aged, Aging, Ttl, UNKNOWN};
use crate::state::{Parted, Swept, SweptTo, Table};
use crate::time::Timestamp;

/// At a barrier so many slots of the table are looked at: a few hundred microseconds, whatever its size.
const SLOTS_PER_BARRIER: usize = 1 << 16;

/// So many times in a time to live the sweep goes round, at most: an entry lies there for an eighth of the time longer, and each is
/// looked at eight times for nothing.
const ROUNDS: u32 = 8;

/// The clock of a step whose state expires, and what is over by it.
pub(crate) struct Expiry {
    after: Option<Duration>,
    aging: Aging,
    clock: Clock,
    /// Processing time, or how far event time has come.
    now: Timestamp,
    /// From when state of unknown age counts.
    began: Timestamp,
    /// An item has come that has no time, though it should.
    untimed: bool,
    /// When the last sweep began, and how far it has come.
    swept: Timestamp,
    sweep: Option<SweptTo>,
}

impl Expiry {
    pub(crate) fn new(ttl: Ttl) -> Self {
        Expiry {
            after: ttl.after(),
            aging: ttl.aging(),
            clock: Clock::new(),
            now: Timestamp::MIN,
            began: UNKNOWN,
            untimed: false,
            swept: Timestamp::MIN,
            sweep: None,
        }
    }

    pub(crate) fn aging(&self) -> Aging {
        self.aging
    }

    /// Looks at a signal, before the step acts on it.
    pub(crate) fn hear(&mut self, id: &StepId, control: &mut Control<'_>) {
        match self.aging {
            Aging::Never => self.now = control.now(),
            Aging::ByProcessing => {
                self.now = control.now();
                match control.signal() {
                    Signal::Open { .. } => control.use_time(),
                    Signal::Restore => self.began = self.now,
                    _ => {}
                }
            }
            Aging::ByEvent => {
                self.clock.hear(id, control);
                self.now = self.clock.watermark();
                if self.began == UNKNOWN {
                    self.began = self.now;
                }
            }
        }
        if std::mem::take(&mut self.untimed) {
            control.fail(without_time(id, "step whose state expires by event time"));
        }
    }

    /// The time at which an item comes, by the step's clock.
    #[inline(always)]
    pub(crate) fn time_of(&mut self, item: Timestamp) -> Timestamp {
        match self.aging {
            Aging::Never | Aging::ByProcessing => self.now,
            Aging::ByEvent => {
                self.untimed |= item == Timestamp::MIN;
                item
            }
        }
    }

    /// Whether state of this time is over for what happens at `time`.
    #[inline(always)]
    pub(crate) fn is_over(&self, at: Timestamp, time: Timestamp) -> bool {
        let Some(after) = self.after else { return false };
        let at = if at == UNKNOWN { self.began } else { at };
        at != UNKNOWN && time.max(self.now).since(at) >= after
    }

    /// An item comes to an entry at `time`: what is over is made anew, and the entry's time begins again.
    #[inline(always)]
    pub(crate) fn touch<V>(&self, aged: &mut Aged<V>, time: Timestamp, fresh: impl FnOnce() -> V) {
        if self.is_over(aged.at, time) {
            *aged = Aged { at: time, held: fresh() };
        } else {
            aged.at = aged.at.max(time);
        }
    }

    /// Takes away what is over, in a part of the table, and gives a time to what has none: so it is counted on from there after a
    /// restart. `at` is the time of an entry. Only at a barrier, before what has changed is gathered.
    pub(crate) fn sweep<K: Key, V: Parted>(
        &mut self,
        id: &StepId,
        table: &mut Table<K, V>,
        at: impl Fn(&mut V) -> &mut Timestamp,
        control: &mut Control<'_>,
    ) {
        let Some(after) = self.after else { return };
        let from = match self.sweep.take() {
            Some(from) => from,
            None if self.now != Timestamp::MIN && self.now.since(self.swept) >= after / ROUNDS => {
                self.swept = self.now;
                SweptTo::default()
            }
            None => return,
        };
        let this = &*self;
        let swept = table.sweep_some(from, SLOTS_PER_BARRIER, |_, value| {
            let at = at(value);
            if this.is_over(*at, this.now) {
                return Swept::Gone;
            }
            if *at == UNKNOWN && this.began != UNKNOWN {
                *at = this.began;
                return Swept::Changed;
            }
            Swept::Same
        });
        match swept {
            Ok(to) => self.sweep = to,
            Err(error) => {
                let error = Error::new(ErrorKind::Encoding, error.to_string());
                control.fail(error.at_step(id));
            }
        }
    }
}
