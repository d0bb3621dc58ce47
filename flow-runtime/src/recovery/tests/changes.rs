//! A dataflow that has changed between two runs on one log.

use std::collections::BTreeMap;

use super::golden::{OUT, log, write_lines};
use super::schedule;
use crate::error::Error;
use crate::io::testing::Memory;
use crate::prelude::*;
use crate::recovery::RecoveryLog;
use crate::time::Epoch;

fn word((_, line): &(Epoch, String)) -> String {
    line.split(' ').next().unwrap_or_default().to_owned()
}

#[stateful_map]
fn count(count: &mut u64, word: &str, _line: (Epoch, String)) -> String {
    *count += 1;
    format!("{word} {count}")
}

#[stateful_map]
fn narrow(count: &mut u32, word: &str, _line: (Epoch, String)) -> String {
    *count += 1;
    format!("{word} {count}")
}

#[stateful_map]
fn by_length(count: &mut u64, length: &u64, _line: (Epoch, String)) -> String {
    *count += 1;
    format!("{length} {count}")
}

// Dataflows of one name.

mod first {
    use super::*;

    #[dataflow]
    pub(super) fn words<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
        let all = source(lines);
        let by_word = key_by(all, word);
        let counts = count(by_word);
        let rows = values(counts);
        sink(rows, out);
    }
}

mod renamed {
    use super::*;

    #[dataflow]
    pub(super) fn words<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
        let all = source(lines);
        let by_word = key_by(all, word);
        let totals = count(by_word);
        let rows = values(totals);
        sink(rows, out);
    }
}

mod pinned {
    use super::*;

    #[dataflow]
    pub(super) fn words<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
        let all = source(lines);
        let by_word = key_by(all, word);
        #[id = "counts"]
        let totals = count(by_word);
        let rows = values(totals);
        sink(rows, out);
    }
}

mod other_state {
    use super::*;

    #[dataflow]
    pub(super) fn words<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
        let all = source(lines);
        let by_word = key_by(all, word);
        let counts = narrow(by_word);
        let rows = values(counts);
        sink(rows, out);
    }
}

mod other_key {
    use super::*;

    #[dataflow]
    pub(super) fn words<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
        let all = source(lines);
        let by_word = key_by(all, |line| word(line).len() as u64);
        let counts = by_length(by_word);
        let rows = values(counts);
        sink(rows, out);
    }
}

mod removed {
    use super::*;

    #[dataflow]
    pub(super) fn words<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
        let all = source(lines);
        let rows = map(all, |line| format!("{} 0", word(&line)));
        sink(rows, out);
    }
}

mod longer {
    use super::*;

    #[dataflow]
    pub(super) fn words<S: Source<Item = (Epoch, String)>>(lines: S, out: TextFile) {
        let all = source(lines);
        let some = filter(all, |_| true);
        let by_word = key_by(some, word);
        let counts = count(by_word);
        let plain = values(counts);
        let again = key_by(plain, |row: &String| row.clone());
        let firsts = dedupe(again, Ttl::never());
        let rows = values(firsts);
        sink(rows, out);
    }
}

/// Runs one of the versions over so many lines.
macro_rules! run {
    ($version:ident, $disk:expr, $lines:expr, $log:expr) => {{
        let disk: &Memory = $disk;
        write_lines(disk, $lines);
        let flow = $version::words(Lines::of("lines.txt").epoch_per_line(), TextFile::at(OUT));
        flow.workers(2).recovery($log).simulate_on(schedule(disk, 1))
    }};
}

/// How often each word is there in some lines, as the last rows say.
fn last(disk: &Memory) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in disk.text(OUT).lines() {
        let (word, count) = line.rsplit_once(' ').expect("is a row");
        counts.insert(word.to_owned(), count.parse().expect("is a number"));
    }
    counts
}

fn counted(lines: std::ops::Range<usize>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in &super::golden::lines(lines.end)[lines.start..] {
        *counts.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_insert(0) += 1;
    }
    counts
}

