//! Compaction: what a log holds is written again without what has been superseded.
//!
//! It works from files only, beside the run, and on bytes alone: nothing here knows what keys and values mean. A *round* takes what was
//! committed when it began, and goes through the key groups from the first to the last, as many at a time as fit into memory: a
//! *range*. Of each range it writes one base file, which a later commit names; when all are named the segments that were there are not
//! needed any more. A round that is cut off has done what its ranges say; the next one begins anew.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | a round: where what lies, range by range |
//! | `merge` | which entries of a range are left |
//! | `base` | writing a base file |

mod base;
pub(crate) mod merge;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::error::Error;
use crate::io::file::Files;
use crate::recovery::block::{Block, Kind, NO_GROUP};
use crate::recovery::check::{FileName, NamedFile, named_files, open_named};
use crate::recovery::cover::{Cover, Origin};
use crate::recovery::fault::{damaged, failed};
use crate::recovery::fence::Fence;
use crate::recovery::frame::{Bad, Frames, frame_type};
use crate::recovery::manifest::{Base, Manifest};
use crate::recovery::names::{BaseName, Layout};

use merge::Entries;

/// A round has about so many ranges, unless they would be very small or large. While one is written the log holds it twice.
const RANGES: u64 = 24;

/// What a round works with.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) log_id: [u8; 16],
    /// Of the run that compacts.
    pub(crate) generation: u64,
    /// The bytes of entries that a range has at most, about.
    pub(crate) range_bytes: u64,
    pub(crate) fence: Fence,
}

/// A round of compaction.
pub(crate) struct Round {
    ground: Ground,
    /// Everything up to it is compacted.
    barrier: u64,
    /// The steps that the log still has.
    steps: BTreeSet<u32>,
    named: Vec<NamedFile>,
    cover: Cover,
    /// Where the frames lie that count, in the order in which they do.
    frames: Vec<FrameAt>,
    /// The ranges that are still to come: their first and last groups.
    ranges: VecDeque<(u16, u16)>,
}

#[derive(Clone, Copy)]
struct FrameAt {
    file: u32,
    offset: u64,
    groups: (u16, u16),
    origin: Origin,
}

impl Round {
    /// Looks through everything that a manifest names. `None` if `goes_on` says so meanwhile, or nothing has been committed.
    ///
    /// # Errors
    /// When a file cannot be read or is damaged.
    pub(crate) fn begin(
        ground: Ground,
        manifest: &Manifest,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Round>, Error> {
        let Some(last) = manifest.last else { return Ok(None) };
        let groups = manifest.format.groups;
        let mut round = Round {
            barrier: last.barrier,
            steps: manifest.steps.iter().map(|step| step.number).collect(),
            named: named_files(&ground.layout, &ground.log_id, manifest),
            cover: Cover::of(&manifest.bases, groups),
            frames: Vec::new(),
            ranges: VecDeque::new(),
            ground,
        };
        let mut sizes = BTreeMap::new();
        for number in 0..round.named.len() {
            if !round.look_through(number, manifest, &mut sizes, goes_on)? {
                return Ok(None);
            }
        }
        let all: u64 = sizes.values().sum();
        let most = round.ground.range_bytes;
        round.ranges = ranges(&sizes, groups, (all / RANGES).clamp(most / 256, most));
        Ok(Some(round))
    }

    /// Finds the frames of a file that count, and what they take group by group.
    fn look_through(
        &mut self,
        number: usize,
        manifest: &Manifest,
        sizes: &mut BTreeMap<u16, u64>,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, Error> {
        let Ground { files, log_id, .. } = &self.ground;
        let mut open = open_named(files, &mut self.named[number], log_id, manifest)?;
        let file = &self.named[number];
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let mut frames = Frames::new(&mut *open, file.seed, file.start, file.end);
        while let Some(frame) = frames.next().map_err(|bad| damaged(&file.path, bad))? {
            if frame.head.frame_type != frame_type::CHANGES {
                continue;
            }
            if !goes_on() {
                return Ok(false);
            }
            let origin = match file.name {
                FileName::Base(_) => Origin::Base(number),
                FileName::Segment(_) => Origin::Changes(frame.head.barrier),
            };
            let malformed = || damaged(&file.path, Bad::at(frame.offset, "a block is malformed"));
            let block = Block::decode(frame.payload).ok_or_else(malformed)?;
            if !self.steps.contains(&block.head.step) || block.head.kind == Kind::Stored {
                continue;
            }
            let mut counts = false;
            for (group, size) in block.sizes() {
                if self.cover.counts(group, origin) {
                    *sizes.entry(group).or_default() += u64::from(size);
                    counts = true;
                }
            }
            if let Some(groups) = block.groups().filter(|_| counts) {
                let at = FrameAt { file: number, offset: frame.offset, groups, origin };
                self.frames.push(at);
            }
        }
        if frames.rolling != file.crc {
            let bad = Bad::at(file.start, "its frames are not those that were committed");
            return Err(damaged(&file.path, bad));
        }
        Ok(true)
    }

    /// Compacts the next range, and makes its base durable. `None` when all are done.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or cannot be written; then there is no base of it.
    pub(crate) fn next(&mut self) -> Result<Option<Base>, Error> {
        let Some((first, last)) = self.ranges.front().copied() else { return Ok(None) };
        let entries = self.read(first, last)?;
        self.ground.fence.check()?;
        let Ground { generation, layout, .. } = &self.ground;
        let name = BaseName { barrier: self.barrier, generation: *generation, first, last };
        let written = base::write(&self.ground, name, &entries.merged());
        let base = written.map_err(|error| {
            let path = layout.base(name);
            // It says nothing, and would only take room.
            let _ = self.ground.files.remove(&path);
            failed("write", &path, error)
        })?;
        self.ranges.pop_front();
        Ok(Some(base))
    }

    /// Reads all entries of a range that count.
    fn read(&self, first: u16, last: u16) -> Result<Entries, Error> {
        let mut entries = Entries::default();
        let within = |frame: &&FrameAt| frame.groups.0 <= last && frame.groups.1 >= first;
        let mut frames = self.frames.iter().filter(within).peekable();
        while let Some(file) = frames.peek().map(|frame| frame.file) {
            let named = &self.named[file as usize];
            let open = self.ground.files.open(&named.path);
            let mut open = open.map_err(|error| failed("read", &named.path, error))?;
            let here = std::iter::from_fn(|| frames.next_if(|frame| frame.file == file));
            let here = here.map(|frame| (frame.offset, frame.origin));
            entries.add_frames((&mut *open, named), here, (first, last), &self.cover)?;
        }
        Ok(entries)
    }
}

/// Divides the groups into ranges whose entries take about so many bytes. What belongs to no group comes behind the last one.
fn ranges(sizes: &BTreeMap<u16, u64>, groups: u32, bytes: u64) -> VecDeque<(u16, u16)> {
    let last = u16::try_from(groups - 1).unwrap_or(u16::MAX - 1);
    let (mut ranges, mut first, mut size) = (VecDeque::new(), 0, 0);
    for group in 0..last {
        size += sizes.get(&group).copied().unwrap_or(0);
        let next = sizes.get(&(group + 1)).copied().unwrap_or(0);
        if size + next > bytes && size > 0 {
            ranges.push_back((first, group));
            (first, size) = (group + 1, 0);
        }
    }
    ranges.push_back((first, NO_GROUP));
    ranges
}
