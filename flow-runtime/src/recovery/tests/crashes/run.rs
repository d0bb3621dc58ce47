//! A run: it starts, commits epochs, compacts, removes what is not needed, on a disk that may fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::model::{Kept, Trail, World};
use super::start::{GROUPS, Started, counts, file, outbox, partition, source, start, ways_back};
use crate::io::Random;
use crate::recovery::changes::{Buffers, Changes};
use crate::recovery::compact::Round;
use crate::recovery::manifest::Manifest;
use crate::recovery::writer::{Begun, Closing, LogWriter, Whole};
use crate::recovery::{compact::Ground, start::Adopted};
use crate::sim::SimDisk;
use crate::state::key_code::{form_of, save_key};
use crate::state::{KeyHasher, Saved, group_of};
use crate::time::{Barrier, Epoch, Timestamp};

/// What a run does.
#[derive(Clone, Debug)]
pub(super) struct Run {
    seed: u64,
    workers: usize,
    epochs: u64,
    keep: u64,
    /// It goes back, if it can.
    back: bool,
    /// The disk is full at this operation, so often.
    full: Option<(u64, u32)>,
    /// The first sync behind this operation fails.
    failing_sync: Option<u64>,
}

/// Why a run has ended early. The disk is to blame.
struct Ended;

impl Run {
    pub(super) fn drawn(random: &mut Random) -> Run {
        let operation = |random: &mut Random| (random.below(3) == 0).then(|| random.below(160));
        Run {
            seed: random.next_u64(),
            workers: 1 + random.below(4) as usize,
            epochs: 2 + random.below(14),
            keep: 1 + random.below(6),
            back: random.below(6) == 0,
            full: operation(random).map(|at| (at, 1 + random.below(3) as u32)),
            failing_sync: operation(random),
        }
    }

    /// Runs. Answers what the world was like on the way, or what is wrong.
    pub(super) fn go(&self, disk: &SimDisk, world: World) -> Result<Trail, String> {
        let mut random = Random::new(self.seed);
        if let Some((at, attempts)) = self.full {
            disk.full_at(at, attempts);
        }
        if let Some(at) = self.failing_sync {
            disk.fail_sync_at(at);
        }
        let (mut trail, mut world) = (Trail::default(), world);
        let ways = if self.back { ways_back(disk, &world) } else { Vec::new() };
        let back = ways.get(random.below(ways.len() as u64) as usize).copied();
        if let Some(epoch) = back {
            // Cut off it may have gone back, or not yet.
            world.acknowledged = world.acknowledged.min(epoch);
        }
        trail.note(0, &world);
        let started = match start(disk, &mut world, self.workers, self.keep, back)? {
            Ok(started) => started,
            // Nothing was promised.
            Err(_) if self.full.is_some() || self.failing_sync.is_some() => return Ok(trail),
            Err(error) => return Err(format!("the start is refused: {error}")),
        };
        trail.note(disk.operations(), &world);
        let mut going = Going::new(started);
        for _ in 0..self.epochs {
            if going.epochs(disk, &mut world, &mut trail, &mut random).is_err() {
                break;
            }
        }
        Ok(trail)
    }
}

/// A run on its way.
struct Going {
    writer: LogWriter,
    names: Arc<crate::recovery::changes::StepNames>,
    hasher: KeyHasher,
    kept: Kept,
    next: u64,
    barrier: u64,
    out: Box<dyn crate::io::file::File>,
    compacting: Option<Round>,
    waiting: Option<(Ground, Manifest)>,
    _lock: Arc<dyn crate::io::file::Lock>,
}

impl Going {
    fn new(started: Started) -> Going {
        let Started { adopted, kept, out } = started;
        let Adopted { commits, keeper, fence, recovered, generation, lock } = adopted;
        let log = super::start::log(1);
        Going {
            names: Arc::clone(&recovered.names),
            hasher: KeyHasher::new(recovered.seed),
            kept,
            next: recovered.epoch.0,
            barrier: recovered.barrier,
            out,
            compacting: None,
            waiting: None,
            writer: LogWriter::new(Begun {
                commits,
                keeper,
                files: Arc::clone(&recovered.files),
                layout: recovered.layout.clone(),
                log_id: recovered.log_id,
                generation,
                fence,
                limits: log.limits,
                sizes: recovered.sizes,
            }),
            _lock: lock,
        }
    }

