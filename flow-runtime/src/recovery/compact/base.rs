//! Writing a base file: the frames that changes have, in a file that is written once.

use std::io;

use crate::io::file::File;
use crate::recovery::block::{self, BlockHead, Entry, Run, put_raw};
use crate::recovery::check::base_header;
use crate::recovery::compact::Ground;
use crate::recovery::compact::merge::Merged;
use crate::recovery::frame::{FrameHead, HEADER, PAYLOAD, chain, frame_type, put};
use crate::recovery::manifest::Base;
use crate::recovery::names::BaseName;
use crate::recovery::planted::{self, Omitted};

/// What is written at once.
const WRITE: usize = 1 << 20;

/// A base file being written.
struct Writer {
    file: Box<dyn File>,
    barrier: u64,
    seed: u32,
    length: u64,
    buffer: Vec<u8>,
    rolling: u32,
}

/// Writes what is left of a range, and makes it durable, together with its name.
pub(super) fn write(ground: &Ground, name: BaseName, merged: &Merged<'_>) -> io::Result<Base> {
    let Ground { files, layout, log_id, .. } = ground;
    files.create_folder(&layout.bases())?;
    let header = base_header(name, *log_id);
    let mut writer = Writer {
        file: match planted::is_omitted(Omitted::Generation) {
            true => files.create(&layout.base(name), true)?,
            false => files.create_new(&layout.base(name))?,
        },
        barrier: name.barrier,
        seed: header.seed(),
        length: 0,
        buffer: header.encode().to_vec(),
        rolling: 0,
    };
    for (head, entries) in merged.blocks() {
        writer.entries(head, entries)?;
    }
    writer.write()?;
    planted::sync(&mut *writer.file, Omitted::DataSync)?;
    planted::sync_folder(&**files, &layout.bases())?;
    // The folder may be new.
    planted::sync_folder(&**files, layout.root())?;
    let end = writer.length.max(HEADER as u64);
    Ok(Base { file: name, end, crc: writer.rolling })
}

impl Writer {
    /// Writes entries as frames of the usual size, each with as many groups as fit, or with a part of one.
    fn entries<'a>(
        &mut self,
        head: BlockHead,
        entries: impl Iterator<Item = Entry<'a>>,
    ) -> io::Result<()> {
        let mut runs: Vec<(u16, u32, Vec<u8>)> = Vec::new();
        let mut size = 0;
        for Entry { group, key, sub, value } in entries {
            if size >= PAYLOAD {
                self.frame(head, &mut runs)?;
                size = 0;
            }
            if runs.last().is_none_or(|(last, ..)| *last != group) {
                runs.push((group, 0, Vec::new()));
            }
            if let Some((_, count, bytes)) = runs.last_mut() {
                let before = bytes.len();
                put_raw(bytes, head.kind, key, sub, value);
                *count += 1;
                size += bytes.len() - before;
            }
        }
        self.frame(head, &mut runs)
    }

    fn frame(&mut self, head: BlockHead, runs: &mut Vec<(u16, u32, Vec<u8>)>) -> io::Result<()> {
        let Some((first, ..)) = runs.first() else { return Ok(()) };
        let count = runs.iter().map(|(_, count, _)| count).sum();
        let frame = FrameHead {
            frame_type: frame_type::CHANGES,
            group: *first,
            barrier: self.barrier,
            count,
        };
        let encoded: Vec<_> = runs
            .iter()
            .map(|(group, count, entries)| Run { group: *group, count: *count, entries })
            .collect();
        let payload = block::encode(head, &encoded);
        let rolling = &mut self.rolling;
        put(&mut self.buffer, self.length, self.seed, frame, &payload, |crc| {
            *rolling = chain(*rolling, crc);
        });
        runs.clear();
        if self.buffer.len() >= WRITE { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_at(self.length, &self.buffer)?;
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
