//! The compactor: the thread that keeps a log as small as what it holds.
//!
//! It reads what has been committed and writes it again without what has been superseded, range by range; the committer names what it
//! has made with its next commit. It never holds up anybody, and nothing depends on it: if it fails, the log is larger than it need be.

use std::cell::Cell;

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
    let compactor = Compactor { link, waiting: Cell::new(None), ended: Cell::new(false) };
    loop {
        link.env.turn(who);
        compactor.hear();
        match compactor.waiting.take().filter(|_| !link.is_aborted()) {
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
    waiting: Cell<Option<Box<(Ground, Manifest)>>>,
    ended: Cell<bool>,
}

impl Compactor<'_> {
    fn hear(&self) {
        while let Some(message) = self.link.next_for_compactor() {
            match message {
                ToCompactor::Compact(round) => self.waiting.set(Some(round)),
                ToCompactor::End => self.ended.set(true),
            }
        }
    }

    /// Nothing more will be done.
    fn is_over(&self) -> bool {
        self.ended.get() || self.link.is_aborted() || self.link.env.is_stuck()
    }

    fn round(&self, (ground, manifest): (Ground, Manifest)) {
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
    fn ranges(&self, ground: Ground, manifest: &Manifest) -> Result<bool, Error> {
        let parts: u64 = manifest.parts.iter().map(|part| part.end).sum();
        let all = parts + manifest.bases.iter().map(|base| base.end).sum::<u64>();
        // A run that ends does not wait until a large log has been looked through.
        let is_small = all <= ground.range_bytes.saturating_mul(4);
        let goes_on = || {
            self.hear();
            !self.link.is_aborted() && (is_small || !self.ended.get())
        };
        let Some(mut round) = Round::begin(ground, manifest, &goes_on)? else { return Ok(false) };
        while let Some(base) = round.next()? {
            self.link.tell_committer(ToCommitter::Compacted(base));
            self.link.env.turn(self.link.compactor());
            self.hear();
            // One range is finished also when the run ends, so that it gets on a little with each.
            if self.is_over() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
