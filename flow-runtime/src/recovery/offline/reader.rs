//! A log, opened for reading: the commits that it keeps, and its pins.
//!
//! A running dataflow may commit, and remove what it does not need any more, between the look into a folder and the opening of a file.
//! Whatever goes wrong is tried again as long as the folder is another one than before; only what is wrong with a folder that stands
//! still is reported.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::io::file::{Disk, Files, PathKind};
use crate::recovery::RecoveryLog;
use crate::recovery::fault::{failed, refused};
use crate::recovery::folder::{check_folder, check_format, list_commits, read_format};
use crate::recovery::history::Past;
use crate::recovery::keep::{named, paths};
use crate::recovery::manifest::{Format, Manifest};
use crate::recovery::names::Layout;
use crate::recovery::newest::Found;
use crate::recovery::offline::at::At;
use crate::recovery::offline::snapshot::Snapshot;
use crate::recovery::pin;
use crate::recovery::start::{Place, all_files, read_newest};
use crate::time::{Epoch, Timestamp};

/// How often a log is looked at that changes while it is read.
const ATTEMPTS: usize = 8;

/// Where a log lies, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) log_id: [u8; 16],
    pub(crate) format: Format,
}

/// A recovery log, opened for reading. It shows the log as it was when it was opened or [refreshed](LogReader::refresh).
#[derive(Debug)]
pub struct LogReader {
    ground: Ground,
    seen: Seen,
    /// From before it was seen.
    sight: Sight,
}

/// What was found.
#[derive(Debug)]
struct Seen {
    newest: Found,
    /// The others that a run could go on from, the oldest first.
    past: Vec<Past>,
    pins: Vec<(PinnedEpoch, Option<Manifest>)>,
    kept: Vec<KeptEpoch>,
}

/// A commit that a run can go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptEpoch {
    /// Where a run begins that goes on from it.
    pub epoch: Epoch,
    /// The number of the run that made the commit; 0 if nothing has been committed yet.
    pub run: u64,
    /// When the commit was made; `None` if nothing has been committed yet.
    pub at: Option<Timestamp>,
    /// The bytes of the files that it needs.
    pub bytes: u64,
}

/// A commit that is kept under a name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PinnedEpoch {
    /// The name.
    pub name: String,
    /// The commit; what is wrong with the pin, if it cannot be read.
    pub pinned: Result<KeptEpoch, String>,
}

impl RecoveryLog {
    /// Opens a log for reading; see [`log`](crate::log). It is not locked, and nothing is written.
    ///
    /// # Errors
    /// When there is no log in the folder, it is damaged or of a newer version, or it cannot be read.
    pub fn read(folder: impl AsRef<Path>) -> Result<LogReader, Error> {
        LogReader::open(Arc::new(Disk), folder.as_ref())
    }
}

impl LogReader {
    pub(crate) fn open(files: Arc<dyn Files>, folder: &Path) -> Result<LogReader, Error> {
        let ground = Ground::find(files, folder)?;
        let sight = ground.sight()?;
        let seen = steadily(&ground, || ground.look())?;
        Ok(LogReader { ground, seen, sight })
    }

    /// Looks at the log again. Answers whether it is another one than before: a run has begun, committed or removed something, or somebody
    /// has pinned something.
    ///
    /// # Errors
    /// When it is damaged or cannot be read. Then what was seen before is still there.
    pub fn refresh(&mut self) -> Result<bool, Error> {
        let before = std::mem::replace(&mut self.sight, self.ground.sight()?);
        self.seen = steadily(&self.ground, || self.ground.look())?;
        Ok(before != self.sight)
    }

    /// The name of the dataflow whose log it is.
    pub fn dataflow(&self) -> &str {
        &self.ground.format.dataflow
    }

    /// The number of key groups: the most workers that can share the log.
    pub fn key_groups(&self) -> u32 {
        self.ground.format.groups
    }

    /// How many runs there have been that began from this log, at least: the number of the newest one that said so.
    pub fn runs(&self) -> u64 {
        self.seen.newest.generation
    }

    /// The workers of the newest run.
    pub fn workers(&self) -> u32 {
        self.seen.newest.manifest.workers
    }

    /// Whether the input was ended for good, by `--finish`.
    pub fn is_finished(&self) -> bool {
        self.seen.newest.manifest.finished
    }

