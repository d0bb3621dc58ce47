//! Getting damaged files out of the way.
//!
//! First everything that is damaged is looked for, and what is lost with it; nothing is changed by that. Then a run is begun that adopts
//! the newest commit that is whole; only when that is durable are files moved away. A crash in between leaves a log that can be
//! started, with some files that nobody needs.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::recovery::fault::{failed, refused};
use crate::recovery::folder::{Folder, list_commits};
use crate::recovery::history::{Past, history_past};
use crate::recovery::keep::{Gone, named, paths};
use crate::recovery::manifest::Manifest;
use crate::recovery::offline::at::At;
use crate::recovery::offline::edit::go_back::begin_with;
use crate::recovery::offline::edit::{here, hold};
use crate::recovery::offline::reader::Ground;
use crate::recovery::offline::verify::{Damage, Progress, read_all};
use crate::recovery::pin;
use crate::recovery::start::all_files;
use crate::time::Epoch;

/// What is damaged in a log, and what can be done about it. While this is there the log is locked.
#[derive(Debug)]
pub struct Repair {
    ground: Ground,
    held: Folder,
    damages: Vec<Damage>,
    /// What the newest commit is after the repair.
    chosen: Manifest,
    goes_back: bool,
    lost: Vec<At>,
    moves: Vec<PathBuf>,
}

/// A commit that may still be whole.
struct Candidate {
    at: At,
    manifest: Manifest,
}

