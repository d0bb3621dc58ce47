//! The word count, the trades and the car park, killed again and again: what they write in the end is what an undisturbed run writes.
//!
//! `FLOW_KILLS` is the number of kills, 100 of the word count and 25 of the car park unless it is given; `FLOW_SEED` decides all but the
//! speed of the machine.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::kills::{Kills, bases, kill_again_and_again, lines_sorted, run_to_the_end};
use common::random::{Random, Seed};
use common::sums::last_lines;
use common::visits::{parking, undisturbed, visits};
use common::words::{by_chance, final_counts, reference};
use common::{example, folder, given, succeed};

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
