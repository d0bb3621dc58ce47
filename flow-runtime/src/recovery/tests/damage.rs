//! Every file of a log, damaged in every way. A start refuses and names the file, or goes on exactly where it was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::golden::{
    Golden, LOG, files_of, log, make, make_compacted, open, records, run, write_lines,
};
use crate::error::Error;
use crate::io::testing::Memory;
use crate::recovery::manifest::Manifest;
use crate::recovery::names::{CommitName, Copy2, Layout, SegmentName};

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What a file is to the commit that a start adopts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// One of the two copies that hold the commit.
    Copy,
    /// Needed, and there is no other.
    Needed,
    /// Of no use any more.
    Past,
}

/// What came of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// It goes on, and says what it has repaired.
    Repaired,
    /// It goes on, and has seen nothing.
    Unseen,
    Refused,
}

struct Attack {
    golden: Golden,
    files: Files,
    came: BTreeMap<(Part, Came), usize>,
}

impl Attack {
    fn new() -> Attack {
        Attack::on(make())
    }

    fn on(golden: Golden) -> Attack {
        let files = files_of(&golden.disk);
        Attack { golden, files, came: BTreeMap::new() }
    }

    /// The parts that the files play, and how many bytes of each count.
    fn parts(&self) -> Vec<(PathBuf, Part, usize)> {
        let layout = Layout::new(Path::new(LOG));
        let newest = self.files.keys().filter_map(|path| CommitName::parse(path)).max();
        let newest = newest.expect("there is a commit file");
        let part = |(path, bytes): (&PathBuf, &Vec<u8>)| {
            let Manifest { parts, bases, .. } = &self.golden.manifest;
            let parts = parts.iter().map(|part| (layout.segment(part.file), part.end));
            let bases = bases.iter().map(|base| (layout.base(base.file), base.end));
            let mut named = parts.chain(bases).filter(|(named, _)| named == path);
            let (part, length) = match (CommitName::parse(path), named.next()) {
                (Some(name), _) if CommitName { copy: Copy2::B, ..name } == newest => {
                    (Part::Copy, bytes.len())
                }
                (None, Some((_, end))) => (Part::Needed, usize::try_from(end).expect("small")),
                (None, None) if path.ends_with("FORMAT") => (Part::Needed, bytes.len()),
                _ => (Part::Past, 0),
            };
            (path.clone(), part, length)
        };
        self.files.iter().map(part).collect()
    }

    /// Starts on other files. What is found must be what there was; what is refused must be refused in words.
    fn start(&self, files: Files, what: &dyn Fn() -> String) -> Result<Vec<String>, Error> {
        let disk = Memory::of(files, vec![PathBuf::from(LOG).join("seg")]);
        match open(&disk, &self.golden.steps) {
            Ok((found, repaired)) => {
                assert!(found == self.golden.found, "{}: {found:?}", what());
                Ok(repaired)
            }
            Err(error) => {
                assert!(error.to_string().contains("\n  help: "), "{}: {error}", what());
                assert!(error.message().contains("`log"), "{}: {error}", what());
                Err(error)
            }
        }
    }

    /// Starts with one file replaced, or deleted.
    fn replace(
        &mut self,
        path: &Path,
        part: Part,
        with: Option<Vec<u8>>,
        what: &dyn Fn() -> String,
    ) -> Came {
        let mut files = self.files.clone();
        match with {
            Some(bytes) => drop(files.insert(path.to_owned(), bytes)),
            None => drop(files.remove(path)),
        }
        let name = path.display().to_string();
        let came = match self.start(files, what) {
            Ok(repaired) if repaired.is_empty() => Came::Unseen,
            Ok(repaired) => {
                assert!(repaired[0].contains(&name), "{}: {repaired:?}", what());
                assert!(repaired[0].contains(" at byte "), "{}: {repaired:?}", what());
                Came::Repaired
            }
            Err(error) => {
                assert!(error.message().contains(&name), "{}: {error}", what());
                Came::Refused
            }
        };
        *self.came.entry((part, came)).or_default() += 1;
        came
    }

    /// How often what came of what.
    fn count(&self, part: Part, came: Came) -> usize {
        self.came.get(&(part, came)).copied().unwrap_or(0)
    }
}

#[test]
fn every_bit_that_flips_is_seen_if_it_counts() {
    flip(&mut Attack::new(), 1);
}

#[test]
fn every_bit_that_flips_in_a_compacted_log_is_seen_if_it_counts() {
    flip(&mut Attack::on(make_compacted()), 3);
}

