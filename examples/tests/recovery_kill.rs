//! The word count, the trades and the car park, killed again and again: what they write in the end is what an undisturbed run writes.
//!
//! `FLOW_KILLS` is the number of kills, 100 of the word count and 25 of the car park unless it is given; `FLOW_SEED` decides all but the
//! speed of the machine.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::process::{Process, committed, epoch_after, planned_epoch, segments};
use common::random::{Random, Seed};
use common::sums::last_lines;
use common::visits::{parking, undisturbed, visits};
use common::words::{by_chance, final_counts, reference};
use common::{example, folder, given, succeed, text};

/// The names of the bases of a log, whole or on their way. They begin with the barrier up to which the log was compacted.
fn bases(log: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(log.join("base")).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What killing came to.
#[derive(Default)]
struct Kills {
    /// Runs that were started to be killed.
    starts: u64,
    /// Those that were killed, and had not ended before.
    kills: u64,
    /// Those of them that had written to the log.
    writing: u64,
    /// The epochs, above 0, from which runs went on.
    resumed: BTreeSet<u64>,
}

/// Starts runs on a log, and kills each at a moment that chance decides, until one ends by itself, or so many are killed.
/// `between` is called after each. Where the log `compacts` some are killed in the middle of that.
fn kill_again_and_again(
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
fn run_to_the_end(name: &str, command: impl Fn() -> Command, outputs: &[PathBuf]) {
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

fn lines_sorted(file: &Path) -> Vec<String> {
    let written = fs::read_to_string(file).expect("the output was written");
    let mut lines: Vec<_> = written.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// One log of the word count, from its first start to its end.
fn words(seed: u64) -> Kills {
    let _seed = Seed(seed);
    let mut random = Random::of(seed);
    let (_keep, folder) = folder();
    let (input, log) = (folder.join("input"), folder.join("log"));
    fs::create_dir(&input).expect("the folder is writable");
    // What each file is to hold, and how much of that is still to be appended. The last file comes later.
    let texts: Vec<String> = (0..5).map(|_| by_chance(&mut random, 500)).collect();
    let path = |n: usize| input.join(format!("{n}.txt"));
    let written = |n: usize| fs::metadata(path(n)).map_or(0, |meta| meta.len() as usize);
    let grow = |n: usize, lines: usize| {
        let rest = &texts[n][written(n)..];
        let more: String = rest.split_inclusive('\n').take(lines).collect();
        let file = fs::File::options().append(true).create(true).open(path(n));
        let appended =
            file.and_then(|mut file| std::io::Write::write_all(&mut file, more.as_bytes()));
        appended.expect("the folder is writable");
    };
    (0..4).for_each(|n| grow(n, 400));

    let epoch =
        *random.one_of(&["1ms", "5ms", "20ms", "100ms", "1items", "7items", "50items", "500items"]);
    let rate = random.one_of(&["1500", "3000", "6000"]);
    let out = folder.join("counts.csv");
    let unbounded = || {
        let mut command = example("word_count");
        command.arg(&input).arg("--out").arg(&out).args(["--epoch", epoch]);
        command.arg("--recovery").arg(&log);
        command
    };
    let bounded = || {
        let mut command = unbounded();
        command.args(["--rate", rate]);
        command
    };
    let most = 10 + random.below(10);
    let kills = kill_again_and_again(&mut random, most, &log, false, bounded, |random| {
        if random.below(3) == 0 {
            grow(random.below(5) as usize, 1 + random.below(60) as usize);
        }
    });
    (0..5).for_each(|n| grow(n, usize::MAX));
    run_to_the_end("word_count", unbounded, std::slice::from_ref(&out));

    assert_eq!(final_counts(&out), reference(&texts.concat()));
    let undisturbed = folder.join("undisturbed.csv");
    succeed(example("word_count").arg(&input).arg("--out").arg(&undisturbed));
    assert!(lines_sorted(&out) == lines_sorted(&undisturbed), "the lines differ");
    kills
}

#[test]
fn the_words_are_counted_once_however_often_the_run_is_killed() {
    let (wanted, seed) = (given("FLOW_KILLS", 100), given("FLOW_SEED", 1));
    let (mut histories, mut starts, mut kills, mut writing, mut resumed) = (0, 0, 0, 0, 0);
    while kills < wanted || histories < 6 {
        assert!(histories < 6 + wanted, "runs end before they are killed: {kills} of {starts}");
        let history = words(seed + histories);
        println!(
            "seed {}: {} of {} killed, {} while they wrote, {} epochs resumed from",
            seed + histories,
            history.kills,
            history.starts,
            history.writing,
            history.resumed.len()
        );
        histories += 1;
        starts += history.starts;
        kills += history.kills;
        writing += history.writing;
        resumed += history.resumed.len() as u64;
    }
    // That something was tested: most were killed, most of these wrote, and there was progress between kills.
    println!(
        "{histories} logs: {kills} of {starts} killed, {writing} while they wrote, {resumed} epochs resumed from"
    );
    assert!(kills * 2 >= starts, "{kills} of {starts} were killed");
    assert!(writing * 3 >= kills, "{writing} of {kills} wrote");
    assert!(resumed * 4 >= kills, "{resumed} different epochs for {kills} kills");
}

#[test]
fn two_files_of_sums_stay_whole_however_often_the_run_is_killed() {
    let seed = given("FLOW_SEED", 1);
    let _seed = Seed(seed);
    let mut random = Random::of(seed);
    let (_keep, folder) = folder();
    let log = folder.join("log");
    let outputs = ["symbols.csv", "accounts.csv"].map(|name| folder.join(name));
    let unbounded = || {
        let mut command = example("trades");
        command.args(["--trades", "6000", "--seed", "7", "--epoch", "5ms"]);
        command.arg("--out").arg(&folder).arg("--recovery").arg(&log);
        command
    };
    let bounded = || {
        let mut command = unbounded();
        command.args(["--rate", "5000"]);
        command
    };
    let kills = kill_again_and_again(&mut random, 20, &log, false, bounded, |_| {});
    assert!(kills.resumed.len() > 3, "{} epochs resumed from", kills.resumed.len());
    run_to_the_end("trades", unbounded, &outputs);

    let undisturbed = folder.join("undisturbed");
    fs::create_dir(&undisturbed).expect("the folder is writable");
    succeed(example("trades").args(["--trades", "6000", "--seed", "7", "--out"]).arg(&undisturbed));
    for output in &outputs {
        let name = output.file_name().expect("it has a name");
        assert!(last_lines(output) == last_lines(&undisturbed.join(name)), "{name:?}");
    }
}

/// One log of the car park, whose state is small and changes all the time. Answers how many bases it had, too.
fn cars(seed: u64, most: u64) -> (Kills, usize) {
    let _seed = Seed(seed);
    let mut random = Random::of(seed);
    let (_keep, folder) = folder();
    let (log, out) = (folder.join("log"), folder.join("visits.csv"));
    let events = 20_000 + most * 8_000;
    let epoch = *random.one_of(&["1ms", "3ms", "300items"]);
    let unbounded = || {
        let mut command = parking(events);
        command.arg("--out").arg(&out).arg("--recovery").arg(&log).args(["--epoch", epoch]);
        command
    };
    let bounded = || {
        let mut command = unbounded();
        command.args(["--rate", "100000"]);
        command
    };
    let mut compacted = BTreeSet::new();
    let kills = kill_again_and_again(&mut random, most, &log, true, bounded, |_| {
        compacted.append(&mut bases(&log));
    });
    run_to_the_end("parking", unbounded, std::slice::from_ref(&out));
    assert!(visits(&out) == undisturbed(&folder, events), "the visits differ");
    (kills, compacted.len())
}

#[test]
fn no_visit_is_lost_or_there_twice_while_the_log_is_compacted() {
    let (wanted, seed) = (given("FLOW_KILLS", 25), given("FLOW_SEED", 1));
    let (mut histories, mut kills, mut bases) = (0, 0, 0);
    while kills < wanted {
        assert!(histories < 4 + wanted, "runs end before they are killed: {kills} kills");
        let (history, compacted) =
            cars(seed + histories, (wanted - kills.min(wanted)).clamp(10, 100));
        histories += 1;
        kills += history.kills;
        bases += compacted;
        println!(
            "{} of {} killed, {} while they wrote, {} epochs resumed from, {compacted} bases",
            history.kills,
            history.starts,
            history.writing,
            history.resumed.len()
        );
    } // That compaction was disturbed, and not only at the end.
    assert!(bases * 20 >= kills as usize, "{bases} bases for {kills} kills");
}
