//! What may change between two runs: each step that keeps something is compared with what the log knows of it.
//!
//! Steps without state, sinks without a position among them, and what functions do, are free to change. What is kept must fit: same kind, same key, same shape, same
//! meaning; or its shape is one that an older version of the state's type had, from which the program converts. A step that is gone, renamed or changed is refused
//! with the ways out (`words`).

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::describe::StepId;
use crate::error::Error;
use crate::recovery::check::Written;
use crate::recovery::compare::words::{changed, gone, unreadable};
use crate::recovery::fault::refused;
use crate::recovery::manifest::{Manifest, SavedStep, StepSpec};
use crate::recovery::older::schema_of;
use crate::state::{LoadError, Shape};
use crate::time::Epoch;

/// What the user allows to happen to saved state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// Old and new ids.
    pub(crate) renames: Vec<(String, String)>,
    /// Ids; with an epoch also what fits is dropped, if that is the resume epoch.
    pub(crate) drops: Vec<(String, Option<Epoch>)>,
}

impl Allowed {
    /// The renames, and with those of steps those of the sinks that have no name of their own.
    fn renames_in_full(&self, ids: &BTreeSet<&str>) -> Vec<(String, String)> {
        let sinks = self.renames.iter().map(|(from, to)| (sink_of(from), sink_of(to)));
        let sinks = sinks.filter(|(_, to)| ids.contains(to.as_str()));
        self.renames.iter().cloned().chain(sinks).collect()
    }

    /// The ids that are named and of which nothing is saved.
    fn unknown<'a>(&'a self, saved: &'a Manifest) -> impl Iterator<Item = &'a str> {
        let is_saved = |id: &str| saved.steps.iter().any(|step| step.id == id);
        // What has been renamed by an earlier start is saved under the new id.
        let renames =
            self.renames.iter().filter(move |(old, new)| !is_saved(old) && !is_saved(new));
        let drops = self.drops.iter().filter(move |(id, _)| !is_saved(id));
        renames.map(|(old, _)| old.as_str()).chain(drops.map(|(id, _)| id.as_str()))
    }
}

/// The id of the sink of a stream, where it has no name of its own.
fn sink_of(stream: &str) -> String {
    format!("{stream}{SINK}")
}

const SINK: &str = ".sink";

/// What becomes of one step's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    /// From this id.
    Renamed(String),
    /// To a new version of its type.
    Migrated {
        /// In words.
        change: String,
        /// The id that it had, if it is renamed, too.
        from: Option<String>,
    },
    New,
    Dropped,
    /// None: the start is refused.
    Unfit,
}

/// A step, and what becomes of its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fated {
    pub(crate) id: String,
    /// The number under which it is saved.
    pub(crate) saved: Option<u32>,
    pub(crate) fate: Fate,
}

/// What a start makes of a log.
#[derive(Debug)]
pub(crate) struct Compared {
    /// The steps as the log will know them.
    pub(crate) steps: Vec<SavedStep>,
    pub(crate) next_step: u32,
    /// In the order of their ids.
    pub(crate) fates: Vec<Fated>,
    /// What does not fit, in words, each with the ways out.
    pub(crate) unfit: Vec<String>,
}

/// Compares the steps of a dataflow with those of a log, which must fit. As [`compare_all`].
pub(crate) fn compare(
    saved: &Manifest,
    steps: &[(StepId, StepSpec)],
    allowed: &Allowed,
    written: &dyn Fn(u32) -> Option<Written>,
) -> Result<Compared, Error> {
    let compared = compare_all(saved, steps, allowed, written)?;
    if compared.unfit.is_empty() {
        return Ok(compared);
    }
    let epoch = saved.resume_epoch();
    let mut text =
        format!("the log's state of epoch {epoch} does not fit the dataflow any more:\n");
    text.push_str(&compared.unfit.join("\n"));
    for id in allowed.unknown(saved) {
        let _ = write!(text, "\n  a flag names `{id}`, of which nothing is saved");
    }
    Err(refused(text)
        .help("nothing has been changed; `--plan` shows what would be kept and what would not"))
}