    /// Where the next run begins.
    pub fn resume_epoch(&self) -> Epoch {
        self.seen.newest.manifest.resume_epoch()
    }

    /// The commits that a run can go on from, the oldest first; the newest commit is the last. These may be more than the run was told to keep.
    pub fn epochs(&self) -> &[KeptEpoch] {
        &self.seen.kept
    }

    /// The pins, by name.
    pub fn pins(&self) -> impl ExactSizeIterator<Item = &PinnedEpoch> {
        self.seen.pins.iter().map(|(pin, _)| pin)
    }

    /// What one copy of the newest commit file lacked and the other had, in words. Beside a running dataflow this may be a record that was just
    /// being written.
    pub fn repaired(&self) -> &[String] {
        &self.seen.newest.repaired
    }

    /// The log as of the newest commit. If it is given up by a running dataflow meanwhile, the one that is the newest then.
    ///
    /// # Errors
    /// When a file that it needs is damaged, missing, or cannot be read.
    pub fn newest(&self) -> Result<Snapshot, Error> {
        let mut newest = self.seen.newest.manifest.clone();
        let mut attempt = 1;
        loop {
            let error = match Snapshot::open(&self.ground, newest.clone()) {
                Ok(snapshot) => return Ok(snapshot),
                Err(error) => error,
            };
            let found = self.ground.newest_meanwhile()?.manifest;
            if found == newest {
                return Err(error);
            }
            if attempt == ATTEMPTS {
                return Err(self.ground.changes_too_fast(&error));
            }
            (newest, attempt) = (found, attempt + 1);
        }
    }

    /// The log as of a commit: `log.at(7)`, `log.at("before-upgrade")`.
    ///
    /// # Errors
    /// When the log does not keep it, or a file that it needs is damaged, missing, or cannot be read.
    pub fn at(&self, at: impl Into<At>) -> Result<Snapshot, Error> {
        match at.into() {
            At::Newest => self.newest(),
            other => {
                let manifest = self.manifest_at(&other)?;
                steadily(&self.ground, || {
                    Snapshot::open(&self.ground, manifest.clone()).map_err(|error| {
                        // Not damaged, but given up since it was seen.
                        match is_there(&self.ground, &manifest) {
                            true => error,
                            false => error.or_help(
                                "if a run has given it up meanwhile: look at the log again",
                            ),
                        }
                    })
                })
            }
        }
    }

    pub(crate) fn ground(&self) -> &Ground {
        &self.ground
    }

    pub(crate) fn past(&self) -> &[Past] {
        &self.seen.past
    }

    /// Where a pin lies that cannot be read.
    pub(crate) fn broken_pin(&self, at: &At) -> Option<PathBuf> {
        let At::Pin(name) = at else { return None };
        let mut pins = self.pins().filter(|pin| pin.pinned.is_err());
        pins.find(|pin| pin.name == *name).map(|pin| self.ground.layout.pin(&pin.name))
    }

    /// What is known of a commit.
    pub(crate) fn manifest_at(&self, at: &At) -> Result<Manifest, Error> {
        let Seen { newest, past, pins, .. } = &self.seen;
        let newest = &newest.manifest;
        let found = match at {
            At::Newest => Some(newest),
            At::Epoch(epoch) if *epoch == newest.resume_epoch() => Some(newest),
            At::Epoch(epoch) => {
                let past = past.iter().rev().map(|past| &past.manifest);
                let pinned = pins.iter().filter_map(|(_, manifest)| manifest.as_ref());
                past.chain(pinned).find(|manifest| manifest.resume_epoch() == *epoch)
            }
            At::Pin(name) => match pins.iter().find(|(pin, _)| pin.name == *name) {
                Some((PinnedEpoch { pinned: Err(error), .. }, _)) => {
                    return Err(refused(error.clone()));
                }
                Some((_, manifest)) => manifest.as_ref(),
                None => None,
            },
        };
        let not_kept = || self.ground.place().not_kept(&at.to_string(), past, newest);
        found.cloned().ok_or_else(not_kept)
    }
}

