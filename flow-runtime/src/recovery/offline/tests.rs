//! Reading logs that a dataflow wrote.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::rows::Rows;
use super::*;
use crate::io::{Collect, collect, from_iter};
use crate::prelude::*;
use crate::time::Epoch;

#[stateful]
#[derive(Default, Debug, PartialEq)]
struct Sum {
    total: i64,
    last: Option<String>,
}

#[filter]
fn not_far_above(n: &i64, most: &i64) -> bool {
    *n <= *most + 1_000_000
}

/// Zero ends a key.
#[stateful_map]
fn sum(state: &mut Option<Sum>, key: &(u8, String), n: i64) -> i64 {
    if n == 0 {
        *state = None;
        return 0;
    }
    let sum = state.get_or_insert_default();
    sum.total += n;
    sum.last = Some(key.1.clone());
    sum.total
}

#[stateful_map]
fn count(count: &mut u64, _even: &i64, _n: i64) -> u64 {
    *count += 1;
    *count
}

#[dataflow]
fn sums(items: Vec<(u64, i64)>, out: Collect<((u8, String), i64)>) {
    let numbers = source(epochs_from(items.into_iter()));
    let most = broadcast(numbers, |most: &mut i64, n: i64| *most = n.max(*most));
    let below = not_far_above(numbers, most);
    let by_name = key_by(below, |n| ((n.abs() % 7) as u8, format!("k{}", n.abs() % 50)));
    let totals = sum(by_name);
    let by_number = key_by(numbers, |n| n.abs() % 3);
    let counts = count(by_number);
    sink(totals, out);
    discard(counts, "only what is kept is looked at");
}

type Key = (u8, String);

/// Runs the dataflow on the numbers, so many in each epoch.
fn run(
    folder: &Path,
    numbers: &[i64],
    in_epoch: usize,
    log: impl FnOnce(RecoveryLog) -> RecoveryLog,
) {
    let items = numbers.iter().enumerate().map(|(at, n)| ((at / in_epoch) as u64, *n));
    let (out, _) = collect();
    let log = log(RecoveryLog::at(folder).key_groups(16));
    let running = sums(items.collect(), out).recovery(log).workers(2).spawn();
    running.expect("starts").wait().expect("ends");
}

/// What a plain loop keeps.
fn plainly(numbers: &[i64]) -> BTreeMap<Key, Sum> {
    let mut all: BTreeMap<Key, Sum> = BTreeMap::new();
    for n in numbers {
        let key = ((n.abs() % 7) as u8, format!("k{}", n.abs() % 50));
        if *n == 0 {
            all.remove(&key);
        } else {
            let sum = all.entry(key.clone()).or_default();
            sum.total += n;
            sum.last = Some(key.1);
        }
    }
    all
}

