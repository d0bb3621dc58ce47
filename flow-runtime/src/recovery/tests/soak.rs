//! A long run of updates and deletes: the log stays as large as what it holds, and little is written twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::Virtual;
use crate::describe::StepId;
use crate::io::Random;
use crate::io::testing::Memory;
use crate::recovery::changes::{Buffers, Changes};
use crate::recovery::compact::Round;
use crate::recovery::folder::Folder;
use crate::recovery::manifest::StepSpec;
use crate::recovery::start::Adopted;
use crate::recovery::writer::{Begun, Closing, LogWriter, Whole};
use crate::recovery::{Limits, RecoveryLog};
use crate::state::key_code::{form_of, save_key};
use crate::state::{KeyHasher, Lent, MapState, Saved, Shape, Table, group_of};
use crate::time::{Barrier, Epoch, Timestamp};

const GROUPS: u32 = 64;

/// What an epoch changes.
type Changed = BTreeMap<u64, Option<Vec<u8>>>;

/// A log, its only step, and what it must hold.
struct Soak {
    disk: Memory,
    writer: LogWriter,
    names: Arc<crate::recovery::changes::StepNames>,
    hasher: KeyHasher,
    live: BTreeMap<u64, Vec<u8>>,
    barrier: u64,
    round: Option<Round>,
}

fn counts() -> StepId {
    StepId::of("counts")
}

impl Soak {
    fn new() -> Soak {
        let disk = Memory::default();
        let limits = Limits {
            segment_bytes: 256 << 10,
            commit_records: 64,
            garbage_bytes: 16 << 10,
            range_bytes: 32 << 10,
        };
        let log = RecoveryLog { limits, ..RecoveryLog::at("log").key_groups(GROUPS) };
        let env = Virtual::new(1).with_io(disk.io());
        let shape = Shape::from(Vec::<u8>::SCHEMA);
        let steps = [(counts(), StepSpec::keyed::<u64>("keyed state", shape))];
        let folder = Folder::open(&env, &log, "soak").expect("opens");
        let adopted = folder.adopt(&steps, 1, &log).expect("opens");
        let Adopted { commits, keeper, fence, recovered, generation, .. } = adopted;
        let names = Arc::clone(&recovered.names);
        let hasher = KeyHasher::new(recovered.seed);
        let writer = LogWriter::new(Begun {
            commits,
            keeper,
            files: Arc::clone(&recovered.files),
            layout: recovered.layout.clone(),
            log_id: recovered.log_id,
            generation,
            fence,
            limits,
            sizes: recovered.sizes,
        });
        let (live, barrier, round) = (BTreeMap::new(), 0, None);
        Soak { disk, writer, names, hasher, live, barrier, round }
    }

    fn epoch(&mut self, changed: Changed) {
        let mut changes = Changes::new(Arc::clone(&self.names), Buffers::default());
        {
            let mut keyed = changes.keyed(&counts(), form_of::<u64>()).expect("is a step");
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
                Some(value) => drop(self.live.insert(key, value)),
                None => drop(self.live.remove(&key)),
            }
        }
        changes.has_keys(&counts(), self.live.len() as u64);
        self.commit(changes);
    }

    fn commit(&mut self, changes: Changes) {
        let n = self.barrier;
        self.barrier += 1;
        let closing = Closing {
            barrier: Barrier(n),
            epoch: Epoch(n),
            next: Epoch(n + 1),
            at: Timestamp(0),
            finishes: false,
        };
        let commits = self.writer.write(&[Whole { closing, changes }]);
        let commits = commits.ok().expect("there is room");
        self.writer.commit(commits).ok().expect("there is room");
        self.writer.tidy().expect("nobody else is there");
        self.compact();
    }

    /// Some ranges at a time, as beside a run.
    fn compact(&mut self) {
        if let Some((ground, manifest)) = self.writer.compaction() {
            let round = Round::begin(ground, &manifest, &|| true).expect("is whole");
            self.round = round;
        }
        for _ in 0..8 {
            let Some(round) = &mut self.round else { return };
            match round.next().expect("is whole") {
                Some(base) => self.writer.compacted(base),
                None => {
                    self.round = None;
                    self.writer.round_is_over(true);
                }
            }
            // The committer has nothing else to do.
            if let Some(commit) = self.writer.naming_bases() {
                self.writer.commit(vec![commit]).ok().expect("there is room");
                self.writer.tidy().expect("nobody else is there");
            }
        }
    }

    /// The bytes of what it must hold, as the log holds it.
    fn live_bytes(&self) -> usize {
        // Two lengths, the key, and the value behind its own length.
        self.live.values().map(|value| 2 + 8 + 1 + value.len()).sum()
    }

    fn log_bytes(&self) -> usize {
        let files = self.disk.files();
        let ours = files.iter().filter(|(path, _)| {
            path.starts_with(Path::new("log/seg")) || path.starts_with(Path::new("log/base"))
        });
        ours.map(|(_, bytes)| bytes.len()).sum()
    }

    fn has(&self) -> (usize, usize) {
        let files = self.disk.files();
        (files.len(), files.values().map(Vec::len).sum())
    }
}

