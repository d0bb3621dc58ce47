//! Logs of version 1 of the format, written once and kept in `tests/golden/v1`: they open for ever.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | opening them |
//! | `program` | the dataflow that they are of |
//! | `write` | how they were written |

mod program;
mod write;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::golden::files_of;
use super::schedule;
use crate::error::Error;
use crate::io::testing::Memory;
use crate::prelude::*;
use program::{FILES, Till, later, shop};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1");
const LINES: &str = "lines.txt";
/// The name of the pin that one of them has.
const PIN: &str = "noon";
const NAMES: [&str; 4] = ["plain", "compacted", "outbox", "torn"];

/// A version of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// The one that wrote the logs.
    First,
    Later,
}

/// Runs to the end of the input; answers the epoch at which the run began.
fn run(
    program: Program,
    disk: &Memory,
    log: RecoveryLog,
    till: &Till,
    workers: usize,
    seed: u64,
) -> Result<Option<u64>, Error> {
    let lines = Lines::of(LINES).epoch_per_line();
    let [totals, counts, places, prices] = FILES.map(TextFile::at);
    let running = match program {
        Program::First => shop(lines, totals, counts, places, prices, till.clone())
            .workers(workers)
            .recovery(log)
            .spawn_on(schedule(disk, seed), None)?,
        Program::Later => later::shop(lines, totals, counts, places, prices, till.clone())
            .workers(workers)
            .recovery(log)
            .spawn_on(schedule(disk, seed), None)?,
    };
    let watch = running.watch();
    running.wait()?;
    Ok(watch.recovered().map(|report| report.epoch.0))
}

/// What is written beside a log: where it goes on, and what there is in the end.
fn told(
    epoch: u64,
    applied: Option<u64>,
    files: &[Vec<String>; 4],
    sent: &[(u64, String)],
) -> String {
    let mut text = format!("goes on at epoch {epoch}\n");
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "{line}").expect("it is memory");
    match applied {
        Some(applied) => line(format_args!("the till has applied epoch {applied}")),
        None => line(format_args!("the till has applied no epoch")),
    }
    for (name, rows) in FILES.iter().zip(files) {
        rows.iter().for_each(|row| line(format_args!("{name}: {row}")));
    }
    sent.iter().for_each(|(epoch, row)| line(format_args!("sent in epoch {epoch}: {row}")));
    text
}

/// The rows of the files, sorted.
fn written(disk: &Memory) -> [Vec<String>; 4] {
    FILES.map(|name| {
        let mut rows: Vec<_> = disk.text(name).lines().map(str::to_owned).collect();
        rows.sort();
        rows
    })
}

/// All files below a folder, by their paths in it.
fn below(folder: &Path, inside: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder.join(inside)).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let path = inside.join(entry.file_name());
        match entry.path().is_dir() {
            true => below(folder, &path, into),
            false => drop(into.insert(path, fs::read(entry.path()).expect("it can be read"))),
        }
    }
}

/// The disk that a kept log lies on.
fn disk(name: &str) -> Memory {
    let mut files = BTreeMap::new();
    below(&Path::new(KEPT).join(name).join("disk"), Path::new(""), &mut files);
    Memory::of(files, Vec::new())
}