/// What is saved of a step, taken apart.
struct Saved {
    step: SavedStep,
    /// The shapes that entries of older versions have; the spec of `step` is without them.
    older: Vec<Shape>,
    written: Option<Written>,
    /// A sink has stored something that is not carried out.
    stored: bool,
}

impl Saved {
    /// Whether anything would be lost with it.
    fn keeps(&self) -> bool {
        self.stored || self.written.is_some() && !self.step.spec.keeps_nothing()
    }

    /// The schemas of its entries.
    fn schemas(&self) -> BTreeSet<u32> {
        self.written.as_ref().map(|written| written.schemas.clone()).unwrap_or_default()
    }

    /// How it goes on as what it is now.
    fn fit(&self, now: &StepSpec) -> Fit {
        let before = &self.step.spec;
        let mut shapes = self.older.clone();
        let mut change = None;
        if before != now {
            if (&before.kind, &before.key, &before.meaning) != (&now.kind, &now.key, &now.meaning) {
                return Fit::No(None);
            }
            // Composites with several slots do not migrate.
            let ([was], [is]) = (&before.slots[..], &now.slots[..]) else { return Fit::No(None) };
            if was.name != is.name {
                return Fit::No(None);
            }
            // A start that converts and saves nothing, because a conversion fails, can be taken back.
            let taken_back =
                self.older.contains(&is.shape) && !self.schemas().contains(&schema_of(&was.shape));
            if !taken_back {
                if let Err(error) = is.reads.check(&was.shape) {
                    return Fit::No(Some(error));
                }
                change = was.shape.differences(&is.shape);
                shapes.push(was.shape.clone());
            }
        }
        self.fit_older(shapes, now, change)
    }

    /// The same for what older versions have written: it has to be known, and the program must still be able to read it.
    fn fit_older(&self, shapes: Vec<Shape>, now: &StepSpec, change: Option<String>) -> Fit {
        let current = now.slots.first();
        let mut schemas = self.schemas();
        if let Some(current) = current {
            schemas.remove(&schema_of(&current.shape));
        }
        let mut older = Vec::new();
        for shape in shapes {
            // Also so that one which occurs twice is taken once.
            if !schemas.remove(&schema_of(&shape)) {
                continue;
            }
            if let Some(Err(error)) = current.map(|current| current.reads.check(&shape)) {
                return Fit::Unreadable(Some(shape), error);
            }
            older.push(shape);
        }
        match schemas.first() {
            None => Fit::Yes { older, change },
            Some(schema) => {
                let what = format!("the log does not know the schema {schema:08x} of the step");
                Fit::Unreadable(None, LoadError::new(what))
            }
        }
    }
}

/// Whether what is saved of a step can be gone on with.
enum Fit {
    Yes {
        /// The shapes of entries that are converted when they are loaded.
        older: Vec<Shape>,
        /// What is another version now, in words.
        change: Option<String>,
    },
    /// It is something else now; with the reason why it cannot be converted, where it might have been.
    No(Option<LoadError>),
    /// Entries of an older version cannot be read any more.
    Unreadable(Option<Shape>, LoadError),
}

