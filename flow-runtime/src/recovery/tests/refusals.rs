//! Logs that are another's, of another version, or not whole.

use std::path::Path;

use super::golden::{Golden, LOG, adopt, files_of, log, make, open, run, steps, write_lines};
use super::schedule;
use crate::error::Error;
use crate::io::testing::Memory;
use crate::recovery::RecoveryLog;
use crate::recovery::folder::Folder;
use crate::recovery::frame::HEADER;

/// Gives a file's header a newer version, as a newer program would write it.
fn newer(bytes: &mut [u8]) {
    bytes[8..10].copy_from_slice(&7_u16.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn a_newer_format_is_refused_politely() {
    let Golden { disk, steps, manifest, .. } = make();
    let newest = manifest.last.map_or(0, |last| last.generation);
    let mut refused = 0;
    for path in files_of(&disk).into_keys().filter(|path| !path.ends_with("LOCK")) {
        let mut files = disk.files();
        newer(files.get_mut(&path).expect("is there"));
        let name = path.to_string_lossy().into_owned();
        let is_past = name.contains("commit-") && !name.contains(&format!("{newest:08}-000002."));
        match open(&Memory::of(files, vec![]), &steps) {
            Ok(_) => assert!(is_past || name.contains("seg/00000003"), "{name}"),
            Err(error) => {
                refused += 1;
                let error = error.to_string();
                assert!(
                    error.contains(&format!("`{name}` has version 7 of the log's format")),
                    "{error}"
                );
                assert!(
                    error.contains("versions up to 1\n  help: run the program that wrote it"),
                    "{error}"
                );
            }
        }
    }
    assert!(refused > 8, "{refused}");
}

#[test]
fn without_its_format_a_used_log_is_refused_and_an_unused_one_is_made_anew() {
    let Golden { disk, steps, .. } = make();
    let format = disk.get("log/FORMAT").expect("is there");
    for cut in 0..format.len() {
        let used = disk.after_kill();
        used.put("log/FORMAT", &format[..cut]);
        let error = open(&used, &steps).expect_err("is refused").to_string();
        assert!(error.contains("`log/FORMAT` is damaged at byte "), "{error}");
        let unused = Memory::default();
        unused.put("log/FORMAT", &format[..cut]);
        unused.folder("log/seg");
        assert_eq!(open(&unused, &steps).expect("is made").0.epoch, 0);
    }
    let used = disk.after_kill();
    used.delete("log/FORMAT");
    let error = open(&used, &steps).expect_err("is refused").to_string();
    assert!(error.contains("`log/FORMAT` is gone\n  help: put the file back"), "{error}");
    // Without any commit the segments still say that it is used.
    for path in files_of(&used).into_keys().filter(|path| !path.starts_with("log/seg")) {
        used.delete(&path.to_string_lossy());
    }
    open(&used, &steps).expect_err("is refused");
}

#[test]
fn the_format_of_another_log_is_refused() {
    let Golden { disk, steps, .. } = make();
    let other = Memory::default();
    write_lines(&other, 3);
    run(&other, log(), 1, 77).expect("the run succeeds");
    disk.put("log/FORMAT", other.get("log/FORMAT").expect("is there"));
    let error = open(&disk, &steps).expect_err("is refused").to_string();
    assert!(error.contains("it belongs elsewhere"), "{error}");
}

fn start(disk: &Memory, log: &RecoveryLog, dataflow: &str, workers: usize) -> Result<(), Error> {
    let schedule = schedule(disk, 1);
    Folder::open(&*schedule, log, dataflow)?.adopt(&steps(), workers, log).map(drop)
}

#[test]
fn what_was_decided_when_the_log_was_made_stays() {
    let Golden { disk, .. } = make();
    let before = disk.files();
    let refused = |log: &RecoveryLog, dataflow: &str, workers, part: &str| {
        let error = start(&disk, log, dataflow, workers).expect_err("is refused").to_string();
        assert!(error.contains(part) && error.contains("\n  help: "), "{error}");
        assert_eq!(disk.files(), before, "nothing is changed");
    };
    refused(
        &log(),
        "silver",
        1,
        "is the recovery log of the dataflow `golden`, and this is `silver`",
    );
    refused(&log().key_groups(16), "golden", 1, "`log` has 8 key groups, and 16 are asked for");
    refused(&log().key_groups(7), "golden", 1, "`log` has 8 key groups, and 7 are asked for");
    refused(&log(), "golden", 9, "9 workers cannot share the 8 key groups");
    start(&disk, &log(), "golden", 8).expect("opens");
    start(&disk, &RecoveryLog::at(LOG), "golden", 3).expect("opens");
    for groups in [0, 7, 65_536] {
        let disk = Memory::default();
        let error = start(&disk, &log().key_groups(groups), "golden", 1).expect_err("is refused");
        assert!(error.to_string().contains("give a power of two up to 32768"), "{error}");
    }
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let Golden { disk, found, steps, .. } = make();
    let others = [
        "log/notes.txt",
        "log/commit-1-0.a",
        "log/commit-00000009-000000.c",
        "log/commit-00000009-000000.a.bak",
        "log/.hidden",
        "log/seg/README",
        "log/seg/9-9-9.seg",
        "log/seg/00000009-0000-000000.seg.tmp",
        "log/pin/mine",
    ];
    for other in others {
        disk.put(other, "mine");
    }
    assert!(open(&disk, &steps).expect("opens").0 == found);
    write_lines(&disk, 40);
    run(&disk, log(), 2, 4).expect("the run succeeds");
    for other in others {
        assert_eq!(disk.text(other), "mine", "{other}");
    }
    assert!(disk.get("log/commit-00000006-000000.a").is_some());
}

#[test]
fn what_was_not_committed_is_removed_once_the_next_run_has_begun() {
    let Golden { disk, steps, .. } = make();
    let orphan = "log/seg/00000004-0000-000009.seg";
    disk.put(orphan, "an epoch that was not committed");
    // Refused: nothing is changed.
    let mut fewer = steps.clone();
    fewer.pop();
    adopt(&disk, &fewer).err().expect("a step is gone");
    assert!(disk.get(orphan).is_some() && disk.get("log/commit-00000005-000000.a").is_none());
    adopt(&disk, &steps).expect("opens");
    assert!(disk.get(orphan).is_none());
    for path in files_of(&disk).keys() {
        assert!(!path.starts_with(Path::new("log/seg/00000005")), "{}", path.display());
    }
}
