//! What each file in the folder of a log is, and why it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::io::file::PathKind;
use crate::recovery::folder::list_commits;
use crate::recovery::keep::{Gone, named, paths};
use crate::recovery::manifest::Manifest;
use crate::recovery::names::{BaseName, CommitName, Layout, SegmentName};
use crate::recovery::newest::read_all;
use crate::recovery::offline::at::At;
use crate::recovery::offline::reader::{Ground, LogReader};
use crate::time::Epoch;

/// How a log came to be what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The runs whose commit files are there, the oldest first.
    pub runs: Vec<Run>,
    /// The files in the folder, by their paths.
    pub files: Vec<LogFile>,
    /// Who has locked the log, or locked it last, in its own words.
    pub locked_by: Option<String>,
    /// What sinks have stored with epochs and is not known to be carried out.
    pub stored: Vec<StoredRows>,
}

/// A run, as its commit files show it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run {
    /// Its number.
    pub run: u64,
    /// Where it began; `None` if that cannot be told, because it wrote nothing or its first file is gone.
    pub began: Option<Epoch>,
    /// Its commits that can be read.
    pub commits: u64,
    /// Where a run would begin after the last of them.
    pub reached: Option<Epoch>,
    /// What is wrong with its commit files.
    pub problem: Option<String>,
}

/// A file in the folder of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFile {
    /// Its path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// How much of it the newest commit that needs it names. What lies behind was written by a run that was cut off, or has not been committed yet.
    pub committed: Option<u64>,
    /// What it is.
    pub role: Role,
    /// What needs it.
    pub needed_by: Vec<Need>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// `FORMAT`: whose log it is.
    Format,
    /// `LOCK`: locked by a run.
    Lock,
    /// One copy of a file of commits.
    Commits {
        /// The run that wrote it.
        run: u64,
    },
    /// Changes, epoch by epoch.
    Changes {
        /// The run that wrote it.
        run: u64,
    },
    /// Everything that a range of key groups held: what compaction makes of changes.
    Base {
        /// The run that wrote it.
        run: u64,
    },
    /// A pin.
    Pin,
    /// Moved out of the way by a repair.
    Quarantined,
    /// Not a file of a log. It is left alone.
    Unknown,
}

/// What a file is needed by.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// The newest commit: the next run goes on from it.
    Newest,
    /// Earlier commits that a run can go back to: how many, and where runs would begin after the first and the last of them.
    Earlier {
        /// How many.
        count: u64,
        /// The oldest.
        first: Epoch,
        /// The newest.
        last: Epoch,
    },
    /// A pin of this name.
    Pin(String),
    /// Rows that a sink has stored and that are not carried out yet: the step.
    Stored(String),
}

/// What a sink has stored with an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRows {
    /// The sink.
    pub step: String,
    /// The partition.
    pub partition: String,
    /// The epoch.
    pub epoch: Epoch,
    /// The file in which it lies.
    pub file: PathBuf,
}

impl LogReader {
    /// Looks at every file of the log, and why it is there.
    ///
    /// # Errors
    /// When the folder cannot be read. What is wrong with files is no error, but what is found.
    pub fn inspect(&self) -> Result<Inspection, Error> {
        let ground = self.ground();
        let lock = read_text(ground, &ground.layout.lock());
        let newest = self.manifest_at(&At::Newest)?;
        let step = |number: u32| {
            let found = newest.steps.iter().find(|step| step.number == number);
            found.map_or_else(|| number.to_string(), |step| step.id.clone())
        };
        let stored = newest.stored.iter().map(|at| StoredRows {
            step: step(at.step),
            partition: at.partition.clone(),
            epoch: at.epoch,
            file: ground.layout.segment(at.file),
        });
        let stored: Vec<StoredRows> = stored.collect();
        let needs = self.needs(&newest, &stored)?;
        let files = ground.everything()?.into_iter().map(|path| {
            let bytes = ground.files.open(&path).and_then(|file| file.len());
            let (committed, needed_by) = needs.0.get(&path).cloned().unwrap_or_default();
            LogFile {
                bytes: bytes.unwrap_or(0),
                committed,
                role: ground.role(&path),
                needed_by,
                path,
            }
        });
        Ok(Inspection { runs: ground.runs()?, files: files.collect(), locked_by: lock, stored })
    }

    /// What files of changes, bases and commits are needed by.
    fn needs(&self, newest: &Manifest, stored: &[StoredRows]) -> Result<Needs, Error> {
        let layout = &self.ground().layout;
        let mut needs = Needs(BTreeMap::new());
        for path in files_of(layout, newest) {
            needs.add(path, Need::Newest);
        }
        // The newest commit lies in the newest file of commits.
        if let Some((generation, number)) = self.newest_file()? {
            for path in paths(layout, Gone::Commits { generation, number }) {
                needs.add(path, Need::Newest);
            }
        }
        for rows in stored {
            needs.add(rows.file.clone(), Need::Stored(rows.step.clone()));
        }
        let mut earlier: BTreeMap<PathBuf, BTreeSet<Epoch>> = BTreeMap::new();
        for past in self.past() {
            let (generation, number) = past.file;
            let commits = paths(layout, Gone::Commits { generation, number });
            for path in files_of(layout, &past.manifest).into_iter().chain(commits) {
                earlier.entry(path).or_default().insert(past.manifest.resume_epoch());
            }
        }
        for (path, epochs) in earlier {
            if let (Some(first), Some(last)) = (epochs.first(), epochs.last()) {
                let count = epochs.len() as u64;
                needs.add(path, Need::Earlier { count, first: *first, last: *last });
            }
        }
        let pins = self.pins().map(|pin| &pin.name);
        let pinned: Vec<(&String, Manifest)> = pins
            .filter_map(|name| Some((name, self.manifest_at(&At::Pin(name.clone())).ok()?)))
            .collect();
        for (name, manifest) in &pinned {
            for path in files_of(layout, manifest) {
                needs.add(path, Need::Pin((*name).clone()));
            }
        }
        let past = self.past().iter().map(|past| &past.manifest);
        for manifest in past.chain(pinned.iter().map(|(_, manifest)| manifest)).chain([newest]) {
            needs.committed(layout, manifest);
        }
        Ok(needs)
    }

