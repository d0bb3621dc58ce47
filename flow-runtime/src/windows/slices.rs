//! Tumbling and hopping windows of one key: made of slices, so that an item is added once however many windows it belongs to.

use flow_macros::stateful;

use crate::aggregate::Aggregate;
use crate::state::{Saved, State};
use crate::time::Timestamp;
use crate::timers::Armed;
use crate::windows::aligned::Aligned;
use crate::windows::{Early, Fired, Pane, Settings, Windowed, Windows};

/// How tumbling and hopping windows are kept.
#[doc(hidden)]
#[derive(Debug)]
pub struct Slicing {
    grid: Aligned,
}

/// A moment of event time, as all keys see it: what would otherwise be reckoned for each of them.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    now: Timestamp,
    /// Where the window begins that ends now, if one does.
    start: Option<Timestamp>,
    /// Of slices that begin earlier all windows have ended.
    fired: Timestamp,
    /// Slices that begin earlier are not needed any more.
    over: Timestamp,
    /// The end of the first window that ends later.
    next_end: Timestamp,
}

/// What was gathered of a slice.
#[stateful]
#[derive(Debug)]
#[doc(hidden)]
pub(super) struct Slice<S: Saved> {
    start: Timestamp,
    state: S,
}

/// What is known of a window that has fired early or late, or may do so.
#[stateful]
#[derive(Debug)]
#[doc(hidden)]
pub(super) struct Panes {
    end: Timestamp,
    early: u32,
    late: u32,
    /// Items since it last fired.
    items: u32,
}

/// The slices of a key.
#[stateful]
#[derive(Debug)]
#[doc(hidden)]
pub struct Slices<S: Saved> {
    /// Windows that end up to here have fired.
    fired: Timestamp,
    /// The latest slice. Apart, since most items belong to it; or [`FRESH`], or [`GONE`].
    newest: Slice<S>,
    /// What most windows do without.
    rest: Option<Box<Rest<S>>>,
}

/// In place of where a slice begins: nothing was gathered of it as yet.
const FRESH: Timestamp = Timestamp::MAX;
/// It was given up, and all others are.
const GONE: Timestamp = Timestamp(i64::MAX - 1);

/// What else is kept of a key.
#[stateful]
#[derive(Debug)]
#[doc(hidden)]
pub(super) struct Rest<S: Saved> {
    /// The slices that are not the newest, in the order of time.
    older: Vec<Slice<S>>,
    /// Of windows that may fire more than once, in no order.
    panes: Vec<Panes>,
    #[state(skip)]
    early: Armed,
}

impl<S: Saved> Rest<S> {
    fn new() -> Box<Self> {
        Box::new(Rest { older: Vec::new(), panes: Vec::new(), early: Armed::default() })
    }
}

impl<S: State> Slices<S> {
    fn older(&self) -> &[Slice<S>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.older)
    }

    fn panes(&self) -> &[Panes] {
        self.rest.as_ref().map_or(&[], |rest| &rest.panes)
    }

    fn rest(&mut self) -> &mut Rest<S> {
        self.rest.get_or_insert_with(Rest::new)
    }

    /// All slices, in the order of time.
    fn all(&self) -> impl Iterator<Item = &Slice<S>> {
        self.older().iter().chain(Some(&self.newest).filter(|newest| newest.start < GONE))
    }

    /// The state of a slice, and whether it is new.
    #[inline(always)]
    fn slice(&mut self, start: Timestamp, begin: impl FnOnce() -> S) -> (&mut S, bool) {
        if self.newest.start == start {
            return (&mut self.newest.state, false);
        }
        self.other_slice(start, begin)
    }

    #[inline(never)]
    fn other_slice(&mut self, start: Timestamp, begin: impl FnOnce() -> S) -> (&mut S, bool) {
        match self.newest.start {
            FRESH => self.newest.start = start,
            GONE => self.newest = Slice { start, state: begin() },
            newest if newest < start => {
                let next = Slice { start, state: begin() };
                let before = std::mem::replace(&mut self.newest, next);
                self.rest().older.push(before);
            }
            _ => {
                let older = &mut self.rest().older;
                let found = older.binary_search_by_key(&start, |slice| slice.start);
                if let Err(at) = found {
                    older.insert(at, Slice { start, state: begin() });
                }
                let at = found.unwrap_or_else(|at| at);
                return (&mut older[at].state, found.is_err());
            }
        }
        (&mut self.newest.state, true)
    }

    fn pane(&mut self, end: Timestamp) -> &mut Panes {
        let panes = &mut self.rest().panes;
        let at = panes.iter().position(|pane| pane.end == end).unwrap_or_else(|| {
            panes.push(Panes { end, early: 0, late: 0, items: 0 });
            panes.len() - 1
        });
        &mut panes[at]
    }

    /// Gives up what no window needs any more. Answers whether there was any.
    #[inline(always)]
    fn give_up(&mut self, settings: &Settings, moment: &Moment) -> bool {
        let over = |slice: &Slice<S>| slice.start < moment.over;
        let mut gone = 0;
        if let Some(rest) = &mut self.rest {
            gone = rest.older.iter().take_while(|slice| over(slice)).count();
            if gone > 0 {
                rest.older.drain(..gone);
            }
            if !rest.panes.is_empty() {
                rest.panes.retain(|pane| settings.over_at(pane.end) > moment.now);
            }
        }
        let newest = over(&self.newest);
        if newest {
            self.newest.start = GONE;
        }
        gone > 0 || newest
    }
}

