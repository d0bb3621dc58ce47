//! Reading everything that a commit names: is it whole, and where does what lie?

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::io::PartitionId;
use crate::io::file::{File, Files};
use crate::recovery::block::{Block, BlockHead, Kind, NO_GROUP};
use crate::recovery::cover::{Cover, Origin};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::frame::{Bad, FileKind, Frames, HEADER, Header, frame_type, read_header};
use crate::recovery::manifest::{Manifest, StoredAt};
use crate::recovery::names::{BaseName, Layout, SegmentName};

/// A frame of entries that has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameAt {
    /// Which of the files.
    pub(crate) file: u32,
    pub(crate) offset: u64,
    /// The first and the last group in it.
    pub(crate) groups: (u16, u16),
    pub(crate) origin: Origin,
    /// Of values; else 0.
    pub(crate) entries: u32,
}

/// A file that a commit names.
#[derive(Clone, Debug)]
pub(crate) struct NamedFile {
    pub(crate) path: PathBuf,
    pub(crate) name: FileName,
    pub(crate) seed: u32,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) crc: u32,
}

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileName {
    Base(BaseName),
    Segment(SegmentName),
}

/// What the values of a step take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// Of maps and lists of keys.
    pub(crate) part_entries: u64,
    pub(crate) part_bytes: u64,
}

impl Size {
    /// Adds what a block says that has so many entries.
    pub(crate) fn add(&mut self, block: &Block<'_>, entries: u32) {
        let bytes: u64 = block.sizes().map(|(_, bytes)| u64::from(bytes)).sum();
        match block.head.kind {
            Kind::Value => {
                self.entries += u64::from(entries);
                self.bytes += bytes;
            }
            Kind::MapEntry | Kind::ListElement => {
                self.part_entries += u64::from(entries);
                self.part_bytes += bytes;
            }
            _ => {}
        }
    }
}

/// What checking a log found.
pub(crate) struct Checked {
    pub(crate) files: Vec<NamedFile>,
    pub(crate) cover: Cover,
    /// By the number of the step, in the order in which they count.
    pub(crate) frames: BTreeMap<u32, Vec<FrameAt>>,
    pub(crate) positions: BTreeMap<u32, BTreeMap<PartitionId, Vec<u8>>>,
    /// By the number of the step, of all values, those that do not count any more included.
    pub(crate) sizes: BTreeMap<u32, Size>,
    /// By the number of the step, what there is of it that counts.
    pub(crate) written: BTreeMap<u32, Written>,
}

/// What a log holds of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Entries, those that later ones replace included, unless they are compacted.
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
}

impl Written {
    fn add(&mut self, head: BlockHead, entries: u32, bytes: usize) {
        self.entries += u64::from(entries);
        self.bytes += bytes as u64;
        match head.kind {
            Kind::Tombstone | Kind::EntryTombstone => {}
            // The last one is the one that counts.
            Kind::Broadcast => self.schemas = BTreeSet::from([head.schema]),
            _ => drop(self.schemas.insert(head.schema)),
        }
    }
}

/// The files that a manifest names: bases, then changes in their order.
pub(crate) fn named_files(
    layout: &Layout,
    log_id: &[u8; 16],
    manifest: &Manifest,
) -> Vec<NamedFile> {
    let bases = manifest.bases.iter().map(|base| NamedFile {
        path: layout.base(base.file),
        name: FileName::Base(base.file),
        seed: base_header(base.file, *log_id).seed(),
        start: HEADER as u64,
        end: base.end,
        crc: base.crc,
    });
    let parts = manifest.parts.iter().map(|part| NamedFile {
        path: layout.segment(part.file),
        name: FileName::Segment(part.file),
        // The header has the first barrier, which the name has not: it is read from there.
        seed: 0,
        start: part.start,
        end: part.end,
        crc: part.crc,
    });
    bases.chain(parts).collect()
}

/// The header of a base. It follows from its name.
pub(crate) fn base_header(name: BaseName, log_id: [u8; 16]) -> Header {
    Header {
        kind: FileKind::Base,
        copy: 0,
        writer: u32::from(name.first) | u32::from(name.last) << 16,
        log_id,
        generation: name.generation,
        number: name.barrier,
        first_barrier: name.barrier,
    }
}

/// Opens a file that a commit names, and sees that it is the one, and long enough.
pub(crate) fn open_named(
    files: &Arc<dyn Files>,
    file: &mut NamedFile,
    log_id: &[u8; 16],
    manifest: &Manifest,
) -> Result<Box<dyn File>, Error> {
    let mut open = open_unseen(files, file, manifest)?;
    see(&mut *open, file, log_id)?;
    Ok(open)
}

