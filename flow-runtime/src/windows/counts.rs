//! Windows of so many items of one key.
//!
//! A key's items are gathered in slices, of as many items as divide both the length of a window and the distance between two. What was said may
//! change from run to run: so a slice knows how many items it has, and windows are right again once the slices of before are gone.

use std::collections::VecDeque;

use flow_macros::stateful;

use crate::aggregate::Aggregate;
use crate::error::Error;
use crate::state::{Parted, Saved, State};
use crate::time::Timestamp;
use crate::windows::settings::senseless;
use crate::windows::{Pane, Windowed};

/// Windows of so many items of a key, in the order in which they come, whatever their times.
///
/// ```
/// use flow_runtime::prelude::*;
///
/// let hundreds = Counting::of(100);
/// // After every tenth item, the last hundred.
/// let last_hundred = Counting::of(100).every(10);
/// # let _ = (hundreds, last_hundred);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    size: u64,
    every: u64,
}

impl Counting {
    /// Windows of `items` items, each item in one of them. A run with 0 ends with an error when it begins.
    pub const fn of(items: u64) -> Counting {
        Counting { size: items, every: items }
    }

    /// A window after every `items` items, of the last that came: as many as the windows have, or fewer where fewer have come. A run in which
    /// this is 0 or more than the windows have ends with an error when it begins.
    ///
    /// Each result merges as many states as slices of a common divisor of the two numbers go into a window: the last 1000 every
    /// 100 are ten, the last 1000 every 1 are a thousand.
    pub const fn every(mut self, items: u64) -> Counting {
        self.every = items;
        self
    }

    /// How they are kept.
    ///
    /// # Errors
    /// When what was said makes no sense.
    pub(crate) fn slicing(self) -> Result<Counts, Error> {
        let Counting { size, every } = self;
        if size == 0 {
            return Err(senseless(
                "a window of 0 items",
                "say `Counting::of(1)` for one of every item",
            ));
        }
        if every == 0 {
            return Err(senseless(
                "a window every 0 items",
                "say `.every(1)` for one after every item",
            ));
        }
        if every > size {
            return Err(senseless(
                &format!("windows of {size} items every {every} items, with gaps between them,"),
                "the distance is at most the length; to leave items out, filter them",
            ));
        }
        let (mut slice, mut rest) = (size, every);
        while rest > 0 {
            (slice, rest) = (rest, slice % rest);
        }
        Ok(Counts { size, every, slice })
    }
}

/// The lengths of windows, of what lies between two, and of slices, in items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    size: u64,
    every: u64,
    slice: u64,
}

/// Some items in a row.
#[stateful]
#[derive(Debug)]
struct Slice<S: Saved> {
    items: u64,
    /// The earliest and the latest time of its items.
    first: Timestamp,
    last: Timestamp,
    state: S,
}

/// What is kept for a key.
#[stateful]
#[derive(Debug)]
pub(crate) struct Counted<S: Saved> {
    /// Items since the last result.
    since: u64,
    /// Items in all slices.
    items: u64,
    slices: VecDeque<Slice<S>>,
}

// A slice has no parts: it lies in a collection.
impl<S: Saved> Parted for Counted<S> {}

impl<S: State> Counted<S> {
    pub(crate) fn begin() -> Self {
        Counted { since: 0, items: 0, slices: VecDeque::new() }
    }

    /// Whether nothing is kept any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.slices.is_empty()
    }

    /// Adds an item, and answers the window that is full with it.
    #[inline]
    pub(crate) fn add<A, G: Aggregate<A, State = S>>(
        &mut self,
        counts: &Counts,
        aggregate: &G,
        at: Timestamp,
        item: A,
    ) -> Option<Windowed<G::Out>> {
        if self.slices.back().is_none_or(|last| last.items >= counts.slice) {
            let state = aggregate.begin();
            self.slices.push_back(Slice { items: 0, first: at, last: at, state });
        }
        if let Some(slice) = self.slices.back_mut() {
            aggregate.add(&mut slice.state, item, at);
            slice.items += 1;
            (slice.first, slice.last) = (slice.first.min(at), slice.last.max(at));
        }
        self.items += 1;
        self.since += 1;
        while self.items > counts.size && self.slices.len() > 1 {
            self.items -= self.slices.pop_front().map_or(0, |slice| slice.items);
        }
        if self.since < counts.every {
            return None;
        }
        let result = self.result(aggregate);
        self.since = 0;
        if counts.every == counts.size {
            self.forget();
        }
        result
    }

    /// The input is at its end: answers the window that is not full, where each item is in one.
    pub(crate) fn finish<A, G: Aggregate<A, State = S>>(
        &mut self,
        counts: &Counts,
        aggregate: &G,
    ) -> Option<Windowed<G::Out>> {
        let result = self.result(aggregate).filter(|_| counts.every == counts.size)?;
        self.forget();
        Some(result)
    }

    fn forget(&mut self) {
        *self = Counted::begin();
    }

    /// What all slices come to.
    fn result<A, G: Aggregate<A, State = S>>(&self, aggregate: &G) -> Option<Windowed<G::Out>> {
        let first = self.slices.iter().map(|slice| slice.first).min()?;
        let last = self.slices.iter().map(|slice| slice.last).max()?;
        let value = match self.slices.len() {
            1 => aggregate.finish(&self.slices[0].state),
            _ => {
                let mut all = aggregate.begin();
                self.slices.iter().for_each(|slice| aggregate.merge(&mut all, &slice.state));
                aggregate.finish_last(all)
            }
        };
        // Items without a time have no end either.
        let end = if last == Timestamp::MIN { last } else { Timestamp(last.0.saturating_add(1)) };
        Some(Windowed { start: first, end, pane: Pane::OnTime, replaces: Vec::new(), value })
    }
}