impl Ground {
    /// Sees whose log lies in a folder.
    pub(crate) fn find(files: Arc<dyn Files>, folder: &Path) -> Result<Ground, Error> {
        let layout = Layout::new(folder);
        check_folder(&*files, &layout)?;
        let missing = |what: &str| {
            let (folder, what) = (folder.display(), what.to_owned());
            refused(format!("`{folder}` {what}"))
                .help("give the folder that the program was given as `--recovery`")
        };
        if !matches!(files.kind(folder), Ok(PathKind::Folder)) {
            return Err(missing("is not there"));
        }
        let Some((log_id, format)) = read_format(&files, &layout)? else {
            return Err(missing("is no recovery log: it has no file `FORMAT`"));
        };
        check_format(&layout, &format, &RecoveryLog::at(folder), &format.dataflow)?;
        Ok(Ground { files, layout, log_id, format })
    }

    /// A look at all commits.
    fn look(&self) -> Result<Seen, Error> {
        let newest = self.newest()?;
        let mut past = self.place().past()?;
        // Later commits may have come in the meantime.
        let barrier = newest.manifest.last.map(|last| last.barrier);
        past.retain(|past| Some(past.committed.barrier) < barrier);
        let mut pins = Vec::new();
        for (name, manifest) in pin::each(&*self.files, &self.layout)? {
            let pinned = manifest.as_ref().map(|manifest| self.kept(manifest));
            let pinned = pinned.map_err(|error| error.to_string());
            pins.push((PinnedEpoch { name, pinned }, manifest.ok()));
        }
        let manifests = past.iter().map(|past| &past.manifest).chain([&newest.manifest]);
        let kept = manifests.map(|manifest| self.kept(manifest)).collect();
        Ok(Seen { newest, past, pins, kept })
    }

    pub(crate) fn newest(&self) -> Result<Found, Error> {
        read_newest(&self.files, &self.layout, &self.log_id, &self.format, u64::MAX)
    }

    /// The same, also while a run removes files of commits.
    pub(crate) fn newest_meanwhile(&self) -> Result<Found, Error> {
        steadily(self, || self.newest())
    }

    pub(crate) fn place(&self) -> Place<'_> {
        let Ground { files, layout, log_id, .. } = self;
        Place { files, layout, log_id, generation: u64::MAX }
    }

    /// What is said when nothing holds still. `last` is what went wrong with the last attempt.
    fn changes_too_fast(&self, last: &Error) -> Error {
        let (root, last) = (self.layout.root().display(), last.message());
        refused(format!("`{root}` changes faster than it can be read: {last}")).help(
            "try again; a dataflow that is run with a larger `--keep-epochs N` leaves more time",
        )
    }

    fn kept(&self, manifest: &Manifest) -> KeptEpoch {
        let last = manifest.last;
        let bases = manifest.bases.iter().map(|base| base.end);
        let parts = manifest.parts.iter().map(|part| part.end);
        KeptEpoch {
            epoch: manifest.resume_epoch(),
            run: last.map_or(0, |last| last.generation),
            at: last.map(|last| last.at),
            bytes: bases.chain(parts).sum(),
        }
    }

    /// What can be seen of the folder without reading what is in its files.
    fn sight(&self) -> Result<Sight, Error> {
        let Ground { files, layout, .. } = self;
        let commits = list_commits(&**files, layout)?;
        let lengths = commits.iter().map(|name| {
            let path = layout.commit(*name);
            let length = files.open(&path).and_then(|file| file.len());
            (path, length.ok())
        });
        let lengths = lengths.collect();
        let all = all_files(&**files, layout)?;
        let pins = files.list(&layout.pins()).unwrap_or_default();
        let rest = all.into_iter().flat_map(|file| paths(layout, file)).chain(pins).collect();
        Ok(Sight { lengths, rest })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Sight {
    lengths: Vec<(PathBuf, Option<u64>)>,
    rest: Vec<PathBuf>,
}

/// Whether all files of a commit are there.
pub(crate) fn is_there(ground: &Ground, manifest: &Manifest) -> bool {
    let files = named(manifest).into_iter().flat_map(|file| paths(&ground.layout, file));
    files.into_iter().all(|path| ground.files.kind(&path).is_ok())
}

/// Tries again what fails, as long as the folder changes meanwhile.
fn steadily<T>(ground: &Ground, mut act: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut before = ground.sight()?;
    let mut attempt = 1;
    loop {
        let error = match act() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let now = ground.sight()?;
        if now == before {
            return Err(error);
        }
        if attempt == ATTEMPTS {
            return Err(ground.changes_too_fast(&error));
        }
        (before, attempt) = (now, attempt + 1);
    }
}

/// Fails to open a file of a log.
pub(crate) fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    failed("read", path, error)
}