/// Compares the steps of a dataflow with those of a log. `written` says of a step's number what the log holds of it.
pub(crate) fn compare_all(
    saved: &Manifest,
    steps: &[(StepId, StepSpec)],
    allowed: &Allowed,
    written: &dyn Fn(u32) -> Option<Written>,
) -> Result<Compared, Error> {
    let resume = saved.resume_epoch();
    let mut old = saved.steps.clone();
    let ids: BTreeSet<&str> = steps.iter().map(|(id, _)| id.as_str()).collect();
    let renamed = rename(&mut old, allowed, &ids, resume)?;
    let mut old: Vec<Saved> = old
        .into_iter()
        .map(|mut step| Saved {
            older: step.spec.take_older(),
            written: written(step.number),
            stored: saved.stored.iter().any(|at| at.step == step.number),
            step,
        })
        .collect();
    let (mut kept, mut next_step, mut fates, mut unfit) =
        (Vec::new(), saved.next_step, Vec::new(), Vec::new());
    let is_dropped = |id: &str, fits: bool| {
        let meant = |(drop, at): &(String, Option<Epoch>)| {
            drop == id && at.map_or(!fits, |at| at == resume)
        };
        allowed.drops.iter().any(meant)
    };
    for (id, spec) in steps {
        let id = id.as_str();
        let known = old.iter().position(|known| known.step.id == id).map(|at| old.remove(at));
        let known = known.map(|known| (known.fit(spec), known));
        let known = known.filter(|(fit, known)| matches!(fit, Fit::Yes { .. }) || known.keeps());
        let number = known.as_ref().map(|(_, known)| known.step.number);
        let fate = match known {
            Some((fit, known)) => {
                let fits = matches!(fit, Fit::Yes { .. });
                match fit {
                    _ if is_dropped(id, fits) => Fate::Dropped,
                    Fit::Yes { older, change } => {
                        let mut spec = spec.clone();
                        spec.add_older(older);
                        kept.push(SavedStep { spec, ..known.step });
                        match (change, renamed.get(id).cloned()) {
                            (Some(change), from) => Fate::Migrated { change, from },
                            (None, Some(from)) => Fate::Renamed(from),
                            (None, None) => Fate::Kept,
                        }
                    }
                    Fit::No(why) => {
                        unfit.push(changed(id, &known.step.spec, spec, why.as_ref()));
                        Fate::Unfit
                    }
                    Fit::Unreadable(shape, why) => {
                        unfit.push(unreadable(id, shape.as_ref(), spec, &why));
                        Fate::Unfit
                    }
                }
            }
            None => Fate::New,
        };
        if matches!(fate, Fate::New | Fate::Dropped) {
            let (id, spec) = (id.to_owned(), spec.clone());
            kept.push(SavedStep { number: next_step, id, spec });
            next_step += 1;
        }
        fates.push(Fated { id: id.to_owned(), saved: number, fate });
    }
    for known in old.into_iter().filter(Saved::keeps) {
        let Saved { step, .. } = known;
        let fate = if is_dropped(&step.id, false) {
            Fate::Dropped
        } else {
            unfit.push(gone(&step, steps, saved, &ids));
            Fate::Unfit
        };
        fates.push(Fated { saved: Some(step.number), id: step.id, fate });
    }
    fates.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Compared { steps: kept, next_step, fates, unfit })
}

/// Gives saved steps the ids that they are to have. Answers which had another one, by the new id.
fn rename(
    old: &mut [SavedStep],
    allowed: &Allowed,
    ids: &BTreeSet<&str>,
    resume: Epoch,
) -> Result<BTreeMap<String, String>, Error> {
    let mut renamed = BTreeMap::new();
    for (from, to) in allowed.renames_in_full(ids) {
        // One that has been renamed by an earlier start is not there any more.
        let taken = old.iter().any(|step| step.id == to);
        let Some(step) = old.iter_mut().find(|step| step.id == from) else { continue };
        if taken && ids.contains(from.as_str()) {
            // Done by an earlier start; what is saved under the old id is another step's by now.
            continue;
        }
        if taken {
            return Err(refused(format!(
                "the state of step `{from}` cannot be renamed: the log has state of `{to}` already"
            ))
            .help(format!("drop one of them: `--drop-state {to}@{resume}`")));
        }
        step.id.clone_from(&to);
        renamed.insert(to, from);
    }
    Ok(renamed)
}

#[cfg(test)]
mod tests;
