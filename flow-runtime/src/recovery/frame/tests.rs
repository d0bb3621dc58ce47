use super::*;
use crate::io::file::Files;
use crate::io::testing::Memory;
use std::path::Path;

const OURS: Header = Header {
    kind: FileKind::Segment,
    copy: 0,
    writer: 1,
    log_id: [7; 16],
    generation: 2,
    number: 3,
    first_barrier: 4,
};

fn frame(header: &Header, base: u64) -> Vec<u8> {
    let head = FrameHead { frame_type: 1, group: 0, barrier: 0, count: 0 };
    let mut bytes = Vec::new();
    put(&mut bytes, base, header.seed(), head, b"payload", |_| {});
    bytes
}

/// Whether a frame at the beginning of a file passes, if the file were `OURS`.
fn passes(bytes: &[u8]) -> bool {
    let disk = Memory::default();
    disk.put("file", bytes);
    let mut file = disk.open(Path::new("file")).expect("is there");
    let mut frames = Frames::new(&mut *file, OURS.seed(), 0, bytes.len() as u64);
    matches!(frames.next(), Ok(Some(frame)) if frame.payload == b"payload")
}

#[test]
fn a_frame_passes_in_its_own_file_and_place_only() {
    assert!(passes(&frame(&OURS, 0)));
    assert!(passes(&frame(&Header { copy: 1, ..OURS }, 0)));
    assert!(!passes(&frame(&OURS, 8)));
    assert!(!passes(&frame(&Header { kind: FileKind::Commit, ..OURS }, 0)));
    assert!(!passes(&frame(&Header { writer: 2, ..OURS }, 0)));
    assert!(!passes(&frame(&Header { log_id: [8; 16], ..OURS }, 0)));
    assert!(!passes(&frame(&Header { generation: 3, ..OURS }, 0)));
    assert!(!passes(&frame(&Header { number: 4, ..OURS }, 0)));
    assert!(!passes(&frame(&Header { first_barrier: 5, ..OURS }, 0)));
    assert!(!passes(&[0; 64]));
}

#[test]
fn a_bit_that_flips_in_the_version_is_damage_and_no_newer_format() {
    let newer = |version: u16, with_crc: bool| {
        let mut bytes = OURS.encode();
        bytes[8..10].copy_from_slice(&version.to_le_bytes());
        if with_crc {
            let crc = crc32fast::hash(&bytes[..60]);
            bytes[60..].copy_from_slice(&crc.to_le_bytes());
        }
        Header::decode(&bytes, FileKind::Segment).expect_err("is not ours").newer
    };
    assert_eq!((newer(3, true), newer(3, false)), (Some(3), None));
    assert_eq!(newer(0, true), None);
}
