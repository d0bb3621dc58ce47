//! How the kept logs were written.
//!
//! `cargo test -p flow-runtime --lib version_1::write -- --ignored` writes those that are not there. What a release has written stays as it is: a log
//! of version 1 that this program writes today says nothing about those that are out there.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::super::golden::{files_of, newest, records};
use super::super::schedule;
use super::program::{FILES, Till, reference, shop};
use super::{KEPT, LINES, PIN, Program, run, told, written};
use crate::engine::survey_steps;
use crate::io::file::Files;
use crate::io::testing::Memory;
use crate::prelude::*;
use crate::recovery::folder::Folder;
use crate::recovery::names::Layout;
use crate::recovery::{Limits, RecoveryLog, pin};

const USERS: [&str; 5] = ["ann", "bob", "cid", "dot", "eve"];
/// The lines with which the next run goes on.
const MORE: usize = 8;

/// So many lines, the same each time.
fn lines(count: usize) -> Vec<String> {
    let line = |n: usize| match n {
        2 | 6 => format!("discount {n}"),
        _ => {
            let cents = if n % 6 == 5 { 0 } else { n + 1 };
            format!("{} {} {} {cents}", USERS[n * n % 5], n * 7 % 6, n % 3)
        }
    };
    (0..count).map(line).collect()
}

/// With which a run goes on: everybody comes once, and somebody asks for the price.
fn more() -> Vec<String> {
    let user = |n: usize| USERS.get(n).copied().unwrap_or("zoe");
    (0..MORE).map(|n| format!("{} {n} {} {}", user(n), n % 4, 100 + n)).collect()
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A log of small files.
fn log(garbage_bytes: u64) -> RecoveryLog {
    let limits = Limits { segment_bytes: 1200, commit_records: 9, garbage_bytes, range_bytes: 200 };
    RecoveryLog { limits, ..RecoveryLog::at("log").key_groups(8) }
}

fn uncompacted() -> RecoveryLog {
    log(u64::MAX)
}

fn first(disk: &Memory, log: RecoveryLog, till: &Till, count: usize, workers: usize) -> bool {
    disk.put(LINES, joined(&lines(count)));
    run(Program::First, disk, log, till, workers, count as u64).is_ok()
}

/// Several runs, one of them killed.
fn plain() -> (Memory, Till) {
    let (disk, till) = (Memory::default(), Till::default());
    assert!(first(&disk, uncompacted(), &till, 7, 2) && first(&disk, uncompacted(), &till, 13, 3));
    disk.cut_after(24);
    assert!(!first(&disk, uncompacted(), &till, 18, 1), "it is killed");
    let disk = disk.after_kill();
    assert!(first(&disk, uncompacted(), &till, 22, 2));
    (disk, till)
}

/// Bases, and a pin.
fn compacted() -> (Memory, Till) {
    let (disk, till) = (Memory::default(), Till::default());
    let log = || log(700);
    assert!(first(&disk, log(), &till, 9, 2));
    let copy = disk.after_kill();
    let [totals, counts, places, prices] = FILES.map(TextFile::at);
    let lines = Lines::of(LINES).epoch_per_line();
    let flow = shop(lines, totals, counts, places, prices, till.clone());
    let steps = survey_steps(flow.__plan());
    let env = schedule(&copy, 1);
    let folder = Folder::open(&*env, &log(), "shop").expect("opens");
    let adopted = folder.adopt(&steps, 1, &log()).expect("opens");
    let files = Arc::new(disk.clone()) as Arc<dyn Files>;
    let (log_id, manifest) = (adopted.recovered.log_id, adopted.commits.manifest());
    pin::write(&files, &Layout::new(Path::new("log")), log_id, PIN, manifest).expect("is pinned");
    assert!(first(&disk, log(), &till, 20, 3) && first(&disk, log(), &till, 30, 1));
    (disk, till)
}

/// Rows of committed epochs that were not applied.
fn with_outbox() -> (Memory, Till) {
    let (disk, till) = (Memory::default(), Till::default());
    assert!(first(&disk, uncompacted(), &till, 5, 1));
    till.refuse_from(8);
    assert!(!first(&disk, uncompacted(), &till, 12, 2), "the till is closed");
    (disk.after_kill(), till)
}

/// A commit that was cut off while it was written, in both copies, and so were changes behind the last one.
fn torn() -> (Memory, Till) {
    let (disk, till) = (Memory::default(), Till::default());
    assert!(first(&disk, uncompacted(), &till, 6, 2) && first(&disk, uncompacted(), &till, 11, 2));
    till.refuse_from(11);
    assert!(!first(&disk, uncompacted(), &till, 12, 1), "the till is closed");
    let disk = disk.after_kill();
    let files = files_of(&disk);
    for (path, left) in newest(&files).into_iter().zip([40, 10]) {
        let bytes = &files[&path];
        let at = *records(bytes).last().expect("it has records");
        assert!(bytes.len() > at + left);
        disk.put(path.to_str().expect("is text"), &bytes[..at + left]);
    }
    let segment = files.keys().rfind(|path| path.starts_with("log/seg")).expect("there is one");
    let bytes = &files[segment];
    disk.put(segment.to_str().expect("is text"), &bytes[..bytes.len() - 13]);
    (disk, till)
}

/// Where a log goes on, and what comes of it: as the run says, and as the reference without the engine does.
fn expected(disk: &Memory, till: &Till, log: RecoveryLog) -> String {
    let disk = disk.after_kill();
    let text = disk.text(LINES) + &joined(&more());
    disk.put(LINES, &text);
    let after = Till::at(till.last());
    let began = run(Program::First, &disk, log, &after, 2, 5).expect("it goes on");
    let (files, mut sent) = reference(&text.lines().collect::<Vec<_>>());
    assert_eq!(written(&disk), files);
    sent.retain(|(epoch, _)| Some(*epoch) > till.last());
    sent.sort();
    let mut got = after.rows();
    got.sort();
    assert_eq!(got, sent);
    told(began.expect("it has a log"), till.last(), &files, &sent)
}

#[test]
#[ignore = "writes the logs that are kept, where they are not there"]
fn write() {
    for (name, make) in [
        ("plain", plain as fn() -> (Memory, Till)),
        ("compacted", compacted),
        ("outbox", with_outbox),
        ("torn", torn),
    ] {
        let folder = Path::new(KEPT).join(name);
        if folder.exists() {
            println!("{} is there, and stays as it is", folder.display());
            continue;
        }
        let (disk, till) = make();
        assert_eq!(disk.files(), make().0.files(), "it is the same each time");
        for (path, bytes) in disk.files() {
            if !path.ends_with("LOCK") {
                put(&folder.join("disk").join(path), &bytes);
            }
        }
        put(&folder.join("more.txt"), joined(&more()).as_bytes());
        let log = RecoveryLog::at("log");
        put(&folder.join("expected.txt"), expected(&disk, &till, log.clone()).as_bytes());
        if name == "compacted" {
            let back = expected(&disk, &till, log.resume_from_pin(PIN).allow_sink_ahead());
            put(&folder.join("expected-from-noon.txt"), back.as_bytes());
        }
    }
}

fn put(path: &Path, bytes: &[u8]) {
    let folder = path.parent().expect("it lies in a folder");
    fs::create_dir_all(folder).and_then(|()| fs::write(path, bytes)).expect("it can be written");
}
