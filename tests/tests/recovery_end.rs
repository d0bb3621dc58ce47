//! The end of the input: saved like any other place, unless it is the end for good.

use std::time::Duration;

use flow_runtime::ErrorKind;
use flow_runtime::io::{Collect, collect};
use flow_runtime::prelude::*;
use flow_tests::recovery::{INTERRUPTED, On, Out, Place, Script, refused, run_reported};

const DAY: Duration = Duration::from_secs(86_400);

/// Counts lines by their text, and gathers them by their lengths.
#[dataflow]
fn counted(lines: Lines, counts: CsvFile, chunks: Collect<(usize, Vec<String>)>) {
    let all = source(lines);
    let by_text = key_by_ref(all, |line| line.as_str());
    let totals = stateful_map(by_text, |total: &mut u64, _key, _line: String| {
        *total += 1;
        *total
    });
    sink(totals, counts);
    let by_length = key_by(all, String::len);
    let gathered = chunk(by_length, 3, DAY);
    #[id = "chunks"]
    sink(gathered, chunks);
}

/// A run over the file `input`. Answers the chunks that came out.
fn run(place: &Place, workers: usize, finish: bool) -> Vec<(usize, Vec<String>)> {
    let (out, chunks) = collect();
    let flow = counted(Lines::of(place.path("input")), CsvFile::at(place.path("counts.csv")), out);
    let flow = flow.workers(workers).recovery(place.log());
    run_reported(if finish { flow.finish() } else { flow });
    chunks.sorted()
}

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_run_with_appended_input_emits_only_what_is_new() {
    let place = Place::new();
    place.write("input", "a\nb\na\n");
    assert!(run(&place, 2, false) == [(1, lines_of(["a", "b", "a"]))]);
    assert_eq!(lines(&place.read("counts.csv")), ["a,1", "a,2", "b,1"]);
    place.write("input", "a\nb\na\na\ncc\n");
    assert!(run(&place, 3, false).is_empty());
    assert_eq!(lines(&place.read("counts.csv")), ["a,1", "a,2", "a,3", "b,1", "cc,1"]);
    place.write("input", "a\nb\na\na\ncc\nb\nb\n");
    // The chunk that the second run began is filled by the third.
    assert_eq!(run(&place, 1, false), [(1, lines_of(["a", "b", "b"]))]);
    assert_eq!(lines(&place.read("counts.csv"))[3..], ["b,1", "b,2", "b,3", "cc,1"]);
}

fn lines_of<const N: usize>(lines: [&str; N]) -> Vec<String> {
    lines.map(str::to_owned).into()
}

#[test]
fn a_run_without_new_input_emits_nothing_and_leaves_the_log_as_it_is() {
    let place = Place::new();
    place.write("input", "a\nb\na\nb\ndd\n");
    run(&place, 2, false);
    let (mut files, counts) = (place.files_of_log(), place.read("counts.csv"));
    for workers in [2, 1, 5] {
        assert!(run(&place, workers, false).is_empty());
        assert_eq!(place.read("counts.csv"), counts);
        let now = place.files_of_log();
        for (path, bytes) in &files {
            let name = path.file_name().expect("a file has a name").to_string_lossy();
            // The commit that the run began with stands in its own file now.
            if name != "LOCK" && !name.starts_with("commit-") {
                let same = now.iter().find(|(other, _)| other == path).map(|(_, bytes)| bytes);
                assert!(same == Some(bytes), "`{}` has changed", path.display());
            }
        }
        // What is new is the two copies of a commit file that says how the run began.
        let new: Vec<_> =
            now.iter().filter(|(path, _)| !files.iter().any(|(f, _)| f == path)).collect();
        let is_commit = |path: &std::path::Path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("commit-"))
        };
        assert!(new.len() == 2 && new.iter().all(|(path, _)| is_commit(path)), "{new:?}");
        files = now;
    }
}

