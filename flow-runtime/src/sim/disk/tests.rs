use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Faults, SimDisk};
use crate::io::file::{File, Files, Locked, PathKind};

const CUTS: u64 = 200;

fn make(disk: &SimDisk, path: &str) -> Box<dyn File> {
    disk.create(Path::new(path), true).expect("it can be made")
}

fn sync_root(disk: &SimDisk) {
    disk.sync_folder(Path::new("")).expect("it can be synced");
}

/// What many power cuts make of this disk.
fn cuts(disk: &SimDisk) -> impl Iterator<Item = SimDisk> {
    (0..CUTS).map(|seed| {
        let disk = disk.fork();
        disk.reseed(seed);
        disk.after_power_cut()
    })
}

#[test]
fn what_was_synced_survives_and_what_was_not_may() {
    let disk = SimDisk::new(1);
    let mut file = make(&disk, "a");
    file.write_at(0, &[1; 2000]).expect("is written");
    file.sync().expect("is synced");
    sync_root(&disk);
    file.write_at(1000, &[2; 3000]).expect("is written");
    let (mut none, mut all, mut some) = (0, 0, 0);
    for next in cuts(&disk) {
        let bytes = next.get("a").expect("its name is durable");
        assert!(bytes.len() >= 2000 && bytes[..1000] == [1; 1000]);
        let new = bytes[1000..].iter().filter(|byte| **byte == 2).count();
        // Of a sector either all or nothing is there.
        for at in (1024..bytes.len()).step_by(512) {
            let sector = &bytes[at..bytes.len().min(at + 512)];
            let kinds: BTreeSet<u8> = sector.iter().copied().collect();
            assert!(kinds.len() == 1 || (at == 1536 && !kinds.contains(&2)), "{at} {kinds:?}");
        }
        match new {
            0 => none += 1,
            3000 => all += 1,
            _ => some += 1,
        }
    }
    assert!(none > 20 && all > 20 && some > 20, "{none} {all} {some}");
}

#[test]
fn a_kill_keeps_all_and_what_is_pending_stays_pending() {
    let disk = SimDisk::new(1);
    let mut file = make(&disk, "a");
    file.write_at(0, b"written").expect("is written");
    let next = disk.after_kill();
    assert_eq!(next.get("a").as_deref(), Some(&b"written"[..]));
    assert!(file.write_at(0, b"x").is_err() && file.sync().is_err() && file.len().is_err());
    assert!(disk.has_crashed() && !next.has_crashed());
    assert_eq!(next.operations(), 0);
    let lost = cuts(&next).filter(|cut| cut.get("a").is_none()).count();
    let empty = cuts(&next).filter(|cut| cut.get("a").is_some_and(|a| a.is_empty())).count();
    assert!(lost > 20 && empty > 5, "{lost} {empty}");
    // Another process makes durable what this one has written.
    next.open(Path::new("a")).expect("is there").sync().expect("is synced");
    sync_root(&next);
    assert!(cuts(&next).all(|cut| cut.get("a").as_deref() == Some(b"written")));
}

#[test]
fn writes_after_one_another_survive_apart() {
    let disk = SimDisk::new(1);
    disk.put("a", [0; 1024]);
    let mut file = disk.open(Path::new("a")).expect("is there");
    file.write_at(0, &[1; 512]).expect("is written");
    file.write_at(512, &[2; 512]).expect("is written");
    let seen: BTreeSet<(u8, u8)> = cuts(&disk)
        .map(|cut| cut.get("a").expect("is there"))
        .map(|bytes| (bytes[0], bytes[1023]))
        .collect();
    assert_eq!(seen, BTreeSet::from([(0, 0), (0, 2), (1, 0), (1, 2)]));
}

#[test]
fn a_length_may_come_back_and_holes_are_zeros() {
    let disk = SimDisk::new(1);
    disk.put("a", [7; 600]);
    let mut file = disk.open(Path::new("a")).expect("is there");
    file.set_len(10).expect("is cut");
    file.write_at(2000, &[8; 8]).expect("is written");
    assert_eq!(file.len().ok(), Some(2008));
    let mut lengths = BTreeSet::new();
    for cut in cuts(&disk) {
        let bytes = cut.get("a").expect("is there");
        lengths.insert(bytes.len());
        assert!(bytes[..10] == [7; 10] && bytes.iter().skip(600).all(|byte| [0, 8].contains(byte)));
    }
    assert_eq!(lengths, BTreeSet::from([10, 600, 2008]));
}

