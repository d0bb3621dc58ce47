//! `sequence_gap`: what is missing in the numbers of each key, and what came again.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::bounds::Key;
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::operator::keep;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::state::{EntryMut, InItem, Lent, Saved, Shape, Table};
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};

/// `let (messages, gaps) = sequence_gap(keyed, |item| number);`: all items, as they are, and beside them what their numbers say: that some are
/// [missing](Gap::Missing), came [late](Gap::Late) or [again](Gap::Repeated), or that the sender has [begun anew](Gap::Restarted).
///
/// Key the stream by the sender. The items of a sender are numbered one by one, as a `u64`; its first item may have any number. A gap is
/// reported as soon as a later number comes, and has the event time of that item. A gap at the end shows only when something comes behind it.
///
/// # Senders that restart
///
/// A sender that begins with 0 or 1 whenever it starts is taken to have restarted when that number comes again behind later ones. So a first
/// message that is only repeated looks like a restart, and the next one like a gap: if the sender has a number or a time of its own for each start,
/// put that into the key, and every start is a sender of its own. A sender that goes on counting elsewhere shows as missing or repeated items.
///
/// # What is kept
///
/// Of each sender the first and the last number, and the latest 64 ranges that are missing; of older ones it is forgotten that they
/// are, so an item from there counts as repeated.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn watch(packets: Vec<(u32, u64)>, out: Collect<(u32, u64)>, lost: Collect<(u32, Gap)>) {
///     let all = source(from_iter(packets));
///     let by_sender = into_keyed(all);
///     let (messages, gaps) = sequence_gap(by_sender, |number| *number);
///     sink(messages, out);
///     sink(gaps, lost);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let ((out, messages), (lost, gaps)) = (collect(), collect());
/// watch(vec![(7, 1), (7, 2), (7, 6), (7, 2), (7, 4)], out, lost).workers(1).spawn()?.wait()?;
/// assert_eq!(messages.take().len(), 5);
/// assert_eq!(
///     gaps.take(),
///     [
///         (7, Gap::Missing { from: 3, to: 5 }),
///         (7, Gap::Repeated { number: 2 }),
///         (7, Gap::Late { number: 4 }),
///     ]
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum sequence_gap {}

/// What the numbers of a sender's items say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Gap {
    /// No items with these numbers have come, both included, and a later one has.
    Missing {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// An item that was missing has come after all, or one from before the first.
    Late {
        /// Its number.
        number: u64,
    },
    /// An item with this number has come before.
    Repeated {
        /// The number.
        number: u64,
    },
    /// The sender has begun anew.
    Restarted {
        /// The largest number before.
        after: u64,
        /// The number with which it began.
        at: u64,
    },
}

impl sequence_gap {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::SequenceGap);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, F: Fn(&U::Item) -> u64 + 'static>(
        _: U,
        number: F,
    ) -> ((Keyed<U::Key, U::Item>, Keyed<U::Key, Gap>), SequenceGapPlan<U::Key, U::Item, F>) {
        ((Token::token(), Token::token()), SequenceGapPlan { number, types: PhantomData })
    }
}

/// The plan of [`sequence_gap`].
pub struct SequenceGapPlan<K, A, F> {
    number: F,
    types: PhantomData<fn(K, A)>,
}

impl<K, A, F> fmt::Debug for SequenceGapPlan<K, A, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SequenceGapPlan")
    }
}

impl<H, K, A, F, D, E> Plan1<H, Keyed<K, A>, (D, E)> for SequenceGapPlan<K, A, F>
where
    H: Host,
    K: Key,
    A: 'static,
    F: Fn(&A) -> u64 + 'static,
    D: Consumer<Keyed<K, A>>,
    E: Consumer<Keyed<K, Gap>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (messages, gaps): (D, E),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, F, D, E>,) {
        (SequenceGap { id, number: self.number, table: Table::new(), messages, gaps },)
    }
}

/// The numbers of a sender.
#[crate::stateful]
#[derive(Debug)]
struct Numbers {
    /// The smallest since the sender began.
    first: u64,
    /// The largest since then.
    last: u64,
    /// What lies between them and has not come: ranges, both ends included, in order.
    missing: Vec<(u64, u64)>,
}

/// So many missing ranges of a sender are kept.
const MISSING_MAX: usize = 64;

impl Numbers {
    fn begin(number: u64) -> Numbers {
        Numbers { first: number, last: number, missing: Vec::new() }
    }

