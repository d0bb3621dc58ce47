//! A log as of a commit: its steps, and how much they keep.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::error::Error;
use crate::io::file::File;
use crate::recovery::block::Kind;
use crate::recovery::check::{Checked, NamedFile, check_each, named_files, open_unseen};
use crate::recovery::fault::refused;
use crate::recovery::manifest::{Manifest, SavedStep};
use crate::recovery::offline::reader::Ground;
use crate::recovery::offline::rows::Rows;
use crate::state::Shape;
use crate::time::{Epoch, Timestamp};

/// The most files that are kept open. The others are opened again when they are needed, and may be gone by then.
pub(crate) const OPEN_MAX: usize = 256;

/// A log as of one commit. All files that the commit names have been read once, and their checksums were right.
///
/// It stays readable while a running dataflow goes on and removes files: on Unix always, as long as the commit names no more than 256 of them.
#[derive(Clone)]
pub struct Snapshot(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) ground: Ground,
    pub(crate) manifest: Manifest,
    pub(crate) checked: Checked,
    /// In the order of the checked files.
    pub(crate) open: Mutex<Vec<Box<dyn File>>>,
    steps: Vec<Step>,
}

/// A step that keeps something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Its id.
    pub id: String,
    /// What it is: `keyed state`, `dedupe`, `chunk`, `broadcast`, `source`, `sink`.
    pub kind: String,
    /// What it keeps.
    pub keeps: Keeps,
    /// Of keyed state: the shape of the keys.
    pub key: Option<Shape>,
    /// The shape of what it keeps.
    pub state: Shape,
}

/// What a step keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
// Not called as the streams are: the compiler shortens names in its messages only where there is no other of the same name.
pub enum Keeps {
    /// A state for each key: [`Snapshot::state`], [`Snapshot::entries`].
    PerKey,
    /// One value that every worker has: [`Snapshot::broadcast`], [`Snapshot::broadcast_json`].
    OneValue,
    /// The positions of the partitions of a source or sink: [`Snapshot::positions`].
    Positions,
}

/// How much a step keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measure {
    /// The keys that have state; of a broadcast value 1 if there is one; of a source or sink the partitions.
    pub keys: u64,
    /// The entries of these keys' [maps](crate::state::MapState) and [lists](crate::state::ListState) that are saved one by one.
    pub entries: u64,
    /// The bytes of keys and what is kept of them, as they are encoded.
    pub bytes: u64,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) fn open(ground: &Ground, manifest: Manifest) -> Result<Snapshot, Error> {
        let Ground { files, layout, log_id, .. } = ground;
        let open_one = |file: &NamedFile| open_unseen(files, file, &manifest);
        // At once: a running dataflow may remove them while others are read.
        let named = named_files(layout, log_id, &manifest);
        let opened: Result<VecDeque<_>, _> = named.iter().take(OPEN_MAX).map(open_one).collect();
        let mut opened = opened?;
        let mut next = |file: &NamedFile| opened.pop_front().map_or_else(|| open_one(file), Ok);
        let mut open = Vec::new();
        let mut keep = |file| {
            if open.len() < OPEN_MAX {
                open.push(file);
            }
        };
        let checked = check_each(layout, log_id, &manifest, &mut next, &mut keep)?;
        let steps = manifest.steps.iter().map(Step::of).collect();
        let (ground, open) = (ground.clone(), Mutex::new(open));
        Ok(Snapshot(Arc::new(Inner { ground, manifest, checked, open, steps })))
    }

    /// Where a run begins that goes on from here: everything before this epoch is in the snapshot.
    pub fn epoch(&self) -> Epoch {
        self.0.manifest.resume_epoch()
    }

    /// When the commit was made; `None` if nothing has been committed yet.
    pub fn at(&self) -> Option<Timestamp> {
        self.0.manifest.last.map(|last| last.at)
    }

    /// The number of the run that made the commit; 0 if nothing has been committed yet.
    pub fn run(&self) -> u64 {
        self.0.manifest.last.map_or(0, |last| last.generation)
    }

    /// The steps that keep something, in the order in which they came into the log.
    pub fn steps(&self) -> &[Step] {
        &self.0.steps
    }

    /// A step by its id.
    ///
    /// # Errors
    /// When there is none; it names those that there are.
    pub fn step(&self, id: &str) -> Result<&Step, Error> {
        self.find(id).map(|(step, _)| step)
    }

    pub(crate) fn find(&self, id: &str) -> Result<(&Step, &SavedStep), Error> {
        let mut steps = self.0.steps.iter().zip(&self.0.manifest.steps);
        steps.find(|(step, _)| step.id == id).ok_or_else(|| {
            let ids: Vec<String> =
                self.0.steps.iter().map(|step| format!("`{}`", step.id)).collect();
            let error = refused(format!(
                "no step `{id}` keeps anything in `{}`, as of epoch {}",
                self.0.ground.layout.root().display(),
                self.epoch()
            ));
            match ids.is_empty() {
                true => error.help("no step does"),
                false => error.help(format!("there are {}", ids.join(", "))),
            }
        })
    }

    /// A step that keeps this.
    pub(crate) fn find_with(&self, id: &str, keeps: Keeps) -> Result<(&Step, &SavedStep), Error> {
        let found = self.find(id)?;
        let Step { keeps: kept, kind, .. } = found.0;
        if *kept == keeps {
            return Ok(found);
        }
        Err(refused(format!("it keeps {}, not {}", kept.in_words(), keeps.in_words()))
            .at_step(id)
            .help(format!("it is a step of the kind `{kind}`")))
    }

    /// How many keys a step has, and what they take. All that the log has of the step is read.
    ///
    /// # Errors
    /// When there is no such step, or a file cannot be read any more.
    pub fn measure(&self, step: &str) -> Result<Measure, Error> {
        let (found, saved) = self.find(step)?;
        let mut measure = Measure::default();
        if found.keeps == Keeps::Positions {
            for (partition, bytes) in
                self.0.checked.positions.get(&saved.number).into_iter().flatten()
            {
                measure.keys += 1;
                measure.bytes += (partition.as_str().len() + bytes.len()) as u64;
            }
            return Ok(measure);
        }
        let mut rows = Rows::of(&self.0, saved.number, found.keeps);
        while let Some(row) = rows.next(|head, entry| {
            measure.keys += u64::from(matches!(head.kind, Kind::Value | Kind::Broadcast));
            measure.entries += u64::from(matches!(head.kind, Kind::MapEntry | Kind::ListElement));
            measure.bytes += (entry.key.len() + entry.sub.len() + entry.value.len()) as u64;
        }) {
            row?;
        }
        Ok(measure)
    }
}

impl Step {
    fn of(saved: &SavedStep) -> Step {
        let SavedStep { id, spec, .. } = saved;
        let keeps = match (&spec.key, spec.kind.as_str()) {
            (Some(_), _) => Keeps::PerKey,
            (None, "source" | "sink") => Keeps::Positions,
            (None, _) => Keeps::OneValue,
        };
        let state = spec.slots.first().map(|slot| slot.shape.clone());
        Step {
            id: id.clone(),
            kind: spec.kind.clone(),
            keeps,
            key: spec.key.clone(),
            state: state.unwrap_or_else(|| Shape::Tuple(Vec::new())),
        }
    }
}

impl Keeps {
    fn in_words(self) -> &'static str {
        match self {
            Keeps::PerKey => "a state for each key",
            Keeps::OneValue => "one value for all workers",
            Keeps::Positions => "the positions of partitions",
        }
    }
}
