//! Pins beside somebody who removes files, at every point of both.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;

use super::compact::compact_on;
use super::pin::pin_on;
use super::*;
use crate::io::file::{Disk, File, Files, Locked, PathKind};
use crate::io::{Collect, Io, collect};
use crate::prelude::*;
use crate::recovery::offline::{At, LogReader};
use crate::time::{Epoch, Timestamp};

#[stateful_map]
fn total(total: &mut u64, _key: &u64, n: u64) -> u64 {
    *total += n;
    *total
}

#[dataflow]
fn totals(items: Vec<(u64, u64)>, out: Collect<(u64, u64)>) {
    let numbers = source(epochs_from(items.into_iter()));
    let by_key = key_by(numbers, |n| n % 5);
    let totals = total(by_key);
    sink(totals, out);
}

/// A log with ten commits, all of which are kept.
fn log() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (out, _) = collect();
    let items = (0..100).map(|n| (n / 10, n)).collect();
    let log = RecoveryLog::at(folder.path()).key_groups(4).keep_epochs(20);
    totals(items, out).recovery(log).workers(1).spawn().expect("starts").wait().expect("ends");
    folder
}

/// What a snapshot has.
fn content(folder: &Path, at: impl Into<At>) -> Result<BTreeMap<u64, u64>, Error> {
    let snapshot = RecoveryLog::read(folder)?.at(at)?;
    snapshot.state::<u64, u64>("totals")?.collect()
}

/// The disk; with each operation goes a word to somebody.
struct Watched<F>(F);

impl<F> std::fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

impl<F: Fn(&str, &Path) + Send + Sync> Files for Watched<F> {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        (self.0)("open", path);
        Disk.open(path)
    }
    fn create(&self, path: &Path, truncate: bool) -> io::Result<Box<dyn File>> {
        (self.0)("create", path);
        Disk.create(path, truncate)
    }
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        (self.0)("create", path);
        Disk.create_new(path)
    }
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locked> {
        (self.0)("lock", path);
        Disk.lock(path, holder)
    }
    fn kind(&self, path: &Path) -> io::Result<PathKind> {
        (self.0)("kind", path);
        Disk.kind(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        (self.0)("list", folder);
        let listed = Disk.list(folder);
        (self.0)("listed", folder);
        listed
    }
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        (self.0)("create", folder);
        Disk.create_folder(folder)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        (self.0)("remove", path);
        Disk.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)("rename", from);
        Disk.rename(from, to)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        (self.0)("sync", folder);
        Disk.sync_folder(folder)
    }
}

/// The machine, with other files.
#[derive(Debug)]
struct On(Real, Io);

