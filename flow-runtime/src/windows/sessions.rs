//! Session windows of one key: stretches of items with no more than a gap between them.

use std::time::Duration;

use flow_macros::stateful;

use crate::aggregate::Aggregate;
use crate::error::Error;
use crate::state::{Saved, State};
use crate::time::Timestamp;
use crate::timers::Armed;
use crate::windows::settings::length;
use crate::windows::{Early, Fired, Pane, Settings, Span, WindowKind, Windowed, Windows};

/// Windows that end when a key has had no item for a gap: a visit, a flight, a burst.
///
/// A session goes from its first item to its last one plus the gap. Items need not come in order: one that comes between two sessions
/// and is within the gap of both makes them one. If something had been emitted of a session that has become part of a larger one, the
/// result of that says what it [replaces](Windowed::replaces).
///
/// ```
/// use std::time::Duration;
/// use flow_runtime::prelude::*;
///
/// let visits = Session::gap(Duration::from_secs(1800)).allowed_lateness(Duration::from_secs(60));
/// # let _ = visits;
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    gap: Duration,
    settings: Settings,
}

impl Session {
    /// Sessions that end after so much event time without an item. An item that comes exactly a gap after the one before begins a new
    /// session.
    pub const fn gap(gap: Duration) -> Session {
        Session { gap, settings: Settings::PLAIN }
    }

    /// Keeps a session for so much event time behind its end: items that come until then fire it again, or prolong it. Later ones that no session
    /// is kept for go to the late stream.
    pub const fn allowed_lateness(mut self, lateness: Duration) -> Session {
        self.settings.allow(lateness);
        self
    }

    /// Lets sessions fire before they end as well.
    pub const fn early(mut self, when: Early) -> Session {
        self.settings.early = Some(when);
        self
    }
}

impl WindowKind for Session {
    type Windows = Sessions;
    fn windows(&self) -> Result<(Sessions, Settings), Error> {
        self.settings.check()?;
        length(self.gap, "gap")?;
        Ok((Sessions { gap: self.gap }, self.settings))
    }
}

/// How sessions are kept.
#[doc(hidden)]
#[derive(Debug)]
pub struct Sessions {
    gap: Duration,
}

/// A session.
#[stateful]
#[derive(Debug)]
#[doc(hidden)]
pub(super) struct Open<S: Saved> {
    /// The time of the first item.
    start: Timestamp,
    /// The time of the last item, plus the gap.
    end: Timestamp,
    state: S,
    /// It has fired on time.
    fired: bool,
    early: u32,
    late: u32,
    /// Items since it last fired.
    items: u32,
    /// What has been emitted and is not replaced yet.
    emitted: Vec<(Timestamp, Timestamp)>,
}

/// The sessions of a key, in the order of time.
#[stateful]
#[derive(Debug)]
#[doc(hidden)]
pub struct Kept<S: Saved> {
    sessions: Vec<Open<S>>,
    /// The end of the last session that was given up, for as long as items may come that would have belonged to it.
    closed: Option<Timestamp>,
    #[state(skip)]
    early: Armed,
}

impl<S: Saved> Kept<S> {
    /// When no item can belong to a session any more that was given up.
    fn forget_closed_at(&self, gap: Duration, settings: &Settings) -> Option<Timestamp> {
        self.closed.map(|end| settings.over_at(end.after(gap)))
    }
}

impl<S: State> Open<S> {
    /// The session as it is now.
    fn result<A, G: Aggregate<A, State = S>>(
        &mut self,
        aggregate: &G,
        pane: Pane,
    ) -> Windowed<G::Out> {
        let value = aggregate.finish(&self.state);
        self.emits(pane, value)
    }

    /// The session as it is in the end: nothing of it is needed any more.
    fn last_result<A, G: Aggregate<A, State = S>>(&mut self, aggregate: &G) -> Windowed<G::Out> {
        let state = std::mem::replace(&mut self.state, aggregate.begin());
        self.emits(Pane::OnTime, aggregate.finish_last(state))
    }

    fn emits<B>(&mut self, pane: Pane, value: B) -> Windowed<B> {
        let Open { start, end, .. } = *self;
        let replaced = std::mem::replace(&mut self.emitted, vec![(start, end)]);
        let replaces = replaced.into_iter().map(|(start, end)| Span { start, end }).collect();
        self.items = 0;
        Windowed { start, end, pane, replaces, value }
    }
}

impl Sessions {
    /// Whether a session takes an item of this time.
    fn takes<S: Saved>(&self, session: &Open<S>, at: Timestamp) -> bool {
        session.start < at.after(self.gap) && at < session.end
    }
}

impl Windows for Sessions {
    type Kept<S: State> = Kept<S>;
    type Moment = Timestamp;

    fn begin<A, G: Aggregate<A>>(_: Timestamp, _: &G) -> Kept<G::State> {
        Kept { sessions: Vec::new(), closed: None, early: Armed::default() }
    }

    #[inline(always)]
    fn is_late(&mut self, at: Timestamp, watermark: Timestamp, settings: &Settings) -> bool {
        settings.over_at(at.after(self.gap)) <= watermark
    }

