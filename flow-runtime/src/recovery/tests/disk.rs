//! Disks that fail, fill up and lose what was not synced, in the middle of whole runs.

use std::path::Path;
use std::time::Duration;

use super::golden::{
    LOG, Model, adopt, files_of, log, open, rows, run, run_and_watch, steps, write_lines,
};
use super::schedule;
use crate::io::testing::Memory;
use crate::recovery::RecoveryLog;

const LINES: usize = 14;

fn disk() -> Memory {
    let disk = Memory::default();
    write_lines(&disk, LINES);
    disk
}

/// Goes on to the end, and sees that all has come out as if nothing had happened.
fn goes_on(disk: &Memory, committed: u64, seed: u64, what: &str) {
    let steps = steps();
    let (found, _) =
        open(&disk.after_kill(), &steps).unwrap_or_else(|error| panic!("{what}: {error}"));
    found.check();
    assert!(
        found.epoch >= committed,
        "{what}: {committed} was committed, and {} is found",
        found.epoch
    );
    let workers = 1 + (seed % 3) as usize;
    run(disk, log(), workers, seed).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(rows(disk), Model::at(LINES as u64).rows, "{what}");
    let (found, repaired) = open(disk, &steps).expect("opens");
    assert_eq!((found.epoch, repaired.len()), (LINES as u64, 0), "{what}");
    found.check();
}

#[test]
fn a_run_that_is_cut_off_anywhere_goes_on_where_it_was() {
    let mut cuts = 0;
    for (workers, seed) in [(1, 5), (3, 6)] {
        for changes in 0.. {
            let disk = disk();
            disk.cut_after(changes);
            let (outcome, committed) = run_and_watch(workers, schedule(&disk, seed));
            if outcome.is_ok() {
                break;
            }
            cuts += 1;
            goes_on(&disk.after_kill(), committed, seed, &format!("killed after {changes}"));
            let what = format!("power cut after {changes}");
            goes_on(&disk.after_power_cut(), committed, seed + 1, &what);
        }
    }
    assert!(cuts > 100, "{cuts}");
}

#[test]
fn a_start_that_is_cut_off_anywhere_can_be_repeated() {
    for first in (4..60).step_by(13) {
        let before = disk();
        before.cut_after(first);
        let (outcome, committed) = run_and_watch(2, schedule(&before, 3));
        outcome.expect_err("the power is cut");
        for second in 0..25 {
            for power in [false, true] {
                let after = |disk: &Memory| match power {
                    true => disk.after_power_cut(),
                    false => disk.after_kill(),
                };
                let disk = after(&before);
                disk.cut_after(second);
                let (_, later) = run_and_watch(3, schedule(&disk, 4));
                let what = format!("cut after {first} and {second}, power {power}");
                goes_on(&after(&disk), committed.max(later), 1, &what);
            }
        }
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let whole = disk();
    run(&whole, log(), 2, 1).expect("the run succeeds");
    let most: usize = files_of(&whole).values().map(Vec::len).sum();
    let (mut waited, mut refused) = (0, 0);
    for room in (0..most).step_by(29) {
        let disk = disk();
        disk.limit_below(LOG, room, 1 + room % 4);
        let schedule = schedule(&disk, room as u64);
        let (outcome, committed) = run_and_watch(2, std::sync::Arc::clone(&schedule));
        match outcome {
            Ok(()) => {
                waited += usize::from(schedule.elapsed() >= Duration::from_secs(1));
                assert_eq!(committed, LINES as u64);
            }
            // A start does not wait.
            Err(error) => {
                refused += 1;
                assert_eq!(committed, 0, "{error}");
                assert!(error.to_string().contains("make room on the disk"), "{error}");
            }
        }
        disk.limit_below(LOG, usize::MAX, 1);
        goes_on(&disk, committed, room as u64, &format!("room for {room}"));
    }
    assert!(waited > 30 && refused > 10, "{waited} {refused}");
}

#[test]
fn what_could_not_be_written_takes_no_room() {
    let disk = disk();
    disk.limit_below(LOG, 1500, 40);
    run(&disk, log(), 2, 1).expect("the run succeeds");
    let files = disk.files();
    assert!(files.len() < 24, "{:?}", files.keys());
    let empty = files.iter().filter(|(path, bytes)| path.starts_with(LOG) && bytes.is_empty());
    assert_eq!(empty.map(|(path, _)| path).collect::<Vec<_>>(), [Path::new("log/LOCK")]);
}

#[test]
fn a_full_disk_may_end_the_run() {
    for room in (900..4000).step_by(50) {
        let disk = disk();
        disk.limit_below(LOG, room, usize::MAX);
        let log = RecoveryLog { waits_for_room: false, ..log() };
        let error = run(&disk, log, 2, 1).expect_err("there is no room").to_string();
        assert!(error.contains("`log/") && error.contains("make room on the disk"), "{error}");
        disk.limit_below(LOG, usize::MAX, 1);
        goes_on(&disk, 0, 3, &format!("room for {room}"));
    }
}

#[test]
fn after_a_failed_sync_the_run_ends_and_the_next_goes_on() {
    let mut failures = 0;
    for syncs in 0.. {
        let disk = disk();
        disk.fail_syncs_after(syncs);
        let (outcome, committed) = run_and_watch(2, schedule(&disk, 8));
        let Err(error) = outcome else { break };
        failures += 1;
        let error = error.to_string();
        assert!(error.contains("input/output error"), "{error}");
        assert!(error.contains("`log") || error.contains("`out.txt`"), "{error}");
        goes_on(&disk.after_kill(), committed, 1, &format!("sync {syncs} failed"));
        goes_on(
            &disk.after_power_cut(),
            committed,
            2,
            &format!("sync {syncs} failed, then the power"),
        );
    }
    assert!(failures > 20, "{failures}");
}

#[test]
fn a_start_that_finds_no_room_changes_nothing() {
    let disk = disk();
    run(&disk, log(), 2, 1).expect("the run succeeds");
    let steps = steps();
    let (found, _) = open(&disk.after_kill(), &steps).expect("opens");
    let before = disk.files();
    disk.limit_below(LOG, 0, usize::MAX);
    let error = adopt(&disk, &steps).err().expect("there is no room").to_string();
    assert!(error.contains("make room on the disk"), "{error}");
    let disk = disk.after_kill();
    for (path, bytes) in before {
        assert_eq!(disk.files().get(&path), Some(&bytes), "{}", path.display());
    }
    assert!(open(&disk, &steps).expect("opens").0 == found);
}
