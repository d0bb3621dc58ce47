//! A start on a whole log, some bytes of which are others.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::Virtual;
use crate::describe::StepId;
use crate::engine::survey_steps;
use crate::error::Error;
use crate::io::file::Files;
use crate::prelude::*;
use crate::recovery::Limits;
use crate::recovery::folder::Folder;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::sim::SimDisk;

const LINES: &str = "lines.txt";

/// A word and a number; 0 lets the word be forgotten.
#[map]
fn parse(line: String) -> (String, u64) {
    let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
    (word.to_owned(), number.parse().unwrap_or(0))
}

#[dataflow]
fn small(lines: Lines, out: TextFile) {
    let all = source(lines);
    let words = parse(all);
    let numbers = map(words, |(_, number): (String, u64)| number);
    let largest = broadcast(numbers, |largest: &mut u64, number| *largest = number.max(*largest));
    let by_word = key_by_ref(words, |(word, _)| word.as_str());
    let sums = stateful_map(by_word, |sum: &mut Option<u64>, _word, (_, number): (String, u64)| {
        *sum = (number > 0).then(|| sum.unwrap_or(0).wrapping_add(number));
        sum.unwrap_or(0)
    });
    let rows = values(sums);
    let shown = below(rows, largest);
    sink(shown, out);
}

#[filter]
fn below(sum: &u64, largest: &u64) -> bool {
    sum != largest
}

fn flow() -> Dataflow<impl crate::plan::FlowPlan> {
    small(Lines::of(LINES), TextFile::at("out.txt"))
}

/// What its steps keep.
pub(super) fn steps() -> Vec<(StepId, StepSpec)> {
    survey_steps(flow().__plan())
}

fn log() -> RecoveryLog {
    log_compacted_from(500)
}

fn log_compacted_from(garbage_bytes: u64) -> RecoveryLog {
    let limits = Limits { segment_bytes: 700, commit_records: 4, garbage_bytes, range_bytes: 100 };
    RecoveryLog { limits, ..RecoveryLog::at("log").key_groups(8) }
}

/// A disk with a log of three runs. The same each time.
pub(super) fn disk() -> &'static SimDisk {
    static DISK: OnceLock<SimDisk> = OnceLock::new();
    DISK.get_or_init(|| {
        let mut disk = SimDisk::new(1);
        for (run, count) in [30, 60, 100].into_iter().enumerate() {
            let line = |n: usize| format!("w{} {}\n", n * n % 13, n % 5);
            disk.put(LINES, (0..count).map(line).collect::<String>());
            let schedule = Virtual::new(run as u64).with_io(disk.io());
            // The last run leaves its changes beside the bases.
            let log = log_compacted_from(if run < 2 { 500 } else { u64::MAX });
            let flow = flow().workers(1 + run).epochs(EpochPolicy::items(7)).recovery(log);
            flow.simulate(schedule).expect("nothing fails on this disk");
            disk = disk.after_kill();
        }
        disk
    })
}

/// The files of the log, in their order.
pub(super) fn paths(disk: &SimDisk) -> Vec<PathBuf> {
    let mut paths = disk.paths();
    paths.retain(|path| path.strip_prefix("/").unwrap_or(path).starts_with("log"));
    paths.retain(|path| disk.get(path).is_some());
    paths.sort();
    paths
}

/// Each five bytes of the input are a change: which file, what becomes of it, where (two bytes), and a byte that goes with it.
pub fn folder(bytes: &[u8]) {
    let disk = disk().fork();
    let paths = paths(&disk);
    for change in bytes.chunks_exact(5).take(40) {
        let &[file, what, low, high, with] = change else { continue };
        let path = &paths[usize::from(file) % paths.len()];
        let Some(mut content) = disk.get(path) else { continue };
        let at = usize::from(u16::from_le_bytes([low, high])) % (content.len() + 1);
        match what % 6 {
            0 | 1 => content.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= with),
            2 => content.truncate(at),
            3 => content.extend(std::iter::repeat_n(with, at % 300)),
            4 => {
                let other = &paths[usize::from(with) % paths.len()];
                content = disk.get(other).unwrap_or_default();
            }
            _ => {
                let _ = disk.remove(path);
                continue;
            }
        }
        disk.put(path, content);
    }
    match start(&disk) {
        Ok(entries) => assert!(entries < 10_000, "{entries}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Takes the log over and reads all of it. Answers how many entries there are.
pub(super) fn start(disk: &SimDisk) -> Result<usize, Error> {
    let schedule = Arc::new(Virtual::new(1).with_io(disk.io()));
    let (steps, workers) = (steps(), 2);
    let adopted = Folder::open(&*schedule, &log(), "small")?.adopt(&steps, workers, &log())?;
    let mut entries = 0;
    for (id, spec) in &steps {
        entries += adopted.recovered.positions(id).map_or(0, |partitions| partitions.len());
        for worker in 0..workers {
            let restoring = Restoring::new(&adopted.recovered, worker, workers);
            match spec.kind.as_str() {
                "source" | "sink" => {}
                "broadcast" => restoring.broadcast(id, |_, _| {
                    entries += 1;
                    Ok(())
                })?,
                _ => restoring.keyed(id, |_, _| {
                    entries += 1;
                    Ok(())
                })?,
            }
        }
    }
    Ok(entries)
}