fn numbers(count: i64) -> Vec<i64> {
    (0..count).map(|n| if n % 11 == 10 { 0 } else { n * 7919 % 1000 + 1 }).collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

#[test]
fn every_kept_epoch_has_the_state_of_its_time() {
    let (folder, numbers) = (folder(), numbers(2_000));
    run(folder.path(), &numbers, 100, |log| log.keep_epochs(8));
    let log = RecoveryLog::read(folder.path()).expect("is a log");
    assert_eq!((log.dataflow(), log.key_groups(), log.runs()), ("sums", 16, 1));
    assert_eq!(log.resume_epoch(), Epoch(20));
    assert!(log.epochs().len() >= 8 && log.pins().len() == 0 && log.repaired().is_empty());
    assert_eq!(log.epochs().last().map(|kept| kept.epoch), Some(Epoch(20)));
    assert!(log.epochs().is_sorted_by_key(|kept| (kept.epoch, kept.at)));
    for kept in log.epochs() {
        let at = log.at(kept.epoch).expect("is kept");
        let expected = plainly(&numbers[..kept.epoch.0 as usize * 100]);
        let state = at.state::<Key, Sum>("totals").expect("is the step");
        let found: BTreeMap<Key, Sum> = state.map(|entry| entry.expect("is whole")).collect();
        assert_eq!(found, expected, "epoch {}", kept.epoch);
        let measure = at.measure("totals").expect("is the step");
        assert_eq!(measure.keys, expected.len() as u64);
        for (key, sum) in &expected {
            assert_eq!(at.get::<Key, Sum>("totals", key).expect("is whole").as_ref(), Some(sum));
        }
        assert_eq!(at.get::<Key, Sum>("totals", &(9, "no".into())).expect("is whole"), None);
    }
    let error = log.at(999).expect_err("is not kept").to_string();
    assert!(
        error.contains("does not keep epoch 999") && error.contains("begin at epoch"),
        "{error}"
    );
    let error = log.at("nothing").expect_err("is not kept").to_string();
    assert!(error.contains("the pin `nothing`"), "{error}");
}

#[test]
fn the_same_is_told_without_the_types() {
    let (folder, numbers) = (folder(), numbers(500));
    run(folder.path(), &numbers, 50, |log| log);
    let newest = RecoveryLog::read(folder.path()).expect("is a log").newest().expect("is whole");
    let steps: Vec<_> = newest.steps().iter().map(|step| (step.id.as_str(), step.keeps)).collect();
    for expected in [
        ("totals", Keeps::PerKey),
        ("counts", Keeps::PerKey),
        ("most", Keeps::OneValue),
        ("numbers", Keeps::Positions),
    ] {
        assert!(steps.contains(&expected), "{expected:?} of {steps:?}");
    }
    let entries = newest.entries("totals").expect("is the step");
    let mut found: Vec<_> = entries.map(|entry| entry.expect("is whole")).collect();
    found.sort_by_key(|entry| entry.key.to_string());
    let mut expected: Vec<_> = plainly(&numbers)
        .into_iter()
        .map(|(key, sum)| (json!(key), json!({ "total": sum.total, "last": sum.last })))
        .collect();
    expected.sort_by_key(|(key, _)| key.to_string());
    assert_eq!(
        found.into_iter().map(|entry| (entry.key, entry.state)).collect::<Vec<_>>(),
        expected
    );
    let most = numbers.iter().max().copied();
    assert_eq!(newest.broadcast::<i64>("most").expect("is whole"), most);
    assert_eq!(newest.broadcast_json("most").expect("is whole"), most.map(|most| json!(most)));
    let positions = newest.positions("numbers").expect("is a source");
    assert_eq!(positions.len(), 1, "{positions:?}");
    assert_eq!(newest.measure("numbers").expect("is a source").keys, 1);
}

#[test]
fn ranges_of_any_size_hold_the_same() {
    let (folder, numbers) = (folder(), numbers(3_000));
    run(folder.path(), &numbers, 10, |log| log);
    let newest = RecoveryLog::read(folder.path()).expect("is a log").newest().expect("is whole");
    let (_, saved) = newest.find("totals").expect("is the step");
    let all = |bytes| {
        let mut rows = Rows::in_ranges_of(&newest.0, saved.number, Keeps::PerKey, bytes);
        let mut all = Vec::new();
        while let Some(row) =
            rows.next(|_, entry| (entry.group, entry.key.to_vec(), entry.value.to_vec()))
        {
            all.push(row.expect("is whole"));
        }
        all
    };
    let whole = all(u64::MAX);
    assert!(whole.is_sorted() && whole.len() == plainly(&numbers).len());
    assert!(all(1) == whole && all(1_000) == whole);
}

#[test]
fn another_type_is_refused_with_both_shapes() {
    #[stateful]
    #[derive(Debug)]
    struct Other {
        total: u64,
    }
    let folder = folder();
    run(folder.path(), &[1, 2], 1, |log| log);
    let newest = RecoveryLog::read(folder.path()).expect("is a log").newest().expect("is whole");
    let refused = |error: crate::Error, with: &[&str]| {
        let error = error.to_string();
        assert!(with.iter().all(|text| error.contains(text)), "{error}");
    };
    let error = newest.state::<Key, Other>("totals").expect_err("is not Other");
    refused(
        error,
        &[
            "step `totals`: its states",
            "Sum v1 { total: i64, last: Option<String> }",
            "Other v1 { total: u64 }",
        ],
    );
    let error = newest.state::<u64, Sum>("totals").expect_err("is not u64");
    refused(error, &["its keys are saved as (u8, String), and are to be read as u64"]);
    let error = newest.state::<Key, Sum>("most").expect_err("is a broadcast");
    refused(error, &["one value for all workers, not a state for each key", "`broadcast`"]);
    let error = newest.state::<Key, Sum>("total").expect_err("is no step");
    refused(error, &["no step `total`", "`totals`"]);
    let error = newest.positions("totals").expect_err("is no source");
    refused(error, &["not the positions of partitions"]);
}

#[test]
fn a_log_that_is_not_there_is_not_made() {
    let folder = folder();
    let refused = |path: &Path, what: &str| {
        let error = RecoveryLog::read(path).expect_err("is no log").to_string();
        assert!(error.contains(what) && error.contains("help: "), "{error}");
    };
    refused(folder.path(), "is no recovery log: it has no file `FORMAT`");
    refused(&folder.path().join("none"), "is not there");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("can be written");
    refused(&file, "is a file, and a recovery log is a folder");
    assert_eq!(std::fs::read_dir(folder.path()).expect("is there").count(), 1);
}

#[test]
fn a_snapshot_stays_readable_when_its_files_are_removed() {
    let (folder, numbers) = (folder(), numbers(400));
    run(folder.path(), &numbers, 50, |log| log);
    let log = RecoveryLog::read(folder.path()).expect("is a log");
    let snapshot = log.newest().expect("is whole");
    for file in std::fs::read_dir(folder.path().join("seg")).expect("is there") {
        std::fs::remove_file(file.expect("is there").path()).expect("can be removed");
    }
    assert_eq!(snapshot.measure("totals").expect("is open").keys, plainly(&numbers).len() as u64);
    let error = log.newest().expect_err("is gone").to_string();
    assert!(error.contains("is gone, and the commit of epoch 7 needs it"), "{error}");
}

#[stateful(name = "Score", version = 1)]
#[derive(Default)]
struct ScoreV1 {
    points: u32,
}

#[stateful(version = 2, from = ScoreV1)]
#[derive(Default, Debug, PartialEq)]
struct Score {
    points: u64,
    bonus: Option<u8>,
}

impl From<ScoreV1> for Score {
    fn from(old: ScoreV1) -> Score {
        Score { points: old.points.into(), bonus: None }
    }
}

#[stateful_map]
fn score_v1(score: &mut ScoreV1, _player: &u64, n: u64) -> u64 {
    score.points += n as u32;
    score.points.into()
}

#[stateful_map]
fn score(score: &mut Score, _player: &u64, n: u64) -> u64 {
    score.points += n;
    score.bonus = Some(1);
    score.points
}

#[dataflow]
fn game(numbers: Vec<u64>, out: Collect<(u64, u64)>) {
    let numbers = source(from_iter(numbers));
    let by_player = key_by(numbers, |n| n % 4);
    let scores = score(by_player);
    sink(scores, out);
}

mod before {
    use super::*;

    #[dataflow]
    pub(super) fn game(numbers: Vec<u64>, out: Collect<(u64, u64)>) {
        let numbers = source(from_iter(numbers));
        let by_player = key_by(numbers, |n| n % 4);
        let scores = score_v1(by_player);
        sink(scores, out);
    }
}

#[test]
fn states_of_older_versions_are_converted() {
    let folder = folder();
    let (out, _) = collect();
    let before = before::game((0..8).collect(), out).recovery(folder.path()).spawn();
    before.expect("starts").wait().expect("ends");
    let read = || {
        let newest =
            RecoveryLog::read(folder.path()).expect("is a log").newest().expect("is whole");
        let scores = newest.state::<u64, Score>("scores").expect("is converted");
        let scores: BTreeMap<u64, Score> = scores.map(|entry| entry.expect("is whole")).collect();
        let entries = newest.entries("scores").expect("is the step");
        let shown = entries
            .map(|entry| entry.expect("is whole"))
            .map(|entry| (entry.key.as_u64().unwrap_or(9), entry.state));
        (scores, shown.collect::<BTreeMap<_, _>>())
    };
    let (scores, shown) = read();
    assert_eq!(scores[&3], Score { points: 10, bonus: None });
    assert_eq!(shown[&3], json!({ "points": 10 }));
    // A run of the new version leaves what it does not touch as it was.
    let (out, _) = collect();
    let now = game((0..9).collect(), out).recovery(folder.path()).spawn();
    now.expect("starts").wait().expect("ends");
    let (scores, shown) = read();
    assert_eq!(scores[&3], Score { points: 10, bonus: None });
    assert_eq!(scores[&0], Score { points: 12, bonus: Some(1) });
    assert_eq!(shown[&0], json!({ "points": 12, "bonus": 1 }));
    let shown_before = [json!({ "points": 10 }), json!({ "points": 10, "bonus": null })];
    assert!(shown_before.contains(&shown[&3]), "{shown:?}");
    // Nor does a new version keep the old program from being told so.
    let newest = RecoveryLog::read(folder.path()).expect("is a log").newest().expect("is whole");
    let error = newest.state::<u64, ScoreV1>("scores").expect_err("is newer").to_string();
    assert!(error.contains("Score v2") && error.contains("Score v1"), "{error}");
}
