//! Recovery folders that cannot be used, and disks that are full.
#![cfg(unix)]

mod common;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::process::{Process, epoch_after, planned_epoch};
use common::words::{final_counts, reference};
use common::{example, fail, folder, succeed, text};

/// A folder with a text, and where the program writes.
struct Case {
    _keep: tempfile::TempDir,
    folder: PathBuf,
    text: String,
}

impl Case {
    /// Nearly every word is another one, so that much is kept, however long the epochs are.
    fn of(lines: usize) -> Case {
        let (keep, folder) = folder();
        let word = |n: usize| -> String {
            (0..4).map(|place| char::from(b'a' + (n / 26_usize.pow(place) % 26) as u8)).collect()
        };
        let line = |n: usize| format!("again {} {}\n", word(2 * n), word(2 * n + 1));
        let text: String = (0..lines).map(line).collect();
        fs::write(folder.join("text.txt"), &text).expect("the folder is writable");
        Case { _keep: keep, folder, text }
    }

    fn out(&self) -> PathBuf {
        self.folder.join("counts.csv")
    }

    /// The word count with this log.
    fn words(&self, log: &Path) -> Command {
        let mut command = example("word_count");
        command.arg(self.folder.join("text.txt")).arg("--out").arg(self.out());
        command.arg("--recovery").arg(log).args(["--epoch", "50items", "--workers", "3"]);
        command
    }

    /// All is counted, and a further run has nothing to do.
    fn is_whole(&self, log: &Path) {
        assert_eq!(final_counts(&self.out()), reference(&self.text));
        let said = text(&succeed(&mut self.words(log)).stderr);
        assert!(said.starts_with("word_count: resumed at epoch "), "{said}");
        assert!(said.contains(": 0 items read, ") && said.ends_with(" 0 epochs\n"), "{said}");
        assert_eq!(final_counts(&self.out()), reference(&self.text));
    }
}

/// A small disk of its own, which only the processes that are told of it see. It is gone with the process that holds it.
struct SmallDisk {
    holder: Child,
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one; `None`, and a word about it, where this machine does not allow it.
    fn mount(case: &Case, options: &str) -> Option<SmallDisk> {
        let at = case.folder.join("disk");
        fs::create_dir(&at).expect("the folder is writable");
        let script = format!("mount -t tmpfs -o {options} none \"$0\" && touch \"$1\" && exec cat");
        // As root, or else as somebody who is root in a world of his own.
        for user in ["--mount", "--map-root-user"] {
            let mounted = case.folder.join("mounted");
            let started = Command::new("unshare")
                .args([user, "--mount", "sh", "-c", &script])
                .args([&at, &mounted])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(holder) = started else { continue };
            let at = format!("/proc/{}/root{}", holder.id(), at.display());
            let mut disk = SmallDisk { holder, at: PathBuf::from(at) };
            let is_over = |disk: &mut SmallDisk| !matches!(disk.holder.try_wait(), Ok(None));
            while !mounted.exists() && !is_over(&mut disk) {
                std::thread::yield_now();
            }
            if mounted.exists() && fs::read_dir(&disk.at).is_ok() {
                return Some(disk);
            }
        }
        println!("skipped: no disk can be mounted here");
        None
    }

    fn log(&self) -> PathBuf {
        self.at.join("log")
    }

