//! The timers of one key.

use flow_macros::stateful;

use crate::state::Saved;
use crate::time::Timestamp;
use crate::timers::Armed;

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

/// The timers of a key: at most one for each tag and kind of time. In no order.
#[allow(clippy::box_collection)] // Hardly any key has others, and all have the room for them: 8 bytes, not 24.
#[stateful]
#[derive(Clone, Debug)]
pub(crate) struct Timers<T: Saved> {
    /// Most keys have one, and a large table of small entries is what they live in: it lies in the entry itself.
    one: Option<Pending<T>>,
    /// None of these without `one`.
    others: Option<Box<Vec<Pending<T>>>>,
    #[state(skip)]
    armed: ByTime,
}

/// When agendas name the key next: by event time and by processing time.
#[derive(Clone, Copy, Debug, Default)]
struct ByTime([Armed; 2]);

impl<T: Saved> Default for Timers<T> {
    fn default() -> Self {
        Timers { one: None, others: None, armed: ByTime::default() }
    }
}

impl<T: Saved> Timers<T> {
    /// All that are set.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pending<T>> {
        self.one.iter().chain(self.others.iter().flat_map(|others| others.iter()))
    }

    /// Takes all away.
    #[inline]
    pub(crate) fn clear(&mut self) {
        (self.one, self.others) = (None, None);
    }

    /// Takes the how manieth of all away.
    fn remove(&mut self, at: usize) -> Option<Pending<T>> {
        let others = self.others.as_mut().filter(|others| !others.is_empty());
        match (at.checked_sub(1), others) {
            (Some(at), others) => others.map(|others| others.swap_remove(at)),
            (None, Some(others)) => std::mem::replace(&mut self.one, others.pop()),
            (None, None) => self.one.take(),
        }
    }
}

impl<T: Saved + Ord> Timers<T> {
    /// Sets the timer of this tag, in place of one that is set.
    #[inline]
    pub(crate) fn set(&mut self, by: By, at: Timestamp, tag: T, number: u64) {
        self.cancel(by, &tag);
        // The latest time stands for none.
        let timer = Pending { by, at: at.min(Timestamp::LAST), tag, number };
        match self.one {
            None => self.one = Some(timer),
            Some(_) => self.others.get_or_insert_default().push(timer),
        }
    }

    /// Takes the timer of this tag away, and answers when it was due.
    #[inline]
    pub(crate) fn cancel(&mut self, by: By, tag: &T) -> Option<Timestamp> {
        let at = self.iter().position(|timer| timer.by == by && timer.tag == *tag)?;
        Some(self.remove(at)?.at)
    }

    /// When the timer of this tag is due.
    pub(crate) fn get(&self, by: By, tag: &T) -> Option<Timestamp> {
        let mut set = self.iter();
        set.find(|timer| timer.by == by && timer.tag == *tag).map(|timer| timer.at)
    }

    /// Takes out the first timer that is due at `until`, in the order of time and tag, of those that were set before `number`.
    #[inline]
    pub(crate) fn take_due(&mut self, by: By, until: Timestamp, number: u64) -> Option<Pending<T>> {
        let due = self
            .iter()
            .enumerate()
            .filter(|(_, timer)| timer.by == by && timer.at <= until && timer.number < number);
        let (at, _) = due.min_by_key(|(_, timer)| (timer.at, &timer.tag))?;
        self.remove(at)
    }

    /// Whether the agenda that names the key at `at` is the one that counts; an earlier one may have been added since.
    #[inline]
    pub(crate) fn is_named(&self, by: By, at: Timestamp) -> bool {
        let ByTime(armed) = self.armed;
        armed[by as usize].0 == at
    }

    /// The agenda has named the key.
    #[inline]
    pub(crate) fn disarm(&mut self, by: By) {
        let ByTime(armed) = &mut self.armed;
        armed[by as usize] = Armed::default();
    }

    /// When the key is to be put on the agenda; `None` if it is there in time, or has nothing to do.
    #[inline]
    pub(crate) fn arm(&mut self, by: By) -> Option<Timestamp> {
        self.arm_before(by, u64::MAX)
    }

    /// The same of the timers that were set before `number`.
    #[inline]
    pub(crate) fn arm_before(&mut self, by: By, number: u64) -> Option<Timestamp> {
        let next = self.unarmed(by, number)?;
        let ByTime(armed) = &mut self.armed;
        armed[by as usize] = Armed(next);
        Some(next)
    }

    /// What [`arm_before`](Timers::arm_before) will answer.
    #[inline]
    pub(crate) fn unarmed(&self, by: By, number: u64) -> Option<Timestamp> {
        let set = self.iter().filter(|timer| timer.by == by && timer.number < number);
        let next = set.map(|timer| timer.at).min()?;
        let ByTime(armed) = self.armed;
        (next < armed[by as usize].0).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Set(By, i64, u8),
        Cancel(By, u8),
        Take(By, i64),
        Clear,
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let by = prop_oneof![Just(By::Event), Just(By::Processing)];
        let set = (by.clone(), 0..9_i64, 0..4_u8).prop_map(|(by, at, tag)| Op::Set(by, at, tag));
        prop_oneof![
            6 => set,
            2 => (by.clone(), 0..4_u8).prop_map(|(by, tag)| Op::Cancel(by, tag)),
            4 => (by, 0..9_i64).prop_map(|(by, until)| Op::Take(by, until)),
            1 => Just(Op::Clear),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn they_are_a_map(ops in prop::collection::vec(any_op(), 0..60)) {
            let (mut timers, mut model) = (Timers::default(), BTreeMap::new());
            for (number, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Set(by, at, tag) => {
                        timers.set(by, Timestamp(at), tag, number as u64);
                        model.insert((by, tag), at);
                    }
                    Op::Cancel(by, tag) => {
                        let cancelled = timers.cancel(by, &tag).map(|at| at.0);
                        prop_assert_eq!(cancelled, model.remove(&(by, tag)));
                    }
                    Op::Take(by, until) => {
                        let due = model.iter().filter(|((is, _), at)| *is == by && **at <= until);
                        let first = due.min_by_key(|((_, tag), at)| (**at, *tag));
                        let first = first.map(|((_, tag), at)| (*at, *tag));
                        let taken = timers.take_due(by, Timestamp(until), u64::MAX);
                        prop_assert_eq!(taken.map(|timer| (timer.at.0, timer.tag)), first);
                        if let Some((_, tag)) = first {
                            model.remove(&(by, tag));
                        }
                    }
                    Op::Clear => {
                        timers.clear();
                        model.clear();
                    }
                }
                let mut set: Vec<_> = timers.iter().map(|t| ((t.by, t.tag), t.at.0)).collect();
                set.sort_unstable();
                prop_assert_eq!(set, model.iter().map(|(key, at)| (*key, *at)).collect::<Vec<_>>());
            }
        }
    }
}