    /// Takes a number, and says what there is to say.
    fn take(&mut self, number: u64, mut say: impl FnMut(Gap)) {
        if number > self.last {
            if number - self.last > 1 {
                let (from, to) = (self.last + 1, number - 1);
                say(Gap::Missing { from, to });
                self.missing.push((from, to));
                self.bound();
            }
            self.last = number;
        } else if self.fills(number) {
            say(Gap::Late { number });
        } else if number <= self.first.min(1) && self.last - number > 1 {
            say(Gap::Restarted { after: self.last, at: number });
            *self = Numbers::begin(number);
        } else if number < self.first {
            // It was only overtaken: what lies between is known to be missing now.
            say(Gap::Late { number });
            if self.first - number > 1 {
                let (from, to) = (number + 1, self.first - 1);
                say(Gap::Missing { from, to });
                self.missing.insert(0, (from, to));
                self.bound();
            }
            self.first = number;
        } else {
            say(Gap::Repeated { number });
        }
    }

    /// Whether the number was missing; it is not any more.
    fn fills(&mut self, number: u64) -> bool {
        let at = self.missing.partition_point(|range| range.1 < number);
        let Some(&(from, to)) = self.missing.get(at).filter(|range| range.0 <= number) else {
            return false;
        };
        let rest = [(from, number.wrapping_sub(1)), (number.wrapping_add(1), to)];
        let is_left = [from < number, number < to];
        let rest = rest.into_iter().zip(is_left).filter_map(|(range, is)| is.then_some(range));
        self.missing.splice(at..=at, rest);
        self.bound();
        true
    }

    fn bound(&mut self) {
        let over = self.missing.len().saturating_sub(MISSING_MAX);
        self.missing.drain(..over);
    }
}

struct SequenceGap<K, F, D, E> {
    id: StepId,
    number: F,
    /// There is always something: `None` is what a sender's first item finds.
    table: Table<K, Option<Numbers>>,
    messages: D,
    gaps: E,
}

impl<K: Key, F, D, E: Consumer<Keyed<K, Gap>>> SequenceGap<K, F, D, E> {
    #[inline(always)]
    fn look<A>(
        id: &StepId,
        function: &F,
        Place { hash, time }: Place,
        EntryMut { key, state }: EntryMut<'_, K, Option<Numbers>>,
        item: &A,
        gaps: &mut E,
    ) where
        F: Fn(&A) -> u64,
    {
        let note = Note::keyed(id, key);
        let number = function(item);
        note.emits();
        note.clear();
        match state {
            Some(numbers) => numbers.take(number, |gap| {
                id.counted().emits();
                gaps.push(Head { hash, time, key }, gap);
            }),
            None => *state = Some(Numbers::begin(number)),
        }
    }
}