    fn adopts<S: State>(
        &self,
        kept: &Kept<S>,
        at: Timestamp,
        watermark: Timestamp,
        settings: &Settings,
    ) -> bool {
        let lives = |session: &Open<S>| settings.over_at(session.end) > watermark;
        kept.sessions.iter().any(|session| self.takes(session, at) && lives(session))
            && !self.refuses(kept, at)
    }

    fn refuses<S: State>(&self, kept: &Kept<S>, at: Timestamp) -> bool {
        // It would have belonged to a session that is no more.
        kept.closed.is_some_and(|end| at < end)
    }

    fn add<A, G: Aggregate<A>>(
        &mut self,
        kept: &mut Kept<G::State>,
        settings: &Settings,
        aggregate: &G,
        (at, item): (Timestamp, A),
        watermark: Timestamp,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) -> Option<Timestamp> {
        let end = at.after(self.gap).min(Timestamp::LAST);
        let sessions = &mut kept.sessions;
        // Those behind it are passed over; those that take it lie in a row.
        let first = match sessions.last() {
            Some(last) if last.start < end => {
                let from = sessions.iter().rposition(|session| session.end <= at);
                from.map_or(0, |from| from + 1)
            }
            _ => sessions.partition_point(|session| session.end <= at),
        };
        let taking = sessions[first..].iter().take_while(|session| session.start < end).count();
        if taking == 0 {
            let mut state = aggregate.begin();
            aggregate.add(&mut state, item, at);
            let (start, emitted) = (at, Vec::new());
            let (fired, early, late, items) = (false, 0, 0, 0);
            let open = Open { start, end, state, fired, early, late, items, emitted };
            sessions.insert(first, open);
        } else {
            let others: Vec<_> = sessions.drain(first + 1..first + taking).collect();
            let session = &mut sessions[first];
            for mut other in others {
                aggregate.merge(&mut session.state, &other.state);
                session.end = session.end.max(other.end);
                session.fired |= other.fired;
                session.early = session.early.max(other.early);
                session.late = session.late.max(other.late);
                session.items = session.items.saturating_add(other.items);
                session.emitted.append(&mut other.emitted);
            }
            aggregate.add(&mut session.state, item, at);
            session.start = session.start.min(at);
            session.end = session.end.max(end);
        }
        let session = &mut sessions[first];
        let had_fired = session.fired;
        session.items = session.items.saturating_add(1);
        if session.end <= watermark {
            session.fired = true;
            session.late += 1;
            let pane = Pane::Late(session.late);
            emit(session.result(aggregate, pane));
        } else if let Some(Early::Count(count)) = settings.early
            && session.items >= count
        {
            session.early += 1;
            let pane = Pane::Early(session.early);
            emit(session.result(aggregate, pane));
        }
        // One that had fired and goes on is open again.
        session.fired &= session.end <= watermark;
        let goes_on = had_fired && !session.fired;
        // One that was open before may only have become longer.
        if taking == 1 && !goes_on { None } else { self.next(kept, settings) }
    }

    fn moment(&self, now: Timestamp, _: &Settings) -> Timestamp {
        now
    }

    fn fire<A, G: Aggregate<A>>(
        &self,
        kept: &mut Kept<G::State>,
        settings: &Settings,
        aggregate: &G,
        &now: &Timestamp,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) -> Fired {
        let mut changed = false;
        let over = |session: &Open<G::State>| settings.over_at(session.end) <= now;
        // The order of ends is that of starts: no two overlap.
        for session in &mut kept.sessions {
            if !session.fired && session.end <= now {
                (session.fired, changed) = (true, true);
                emit(match over(session) {
                    true => session.last_result(aggregate),
                    false => session.result(aggregate, Pane::OnTime),
                });
            }
        }
        let gone = kept.sessions.iter().take_while(|session| over(session)).count();
        if let Some(last) = kept.sessions.drain(..gone).last() {
            (kept.closed, changed) = (Some(last.end), true);
        }
        if kept.forget_closed_at(self.gap, settings).is_some_and(|at| at <= now) {
            (kept.closed, changed) = (None, true);
        }
        Fired { changed, next: self.next(kept, settings) }
    }

    fn fire_early<A, G: Aggregate<A>>(
        &self,
        kept: &mut Kept<G::State>,
        aggregate: &G,
        emit: &mut impl FnMut(Windowed<G::Out>),
    ) {
        for session in &mut kept.sessions {
            if !session.fired && session.items > 0 {
                session.early += 1;
                let pane = Pane::Early(session.early);
                emit(session.result(aggregate, pane));
            }
        }
    }

    fn next<S: State>(&self, kept: &Kept<S>, settings: &Settings) -> Option<Timestamp> {
        let next = |session: &Open<S>| match session.fired {
            true => settings.over_at(session.end),
            false => session.end,
        };
        let forget = kept.forget_closed_at(self.gap, settings);
        kept.sessions.iter().map(next).chain(forget).min()
    }

    fn is_gone<S: State>(kept: &Kept<S>) -> bool {
        kept.sessions.is_empty() && kept.closed.is_none()
    }

    fn has_changed<S: State>(kept: &Kept<S>) -> bool {
        kept.sessions.iter().any(|session| !session.fired && session.items > 0)
    }

    fn early_at<S: State>(kept: &Kept<S>) -> Timestamp {
        kept.early.0
    }

    fn set_early<S: State>(kept: &mut Kept<S>, at: Timestamp) {
        kept.early = Armed(at);
    }
}
