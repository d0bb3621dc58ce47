//! A target that is slower than the input: what is read waits for it, and memory does not grow with the wait.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Clocks of the machine.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flow_runtime::io::{Outbox, OutboxConnection, PartitionId, outbox};
use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use flow_runtime::{Error, Running};

/// A target that takes nothing while the test holds its lock.
#[derive(Clone, Default)]
struct Target(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    rows: u64,
    last: Option<Epoch>,
}

struct Connected(Target);

impl Outbox for Target {
    type Row = u64;
    type Connection = Connected;
    fn connect(&self, _: &PartitionId, _: &str) -> Result<Connected, Error> {
        Ok(Connected(self.clone()))
    }
}

impl OutboxConnection for Connected {
    type Row = u64;
    fn last_applied(&mut self) -> Result<Option<Epoch>, Error> {
        Ok(self.0.0.lock().expect("nobody panics").last)
    }
    fn apply(&mut self, epoch: Epoch, rows: Vec<u64>) -> Result<(), Error> {
        let mut taken = self.0.0.lock().expect("nobody panics");
        taken.rows += rows.len() as u64;
        taken.last = Some(epoch);
        Ok(())
    }
}

#[dataflow]
fn numbers(count: u64, out: Target) {
    let all = source(from_iter(0..count));
    sink(all, outbox(out));
}

/// Waits until nothing is read any more. Answers how much was.
fn read_until_held(running: &Running, count: u64) -> u64 {
    let began = Instant::now();
    let mut before = 0;
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = running.progress().items_in;
        if now == before && now > 0 {
            return now;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{now} of {count} are read, and more");
        before = now;
    }
}

#[test]
fn what_is_read_waits_for_a_slow_target() {
    const COUNT: u64 = 1 << 40; // As good as without end: whoever does not wait runs out of memory.
    for policy in [EpochPolicy::every(Duration::from_millis(5)), EpochPolicy::items(1000)] {
        let folder = tempfile::tempdir().expect("makes a folder");
        let target = Target::default();
        let held = target.0.lock().expect("nobody panics");
        let flow = numbers(COUNT, target.clone()).workers(2).epochs(policy);
        // A start asks the target, so it must not be held from the beginning.
        drop(held);
        let running = flow.recovery(folder.path()).spawn().expect("starts");
        let held = target.0.lock().expect("nobody panics");
        read_until_held(&running, COUNT);
        drop(held);
        // It goes on, and a stop commits and carries out what was read.
        let before = target.0.lock().expect("nobody panics").rows;
        let began = Instant::now();
        while target.0.lock().expect("nobody panics").rows == before {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing more is carried out");
            thread::sleep(Duration::from_millis(5));
        }
        let summary = running.stop_blocking().expect("stops");
        assert_eq!(target.0.lock().expect("nobody panics").rows, summary.items_in);
    }
}
