//! The compactor: the thread that keeps a log as small as what it holds.
//!
//! It reads what has been committed and writes it again without what has been superseded, range by range; the committer names what it
//! has made with its next commit. It never holds up anybody, and nothing depends on it: if it fails, the log is larger than it need be.

use crate::engine::committer::ToCommitter;
use crate::engine::link::Link;
use crate::error::Error;
use crate::failure;
use crate::recovery::compact::{Ground, Round};
use crate::recovery::manifest::Manifest;

/// To the compactor.
pub(crate) enum ToCompactor {
    /// Begin a round.
    Compact(Box<(Ground, Manifest)>),
    /// The run is at its end.
    End,
}

/// Compacts when it is told to, until the run ends.
pub(crate) fn compact(link: &Link) {
    failure::keep_panics_quiet();
    let who = link.compactor();
    link.env.enter(who);
    let mut compactor = Compactor { link, waiting: None, ended: false };
    while !compactor.is_over() {
        link.env.turn(who);
        compactor.hear();
        match compactor.waiting.take() {
            Some(round) => compactor.round(*round),
            None if compactor.is_over() => break,
            None => link.env.park(who, None),
        }
    }
    // Whoever waits for a round that will not come.
    link.tell_committer(ToCommitter::RoundOver { complete: false });
    link.env.leave(who);
}

struct Compactor<'a> {
    link: &'a Link,
    waiting: Option<Box<(Ground, Manifest)>>,
    ended: bool,
}

impl Compactor<'_> {
    fn hear(&mut self) {
        while let Some(message) = self.link.next_for_compactor() {
            match message {
                ToCompactor::Compact(round) => self.waiting = Some(round),
                ToCompactor::End => self.ended = true,
            }
        }
    }

    fn is_over(&self) -> bool {
        self.ended && self.waiting.is_none() || self.link.is_aborted() || self.link.env.is_stuck()
    }

    fn round(&mut self, (ground, manifest): (Ground, Manifest)) {
        let done = failure::caught(|| self.ranges(ground, &manifest));
        let complete = matches!(done, Ok(true));
        if let Err(error) = done {
            // A full disk, perhaps; the next round begins behind a later commit.
            tracing::warn!(%error, "the recovery log cannot be compacted now");
            self.link.tell(&format!("the recovery log cannot be compacted now: {error}"));
        }
        self.link.tell_committer(ToCommitter::RoundOver { complete });
    }

    /// Compacts range after range. Answers whether all of them were done.
    fn ranges(&mut self, ground: Ground, manifest: &Manifest) -> Result<bool, Error> {
        let goes_on = || !self.link.is_aborted();
        let Some(mut round) = Round::begin(ground, manifest, &goes_on)? else { return Ok(false) };
        while let Some(base) = round.next()? {
            self.link.tell_committer(ToCommitter::Compacted(base));
            self.link.env.turn(self.link.compactor());
            self.hear();
            // One range is finished also when the run ends, so that it gets on a little with each.
            if self.ended || self.is_over() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
