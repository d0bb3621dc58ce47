//! The word count, run as a program, against a reference of a few lines, and simulated.

mod common;
#[allow(dead_code, private_interfaces)] // The dataflow of the program is all that is of use here.
#[path = "../examples/word_count.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use common::words::{final_counts, generated, reference};
use common::{example, fail, folder, succeed, text};
use flow_runtime::io::Lines;
use flow_runtime::sim::Sim;

#[test]
fn counts_equal_the_reference_with_any_number_of_workers() {
    let (_keep, folder) = folder();
    let texts = [generated(3000), generated(10), String::new()];
    for (n, text) in texts.iter().enumerate() {
        fs::write(folder.join(format!("{n}.txt")), text).expect("the folder is writable");
    }
    let expected = reference(&texts.join("\n"));
    assert!(expected.len() > 30);
    for workers in ["1", "2", "4", "7"] {
        let out = folder.join("counts.csv");
        let inputs = (0..texts.len()).map(|n| folder.join(format!("{n}.txt")));
        succeed(
            example("word_count")
                .args(inputs)
                .args(["--workers", workers, "--epoch", "10ms"])
                .arg("--out")
                .arg(&out),
        );
        assert_eq!(final_counts(&out), expected, "with {workers} workers");
    }
}

#[test]
fn without_a_file_the_most_frequent_words_are_printed() {
    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    let text_in = generated(2000);
    fs::write(&input, &text_in).expect("the folder is writable");
    let mut expected: Vec<_> = reference(&text_in).into_iter().collect();
    expected.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let expected: String =
        expected.iter().take(20).map(|(word, count)| format!("{count:>8}  {word}\n")).collect();
    let output = succeed(example("word_count").arg(&input));
    assert_eq!(text(&output.stdout), expected);
    assert!(
        text(&output.stderr).starts_with("word_count: 2,000 items read"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn without_an_input_it_reads_the_markdown_files_of_the_repository() {
    let output = succeed(example("word_count").args(["--progress", "never"]));
    assert_eq!(text(&output.stdout).lines().count(), 20);
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn a_graph_is_printed_instead_of_running() {
    for (format, begins) in [
        ("mermaid", "flowchart"),
        ("dot", "digraph \"word_count\""),
        ("json", "{"),
        ("text", "word_count"),
    ] {
        let output = succeed(example("word_count").args(["--graph", format, "/no/such/file"]));
        let graph = text(&output.stdout);
        assert!(graph.starts_with(begins) && graph.contains("by_word"), "{graph}");
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
    }
}

#[test]
fn bad_input_is_one_clear_message() {
    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    fs::write(&input, "a text\n").expect("the folder is writable");
    let bytes = folder.join("latin1.txt");
    fs::write(&bytes, b"good line\nbad \xe4 line\n").expect("the folder is writable");

    let missing = fail(example("word_count").arg(folder.join("missing.txt")), 1);
    assert!(
        missing.contains("step `lines`")
            && missing.contains("missing.txt")
            && missing.contains("help:"),
        "{missing}"
    );

    let utf8 = fail(example("word_count").arg(&bytes), 1);
    assert!(
        utf8.contains("latin1.txt") && utf8.contains("line 2") && utf8.contains("UTF-8"),
        "{utf8}"
    );

    let twice = fail(example("word_count").arg(&input).arg(&input), 1);
    assert!(twice.contains("text.txt"), "{twice}");

    let out = fail(example("word_count").arg(&input).arg("--out").arg(&folder), 1);
    assert!(out.contains("folder"), "{out}");

    let nowhere = fail(
        example("word_count").arg(&input).arg("--out").arg(folder.join("no/such/folder.csv")),
        1,
    );
    assert!(nowhere.contains("no/such"), "{nowhere}");

    for (workers, code) in [("0", 1), ("1000000", 1), ("-1", 2), ("many", 2)] {
        let message =
            fail(example("word_count").arg(&input).arg(format!("--workers={workers}")), code);
        assert!(message.to_lowercase().contains("workers"), "{message}");
    }
    let unknown = fail(example("word_count").arg("--bogus"), 2);
    assert!(unknown.contains("--bogus"), "{unknown}");
    let epoch = fail(example("word_count").args(["--epoch", "soon"]), 2);
    assert!(epoch.contains("500ms"), "{epoch}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_one_clear_message() {
    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    fs::write(&input, generated(100)).expect("the folder is writable");
    let full = fail(example("word_count").arg(&input).args(["--out", "/dev/full"]), 1);
    assert!(full.contains("counts.sink") && full.contains("no space left on device"), "{full}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    fs::write(&input, generated(2000)).expect("the folder is writable");
    let mut child = example("word_count")
        .arg(&input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the example ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
}

#[test]
fn a_file_that_would_be_read_and_written_is_refused_and_keeps_what_it_holds() {
    let (_keep, folder) = folder();
    let file = folder.join("text.txt");
    fs::write(&file, "some words\n").expect("the folder is writable");
    let dotted = folder.join(".").join("text.txt");
    let message = fail(example("word_count").arg(&file).arg("--out").arg(&dotted), 1);
    assert!(message.contains("text.txt` is used by step"), "{message}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "some words\n");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_a_pipe_ends_when_its_reader_goes_away() {
    use std::time::{Duration, Instant};

    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    // Far more than a pipe holds.
    fs::write(&input, generated(60_000)).expect("the folder is writable");
    let mut child = example("word_count")
        .arg(&input)
        .args(["--out", "/dev/stdout"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    drop(child.stdout.take());
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().expect("the example can be asked") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().and_then(|()| child.wait()).expect("the example can be ended");
            panic!("the example waits for a reader that has gone");
        }
        std::thread::yield_now();
    };
    assert!(status.success());
}

#[test]
fn counts_survive_a_crash_anywhere() {
    let text = generated(40);
    let expected = reference(&text);
    let report = Sim::new(|world| {
        program::word_count(Lines::of(world.file("text.txt", &text)), world.sink("counts"))
    })
    .rechunk()
    .crash_everywhere()
    .check(|outcome| {
        let last: BTreeMap<String, u64> = outcome.rows("counts").into_iter().collect();
        assert_eq!(last, expected);
    })
    .run();
    assert!(report.crashes > 100 && report.epochs > 2, "{report:?}");
}
