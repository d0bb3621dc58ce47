//! Two runs on one log, of which the first does not know that it has lost it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::golden::{Model, OUT, adopt, golden, lines, log, open, rows, run, steps, write_lines};
use super::schedule;
use crate::Error;
use crate::io::testing::Memory;
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, TextFile, replay};
use crate::prelude::*;
use crate::recovery::manifest::{Commit, Committed};
use crate::recovery::start::Adopted;
use crate::time::{Epoch, Timestamp};

#[test]
fn the_second_locks_the_first_out_and_the_first_is_told() {
    let disk = Memory::default();
    write_lines(&disk, 8);
    run(&disk, log(), 2, 1).expect("the run succeeds");
    let steps = steps();
    let first = adopt(&disk, &steps).expect("opens");
    let error = adopt(&disk, &steps).err().expect("is locked").to_string();
    assert!(error.contains("the recovery log `log` is in use by a simulated run"), "{error}");
    // Somebody removes the lock.
    let Adopted { mut commits, fence, lock, generation, .. } = first;
    drop(lock);
    fence.check().expect("nobody has come");
    let second = adopt(&disk, &steps).expect("opens");
    assert_eq!((generation, second.generation), (2, 3));
    let error = fence.check().expect_err("is fenced").to_string();
    assert!(error.contains("another run has taken over the recovery log"), "{error}");
    assert!(error.contains("`log/commit-00000003-000000.a` has appeared"), "{error}");
    second.fence.check().expect("is the owner");
    let io = disk.io().fenced(Some(fence));
    io.check_fence().expect_err("sinks write no more");
    // What the first writes all the same, behind the look, nobody reads.
    let last = Committed {
        generation,
        barrier: 100,
        epoch: Epoch(100),
        next: Epoch(101),
        at: Timestamp(0),
    };
    let commit = Commit { finished: true, ..Commit::of(last) };
    let _ = commits.append(vec![commit]);
    drop(second.lock);
    let (found, _) = open(&disk, &steps).expect("opens");
    assert_eq!(found.epoch, 8);
    found.check();
}

#[test]
fn a_claim_that_is_gone_is_noticed() {
    let disk = Memory::default();
    write_lines(&disk, 3);
    let adopted = adopt(&disk, &steps()).expect("opens");
    disk.delete("log/commit-00000001-000000.a");
    let error = adopted.fence.check().expect_err("is gone").to_string();
    assert!(
        error.contains("`log/commit-00000001-000000.a`, which this run has made, is gone"),
        "{error}"
    );
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Lines, each an epoch of its own. At one of them another run claims the log.
#[derive(Clone)]
struct Usurped {
    disk: Memory,
    at: u64,
    then: Arc<Mutex<Option<Files>>>,
}

struct UsurpedReader {
    of: Usurped,
    next: u64,
}

impl Source for Usurped {
    type Item = (Epoch, String);
    type Position = u64;
    type Reader = UsurpedReader;
    type Replay = replay::Replayable;
    const GIVES_EPOCHS: bool = true;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("lines.txt")])
    }
    fn open(&self, _: &Io, _: &PartitionId, resume: Resume<u64>) -> Result<UsurpedReader, Error> {
        let next = match resume {
            Resume::Fresh => 0,
            Resume::At { position, .. } => position,
        };
        Ok(UsurpedReader { of: self.clone(), next })
    }
}

impl Reader for UsurpedReader {
    type Item = (Epoch, String);
    type Position = u64;
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut((Epoch, String)),
    ) -> Result<Poll, Error> {
        if self.next > cx.epoch().0 {
            return Ok(Poll::Epoch(Epoch(self.next)));
        }
        let lines = lines(40);
        let Some(line) = lines.get(self.next as usize) else { return Ok(Poll::End) };
        if self.next == self.of.at {
            self.of.disk.put("log/commit-00000002-000000.a", "");
            *self.of.then.lock().expect("nobody panics") = Some(self.of.disk.files());
        }
        emit((Epoch(self.next), line.clone()));
        self.next += 1;
        Ok(Poll::Ready)
    }
    fn position(&self) -> u64 {
        self.next
    }
}

#[test]
fn a_run_that_has_lost_its_log_writes_nothing_more() {
    let mut committed = 0;
    for seed in 0..30 {
        let disk = Memory::default();
        let then = Arc::new(Mutex::new(None));
        let source = Usurped { disk: disk.clone(), at: 5 + seed % 20, then: Arc::clone(&then) };
        let flow = golden(source.clone(), TextFile::at(OUT)).workers(1 + (seed % 3) as usize);
        let flow = flow.recovery(log());
        let error = flow.simulate_on(schedule(&disk, seed)).expect_err("is fenced").to_string();
        assert!(error.contains("another run has taken over the recovery log"), "{error}");
        let (then, now) = (then.lock().expect("nobody panics").take(), disk.files());
        let then = then.expect("the other one has come");
        let changed = |(path, bytes): &(&PathBuf, &Vec<u8>)| then.get(*path) != Some(*bytes);
        let changed: Vec<_> = now.iter().filter(changed).map(|(path, _)| path).collect();
        assert!(changed.is_empty() && then.len() == now.len(), "seed {seed}: {changed:?}");
        // The other one is cut off, and a third goes on.
        let never = Usurped { at: u64::MAX, ..source };
        let flow = golden(never, TextFile::at(OUT)).workers(2).recovery(log());
        flow.simulate_on(schedule(&disk, seed)).expect("the run succeeds");
        assert_eq!(rows(&disk), Model::at(40).rows);
        committed += then.keys().filter(|path| path.to_string_lossy().contains("/0000")).count();
    }
    assert!(committed > 10, "{committed}");
}