    /// Fills the disk, but for some KiB.
    fn fill(&self, free: usize) {
        let ballast = self.at.join("ballast");
        let mut file = fs::File::create(&ballast).expect("the disk is writable");
        let mut length = 0;
        let full = loop {
            match io::Write::write(&mut file, &[0; 4096]) {
                Ok(written) => length += written,
                Err(error) => break error,
            }
            assert!(length < 16 << 20, "the disk is not small");
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        file.set_len((length - (free << 10)) as u64).expect("a file can be cut");
    }

    fn make_room(&self) {
        fs::remove_file(self.at.join("ballast")).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

const FULL: &str = "no space left on device";

#[test]
fn a_run_on_a_full_disk_waits_and_goes_on_when_there_is_room() {
    let case = Case::of(5000);
    let Some(disk) = SmallDisk::mount(&case, "size=1m") else { return };
    disk.fill(40);
    let log = disk.log();
    let mut process = Process::start(&mut case.words(&log));
    let waits = "word_count: the disk is full: cannot write `";
    assert!(process.until("a full disk", |process| process.said().contains(waits)));
    assert!(process.said().contains(FULL), "{}", process.said());
    let epoch = planned_epoch(&mut case.words(&log));
    assert!(epoch > 0 && !process.is_over());

    disk.make_room();
    let said = process.ends(0);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("word_count: fresh, run 1, "), "{said}");
    assert!(lines[1].ends_with("; waiting until there is room"), "{said}");
    assert_eq!(lines[2], "word_count: there is room again");
    assert_eq!(lines.len(), 4, "the last is the summary: {said}");
    assert!(planned_epoch(&mut case.words(&log)) > epoch);
    case.is_whole(&log);
}

#[test]
fn a_run_that_waits_for_room_leaves_no_trace_of_its_attempts() {
    let case = Case::of(5000);
    let Some(disk) = SmallDisk::mount(&case, "size=1m") else { return };
    disk.fill(40);
    let log = disk.log();
    let mut process = Process::start(&mut case.words(&log));
    assert!(process.until("a full disk", |process| process.said().contains(FULL)));
    // Every attempt touches a folder.
    let folders = [log.clone(), log.join("seg")];
    let touched =
        || folders.clone().map(|folder| fs::metadata(folder).and_then(|meta| meta.modified()).ok());
    let files = || folders.iter().flat_map(|path| fs::read_dir(path).expect("it is there")).count();
    let (mut last, mut attempts) = (touched(), 0);
    let at_first = files();
    assert!(process.until("some attempts", |_| {
        attempts += u64::from(touched() != last);
        last = touched();
        attempts >= 4
    }));
    assert!(files() <= at_first + 1, "{at_first} files have become {}", files());

    // Who does not want to wait ends it, and loses nothing.
    assert!(process.signal("TERM"));
    assert!(process.until("an answer", |process| process.said().contains("stopping: ")));
    assert!(process.signal("TERM"));
    let said = process.ends(1);
    let epoch = epoch_after("ended at once: the first epoch that is not committed is ", &said);
    assert_eq!(epoch, Some(planned_epoch(&mut case.words(&log))), "{said}");
    disk.make_room();
    let said = text(&succeed(&mut case.words(&log)).stderr);
    assert_eq!(epoch_after("resumed at epoch ", &said), epoch, "{said}");
    case.is_whole(&log);
}

#[test]
fn a_run_that_is_not_to_wait_for_room_fails_and_the_next_goes_on() {
    let case = Case::of(5000);
    let Some(disk) = SmallDisk::mount(&case, "size=1m") else { return };
    let log = disk.log();
    let room = "help: make room on the disk and start again: it goes on from the last commit";

    // Not even a start.
    disk.fill(0);
    let message = fail(&mut case.words(&log), 1);
    assert!(message.starts_with("Error: cannot ") && message.contains(FULL), "{message}");
    assert!(message.contains(room), "{message}");
    disk.make_room();

    disk.fill(40);
    let message = fail(case.words(&log).arg("--fail-when-full"), 1);
    assert!(message.contains("Error: cannot write `"), "{message}");
    assert!(message.contains(FULL) && message.contains(room), "{message}");
    let epoch = planned_epoch(&mut case.words(&log));
    assert!(epoch > 0 && epoch_after(" before epoch ", &message) == Some(epoch), "{message}");

    // As long as there is no room the log stays as it is, however often one tries.
    for _ in 0..5 {
        disk.fill(0);
        let message = fail(&mut case.words(&log), 1);
        assert!(message.contains(FULL) && message.contains(room), "{message}");
        assert_eq!(planned_epoch(&mut case.words(&log)), epoch);
    }
    disk.make_room();
    let said = text(&succeed(&mut case.words(&log)).stderr);
    assert_eq!(epoch_after("resumed at epoch ", &said), Some(epoch), "{said}");
    case.is_whole(&log);
}

#[test]
fn a_log_that_is_a_file_is_one_clear_message() {
    let case = Case::of(10);
    let file = case.folder.join("text.txt");
    let message = fail(&mut case.words(&file), 1);
    let what = format!("Error: `{}` is a file, and a recovery log is a folder\n", file.display());
    assert!(message.starts_with(&what) && message.contains("help: give `--recovery` a folder"));
    let below = fail(&mut case.words(&file.join("log")), 1);
    assert!(below.contains("text.txt/log`: not a directory") && below.contains("help:"), "{below}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), case.text);
    assert!(!case.out().exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_one_clear_message() {
    let case = Case::of(10);
    let refused = |log: &Path, why: &str| {
        let message = fail(&mut case.words(log), 1);
        assert!(message.starts_with("Error: cannot ") && message.contains(why), "{message}");
        let help = "help: let the user that runs the program write there, or give `--recovery` another folder";
        assert!(message.contains(help), "{message}");
        assert!(!case.out().exists());
    };
    if let Some(disk) = SmallDisk::mount(&case, "ro,size=1m") {
        refused(&disk.log(), "read-only file system");
        refused(&disk.at, "read-only file system");
    }
    let closed = case.folder.join("closed");
    fs::create_dir(&closed).expect("the folder is writable");
    let mut permissions = fs::metadata(&closed).expect("it is there").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&closed, permissions).expect("it is ours");
    if fs::write(closed.join("file"), "").is_ok() {
        println!("skipped: root may write everywhere");
        return;
    }
    refused(&closed.join("log"), "permission denied");
}

#[test]
fn a_pipe_cannot_be_the_output_of_a_run_that_goes_on() {
    let case = Case::of(10);
    let made = Command::new("mkfifo").arg(case.out()).status();
    assert!(made.is_ok_and(|status| status.success()), "`mkfifo` is a command of every Unix");
    let log = case.folder.join("log");
    // Both ends, so that nobody waits for the other one.
    let pipe = fs::File::options().read(true).write(true).open(case.out());
    let message = fail(&mut case.words(&log), 1);
    assert!(
        message.contains("step `counts.sink`: cannot write `")
            && message.contains("counts.csv`: it is a pipe or a device")
            && message.contains("help: "),
        "{message}"
    );
    drop(pipe);
}
