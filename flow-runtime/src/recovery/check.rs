//! Reading everything that a commit names: is it whole, and where does what lie?

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use crate::error::Error;
use crate::io::PartitionId;
use crate::io::file::{File, Files};
use crate::recovery::block::{Block, BlockHead, Kind, NO_GROUP};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::frame::{Bad, FileKind, Frames, frame_type, read_header};
use crate::recovery::manifest::{Manifest, Part, StoredAt};
use crate::recovery::names::{Layout, SegmentName};
use crate::recovery::recovered::{CheckedFile, FrameAt, Recovered};

/// What checking a log found.
#[derive(Default)]
pub(crate) struct Checked {
    pub(crate) segments: Vec<CheckedFile>,
    pub(crate) frames: BTreeMap<u32, Vec<FrameAt>>,
    pub(crate) positions: BTreeMap<u32, BTreeMap<PartitionId, Vec<u8>>>,
    /// By the number of the step, what there is of it.
    pub(crate) written: BTreeMap<u32, Written>,
}

/// What a log holds of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Entries, those that later ones replace included.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// The schemas of the blocks with values.
    pub(crate) schemas: BTreeSet<u32>,
}

impl Checked {
    /// What there is of the step with this number.
    pub(crate) fn written(&self, step: u32) -> Option<Written> {
        self.written.get(&step).cloned()
    }

    fn note(&mut self, head: BlockHead, entries: u32, bytes: usize) {
        let written = self.written.entry(head.step).or_default();
        written.entries += u64::from(entries);
        written.bytes += bytes as u64;
        match head.kind {
            Kind::Tombstone | Kind::EntryTombstone => {}
            // The last one is the one that counts.
            Kind::Broadcast => written.schemas = BTreeSet::from([head.schema]),
            _ => drop(written.schemas.insert(head.schema)),
        }
    }
}

/// Reads everything that a manifest names, and finds out where what lies.
pub(crate) fn check(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: &[u8; 16],
    manifest: &Manifest,
) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    for part in &manifest.parts {
        let path = layout.segment(part.file);
        let mut file = match files.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refused(format!(
                    "`{}` is gone, and the commit of epoch {} needs it",
                    path.display(),
                    manifest.last.map(|last| last.epoch).unwrap_or_default()
                ))
                .help("put the file back from a backup; to begin anew, give an empty folder"));
            }
            Err(error) => return Err(failed("read", &path, error)),
        };
        check_part(&mut *file, part, log_id, &mut checked).map_err(|bad| damaged(&path, bad))?;
    }
    Ok(checked)
}

fn check_part(
    file: &mut dyn File,
    part: &Part,
    log_id: &[u8; 16],
    checked: &mut Checked,
) -> Result<(), Bad> {
    let length = file.len().map_err(|error| Bad::io(0, error))?;
    if length < part.end {
        return Err(Bad::at(length, "the file ends here, before what is committed"));
    }
    let header = read_header(file, FileKind::Segment)?;
    let name =
        SegmentName { generation: header.generation, writer: header.writer, number: header.number };
    if header.log_id != *log_id || name != part.file {
        return Err(Bad::at(0, "the file belongs elsewhere: its header is another file's"));
    }
    let seed = header.seed();
    let number = u32::try_from(checked.segments.len()).unwrap_or(u32::MAX);
    checked.segments.push(CheckedFile { name, seed, end: part.end });
    let mut frames = Frames::new(file, seed, part.start, part.end);
    while let Some(frame) = frames.next()? {
        let (offset, head) = (frame.offset, frame.head);
        match head.frame_type {
            frame_type::CHANGES => {}
            frame_type::END => continue,
            other if other & frame_type::OPTIONAL != 0 => continue,
            _ => {
                return Err(Bad::at(offset, "a frame is of a type that this version never writes"));
            }
        }
        let malformed = || Bad::at(offset, "a block is malformed");
        let block = Block::decode(frame.payload).ok_or_else(malformed)?;
        let step = block.head.step;
        if block.head.kind != Kind::Stored {
            checked.note(block.head, head.count, frame.payload.len());
        }
        match block.head.kind {
            Kind::Partition => {
                let positions = checked.positions.entry(step).or_default();
                let read = block.entries(
                    |_| true,
                    |entry| {
                        let name = std::str::from_utf8(entry.key)?;
                        positions.insert(PartitionId::new(name), entry.value.to_vec());
                        Ok::<(), std::str::Utf8Error>(())
                    },
                );
                if !matches!(read, Some(Ok(()))) {
                    return Err(malformed());
                }
            }
            Kind::Stored => {}
            _ => {
                let groups = block.groups().unwrap_or((NO_GROUP, NO_GROUP));
                // An entry takes two bytes at least: no more is promised to those that make room.
                let most = u32::try_from(frame.payload.len() / 2).unwrap_or(u32::MAX);
                let is_value = block.head.kind == Kind::Value;
                let (barrier, entries) =
                    (head.barrier, if is_value { head.count.min(most) } else { 0 });
                let at = FrameAt { file: number, offset, groups, barrier, entries };
                checked.frames.entry(step).or_default().push(at);
            }
        }
    }
    if frames.rolling != part.crc {
        return Err(Bad::at(part.start, "its frames are not those that were committed"));
    }
    Ok(())
}

/// Reads what a sink has stored with an epoch.
pub(crate) fn read_stored(recovered: &Recovered, at: &StoredAt) -> Result<Vec<u8>, Error> {
    let path = recovered.layout.segment(at.file);
    let mut file = recovered.files.open(&path).map_err(|error| failed("read", &path, error))?;
    let malformed = || damaged(&path, Bad::at(at.offset, "what a sink has stored is not here"));
    let segment = recovered.segments.iter().find(|segment| segment.name == at.file);
    let segment = segment.ok_or_else(malformed)?;
    let mut frames = Frames::new(&mut *file, segment.seed, at.offset, segment.end);
    let frame = frames.next().map_err(|bad| damaged(&path, bad))?.ok_or_else(malformed)?;
    let block = Block::decode(frame.payload).ok_or_else(malformed)?;
    let mut stored = None;
    let read = block.entries(
        |_| true,
        |entry| {
            if entry.key == at.partition.as_bytes() {
                stored = Some(entry.value.to_vec());
            }
            Ok::<(), ()>(())
        },
    );
    let is_it = block.head.step == at.step && block.head.kind == Kind::Stored && read.is_some();
    stored.filter(|_| is_it).ok_or_else(malformed)
}
