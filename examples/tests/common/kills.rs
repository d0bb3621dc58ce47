//! Killing runs of an example at moments that chance decides, until one ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::process::{Process, committed, epoch_after, planned_epoch, segments};
use super::random::Random;
use super::{succeed, text};

/// The names of the bases of a log, whole or on their way. They begin with the barrier up to which the log was compacted.
pub(crate) fn bases(log: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(log.join("base")).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What killing came to.
#[derive(Default)]
pub(crate) struct Kills {
    /// Runs that were started to be killed.
    pub(crate) starts: u64,
    /// Those that were killed, and had not ended before.
    pub(crate) kills: u64,
    /// Those of them that had written to the log.
    pub(crate) writing: u64,
    /// The epochs, above 0, from which runs went on.
    pub(crate) resumed: BTreeSet<u64>,
}

/// Starts runs on a log, and kills each at a moment that chance decides, until one ends by itself, or so many are killed.
/// `between` is called after each. Where the log `compacts` some are killed in the middle of that.
pub(crate) fn kill_again_and_again(
    random: &mut Random,
    most: u64,
    log: &Path,
    compacts: bool,
    command: impl Fn() -> Command,
    mut between: impl FnMut(&mut Random),
) -> Kills {
    let mut kills = Kills::default();
    let (mut epoch, mut workers) = (0, 0);
    while kills.kills < most {
        // Up to many more threads than there are cores: some sleep in the middle of anything.
        workers = 1 + (workers + random.below(7)) % 8;
        let before: BTreeSet<PathBuf> = segments(log).into_iter().collect();
        let wrote = |_: &Process| segments(log).iter().any(|path| !before.contains(path));
        let mut process = Process::start(command().args(["--workers", &workers.to_string()]));
        // Some while they start and recover, some once they write, some once they have committed, some while they compact.
        let when = random.below(if compacts { 6 } else { 4 });
        if when > 0 {
            process.until("changes in the log", wrote);
        }
        if when > 1 {
            let at_first = committed(log);
            process.until("a commit", |_| committed(log) > at_first);
        }
        if when > 3 {
            let at_first = bases(log);
            process.until("a base", |_| !bases(log).is_subset(&at_first));
        }
        thread::sleep(Duration::from_micros(random.below(if when > 3 { 8_000 } else { 40_000 })));
        let is_writing = wrote(&process);
        kills.starts += 1;
        let is_killed = process.kill();
        if is_killed {
            kills.kills += 1;
            kills.writing += u64::from(is_writing);
        }
        let goes_on = planned_epoch(&mut command());
        assert!(goes_on >= epoch, "epoch {epoch} was committed, and a start goes on at {goes_on}");
        epoch = goes_on;
        if !is_killed {
            break;
        }
        if epoch > 0 {
            kills.resumed.insert(epoch);
        }
        between(random);
    }
    kills
}

/// Ends what was killed: the run after the last kill, and one more that has nothing to do.
pub(crate) fn run_to_the_end(name: &str, command: impl Fn() -> Command, outputs: &[PathBuf]) {
    let goes_on = planned_epoch(&mut command());
    let said = text(&succeed(command().args(["--workers", "4"])).stderr);
    match goes_on {
        0 => assert!(said.starts_with(&format!("{name}: fresh, run ")), "{said}"),
        _ => assert_eq!(epoch_after("resumed at epoch ", &said), Some(goes_on), "{said}"),
    }
    let read = || outputs.iter().map(|path| fs::read(path).expect("it is there")).collect();
    let written: Vec<_> = read();
    let said = text(&succeed(command().args(["--workers", "3"])).stderr);
    assert!(said.contains("resumed at epoch ") && said.contains(": 0 items read, "), "{said}");
    assert!(said.ends_with(" 0 epochs\n"), "{said}");
    let again: Vec<Vec<u8>> = read();
    assert!(written == again, "a run without new input has changed what was written");
}

/// The lines of a file, in an order that does not depend on which worker wrote when.
pub(crate) fn lines_sorted(file: &Path) -> Vec<String> {
    let written = fs::read_to_string(file).expect("the output was written");
    let mut lines: Vec<_> = written.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}