/// Opens a file that a commit names.
pub(crate) fn open_unseen(
    files: &Arc<dyn Files>,
    file: &NamedFile,
    manifest: &Manifest,
) -> Result<Box<dyn File>, Error> {
    let path = &file.path;
    match files.open(path) {
        Ok(open) => Ok(open),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(refused(format!(
            "`{}` is gone, and the commit of epoch {} needs it",
            path.display(),
            manifest.last.map(|last| last.epoch).unwrap_or_default()
        ))
        .help("put the file back from a backup; to begin anew, give an empty folder")),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// Sees that a file is the one that a commit names, and long enough.
pub(crate) fn see(
    open: &mut dyn File,
    file: &mut NamedFile,
    log_id: &[u8; 16],
) -> Result<(), Error> {
    file.seed = see_header(open, file, log_id).map_err(|bad| damaged(&file.path, bad))?;
    Ok(())
}

fn see_header(open: &mut dyn File, file: &NamedFile, log_id: &[u8; 16]) -> Result<u32, Bad> {
    let length = open.len().map_err(|error| Bad::io(0, error))?;
    if length < file.end {
        return Err(Bad::at(length, "the file ends here, before what is committed"));
    }
    let is_it = |header: &Header| match file.name {
        FileName::Base(name) => *header == base_header(name, *log_id),
        FileName::Segment(name) => {
            let SegmentName { generation, writer, number } = name;
            (header.log_id, header.generation, header.writer, header.number)
                == (*log_id, generation, writer, number)
        }
    };
    let kind = match file.name {
        FileName::Base(_) => FileKind::Base,
        FileName::Segment(_) => FileKind::Segment,
    };
    let header = read_header(open, kind)?;
    if !is_it(&header) {
        return Err(Bad::at(0, "the file belongs elsewhere: its header is another file's"));
    }
    Ok(header.seed())
}

/// Reads everything that a manifest names, and finds out where what lies.
pub(crate) fn check(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: &[u8; 16],
    manifest: &Manifest,
) -> Result<Checked, Error> {
    check_telling(files, layout, log_id, manifest, &|_| {})
}

/// The same. `read` is told the bytes of each file.
pub(crate) fn check_telling(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: &[u8; 16],
    manifest: &Manifest,
    read: &dyn Fn(u64),
) -> Result<Checked, Error> {
    let mut open = |file: &NamedFile| {
        read(file.end);
        open_unseen(files, file, manifest)
    };
    check_each(layout, log_id, manifest, &mut open, &mut drop)
}

/// The same. `open` opens the files, in the order of [`Checked::files`]; `keep` is given each of them once it is checked.
pub(crate) fn check_each(
    layout: &Layout,
    log_id: &[u8; 16],
    manifest: &Manifest,
    open: &mut dyn FnMut(&NamedFile) -> Result<Box<dyn File>, Error>,
    keep: &mut dyn FnMut(Box<dyn File>),
) -> Result<Checked, Error> {
    let mut checked = Checked {
        files: named_files(layout, log_id, manifest),
        cover: Cover::of(&manifest.bases, manifest.format.groups),
        frames: BTreeMap::new(),
        positions: BTreeMap::new(),
        sizes: BTreeMap::new(),
        written: BTreeMap::new(),
    };
    for number in 0..checked.files.len() {
        let mut open = open(&checked.files[number])?;
        see(&mut *open, &mut checked.files[number], log_id)?;
        check_file(&mut *open, number, &mut checked)
            .map_err(|bad| damaged(&checked.files[number].path, bad))?;
        keep(open);
    }
    Ok(checked)
}

fn check_file(open: &mut dyn File, number: usize, checked: &mut Checked) -> Result<(), Bad> {
    let Checked { files, cover, frames: found, positions, sizes, written } = checked;
    let NamedFile { name, seed, start, end, crc, .. } = files[number];
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let mut frames = Frames::new(open, seed, start, end);
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
        let origin = match name {
            FileName::Base(_) => Origin::Base(number),
            FileName::Segment(_) => Origin::Changes(head.barrier),
        };
        let malformed = || Bad::at(offset, "a block is malformed");
        let block = Block::decode(frame.payload).ok_or_else(malformed)?;
        let step = block.head.step;
        let mut note = || {
            let written = written.entry(step).or_default();
            written.add(block.head, head.count, frame.payload.len());
        };
        match block.head.kind {
            Kind::Partition => {
                if !cover.counts(NO_GROUP, origin) {
                    continue;
                }
                note();
                let positions = positions.entry(step).or_default();
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
            kind => {
                // An entry takes two bytes at least: no more is promised to those that make room.
                let most = u32::try_from(frame.payload.len() / 2).unwrap_or(u32::MAX);
                sizes.entry(step).or_default().add(&block, head.count.min(most));
                let entries = if kind == Kind::Value { head.count.min(most) } else { 0 };
                let groups = block.groups().unwrap_or((NO_GROUP, NO_GROUP));
                if block.sizes().any(|(group, _)| cover.counts(group, origin)) {
                    note();
                    let at = FrameAt { file: number, offset, groups, origin, entries };
                    found.entry(step).or_default().push(at);
                }
            }
        }
    }
    if frames.rolling != crc {
        return Err(Bad::at(start, "its frames are not those that were committed"));
    }
    Ok(())
}

/// Reads what a sink has stored with an epoch.
pub(crate) fn read_stored(
    files: &Arc<dyn Files>,
    named: &[NamedFile],
    layout: &Layout,
    at: &StoredAt,
) -> Result<Vec<u8>, Error> {
    let path = layout.segment(at.file);
    let mut file = files.open(&path).map_err(|error| failed("read", &path, error))?;
    let malformed = || damaged(&path, Bad::at(at.offset, "what a sink has stored is not here"));
    let segment = named.iter().find(|file| file.name == FileName::Segment(at.file));
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
