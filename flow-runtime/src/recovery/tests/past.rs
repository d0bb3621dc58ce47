//! What is kept of a log's past, and going back to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::golden::{
    LAST, LOG, Model, OUT, adopt, files_of, golden, log, make_compacted, open, rows, run, steps,
    uncompacted, write_lines,
};
use super::schedule;
use crate::io::testing::Memory;
use crate::prelude::*;
use crate::recovery::RecoveryLog;
use crate::recovery::folder::list_commits;
use crate::recovery::history::history;
use crate::recovery::names::Layout;
use crate::recovery::pin;
use crate::time::Epoch;

const LINES: usize = 14;

/// Ends after so many lines, keeping so many commits.
fn ran(keep: u64, log: RecoveryLog) -> Memory {
    let disk = Memory::default();
    for (count, workers) in [(5, 2), (LINES, 3)] {
        write_lines(&disk, count);
        run(&disk, log.clone().keep_epochs(keep), workers, 4).expect("the run succeeds");
    }
    disk
}

/// The epochs that a start can go back to.
fn epochs(disk: &Memory) -> Vec<u64> {
    let files = std::sync::Arc::new(disk.clone()) as std::sync::Arc<dyn crate::io::file::Files>;
    let layout = Layout::new(Path::new(LOG));
    let names = list_commits(&*files, &layout).expect("can be listed");
    let log_id: [u8; 16] =
        disk.get("log/FORMAT").expect("is there")[16..32].try_into().expect("16");
    let past = history(&files, &layout, &log_id, &names).expect("can be read");
    let there = past.iter().filter(|past| past.is_there(&*files, &layout));
    there.map(|past| past.committed.next.0).collect()
}

/// The epoch at which a log goes on. What it says must be right.
fn resumes_at(disk: &Memory) -> u64 {
    let (found, _) = open(&disk.after_kill(), &steps()).expect("opens");
    found.check();
    found.epoch
}

#[test]
fn every_kept_epoch_can_be_gone_back_to() {
    for log in [log(), uncompacted()] {
        let disk = ran(6, log.clone());
        let kept = epochs(&disk);
        assert!(kept.len() >= 6 && kept.last() == Some(&(LINES as u64)), "{kept:?}");
        assert!(kept.is_sorted(), "{kept:?}");
        for epoch in &kept {
            let disk = disk.after_kill();
            let log = log.clone().resume_from(Epoch(*epoch));
            let (before, model) = (files_of(&disk), Model::at(LINES as u64));
            // A start that is cut off has not gone back yet, or has.
            let cut = disk.after_kill();
            cut.cut_after(2);
            if run(&cut, log.clone(), 2, 1).is_err() {
                assert_eq!(resumes_at(&cut.after_power_cut()), LINES as u64);
            }
            let (adopted, files) = {
                let env = schedule(&disk, 1);
                let folder = crate::recovery::folder::Folder::open(&*env, &log, "golden");
                let adopted = folder.expect("opens").adopt(&steps(), 3, &log).expect("opens");
                (adopted.recovered.epoch.0, files_of(&disk))
            };
            assert_eq!(adopted, *epoch);
            // What is given up is still there.
            let is_newest = *epoch == LINES as u64;
            assert!(is_newest || before.keys().all(|path| files.contains_key(path)), "{epoch}");
            assert_eq!(resumes_at(&disk), *epoch);
            run(&disk, log.clone(), 1, 9).expect("the run succeeds");
            assert_eq!(rows(&disk), model.rows, "after going back to {epoch}");
            assert_eq!(resumes_at(&disk), LINES as u64);
        }
    }
}

