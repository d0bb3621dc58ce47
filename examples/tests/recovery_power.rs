//! The car park on a disk whose power is cut at any moment: a file system that loses what was not synced.
//!
//! `FLOW_POWER_CUTS` is the number of cuts, 6 unless it is given; `FLOW_SEED` decides all but the speed of the machine. It needs root and
//! loop devices, and says where they are missing.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::thread;
use std::time::Duration;

use common::power::LoopDisk;
use common::process::{Process, committed, epoch_after, planned_epoch};
use common::random::{Random, Seed};
use common::visits::{behind_the_last, parking, undisturbed, visits};
use common::{folder, given, succeed};

/// Where the visits go.
#[derive(Clone, Copy, PartialEq)]
enum Output {
    /// To a file on the disk whose power is cut.
    File,
    /// To a folder on another one, which gets a file of each epoch once that is committed: it tells afterwards what was.
    Epochs,
}

/// What cutting came to.
#[derive(Default)]
struct Cuts {
    cuts: u64,
    /// Those after which it was known which epochs had been reported as committed.
    told: u64,
}

/// One log, from its first start to its end, with so many cuts at most.
fn cut_again_and_again(
    disk: &mut LoopDisk,
    elsewhere: &Path,
    output: Output,
    seed: u64,
    most: u64,
) -> Cuts {
    let _seed = Seed(seed);
    let mut random = Random::of(seed);
    let events = 20_000 + most * 5_000;
    let epochs = elsewhere.join(format!("visits-{seed}"));
    std::fs::create_dir_all(&epochs).expect("the folder is writable");
    let epoch = *random.one_of(&["1ms", "4ms", "400items"]);
    let file = |disk: &LoopDisk| disk.path().join(format!("visits-{seed}.csv"));
    let log = |disk: &LoopDisk| disk.path().join(format!("log-{seed}"));
    let command = |disk: &LoopDisk| {
        let mut command = parking(events);
        match output {
            Output::File => command.arg("--out").arg(file(disk)),
            Output::Epochs => command.arg("--epochs").arg(&epochs),
        };
        command.arg("--recovery").arg(log(disk)).args(["--epoch", epoch]);
        command
    };
    let (mut cuts, mut safe, mut is_over) = (Cuts::default(), 0, false);
    while cuts.cuts < most && !is_over {
        let workers = (1 + random.below(6)).to_string();
        let mut process =
            Process::start(command(disk).args(["--rate", "60000", "--workers", &workers]));
        // Some while they start, some once they have committed.
        if random.below(4) > 0 {
            let at_first = committed(&log(disk));
            process.until("a commit", |_| committed(&log(disk)) > at_first);
        }
        thread::sleep(Duration::from_micros(random.below(40_000)));
        disk.cut().expect("it was possible before");
        cuts.cuts += 1;
        if random.below(4) > 0 {
            // It ends by itself, and says what it had committed.
            let (code, said) = process.outcome();
            is_over = code == Some(0);
            assert!(is_over || code == Some(1), "{code:?}\n{said}");
            if let Some(epoch) = epoch_after("everything before epoch ", &said) {
                cuts.told += 1;
                safe = safe.max(epoch);
            }
        } else {
            drop(process);
        }
        if output == Output::Epochs {
            cuts.told += 1;
            safe = safe.max(behind_the_last(&epochs));
        }
        disk.restore().expect("a file system survives it");
        let goes_on = planned_epoch(&mut command(disk));
        assert!(
            goes_on >= safe,
            "epoch {} was committed, and a start goes on at {goes_on}",
            safe - 1
        );
        // It has been read from the disk.
        safe = goes_on;
    }
    succeed(command(disk).args(["--workers", "4"]));
    let out = if output == Output::File { file(disk) } else { epochs.clone() };
    assert!(visits(&out) == undisturbed(elsewhere, events), "the visits differ");
    for gone in [log(disk), epochs] {
        std::fs::remove_dir_all(gone).expect("nobody uses it any more");
    }
    cuts
}

#[test]
fn no_power_cut_loses_what_was_committed() {
    let (wanted, seed) = (given("FLOW_POWER_CUTS", 6), given("FLOW_SEED", 1));
    let (_keep, folder) = folder();
    let mut disk = match LoopDisk::make(&folder) {
        Ok(disk) => disk,
        Err(why) => return println!("skipped: {why}"),
    };
    let (mut histories, mut all) = (0, Cuts::default());
    while all.cuts < wanted || histories < 2 {
        assert!(histories < 4 + wanted, "runs end before the cut: {} cuts", all.cuts);
        let output = if histories % 2 == 0 { Output::File } else { Output::Epochs };
        let most = (wanted - all.cuts.min(wanted)).clamp(wanted.div_ceil(4).min(20), 20).max(1);
        let cuts = cut_again_and_again(&mut disk, &folder, output, seed + histories, most);
        all.cuts += cuts.cuts;
        all.told += cuts.told;
        histories += 1;
    }
    println!(
        "{histories} logs: {} cuts, {} of them with word of what was committed",
        all.cuts, all.told
    );
    assert!(all.told * 2 >= all.cuts, "{} of {} cuts tell something", all.told, all.cuts);
}
