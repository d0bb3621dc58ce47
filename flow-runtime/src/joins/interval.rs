//! Items that lie near one another in time, and how those of one key wait for one another.

use std::collections::VecDeque;
use std::time::Duration;

use flow_macros::stateful;

use super::{Found, LAST, Rules, behind, insert};
use crate::bounds::Item;
use crate::error::{Error, ErrorKind};
use crate::state::{BySerde, Saved};
use crate::steps::Either;
use crate::time::Timestamp;

/// Where a right item lies in time, as seen from the left item that it meets. Both ends are included.
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// const SECOND: Duration = Duration::from_secs(1);
/// // From a second before the left item to ten seconds after it.
/// let around = Interval::between(SECOND, 10 * SECOND);
/// // Two seconds after it at the earliest, ten at the latest.
/// let after = Interval::after(2 * SECOND, 10 * SECOND).allowed_lateness(SECOND);
/// // Ten seconds before it at the earliest, two at the latest.
/// let before = Interval::before(10 * SECOND, 2 * SECOND);
/// # let _ = (around, after, before);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    from: End,
    to: End,
    lateness: Duration,
}

/// An end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Before(Duration),
    After(Duration),
}

impl Interval {
    /// From `before` before the left item to `after` after it.
    pub const fn between(before: Duration, after: Duration) -> Interval {
        Interval::new(End::Before(before), End::After(after))
    }

    /// Wholly after the left item: from `from` after it to `to` after it. A run in which that is empty, because `from` is longer than
    /// `to`, ends with an error when it begins.
    pub const fn after(from: Duration, to: Duration) -> Interval {
        Interval::new(End::After(from), End::After(to))
    }

    /// Wholly before the left item: from `from` before it to `to` before it. A run in which that is empty, because `from` is shorter
    /// than `to`, ends with an error when it begins.
    pub const fn before(from: Duration, to: Duration) -> Interval {
        Interval::new(End::Before(from), End::Before(to))
    }

    const fn new(from: End, to: End) -> Interval {
        Interval { from, to, lateness: Duration::ZERO }
    }

    /// Keeps items for so much event time longer, and takes items that come so late. Later ones go to the late stream.
    pub const fn allowed_lateness(mut self, lateness: Duration) -> Interval {
        self.lateness = lateness;
        self
    }

    /// How items of one key wait.
    pub(crate) fn rules(&self) -> Result<Near, Error> {
        let (from, to) = (self.from.micros()?, self.to.micros()?);
        if from <= to {
            return Ok(Near { from, to, lateness: self.lateness });
        }
        let (what, help) = match (self.from, self.to) {
            (End::After(from), End::After(to)) => (
                format!("an interval from {from:?} after an item to {to:?} after it"),
                format!("what is earlier comes first: `Interval::after({to:?}, {from:?})`"),
            ),
            (End::Before(from) | End::After(from), End::Before(to) | End::After(to)) => (
                format!("an interval from {from:?} before an item to {to:?} before it"),
                format!("what is earlier comes first: `Interval::before({to:?}, {from:?})`"),
            ),
        };
        let message = format!("{what} is empty: nothing would ever be matched");
        Err(Error::new(ErrorKind::Configuration, message).help(help))
    }
}

impl End {
    /// Microseconds behind the left item; negative before it.
    fn micros(self) -> Result<i64, Error> {
        let (End::Before(length) | End::After(length)) = self;
        match i64::try_from(length.as_micros()) {
            // Far beyond all times there are, and still far from where sums overflow.
            Ok(length) if length <= i64::MAX / 4 => Ok(match self {
                End::Before(_) => -length,
                End::After(_) => length,
            }),
            _ => {
                let message = format!("an interval that reaches {length:?} far cannot be had");
                Err(Error::new(ErrorKind::Configuration, message)
                    .help("the longest is about 73,000 years"))
            }
        }
    }
}

/// A left item at t meets the right items at `t + from ..= t + to`.
///
/// An item waits until event time, less the lateness, has passed the last time at which the other side has something for it. What is
/// accepted after that is later than all that it could meet, so no pair is missed; and an item that comes when event time less the
/// lateness has passed its own time is late, for the first of those that it could meet may have been given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    from: i64,
    to: i64,
    lateness: Duration,
}

/// What waits of a key. Both sides in the order of time, so that what an item meets lies in a row.
#[stateful]
#[derive(Debug)]
pub(crate) struct Waiting<A: Saved, B: Saved> {
    left: VecDeque<Held<A>>,
    right: VecDeque<Held<B>>,
}

/// What waits of a key, as items are held.
type Kept<A, B> = Waiting<BySerde<A>, BySerde<B>>;

impl<A: Saved, B: Saved> Default for Waiting<A, B> {
    fn default() -> Self {
        Waiting { left: VecDeque::new(), right: VecDeque::new() }
    }
}