/// Some keys out of so many change, a fifth of them goes.
fn some(random: &mut Random, changes: u64, keys: u64) -> Changed {
    let change = |random: &mut Random| {
        let value = vec![random.next_u64() as u8; 24 + random.below(16) as usize];
        (random.below(keys), (random.below(5) > 0).then_some(value))
    };
    (0..changes).map(|_| change(random)).collect()
}

#[test]
fn updates_and_deletes_do_not_let_a_log_grow_nor_be_written_often() {
    let (mut soak, mut random) = (Soak::new(), Random::new(3));
    let epochs = std::env::var("SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(800);
    let (mut worst, mut files) = (0.0_f64, 0);
    for epoch in 0..epochs {
        soak.epoch(some(&mut random, 120, 6_000));
        // The first keys have yet to come.
        if epoch > 150 && epoch % 3 == 0 {
            let (live, log) = (soak.live_bytes(), soak.log_bytes());
            worst = worst.max(log as f64 / live as f64);
            files = files.max(soak.has().0);
        }
    }
    let written = soak.writer.written();
    let amplification = (written.changes + written.bases) as f64 / written.changes as f64;
    println!(
        "the log is at most {worst:.2} times what it holds; each byte is written {amplification:.2} times; at most {files} files"
    );
    assert!(worst <= 2.2, "{worst}");
    assert!(amplification <= 2.1, "{amplification}");
    assert!(files < 100, "{files}");
}

#[test]
fn entries_of_maps_do_not_let_a_log_grow_nor_be_written_often() {
    type Map = MapState<u64, Vec<u8>>;
    let (mut soak, mut random) = (Soak::new(), Random::new(5));
    let mut table = Table::<u64, Map>::new();
    table.saves();
    let mut worst = 0.0_f64;
    for epoch in 0..500 {
        for (entry, value) in some(&mut random, 120, 6_000) {
            let key = entry % 20;
            let hash = soak.hasher.hash(&key);
            let map = table.find_or_insert(hash, &Lent(&key), Map::new).state;
            match value {
                Some(value) => drop(map.insert(entry, value)),
                None => drop(map.remove(&entry)),
            }
        }
        let mut changes = Changes::new(Arc::clone(&soak.names), Buffers::default());
        table.gather(&counts(), &mut changes, |_| false, Saved::save_own);
        table.end_epoch(|_| false);
        soak.commit(changes);
        if epoch > 150 && epoch % 3 == 0 {
            // Three lengths, the keys, and the value behind its own length.
            let of =
                |map: &Map| map.values().map(|value| 3 + 8 + 8 + 1 + value.len()).sum::<usize>();
            let live: usize = table.iter().map(|(_, map)| of(map) + 11).sum();
            worst = worst.max(soak.log_bytes() as f64 / live as f64);
        }
    }
    let written = soak.writer.written();
    let amplification = (written.changes + written.bases) as f64 / written.changes as f64;
    println!("at most {worst:.2} times what it holds; written {amplification:.2} times");
    assert!(worst <= 2.2, "{worst}");
    assert!(amplification <= 2.1, "{amplification}");
}

#[test]
fn a_log_whose_keys_are_deleted_shrinks_to_what_is_left() {
    let mut soak = Soak::new();
    let value = || Some(vec![7; 32]);
    let keys = std::env::var("KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000_u64);
    let parts = || (0..keys / 1_000).map(|part| part * 1_000..(part + 1) * 1_000);
    parts().for_each(|part| soak.epoch(part.map(|key| (key, value())).collect()));
    let before = soak.log_bytes();
    assert!(before as u64 > keys * 43);
    for part in parts() {
        let gone = part.filter(|key| key % 100 != 0);
        soak.epoch(gone.map(|key| (key, None)).collect());
    }
    // Nothing more changes; what is on its way is finished.
    (0..50).for_each(|_| soak.compact());
    let (live, after) = (soak.live_bytes(), soak.log_bytes());
    assert_eq!(soak.live.len() as u64, keys / 100);
    println!(
        "{keys} keys took {before} bytes; a hundredth of them is left, and takes {after} of {live}"
    );
    assert!(after < before / 20, "{before} {after} {live}");
    // No more than the garbage that a log may have anyway.
    assert!(after < 2 * live + (40 << 10), "{after} {live}");
}

#[test]
fn epochs_in_which_little_happens_take_little_room() {
    let mut soak = Soak::new();
    soak.epoch((0..2_000).map(|key| (key, Some(vec![7; 32]))).collect());
    soak.epoch(BTreeMap::new());
    let (_, before) = soak.has();
    for _ in 0..30 {
        // A key a minute, say; without any, nothing is written at all.
        soak.epoch([(5, Some(vec![7; 32]))].into());
    }
    let (_, after) = soak.has();
    println!("{} bytes an epoch", (after - before) / 30);
    let (_, before) = soak.has();
    (0..30).for_each(|_| soak.epoch(BTreeMap::new()));
    assert_eq!(soak.has().1, before, "an epoch in which nothing happens");
}