fn flip(attack: &mut Attack, step: usize) {
    for (path, part, length) in attack.parts() {
        let bytes = attack.files[&path].clone();
        // Of what does not count, some will do.
        let step = if part == Part::Past { 16 } else { step };
        for offset in (0..bytes.len()).step_by(step) {
            let patterns = match offset {
                // Version, kind, copy: each bit means something.
                8..12 => (0..8).map(|bit| 1 << bit).collect(),
                _ if part == Part::Copy && offset % 4 == 0 => vec![1 << (offset / 4 % 8), 0xff],
                _ => vec![1_u8 << (offset * 5 % 8)],
            };
            for pattern in patterns {
                let mut damaged = bytes.clone();
                damaged[offset] ^= pattern;
                let what = || format!("{} at {offset} ^ {pattern:#x}", path.display());
                let came = attack.replace(&path, part, Some(damaged), &what);
                let expected = match part {
                    _ if offset >= length => Came::Unseen,
                    Part::Copy => Came::Repaired,
                    _ => Came::Refused,
                };
                assert_eq!(came, expected, "{}", what());
            }
        }
    }
    assert!(attack.count(Part::Copy, Came::Repaired) > 400, "{:?}", attack.came);
    assert!(attack.count(Part::Needed, Came::Refused) > 300, "{:?}", attack.came);
    assert!(attack.count(Part::Past, Came::Unseen) > 0, "{:?}", attack.came);
}

#[test]
fn every_file_may_be_cut_anywhere_or_be_gone_or_have_grown() {
    cut(&mut Attack::new());
}

#[test]
fn every_file_of_a_compacted_log_may_be_cut_anywhere_or_be_gone_or_have_grown() {
    cut(&mut Attack::on(make_compacted()));
}

fn cut(attack: &mut Attack) {
    for (path, part, length) in attack.parts() {
        let bytes = attack.files[&path].clone();
        let step = match part {
            Part::Copy => 1,
            Part::Needed => 5,
            Part::Past => 16,
        };
        for cut in (0..bytes.len()).step_by(step) {
            let what = || format!("{} cut to {cut}", path.display());
            let came = attack.replace(&path, part, Some(bytes[..cut].to_vec()), &what);
            let expected = match part {
                _ if cut >= length => Came::Unseen,
                Part::Copy => Came::Repaired,
                _ => Came::Refused,
            };
            assert_eq!(came, expected, "{}", what());
        }
        let what = || format!("{} gone", path.display());
        let came = attack.replace(&path, part, None, &what);
        let expected = match part {
            Part::Past => Came::Unseen,
            Part::Copy => Came::Repaired,
            Part::Needed => Came::Refused,
        };
        assert_eq!(came, expected, "{}", what());
        for garbage in [&[0; 100][..], &[0xff; 7], &bytes] {
            let what = || format!("{} with {} bytes more", path.display(), garbage.len());
            let grown = [&bytes[..], garbage].concat();
            assert_eq!(attack.replace(&path, part, Some(grown), &what), Came::Unseen, "{}", what());
        }
    }
}

