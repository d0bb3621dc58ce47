//! Tumbling and hopping windows of one key: made of slices, so that an item is added once however many windows it belongs to.

use std::time::Duration;

use flow_macros::stateful;
use jiff::tz::TimeZone;

use crate::aggregate::Aggregate;
use crate::error::Error;
use crate::state::{Saved, State};
use crate::time::Timestamp;
use crate::windows::aligned::{Aligned, Grid};
use crate::windows::settings::{length, senseless};
use crate::windows::{Calendar, Early, Pane, Settings, WindowKind, Windowed, Windows};

/// Windows of one length, one behind the other: each item belongs to one.
///
/// They are aligned to 1970-01-01 00:00 UTC, or shifted from there by an [`offset`](Tumbling::offset); or they follow the calendar of a
/// time zone.
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// let hours = Tumbling::of(Duration::from_secs(3600)).allowed_lateness(Duration::from_secs(60));
/// let days = Tumbling::calendar(Calendar::Day, "Europe/Berlin");
/// # let _ = (hours, days);
/// ```
#[derive(Clone, Debug)]
pub struct Tumbling {
    length: Length,
    offset: Duration,
    settings: Settings,
}

#[derive(Clone, Debug)]
enum Length {
    Even(Duration),
    Civil(Calendar, String),
}

impl Tumbling {
    /// Windows of this length.
    pub const fn of(size: Duration) -> Tumbling {
        let settings = Settings { lateness: Duration::ZERO, early: None };
        Tumbling { length: Length::Even(size), offset: Duration::ZERO, settings }
    }

    /// Windows by the calendar of a time zone, by its name in the IANA database: a day there has 23 or 25 hours when clocks are changed.
    /// A run with a name that is not known ends with an error when it begins.
    pub fn calendar(unit: Calendar, zone: impl Into<String>) -> Tumbling {
        let length = Length::Civil(unit, zone.into());
        Tumbling { length, ..Tumbling::of(Duration::ZERO) }
    }

    /// Shifts all windows by so much. Not for windows by a calendar.
    pub const fn offset(mut self, by: Duration) -> Tumbling {
        self.offset = by;
        self
    }

    /// Keeps a window for so much event time behind its end: items that come until then fire it again. Later ones go to the late stream.
    pub const fn allowed_lateness(mut self, lateness: Duration) -> Tumbling {
        self.settings.lateness = lateness;
        self
    }

    /// Lets windows fire before they end as well.
    pub const fn early(mut self, when: Early) -> Tumbling {
        self.settings.early = Some(when);
        self
    }
}

impl WindowKind for Tumbling {
    type Windows = Slicing;
    fn windows(&self) -> Result<(Slicing, Settings), Error> {
        self.settings.check()?;
        let grid = match &self.length {
            Length::Even(size) => even(*size, *size, self.offset)?,
            Length::Civil(unit, name) => {
                if !self.offset.is_zero() {
                    return Err(senseless(
                        "an offset of windows by a calendar",
                        "windows by a calendar begin where the calendar says",
                    ));
                }
                let zone = TimeZone::get(name).map_err(|_| {
                    senseless(
                        &format!("windows in the time zone `{name}`, which is not known,"),
                        "give its name in the IANA database, as `Europe/Berlin`",
                    )
                })?;
                Grid::Civil { unit: *unit, zone }
            }
        };
        Ok((Slicing { grid: Aligned::new(grid) }, self.settings))
    }
}

/// Windows of one length that begin at regular distances and overlap: each item belongs to several.
///
/// What they cost does not depend on how many windows an item belongs to: it is added once, and windows share what they have in common.
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// // The last minute, every second.
/// let minutes = Hopping::of(Duration::from_secs(60), Duration::from_secs(1));
/// # let _ = minutes;
/// ```
#[derive(Clone, Debug)]
pub struct Hopping {
    size: Duration,
    hop: Duration,
    offset: Duration,
    settings: Settings,
}

impl Hopping {
    /// Windows of length `size`, one beginning every `hop`. A hop longer than the size leaves gaps: a run with that ends with an error
    /// when it begins.
    pub const fn of(size: Duration, hop: Duration) -> Hopping {
        let settings = Settings { lateness: Duration::ZERO, early: None };
        Hopping { size, hop, offset: Duration::ZERO, settings }
    }

    /// Shifts all windows by so much.
    pub const fn offset(mut self, by: Duration) -> Hopping {
        self.offset = by;
        self
    }