impl Repair {
    /// Looks for what is damaged. Nothing is changed.
    ///
    /// # Errors
    /// When the dataflow runs; when `FORMAT` is damaged or no commit is whole, which cannot be repaired; when a file cannot be read for
    /// another reason than damage.
    pub fn plan(
        folder: impl AsRef<Path>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Repair, Error> {
        let (ground, held) = hold(&here(), folder.as_ref())?;
        let (mut damages, mut unread) = (Vec::new(), BTreeSet::new());
        let newest = ground.newest();
        let past = commits(&ground, &mut damages, &mut unread)?;
        if let Err(error) = &newest
            && damages.is_empty()
        {
            // Files are missing that others speak of.
            let (file, problem) = (ground.layout.root().to_owned(), error.message().to_owned());
            damages.push(Damage { file, problem, needed_by: vec![At::Newest] });
        }
        let newest = newest.ok().map(|found| found.manifest);
        let mut candidates = candidates(&ground, past, newest.as_ref());
        // From here on pins follow.
        let commits = candidates.len();
        candidates.extend(pins(&ground, &mut damages)?);
        let manifests: Vec<&Manifest> = candidates.iter().map(|it| &it.manifest).collect();
        let read = read_all(&ground, &manifests, progress);
        let broken: BTreeSet<usize> =
            read.wrong.iter().flat_map(|wrong| wrong.needed_by.iter().copied()).collect();
        damages.extend(read.wrong.iter().map(|wrong| Damage {
            file: wrong.file.clone(),
            problem: wrong.error.message().to_owned(),
            needed_by: wrong.needed_by.iter().map(|of| candidates[*of].at.clone()).collect(),
        }));
        let is_whole = |of: &usize| !broken.contains(of);
        let pinned = || {
            let pins = (commits..candidates.len()).filter(is_whole);
            pins.max_by_key(|of| candidates[*of].manifest.last.map(|last| last.barrier))
        };
        let Some(number) = (0..commits).rev().find(is_whole).or_else(pinned) else {
            return Err(nothing_is_whole(&ground, &damages));
        };
        let chosen = candidates[number].manifest.clone();
        let goes_back = newest.is_none_or(|newest| newest.last != chosen.last);
        let before = chosen.last.filter(|_| goes_back);
        let before = before.map(|last| (last.generation, last.barrier));
        let reached = reached(&ground, &unread, before)?;
        let stays = |of: usize| {
            let barrier = candidates[of].manifest.last.map(|last| last.barrier);
            let is_reached = of >= commits || barrier.is_some_and(|it| reached.contains(&it));
            of == number || is_whole(&of) && is_reached
        };
        let lost = (0..candidates.len()).filter(|of| !stays(*of));
        let mut lost: Vec<At> = lost.map(|of| candidates[of].at.clone()).collect();
        // Those that cannot even be read.
        let pins = damages.iter().flat_map(|damage| &damage.needed_by);
        for pin in pins.filter(|at| matches!(at, At::Pin(_))) {
            if !lost.contains(pin) {
                lost.push(pin.clone());
            }
        }
        let kept = (0..candidates.len()).filter(|of| stays(*of)).map(|of| &candidates[of].manifest);
        let moves = moves(&ground, &damages, kept, goes_back)?;
        Ok(Repair { ground, held, damages, chosen, goes_back, lost, moves })
    }

    /// What is wrong with which file, and which commits need it.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// Whether everything is whole.
    pub fn is_needless(&self) -> bool {
        self.damages.is_empty()
    }

    /// Where the next run begins after the repair.
    pub fn epoch(&self) -> Epoch {
        self.chosen.resume_epoch()
    }

    /// Whether the next run begins earlier than it would if nothing were damaged: the newest commit is not whole, or cannot be read.
    pub fn goes_back(&self) -> bool {
        self.goes_back
    }

    /// The commits and pins that cannot be gone back to any more. Commits whose records cannot be read are not among them: nothing is known of them.
    pub fn lost(&self) -> &[At] {
        &self.lost
    }

    /// The files that are moved into the folder `quarantine` of the log: those that are damaged, and, where the log goes back, those that only
    /// commits need which are given up by that.
    pub fn moves(&self) -> &[PathBuf] {
        &self.moves
    }

    /// Does it. No file is deleted.
    ///
    /// # Errors
    /// When a file cannot be written or moved. Then it can be planned again.
    pub fn carry_out(self) -> Result<(), Error> {
        let Repair { ground, held, chosen, goes_back, moves, .. } = self;
        let _lock = Arc::clone(&held.lock);
        if goes_back {
            begin_with(held, chosen)?;
        }
        let Ground { files, layout, .. } = &ground;
        let quarantine = layout.quarantine();
        if moves.is_empty() {
            return Ok(());
        }
        files.create_folder(&quarantine).map_err(|error| failed("make", &quarantine, error))?;
        let mut folders = BTreeSet::from([layout.root().to_owned(), quarantine.clone()]);
        for path in moves {
            let to = free(&ground, &quarantine, &path);
            match files.rename(&path, &to) {
                Ok(()) => {}
                // The one copy of a commit file that is missing is why it is damaged.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("move", &path, error)),
            }
            folders.extend(path.parent().map(Path::to_owned));
        }
        let sync = |folder: &PathBuf| {
            files.sync_folder(folder).map_err(|error| failed("sync", folder, error))
        };
        folders.iter().try_for_each(sync)
    }
}

/// All commits that can be read, the oldest first. Files of commits that cannot are among the damages, and `unread`.
fn commits(
    ground: &Ground,
    damages: &mut Vec<Damage>,
    unread: &mut BTreeSet<(u64, u64)>,
) -> Result<Vec<Past>, Error> {
    let Ground { files, layout, log_id, .. } = ground;
    let names = list_commits(&**files, layout)?;
    history_past(files, layout, log_id, &names, None, &mut |pair, is_newest, error| {
        unread.insert(pair);
        let (generation, number) = pair;
        let of_newest = if is_newest { vec![At::Newest] } else { Vec::new() };
        let copies = paths(layout, Gone::Commits { generation, number });
        for file in copies.into_iter().filter(|path| files.kind(path).is_ok()) {
            let problem = error.message().to_owned();
            damages.push(Damage { file, problem, needed_by: of_newest.clone() });
        }
        Ok(true)
    })
}

/// The commits that a run could go on from if nothing were damaged, the newest last. One of the past whose files are gone has been given up,
/// unless the newest commit needs the same files.
fn candidates(ground: &Ground, past: Vec<Past>, newest: Option<&Manifest>) -> Vec<Candidate> {
    let needed = newest.map(named).unwrap_or_default();
    let is_there = |file: &Gone| {
        paths(&ground.layout, *file).iter().all(|path| ground.files.kind(path).is_ok())
    };
    let is_kept = |file: &Gone| needed.contains(file) || is_there(file);
    let past = past.into_iter().map(|past| past.manifest);
    let past = past.filter(|it| newest.is_none_or(|newest| newest.last != it.last));
    let past = past.filter(|it| named(it).iter().all(is_kept));
    let all = past.chain(newest.cloned());
    all.map(|manifest| Candidate { at: At::Epoch(manifest.resume_epoch()), manifest }).collect()
}

/// The barriers of the commits that a run can go back to when files of commits are gone, and the log goes on from a commit.
fn reached(
    ground: &Ground,
    unread: &BTreeSet<(u64, u64)>,
    from: Option<(u64, u64)>,
) -> Result<BTreeSet<u64>, Error> {
    let Ground { files, layout, log_id, .. } = ground;
    let mut names = list_commits(&**files, layout)?;
    names.retain(|name| !unread.contains(&(name.generation, name.number)));
    let past = history_past(files, layout, log_id, &names, from, &mut |_, _, _| Ok(false))?;
    Ok(past.iter().map(|past| past.committed.barrier).collect())
}

/// All pins that can be read.
fn pins(ground: &Ground, damages: &mut Vec<Damage>) -> Result<Vec<Candidate>, Error> {
    let mut candidates = Vec::new();
    for (name, manifest) in pin::each(&*ground.files, &ground.layout)? {
        let at = At::Pin(name.clone());
        match manifest {
            Ok(manifest) => candidates.push(Candidate { at, manifest }),
            Err(error) => damages.push(Damage {
                file: ground.layout.pin(&name),
                problem: error.message().to_owned(),
                needed_by: vec![at],
            }),
        }
    }
    Ok(candidates)
}

/// The files that go: damaged ones that nothing whole needs, pins that lead nowhere, and, if the log goes back, all that the next run would remove.
fn moves<'a>(
    ground: &Ground,
    damages: &[Damage],
    kept: impl Iterator<Item = &'a Manifest>,
    goes_back: bool,
) -> Result<Vec<PathBuf>, Error> {
    let Ground { files, layout, .. } = ground;
    let kept: BTreeSet<PathBuf> =
        kept.flat_map(named).flat_map(|file| paths(layout, file)).collect();
    let is_file = |path: &PathBuf| files.kind(path).is_ok() && path != layout.root();
    let mut moves: BTreeSet<PathBuf> =
        damages.iter().map(|damage| damage.file.clone()).filter(is_file).collect();
    for damage in damages {
        moves.extend(damage.needed_by.iter().filter_map(|at| match at {
            At::Pin(name) => Some(layout.pin(name)),
            _ => None,
        }));
    }
    if goes_back {
        let of_changes = all_files(&**files, layout)?.into_iter();
        let of_changes = of_changes.filter(|file| !matches!(file, Gone::Commits { .. }));
        moves.extend(of_changes.flat_map(|file| paths(layout, file)));
    }
    Ok(moves.into_iter().filter(|path| !kept.contains(path)).collect())
}

/// A name in the quarantine that no file has.
fn free(ground: &Ground, quarantine: &Path, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut to = quarantine.join(&*name);
    let mut number = 2;
    while ground.files.kind(&to).is_ok() {
        to = quarantine.join(format!("{name}.{number}"));
        number += 1;
    }
    to
}

fn nothing_is_whole(ground: &Ground, damages: &[Damage]) -> Error {
    let root = ground.layout.root().display();
    let problems: Vec<&str> = damages.iter().map(|damage| damage.problem.as_str()).collect();
    refused(format!("no commit of `{root}` is whole: {}", problems.join("; ")))
        .help("put the files back from a backup; to begin anew, give the program an empty folder")
}
