//! Reading everything that commits name, each file once.
//!
//! The commits of a run name the same segments, each a little further than the one before. So a file is gone through once, and its
//! checksum is compared wherever a commit ends.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use crate::error::Error;
use crate::io::file::File;
use crate::recovery::block::Block;
use crate::recovery::check::{NamedFile, named_files, open_unseen, see};
use crate::recovery::fault::damaged;
use crate::recovery::frame::{Bad, Frames, frame_type};
use crate::recovery::manifest::Manifest;
use crate::recovery::offline::at::At;
use crate::recovery::offline::reader::{Ground, LogReader};
use crate::recovery::offline::snapshot::OPEN_MAX;

/// What verifying commits found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The commits that are whole: every file that they name is there, and says what was committed.
    pub whole: Vec<At>,
    /// The commits that are not.
    pub broken: Vec<At>,
    /// What is wrong with which file.
    pub damages: Vec<Damage>,
    /// The files that were read.
    pub files: u64,
    /// The bytes of them that the commits name.
    pub bytes: u64,
}

/// A file of a log that does not say what was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it, in words.
    pub problem: String,
    /// The commits that need it.
    pub needed_by: Vec<At>,
}

/// How far verifying has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The bytes that have been read.
    pub done: u64,
    /// The bytes that there are to be read.
    pub total: u64,
}

impl LogReader {
    /// All commits that a run can go on from, the oldest first, and the pins.
    pub fn all(&self) -> Vec<At> {
        let epochs = self.epochs().iter().map(|kept| At::Epoch(kept.epoch));
        epochs.chain(self.pins().map(|pin| At::Pin(pin.name.clone()))).collect()
    }

    /// Reads everything that commits name, and compares all checksums. A commit that a running dataflow gives up meanwhile counts as broken: look
    /// at the log [again](LogReader::refresh).
    ///
    /// # Errors
    /// When the log does not keep one of the commits. What is wrong with files is no error, but what is found.
    pub fn verify(
        &self,
        commits: &[At],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Verified, Error> {
        let mut verified = Verified::default();
        let mut known = Vec::new();
        for at in commits {
            match self.manifest_at(at) {
                Ok(manifest) => known.push((at.clone(), manifest)),
                Err(error) => match self.broken_pin(at) {
                    Some(file) => {
                        let (problem, needed_by) = (error.message().to_owned(), vec![at.clone()]);
                        verified.damages.push(Damage { file, problem, needed_by });
                        verified.broken.push(at.clone());
                    }
                    None => return Err(error),
                },
            }
        }
        let manifests: Vec<&Manifest> = known.iter().map(|(_, manifest)| manifest).collect();
        let read = read_all(self.ground(), &manifests, progress);
        (verified.files, verified.bytes) = (read.files, read.bytes);
        for (number, (at, _)) in known.iter().enumerate() {
            let is_broken = read.wrong.iter().any(|wrong| wrong.needed_by.contains(&number));
            if is_broken { &mut verified.broken } else { &mut verified.whole }.push(at.clone());
        }
        let at = |number: &usize| known[*number].0.clone();
        verified.damages.extend(read.wrong.into_iter().map(|wrong| Damage {
            file: wrong.file,
            problem: wrong.error.message().to_owned(),
            needed_by: wrong.needed_by.iter().map(at).collect(),
        }));
        Ok(verified)
    }
}

/// What is wrong with a file, and which of the manifests need it.
pub(crate) struct Wrong {
    pub(crate) file: PathBuf,
    pub(crate) error: Error,
    pub(crate) needed_by: Vec<usize>,
}

/// What was read.
pub(crate) struct Read {
    pub(crate) wrong: Vec<Wrong>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Of a file: how far it is named, with which checksum there, by which manifests.
type Ends = BTreeMap<(u64, u32), Vec<usize>>;

/// Reads everything that manifests name.
pub(crate) fn read_all(
    ground: &Ground,
    manifests: &[&Manifest],
    progress: &mut dyn FnMut(Progress),
) -> Read {
    let mut all: BTreeMap<(PathBuf, u64), (NamedFile, Ends, usize)> = BTreeMap::new();
    for (number, manifest) in manifests.iter().enumerate() {
        for file in named_files(&ground.layout, &ground.log_id, manifest) {
            let (end, crc) = (file.end, file.crc);
            let entry = all.entry((file.path.clone(), file.start));
            let (first, ends, _) = entry.or_insert_with(|| (file, Ends::new(), number));
            // What is shorter must be there for what is longer.
            first.end = first.end.min(end);
            ends.entry((end, crc)).or_default().push(number);
        }
    }
    let last = |ends: &Ends| ends.last_key_value().map_or(0, |((end, _), _)| *end);
    let total = all.values().map(|(_, ends, _)| last(ends)).sum();
    let mut read = Read { wrong: Vec::new(), files: all.len() as u64, bytes: total };
    // At once: a running dataflow may remove them while others are read.
    let open =
        |(file, _, of): &(NamedFile, Ends, usize)| open_unseen(&ground.files, file, manifests[*of]);
    let mut opened: VecDeque<_> = all.values().take(OPEN_MAX).map(open).collect();
    let mut before = 0;
    progress(Progress { done: 0, total });
    for entry in all.into_values() {
        let opened = opened.pop_front().unwrap_or_else(|| open(&entry));
        let (file, mut ends, _) = entry;
        let end = last(&ends);
        let mut here = |done| progress(Progress { done: before + done, total });
        let whole = opened.and_then(|mut open| {
            read_file(&mut *open, file.clone(), &ground.log_id, &mut ends, &mut here)
        });
        if let Err(error) = whole {
            // Those that are left.
            let needed_by = ends.into_values().flatten().collect();
            read.wrong.push(Wrong { file: file.path, error, needed_by });
        }
        before += end;
        progress(Progress { done: before, total });
    }
    read
}

/// Reads a file, and removes from `ends` those up to which it is whole.
fn read_file(
    open: &mut dyn File,
    mut file: NamedFile,
    log_id: &[u8; 16],
    ends: &mut Ends,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    see(open, &mut file, log_id)?;
    let end = ends.last_key_value().map_or(file.end, |((end, _), _)| *end);
    let mut frames = Frames::new(open, file.seed, file.start, end);
    let bad = |bad| damaged(&file.path, bad);
    loop {
        let (at, rolling) = (frames.offset(), frames.rolling);
        let here = ends.keys().copied().filter(|(end, _)| *end <= at);
        for (end, crc) in here.collect::<Vec<_>>() {
            if (end, crc) != (at, rolling) {
                let what = "its frames are not those that were committed";
                return Err(bad(Bad::at(file.start, what)));
            }
            ends.remove(&(end, crc));
        }
        let Some(frame) = frames.next().map_err(bad)? else { return Ok(()) };
        if frame.head.frame_type == frame_type::CHANGES {
            let block = Block::decode(frame.payload);
            let read = block.and_then(|block| block.entries(|_| true, |_| Ok::<(), ()>(())));
            if read.is_none() {
                return Err(bad(Bad::at(frame.offset, "a block is malformed")));
            }
        }
        progress(at);
    }
}