#[test]
fn names_are_lost_and_reordered_until_their_folder_is_synced() {
    let disk = SimDisk::new(1);
    for name in ["a", "b", "old"] {
        disk.put(format!("d/{name}"), name);
    }
    disk.remove(Path::new("d/a")).expect("is removed");
    let mut new = make(&disk, "d/new");
    new.write_at(0, b"new").expect("is written");
    new.sync().expect("is synced");
    disk.rename(Path::new("d/b"), Path::new("d/c")).expect("is renamed");
    let mut seen = BTreeSet::new();
    for cut in cuts(&disk) {
        let has = |name: &str| cut.get(format!("d/{name}")).is_some();
        assert!(has("b") != has("c"), "a renamed file has one of its names");
        assert_eq!(cut.get("d/b").or(cut.get("d/c")).as_deref(), Some(&b"b"[..]));
        assert!(cut.get("d/new").is_none_or(|bytes| bytes == b"new"));
        seen.insert((has("a"), has("new"), has("c")));
    }
    assert_eq!(seen.len(), 8, "each survives apart from the others: {seen:?}");
    disk.sync_folder(Path::new("d")).expect("is synced");
    for cut in cuts(&disk) {
        assert_eq!(cut.paths(), [Path::new("d/c"), Path::new("d/new"), Path::new("d/old")]);
    }
}

#[test]
fn a_folder_is_durable_with_the_one_above_it() {
    let disk = SimDisk::new(1);
    disk.create_folder(Path::new("/log/seg/")).expect("is made");
    assert_eq!(disk.operations(), 2);
    disk.create_folder(Path::new("log/seg")).expect("is there");
    assert_eq!(disk.operations(), 2);
    let mut file = make(&disk, "log/seg/a");
    file.sync().expect("is synced");
    disk.sync_folder(Path::new("log/seg")).expect("is synced");
    assert!(cuts(&disk).any(|cut| cut.get("log/seg/a").is_none()));
    disk.sync_folder(Path::new("log")).expect("is synced");
    assert!(cuts(&disk).any(|cut| cut.get("log/seg/a").is_none()));
    sync_root(&disk);
    assert!(cuts(&disk).all(|cut| cut.get("log/seg/a").is_some()));
}

#[test]
fn a_failed_sync_drops_its_pages_and_the_next_says_nothing() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..CUTS {
        let disk = SimDisk::new(seed);
        let mut file = make(&disk, "a");
        sync_root(&disk);
        file.write_at(0, b"dropped").expect("is written");
        disk.fail_sync_at(disk.operations());
        let error = file.sync().expect_err("it fails").to_string();
        assert!(error.contains("Input/output error"), "{error}");
        assert_eq!(disk.get("a").as_deref(), Some(&b"dropped"[..]), "it can still be read");
        file.sync().expect("the second says nothing");
        file.write_at(7, b", not").expect("is written");
        file.sync().expect("is synced");
        match disk.after_power_cut().get("a").as_deref() {
            Some(b"\0\0\0\0\0\0\0, not") => lost += 1,
            Some(b"dropped, not") => kept += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(lost > 50 && kept > 20, "{lost} {kept}");
}

#[test]
fn a_crash_tears_a_write_and_ends_everything() {
    let mut lengths = BTreeSet::new();
    for seed in 0..CUTS {
        let disk = SimDisk::new(seed);
        let mut file = make(&disk, "a");
        disk.crash_at(2);
        file.write_at(0, b"whole").expect("is written");
        let error = file.write_at(5, b" torn").expect_err("it crashes").to_string();
        assert_eq!(error, "the simulated machine has crashed");
        assert!(disk.has_crashed() && disk.operations() == 2);
        assert!(file.read_at(0, &mut [0]).is_err() && disk.kind(Path::new("a")).is_err());
        assert!(disk.list(Path::new("")).is_err() && disk.create_folder(Path::new("d")).is_err());
        let bytes = disk.after_kill().get("a").expect("is there");
        assert!(b"whole torn".starts_with(&bytes[..]), "{bytes:?}");
        lengths.insert(bytes.len());
    }
    assert_eq!(lengths, (5..=10).collect());
}

/// Something of everything, until it fails.
fn busy(disk: &SimDisk) -> io::Result<()> {
    disk.create_folder(Path::new("d"))?;
    let mut file = disk.create_new(Path::new("d/a"))?;
    file.write_at(0, &[3; 900])?;
    file.sync()?;
    disk.sync_folder(Path::new("d"))?;
    disk.sync_folder(Path::new(""))?;
    file.write_at(900, &[4; 900])?;
    file.set_len(1200)?;
    disk.create(Path::new("d/a"), true)?.write_at(0, &[5; 100])?;
    file.syncing()?()?;
    disk.rename(Path::new("d/a"), Path::new("d/b"))?;
    disk.remove(Path::new("d/b"))?;
    file.write_at(7, b"nameless")
}

#[test]
fn a_recorded_moment_is_what_a_crash_then_leaves() {
    let whole = SimDisk::new(9);
    whole.record();
    busy(&whole).expect("nothing happens to it");
    let moments = whole.take_moments();
    assert_eq!(moments.len() as u64, whole.operations());
    assert_eq!(moments.len(), 14);
    let files = |disk: &SimDisk| -> Vec<_> {
        disk.paths().into_iter().map(|path| (path.clone(), disk.get(path))).collect()
    };
    for (at, moment) in moments.iter().enumerate() {
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            disk.crash_at(at as u64);
            busy(&disk).expect_err("it crashes");
            let crashed = moment.crashed(seed);
            assert!(crashed.has_crashed() && crashed.operations() == disk.operations());
            assert_eq!(files(&disk.after_kill()), files(&crashed.after_kill()), "{at} {seed}");
            let cut = [disk.after_power_cut(), crashed.after_power_cut()];
            assert_eq!(files(&cut[0]), files(&cut[1]), "{at} {seed}");
        }
    }
}