fn ran_first() -> Memory {
    let disk = Memory::default();
    run!(first, &disk, 10, log()).expect("the run succeeds");
    disk
}

fn refused(outcome: Result<(), Error>, parts: &[&str]) {
    let error = outcome.expect_err("is refused").to_string();
    for part in parts {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_renamed_step_goes_on_when_that_is_said() {
    let disk = ran_first();
    let before = disk.files();
    let parts = ["`counts` is gone", "--rename-state counts=totals", "state of epoch 10"];
    refused(run!(renamed, &disk, 10, log()), &parts);
    assert_eq!(disk.files(), before, "nothing is changed");
    let pinned = disk.after_kill();
    run!(pinned, &pinned, 20, log()).expect("the run succeeds");
    assert_eq!(last(&pinned), counted(0..20));
    run!(renamed, &disk, 20, log().rename_state("counts", "totals")).expect("the run succeeds");
    assert_eq!(last(&disk), counted(0..20));
    // The same command once more, and without it.
    run!(renamed, &disk, 22, log().rename_state("counts", "totals")).expect("the run succeeds");
    run!(renamed, &disk, 25, log()).expect("the run succeeds");
    assert_eq!(last(&disk), counted(0..25));
    refused(run!(first, &disk, 25, log()), &["`totals` is gone", "--rename-state totals=counts"]);
}

#[test]
fn a_removed_step_is_refused_and_can_be_dropped() {
    let disk = ran_first();
    refused(run!(removed, &disk, 12, log()), &["`counts` is gone", "--drop-state counts"]);
    run!(removed, &disk, 12, log().drop_state("counts")).expect("the run succeeds");
    // It comes back without what it had.
    run!(first, &disk, 20, log()).expect("the run succeeds");
    let rows = disk.text(OUT);
    let late: Vec<_> = rows.lines().skip(12).collect();
    let counts = counted(12..20);
    assert_eq!(late.len(), 8);
    for (word, count) in counts {
        assert!(late.contains(&format!("{word} {count}").as_str()), "{word} {count}: {late:?}");
        assert!(!late.contains(&format!("{word} {}", count + 1).as_str()), "{late:?}");
    }
}

#[test]
fn what_keeps_something_else_is_refused_and_can_begin_anew() {
    for (outcome, parts) in [
        (
            run!(other_state, &ran_first(), 12, log()),
            ["`counts` keeps something else", "of u64", "of u32"],
        ),
        (
            run!(other_key, &ran_first(), 12, log()),
            ["`counts` keeps something else", "by String", "by u64"],
        ),
    ] {
        refused(outcome, &parts);
        // The help is no empty promise.
    }
    let disk = ran_first();
    run!(other_state, &disk, 16, log().drop_state("counts")).expect("the run succeeds");
    let after = last(&disk);
    for (word, count) in counted(10..16) {
        assert_eq!(after[&word], count, "{word}");
    }
    run!(other_state, &disk, 20, log().drop_state("counts")).expect("what fits is kept");
    let after = last(&disk);
    for (word, count) in counted(10..20) {
        assert_eq!(after[&word], count, "{word}");
    }
    let disk = ran_first();
    run!(other_key, &disk, 16, log().drop_state("counts")).expect("the run succeeds");
}

#[test]
fn what_fits_is_dropped_at_its_epoch_only() {
    let disk = ran_first();
    let log = || log().drop_state_at("counts", Epoch(10));
    run!(first, &disk, 16, log()).expect("the run succeeds");
    run!(first, &disk, 20, log()).expect("the run succeeds");
    let after = last(&disk);
    for (word, count) in counted(10..20) {
        assert_eq!(after[&word], count, "{word}");
    }
}

#[test]
fn new_steps_and_other_functions_are_free() {
    let disk = ran_first();
    let before: RecoveryLog = log();
    run!(longer, &disk, 20, before).expect("the run succeeds");
    assert_eq!(last(&disk), counted(0..20));
    refused(run!(first, &disk, 20, log()), &["`firsts` is gone", "--drop-state firsts"]);
}