    /// Keeps a window for so much event time behind its end: items that come until then fire it again. Those that come too late for all of their
    /// windows go to the late stream.
    pub const fn allowed_lateness(mut self, lateness: Duration) -> Hopping {
        self.settings.lateness = lateness;
        self
    }

    /// Lets windows fire before they end as well.
    pub const fn early(mut self, when: Early) -> Hopping {
        self.settings.early = Some(when);
        self
    }
}

impl WindowKind for Hopping {
    type Windows = Slicing;
    fn windows(&self) -> Result<(Slicing, Settings), Error> {
        self.settings.check()?;
        let grid = even(self.size, self.hop, self.offset)?;
        Ok((Slicing { grid: Aligned::new(grid) }, self.settings))
    }
}

fn even(size: Duration, hop: Duration, offset: Duration) -> Result<Grid, Error> {
    let (size_us, hop_us) = (length(size, "window")?, length(hop, "hop")?);
    if hop_us > size_us {
        return Err(senseless(
            &format!("windows of {size:?} every {hop:?}, with gaps between them,"),
            "the hop is at most the size; to leave items out, filter them",
        ));
    }
    let (mut grain, mut rest) = (size_us, hop_us);
    while rest > 0 {
        (grain, rest) = (rest, grain % rest);
    }
    // Whole hops change nothing.
    let offset = (offset.as_micros() % hop_us as u128) as i64;
    Ok(Grid::Even { size: size_us, hop: hop_us, grain, offset })
}

/// How tumbling and hopping windows are kept.
#[doc(hidden)]
#[derive(Debug)]
pub struct Slicing {
    grid: Aligned,
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
pub(super) struct Fired {
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
    /// The latest slice. Apart, since most items belong to it.
    newest: Option<Slice<S>>,
    /// The others, in the order of time.
    older: Vec<Slice<S>>,
    /// Of windows that may fire more than once, in no order.
    panes: Vec<Fired>,
}

impl<S: State> Slices<S> {
    fn all(&self) -> impl DoubleEndedIterator<Item = &Slice<S>> {
        self.older.iter().chain(&self.newest)
    }

    /// The state of a slice, which may be new.
    #[inline(always)]
    fn slice(&mut self, start: Timestamp, begin: impl FnOnce() -> S) -> &mut S {
        match &self.newest {
            Some(newest) if newest.start == start => {}
            Some(newest) if start < newest.start => return self.older_slice(start, begin),
            _ => {
                let before = self.newest.replace(Slice { start, state: begin() });
                self.older.extend(before);
            }
        }
        let newest = self.newest.as_mut();
        &mut newest.expect("it was found or put there").state
    }

    #[cold]
    fn older_slice(&mut self, start: Timestamp, begin: impl FnOnce() -> S) -> &mut S {
        let at = match self.older.binary_search_by_key(&start, |slice| slice.start) {
            Ok(at) => at,
            Err(at) => {
                self.older.insert(at, Slice { start, state: begin() });
                at
            }
        };
        &mut self.older[at].state
    }

    fn pane(&mut self, end: Timestamp) -> &mut Fired {
        let at = self.panes.iter().position(|pane| pane.end == end).unwrap_or_else(|| {
            self.panes.push(Fired { end, early: 0, late: 0, items: 0 });
            self.panes.len() - 1
        });
        &mut self.panes[at]
    }
}

impl Slicing {
    /// The window that ends at `end`, as a result; `None` if nothing is in it.
    fn result<A, G: Aggregate<A>>(
        &self,
        kept: &Slices<G::State>,
        aggregate: &G,
        end: Timestamp,
        pane: Pane,
    ) -> Option<Windowed<G::Out>> {
        let start = match self.grid.is_tumbling() {
            // Of a window by the calendar only its slice knows where it begins.
            true => kept.all().find(|slice| self.grid.last_end(slice.start) == end)?.start,
            false => self.grid.start(end, end),
        };
        let mut slices = kept.all().filter(|slice| start <= slice.start && slice.start < end);
        let first = slices.next()?;
        let value = match slices.next() {
            None => aggregate.finish(&first.state),
            Some(second) => {
                let mut all = aggregate.begin();
                [first, second].into_iter().chain(slices).for_each(|slice| {
                    aggregate.merge(&mut all, &slice.state);
                });
                aggregate.finish(&all)
            }
        };
        Some(Windowed { start, end, pane, replaces: Vec::new(), value })
    }

