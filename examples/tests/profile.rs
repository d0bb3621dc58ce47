//! The flag `--profile`, on the word count.
//!
//! The same where steps are counted one by one: `cargo build --examples`, then `cargo test --test profile`, both with
//! `-p flow-examples --features flow-runtime/profile` (`just test-profile`).

mod common;

use std::fs;

use common::words::generated;
use common::{example, folder, succeed, text};

#[test]
fn where_the_time_went_is_shown_behind_the_summary() {
    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    fs::write(&input, generated(2000)).expect("the folder is writable");
    for workers in ["1", "2"] {
        let output =
            succeed(example("word_count").arg(&input).args(["--profile", "--workers", workers]));
        let said = text(&output.stderr);
        let table = said.split_once("word_count: where the time of ").map(|(_, table)| table);
        let table = table.unwrap_or_else(|| panic!("there is no table: {said}"));
        assert!(said.starts_with("word_count: 2,000 items read"), "{said}");
        assert!(table.starts_with(workers), "{said}");
        let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
        let firsts: Vec<String> = table.lines().skip(1).map(first).collect();
        for expected in ["step", "stage", "lines", "words", "by_word", "counts", "idle", "worker"] {
            assert!(firsts.iter().any(|first| first == expected), "{expected}: {said}");
        }
        let hint = "--features flow-runtime/profile";
        let counts_steps = table.lines().any(|line| {
            line.trim_start().starts_with("words ") && line.split_whitespace().count() > 2
        });
        assert_ne!(table.contains(hint), counts_steps, "{said}");
    }
}

#[test]
fn it_is_shown_for_who_asks_and_nobody_else() {
    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    fs::write(&input, generated(100)).expect("the folder is writable");
    let quiet = ["--progress", "never"];
    let output = succeed(example("word_count").arg(&input).args(quiet));
    assert_eq!(text(&output.stderr), "");
    let output = succeed(example("word_count").arg(&input));
    assert_eq!(text(&output.stderr).lines().count(), 1);
    let output = succeed(example("word_count").arg(&input).args(quiet).arg("--profile"));
    assert!(text(&output.stderr).starts_with("word_count: where the time of"));
    let output = succeed(example("word_count").arg(&input).args(quiet).env("FLOW_PROFILE", "true"));
    assert!(text(&output.stderr).starts_with("word_count: where the time of"));
}
