//! The carts, with a recovery log: killed, ended by bad lines, and gone on with.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::process::{Process, committed, epoch_after, items_read, planned_epoch, segments};
use common::random::{Random, Seed};
use common::shop::{by_user, generated};
use common::{example, folder, succeed};

/// A folder with events, a log, and where the program writes.
struct Case {
    _keep: tempfile::TempDir,
    events: PathBuf,
    out: PathBuf,
    log: PathBuf,
}

impl Case {
    fn of(events: &str) -> Case {
        let (keep, folder) = folder();
        let [events_at, out, log] =
            ["events.jsonl", "out.jsonl", "log"].map(|name| folder.join(name));
        fs::write(&events_at, events).expect("the folder is writable");
        Case { _keep: keep, events: events_at, out, log }
    }

    fn cart(&self, workers: &str) -> Command {
        let mut command = example("cart");
        command.arg("--events").arg(&self.events).arg("--out").arg(&self.out);
        command.arg("--recovery").arg(&self.log).args(["--workers", workers]);
        command
    }

    fn append(&self, lines: &str) {
        let file = fs::File::options().append(true).open(&self.events);
        let appended = file.and_then(|mut file| file.write_all(lines.as_bytes()));
        appended.expect("the folder is writable");
    }

    /// What the program has written.
    fn written(&self) -> String {
        fs::read_to_string(&self.out).expect("the output was written")
    }

    /// A run that ends well. Gives what it said.
    fn runs(&self, workers: &str) -> String {
        Process::start(&mut self.cart(workers)).ends(0)
    }

    /// A run that ends at a bad line, which it must name.
    fn ends_at_line(&self, workers: &str, line: usize) {
        let said = Process::start(&mut self.cart(workers)).ends(1);
        let place = format!("Error: step `numbered`: line {line} of `{}`: ", self.events.display());
        let lines: Vec<_> = said.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with(&place)), "{said}");
        // Where nothing has been committed there is nothing to be said of it.
        let failed = lines.iter().find(|line| line.starts_with("cart: failed; everything before"));
        let goes_on = failed.map_or(Some(0), |line| epoch_after(" before epoch ", line));
        assert_eq!(goes_on, Some(planned_epoch(&mut self.cart("1"))), "{said}");
    }

    fn skips(&self, workers: &str) -> String {
        Process::start(self.cart(workers).arg("--skip-bad-lines")).ends(0)
    }
}

/// What the program writes for these events, undisturbed.
fn undisturbed(events: &str) -> String {
    let case = Case::of(events);
    succeed(
        example("cart")
            .arg("--events")
            .arg(&case.events)
            .arg("--out")
            .arg(&case.out)
            .arg("--skip-bad-lines"),
    );
    case.written()
}

const ORDER: &str = r#"{"user":"a","type":"order","order_id":"#;

/// Orders of one user.
fn orders(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|order| format!("{ORDER}{order}}}\n")).collect()
}

#[test]
fn appended_events_go_on_with_the_carts_and_nothing_is_written_twice() {
    let (events, expected) = generated(300);
    let lines: Vec<&str> = events.split_inclusive('\n').collect();
    let case = Case::of(&lines[..100].concat());
    assert!(case.runs("3").starts_with("cart: fresh, run 1, "));
    let first = case.written();

    let said = case.runs("5");
    assert!(said.starts_with("cart: resumed at epoch 100, run 2, carts: 7 keys"), "{said}");
    assert!(said.contains("cart: 0 items read, ") && said.ends_with(" 0 epochs\n"), "{said}");
    assert_eq!(case.written(), first, "nothing has come, and nothing is written");

    case.append(&lines[100..200].concat());
    let said = case.runs("5");
    assert!(said.starts_with("cart: resumed at epoch 100, run 3, "), "{said}");
    assert!(case.written().starts_with(&first), "what was committed stays");
    case.append(&lines[200..].concat());
    let said = case.runs("1");
    assert!(said.starts_with("cart: resumed at epoch 200, run 4, "), "{said}");
    assert_eq!(case.written(), expected);
}

#[test]
fn killed_runs_repeat_no_line_and_lose_none() {
    let seed = 1;
    let _seed = Seed(seed);
    let mut random = Random::of(seed);
    let (events, expected) = generated(400);
    let case = Case::of(&events);
    let (mut kills, mut resumed) = (0, Vec::new());
    for workers in ["3", "5", "1"].iter().cycle().take(24) {
        let before = segments(&case.log);
        let mut process = Process::start(case.cart(workers).args(["--rate", "500"]));
        if random.below(4) > 0 {
            process.until("changes in the log", |_| {
                segments(&case.log).iter().any(|path| !before.contains(path))
            });
            let at_first = committed(&case.log);
            process.until("a commit", |_| committed(&case.log) > at_first);
        }
        thread::sleep(Duration::from_micros(random.below(40_000)));
        kills += u64::from(process.kill());
        resumed.push(planned_epoch(&mut case.cart(workers)));
    }
    assert!(resumed.is_sorted(), "what was committed is lost: {resumed:?}");
    resumed.dedup();
    println!("{kills} kills, resumed at {resumed:?}");
    assert!(kills >= 5 && resumed.len() >= 5, "{kills} kills, resumed at {resumed:?}");
    case.runs("2");
    assert_eq!(case.written(), expected);
    let said = case.runs("4");
    assert!(
        said.starts_with("cart: resumed at epoch 400, ") && said.ends_with(" 0 epochs\n"),
        "{said}"
    );
    assert_eq!(case.written(), expected);
}