impl<K, A, F, D, E> Consumer<Keyed<K, A>> for SequenceGap<K, F, D, E>
where
    K: Key,
    A: 'static,
    F: Fn(&A) -> u64 + 'static,
    D: Consumer<Keyed<K, A>>,
    E: Consumer<Keyed<K, Gap>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: A) {
        let note = Note::beside(&self.id);
        let entry = self.table.find_or_insert(head.hash, &Lent(head.key), || None);
        note.clear();
        let at = Place { hash: head.hash, time: head.time };
        Self::look(&self.id, &self.number, at, entry, &item, &mut self.gaps);
        self.messages.push(head, item);
    }
    #[inline(always)]
    fn push_key_in_item<X: KeyInItem<Keyed<K, A>>>(&mut self, at: Place, item: A, extract: &X) {
        let note = Note::beside(&self.id);
        let lookup = InItem::<Keyed<K, A>, X>(&item, extract);
        let entry = self.table.find_or_insert(at.hash, &lookup, || None);
        note.clear();
        Self::look(&self.id, &self.number, at, entry, &item, &mut self.gaps);
        self.messages.push_key_in_item(at, item, extract);
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.table.expect(hashes.clone());
        note.clear();
        self.messages.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        keep(&self.id, &mut self.table, control);
        self.messages.control(control);
        self.gaps.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::SequenceGap.name()).takes::<Keyed<K, A>>();
        to.step(info.keeps(Numbers::SCHEMA).saves(|| {
            StepSpec::keyed::<K>("sequence_gap", Shape::from(Numbers::SCHEMA)).migrates::<Numbers>()
        }));
        self.messages.describe(to);
        self.gaps.describe(to);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn said(numbers: &[u64]) -> Vec<Gap> {
        let mut said = Vec::new();
        let mut state = None::<Numbers>;
        for number in numbers {
            match &mut state {
                None => state = Some(Numbers::begin(*number)),
                Some(state) => state.take(*number, |gap| said.push(gap)),
            }
            if let Some(state) = &mut state {
                let mut bytes = Vec::new();
                state.save(&mut bytes);
                *state = Numbers::load_all(&bytes).expect("what is saved is loaded");
            }
        }
        said
    }

    /// The same with a set of all numbers that have come.
    fn naive(numbers: &[u64]) -> Vec<Gap> {
        let (mut said, mut seen) = (Vec::new(), BTreeSet::new());
        for &number in numbers {
            let before = seen.range(..number).next_back().copied();
            let (first, last) = (seen.first().copied(), seen.last().copied());
            let between = |from: u64, to: u64| (from <= to).then_some(Gap::Missing { from, to });
            match (before, first.zip(last)) {
                (_, None) => {}
                (Some(before), Some((_, last))) if last < number => {
                    said.extend(between(before + 1, number - 1));
                }
                _ if seen.contains(&number) && (number > 1 || Some(number) != first) => {
                    said.push(Gap::Repeated { number });
                }
                (Some(_), _) => said.push(Gap::Late { number }),
                (None, Some((_, last))) if number <= 1 && last > number + 1 => {
                    said.push(Gap::Restarted { after: last, at: number });
                    seen.clear();
                }
                (None, Some(_)) if seen.contains(&number) => said.push(Gap::Repeated { number }),
                (None, Some((first, _))) => {
                    said.push(Gap::Late { number });
                    said.extend(between(number + 1, first - 1));
                }
            }
            seen.insert(number);
        }
        said
    }

    proptest! {
        #[test]
        fn a_few_ranges_tell_what_all_numbers_would(
            numbers in prop::collection::vec(prop_oneof![3 => 0..30_u64, 1 => 0..3_u64], 0..60),
        ) {
            prop_assert_eq!(said(&numbers), naive(&numbers));
        }

        #[test]
        fn what_is_missing_in_the_end_is_what_was_said_and_did_not_come(
            mut numbers in prop::collection::vec(2..200_u64, 1..60),
        ) {
            // From 2 on nothing looks like a restart.
            let mut missing = BTreeSet::new();
            for gap in said(&numbers) {
                match gap {
                    Gap::Missing { from, to } => missing.extend(from..=to),
                    Gap::Late { number } => drop(missing.remove(&number)),
                    Gap::Repeated { .. } => {}
                    Gap::Restarted { .. } => prop_assert!(false, "nothing has restarted"),
                }
            }
            numbers.sort_unstable();
            let span = numbers[0]..=numbers[numbers.len() - 1];
            let expected: BTreeSet<u64> = span.filter(|n| !numbers.contains(n)).collect();
            prop_assert_eq!(missing, expected);
        }
    }

    #[test]
    fn a_sender_that_restarts_begins_anew() {
        use Gap::{Late, Missing, Repeated, Restarted};
        assert_eq!(said(&[0, 1, 2, 0, 1, 2]), [Restarted { after: 2, at: 0 }]);
        assert_eq!(said(&[1, 2, 3, 1, 2]), [Restarted { after: 3, at: 1 }]);
        // Followed from the middle on: it began with 1 then, and with 0 later.
        assert_eq!(
            said(&[40, 41, 1, 2, 3, 0]),
            [Restarted { after: 41, at: 1 }, Restarted { after: 3, at: 0 }]
        );
        // Right behind itself it is the same item again.
        assert_eq!(said(&[0, 0, 1, 1]), [Repeated { number: 0 }, Repeated { number: 1 }]);
        // A sender that begins with 0 does not begin with 1.
        assert_eq!(said(&[0, 1, 2, 3, 1]), [Repeated { number: 1 }]);
        // What was missing before is not missing any more.
        assert_eq!(
            said(&[0, 4, 0, 2]),
            [Missing { from: 1, to: 3 }, Restarted { after: 4, at: 0 }, Missing { from: 1, to: 1 }]
        );
        assert_eq!(
            said(&[5, 3, 4]),
            [Late { number: 3 }, Missing { from: 4, to: 4 }, Late { number: 4 }]
        );
    }

    #[test]
    fn the_ends_of_all_numbers_are_numbers_like_others() {
        use Gap::{Late, Missing, Restarted};
        assert_eq!(
            said(&[u64::MAX, 0, u64::MAX, u64::MAX - 1]),
            [
                Restarted { after: u64::MAX, at: 0 },
                Missing { from: 1, to: u64::MAX - 1 },
                Late { number: u64::MAX - 1 }
            ]
        );
    }

    #[test]
    fn only_so_many_ranges_are_kept() {
        let odd: Vec<u64> = (0..MISSING_MAX as u64 + 2).map(|n| 2 * n + 1).collect();
        let late = |number: u64| said(&[&odd[..], &[number]].concat()).pop();
        assert_eq!(late(2), Some(Gap::Repeated { number: 2 }), "it has been forgotten");
        assert_eq!(late(4), Some(Gap::Late { number: 4 }));
    }
}
