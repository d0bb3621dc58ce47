//! What comes out of a window.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The result of a window. As an item it has the event time `end` less a microsecond: the last time that belongs to the window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Windowed<B> {
    /// Where the window begins.
    pub start: Timestamp,
    /// Where it ends: the first time that does not belong to it.
    pub end: Timestamp,
    /// Which of the window's results it is.
    pub pane: Pane,
    /// For a session of which something had fired before: what was emitted for these spans is replaced by this result. Empty for all
    /// other windows, whose results replace those of the same start and end.
    pub replaces: Vec<Span>,
    /// What the aggregate has made of the window's items.
    pub value: B,
}

/// From `start` up to, and without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The first time that belongs to it.
    pub start: Timestamp,
    /// The first that does not.
    pub end: Timestamp,
}

/// Which of a window's results it is. Each result is of all items that have come so far, and replaces the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Pane {
    /// The how manieth, from 1, before event time has come to the end of the window.
    Early(u32),
    /// Event time has come to the end of the window. The only one, unless early results or allowed lateness are asked for.
    OnTime,
    /// The how manieth, from 1, after that: a late item has come within the allowed lateness.
    Late(u32),
}

impl<B> Windowed<B> {
    /// The same window with another value.
    pub fn with<C>(self, value: impl FnOnce(B) -> C) -> Windowed<C> {
        let Windowed { start, end, pane, replaces, value: before } = self;
        Windowed { start, end, pane, replaces, value: value(before) }
    }

    /// The window, and what its items have become.
    pub(crate) fn apart(self) -> (Windowed<()>, B) {
        let Windowed { start, end, pane, replaces, value } = self;
        (Windowed { start, end, pane, replaces, value: () }, value)
    }

    /// From where to where the window goes.
    pub fn span(&self) -> Span {
        Span { start: self.start, end: self.end }
    }
}
