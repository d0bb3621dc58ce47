//! A small dataflow with everything that a log can hold, on files in memory, and what its log must say at each epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::schedule;
use crate::Virtual;
use crate::describe::StepId;
use crate::engine::survey_steps;
use crate::error::Error;
use crate::io::testing::Memory;
use crate::prelude::*;
use crate::recovery::folder::Folder;
use crate::recovery::frame::{FRAME_HEADER, HEADER};
use crate::recovery::manifest::{Manifest, StepSpec};
use crate::recovery::names::{CommitName, Copy2, Layout};
use crate::recovery::recovered::{Keyed, Restoring};
use crate::recovery::start::Adopted;
use crate::recovery::{Limits, RecoveryLog};
use crate::time::Epoch;

/// A line: a word and a number. `limit n` sets the limit; `word 0` forgets the word, `word n` adds to it.
fn parse(line: &str) -> (&str, u64) {
    let (word, n) = line.split_once(' ').expect("is a line of ours");
    (word, n.parse().expect("is a number"))
}

#[filter_map]
fn limit_of((_, line): (Epoch, String)) -> Option<u64> {
    let (word, n) = parse(&line);
    (word == "limit").then_some(n)
}

#[filter_map]
fn word_of((_, line): (Epoch, String)) -> Option<(String, u64)> {
    let (word, n) = parse(&line);
    (word != "limit").then(|| (word.to_owned(), n))
}

#[stateful_map]
fn add(count: &mut Option<u64>, word: &str, (_, n): (String, u64)) -> String {
    *count = (n > 0).then(|| count.unwrap_or(0) + n);
    format!("{word} {}", count.unwrap_or(0))
}

/// Lets everything pass.
#[filter]
fn known(_row: &str, limit: &u64) -> bool {
    *limit < u64::MAX
}

#[dataflow]
pub(super) fn golden<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
    let all = source(lines);
    let limits = limit_of(all);
    let limit = broadcast(limits, |limit: &mut u64, n| *limit = n);
    let words = word_of(all);
    let by_word = key_by_ref(words, |(word, _)| word.as_str());
    let counts = add(by_word);
    let firsts = dedupe(by_word, Ttl::never());
    discard(firsts, "only what is kept of them matters");
    let plain = values(counts);
    let rows = known(plain, limit);
    sink(rows, out);
}

pub(super) const LOG: &str = "log";
pub(super) const OUT: &str = "out.txt";
const LINES: &str = "lines.txt";

/// So many lines, the same each time.
pub(super) fn lines(count: usize) -> Vec<String> {
    let line = |n: usize| match n % 7 {
        3 => format!("limit {n}"),
        5 => format!("w{} 0", n * n % 5),
        _ => format!("w{} {}", n * n % 11, n + 1),
    };
    (0..count).map(line).collect()
}

/// What a log must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    counts: BTreeMap<String, u64>,
    words: BTreeSet<String>,
    limit: Option<u64>,
    /// Sorted.
    pub(super) rows: Vec<String>,
}

impl Model {
    /// Before an epoch: each line is one.
    pub(super) fn at(epoch: u64) -> Model {
        let mut model = Model::default();
        for line in &lines(usize::try_from(epoch).expect("is small")) {
            let (word, n) = parse(line);
            if word == "limit" {
                model.limit = Some(n);
                continue;
            }
            model.words.insert(word.to_owned());
            let count = model.counts.remove(word).unwrap_or(0) + n;
            if n > 0 {
                model.counts.insert(word.to_owned(), count);
            }
            model.rows.push(format!("{word} {}", if n > 0 { count } else { 0 }));
        }
        model.rows.sort();
        model
    }
}

/// A log whose files are small, and that is compacted often.
pub(super) fn log() -> RecoveryLog {
    let limits =
        Limits { segment_bytes: 900, commit_records: 5, garbage_bytes: 500, range_bytes: 60 };
    RecoveryLog { limits, ..RecoveryLog::at(LOG).key_groups(8) }
}

/// The same, never compacted.
pub(super) fn uncompacted() -> RecoveryLog {
    let log = log();
    let limits = Limits { garbage_bytes: u64::MAX, ..log.limits };
    RecoveryLog { limits, ..log }
}

/// Lets the input have so many lines.
pub(super) fn write_lines(disk: &Memory, count: usize) {
    disk.put(LINES, lines(count).iter().map(|line| format!("{line}\n")).collect::<String>());
}

