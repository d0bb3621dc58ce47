//! Compaction against a plain model: what a log says before and after it is the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::merge::Entries;
use super::*;
use crate::io::testing::Memory;
use crate::recovery::block::{self, BlockHead, Run, put_raw};
use crate::recovery::changes::Payload;
use crate::recovery::manifest::{Committed, Format, Part, SavedStep, StepSpec};
use crate::recovery::names::{CommitName, Copy2, SegmentName};
use crate::recovery::segment::Segment;
use crate::state::Shape;
use crate::time::{Epoch, Timestamp};

const GROUPS: u32 = 8;

/// What is done to a key of a step.
#[derive(Clone, Debug)]
enum Act {
    Put(u8),
    PutSub(u8, u8),
    Remove,
    RemoveSub(u8),
    /// Everything with a sub-key goes.
    Clear,
}

/// Everything that a log says, by step, group, key, slot and sub-key.
type Model = BTreeMap<(u32, u16, Vec<u8>, u16, Vec<u8>), Vec<u8>>;

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => any::<u8>().prop_map(Act::Put),
        2 => (0..3_u8, any::<u8>()).prop_map(|(sub, value)| Act::PutSub(sub, value)),
        1 => Just(Act::Remove),
        1 => (0..3_u8).prop_map(Act::RemoveSub),
        1 => Just(Act::Clear),
    ]
}

/// Barriers of acts on (step, key).
fn history() -> impl Strategy<Value = Vec<Vec<(u32, u8, Act)>>> {
    prop::collection::vec(prop::collection::vec((0..3_u32, 0..12_u8, act()), 0..12), 1..8)
}

fn kind_of(act: &Act) -> (Kind, u16, Vec<u8>, Vec<u8>) {
    match act {
        Act::Put(value) => (Kind::Value, 0, vec![], vec![*value; usize::from(*value) % 5]),
        Act::PutSub(sub, value) => (Kind::MapEntry, 1, vec![*sub], vec![*value]),
        Act::Remove => (Kind::Tombstone, 0, vec![], vec![]),
        Act::RemoveSub(sub) => (Kind::EntryTombstone, 1, vec![*sub], vec![]),
        Act::Clear => (Kind::Tombstone, 1, vec![], vec![]),
    }
}

fn group_of(key: u8) -> u16 {
    u16::from(key) * 5 % GROUPS as u16
}

fn apply(model: &mut Model, (step, key, act): &(u32, u8, Act)) {
    let (kind, slot, sub, value) = kind_of(act);
    let (group, bytes) = (group_of(*key), vec![*key]);
    match kind {
        Kind::Tombstone => model.retain(|(s, g, k, of, _), _| {
            (*s, *g, k) != (*step, group, &bytes) || slot > 0 && *of != slot
        }),
        Kind::EntryTombstone => drop(model.remove(&(*step, group, bytes, slot, sub))),
        _ => drop(model.insert((*step, group, bytes, slot, sub), value)),
    }
}

fn head(step: u32, kind: Kind, slot: u16) -> BlockHead {
    BlockHead { step, slot, kind, form: 2, schema: 7 }
}

/// A frame of one entry.
fn payload((step, key, act): &(u32, u8, Act)) -> Payload {
    let (kind, slot, sub, value) = kind_of(act);
    let mut entries = Vec::new();
    put_raw(&mut entries, kind, &[*key], &sub, &value);
    let group = group_of(*key);
    let run = Run { group, count: 1, entries: &entries };
    let bytes = block::encode(head(*step, kind, slot), &[run]);
    Payload { group, count: 1, bytes, stores: false }
}

fn ground(files: &Arc<dyn Files>, generation: u64, range_bytes: u64) -> Ground {
    let layout = Layout::new(Path::new("log"));
    let claim = layout.commit(CommitName { generation, number: 0, copy: Copy2::A });
    files.create(&claim, true).expect("can be made");
    Ground {
        files: Arc::clone(files),
        fence: Fence::new(files, &layout, generation),
        layout,
        log_id: [3; 16],
        generation,
        range_bytes,
    }
}

