//! What a start would make of a recovery log: `--plan`.

use std::fmt::Write;

use crate::engine::survey::survey_steps;
use crate::error::Error;
use crate::failure;
use crate::io::Io;
use crate::plan::FlowPlan;
use crate::recovery::RecoveryLog;
use crate::recovery::check::Written;
use crate::recovery::compare::{Fate, Fated};
use crate::recovery::start;

/// What a start would make of a log.
#[derive(Debug)]
pub(crate) struct Planned {
    /// For a person.
    pub(crate) text: String,
    pub(crate) verdict: Verdict,
}

/// What a start would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on: everything is kept, or new.
    Fits,
    /// It goes on, and the program of before cannot go on after it: something is migrated, renamed or dropped.
    Changes,
    /// It is refused.
    Refused,
}

/// Finds out what a start would make of a log. Nothing is changed.
pub(crate) fn plan_start<P: FlowPlan>(
    plan: P,
    log: &RecoveryLog,
    workers: usize,
) -> Result<Planned, Error> {
    let io = Io::real();
    let found = failure::caught(|| {
        let steps = survey_steps(plan);
        start::plan(io.files(), log, P::GRAPH.name, &steps, workers)
    })?;
    let folder = log.folder.display();
    let Some(start::Planned { epoch, compared, written }) = found else {
        let text =
            format!("`{folder}` holds no recovery log: a start makes one, and begins at epoch 0");
        return Ok(Planned { text, verdict: Verdict::Fits });
    };
    let verdict = match () {
        () if !compared.unfit.is_empty() => Verdict::Refused,
        () if compared.fates.iter().any(|fated| changes(&fated.fate)) => Verdict::Changes,
        () => Verdict::Fits,
    };
    let would = if verdict == Verdict::Refused { "is refused" } else { "goes on" };
    let mut text = format!("`{folder}`: a start {would} at epoch {epoch}\n");
    for Fated { id, saved, fate } in compared.fates {
        let size = size(saved.and_then(|number| written.get(&number)));
        let _ = match fate {
            Fate::Kept => writeln!(text, "  kept      {id}{size}"),
            Fate::Migrated { change, from: None } => {
                writeln!(text, "  migrated  {id}{size}: {change}")
            }
            Fate::Migrated { change, from: Some(from) } => {
                writeln!(text, "  migrated  {id}, which was {from}{size}: {change}")
            }
            Fate::Renamed(from) => writeln!(text, "  renamed   {id}, which was {from}{size}"),
            Fate::New => writeln!(text, "  new       {id}"),
            Fate::Dropped => writeln!(text, "  dropped   {id}{size}"),
            Fate::Unfit => writeln!(text, "  refused   {id}{size}"),
        };
    }
    for unfit in compared.unfit {
        let _ = writeln!(text, "{unfit}");
    }
    Ok(Planned { text, verdict })
}

fn changes(fate: &Fate) -> bool {
    match fate {
        Fate::Kept | Fate::New | Fate::Unfit => false,
        Fate::Renamed(_) | Fate::Migrated { .. } | Fate::Dropped => true,
    }
}

/// How much there is of a step, in words.
fn size(written: Option<&Written>) -> String {
    match written {
        None => ", nothing saved".to_owned(),
        Some(Written { entries, bytes, .. }) => {
            let entry = if *entries == 1 { "entry" } else { "entries" };
            format!(", {entries} {entry} of {bytes} bytes")
        }
    }
}