#[test]
fn no_file_passes_for_another_one() {
    let mut attack = Attack::new();
    let parts = attack.parts();
    let (mut refused, mut went_on) = (0, 0);
    for (path, part, _) in &parts {
        for (other, other_part, _) in parts.iter().filter(|(other, ..)| other != path) {
            let what = || format!("{} is {}", path.display(), other.display());
            let bytes = attack.files[other].clone();
            let came = attack.replace(path, *part, Some(bytes), &what);
            let expected = match part {
                Part::Past => Came::Unseen,
                Part::Copy => Came::Repaired,
                Part::Needed => Came::Refused,
            };
            assert_eq!(came, expected, "{}", what());
            // The two change places.
            let mut files = attack.files.clone();
            let here = files.insert(path.clone(), files[other].clone()).expect("is there");
            files.insert(other.clone(), here);
            let what = || format!("{} and {} change places", path.display(), other.display());
            let needs = |part: &Part| *part == Part::Needed;
            match attack.start(files, &what) {
                Ok(_) => {
                    assert!(!needs(part) && !needs(other_part), "{}", what());
                    went_on += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100 && went_on > 10, "{refused} {went_on}");
}

#[test]
fn files_under_names_that_are_not_theirs_are_not_taken() {
    let attack = Attack::new();
    let layout = Layout::new(Path::new(LOG));
    let (mut refused, mut went_on) = (0, 0);
    let (mut names, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for (generation, number) in
        [0, 1, 4, 5].into_iter().flat_map(|generation| [0, 2, 9].map(|n| (generation, n)))
    {
        for copy in Copy2::BOTH {
            names.insert(layout.commit(CommitName { generation, number, copy }));
        }
        names.insert(layout.segment(SegmentName { generation, writer: 0, number }));
    }
    for name in names.iter().filter(|name| !attack.files.contains_key(*name)) {
        for (path, bytes) in &attack.files {
            let moved = [false, true];
            for is_moved in moved {
                let mut files = attack.files.clone();
                files.insert(name.clone(), bytes.clone());
                if is_moved {
                    files.remove(path);
                }
                let what = || {
                    let how = if is_moved { "is moved to" } else { "is also" };
                    format!("{} {how} {}", path.display(), name.display())
                };
                match attack.start(files, &what) {
                    Ok(_) => went_on += 1,
                    Err(_) => refused += 1,
                }
                taken.insert(name.clone());
            }
        }
    }
    assert!(refused > 100 && went_on > 10, "{refused} {went_on}");
}

#[test]
fn an_older_version_of_a_file_is_not_taken() {
    let mut attack = Attack::new();
    let parts = attack.parts();
    let mut came = BTreeMap::new();
    for before in attack.golden.before.clone() {
        for (path, part, _) in &parts {
            let Some(bytes) = before.get(path).filter(|bytes| **bytes != attack.files[path]) else {
                continue;
            };
            let what = || format!("{} as it was", path.display());
            let one = attack.replace(path, *part, Some(bytes.clone()), &what);
            *came.entry((*part, one)).or_insert(0) += 1;
        }
    }
    // Files are only appended to, and no run appends to another's.
    assert!(came.keys().all(|(part, one)| *part == Part::Past && *one == Came::Unseen), "{came:?}");
}

#[test]
fn what_lay_in_the_same_place_of_another_file_does_not_pass() {
    let mut attack = Attack::new();
    let parts = attack.parts();
    for (path, part, _) in parts.iter().filter(|(_, part, _)| *part != Part::Past) {
        for (other, ..) in parts.iter().filter(|(other, ..)| other != path) {
            let (bytes, stale) = (attack.files[path].clone(), attack.files[other].clone());
            for from in (0..bytes.len().min(stale.len())).step_by(64) {
                let to = (from + 512).min(stale.len()).min(bytes.len());
                let mut mixed = bytes.clone();
                mixed[from..to].copy_from_slice(&stale[from..to]);
                if mixed == bytes {
                    continue;
                }
                let what = || format!("{from}..{to} of {} in {}", other.display(), path.display());
                let came = attack.replace(path, *part, Some(mixed), &what);
                let expected = if *part == Part::Copy { Came::Repaired } else { Came::Refused };
                assert_eq!(came, expected, "{}", what());
            }
        }
    }
    assert!(attack.count(Part::Copy, Came::Repaired) > 100, "{:?}", attack.came);
    assert!(attack.count(Part::Needed, Came::Refused) > 100, "{:?}", attack.came);
}

#[test]
fn files_that_cannot_be_read_are_not_passed_over() {
    let attack = Attack::new();
    let copies: Vec<_> = attack.parts().into_iter().filter(|part| part.1 == Part::Copy).collect();
    let disk = Memory::of(attack.files.clone(), vec![PathBuf::from(LOG).join("seg")]);
    disk.forbid(&copies[0].0.display().to_string());
    let (found, repaired) = open(&disk, &attack.golden.steps).expect("there is another copy");
    assert!(
        found == attack.golden.found && repaired[0].contains(&copies[0].0.display().to_string())
    );
    let disk = Memory::of(attack.files.clone(), vec![PathBuf::from(LOG).join("seg")]);
    copies.iter().for_each(|(path, ..)| disk.forbid(&path.display().to_string()));
    let error = open(&disk, &attack.golden.steps).expect_err("neither can be read").to_string();
    assert!(error.contains("cannot be read") && error.contains("permission denied"), "{error}");
}

#[test]
fn copies_that_disagree_are_not_chosen_from() {
    // The same log went on from the same commit twice, on two disks.
    let attack = Attack::new();
    let [one, other] = [3, 4].map(|seed| {
        let disk = attack.golden.disk.after_kill();
        write_lines(&disk, 36);
        run(&disk, log(), 2, seed).expect("the run succeeds");
        disk
    });
    let (files, mut mixed) = (files_of(&other), files_of(&one));
    let layout = Layout::new(Path::new(LOG));
    let b = layout.commit(CommitName { generation: 5, number: 0, copy: Copy2::B });
    assert_ne!(files[&b], mixed[&b], "the schedules differ");
    mixed.retain(|path, _| {
        CommitName::parse(path).is_none_or(|n| (n.generation, n.number) <= (5, 0))
    });
    mixed.insert(b.clone(), files[&b].clone());
    let disk = Memory::of(mixed, vec![PathBuf::from(LOG).join("seg")]);
    let error = open(&disk, &attack.golden.steps).expect_err("disagree").to_string();
    assert!(error.contains("another one than that of the other copy"), "{error}");
    assert!(error.contains(&b.display().to_string()), "{error}");
}

#[test]
fn both_copies_may_be_damaged_in_different_places() {
    let attack = Attack::new();
    let parts = attack.parts();
    let copies: Vec<_> = parts.iter().filter(|(_, part, _)| *part == Part::Copy).collect();
    let [(a, _, length), (b, ..)] = copies[..] else { panic!("there are two copies") };
    let last = *records(&attack.files[a]).last().expect("there are some");
    let (mut refused, mut repaired) = (0, 0);
    for at in (0..*length).step_by(5) {
        // Where both lack the last record it counts as never written.
        for other in (0..*length).step_by(37).filter(|other| *other.min(&at) < last) {
            let mut files = attack.files.clone();
            files.get_mut(a).expect("is there")[at] ^= 4;
            files.get_mut(b).expect("is there")[other] ^= 32;
            let what = || format!("{at} of one copy and {other} of the other");
            match attack.start(files, &what) {
                Ok(said) => {
                    assert_eq!(said.len(), 2, "{}: {said:?}", what());
                    repaired += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100 && repaired > 100, "{refused} {repaired}");
}