fn manifest() -> Manifest {
    let format = Format { dataflow: "f".into(), groups: GROUPS, seed: 0, hash: 1 };
    let spec = StepSpec::single("stateful_map", "state", Shape::Plain("u8".into()));
    let step = |number| SavedStep { number, id: format!("s{number}"), spec: spec.clone() };
    Manifest { steps: vec![step(0), step(1)], next_step: 3, ..Manifest::nothing(format) }
}

/// Appends barriers to a segment of their own, in the order of kinds that a run writes.
fn write(
    files: &Arc<dyn Files>,
    manifest: &mut Manifest,
    number: u64,
    acts: &[Vec<(u32, u8, Act)>],
) {
    let ground = ground(files, 1, 0);
    let name = SegmentName { generation: 1, writer: 0, number };
    let first = manifest.next_barrier();
    let made = Segment::create(&**files, &ground.layout, ground.log_id, name, first);
    let mut segment = made.expect("can be made");
    for (barrier, acts) in (first..).zip(acts) {
        acts.iter().for_each(|act| {
            segment.append(barrier, &payload(act)).expect("can be written");
        });
        segment.end_epoch(barrier, 0).expect("can be written");
        let epoch = Epoch(barrier);
        let at = Timestamp(0);
        manifest.last = Some(Committed { generation: 1, barrier, epoch, next: epoch, at });
    }
    segment.sync(&**files, &ground.layout).expect("can be synced");
    let part: Part = segment.part();
    manifest.parts.push(part);
}

/// What a log says.
fn read(files: &Arc<dyn Files>, manifest: &Manifest) -> Model {
    let ground = ground(files, 9, u64::MAX);
    let checked = crate::recovery::check::check(files, &ground.layout, &ground.log_id, manifest)
        .expect("is whole");
    let mut model = Model::new();
    for (step, frames) in &checked.frames {
        for frame in frames {
            let named = &checked.files[frame.file as usize];
            let mut open = files.open(&named.path).expect("is there");
            let mut reader = Frames::new(&mut *open, named.seed, frame.offset, named.end);
            let read = reader.next().expect("can be read").expect("is there");
            let block = Block::decode(read.payload).expect("is a block");
            let (kind, slot) = (block.head.kind, block.head.slot);
            let counts = |group| checked.cover.counts(group, frame.origin);
            let taken = block.entries(counts, |entry| {
                let key = (*step, entry.group, entry.key.to_vec(), slot, entry.sub.to_vec());
                match kind {
                    Kind::Tombstone => model.retain(|(s, g, k, of, _), _| {
                        (*s, *g, &**k) != (*step, entry.group, entry.key) || slot > 0 && *of != slot
                    }),
                    Kind::EntryTombstone => drop(model.remove(&key)),
                    _ => drop(model.insert(key, entry.value.to_vec())),
                }
                Ok::<(), ()>(())
            });
            assert_eq!(taken, Some(Ok(())));
        }
    }
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_a_log_says_is_the_same_after_every_range_of_every_round(
        first in history(), then in history(), range_bytes in 1_u64..60,
    ) {
        let disk = Memory::default();
        ["log", "log/seg"].iter().for_each(|folder| disk.folder(folder));
        let files: Arc<dyn Files> = Arc::new(disk.clone());
        let (mut manifest, mut model) = (manifest(), Model::new());
        for (number, acts) in (0..).zip([&first, &then]) {
            write(&files, &mut manifest, number, acts);
            acts.iter().flatten().for_each(|act| apply(&mut model, act));
            model.retain(|(step, ..), _| *step < 2);
            let say = |manifest: &Manifest| {
                let mut said = read(&files, manifest);
                // The third step is one that the log does not have any more.
                said.retain(|(step, ..), _| *step < 2);
                said
            };
            prop_assert_eq!(&say(&manifest), &model);
            let ground = ground(&files, 2 + number, range_bytes);
            let begun = Round::begin(ground, &manifest, &|| true).expect("is whole");
            let mut round = begun.expect("something was committed");
            let mut ranges = 0;
            while let Some(base) = round.next().expect("can be compacted") {
                ranges += 1;
                manifest.bases.push(base);
                prop_assert_eq!(&say(&manifest), &model);
            }
            prop_assert!(ranges <= GROUPS as usize);
            let cover = Cover::of(&manifest.bases, GROUPS);
            prop_assert_eq!(cover.complete(), manifest.last.map(|last| last.barrier));
            let kept: Vec<Base> = (0..).zip(manifest.bases.drain(..))
                .filter(|(number, _)| cover.serves(*number)).map(|(_, base)| base).collect();
            manifest.bases = kept;
            prop_assert_eq!(manifest.bases.len(), ranges);
            manifest.parts.clear();
            let said = read(&files, &manifest);
            prop_assert_eq!(&said, &model, "and nothing is left of steps that are gone");
        }
    }
}

