//! The carts, run as a program, against written output and a reference of a few lines, and simulated.

mod common;
#[allow(dead_code, private_interfaces)] // The dataflow of the program is all that is of use here.
#[path = "../examples/cart.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{example, fail, folder, shop, succeed, text};
use flow_runtime::io::{JsonLines, JsonLinesFile};
use flow_runtime::sim::Sim;

/// A folder with events, and where the program writes.
struct Case {
    _keep: tempfile::TempDir,
    events: PathBuf,
    out: PathBuf,
}

impl Case {
    fn of(events: &str) -> Case {
        let (keep, folder) = folder();
        let case = Case {
            _keep: keep,
            events: folder.join("events.jsonl"),
            out: folder.join("out.jsonl"),
        };
        fs::write(&case.events, events).expect("the folder is writable");
        case
    }

    /// The program, with these arguments besides.
    fn cart(&self, args: &[&str]) -> Command {
        let mut command = example("cart");
        command.arg("--events").arg(&self.events).arg("--out").arg(&self.out).args(args);
        command
    }

    /// What the program has written.
    fn written(&self) -> String {
        fs::read_to_string(&self.out).expect("the output was written")
    }
}

/// What the program writes for these events, with these arguments.
fn carts(events: &str, args: &[&str]) -> String {
    let case = Case::of(events);
    succeed(&mut case.cart(args));
    case.written()
}

const WORKERS: [&[&str]; 2] = [&["--workers", "1"], &["--workers", "3"]];

const EVENTS: &str = r#"{"user":"a","type":"order","order_id":1}
{"user":"b","type":"order","order_id":2}
{"user":"a","type":"order","order_id":3}
{"user":"a","type":"payment","order_id":1}
{"order_id":2,"type":"payment","user":"b","note":"what else an event has is left out"}
{"user":"a","type":"payment","order_id":3}
"#;

const CARTS: &str = r#"{"epoch":0,"user":"a","unpaid":[1],"paid":[]}
{"epoch":1,"user":"b","unpaid":[2],"paid":[]}
{"epoch":2,"user":"a","unpaid":[1,3],"paid":[]}
{"epoch":3,"user":"a","unpaid":[3],"paid":[1]}
{"epoch":4,"user":"b","unpaid":[],"paid":[2]}
{"epoch":5,"user":"a","unpaid":[],"paid":[1,3]}
"#;

#[test]
fn every_event_gives_the_orders_of_its_user() {
    for workers in WORKERS {
        assert_eq!(carts(EVENTS, workers), CARTS, "{workers:?}");
        assert_eq!(carts(EVENTS.trim_end(), workers), CARTS, "without a line end, {workers:?}");
        assert_eq!(carts(&EVENTS.replace('\n', "\r\n"), workers), CARTS, "CRLF, {workers:?}");
    }
}

#[test]
fn what_comes_twice_or_too_early_is_taken_once() {
    let events = r#"{"user":"a","type":"payment","order_id":1}
{"user":"a","type":"order","order_id":1}
{"user":"a","type":"order","order_id":2}
{"user":"a","type":"order","order_id":2}
{"user":"a","type":"payment","order_id":2}
{"user":"a","type":"payment","order_id":2}
"#;
    let expected = r#"{"epoch":0,"user":"a","unpaid":[],"paid":[1]}
{"epoch":1,"user":"a","unpaid":[],"paid":[1]}
{"epoch":2,"user":"a","unpaid":[2],"paid":[1]}
{"epoch":3,"user":"a","unpaid":[2],"paid":[1]}
{"epoch":4,"user":"a","unpaid":[],"paid":[1,2]}
{"epoch":5,"user":"a","unpaid":[],"paid":[1,2]}
"#;
    assert_eq!(carts(events, &[]), expected);
}

#[test]
fn a_day_in_the_shop_is_the_same_with_any_number_of_workers() {
    let (events, expected) = shop::generated(1000);
    for workers in WORKERS {
        assert!(carts(&events, workers) == expected, "{workers:?}");
    }
}