    /// Generation and number of the newest file that holds a commit.
    fn newest_file(&self) -> Result<Option<(u64, u64)>, Error> {
        let Ground { files, layout, log_id, .. } = self.ground();
        let mut pairs: Vec<(u64, u64)> = list_commits(&**files, layout)?
            .iter()
            .map(|name| (name.generation, name.number))
            .collect();
        pairs.sort_unstable();
        pairs.reverse();
        let holds = |(generation, number): &(u64, u64)| {
            read_all(files, layout, *generation, *number, log_id, &mut |_| {}).unwrap_or(true)
        };
        Ok(pairs.into_iter().find(holds))
    }
}

/// By path: how much is committed, and what it is needed by.
struct Needs(BTreeMap<PathBuf, (Option<u64>, Vec<Need>)>);

impl Needs {
    /// Notes what a file is needed by, once.
    fn add(&mut self, path: PathBuf, need: Need) {
        let (_, needs) = self.0.entry(path).or_default();
        if !needs.contains(&need) {
            needs.push(need);
        }
    }

    /// Notes how much of its files a commit names.
    fn committed(&mut self, layout: &Layout, manifest: &Manifest) {
        let parts = manifest.parts.iter().map(|part| (layout.segment(part.file), part.end));
        let bases = manifest.bases.iter().map(|base| (layout.base(base.file), base.end));
        for (path, end) in parts.chain(bases) {
            let (committed, _) = self.0.entry(path).or_default();
            *committed = (*committed).max(Some(end));
        }
    }
}

/// The paths of what a manifest names.
fn files_of(layout: &Layout, manifest: &Manifest) -> Vec<PathBuf> {
    named(manifest).into_iter().flat_map(|file| paths(layout, file)).collect()
}

impl Ground {
    /// All files in the folder, and in those that belong to a log.
    pub(crate) fn everything(&self) -> Result<Vec<PathBuf>, Error> {
        let layout = &self.layout;
        let below = [layout.segments(), layout.bases(), layout.pins(), layout.quarantine()];
        let mut all = Vec::new();
        for folder in [layout.root().to_owned()].iter().chain(&below) {
            let paths = match self.files.list(folder) {
                Ok(paths) => paths,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(crate::recovery::fault::failed("list", folder, error)),
            };
            all.extend(paths.into_iter().filter(|path| {
                // What is gone by now is no folder either.
                matches!(self.files.kind(path), Ok(PathKind::File | PathKind::Other))
            }));
        }
        Ok(all)
    }

    /// The bytes of all files of the log, those that nobody needs included.
    pub(crate) fn size(&self) -> Result<u64, Error> {
        let sizes = self
            .everything()?
            .into_iter()
            .filter(|path| !matches!(self.role(path), Role::Quarantined | Role::Unknown));
        Ok(sizes.filter_map(|path| self.files.open(&path).ok()?.len().ok()).sum())
    }

    fn role(&self, path: &Path) -> Role {
        let layout = &self.layout;
        let folder = path.parent().unwrap_or(Path::new(""));
        if path == layout.format() {
            Role::Format
        } else if path == layout.lock() {
            Role::Lock
        } else if folder == layout.quarantine() {
            Role::Quarantined
        } else if folder == layout.pins() {
            Role::Pin
        } else if let Some(name) = CommitName::parse(path).filter(|_| folder == layout.root()) {
            Role::Commits { run: name.generation }
        } else if let Some(name) = SegmentName::parse(path).filter(|_| folder == layout.segments())
        {
            Role::Changes { run: name.generation }
        } else if let Some(name) = BaseName::parse(path).filter(|_| folder == layout.bases()) {
            Role::Base { run: name.generation }
        } else {
            Role::Unknown
        }
    }

    /// What the commit files say of each run.
    fn runs(&self) -> Result<Vec<Run>, Error> {
        let Ground { files, layout, log_id, .. } = self;
        let names = list_commits(&**files, layout)?;
        let pairs: BTreeSet<(u64, u64)> =
            names.iter().map(|name| (name.generation, name.number)).collect();
        let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
        for (generation, number) in pairs {
            let run = runs.entry(generation).or_insert(Run {
                run: generation,
                began: None,
                commits: 0,
                reached: None,
                problem: None,
            });
            let mut barriers = BTreeSet::new();
            let mut is_first = true;
            let mut each = |manifest: &Manifest| {
                let resume = manifest.resume_epoch();
                if is_first && number == 0 {
                    run.began = Some(resume);
                }
                is_first = false;
                if let Some(last) = manifest.last.filter(|last| last.generation == generation) {
                    barriers.insert(last.barrier);
                    run.reached = Some(resume);
                }
            };
            let read = read_all(files, layout, generation, number, log_id, &mut each);
            run.commits += barriers.len() as u64;
            if let Err(error) = read {
                run.problem = Some(error.message().to_owned());
            }
        }
        Ok(runs.into_values().collect())
    }
}

/// A short text in a file.
fn read_text(ground: &Ground, path: &Path) -> Option<String> {
    let mut bytes = [0; 256];
    let read = ground.files.open(path).and_then(|mut file| file.read_at(0, &mut bytes)).ok()?;
    let text = String::from_utf8_lossy(&bytes[..read]).trim().to_owned();
    (!text.is_empty()).then_some(text)
}