    /// Commits the next one or two epochs together, applies what they store, compacts a little.
    fn epochs(
        &mut self,
        disk: &SimDisk,
        world: &mut World,
        trail: &mut Trail,
        random: &mut Random,
    ) -> Result<(), Ended> {
        let mut whole = Vec::new();
        for _ in 0..=random.below(4) / 3 {
            whole.push(self.epoch(world, random)?);
        }
        trail.note(disk.operations(), world);
        self.out.sync().map_err(|_| Ended)?;
        self.writer.fence().check().map_err(|_| Ended)?;
        let mut written = self.writer.write(&whole);
        for _ in 0..3 {
            written = match written {
                Err(refused) if refused.is_full() => self.writer.write(&whole),
                other => other,
            };
        }
        let commits = written.map_err(|_| Ended)?;
        let mut committed = self.writer.commit(commits);
        for _ in 0..3 {
            committed = match committed {
                Err(refused) if refused.is_full() => self.writer.commit_again(),
                other => other,
            };
        }
        committed.map_err(|_| Ended)?;
        world.acknowledged = self.next;
        trail.note(disk.operations(), world);
        for Whole { closing, changes } in &whole {
            for stored in &changes.stored {
                world.apply(closing.epoch, &stored.bytes);
                trail.note(disk.operations(), world);
                // Or the log never learns it in this run, and lists it on.
                if random.below(3) > 0 {
                    self.writer.carried_out(stored.step, &stored.partition, closing.epoch);
                }
            }
        }
        self.writer.tidy().map_err(|_| Ended)?;
        self.compact(random);
        Ok(())
    }

    /// One epoch: some keys change, some go, some rows are written.
    fn epoch(&mut self, world: &mut World, random: &mut Random) -> Result<Whole, Ended> {
        let (epoch, barrier) = (self.next, self.barrier);
        let mut changes = Changes::new(Arc::clone(&self.names), Buffers::default());
        let mut changed: BTreeMap<u64, Option<Vec<u8>>> = BTreeMap::new();
        for _ in 0..random.below(7) {
            let length = random.below(12) as usize;
            let value = (random.below(4) > 0).then(|| vec![epoch as u8; length]);
            changed.insert(random.below(12), value);
        }
        {
            let keyed = changes.keyed(&counts(), form_of::<u64>());
            let mut keyed = keyed.ok_or(Ended)?;
            for (key, value) in &changed {
                let group = group_of(self.hasher.hash(key), GROUPS);
                match value {
                    Some(value) => keyed.put(group, |to| save_key(key, to), |to| value.save(to)),
                    None => keyed.gone(group, |to| save_key(key, to)),
                }
            }
        }
        for (key, value) in changed {
            match value {
                Some(value) => drop(self.kept.state.insert(key, value)),
                None => drop(self.kept.state.remove(&key)),
            }
        }
        changes.has_keys(&counts(), self.kept.state.len() as u64);
        self.kept.read += 1 + random.below(5);
        changes.partition(&source(), &partition(), &encoded(self.kept.read));
        let written = vec![b'a' + (epoch % 26) as u8; random.below(20) as usize];
        let at = self.kept.out.len() as u64;
        self.out.write_at(at, &written).map_err(|_| Ended)?;
        self.kept.out.extend_from_slice(&written);
        changes.partition(&file(), &partition(), &encoded(self.kept.out.len() as u64));
        if random.below(2) == 0 {
            let rows = format!("rows of epoch {epoch}, {}", random.next_u64()).into_bytes();
            world.rows.insert(epoch, rows.clone().into());
            changes.store(&outbox(), &partition(), rows);
        } else {
            world.rows.remove(&epoch);
        }
        (self.next, self.barrier) = (epoch + 1, barrier + 1);
        world.kept.insert(self.next, Arc::new(self.kept.clone()));
        let closing = Closing {
            barrier: Barrier(barrier),
            epoch: Epoch(epoch),
            next: Epoch(self.next),
            at: Timestamp(barrier as i64),
            finishes: false,
        };
        Ok(Whole { closing, changes })
    }

    /// What the compactor does meanwhile. If the disk refuses it the round is over.
    fn compact(&mut self, random: &mut Random) {
        self.waiting = self.waiting.take().or_else(|| self.writer.compaction());
        if let Some((ground, manifest)) = self.waiting.take() {
            match Round::begin(ground, &manifest, &|| true) {
                Ok(Some(round)) => self.compacting = Some(round),
                _ => self.writer.round_is_over(false),
            }
        }
        for _ in 0..random.below(4) {
            let Some(round) = &mut self.compacting else { return };
            match round.next() {
                Ok(Some(base)) => self.writer.compacted(base),
                over => {
                    self.compacting = None;
                    self.writer.round_is_over(over.is_ok());
                }
            }
        }
        // Perhaps no epoch comes soon.
        if random.below(3) == 0
            && let Some(commit) = self.writer.naming_bases()
        {
            let _ = self.writer.commit(vec![commit]).map(|()| self.writer.tidy());
        }
    }
}

fn encoded(number: u64) -> Vec<u8> {
    postcard::to_stdvec(&number).expect("a number can be encoded")
}
