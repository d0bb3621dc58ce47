//! Counting operations; crashes and faults.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::luck::Luck;
use super::tree::{Id, Tree};
use super::{Doing, Moment};
use crate::io::Random;

/// How often faults happen by themselves: each a probability between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Faults {
    /// That a write which adds bytes finds the disk full. The next attempt may go well.
    pub no_space: f64,
    /// That a sync of a file fails, as [`fail_sync_at`](super::SimDisk::fail_sync_at) says.
    pub failed_sync: f64,
}

impl Faults {
    /// No faults.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// The same, and this probability that the disk is full.
    #[must_use]
    pub fn no_space(self, probability: f64) -> Faults {
        Faults { no_space: probability, ..self }
    }

    /// The same, and this probability that a sync fails.
    #[must_use]
    pub fn failed_sync(self, probability: f64) -> Faults {
        Faults { failed_sync: probability, ..self }
    }
}

/// What a sync is called.
pub(super) const SYNCING: &str = "syncing";

/// A write that a crash may cut off anywhere.
#[derive(Clone)]
pub(super) struct Torn {
    pub(super) file: Id,
    pub(super) offset: u64,
    pub(super) bytes: Arc<[u8]>,
}

/// A disk and what is going to happen to it.
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) random: Random,
    pub(super) operations: u64,
    pub(super) crash_at: u64,
    pub(super) crashed: bool,
    pub(super) locks: Vec<(Id, String)>,
    /// How many bytes may still be added.
    pub(super) room: Option<u64>,
    /// From an operation on, so many writes are refused.
    pub(super) full: Option<(u64, u32)>,
    pub(super) failing_syncs: BTreeSet<u64>,
    pub(super) faults: Faults,
    pub(super) lies_about: Option<Arc<dyn Fn(&Path) -> bool + Send + Sync>>,
    pub(super) moments: Option<Vec<Moment>>,
    pub(super) on_operation: Option<Arc<dyn Fn(u64) + Send + Sync>>,
}

pub(super) fn crashed() -> io::Error {
    io::Error::other("the simulated machine has crashed")
}

fn no_space() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "No space left on device (os error 28)")
}

impl State {
    pub(super) fn new(seed: u64, tree: Tree) -> State {
        State {
            tree,
            random: Random::new(seed),
            operations: 0,
            crash_at: u64::MAX,
            crashed: false,
            locks: Vec::new(),
            room: None,
            full: None,
            failing_syncs: BTreeSet::new(),
            faults: Faults::default(),
            lies_about: None,
            moments: None,
            on_operation: None,
        }
    }

    /// Nothing can be done any more once the machine has crashed.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.crashed { Err(crashed()) } else { Ok(()) }
    }

    /// The next operation begins, on a file or folder. Answers its number.
    pub(super) fn operation(&mut self, what: &'static str, to: Id) -> io::Result<u64> {
        self.begin(what, to, None, None)
    }

    /// The next operation begins, on an entry of a folder.
    pub(super) fn operation_in(
        &mut self,
        what: &'static str,
        (folder, name): (Id, &OsStr),
    ) -> io::Result<u64> {
        self.begin(what, folder, Some(name), None)
    }

    fn begin(
        &mut self,
        what: &'static str,
        to: Id,
        entry: Option<&OsStr>,
        torn: Option<&Torn>,
    ) -> io::Result<u64> {
        self.check()?;
        let operation = self.operations;
        if let Some(moments) = &mut self.moments {
            let doing = Doing { what, to, entry: entry.map(OsStr::to_owned) };
            let (tree, torn) = (self.tree.clone(), torn.cloned());
            moments.push(Moment { operation, tree, torn, doing });
        }
        if operation >= self.crash_at {
            self.crashed = true;
            if let Some(torn) = torn {
                self.tear(torn);
            }
            return Err(crashed());
        }
        self.operations += 1;
        Ok(operation)
    }

    /// Lets a beginning of a write, of any length, be in the cache.
    pub(super) fn tear(&mut self, torn: &Torn) {
        let length = self.random.below(torn.bytes.len() as u64 + 1) as usize;
        if let Ok(content) = self.tree.content_mut(torn.file) {
            // One that is too large is not written at all.
            let _ = content.write_at(torn.offset, Arc::from(&torn.bytes[..length]));
        }
    }

    pub(super) fn write_at(&mut self, write: &Torn) -> io::Result<()> {
        let operation = self.begin("writing", write.file, None, Some(write))?;
        let Torn { file, offset, bytes } = write;
        let length = self.tree.content(*file)?.len();
        let grows = offset.saturating_add(bytes.len() as u64).saturating_sub(length);
        let fits = self.fits(operation, grows);
        // What adds nothing always fits.
        let kept = bytes.len() - (grows - fits).min(bytes.len() as u64) as usize;
        let fitting = if fits == grows { Arc::clone(bytes) } else { Arc::from(&bytes[..kept]) };
        self.tree.content_mut(*file)?.write_at(*offset, fitting)?;
        if fits < grows { Err(no_space()) } else { Ok(()) }
    }

    pub(super) fn set_len(&mut self, file: Id, length: u64) -> io::Result<()> {
        let operation = self.operation("setting the length of", file)?;
        let before = self.tree.content(file)?.len();
        let grows = length.saturating_sub(before);
        if self.fits(operation, grows) < grows {
            return Err(no_space());
        }
        self.freed(before.saturating_sub(length));
        self.tree.content_mut(file)?.set_len(length)
    }

    /// How many of these bytes that are to be added fit.
    fn fits(&mut self, operation: u64, bytes: u64) -> u64 {
        if bytes == 0 {
            return 0;
        }
        let planned = match &mut self.full {
            Some((from, attempts)) if *from <= operation && *attempts > 0 => {
                *attempts -= 1;
                true
            }
            _ => false,
        };
        if planned || self.happens(self.faults.no_space) {
            return self.random.below(bytes);
        }
        let Some(room) = &mut self.room else { return bytes };
        let fits = bytes.min(*room);
        *room -= fits;
        fits
    }

    /// These bytes have been removed.
    pub(super) fn freed(&mut self, bytes: u64) {
        if let Some(room) = &mut self.room {
            *room = room.saturating_add(bytes);
        }
    }

    pub(super) fn sync(&mut self, file: Id) -> io::Result<()> {
        let operation = self.operation(SYNCING, file)?;
        let planned = self.failing_syncs.range(..=operation).next().copied();
        if let Some(planned) = planned {
            self.failing_syncs.remove(&planned);
        }
        let fails = planned.is_some() || self.happens(self.faults.failed_sync);
        if self.lies_about(file) {
            return Ok(());
        }
        let content = self.tree.content_mut(file)?;
        if fails {
            content.lose_some(&mut Luck::draw(&mut self.random));
            return Err(io::Error::other("Input/output error (os error 5)"));
        }
        content.sync();
        Ok(())
    }

    pub(super) fn sync_folder(&mut self, folder: Id) -> io::Result<()> {
        self.operation(SYNCING, folder)?;
        if self.lies_about(folder) { Ok(()) } else { self.tree.sync_folder(folder) }
    }

    fn lies_about(&self, id: Id) -> bool {
        let lies = self.lies_about.as_ref();
        lies.is_some_and(|lies| self.tree.path_of(id).is_some_and(|path| lies(&path)))
    }

    fn happens(&mut self, probability: f64) -> bool {
        // Without faults nothing is drawn, so that planning none changes nothing.
        probability > 0.0 && self.random.unit_f64() < probability
    }
}
