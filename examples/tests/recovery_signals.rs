//! The word count with a recovery log, told to stop, held, and overtaken by another run.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use common::process::{Process, committed, epoch_after, items_read, planned_epoch};
use common::random::Random;
use common::words::{by_chance, final_counts, reference};
use common::{example, folder, succeed, text};

/// A folder with texts, a log, and where the program writes.
struct Case {
    _keep: tempfile::TempDir,
    text: String,
    folder: PathBuf,
    out: PathBuf,
    log: PathBuf,
}

impl Case {
    fn of(seed: u64, lines: usize) -> Case {
        let (keep, folder) = folder();
        let mut random = Random::of(seed);
        let texts: Vec<_> = (0..3).map(|_| by_chance(&mut random, lines / 3)).collect();
        for (n, text) in texts.iter().enumerate() {
            fs::write(folder.join(format!("{n}.txt")), text).expect("the folder is writable");
        }
        let [out, log] = ["counts.csv", "log"].map(|name| folder.join(name));
        Case { _keep: keep, text: texts.concat(), folder, out, log }
    }

    fn words(&self, args: &[&str]) -> Command {
        let mut command = example("word_count");
        command.args((0..3).map(|n| self.folder.join(format!("{n}.txt"))));
        command.arg("--out").arg(&self.out).arg("--recovery").arg(&self.log).args(args);
        command
    }

    fn starts(&self, args: &[&str]) -> Process {
        Process::start(&mut self.words(args))
    }

    fn written(&self) -> Vec<u8> {
        fs::read(&self.out).unwrap_or_default()
    }

    /// All is counted, each word once, and a further run has nothing to do.
    fn is_whole(&self) {
        assert_eq!(final_counts(&self.out), reference(&self.text));
        let written = self.written();
        let said = text(&succeed(&mut self.words(&["--workers", "3"])).stderr);
        assert!(said.contains("resumed at epoch ") && said.ends_with(" 0 epochs\n"), "{said}");
        assert_eq!(items_read(&said), 0);
        assert!(self.written() == written, "a run with nothing to do has written");
    }
}

#[test]
fn a_signal_commits_the_open_epoch_and_the_next_run_goes_on() {
    for signal in ["TERM", "INT"] {
        let case = Case::of(1, 1500);
        let mut read = 0;
        // The epochs are longer than the runs: nothing but the stop closes one.
        for workers in ["3", "1", "5"] {
            let length = case.written().len();
            let before = planned_epoch(&mut case.words(&[]));
            let mut process =
                case.starts(&["--workers", workers, "--rate", "150", "--epoch", "10m"]);
            assert!(process.until("lines", |_| case.written().len() > length));
            assert!(process.signal(signal));
            let said = process.ends(0);
            let mut lines = said.lines();
            let started = lines.next().expect("there is a line");
            match before {
                0 => assert!(started.starts_with("word_count: fresh, run 1, "), "{said}"),
                _ => assert_eq!(epoch_after("resumed at epoch ", started), Some(before), "{said}"),
            }
            let stopping = lines.next().expect("there is another");
            assert!(stopping.starts_with("stopping: the open epoch is being closed"), "{said}");
            assert!(said.ends_with(", 1 epoch\n"), "{said}");
            assert_eq!(planned_epoch(&mut case.words(&[])), before + 1);
            assert!(items_read(&said) > 0);
            read += items_read(&said);
        }
        let written = case.written();
        let said = case.starts(&["--workers", "2"]).ends(0);
        assert_eq!(epoch_after("resumed at epoch ", &said), Some(3), "{said}");
        read += items_read(&said);
        assert_eq!(read, case.text.lines().count() as u64, "each line is read once");
        assert!(case.written().starts_with(&written), "what was committed stays");
        case.is_whole();
    }
}

#[test]
fn a_second_signal_ends_a_run_that_cannot_end_well() {
    let (_keep, folder) = folder();
    let input = folder.join("text.txt");
    // One line, so that the epoch cannot end before all of it is written: far more than a pipe holds, of which nobody reads more
    // than a byte.
    fs::write(&input, "again ".repeat(100_000)).expect("the folder is writable");
    let pipe = folder.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "`mkfifo` is a command of every Unix");
    let mut process = Process::start(example("word_count").arg(&input).arg("--out").arg(&pipe));
    let (sender, writes) = mpsc::channel();
    // In a thread of its own: it waits for the run, and is left behind if that never comes.
    thread::spawn(move || {
        let mut pipe = fs::File::open(&pipe).expect("it is there");
        pipe.read_exact(&mut [0]).expect("the run writes");
        sender.send(pipe).expect("the test waits for it");
    });
    let mut unread = None;
    assert!(process.until("output", |_| {
        unread = unread.take().or_else(|| writes.try_recv().ok());
        unread.is_some()
    }));
    assert!(process.signal("TERM"));
    assert!(process.until("an answer", |process| process.said().starts_with("stopping: ")));
    assert!(process.signal("TERM"));
    let said = process.ends(1);
    let last = said.lines().last().expect("it has said something");
    assert_eq!(last, "ended at once: the first epoch that is not committed is 0");
}

#[test]
fn a_run_that_was_held_and_overtaken_ends_and_spoils_nothing() {
    let case = Case::of(4, 600);
    // Now and then a line: between them it sleeps.
    let mut first = case.starts(&["--workers", "3", "--rate", "5", "--epoch", "1items"]);
    assert!(first.until("a commit", |_| planned_epoch(&mut case.words(&[])) > 0));
    let at_first = committed(&case.log);
    assert!(first.until("another commit", |_| committed(&case.log) > at_first));
    assert!(first.signal("STOP"));

    let refused = case.starts(&["--workers", "2"]).ends(1);
    let holder = format!(
        "Error: the recovery log `{}` is in use by process {}\n",
        case.log.display(),
        first.id()
    );
    assert!(refused.starts_with(&holder), "{refused}");

    // Somebody takes the lock away.
    fs::remove_file(case.log.join("LOCK")).expect("it is there");
    let said = case.starts(&["--workers", "2"]).ends(0);
    assert!(
        said.starts_with("word_count: resumed at epoch ") && said.contains(", run 2, "),
        "{said}"
    );
    let written = case.written();
    assert_eq!(final_counts(&case.out), reference(&case.text));

    assert!(!first.is_over() && first.signal("CONT"));
    let said = first.ends(1);
    assert!(
        said.contains("\nError: ")
            && said.contains("another run has taken over the recovery log: `"),
        "{said}"
    );
    assert!(said.contains("commit-00000002-000000.a` has appeared, and this is run 1\n"), "{said}");
    assert!(case.written() == written, "the run that was overtaken has written");
    case.is_whole();
}