#[test]
fn what_is_held_back_comes_out_once_when_the_input_is_finished() {
    for (first, second) in [(2, 1), (1, 4)] {
        let place = Place::new();
        place.write("input", "a\nb\ncc\ndd\neee\n");
        assert!(run(&place, first, false).is_empty(), "more may come");
        let all = [(1, lines_of(["a", "b"])), (2, lines_of(["cc", "dd"])), (3, lines_of(["eee"]))];
        assert_eq!(run(&place, second, true), all, "this was the end");
        for finish in [true, false, true] {
            assert!(run(&place, first, finish).is_empty(), "it is not the end again");
        }
        // Input after the end is refused, and nothing of it comes out.
        place.write("input", "a\nb\ncc\ndd\neee\nf\n");
        let (out, chunks) = collect();
        let counts = CsvFile::at(place.path("counts.csv"));
        let flow = counted(Lines::of(place.path("input")), counts, out).workers(first);
        let error = refused(
            flow.recovery(place.log()),
            &["partition input has new input", "`--finish`", "another recovery log"],
        );
        assert_eq!(error.kind(), ErrorKind::Recovery);
        assert!(chunks.is_empty());
        // Without it the end still stands.
        place.write("input", "a\nb\ncc\ndd\neee\n");
        assert!(run(&place, first, false).is_empty());
        assert_eq!(lines(&place.read("counts.csv")), ["a,1", "b,1", "cc,1", "dd,1", "eee,1"]);
    }
}

#[dataflow]
fn passed_on(lines: Lines, out: Collect<String>) {
    let all = source(lines);
    sink(all, out);
}

#[test]
fn nothing_of_the_input_after_the_end_comes_out() {
    let place = Place::new();
    place.write("input", "a\n");
    let (out, found) = collect();
    let flow = || {
        let flow = passed_on(Lines::of(place.path("input")), out.clone());
        flow.workers(1).recovery(place.log())
    };
    run_reported(flow().finish());
    assert_eq!(found.take(), ["a"]);
    place.write("input", "a\nb\n");
    for _ in 0..2 {
        refused(flow(), &["new input"]);
        assert!(found.is_empty(), "it is kept as soon as it arrives");
    }
}

#[test]
fn a_run_that_is_finished_at_once_emits_what_it_holds_back() {
    let place = Place::new();
    place.write("input", "a\nb\n");
    assert_eq!(run(&place, 2, true), [(1, lines_of(["a", "b"]))]);
    assert!(run(&place, 2, true).is_empty());
}

/// A source whose items have epochs, gathered in chunks; the crash comes behind it.
#[dataflow]
fn gathered(items: Script<u64>, bomb: bool, out: Out<(u64, Vec<u64>)>) {
    let all = source(items);
    let by_key = key_by(all, |n| n % 2);
    let chunks = chunk(by_key, 10, DAY);
    let pairs = entries(chunks);
    let noted = inspect(pairs, |pair, seen| {
        out.note(seen.epoch, pair.clone());
        assert!(!bomb, "{INTERRUPTED}");
    });
    discard(noted, "it is noted");
}

#[test]
fn a_crash_while_the_input_is_being_finished_leaves_it_to_be_finished() {
    for on in [On::Threads, On::Virtual(1), On::Virtual(2)] {
        let place = Place::new();
        let out = Out::default();
        let run = |bomb, finish| {
            let script = Script::<_>::each(1..=5).paced();
            let flow = gathered(script, bomb, out.clone()).workers(2).recovery(place.log());
            let outcome = on.run(if finish { flow.finish() } else { flow });
            let mut found = out.take();
            found.sort();
            (outcome.map_err(|error| error.message().contains(INTERRUPTED)), found)
        };
        let (outcome, found) = run(true, true);
        assert_eq!(outcome, Err(true));
        // What came out is in the epoch that was not committed: it comes again.
        assert!(!found.is_empty() && found.iter().all(|(epoch, _)| *epoch == 4), "{found:?}");
        assert_eq!(run(false, false), (Ok(()), vec![]));
        let (outcome, found) = run(false, true);
        assert_eq!(outcome, Ok(()));
        let found: Vec<_> = found.into_iter().map(|(_, pair)| pair).collect();
        assert_eq!(found, [(0, vec![2, 4]), (1, vec![1, 3, 5])]);
        assert_eq!(run(false, true), (Ok(()), vec![]));
    }
}

#[test]
fn input_that_grows_between_runs_ends_up_as_if_read_at_once() {
    let words = ["to", "be", "or", "not", "to", "be", "that", "is", "the", "question"];
    let whole = Place::new();
    whole.write("input", words.map(|word| format!("{word}\n")).concat());
    let mut chunks = run(&whole, 1, true);
    let grown = Place::new();
    let mut parts = Vec::new();
    for end in [0, 1, 1, 4, 9, 10] {
        grown.write(
            "input",
            words[..end].iter().map(|word| format!("{word}\n")).collect::<String>(),
        );
        parts.extend(run(&grown, 1 + end % 3, false));
    }
    parts.extend(run(&grown, 2, true));
    parts.sort();
    chunks.sort();
    assert_eq!(parts, chunks);
    assert_eq!(lines(&grown.read("counts.csv")), lines(&whole.read("counts.csv")));
}