#[test]
fn a_file_outlives_its_name() {
    let disk = SimDisk::new(1);
    let mut old = make(&disk, "a");
    old.write_at(0, b"old").expect("is written");
    disk.rename(Path::new("a"), Path::new("b")).expect("is renamed");
    make(&disk, "a").write_at(0, b"new").expect("is written");
    old.write_at(3, b"er").expect("is written");
    assert_eq!(disk.get("b").as_deref(), Some(&b"older"[..]));
    disk.remove(Path::new("b")).expect("is removed");
    let mut bytes = [0; 8];
    assert_eq!(old.read_at(1, &mut bytes).ok(), Some(4));
    assert_eq!(bytes[..4], *b"lder");
    assert_eq!(disk.paths(), [Path::new("a")]);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimDisk::new(1);
    let mut file = make(&disk, "a");
    disk.set_room(Some(5));
    let error = file.write_at(0, b"too much").expect_err("it is full");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.get("a").as_deref(), Some(&b"too m"[..]));
    file.write_at(0, b"TOO").expect("it adds nothing");
    assert!(file.set_len(6).is_err());
    file.set_len(3).expect("it is shorter");
    file.write_at(3, b"ok").expect("there is room again");
    disk.remove(Path::new("a")).expect("is removed");
    make(&disk, "b").write_at(0, b"12345").expect("there is room again");
    disk.set_room(None);
    file.write_at(5, &[0; 100]).expect("there is room");

    disk.full_at(disk.operations() + 1, 2);
    let mut file = make(&disk, "c");
    for _ in 0..2 {
        let error = file.write_at(0, b"refused").expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(file.len().is_ok_and(|length| length < 7));
        file.set_len(0).expect("it is shorter");
    }
    file.write_at(0, b"written").expect("there is room");
}

#[test]
fn a_disk_that_lies_keeps_nothing() {
    let disk = SimDisk::new(1);
    disk.lie_about(|path| path == Path::new("a") || path == Path::new("d"));
    disk.create_folder(Path::new("d")).expect("is made");
    for path in ["a", "b", "d/c"] {
        let mut file = make(&disk, path);
        file.write_at(0, b"written").expect("is written");
        file.sync().expect("says that it is synced");
    }
    disk.sync_folder(Path::new("d")).expect("says that it is synced");
    sync_root(&disk);
    let is_whole =
        |cut: &SimDisk, path: &str| cut.get(path).is_some_and(|bytes| bytes == b"written");
    for path in ["a", "d/c"] {
        assert!(cuts(&disk).any(|cut| !is_whole(&cut, path)), "{path}");
    }
    assert!(cuts(&disk).all(|cut| is_whole(&cut, "b")));
}

#[test]
fn faults_happen_as_often_as_they_should() {
    let disk = SimDisk::new(3);
    disk.set_faults(Faults::none().no_space(0.3).failed_sync(0.1));
    let mut file = make(&disk, "a");
    let full = (0..1000).filter(|n| file.write_at(n * 100, &[1; 100]).is_err()).count();
    let failed = (0..1000).filter(|_| file.sync().is_err()).count();
    assert!((200..400).contains(&full) && (50..150).contains(&failed), "{full} {failed}");
}

