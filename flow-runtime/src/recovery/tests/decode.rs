//! Bytes of any kind where a log should be.

use std::path::Path;

use proptest::prelude::*;

use super::golden::{Golden, adopt, files_of, make, open, steps, write_lines};
use crate::io::file::Files;
use crate::io::testing::Memory;
use crate::recovery::block::Block;
use crate::recovery::frame::{FileKind, FrameHead, Frames, HEADER, Header, put};
use crate::recovery::manifest::{Format, Manifest, Record, decode, encode};

/// Reads all frames of these bytes; answers how many.
fn frames(bytes: &[u8], seed: u32) -> usize {
    let disk = Memory::default();
    disk.put("file", bytes);
    let mut file = disk.open(Path::new("file")).expect("is there");
    let mut frames = Frames::new(&mut *file, seed, 0, bytes.len() as u64);
    let mut count = 0;
    while let Ok(Some(frame)) = frames.next() {
        assert!(frame.payload.len() <= bytes.len());
        let _ =
            Block::decode(frame.payload).map(|block| block.entries(|_| true, |_| Ok::<(), ()>(())));
        count += 1;
    }
    count
}

/// Bytes that begin like a frame.
fn like_a_frame() -> impl Strategy<Value = Vec<u8>> {
    let rest = prop::collection::vec(any::<u8>(), 0..64);
    (any::<u32>(), 0..6_u8, 0..3_u8, rest).prop_map(|(length, of_type, flags, rest)| {
        let length = if length % 2 == 0 { length % 100 } else { length };
        [&length.to_le_bytes()[..], &[of_type, flags], &rest].concat()
    })
}

fn changed(
    bytes: &[u8],
    changes: &[(prop::sample::Index, u8)],
    cut: prop::sample::Index,
) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, with) in changes {
        let at = at.index(bytes.len());
        bytes[at] ^= with;
    }
    bytes.truncate(1 + cut.index(bytes.len()));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), like in like_a_frame()) {
        prop_assert_eq!(frames(&bytes, 1), 0);
        prop_assert_eq!(frames(&like, 1), 0);
        let _ = decode::<Format>(&bytes);
        let _ = decode::<Manifest>(&bytes);
        let _ = decode::<Record>(&bytes);
        if let Some(header) = bytes.first_chunk::<HEADER>() {
            prop_assert!(Header::decode(header, FileKind::Segment).is_err());
        }
    }

    #[test]
    fn frames_of_any_payload_are_read(payload in prop::collection::vec(any::<u8>(), 0..300), of_type: u8, group: u16) {
        // Somebody who knows how to compute checksums.
        let head = FrameHead { frame_type: of_type, group, barrier: 3, count: u32::MAX };
        let mut bytes = Vec::new();
        put(&mut bytes, 0, 1, head, &payload, |_| {});
        prop_assert_eq!(frames(&bytes, 1), 1);
    }
}

#[test]
fn changed_manifests_are_refused_or_read() {
    let Golden { manifest, steps, .. } = make();
    let bytes = encode(&manifest);
    assert_eq!(decode::<Manifest>(&bytes).as_ref(), Some(&manifest));
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let config = ProptestConfig { cases: 3000, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let all = (changes, any::<prop::sample::Index>());
    let tried = runner.run(&all, |(changes, cut)| {
        if let Some(manifest) = decode::<Manifest>(&changed(&bytes, &changes, cut)) {
            // Whatever it says, it can be compared and shown.
            let allowed = crate::recovery::compare::Allowed::default();
            let _ = crate::recovery::compare::compare(&manifest, &steps, &allowed, &|_| {
                Some(Default::default())
            });
        }
        Ok(())
    });
    tried.expect("nothing panics");
}

/// A log whose first commit says this, with the right checksums: of somebody who means harm.
fn forged(change: impl FnOnce(&mut Manifest)) -> String {
    let Golden { disk, mut manifest, steps, .. } = make();
    change(&mut manifest);
    let mut files = disk.files();
    let format = &files[Path::new("log/FORMAT")];
    let log_id: [u8; 16] = format[16..32].try_into().expect("has 16 bytes");
    for copy in [0, 1] {
        let header = Header {
            kind: FileKind::Commit,
            copy,
            writer: 0,
            log_id,
            generation: 9,
            number: 0,
            first_barrier: 0,
        };
        let mut bytes = header.encode().to_vec();
        let head = FrameHead { frame_type: 3, group: 0, barrier: 0, count: 1 };
        let mut record = Vec::new();
        put(&mut record, HEADER as u64, header.seed(), head, &encode(&manifest), |_| {});
        bytes.extend(record);
        let name = format!("log/commit-00000009-000000.{}", if copy == 0 { "a" } else { "b" });
        files.insert(name.into(), bytes);
    }
    let error = open(&Memory::of(files, vec![]), &steps).expect_err("is refused");
    error.to_string()
}

#[test]
fn a_forged_commit_that_names_what_is_not_there_is_refused() {
    let error = forged(|manifest| manifest.parts[0].end = u64::MAX);
    assert!(error.contains("before what is committed"), "{error}");
    let error = forged(|manifest| manifest.parts[0].start = u64::MAX);
    assert!(error.contains("is damaged at byte"), "{error}");
    let error = forged(|manifest| manifest.parts[0].start = 3);
    assert!(error.contains("is damaged at byte 3"), "{error}");
    let error = forged(|manifest| manifest.parts[0].crc ^= 1);
    assert!(error.contains("are not those that were committed"), "{error}");
    let error = forged(|manifest| manifest.parts[0].file.generation = 8);
    assert!(error.contains("is gone, and the commit of epoch 21 needs it"), "{error}");
    let error = forged(|manifest| manifest.format.seed ^= 1);
    assert!(error.contains("`log/FORMAT` is damaged"), "{error}");
}

#[test]
fn a_folder_of_anything_is_refused_or_a_log() {
    let Golden { disk, found, steps: golden, .. } = make();
    let files = files_of(&disk);
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let config = ProptestConfig { cases: 300, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let which = prop::collection::vec((any::<prop::sample::Index>(), bytes), 0..5);
    let tried = runner.run(&which, |replaced| {
        let mut files = files.clone();
        for (which, bytes) in replaced {
            let path = files.keys().nth(which.index(files.len())).cloned();
            files.insert(path.expect("is there"), bytes);
        }
        if let Ok((opened, _)) = open(&Memory::of(files, vec![]), &golden) {
            assert!(opened == found || opened.epoch < found.epoch);
            opened.check();
        }
        Ok(())
    });
    tried.expect("nothing panics");
    // The largest numbers that names can have.
    for name in ["commit-18446744073709551615-000000.a", "seg/18446744073709551615-0000-000000.seg"]
    {
        let disk = Memory::default();
        write_lines(&disk, 1);
        adopt(&disk, &steps()).expect("opens");
        disk.put(&format!("log/{name}"), "");
        let error = adopt(&disk, &steps()).err().expect("is refused").to_string();
        assert!(error.contains("`log` has files of a run 18446744073709551614"), "{error}");
    }
}
