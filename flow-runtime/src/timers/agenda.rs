//! Which keys have something to do when: a queue by time.
//!
//! Time only goes forward, so this is a radix heap. An entry lies in the bucket of the highest bit in which its time differs from the
//! one that was taken out last, so the first bucket that is not empty has the earliest entries; taking from it deals them to lower
//! buckets. An entry moves down a few times at most, always in memory that lies in a row, where a binary heap would jump.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Timestamp;

/// When, and the hash of the key.
type Entry = (u64, u64);

/// When an agenda names a key next; [`Timestamp::MAX`] if it does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Armed(pub(crate) Timestamp);

impl Default for Armed {
    fn default() -> Self {
        Armed(Timestamp::MAX)
    }
}

/// Times and keys, taken out in the order of time and, at one time, of the keys' hashes.
#[derive(Debug)]
pub(crate) struct Agenda {
    /// By the number of the highest bit that differs from `last`, and 0 for none.
    buckets: Vec<Vec<Entry>>,
    /// The earliest time in each bucket that is not empty.
    earliest: [u64; BUCKETS],
    /// Which buckets are not empty.
    filled: u128,
    /// No entry in a bucket is earlier.
    last: u64,
    /// Bucket 0 is sorted, the earliest last.
    sorted: bool,
    /// What was put in behind `last`: it is due already.
    overdue: BinaryHeap<Reverse<Entry>>,
    len: usize,
}

/// One for each bit, and one for none.
const BUCKETS: usize = 65;

/// So many keys are near, where there are so many.
const NEAR: usize = 32;

/// The hashes of some entries.
type Hashes<'a> = std::iter::Map<std::slice::Iter<'a, Entry>, fn(&Entry) -> u64>;

fn hashes(entries: &[Entry]) -> Hashes<'_> {
    entries.iter().map(|entry| entry.1)
}

/// Times in an order of unsigned numbers.
fn ordered(at: Timestamp) -> u64 {
    (at.0 as u64) ^ (1 << 63)
}

fn time(ordered: u64) -> Timestamp {
    Timestamp((ordered ^ (1 << 63)) as i64)
}

impl Agenda {
    pub(crate) fn new() -> Self {
        Agenda {
            buckets: Vec::new(),
            earliest: [u64::MAX; BUCKETS],
            filled: 0,
            last: 0,
            sorted: true,
            overdue: BinaryHeap::new(),
            len: 0,
        }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Notes that the keys of this hash have something to do at `at`.
    #[inline]
    pub(crate) fn add(&mut self, at: Timestamp, hash: u64) {
        let at = ordered(at);
        self.len += 1;
        if at < self.last {
            return self.overdue.push(Reverse((at, hash)));
        }
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS, Vec::new);
        }
        self.put((at, hash));
    }

    #[inline]
    fn put(&mut self, entry: Entry) {
        let bucket = (64 - (entry.0 ^ self.last).leading_zeros()) as usize;
        self.sorted &= bucket > 0;
        self.filled |= 1 << bucket;
        self.earliest[bucket] = self.earliest[bucket].min(entry.0);
        self.buckets[bucket].push(entry);
    }

    /// When there is something to do next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let overdue = self.overdue.peek().map(|Reverse((at, _))| *at);
        let first = self.filled.trailing_zeros() as usize;
        let bucket = self.earliest.get(first).copied();
        overdue.into_iter().chain(bucket).min().map(time)
    }

    /// Takes out the earliest entry, if it is due at `until`. `near` is told, now and then, the keys of which most will be next: whoever has
    /// their states can bring them into the cache, all at once.
    #[inline]
    pub(crate) fn take_due(
        &mut self,
        until: Timestamp,
        near: impl Fn(Hashes<'_>),
    ) -> Option<(Timestamp, u64)> {
        if self.len == 0 {
            return None;
        }
        let until = ordered(until);
        if let Some(Reverse((at, _))) = self.overdue.peek() {
            if *at > until {
                return None;
            }
            let Reverse((at, hash)) = self.overdue.pop()?;
            self.len -= 1;
            return Some((time(at), hash));
        }
        if self.filled & 1 == 0 && !self.deal(until, &near) {
            return None;
        }
        if self.last > until {
            return None;
        }
        let first = &mut self.buckets[0];
        if !self.sorted {
            first.sort_unstable_by(|a, b| b.cmp(a));
            self.sorted = true;
        }
        if let Some(from) = first.len().checked_sub(NEAR)
            && from.is_multiple_of(NEAR)
        {
            near(hashes(&first[from..]));
        }
        let (at, hash) = first.pop()?;
        if first.is_empty() {
            self.filled &= !1;
            self.earliest[0] = u64::MAX;
        }
        self.len -= 1;
        Some((time(at), hash))
    }

    /// Deals the first bucket that is not empty, if it has anything that is due, to lower ones.
    fn deal(&mut self, until: u64, near: &impl Fn(Hashes<'_>)) -> bool {
        let number = self.filled.trailing_zeros() as usize;
        let Some(bucket) = self.buckets.get_mut(number) else { return false };
        if self.earliest[number] > until {
            return false;
        }
        self.last = std::mem::replace(&mut self.earliest[number], u64::MAX);
        let mut entries = std::mem::take(bucket);
        if (2..=NEAR).contains(&entries.len()) {
            near(hashes(&entries));
        }
        self.filled &= !(1 << number);
        entries.drain(..).for_each(|entry| self.put(entry));
        // Its memory is used again.
        self.buckets[number] = entries;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Add(i64, u64),
        Take(i64),
    }

    fn any_time() -> impl Strategy<Value = i64> {
        prop_oneof![-20..20_i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
    }

    fn any_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            2 => (any_time(), 0..4_u64).prop_map(|(at, hash)| Op::Add(at, hash)),
            1 => any_time().prop_map(Op::Take),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever is put in comes out in order once it is due, also what was late.
        #[test]
        fn it_is_a_sorted_set(ops in prop::collection::vec(any_op(), 0..200)) {
            let (mut agenda, mut model) = (Agenda::new(), BTreeSet::new());
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Add(at, hash) => {
                        agenda.add(Timestamp(at), hash);
                        model.insert((at, hash, n));
                    }
                    Op::Take(until) => loop {
                        let first = model.first().copied().filter(|(at, ..)| *at <= until);
                        let taken = agenda.take_due(Timestamp(until), |_| ());
                        prop_assert_eq!(taken.map(|(at, hash)| (at.0, hash)), first.map(|(at, hash, _)| (at, hash)));
                        let Some(first) = first else { break };
                        model.remove(&first);
                    },
                }
                prop_assert_eq!(agenda.len(), model.len());
                prop_assert_eq!(agenda.next().map(|at| at.0), model.first().map(|(at, ..)| *at));
            }
        }
    }
}