#[test]
fn a_bit_flips() {
    let disk = SimDisk::new(1);
    assert_eq!((disk.flip_bit("a"), disk.flip_any_bit()), (None, None));
    disk.put("empty", []);
    disk.put("d/a", [0; 8]);
    disk.put("b", [0; 8]);
    let (path, byte) = disk.flip_any_bit().expect("there are files");
    for disk in [disk.clone(), disk.after_power_cut()] {
        let bytes = disk.get(&path).expect("is there");
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!((ones, bytes[byte as usize].count_ones()), (1, 1));
    }
    let paths: BTreeSet<_> = (0..50).filter_map(|_| disk.flip_any_bit()).map(|(p, _)| p).collect();
    assert_eq!(paths.len(), 2);
    assert!(disk.flip_bit("d/a").is_some_and(|byte| byte < 8));
}

#[test]
fn a_fork_goes_its_own_way() {
    let disk = SimDisk::new(1);
    let mut file = make(&disk, "a");
    file.write_at(0, b"one").expect("is written");
    let fork = disk.fork();
    file.write_at(0, b"two").expect("is written");
    assert_eq!(fork.get("a").as_deref(), Some(&b"one"[..]));
    assert_eq!((fork.operations(), disk.operations()), (2, 3));
    fork.remove(Path::new("a")).expect("is removed");
    assert_eq!(disk.get("a").as_deref(), Some(&b"two"[..]));
}

#[test]
fn a_lock_is_free_once_it_is_dropped_or_its_process_is_dead() {
    let disk = SimDisk::new(1);
    let path = Path::new("LOCK");
    let lock = |disk: &SimDisk, who: &str| Files::lock(disk, path, who).expect("it can be tried");
    let held = lock(&disk, "one");
    assert!(matches!(lock(&disk, "two"), Locked::Elsewhere(who) if who == "one"));
    drop(held);
    let Locked::Here(held) = lock(&disk, "three") else { panic!("it is free") };
    assert_eq!(disk.get(path).as_deref(), Some(&b"three"[..]));
    let next = disk.after_kill();
    assert!(matches!(lock(&next, "four"), Locked::Here(_)));
    drop(held);
}

#[test]
fn paths_and_what_lies_there() {
    let disk = SimDisk::new(1);
    disk.put("d/e/b", "b");
    disk.put("/d/./a", "a");
    let list = |path: &str| disk.list(Path::new(path)).expect("is a folder");
    assert_eq!(list("./d"), [Path::new("./d/a"), Path::new("./d/e")]);
    assert_eq!(list(""), [Path::new("d")]);
    let kind = |path: &str| disk.kind(Path::new(path)).map_err(|error| error.kind());
    assert_eq!(kind("d/e/../a"), Ok(PathKind::File));
    assert_eq!(kind("/d"), Ok(PathKind::Folder));
    assert_eq!(kind("x"), Err(io::ErrorKind::NotFound));
    assert_eq!(kind("d/a/x"), Err(io::ErrorKind::NotADirectory));
    let error = |result: io::Result<()>| result.expect_err("it is refused").kind();
    let new = |path: &str| disk.create_new(Path::new(path)).map(drop);
    assert_eq!(error(new("d/a")), io::ErrorKind::AlreadyExists);
    assert_eq!(error(new("x/a")), io::ErrorKind::NotFound);
    assert_eq!(error(disk.open(Path::new("d")).map(drop)), io::ErrorKind::IsADirectory);
    assert_eq!(error(disk.create(Path::new("d"), true).map(drop)), io::ErrorKind::IsADirectory);
    assert_eq!(error(disk.create_folder(Path::new("d/a"))), io::ErrorKind::AlreadyExists);
    assert_eq!(error(disk.remove(Path::new("d"))), io::ErrorKind::IsADirectory);
    let renamed = disk.rename(Path::new("d/x"), Path::new("d/y"));
    assert_eq!(error(renamed), io::ErrorKind::NotFound);
    assert_eq!(disk.operations(), 0, "what fails is not counted");
    let far = make(&disk, "far").write_at(u64::MAX, b"x");
    assert_eq!(error(far), io::ErrorKind::FileTooLarge);
}

#[test]
fn a_slow_disk_is_told_of_every_operation() {
    let disk = SimDisk::new(1);
    let calls = Arc::new(AtomicU64::new(0));
    disk.on_operation({
        let (calls, disk) = (Arc::clone(&calls), disk.clone());
        move |operation| {
            assert_eq!(operation, disk.operations(), "the disk can be looked at");
            calls.fetch_add(1, Ordering::Relaxed);
        }
    });
    busy(&disk).expect("nothing happens to it");
    assert!(calls.load(Ordering::Relaxed) >= disk.operations());
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        disk.crash_at(8);
        busy(&disk).expect_err("it crashes");
        let disk = disk.after_power_cut();
        disk.get("d/a")
    };
    assert!((0..50).all(|seed| run(seed) == run(seed)));
    assert!((1..50).any(|seed| run(seed) != run(0)));
}