    /// The end of the first window with something in it behind `fired`.
    fn next_fire<S: State>(&self, kept: &Slices<S>) -> Option<Timestamp> {
        let tumbling = self.grid.is_tumbling();
        kept.all().find_map(|slice| {
            let last = self.grid.last_end(slice.start);
            if last <= kept.fired {
                return None;
            }
            if tumbling {
                return Some(last);
            }
            let first = self.grid.first_end(slice.start);
            Some(first.max(self.grid.end_behind(kept.fired)))
        })
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
    ) -> bool {
        kept.fired = kept.fired.max(watermark);
        aggregate.merge(kept.slice(start, || aggregate.begin()), state);
        if settings.counts_panes() {
            self.fire_at_once(kept, settings, aggregate, start, watermark, emit);
        }
        true
    }

    /// Gives up slices that no window needs any more.
    fn give_up<S: State>(&self, kept: &mut Slices<S>, settings: &Settings, watermark: Timestamp) {
        let over =
            |slice: &Slice<S>| settings.over_at(self.grid.last_end(slice.start)) <= watermark;
        let gone = kept.older.iter().take_while(|slice| over(slice)).count();
        if gone > 0 {
            kept.older.drain(..gone);
        }
        if kept.newest.as_ref().is_some_and(over) {
            kept.newest = None;
        }
        if !kept.panes.is_empty() {
            kept.panes.retain(|pane| settings.over_at(pane.end) > watermark);
        }
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
            let fired = end <= kept.fired;
            if fired && settings.over_at(end) > watermark {
                let pane = kept.pane(end);
                pane.late += 1;
                let pane = Pane::Late(pane.late);
                emit_some(self.result(kept, aggregate, end, pane), emit);
            } else if !fired && settings.early.is_some() {
                let pane = kept.pane(end);
                pane.items = pane.items.saturating_add(1);
                if let Some(Early::Count(count)) = settings.early
                    && pane.items >= count
                {
                    pane.items = 0;
                    pane.early += 1;
                    let pane = Pane::Early(pane.early);
                    emit_some(self.result(kept, aggregate, end, pane), emit);
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

    fn begin<S: State>(watermark: Timestamp) -> Slices<S> {
        Slices { fired: watermark, newest: None, older: Vec::new(), panes: Vec::new() }
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
    ) -> bool {
        let start = self.grid.slice(at);
        // What was due by then has fired.
        kept.fired = kept.fired.max(watermark);
        let mut is_new = false;
        let state = kept.slice(start, || {
            is_new = true;
            aggregate.begin()
        });
        aggregate.add(state, item, at);
        if settings.counts_panes() {
            self.fire_at_once(kept, settings, aggregate, start, watermark, emit);
        }
        is_new
    }

    fn fires_together(&self, settings: &Settings) -> bool {
        // Every key that is kept has something to fire with each hop, but for those that are kept for late items.
        self.grid.hop().is_none_or(|hop| settings.lateness / 8 <= hop)
    }

    fn fire<A, G: Aggregate<A>>(
        &self,
        kept: &mut Slices<G::State>,
        settings: &Settings,
        aggregate: &G,
        watermark: Timestamp,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) {
        while let Some(end) = self.next_fire(kept).filter(|end| *end <= watermark) {
            kept.fired = end;
            emit_some(self.result(kept, aggregate, end, Pane::OnTime), emit);
        }
        kept.fired = kept.fired.max(watermark);
        self.give_up(kept, settings, watermark);
    }

    fn fire_early<A, G: Aggregate<A>>(
        &self,
        kept: &mut Slices<G::State>,
        aggregate: &G,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) {
        let mut ends: Vec<_> = kept.panes.iter().filter(|pane| pane.items > 0).collect();
        ends.sort_by_key(|pane| pane.end);
        let ends: Vec<_> = ends.into_iter().map(|pane| pane.end).collect();
        for end in ends.into_iter().filter(|end| *end > kept.fired).collect::<Vec<_>>() {
            let pane = kept.pane(end);
            pane.items = 0;
            pane.early += 1;
            let pane = Pane::Early(pane.early);
            emit_some(self.result(kept, aggregate, end, pane), emit);
        }
    }

    fn next<S: State>(&self, kept: &Slices<S>, settings: &Settings) -> Option<Timestamp> {
        let over = kept.all().next().map(|slice| settings.over_at(self.grid.last_end(slice.start)));
        self.next_fire(kept).into_iter().chain(over).min()
    }

    fn is_gone<S: State>(kept: &Slices<S>) -> bool {
        kept.newest.is_none() && kept.older.is_empty()
    }

    fn has_changed<S: State>(kept: &Slices<S>) -> bool {
        kept.panes.iter().any(|pane| pane.items > 0 && pane.end > kept.fired)
    }
}
