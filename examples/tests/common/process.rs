//! A run of an example that can be killed, stopped and watched.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

/// A run that takes longer hangs. Nothing depends on it as long as none does.
const DEADLINE: Duration = Duration::from_secs(120);

/// A process that does not outlive its test.
pub(crate) struct Process {
    child: Child,
    command: String,
    said: NamedTempFile,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Process {
        let said = NamedTempFile::new().expect("the temporary folder is writable");
        let stderr = said.reopen().expect("a file can be opened again");
        let child = command.stdout(Stdio::null()).stderr(stderr).spawn().expect("it starts");
        Process { child, command: format!("{command:?}"), said }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub(crate) fn said(&self) -> String {
        super::text(&fs::read(self.said.path()).expect("the file is there"))
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.status().is_some()
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Waits for something that the run does. Answers `false` if the run ends without it.
    pub(crate) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Process) -> bool) -> bool {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let is_over = self.is_over();
            if is_so(self) {
                return true;
            }
            if is_over {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "waited for: {what}\n{}\n{}",
                self.command,
                self.said()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it as `kill -9` does. Answers whether it was still running; if it was not, it must have ended well.
    pub(crate) fn kill(mut self) -> bool {
        self.child.kill().expect("a child can be killed");
        let status = self.child.wait().expect("a child can be waited for");
        let is_killed = status.signal() == Some(9);
        assert!(
            is_killed || status.success(),
            "{} failed ({status}):\n{}",
            self.command,
            self.said()
        );
        is_killed
    }

    /// Sends a signal by its name. Answers `false` where the process has ended before.
    pub(crate) fn signal(&mut self, name: &str) -> bool {
        if self.is_over() {
            return false;
        }
        // It is not asked meanwhile whether it has ended, so that its number stays its own.
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "`kill` is a command of every Unix");
        true
    }

    /// Waits for its end. Gives its exit code, and what it said.
    pub(crate) fn outcome(mut self) -> (Option<i32>, String) {
        self.until("the end", |_| false);
        let status = self.status().expect("it is over");
        let said = self.said();
        assert!(!said.contains("panicked at") && !said.contains("backtrace"), "{said}");
        (status.code(), said)
    }

    /// Waits for its end, which must be this exit code. Gives what it said.
    pub(crate) fn ends(self, code: i32) -> String {
        let command = self.command.clone();
        let (ended, said) = self.outcome();
        assert_eq!(ended, Some(code), "{command}\n{said}");
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without effect on one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The changes that runs have written to a recovery log: the names of the files.
pub(crate) fn segments(log: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(log.join("seg")).into_iter().flatten();
    let mut paths: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The bytes of a log's commit files. Once a run has made a segment they grow by commits only.
pub(crate) fn committed(log: &Path) -> u64 {
    let entries = fs::read_dir(log).into_iter().flatten().filter_map(Result::ok);
    let commits =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("commit-"));
    commits.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

/// The epoch behind these words.
pub(crate) fn epoch_after(words: &str, text: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(digits.parse().expect("an epoch is a number"))
}

/// Where a start would go on, as `--plan` says it.
pub(crate) fn planned_epoch(command: &mut Command) -> u64 {
    let plan = super::text(&super::succeed(command.arg("--plan")).stdout);
    match epoch_after("goes on at epoch ", &plan) {
        Some(epoch) => epoch,
        None => {
            assert!(plan.contains("holds no recovery log"), "{plan}");
            0
        }
    }
}

/// How many items a summary says were read.
pub(crate) fn items_read(said: &str) -> u64 {
    let line = said.lines().find(|line| line.contains(" items read")).expect("there is a summary");
    let number = line.split([':', ' ']).find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number.expect("it has a number").replace(',', "").parse().expect("it is one")
}