#[test]
fn a_run_that_ends_at_a_bad_line_goes_on_behind_it() {
    let (events, _) = generated(90);
    let mut lines: Vec<&str> = events.split_inclusive('\n').collect();
    lines.insert(60, "no event\n");
    lines.insert(30, "{\"user\":\"a\"}\n");
    let case = Case::of(&lines.concat());
    let expected = undisturbed(&lines.concat());
    let until = |line: u64| -> String {
        let before = |text: &&str| epoch_after("\"epoch\":", text).expect("it has an epoch") < line;
        expected.lines().filter(before).map(|text| format!("{text}\n")).collect()
    };
    // As often as one likes: the line is where it was.
    for workers in ["3", "5", "1"] {
        case.ends_at_line(workers, 31);
        assert_eq!(case.written(), until(30));
        assert_eq!(planned_epoch(&mut case.cart("2")), 30);
    }
    // Skipped for a while only: the run is killed between the bad lines, so that the next one finds the other.
    let mut process = Process::start(case.cart("5").args(["--skip-bad-lines", "--rate", "5"]));
    process.until("three lines more", |_| planned_epoch(&mut case.cart("2")) >= 34);
    assert!(process.kill() && planned_epoch(&mut case.cart("2")) < 61);
    for workers in ["3", "1"] {
        case.ends_at_line(workers, 62);
        assert_eq!(case.written(), until(61));
    }
    let said = case.skips("3");
    assert!(said.starts_with("cart: resumed at epoch 61, "), "{said}");
    assert_eq!(case.written(), expected);
}

#[test]
fn a_bad_line_that_is_the_first_of_a_run_ends_it_at_once() {
    // The very first line of all, on a log that holds nothing yet and then on one that still does.
    let case = Case::of(&format!("bad\n{}", orders(1..3)));
    for workers in ["1", "3"] {
        case.ends_at_line(workers, 1);
        assert_eq!(case.written(), "");
    }
    case.skips("5");
    assert_eq!(case.written().lines().count(), 2);

    // The first line that is appended: all epochs before it were committed by an earlier run.
    let written = case.written();
    case.append(&format!("bad\n{}", orders(3..4)));
    for workers in ["5", "1"] {
        case.ends_at_line(workers, 4);
        assert_eq!(case.written(), written);
        assert_eq!(planned_epoch(&mut case.cart("1")), 3);
    }
    // The second of a run, behind a blank one, of which nothing comes but a position.
    let case = Case::of(&orders(0..2));
    case.runs("3");
    case.append(&format!("\n  \nbad\n\nbad too\n{}", orders(2..4)));
    for workers in ["3", "1"] {
        case.ends_at_line(workers, 5);
    }
    // Two bad lines one behind the other, with a run between them that takes only the first.
    let said = case.skips("1");
    assert!(said.starts_with("cart: resumed at epoch 4, "), "{said}");
    let expected = undisturbed(&fs::read_to_string(&case.events).expect("it is there"));
    assert_eq!(case.written(), expected);
    // At the very end.
    case.append("bad");
    case.ends_at_line("3", 10);
    let said = case.skips("3");
    assert!(said.starts_with("cart: resumed at epoch 9, "), "{said}");
    assert_eq!(case.written(), expected);
}

/// A stop closes the open epoch, whether its line has been read or not. What is in the next epoch then is an earlier line.
#[test]
fn a_bad_line_right_behind_a_stop_ends_the_next_run() {
    let seed = 3;
    let _seed = Seed(seed);
    let mut random = Random::of(seed);
    let mut stops = 0;
    for _ in 0..6 {
        let bad = 10 + random.below(5);
        let case = Case::of(&format!("{}bad\n{}", orders(0..bad), orders(bad..20)));
        let mut process = Process::start(case.cart("3").args(["--rate", "50"]));
        process.until("a line", |_| fs::metadata(&case.out).is_ok_and(|meta| meta.len() > 0));
        thread::sleep(Duration::from_micros(random.below(150_000)));
        process.signal("TERM");
        // It may have come to the bad line before.
        let (code, said) = process.outcome();
        assert!(code == Some(0) || said.contains(&format!("line {} of", bad + 1)), "{said}");
        stops += u64::from(code == Some(0));
        case.ends_at_line("5", bad as usize + 1);
        let written = case.written();
        assert_eq!(written.lines().count(), bad as usize);
        case.skips("1");
        assert!(case.written().starts_with(&written));
        let expected = undisturbed(&fs::read_to_string(&case.events).expect("it is there"));
        assert_eq!(by_user(&case.written()), by_user(&expected));
    }
    assert!(stops > 0, "every run came to the bad line before it was stopped");
}

#[test]
fn stopped_again_and_again_it_goes_on_each_time() {
    let seed = 5;
    let _seed = Seed(seed);
    let mut random = Random::of(seed);
    let (events, expected) = generated(200);
    let case = Case::of(&events);
    let mut read = 0;
    for workers in ["3", "5", "1", "2", "4"] {
        let before = planned_epoch(&mut case.cart("1"));
        let mut process = Process::start(case.cart(workers).args(["--rate", "50"]));
        process.until("a commit", |_| planned_epoch(&mut case.cart("1")) > before);
        thread::sleep(Duration::from_micros(random.below(20_000)));
        process.signal("TERM");
        let said = process.ends(0);
        read += items_read(&said);
        assert!(expected.starts_with(&case.written()), "{said}");
    }
    let said = case.runs("3");
    read += items_read(&said);
    assert_eq!(read, expected.lines().count() as u64, "each line is read once");
    assert_eq!(case.written(), expected);
}
