//! Crashes on a simulated disk: of the log as a run uses it, without the threads of a run.
//!
//! A history is several runs, one after the other, on one disk. Of a run every operation on the disk is remembered: the machine may crash
//! in each of them, by a kill or by a power cut, and the start that follows must find what the model says. One of these crashes, drawn,
//! is what the next run goes on from. So starts are crashed as well, and so is what a start leaves of a crash.
//!
//! | file | what it owns |
//! |---|---|
//! | `model` | what a log must say, and what was promised |
//! | `run` | a run: starts, commits epochs, compacts, removes |
//! | `start` | a start that only looks: does the log say what it must? |
//! | `peek` | the same without taking the log over |
//!
//! `CRASHES=10000000 cargo test --release -p flow-runtime --lib crashes -- --nocapture` is the long form.

mod model;
mod peek;
mod run;
mod start;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::io::Random;
use crate::recovery::planted::{Omitted, omit};
use crate::sim::SimDisk;

use model::World;
use peek::peek;
use run::Run;
use start::look;

/// What went wrong, and where.
#[derive(Debug)]
struct Violation {
    seed: u64,
    history: Vec<String>,
    what: String,
}

/// Goes through one history; adds the crashes to `crashes`.
fn history(seed: u64, crashes: &AtomicU64) -> Result<(), Violation> {
    let mut random = Random::new(seed);
    let mut steps = Vec::new();
    let (mut disk, mut world) = (SimDisk::new(seed), World::default());
    for _ in 0..2 + random.below(3) {
        let run = Run::drawn(&mut random);
        steps.push(format!("{run:?}"));
        disk.record();
        let failed =
            |what: String, steps: &[String]| Violation { seed, history: steps.to_vec(), what };
        let trail = run.go(&disk, world.clone()).map_err(|what| failed(what, &steps))?;
        let moments = disk.take_moments();
        let chosen = random.below(moments.len() as u64 + 1) as usize;
        let mut next = None;
        for (n, moment) in moments.iter().enumerate() {
            let at = moment.operation();
            // Of the many the same seed chooses some.
            if n != chosen && random.below(4) == 0 {
                continue;
            }
            let known = trail.at(at);
            let crashed = moment.crashed(random.next_u64());
            // Of kills there is less to be seen: everything is there.
            let killed = random.below(3) == 0;
            let after = if killed { crashed.after_kill() } else { crashed.after_power_cut() };
            crashes.fetch_add(1, Ordering::Relaxed);
            let how = if killed { "killed" } else { "power cut" };
            // What a run goes on from is started on anyway.
            let seen = match random.below(6) {
                0 => look(&after.fork(), known, 1 + random.below(4) as usize),
                _ => peek(&after, known),
            };
            seen.map_err(|what| failed(format!("{how} in operation {at}: {what}"), &steps))?;
            if n == chosen {
                steps.push(format!("{how} in operation {at}"));
                next = Some((after, known.clone()));
            }
        }
        // Or it was not cut off at all.
        (disk, world) = next.unwrap_or_else(|| (disk.after_kill(), trail.last().clone()));
    }
    Ok(())
}

/// So many crashes, on all processors, beginning with this seed. Answers how many there were, and the first violation.
fn crash(most: u64, first: u64, left_out: Option<Omitted>) -> (u64, Option<Violation>) {
    let (crashes, seed) = (AtomicU64::new(0), AtomicU64::new(first));
    let violation = Mutex::new(None);
    let lock = || violation.lock().unwrap_or_else(PoisonError::into_inner);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                omit(left_out);
                while crashes.load(Ordering::Relaxed) < most && lock().is_none() {
                    let seed = seed.fetch_add(1, Ordering::Relaxed);
                    if let Err(found) = history(seed, &crashes) {
                        let mut violation = lock();
                        let earlier =
                            violation.as_ref().is_none_or(|v: &Violation| found.seed < v.seed);
                        if earlier {
                            *violation = Some(found);
                        }
                    }
                }
            });
        }
    });
    (crashes.into_inner(), violation.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[test]
fn no_crash_loses_what_was_committed() {
    let most = std::env::var("CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let first = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let (crashes, violation) = crash(most, first, None);
    println!("{crashes} crashes, seeds from {first}");
    if let Some(Violation { seed, history, what }) = violation {
        panic!("SEED={seed}: {what}\n  {}", history.join("\n  "));
    }
    assert!(crashes >= most);
}

/// A step of the protocol that is left out is missed.
fn is_missed(step: Omitted) {
    let (crashes, violation) = crash(100_000, 1, Some(step));
    let violation =
        violation.unwrap_or_else(|| panic!("{step:?} is not missed in {crashes} crashes"));
    println!("{step:?}: after {crashes} crashes, seed {}: {}", violation.seed, violation.what);
}

#[test]
fn the_sync_of_changes_is_missed() {
    is_missed(Omitted::DataSync);
}

#[test]
fn the_sync_of_commits_is_missed() {
    is_missed(Omitted::CommitSync);
}

#[test]
fn the_sync_of_folders_is_missed() {
    is_missed(Omitted::FolderSync);
}

#[test]
fn writing_the_adopted_commit_again_is_missed() {
    is_missed(Omitted::CommitAgain);
}

#[test]
fn a_number_for_every_run_is_missed() {
    is_missed(Omitted::Generation);
}

#[test]
fn removing_only_behind_a_commit_is_missed() {
    is_missed(Omitted::CommitBeforeRemoval);
}

#[test]
fn leaving_a_file_whose_sync_has_failed_is_missed() {
    is_missed(Omitted::EndOfFailedFile);
}