/// Runs the dataflow to the end of its input.
pub(super) fn run(disk: &Memory, log: RecoveryLog, workers: usize, seed: u64) -> Result<(), Error> {
    let flow = golden(Lines::of(LINES).epoch_per_line(), TextFile::at(OUT));
    flow.workers(workers).recovery(log).simulate_on(schedule(disk, seed))
}

/// The same; answers the first epoch that the run has not reported as committed, too.
pub(super) fn run_and_watch(workers: usize, schedule: Arc<Virtual>) -> (Result<(), Error>, u64) {
    let flow = golden(Lines::of(LINES).epoch_per_line(), TextFile::at(OUT));
    match flow.workers(workers).recovery(log()).spawn_on(schedule, None) {
        Ok(running) => {
            let watch = running.watch();
            let outcome = running.wait().map(drop);
            (outcome, watch.progress().resume_epoch.0)
        }
        Err(error) => (Err(error), 0),
    }
}

/// What was written, sorted.
pub(super) fn rows(disk: &Memory) -> Vec<String> {
    let mut rows: Vec<String> = disk.text(OUT).lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

/// The steps of the dataflow.
pub(super) fn steps() -> Vec<(StepId, StepSpec)> {
    survey_steps(golden(Lines::of(LINES).epoch_per_line(), TextFile::at(OUT)).__plan())
}

/// What a start has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) epoch: u64,
    /// By step, and by key or partition, as the log holds them.
    entries: BTreeMap<(String, Vec<u8>), Vec<u8>>,
}

/// Takes over a log, as a start does.
pub(super) fn adopt(disk: &Memory, steps: &[(StepId, StepSpec)]) -> Result<Adopted, Error> {
    let schedule = schedule(disk, 1);
    Folder::open(&*schedule, &log(), "golden")?.adopt(steps, 3, &log())
}

/// Takes over a log and looks at what is in it. Answers what was repaired, too.
pub(super) fn open(
    disk: &Memory,
    steps: &[(StepId, StepSpec)],
) -> Result<(Found, Vec<String>), Error> {
    open_by(disk, steps, 1)
}

/// The same, by so many workers.
fn open_by(
    disk: &Memory,
    steps: &[(StepId, StepSpec)],
    workers: usize,
) -> Result<(Found, Vec<String>), Error> {
    let adopted = adopt(disk, steps)?;
    let recovered = &adopted.recovered;
    let mut entries = BTreeMap::new();
    for (id, spec) in steps {
        let name = id.to_string();
        match spec.kind.as_str() {
            "source" | "sink" => {
                for (partition, position) in recovered.positions(id).into_iter().flatten() {
                    let key = partition.as_str().as_bytes().to_vec();
                    entries.insert((name.clone(), key), position.clone());
                }
            }
            "broadcast" => Restoring::new(recovered, 0, workers).broadcast(id, |_, value| {
                entries.insert((name.clone(), Vec::new()), value.to_vec());
                Ok(())
            })?,
            _ => {
                for worker in 0..workers {
                    Restoring::new(recovered, worker, workers).keyed(id, |_, entry| {
                        match entry {
                            Keyed::Value { key, value, .. } => {
                                entries.insert((name.clone(), key.to_vec()), value.to_vec());
                            }
                            Keyed::Gone { key } => {
                                entries.remove(&(name.clone(), key.to_vec()));
                            }
                            Keyed::Part { .. } => {
                                let what = "the golden logs have no maps and lists by entry";
                                return Err(crate::state::LoadError::new(what));
                            }
                        }
                        Ok(())
                    })?;
                }
            }
        }
    }
    Ok((Found { epoch: recovered.epoch.0, entries }, recovered.repaired.clone()))
}

impl Found {
    /// What is found of a step.
    fn of(&self, step: &str) -> impl Iterator<Item = (String, &[u8])> {
        let mine = self.entries.iter().filter(move |((id, _), _)| id == step);
        mine.map(|((_, key), value)| {
            (String::from_utf8(key.clone()).expect("is text"), value.as_slice())
        })
    }

    /// Compares it with what a log must say at its epoch.
    pub(super) fn check(&self) {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("has 8 bytes"));
        let model = Model::at(self.epoch);
        let counts: BTreeMap<_, _> = self.of("counts").map(|(k, v)| (k, number(v))).collect();
        let words: BTreeSet<_> = self.of("firsts").map(|(key, _)| key).collect();
        let limit = self.of("limit").map(|(_, value)| number(value)).next();
        assert_eq!((counts, words, limit), (model.counts, model.words, model.limit));
        let positions = self.of("all").count() + self.of("rows.sink").count();
        assert_eq!(positions, if self.epoch == 0 { 0 } else { 2 }, "{:?}", self.entries.keys());
    }
}