#[test]
fn of_a_key_the_last_word_is_left_and_nothing_of_one_that_is_gone() {
    let mut entries = Entries::default();
    for act in [
        (0, 1, Act::Put(1)),
        (0, 1, Act::PutSub(0, 9)),
        (0, 1, Act::Put(2)),
        (0, 2, Act::Put(3)),
        (0, 2, Act::Remove),
        (0, 3, Act::Put(4)),
        (0, 3, Act::PutSub(2, 1)),
        (0, 3, Act::RemoveSub(2)),
        (1, 2, Act::Put(4)),
    ] {
        let payload = payload(&act);
        entries.add(&Block::decode(&payload.bytes).expect("is a block"), |_| true).expect("is one");
    }
    let merged = entries.merged();
    let left: Vec<_> = merged
        .blocks()
        .flat_map(|(head, entries)| {
            entries.map(move |entry| (head.step, head.kind, entry.key[0], entry.value.to_vec()))
        })
        .collect();
    let value = |n: u8| vec![n; usize::from(n)];
    assert_eq!(
        left,
        [
            (0, Kind::Value, 1, value(2)),
            (0, Kind::Value, 3, value(4)),
            (0, Kind::MapEntry, 1, vec![9]),
            (1, Kind::Value, 2, value(4)),
        ]
        .map(|mut one| {
            one.3.truncate(4);
            one
        })
    );
}

#[test]
fn ranges_cover_every_group_once() {
    for (bytes, most) in [(1, 8), (10, 8), (25, 8), (1_000, 1)] {
        let sizes: BTreeMap<u16, u64> = (0..8).map(|group| (group, u64::from(group) * 4)).collect();
        let ranges = ranges(&sizes, 8, bytes);
        assert!(ranges.len() <= most, "{ranges:?}");
        let mut next = 0;
        for (first, last) in &ranges {
            assert_eq!(*first, next);
            next = last.wrapping_add(1);
        }
        assert_eq!(ranges.back().map(|(_, last)| *last), Some(NO_GROUP));
    }
    assert_eq!(ranges(&BTreeMap::new(), 1, 10), [(0, NO_GROUP)]);
}

#[test]
fn a_damaged_file_is_named_and_nothing_is_made_of_it() {
    let disk = Memory::default();
    ["log", "log/seg"].iter().for_each(|folder| disk.folder(folder));
    let files: Arc<dyn Files> = Arc::new(disk.clone());
    let mut manifest = manifest();
    write(&files, &mut manifest, 0, &[vec![(0, 1, Act::Put(1)), (1, 2, Act::Put(3))]]);
    let path = "log/seg/00000001-0000-000000.seg";
    let mut bytes = disk.get(path).expect("is there");
    bytes[80] ^= 1;
    disk.put(path, bytes);
    let begun = Round::begin(ground(&files, 2, 10), &manifest, &|| true);
    let error = begun.err().expect("is damaged").to_string();
    assert!(error.contains(path) && error.contains("byte 64"), "{error}");
    assert!(files.list(Path::new("log/base")).is_err());
}