impl Slicing {
    pub(super) fn new(grid: Aligned) -> Slicing {
        Slicing { grid }
    }

    /// A window, as a result; `None` if nothing is in it.
    fn result<A, G: Aggregate<A>>(
        kept: &Slices<G::State>,
        aggregate: &G,
        (start, end): (Timestamp, Timestamp),
        pane: Pane,
    ) -> Option<Windowed<G::Out>> {
        let all = kept.older().iter().chain([&kept.newest]);
        let mut slices = all.filter(|slice| start <= slice.start && slice.start < end);
        let first = slices.next()?;
        let value = match slices.next() {
            None => aggregate.finish(&first.state),
            Some(second) => {
                let mut all = aggregate.begin();
                [first, second].into_iter().chain(slices).for_each(|slice| {
                    aggregate.merge(&mut all, &slice.state);
                });
                aggregate.finish_last(all)
            }
        };
        Some(Windowed { start, end, pane, replaces: Vec::new(), value })
    }

    /// The window that ends at a moment, as its last result; `None` if nothing is in it.
    #[inline(always)]
    fn take_result<A, G: Aggregate<A>>(
        kept: &mut Slices<G::State>,
        aggregate: &G,
        start: Timestamp,
        moment: &Moment,
    ) -> Option<Windowed<G::Out>> {
        let (end, pane) = (moment.now, Pane::OnTime);
        if kept.rest.is_some() {
            return Self::result(kept, aggregate, (start, end), pane);
        }
        let Slice { start: slice, state } = &mut kept.newest;
        if *slice < start || end <= *slice {
            return None;
        }
        let value = match *slice < moment.over {
            // It is given up right away.
            true => aggregate.finish_last(std::mem::replace(state, aggregate.begin())),
            false => aggregate.finish(state),
        };
        Some(Windowed { start, end, pane, replaces: Vec::new(), value })
    }

    /// When there is something to fire or to give up because of a slice.
    fn due(&self, slice: Timestamp, fired: Timestamp, settings: &Settings) -> Timestamp {
        let first = self.grid.first_end(slice);
        if first > fired {
            return first;
        }
        match self.grid.last_end(slice) {
            last if last <= fired => settings.over_at(last),
            _ => self.grid.end_behind(fired),
        }
    }

    /// The start of the slice that a time belongs to.
    #[inline(always)]
    pub(crate) fn slice(&mut self, at: Timestamp) -> Timestamp {
        self.grid.slice(at)
    }

    /// Adds what was gathered elsewhere of a slice that is not late.
    pub(crate) fn merge<A, G: Aggregate<A>>(
        &self,
        kept: &mut Slices<G::State>,
        settings: &Settings,
        aggregate: &G,
        (start, state): (Timestamp, &G::State),
        watermark: Timestamp,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) -> Option<Timestamp> {
        kept.fired = kept.fired.max(watermark);
        aggregate.merge(kept.slice(start, || aggregate.begin()).0, state);
        if settings.counts_panes() {
            self.fire_at_once(kept, settings, aggregate, start, watermark, emit);
        }
        Some(self.due(start, kept.fired, settings))
    }

    /// An item was added to a slice: fires the windows that it belongs to and that fire now.
    #[cold]
    fn fire_at_once<A, G: Aggregate<A>>(
        &self,
        kept: &mut Slices<G::State>,
        settings: &Settings,
        aggregate: &G,
        slice: Timestamp,
        watermark: Timestamp,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) {
        let last = self.grid.last_end(slice);
        let mut end = self.grid.first_end(slice);
        loop {
            let window = (self.grid.start(end), end);
            let fired = end <= kept.fired;
            if fired && settings.over_at(end) > watermark {
                let pane = kept.pane(end);
                pane.late += 1;
                let pane = Pane::Late(pane.late);
                emit_some(Self::result(kept, aggregate, window, pane), emit);
            } else if !fired && settings.early.is_some() {
                let pane = kept.pane(end);
                pane.items = pane.items.saturating_add(1);
                if let Some(Early::Count(count)) = settings.early
                    && pane.items >= count
                {
                    pane.items = 0;
                    pane.early += 1;
                    let pane = Pane::Early(pane.early);
                    emit_some(Self::result(kept, aggregate, window, pane), emit);
                }
            }
            if end >= last {
                return;
            }
            end = self.grid.next_end(end);
        }
    }
}

fn emit_some<B>(result: Option<Windowed<B>>, emit: &mut impl FnMut(Windowed<B>)) {
    if let Some(result) = result {
        emit(result);
    }
}