#[test]
fn a_line_that_is_no_event_ends_the_run_and_can_be_left_out() {
    let (first, rest) = EVENTS.split_at(EVENTS.match_indices('\n').nth(2).expect("is there").0 + 1);
    let before: String = CARTS.lines().take(3).map(|line| format!("{line}\n")).collect();
    for (bad, what) in [
        ("no event", "expected ident, at column 2, so it is no `Event`"),
        (
            r#"{"user":"a","type":"refund","order_id":1}"#,
            "unknown variant `refund`, expected `order` or `payment`, at column 27, so it is no `Event`",
        ),
        (
            r#"{"user":"a","type":"order"}"#,
            "missing field `order_id`, at column 27, so it is no `Event`",
        ),
        (
            r#"{"user":"a","type":"order","order_id":-1}"#,
            "invalid value: integer `-1`, expected u64, at column 40, so it is no `Event`",
        ),
    ] {
        let case = Case::of(&format!("{first}{bad}\n{rest}"));
        for workers in WORKERS {
            let message = fail(&mut case.cart(workers), 1);
            let place = format!("step `numbered`: line 4 of `{}`: {what}\n", case.events.display());
            assert!(message.starts_with(&format!("Error: {place}")), "{message}");
            assert_eq!(case.written(), before, "what came before is written, {workers:?}");

            let output = succeed(case.cart(workers).arg("--skip-bad-lines"));
            let summary = text(&output.stderr);
            assert!(summary.starts_with("cart: 6 items read, 6 written"), "{summary}");
            let shifted = CARTS
                .replace(r#""epoch":5"#, r#""epoch":6"#)
                .replace(r#""epoch":4"#, r#""epoch":5"#)
                .replace(r#""epoch":3"#, r#""epoch":4"#);
            assert_eq!(case.written(), shifted, "the line is an epoch, {workers:?}");
        }
    }
}

#[test]
fn bad_lines_may_be_first_last_and_all_there_is() {
    for (events, lines) in [("x\n", 1), ("x\n\ny", 3)] {
        let case = Case::of(events);
        let message = fail(&mut case.cart(&[]), 1);
        assert!(message.contains("line 1 of `"), "{message}");
        let output = succeed(&mut case.cart(&["--skip-bad-lines"]));
        assert_eq!(case.written(), "");
        let summary = text(&output.stderr);
        let epochs = if lines == 1 { "1 epoch\n".to_owned() } else { format!("{lines} epochs\n") };
        assert!(summary.ends_with(&epochs), "{summary}");
    }
    let last = Case::of(&format!("{EVENTS}{{\"user\":"));
    let message = fail(&mut last.cart(&["--workers", "3"]), 1);
    assert!(message.contains("line 7 of `"), "{message}");
    assert_eq!(last.written(), CARTS);
}

#[test]
fn blank_lines_are_epochs_without_an_event() {
    let events = format!("\n{}\n  \n", EVENTS.replacen('\n', "\n\n", 1));
    let mut expected = CARTS.to_owned();
    for (epoch, line) in [(5, 7), (4, 6), (3, 5), (2, 4), (1, 3), (0, 1)] {
        expected = expected.replace(&format!("\"epoch\":{epoch},"), &format!("\"epoch\":{line},"));
    }
    for workers in WORKERS {
        assert_eq!(carts(&events, workers), expected, "{workers:?}");
    }
}

#[test]
fn without_events_nothing_is_written() {
    for events in ["", "\n", "\u{feff}"] {
        for workers in WORKERS {
            assert_eq!(carts(events, workers), "", "{events:?}, {workers:?}");
        }
    }
}

#[test]
fn files_that_cannot_be_used_are_one_clear_message() {
    let mut case = Case::of(EVENTS);
    let given = case.events.clone();
    let with = |events: &Path| {
        fail(example("cart").arg("--events").arg(events).arg("--out").arg(&case.out), 1)
    };

    let missing = with(&given.with_file_name("missing.jsonl"));
    assert!(
        missing.contains("step `numbered`: cannot read `")
            && missing.contains("missing.jsonl`: no such file or directory")
            && missing.contains("help: check the path"),
        "{missing}"
    );

    fs::write(given.with_file_name("more.jsonl"), EVENTS).expect("the folder is writable");
    let several = with(given.parent().expect("it is in a folder"));
    assert!(
        several.contains(
            "an epoch per line needs one file, and there are 2: `events.jsonl`, `more.jsonl`"
        ),
        "{several}"
    );

    case.out = given.clone();
    let same = fail(&mut case.cart(&[]), 1);
    assert!(same.contains("events.jsonl` is used by step"), "{same}");
    assert_eq!(fs::read_to_string(&given).expect("it is there"), EVENTS);

    let none = fail(&mut example("cart"), 2);
    assert!(none.contains("--events") && none.contains("--out"), "{none}");
}

#[test]
fn carts_survive_a_crash_anywhere() {
    let (events, expected) = shop::generated(12);
    let report = Sim::new(|world| {
        let events = JsonLines::of(world.file("events.jsonl", &events)).epoch_per_line();
        program::cart(events, JsonLinesFile::at(world.output("carts.jsonl")))
    })
    .crash_everywhere()
    .check(|outcome| {
        let lines: Vec<String> = outcome.rows("carts.jsonl");
        assert_eq!(shop::by_user(&lines.join("\n")), shop::by_user(&expected));
    })
    .run();
    assert!(report.crashes > 100 && report.epochs > 5, "{report:?}");
}
