//! The version that was valid at a time, and how the versions of one key are kept.

use std::collections::VecDeque;
use std::time::Duration;

use flow_macros::stateful;

use super::{Dated, Found, LAST, Rules, behind, insert};
use crate::bounds::Item;
use crate::state::{BySerde, Saved};
use crate::steps::Either;
use crate::time::Timestamp;

/// How long [`as_of_join`](enum@crate::steps::as_of_join) keeps versions that have been replaced.
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// // Orders that come up to an hour late still find the price of their time.
/// let prices = AsOf::keep(Duration::from_secs(3600));
/// # let _ = prices;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf {
    keep: Duration,
}

impl AsOf {
    /// Keeps a version until event time has come so far behind the next one. Zero is enough where nothing comes late.
    pub const fn keep(keep: Duration) -> AsOf {
        AsOf { keep }
    }

    pub(crate) fn rules(self) -> Valid {
        Valid { keep: self.keep }
    }
}

/// A left item gets the latest version that is not later than itself.
///
/// A version is given up once the next one is older than event time less `keep`, so those that are kept follow one another without a
/// gap: whoever is not earlier than the first of them gets the right one, however late it comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Valid {
    keep: Duration,
}

/// The versions of a key, and what waits for event time to pass it. Both in the order of time.
#[stateful]
#[derive(Debug)]
pub(crate) struct Versions<A: Saved, B: Saved> {
    waiting: VecDeque<Dated<A>>,
    /// One for each time.
    versions: VecDeque<Dated<B>>,
}

/// The versions and the left items of a key, as items are held.
type Kept<A, B> = Versions<BySerde<A>, BySerde<B>>;

impl<A: Saved, B: Saved> Default for Versions<A, B> {
    fn default() -> Self {
        Versions { waiting: VecDeque::new(), versions: VecDeque::new() }
    }
}

#[cfg(test)]
impl<A: Saved, B: Saved> Versions<A, B> {
    /// How many items wait, and how many versions are held.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.waiting.len(), self.versions.len())
    }
}

impl<A: Item, B: Item> Kept<A, B> {
    /// What an item of this time gets.
    fn find(&self, at: Timestamp, item: A) -> Found<A, B, A> {
        let valid = self.versions.partition_point(|version| version.at <= at).checked_sub(1);
        match valid.and_then(|valid| self.versions.get(valid)) {
            Some(version) => Found::Pair(item, version.item.0.clone()),
            None => Found::Alone(item),
        }
    }

    /// Adds a version. The last to arrive counts, of those of one time.
    fn add(&mut self, at: Timestamp, version: B) {
        match self.versions.binary_search_by_key(&at, |version| version.at) {
            Ok(known) => self.versions[known].item = BySerde(version),
            Err(place) => self.versions.insert(place, Dated::new(at, version)),
        }
    }
}

impl Valid {
    /// When the first version is given up: there is a second one.
    fn over<A: Saved, B: Saved>(&self, kept: &Versions<A, B>) -> Option<Timestamp> {
        kept.versions.get(1).map(|next| next.at.after(self.keep).min(LAST))
    }

    fn give_up<A: Saved, B: Saved>(&self, kept: &mut Versions<A, B>, until: Timestamp) {
        while self.over(kept).is_some_and(|over| over <= until) {
            kept.versions.pop_front();
        }
    }
}

/// When a left item is decided: event time has passed it.
fn due<A: Saved, B: Saved>(kept: &Versions<A, B>) -> Option<Timestamp> {
    kept.waiting.front().map(|first| behind(first.at))
}

impl<A: Item, B: Item> Rules<A, B> for Valid {
    type Kept = Kept<A, B>;
    type Alone = A;
    const SAVED_AS: &'static str = "as-of join";

    /// What comes late gets what is kept.
    #[inline(always)]
    fn is_late(&self, _: Timestamp, _: Timestamp) -> bool {
        false
    }

    #[inline(always)]
    fn take(
        &self,
        kept: &mut Kept<A, B>,
        at: Timestamp,
        item: Either<A, B>,
        watermark: Timestamp,
        emit: &mut impl FnMut(Timestamp, Found<A, B, A>),
    ) {
        match item {
            Either::Left(item) if at < watermark => emit(at, kept.find(at, item)),
            Either::Left(item) => insert(&mut kept.waiting, Dated::new(at, item), |item| item.at),
            Either::Right(version) => {
                kept.add(at, version);
                // One that nobody can ask for any more goes at once.
                self.give_up(kept, watermark);
            }
        }
    }

    fn decide(
        &self,
        kept: &mut Kept<A, B>,
        until: Timestamp,
        emit: &mut impl FnMut(Timestamp, Found<A, B, A>),
    ) {
        while due(kept).is_some_and(|due| due <= until) {
            if let Some(Dated { at, item: BySerde(item) }) = kept.waiting.pop_front() {
                emit(at, kept.find(at, item));
            }
        }
        self.give_up(kept, until);
    }

    #[inline(always)]
    fn next(&self, kept: &Kept<A, B>) -> Option<Timestamp> {
        due(kept).into_iter().chain(self.over(kept)).min()
    }

    fn is_gone(kept: &Kept<A, B>) -> bool {
        kept.waiting.is_empty() && kept.versions.is_empty()
    }
}