/// The epoch that the golden log ends with.
pub(super) const LAST: u64 = 22;

/// A log with a past.
pub(super) struct Golden {
    pub(super) disk: Memory,
    /// The log's files after each run.
    pub(super) before: Vec<BTreeMap<PathBuf, Vec<u8>>>,
    pub(super) found: Found,
    pub(super) manifest: Manifest,
    pub(super) steps: Vec<(StepId, StepSpec)>,
}

/// Runs several times, with different workers; the last but one run is killed.
pub(super) fn make() -> Golden {
    make_with(&uncompacted())
}

/// The same, with compaction.
pub(super) fn make_compacted() -> Golden {
    make_with(&log())
}

fn make_with(log: &RecoveryLog) -> Golden {
    let disk = Memory::default();
    let mut before = Vec::new();
    for (count, workers) in [(6, 2), (11, 3)] {
        write_lines(&disk, count);
        run(&disk, log.clone(), workers, 1).expect("the run succeeds");
        before.push(files_of(&disk));
    }
    write_lines(&disk, 16);
    disk.cut_after(20);
    run(&disk, log.clone(), 1, 2).expect_err("the power is cut");
    let disk = disk.after_kill();
    before.push(files_of(&disk));
    write_lines(&disk, LAST as usize);
    run(&disk, log.clone(), 2, 1).expect("the run succeeds");
    let steps = steps();
    let copy = disk.after_kill();
    let manifest = adopt(&copy, &steps).expect("opens").commits.manifest().clone();
    let (found, repaired) = open(&disk.after_kill(), &steps).expect("opens");
    assert_eq!(repaired, Vec::<String>::new());
    assert_eq!(rows(&disk), Model::at(LAST).rows);
    found.check();
    for workers in 2..8 {
        assert_eq!(open_by(&disk.after_kill(), &steps, workers).expect("opens").0, found);
    }
    Golden { disk, before, found, manifest, steps }
}

/// Where the records of a commit file begin.
pub(super) fn records(bytes: &[u8]) -> Vec<usize> {
    let mut at = HEADER;
    let mut records = Vec::new();
    while let Some(length) = bytes.get(at..at + 4) {
        records.push(at);
        let length = u32::from_le_bytes(length.try_into().expect("has 4 bytes")) as usize;
        at += FRAME_HEADER + length.next_multiple_of(8);
    }
    records
}

/// The two copies of the newest commit file.
pub(super) fn newest(files: &BTreeMap<PathBuf, Vec<u8>>) -> [PathBuf; 2] {
    let layout = Layout::new(Path::new(LOG));
    let name = files.keys().filter_map(|path| CommitName::parse(path)).max();
    let name = name.expect("there is a commit file");
    Copy2::BOTH.map(|copy| layout.commit(CommitName { copy, ..name }))
}

/// The files of the log.
pub(super) fn files_of(disk: &Memory) -> BTreeMap<PathBuf, Vec<u8>> {
    disk.files().into_iter().filter(|(path, _)| path.starts_with(Path::new(LOG))).collect()
}

#[test]
fn the_log_is_as_large_and_as_small_as_it_is_meant_to_be() {
    let Golden { disk, manifest, found, .. } = make();
    let files = files_of(&disk);
    let sizes: Vec<_> = files.iter().map(|(path, bytes)| (path, bytes.len())).collect();
    println!("{sizes:#?}\n{} bytes", sizes.iter().map(|(_, size)| size).sum::<usize>());
    assert_eq!(found.epoch, LAST);
    let segments: BTreeSet<_> = manifest.parts.iter().map(|part| part.file.generation).collect();
    assert!(segments.len() >= 3, "{:?}", manifest.parts);
    let newest = |part: &&crate::recovery::manifest::Part| part.file.generation == 4;
    assert!(manifest.parts.iter().filter(newest).count() >= 2, "{:?}", manifest.parts);
    let rolled = files.keys().filter(|path| path.to_string_lossy().contains("00000004-000001"));
    assert_eq!(rolled.count(), 2);
    let compacted = make_compacted();
    assert!(compacted.manifest.bases.len() >= 2, "{:?}", compacted.manifest.bases);
    let size = |files: BTreeMap<PathBuf, Vec<u8>>| files.values().map(Vec::len).sum::<usize>();
    let (all, left) = (size(files), size(files_of(&compacted.disk)));
    assert!(left < all, "{left} {all}");
}