#[cfg(test)]
impl<A: Saved, B: Saved> Waiting<A, B> {
    /// How much is held of each side.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.left.len(), self.right.len())
    }
}

/// An item that waits.
#[stateful]
#[derive(Debug)]
pub(crate) struct Held<T: Saved> {
    at: Timestamp,
    /// It has met somebody.
    met: bool,
    item: T,
}

/// The items of one side of a key.
type Side<T> = VecDeque<Held<BySerde<T>>>;

fn shifted(at: Timestamp, by: i64) -> Timestamp {
    Timestamp(at.0.saturating_add(by))
}

impl Near {
    /// The last time, in terms of the watermark, at which an item can meet somebody.
    fn last(&self, at: Timestamp, reach: i64) -> Timestamp {
        shifted(at, reach).after(self.lateness).min(LAST)
    }

    /// When the left item is given up that comes first, and the right one.
    fn over<A: Saved, B: Saved>(&self, kept: &Waiting<A, B>) -> [Option<Timestamp>; 2] {
        let left = kept.left.front().map(|held| behind(self.last(held.at, self.to)));
        let right = kept.right.front().map(|held| behind(self.last(held.at, -self.from)));
        [left, right]
    }
}

/// Lets an item that reaches to `others[from..=to]` meet them, then puts it to its own side. It is answered if it need not wait and
/// has met nobody.
fn meet<T: Item, O: Item>(
    (own, others): (&mut Side<T>, &mut Side<O>),
    (from, to): (Timestamp, Timestamp),
    (at, item): (Timestamp, T),
    waits: bool,
    mut pair: impl FnMut(Timestamp, T, O),
) -> Option<T> {
    let mut met = false;
    let first = others.partition_point(|other| other.at < from);
    for other in others.range_mut(first..).take_while(|other| other.at <= to) {
        (met, other.met) = (true, true);
        pair(at.max(other.at), item.clone(), other.item.0.clone());
    }
    if waits {
        insert(own, Held { at, met, item: BySerde(item) }, |held| held.at);
        return None;
    }
    (!met).then_some(item)
}

/// Takes out the first item, which is given up. It is answered if it has met nobody.
fn give_up<T: Item>(side: &mut Side<T>) -> Option<(Timestamp, T)> {
    let Held { at, met, item: BySerde(item) } = side.pop_front()?;
    (!met).then_some((at, item))
}

impl<A: Item, B: Item> Rules<A, B> for Near {
    type Kept = Kept<A, B>;
    type Alone = Either<A, B>;
    const SAVED_AS: &'static str = "interval join";

    #[inline(always)]
    fn is_late(&self, at: Timestamp, watermark: Timestamp) -> bool {
        at < watermark.before(self.lateness)
    }

    #[inline(always)]
    fn take(
        &self,
        kept: &mut Kept<A, B>,
        at: Timestamp,
        item: Either<A, B>,
        watermark: Timestamp,
        emit: &mut impl FnMut(Timestamp, Found<A, B, Either<A, B>>),
    ) {
        let Waiting { left, right } = kept;
        let (last, alone) = match item {
            Either::Left(item) => {
                let last = self.last(at, self.to);
                let range = (shifted(at, self.from), shifted(at, self.to));
                let waits = last >= watermark;
                let alone = meet((left, right), range, (at, item), waits, |at, left, right| {
                    emit(at, Found::Pair(left, right));
                });
                (last, alone.map(Either::Left))
            }
            Either::Right(item) => {
                let last = self.last(at, -self.from);
                let range = (shifted(at, -self.to), shifted(at, -self.from));
                let waits = last >= watermark;
                let alone = meet((right, left), range, (at, item), waits, |at, right, left| {
                    emit(at, Found::Pair(left, right));
                });
                (last, alone.map(Either::Right))
            }
        };
        if let Some(alone) = alone {
            emit(at.max(last), Found::Alone(alone));
        }
    }

    fn decide(
        &self,
        kept: &mut Kept<A, B>,
        until: Timestamp,
        emit: &mut impl FnMut(Timestamp, Found<A, B, Either<A, B>>),
    ) {
        let is_due = |over: Option<Timestamp>| over.is_some_and(|over| over <= until);
        while is_due(self.over(kept)[0]) {
            if let Some((at, item)) = give_up(&mut kept.left) {
                emit(at.max(self.last(at, self.to)), Found::Alone(Either::Left(item)));
            }
        }
        while is_due(self.over(kept)[1]) {
            if let Some((at, item)) = give_up(&mut kept.right) {
                emit(at.max(self.last(at, -self.from)), Found::Alone(Either::Right(item)));
            }
        }
    }

    #[inline(always)]
    fn next(&self, kept: &Kept<A, B>) -> Option<Timestamp> {
        self.over(kept).into_iter().flatten().min()
    }

    fn is_gone(kept: &Kept<A, B>) -> bool {
        kept.left.is_empty() && kept.right.is_empty()
    }
}
