//! The timers of one key.

use flow_macros::stateful;

use crate::state::Saved;
use crate::time::Timestamp;

/// By which time a timer is due.
#[stateful]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// When the watermark has reached it.
    Event,
    /// When the machine's clock has.
    Processing,
}

/// A timer that is set.
#[stateful]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending<T: Saved> {
    pub(crate) by: By,
    pub(crate) at: Timestamp,
    pub(crate) tag: T,
    /// The how manieth timer it is that was set in this run; 0 for one that was saved.
    #[state(skip)]
    pub(crate) number: u64,
}

/// The timers of a key: at most one for each tag and kind of time.
#[stateful]
#[derive(Clone, Debug)]
pub(crate) struct Timers<T: Saved> {
    pub(crate) set: Vec<Pending<T>>,
    /// When an agenda names the key next, by event time and by processing time.
    #[state(skip)]
    armed: Armed,
}

#[derive(Clone, Copy, Debug)]
struct Armed([Timestamp; 2]);

impl Default for Armed {
    fn default() -> Self {
        Armed([Timestamp::MAX; 2])
    }
}

impl<T: Saved> Default for Timers<T> {
    fn default() -> Self {
        Timers { set: Vec::new(), armed: Armed::default() }
    }
}

impl<T: Saved + Ord> Timers<T> {
    /// Sets the timer of this tag, in place of one that is set.
    pub(crate) fn set(&mut self, by: By, at: Timestamp, tag: T, number: u64) {
        self.cancel(by, &tag);
        // The latest time stands for none.
        let at = at.min(Timestamp(i64::MAX - 1));
        self.set.push(Pending { by, at, tag, number });
    }

    /// Takes the timer of this tag away, and answers when it was due.
    pub(crate) fn cancel(&mut self, by: By, tag: &T) -> Option<Timestamp> {
        let at = self.set.iter().position(|timer| timer.by == by && timer.tag == *tag)?;
        Some(self.set.swap_remove(at).at)
    }

    /// When the timer of this tag is due.
    pub(crate) fn get(&self, by: By, tag: &T) -> Option<Timestamp> {
        let mut set = self.set.iter();
        set.find(|timer| timer.by == by && timer.tag == *tag).map(|timer| timer.at)
    }

    /// Takes out the first timer that is due at `until`, in the order of time and tag, of those that were set before `number`.
    pub(crate) fn take_due(&mut self, by: By, until: Timestamp, number: u64) -> Option<Pending<T>> {
        let due =
            |timer: &&Pending<T>| timer.by == by && timer.at <= until && timer.number < number;
        let first = self.set.iter().filter(due).min_by_key(|timer| (timer.at, &timer.tag))?;
        let at = self.set.iter().position(|timer| std::ptr::eq(timer, first))?;
        Some(self.set.swap_remove(at))
    }

    /// Whether the agenda that names the key at `at` is the one that counts; an earlier one may have been added since. It then counts
    /// no more.
    pub(crate) fn is_named(&mut self, by: By, at: Timestamp) -> bool {
        let armed = &mut self.armed.0[by as usize];
        let is = *armed == at;
        if is {
            *armed = Timestamp::MAX;
        }
        is
    }

    /// When the key is to be put on the agenda; `None` if it is there in time, or has nothing to do.
    pub(crate) fn arm(&mut self, by: By) -> Option<Timestamp> {
        self.arm_before(by, u64::MAX)
    }

    /// The same of the timers that were set before `number`.
    pub(crate) fn arm_before(&mut self, by: By, number: u64) -> Option<Timestamp> {
        let due = |timer: &&Pending<T>| timer.by == by && timer.number < number;
        let next = self.set.iter().filter(due).map(|timer| timer.at).min()?;
        let armed = &mut self.armed.0[by as usize];
        if next < *armed {
            *armed = next;
            return Some(next);
        }
        None
    }
}