impl Windows for Slicing {
    type Kept<S: State> = Slices<S>;
    type Moment = Moment;

    fn begin<A, G: Aggregate<A>>(watermark: Timestamp, aggregate: &G) -> Slices<G::State> {
        let newest = Slice { start: FRESH, state: aggregate.begin() };
        Slices { fired: watermark, newest, rest: None }
    }

    #[inline(always)]
    fn is_late(&mut self, at: Timestamp, watermark: Timestamp, settings: &Settings) -> bool {
        let slice = self.grid.slice(at);
        settings.over_at(self.grid.last_end(slice)) <= watermark
    }

    fn adopts<S: State>(&self, _: &Slices<S>, _: Timestamp, _: Timestamp, _: &Settings) -> bool {
        false
    }

    #[inline(always)]
    fn add<A, G: Aggregate<A>>(
        &mut self,
        kept: &mut Slices<G::State>,
        settings: &Settings,
        aggregate: &G,
        (at, item): (Timestamp, A),
        watermark: Timestamp,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) -> Option<Timestamp> {
        let start = self.grid.slice(at);
        let (state, is_new) = kept.slice(start, || aggregate.begin());
        aggregate.add(state, item, at);
        if is_new {
            // What was due by then has fired, and what it was made of was there before.
            kept.fired = kept.fired.max(watermark);
        }
        if settings.counts_panes() {
            self.fire_at_once(kept, settings, aggregate, start, watermark, emit);
        }
        is_new.then(|| match self.grid.first_end_of_last() {
            first if first > kept.fired => first,
            _ => self.due(start, kept.fired, settings),
        })
    }

    fn moment(&self, now: Timestamp, settings: &Settings) -> Moment {
        let next_end = self.grid.end_behind(now);
        let ends = self.grid.end_behind(Timestamp(now.0.saturating_sub(1))) == now;
        Moment {
            now,
            start: ends.then(|| self.grid.start(now)),
            fired: self.grid.first_unended(now),
            over: match now < Timestamp::LAST {
                true => self.grid.first_unended(Timestamp(now.0.saturating_sub(settings.lateness))),
                // In the end everything is.
                false => Timestamp::MAX,
            },
            next_end,
        }
    }

    fn fires_together(&self, settings: &Settings) -> bool {
        // Every key that is kept has something to fire with each hop, but for those that are kept for late items.
        self.grid.hop().is_none_or(|hop| settings.lateness / 8 <= hop)
    }

    #[inline(always)]
    fn fire<A, G: Aggregate<A>>(
        &self,
        kept: &mut Slices<G::State>,
        settings: &Settings,
        aggregate: &G,
        moment: &Moment,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) -> Fired {
        let mut changed = false;
        if let Some(start) = moment.start
            && kept.fired < moment.now
            && let Some(result) = Self::take_result(kept, aggregate, start, moment)
        {
            (kept.fired, changed) = (moment.now, true);
            emit(result);
        }
        changed |= kept.give_up(settings, moment);
        // What is saved of a key may have come further than others, until they have caught up.
        if kept.fired > moment.now {
            return Fired { changed, next: self.next(kept, settings) };
        }
        let open = kept.all().find(|slice| slice.start >= moment.fired).map(|slice| slice.start);
        let fires = open.map(|slice| match slice < moment.next_end {
            true => moment.next_end,
            false => self.grid.first_end(slice),
        });
        let over = (settings.lateness != 0).then(|| kept.all().next()).flatten();
        let over = over.map(|slice| settings.over_at(self.grid.last_end(slice.start)));
        Fired { changed, next: fires.into_iter().chain(over).min() }
    }

    fn fire_early<A, G: Aggregate<A>>(
        &self,
        kept: &mut Slices<G::State>,
        aggregate: &G,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) {
        let changed = kept.panes().iter().filter(|pane| pane.items > 0 && pane.end > kept.fired);
        let mut ends: Vec<_> = changed.map(|pane| pane.end).collect();
        ends.sort_unstable();
        for end in ends {
            let pane = kept.pane(end);
            pane.items = 0;
            pane.early += 1;
            let pane = Pane::Early(pane.early);
            let window = (self.grid.start(end), end);
            emit_some(Self::result(kept, aggregate, window, pane), emit);
        }
    }

    fn next<S: State>(&self, kept: &Slices<S>, settings: &Settings) -> Option<Timestamp> {
        kept.all().map(|slice| self.due(slice.start, kept.fired, settings)).min()
    }

    fn is_gone<S: State>(kept: &Slices<S>) -> bool {
        kept.newest.start == GONE
    }

    fn has_changed<S: State>(kept: &Slices<S>) -> bool {
        kept.panes().iter().any(|pane| pane.items > 0 && pane.end > kept.fired)
    }

    fn early_at<S: State>(kept: &Slices<S>) -> Timestamp {
        kept.rest.as_ref().map_or(Timestamp::MAX, |rest| rest.early.0)
    }

    fn set_early<S: State>(kept: &mut Slices<S>, at: Timestamp) {
        kept.rest().early = Armed(at);
    }
}