fn text(name: &str, file: &str) -> String {
    let path = Path::new(KEPT).join(name).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lets the run go on with further lines, and compares what comes of it with what is written beside the log.
fn goes_on(program: Program, name: &str, expected: &str, log: &RecoveryLog, workers: usize) {
    let (disk, expected) = (disk(name), text(name, expected));
    let applied =
        expected.lines().find_map(|line| line.strip_prefix("the till has applied epoch "));
    let applied = applied.map(|epoch| epoch.parse().expect("is a number"));
    disk.put(LINES, disk.text(LINES) + &text(name, "more.txt"));
    let till = Till::at(applied);
    let began = run(program, &disk, log.clone(), &till, workers, workers as u64);
    let began = began.unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut sent = till.rows();
    sent.sort();
    let came = told(began.expect("it has a log"), applied, &written(&disk), &sent);
    assert!(
        came == expected,
        "{name}, {program:?}, {workers} workers:\n{came}\nand not\n{expected}"
    );
    // And what is written from then on can be read again.
    let again = run(program, &disk, log_at(), &till, 2, 1).expect("it goes on");
    assert_eq!(again, Some(disk.text(LINES).lines().count() as u64), "{name}");
}

fn log_at() -> RecoveryLog {
    RecoveryLog::at("log")
}

#[test]
fn logs_of_version_1_go_on() {
    for name in NAMES {
        for workers in 1..=3 {
            goes_on(Program::First, name, "expected.txt", &log_at(), workers);
        }
    }
    let log = log_at().resume_from_pin(PIN).allow_sink_ahead();
    goes_on(Program::First, "compacted", "expected-from-noon.txt", &log, 2);
}

#[test]
fn a_later_version_of_the_program_goes_on_with_them() {
    for name in NAMES {
        goes_on(Program::Later, name, "expected.txt", &log_at(), 2);
    }
}

#[test]
fn the_same_logs_of_a_newer_format_are_refused_politely() {
    for name in NAMES {
        let disk = disk(name);
        for (path, mut bytes) in files_of(&disk) {
            bytes[8..10].copy_from_slice(&2_u16.to_le_bytes());
            let crc = crc32fast::hash(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
            disk.put(path.to_str().expect("is text"), bytes);
        }
        let before = disk.files();
        let error = run(Program::First, &disk, log_at(), &Till::default(), 1, 1);
        let error = error.expect_err("is refused").to_string();
        let said = "`log/FORMAT` has version 2 of the log's format";
        assert!(error.contains(said), "{error}");
        assert!(
            error.contains("versions up to 1\n  help: run the program that wrote it"),
            "{error}"
        );
        let mut after = disk.files();
        after.retain(|path, _| !path.ends_with("LOCK"));
        assert_eq!(after, before, "nothing is changed");
    }
}

/// Reads a file as `docs/log-format.md` describes it, with nothing of the code that writes it. Answers the types of its frames, and
/// how many bytes at its end are no frame.
fn frames_by_the_page(path: &Path, bytes: &[u8]) -> (Vec<u8>, usize) {
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
    };
    let name = path.to_string_lossy();
    assert_eq!(&bytes[..8], b"flowlog\n", "{name}");
    assert_eq!(number(8, 2), 1, "{name}");
    let kind = match name.strip_prefix("log/").expect("lies in the log") {
        "FORMAT" => 1,
        other if other.starts_with("commit-") => 2,
        other if other.starts_with("seg/") => 3,
        other if other.starts_with("base/") => 4,
        _ => 5,
    };
    assert_eq!(number(10, 1), kind, "{name}");
    assert_eq!(number(11, 1), u64::from(name.ends_with(".b")), "{name}");
    assert_eq!(number(60, 4), u64::from(crc32fast::hash(&bytes[..60])), "{name}");
    let mut of_copy_a = bytes[..60].to_vec();
    of_copy_a[11] = 0;
    let (mut at, mut types) = (64, Vec::new());
    while at + 24 <= bytes.len() {
        let end = at + 24 + number(at, 4) as usize;
        let Some(payload) = bytes.get(at + 24..end) else { break };
        let place = (at as u64).to_le_bytes();
        let crc = crc32fast::hash(&[&of_copy_a, &place[..], &bytes[at..at + 20], payload].concat());
        if number(at + 20, 4) != u64::from(crc) {
            break;
        }
        types.push(bytes[at + 4]);
        at = end.next_multiple_of(8);
    }
    (types, bytes.len().saturating_sub(at))
}

#[test]
fn their_bytes_are_what_the_page_says() {
    let (mut size, mut seen, mut torn) = (0, [0_usize; 6], Vec::new());
    for name in NAMES {
        for (path, bytes) in disk(name).files() {
            size += bytes.len();
            if path.starts_with("log") {
                let (types, rest) = frames_by_the_page(&path, &bytes);
                types.iter().for_each(|frame| seen[usize::from(*frame)] += 1);
                torn.extend((rest > 0).then_some((name, path)));
            }
        }
    }
    assert!(size < 64 << 10, "{size}");
    // Of every type of frame there are some; of type 5 there is one in a log.
    assert!(seen[1] > 50 && seen[2] > 20 && seen[3] > 10 && seen[4] > 20, "{seen:?}");
    assert_eq!(seen[5], NAMES.len());
    for part in ["commit-", "seg/"] {
        let of_it = |(name, path): &&(&str, PathBuf)| {
            *name == "torn" && path.to_string_lossy().contains(part)
        };
        assert!(torn.iter().any(|torn| of_it(&torn)), "{part}: {torn:?}");
    }
    let compacted = disk("compacted").files();
    assert!(compacted.keys().filter(|path| path.starts_with("log/base")).count() >= 2);
    assert!(compacted.contains_key(&Path::new("log/pin").join(PIN)));
    let generations = |name: &str| {
        let files = disk(name).files().into_keys();
        files
            .filter_map(|path| crate::recovery::SegmentName::parse(&path))
            .map(|name| name.generation)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert!(generations("plain").len() >= 3, "{:?}", generations("plain"));
}
