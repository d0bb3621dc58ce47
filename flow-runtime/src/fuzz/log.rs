//! The files of a recovery log, one by one.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::io::file::Files;
use crate::recovery::block::Block;
use crate::recovery::commits;
use crate::recovery::compare::{Allowed, compare_all};
use crate::recovery::folder::list_commits;
use crate::recovery::frame::{FileKind, FrameHead, Frames, HEADER, Header, frame_type, put};
use crate::recovery::manifest::{Format, Manifest, Record, decode, encode};
use crate::recovery::names::{CommitName, Copy2, Layout};
use crate::recovery::newest::newest as read_newest;
use crate::sim::SimDisk;

pub(super) const KINDS: [FileKind; 5] =
    [FileKind::Format, FileKind::Commit, FileKind::Segment, FileKind::Base, FileKind::Pin];

/// A header, as it is and with the checksum that it ought to have.
pub fn header(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk::<HEADER>() else { return };
    let mut right = *bytes;
    let crc = crc32fast::hash(&bytes[..HEADER - 4]);
    right[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
    for bytes in [bytes, &right] {
        for kind in KINDS {
            match Header::decode(bytes, kind) {
                Ok(header) => {
                    let again = Header::decode(&header.encode(), kind);
                    assert!(again.is_ok_and(|again| again == header), "{header:?}");
                }
                Err(bad) => assert!(bad.offset < HEADER as u64),
            }
        }
    }
}

/// A file of frames; and a frame of these bytes from somebody who knows how to compute checksums.
pub fn frames(bytes: &[u8]) {
    read_frames(bytes);
    let Some((head, payload)) = bytes.split_first_chunk::<4>() else { return };
    let [of_type, group @ .., count] = *head;
    let head = FrameHead {
        frame_type: of_type,
        group: u16::from_le_bytes(group),
        barrier: 3,
        count: u32::from(count) << 24,
    };
    let mut file = Vec::new();
    put(&mut file, 0, 1, head, payload, |_| {});
    assert_eq!(read_frames(&file), 1, "what was written is read");
}

/// How many frames there are.
fn read_frames(bytes: &[u8]) -> usize {
    let disk = SimDisk::new(1);
    disk.put("file", bytes);
    let Ok(mut file) = disk.open(Path::new("file")) else { return 0 };
    let mut frames = Frames::new(&mut *file, 1, 0, bytes.len() as u64);
    let mut count = 0;
    while let Ok(Some(frame)) = frames.next() {
        assert!(frame.payload.len() <= bytes.len());
        block(frame.payload);
        count += 1;
    }
    count
}

/// What a frame of changes holds.
pub fn block(bytes: &[u8]) {
    let Some(block) = Block::decode(bytes) else { return };
    let _ = (block.groups(), block.sizes().count());
    let (mut size, mut count) = (0, 0);
    let read = block.entries(
        |_| true,
        |entry| {
            size += entry.key.len() + entry.sub.len() + entry.value.len();
            count += 1;
            Ok::<(), ()>(())
        },
    );
    assert!(read.is_none() || size + 2 * count <= bytes.len(), "{count} entries of {size} bytes");
    assert!(block.entries(|_| false, |_| Err(())).is_none_or(|read| read.is_ok()));
}

/// What a log says of itself.
pub fn manifest(bytes: &[u8]) {
    same_again::<Format>(bytes);
    same_again::<Record>(bytes);
    if let Some(manifest) = same_again::<Manifest>(bytes) {
        // It can be compared with a program, and shown.
        let steps = super::folder::steps();
        if let Ok(compared) = compare_all(&manifest, &steps, &Allowed::default(), &|_| None) {
            assert!(compared.unfit.iter().all(|unfit| !unfit.is_empty()));
        }
        let mut after = manifest.clone();
        if let Some(last) = manifest.last {
            after.apply(&crate::recovery::manifest::Commit::of(last));
            assert_eq!(after.parts, manifest.parts);
        }
    }
}

/// Decodes it, and once more what comes of encoding it.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value = decode::<T>(bytes)?;
    assert_eq!(decode::<T>(&encode(&value)).as_ref(), Some(&value));
    Some(value)
}

/// The two copies of a commit file. The first two bytes say how much is cut from the ends of the copies, the third whether what follows are the
/// bytes of both behind their headers, or payloads of records, each behind its length.
pub fn newest(bytes: &[u8]) {
    let Some((&[cut_a, cut_b, how], rest)) = bytes.split_first_chunk::<3>() else { return };
    let layout = Layout::new(Path::new("log"));
    let disk = SimDisk::new(1);
    let log_id = [7; 16];
    for (copy, cut) in [(Copy2::A, cut_a), (Copy2::B, cut_b)] {
        let name = CommitName { generation: 1, number: 0, copy };
        let header = commits::header(name, &log_id);
        let mut file = header.encode().to_vec();
        if how % 2 == 0 {
            file.extend(rest)
        } else {
            records(rest, header.seed(), &mut file)
        }
        file.truncate(file.len().saturating_sub(usize::from(cut)));
        disk.put(layout.commit(name), file);
    }
    let files = Arc::new(disk) as Arc<dyn Files>;
    let names = list_commits(&*files, &layout).unwrap_or_default();
    match read_newest(&files, &layout, &names, &log_id, |_| how > 127) {
        Ok(Some(found)) => {
            let again = decode::<Manifest>(&encode(&found.manifest));
            assert_eq!(again.as_ref(), Some(&found.manifest));
        }
        Ok(None) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Writes records with these payloads, each behind its length as two bytes.
fn records(mut payloads: &[u8], seed: u32, file: &mut Vec<u8>) {
    let mut frame_type = frame_type::START;
    while let Some((length, rest)) = payloads.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (payload, behind) = rest.split_at(length);
        let head = FrameHead { frame_type, group: 0, barrier: 0, count: 1 };
        let at = file.len() as u64;
        let mut frame = Vec::new();
        put(&mut frame, at, seed, head, payload, |_| {});
        file.append(&mut frame);
        (payloads, frame_type) = (behind, frame_type::COMMIT);
    }
}