impl Env for On {
    fn begin(&self, participants: usize) {
        self.0.begin(participants);
    }
    fn park(&self, who: usize, until: Option<Timestamp>) {
        self.0.park(who, until);
    }
    fn unpark(&self, who: usize) {
        self.0.unpark(who);
    }
    fn pause(&self, a_while: std::time::Duration) -> bool {
        self.0.pause(a_while)
    }
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn not_before(&self, earliest: Timestamp) {
        self.0.not_before(earliest);
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
    fn identity(&self) -> String {
        "somebody".to_owned()
    }
    fn io(&self) -> Io {
        self.1.clone()
    }
}

fn env(watch: impl Fn(&str, &Path) + Send + Sync + 'static) -> On {
    On(Real::new(), Io::new(Arc::new(Watched(watch))))
}

/// Where whoever compacts, and removes what has been given up, stops until it is told to go on.
#[derive(Clone, Copy, Debug)]
enum Stop {
    /// Before anything is committed.
    Begin,
    /// Before the pins are listed.
    Before,
    /// Right behind that.
    Behind,
    /// When the first file has been removed.
    Removed,
}

impl Stop {
    fn is_here(self, what: &str, path: &Path) -> bool {
        let ends = |name: &str| path.ends_with(name);
        match self {
            Stop::Begin => what == "create" && ends("base"),
            Stop::Before => what == "list" && ends("pin"),
            Stop::Behind => what == "listed" && ends("pin"),
            Stop::Removed => {
                what == "sync" || what == "remove" && path.to_string_lossy().contains("seg")
            }
        }
    }
}

/// Pins while somebody else compacts: that goes as far as `stop`; then the pin is written, and at its operation number `turn` the other
/// one goes on to its end. Answers what came of the pin, and whether it got as far as `turn`.
fn race(folder: &Path, at: &At, stop: Stop, turn: u64) -> (Result<Epoch, Error>, bool) {
    let (stopped, has_stopped) = mpsc::sync_channel::<()>(0);
    let (go_on, may_go_on) = mpsc::sync_channel::<()>(1);
    let (over, is_over) = mpsc::sync_channel::<()>(1);
    let other = {
        let folder = folder.to_owned();
        let may_go_on = std::sync::Mutex::new(Some(may_go_on));
        let is_tidying = AtomicU64::new(0);
        thread::spawn(move || {
            let stopped = stopped.clone();
            let env = env(move |what, path| {
                let tidies = what == "listed" && path.ends_with("pin");
                is_tidying.fetch_add(u64::from(tidies), Ordering::Relaxed);
                let counts =
                    !matches!(stop, Stop::Removed) || is_tidying.load(Ordering::Relaxed) > 0;
                if counts && stop.is_here(what, path) {
                    let waits = may_go_on.lock().expect("nobody panics").take();
                    if let Some(waits) = waits {
                        stopped.send(()).expect("somebody waits");
                        waits.recv().expect("somebody sends");
                    }
                }
            });
            let compacted = compact_on(&env, &folder, 1);
            drop(env);
            over.send(()).expect("there is room");
            compacted
        })
    };
    has_stopped.recv().expect("it stops");
    let (count, is_over) = (AtomicU64::new(0), std::sync::Mutex::new(is_over));
    let reached = Arc::new(AtomicU64::new(0));
    let noted = Arc::clone(&reached);
    let lets = go_on.clone();
    let pins = env(move |_, _| {
        if count.fetch_add(1, Ordering::Relaxed) == turn {
            noted.store(1, Ordering::Relaxed);
            lets.send(()).expect("there is room");
            is_over.lock().expect("nobody panics").recv().expect("it ends");
        }
    });
    let files = Arc::clone(pins.io().files());
    let pinned = pin_on(&pins, files, folder, "p", at);
    // If it was not its turn before.
    let _ = go_on.try_send(());
    other.join().expect("does not panic").expect("compacts");
    (pinned, reached.load(Ordering::Relaxed) == 1)
}

#[test]
fn a_pin_that_was_written_is_whole_whoever_removes_files_meanwhile() {
    for at in [At::Newest, At::Epoch(Epoch(4))] {
        for stop in [Stop::Begin, Stop::Before, Stop::Behind, Stop::Removed] {
            let (mut pins, mut turn) = (0, 0);
            loop {
                let folder = log();
                let before = content(folder.path(), at.clone()).expect("is kept");
                let (pinned, reached) = race(folder.path(), &at, stop, turn);
                match pinned {
                    Ok(epoch) => {
                        pins += 1;
                        assert_eq!(epoch, if at == At::Newest { Epoch(10) } else { Epoch(4) });
                        let found = content(folder.path(), "p");
                        assert_eq!(found.expect("is whole"), before, "{at} {stop:?} {turn}");
                        // Nor does anybody remove it later.
                        compact(folder.path(), 1).expect("compacts");
                        assert_eq!(content(folder.path(), "p").expect("is whole"), before);
                    }
                    Err(error) => {
                        let error = error.to_string();
                        let is_late =
                            error.contains("has given up") || error.contains("does not keep");
                        assert!(is_late && at != At::Newest, "{at} {stop:?} {turn}: {error}");
                        assert!(
                            LogReader::open(Arc::new(Disk), folder.path())
                                .expect("is a log")
                                .pins()
                                .len()
                                == 0
                        );
                    }
                }
                if !reached {
                    break;
                }
                // In steps that do not follow the order of any loop.
                turn += 11;
            }
            assert!(pins > 0 || at != At::Newest, "{at} {stop:?}");
        }
    }
}