#[test]
fn what_is_not_kept_is_refused_with_what_is() {
    let disk = ran(3, log());
    let before = disk.files();
    for (epoch, start) in [(3, log()), (99, log())] {
        let error = run(&disk, start.resume_from(Epoch(epoch)), 1, 1).expect_err("is refused");
        let text = error.to_string();
        for part in [&format!("does not keep epoch {epoch}"), "12, 13, 14;", "--keep-epochs N"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    let error = run(&disk, log().resume_from_pin("x"), 1, 1).expect_err("is refused").to_string();
    assert!(error.contains("does not keep the pin `x`"), "{error}");
    assert_eq!(disk.files(), before);
}

#[test]
fn the_last_commit_is_all_that_is_kept_unless_more_is_asked_for() {
    let disk = ran(1, log());
    assert_eq!(epochs(&disk).last(), Some(&(LINES as u64)));
    let commits = disk.files().into_keys().filter(|path| path.to_string_lossy().contains("commit"));
    // Those of the claim, and the newest.
    assert!(commits.count() <= 4);
    let more = ran(LINES as u64, log());
    assert!(files_of(&more).len() > files_of(&disk).len());
    // Once less is kept, the rest goes.
    write_lines(&more, LINES + 1);
    run(&more, log(), 2, 2).expect("the run succeeds");
    let left = epochs(&more);
    assert!(left.len() <= 2 && left.last() == Some(&(LINES as u64 + 1)), "{left:?}");
}

#[test]
fn commits_are_kept_for_a_time() {
    let disk = Memory::default();
    for count in 1..=6 {
        write_lines(&disk, count);
        let flow = golden(Lines::of("lines.txt").epoch_per_line(), TextFile::at(OUT)).workers(1);
        let log = uncompacted().keep_for(Duration::from_secs(25));
        let env = schedule(&disk, 1);
        // Ten seconds pass between the runs.
        crate::env::Env::not_before(&*env, Timestamp(count as i64 * 10_000_000));
        flow.recovery(log).simulate_on(env).expect("the run succeeds");
    }
    assert_eq!(epochs(&disk), [4, 5, 6]);
}

#[test]
fn a_pin_keeps_what_it_names() {
    let disk = ran(1, log());
    let layout = Layout::new(Path::new(LOG));
    let files = std::sync::Arc::new(disk.clone()) as std::sync::Arc<dyn crate::io::file::Files>;
    let adopted = adopt(&disk.after_kill(), &steps()).expect("opens");
    let log_id = adopted.recovered.log_id;
    let pin = |name: &str| {
        let newest = adopt(&disk.after_kill(), &steps()).expect("opens");
        pin::write(&files, &layout, log_id, name, newest.commits.manifest())
    };
    pin("before").expect("can be pinned");
    let error = pin("before").expect_err("is there").to_string();
    assert!(error.contains("there is a pin `before` already"), "{error}");
    let named: Vec<PathBuf> = files_of(&disk)
        .into_keys()
        .filter(|path| path.starts_with("log/seg") || path.starts_with("log/base"))
        .collect();
    for count in [20, 30, 40] {
        write_lines(&disk, count);
        run(&disk, log(), 2, 3).expect("the run succeeds");
    }
    let there = files_of(&disk);
    assert!(named.iter().all(|path| there.contains_key(path)), "{named:?}");
    // Going back to it, and not to what lies between.
    let back = disk.after_kill();
    write_lines(&back, LINES);
    run(&back, log().resume_from_pin("before"), 3, 1).expect("the run succeeds");
    assert_eq!(rows(&back), Model::at(LINES as u64).rows);
    let back = disk.after_kill();
    run(&back, log().resume_from(Epoch(LINES as u64)), 3, 1).expect("the run succeeds");
    assert_eq!(rows(&back), Model::at(40).rows);
    pin::remove(&*files, &layout, "before").expect("is there");
    let error = pin::remove(&*files, &layout, "before").expect_err("is gone").to_string();
    assert!(error.contains("no pin `before`"), "{error}");
    write_lines(&disk, 50);
    run(&disk, log(), 2, 3).expect("the run succeeds");
    let there = files_of(&disk);
    assert!(named.iter().all(|path| !there.contains_key(path)), "{there:?}");
    for name in ["", "a/b", "..", "12", ".x", "ä"] {
        let error = pin(name).expect_err("is no name").to_string();
        assert!(error.contains("a pin cannot be called"), "{error}");
    }
}

#[test]
fn a_damaged_pin_is_named_and_nothing_is_removed_meanwhile() {
    let disk = ran(1, log());
    disk.folder("log/pin");
    disk.put("log/pin/p", "flowlog");
    let before = files_of(&disk);
    write_lines(&disk, 60);
    run(&disk, log(), 2, 3).expect("the run succeeds");
    let there = files_of(&disk);
    assert!(before.keys().all(|path| there.contains_key(path)));
    let error = run(&disk, log().resume_from_pin("p"), 2, 3).expect_err("is damaged").to_string();
    assert!(error.contains("`log/pin/p` is damaged"), "{error}");
}

#[test]
fn a_damaged_commit_is_refused_with_older_ones_that_are_whole() {
    let disk = ran(LINES as u64, uncompacted());
    let adopted = adopt(&disk.after_kill(), &steps()).expect("opens");
    let last = adopted.commits.manifest().parts.last().expect("has parts").clone();
    let path = Layout::new(Path::new(LOG)).segment(last.file);
    let path = path.to_str().expect("is text");
    let mut bytes = disk.get(path).expect("is there");
    let at = usize::try_from(last.end).expect("is small") - 30;
    bytes[at] ^= 4;
    disk.put(path, bytes);
    let error = run(&disk, log(), 2, 1).expect_err("is damaged").to_string();
    assert!(error.contains(path) && error.contains("--resume-from 13"), "{error}");
    run(&disk, log().resume_from(Epoch(13)), 2, 1).expect("goes back");
    assert_eq!(rows(&disk), Model::at(LINES as u64).rows);
}

#[test]
fn a_log_of_many_runs_stays_as_small_as_what_it_holds() {
    let mut sizes = Vec::new();
    let disk = make_compacted().disk;
    for round in 0..30 {
        write_lines(&disk, LAST as usize + 8 * (round + 1));
        run(&disk, log(), 1 + round % 3, round as u64).expect("the run succeeds");
        sizes.push(files_of(&disk).values().map(Vec::len).sum::<usize>());
    }
    let (early, late) = (sizes[..10].iter().max(), sizes[20..].iter().max());
    assert!(late < early.map(|early| early * 5 / 4).as_ref(), "{sizes:?}");
    assert!(files_of(&disk).len() < 24, "{:?}", files_of(&disk).keys());
}

#[test]
fn a_pin_of_another_log_is_refused() {
    let (disk, other) = (ran(1, log()), ran(1, log()));
    let (layout, there) = (Layout::new(Path::new(LOG)), other.after_kill());
    let files = std::sync::Arc::new(other.clone()) as std::sync::Arc<dyn crate::io::file::Files>;
    let adopted = adopt(&there, &steps()).expect("opens");
    let mut manifest = adopted.commits.manifest().clone();
    // As of a log that was made at another time.
    manifest.format.seed ^= 1;
    let log_id = adopted.recovered.log_id;
    pin::write(&files, &layout, log_id, "p", &manifest).expect("can be pinned");
    disk.put("log/pin/p", other.get("log/pin/p").expect("is there"));
    let error = run(&disk, log().resume_from_pin("p"), 1, 1).expect_err("is refused").to_string();
    assert!(error.contains("`log/pin/p` is a pin of another log"), "{error}");
}

#[test]
fn of_many_epochs_the_last_are_named() {
    let disk = Memory::default();
    write_lines(&disk, 40);
    run(&disk, uncompacted().keep_epochs(100), 1, 1).expect("the run succeeds");
    let error = run(&disk, log().resume_from(Epoch(99)), 1, 1).expect_err("is refused").to_string();
    assert!(error.contains(" earlier ones), ") && error.contains("39, 40;"), "{error}");
}
