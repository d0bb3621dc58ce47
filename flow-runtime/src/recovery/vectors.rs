//! The test vectors of `docs/log-format.md` are what the code writes.

use crate::recovery::block::{self, BlockHead, Kind, Run};
use crate::recovery::frame::{FileKind, FrameHead, HEADER, Header, frame_type, put};
use crate::recovery::manifest::{Format, encode};
use crate::state::key_code::{form_of, save_key};
use crate::state::{KeyHasher, Saved, group_of};

const PAGE: &str = include_str!("../../../docs/log-format.md");

fn header() -> Header {
    Header {
        kind: FileKind::Segment,
        copy: 0,
        writer: 0,
        log_id: std::array::from_fn(|n| n as u8),
        generation: 3,
        number: 0,
        first_barrier: 7,
    }
}

/// The page shows bytes as pairs of digits, sixteen a line.
fn said(bytes: &[u8]) {
    for line in bytes.chunks(16) {
        let pairs: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = pairs.join(" ");
        assert!(PAGE.contains(&line), "the page lacks\n{line}\nof {bytes:02x?}");
    }
}

#[test]
fn headers_and_frames() {
    said(&header().encode());
    let mut frame = Vec::new();
    let head = FrameHead { frame_type: frame_type::END, group: 0, barrier: 7, count: 5 };
    put(&mut frame, HEADER as u64, header().seed(), head, &[], |_| {});
    said(&frame);
}

#[test]
fn blocks() {
    let key = 258_u64;
    let mut entries = Vec::new();
    block::put_entry(&mut entries, |to| save_key(&key, to), |to| 7_u32.save(to)).expect("encodes");
    let (kind, form) = (Kind::Value, form_of::<u64>());
    let head = BlockHead { step: 2, slot: 0, kind, form, schema: 0xdead_beef };
    let group = group_of(KeyHasher::new(0).hash(&key), 256) as u16;
    assert!(PAGE.contains(&format!("whose group is {group},")), "{group}");
    said(&block::encode(head, &[Run { group, count: 1, entries: &entries }]));
}

#[test]
fn entries_of_maps_and_lists() {
    let (form, schema) = (form_of::<u64>(), 0xdead_beef);
    let key = 258_u64;
    let group = group_of(KeyHasher::new(0).hash(&key), 256) as u16;
    let (mut name, mut value) = (Vec::new(), Vec::new());
    "tea".to_owned().save(&mut name);
    7_u32.save(&mut value);
    let number = (1_u64 << 63).to_be_bytes();
    let key = key.to_le_bytes();
    for (slot, kind, sub, value) in [
        (1, Kind::MapEntry, &name[..], &value[..]),
        (2, Kind::ListElement, &number[..], &value[..]),
        (1, Kind::EntryTombstone, &name[..], &[]),
        (2, Kind::Tombstone, &[], &[]),
    ] {
        let mut entries = Vec::new();
        block::put_raw(&mut entries, kind, &key, sub, value);
        let head = BlockHead { step: 2, slot, kind, form, schema };
        let bytes = block::encode(head, &[Run { group, count: 1, entries: &entries }]);
        said(&bytes);
        let read = block::Block::decode(&bytes).expect("is a block");
        let found = read.entries(
            |_| true,
            |entry| {
                assert_eq!((entry.key, entry.sub, entry.value), (&key[..], sub, value));
                Ok::<(), ()>(())
            },
        );
        assert_eq!(found, Some(Ok(())));
    }
}

#[test]
fn hashes() {
    for hash in [KeyHasher::new(0).hash(&258_u64), KeyHasher::new(0).hash("flow")] {
        assert!(PAGE.contains(&format!("`{hash:#018x}`")), "{hash:#018x}");
    }
}

#[test]
fn what_is_decided_when_a_log_is_made() {
    said(&encode(&Format { dataflow: "cart".to_owned(), groups: 256, seed: 1, hash: 1 }));
}
