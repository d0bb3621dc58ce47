//! A segment: the file that changes are appended to.

use std::io;
use std::path::{Path, PathBuf};

use crate::io::file::{File, Files};
use crate::recovery::changes::Payload;
use crate::recovery::frame::{FileKind, FrameHead, HEADER, Header, chain, frame_type, put};
use crate::recovery::manifest::Part;
use crate::recovery::names::{Layout, SegmentName};
use crate::recovery::planted::{self, Omitted};

/// What is written at once.
const WRITE: usize = 1 << 20;

/// A segment being written. After a failed write or sync it must be dropped: what it holds is then not known.
pub(crate) struct Segment {
    name: SegmentName,
    path: PathBuf,
    file: Box<dyn File>,
    seed: u32,
    /// What has been written.
    length: u64,
    /// What is still to be written.
    buffer: Vec<u8>,
    /// The checksum of all frames' checksums.
    rolling: u32,
    /// The barrier of the last frame.
    last: u64,
    /// Its folder does not know it yet, after a power cut.
    is_new: bool,
}

impl Segment {
    /// Makes a new segment.
    pub(crate) fn create(
        files: &dyn Files,
        layout: &Layout,
        log_id: [u8; 16],
        name: SegmentName,
        first_barrier: u64,
    ) -> io::Result<Segment> {
        let header = Header {
            kind: FileKind::Segment,
            copy: 0,
            writer: name.writer,
            log_id,
            generation: name.generation,
            number: name.number,
            first_barrier,
        };
        let path = layout.segment(name);
        let file = match planted::is_omitted(Omitted::Generation) {
            true => files.create(&path, true)?,
            false => files.create_new(&path)?,
        };
        Ok(Segment {
            name,
            path,
            file,
            seed: header.seed(),
            length: 0,
            buffer: header.encode().to_vec(),
            rolling: 0,
            last: first_barrier,
            is_new: true,
        })
    }

    pub(crate) fn name(&self) -> SegmentName {
        self.name
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next frame begins.
    pub(crate) fn end(&self) -> u64 {
        self.length + self.buffer.len() as u64
    }

    /// Appends a frame. Answers where it begins.
    pub(crate) fn append(&mut self, barrier: u64, payload: &Payload) -> io::Result<u64> {
        let head = FrameHead {
            frame_type: frame_type::CHANGES,
            group: payload.group,
            barrier,
            count: payload.count,
        };
        self.put(head, &payload.bytes)
    }

    /// Appends the end of an epoch's changes.
    pub(crate) fn end_epoch(&mut self, barrier: u64, frames: u32) -> io::Result<()> {
        let head = FrameHead { frame_type: frame_type::END, group: 0, barrier, count: frames };
        self.put(head, &[]).map(drop)
    }

    fn put(&mut self, head: FrameHead, payload: &[u8]) -> io::Result<u64> {
        let at = self.end();
        self.last = head.barrier;
        let rolling = &mut self.rolling;
        put(&mut self.buffer, self.length, self.seed, head, payload, |crc| {
            *rolling = chain(*rolling, crc);
        });
        if self.buffer.len() >= WRITE {
            self.write()?;
        }
        Ok(at)
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_at(self.length, &self.buffer)?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything durable that was appended.
    pub(crate) fn sync(&mut self, files: &dyn Files, layout: &Layout) -> io::Result<()> {
        self.write()?;
        planted::sync(&mut *self.file, Omitted::DataSync)?;
        if self.is_new {
            planted::sync_folder(files, &layout.segments())?;
            self.is_new = false;
        }
        Ok(())
    }

    /// All that was appended, as a commit names it.
    pub(crate) fn part(&self) -> Part {
        Part {
            file: self.name,
            start: HEADER as u64,
            end: self.end(),
            crc: self.rolling,
            last: self.last,
        }
    }
}
