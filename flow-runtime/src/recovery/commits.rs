//! The commit log: two copies of the same records.
//!
//! A commit file begins with a full manifest; every further record adds one commit. The same bytes go to both copies, and a
//! record counts when either copy holds it. That is safe for the very last one too: what a record names was durable before the
//! record was written.
//!
//! After a failed write or sync a file is never written again: the next one begins with a full manifest.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::io::file::{File, Files};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::frame::{
    Bad, FRAME_HEADER, FileKind, Frame, FrameHead, Frames, HEADER, Header, PAYLOAD_MAX, frame_type,
    put, read_header,
};
use crate::recovery::manifest::{Commit, Manifest, Record, decode, encode};
use crate::recovery::names::{CommitName, Copy2, Layout};

/// Writes the commits of one generation.
pub(crate) struct CommitLog {
    files: Arc<dyn Files>,
    layout: Layout,
    log_id: [u8; 16],
    generation: u64,
    number: u64,
    open: Option<Open>,
    /// As it is after the last commit.
    manifest: Manifest,
    /// After so many records a new file begins.
    records_max: u64,
}

/// The header of a commit file. It follows from the file's name, so that records can be read where it is damaged.
fn header(name: CommitName, log_id: &[u8; 16]) -> Header {
    Header {
        kind: FileKind::Commit,
        copy: u8::from(name.copy == Copy2::B),
        writer: 0,
        log_id: *log_id,
        generation: name.generation,
        number: name.number,
        first_barrier: 0,
    }
}

/// The file that is being written.
struct Open {
    copies: [(PathBuf, Box<dyn File>); 2],
    seed: u32,
    length: u64,
    records: u64,
    /// The checksum of the last record.
    last: u32,
}

/// Why commits could not be written.
pub(crate) struct Failure {
    path: PathBuf,
    action: &'static str,
    error: io::Error,
}

impl Failure {
    /// Whether it may go well later.
    pub(crate) fn is_full(&self) -> bool {
        crate::recovery::fault::is_full(&self.error)
    }

    pub(crate) fn into_error(self) -> Error {
        failed(self.action, &self.path, self.error)
    }
}

impl CommitLog {
    /// Begins a generation that has been claimed: its first file's first copy exists and is empty. When this answers, the
    /// manifest is durable.
    pub(crate) fn begin(
        files: &Arc<dyn Files>,
        layout: &Layout,
        log_id: [u8; 16],
        generation: u64,
        manifest: Manifest,
        records_max: u64,
    ) -> Result<CommitLog, Error> {
        let mut log = CommitLog {
            files: Arc::clone(files),
            layout: layout.clone(),
            log_id,
            generation,
            number: 0,
            open: None,
            manifest,
            records_max,
        };
        log.roll().map_err(Failure::into_error)?;
        Ok(log)
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Makes commits durable. If that fails they may or may not have been made; they are made, with others, by a later call
    /// that succeeds.
    pub(crate) fn append(&mut self, commits: Vec<Commit>) -> Result<(), Failure> {
        let Some(barrier) = commits.last().map(|commit| commit.last.barrier) else {
            // What an earlier call could not write.
            return if self.open.is_none() { self.roll() } else { Ok(()) };
        };
        commits.iter().for_each(|commit| self.manifest.apply(commit));
        // Taken out, and so never written again if this fails: neither the record nor the roll.
        let open = self.open.take().filter(|open| open.records < self.records_max);
        let Some(mut open) = open else { return self.roll() };
        let (mut bytes, base) = (Vec::new(), open.length);
        let record = Record { before: open.last, commits };
        open.put(&mut bytes, base, frame_type::COMMIT, barrier, &encode(&record));
        open.write(base, &bytes)?;
        self.open = Some(open);
        Ok(())
    }

    /// Begins a new file with the manifest as it is.
    fn roll(&mut self) -> Result<(), Failure> {
        let number = self.number;
        let rolled = self.try_roll();
        if number > 0 && rolled.as_ref().is_err_and(Failure::is_full) {
            // Nothing in it was reported as committed, and the next file will say all of it: it only takes room. The first file
            // stays, since it is the claim.
            for copy in Copy2::BOTH {
                let name = CommitName { generation: self.generation, number, copy };
                let _ = self.files.remove(&self.layout.commit(name));
            }
        }
        rolled
    }

    fn try_roll(&mut self) -> Result<(), Failure> {
        let (generation, number) = (self.generation, self.number);
        let names = Copy2::BOTH.map(|copy| CommitName { generation, number, copy });
        let headers = names.map(|name| header(name, &self.log_id));
        // Whatever comes of it, the next attempt is another file.
        self.number += 1;
        let mut copies = Vec::with_capacity(2);
        for (name, header) in names.into_iter().zip(&headers) {
            let path = self.layout.commit(name);
            let made = self.files.create(&path, true).and_then(|mut file| {
                file.write_at(0, &header.encode())?;
                Ok(file)
            });
            match made {
                Ok(file) => copies.push((path, file)),
                Err(error) => return Err(Failure { path, action: "write", error }),
            }
        }
        let Ok(copies) = <[_; 2]>::try_from(copies) else { return Ok(()) };
        let seed = headers[0].seed();
        let mut open = Open { copies, seed, length: HEADER as u64, records: 0, last: 0 };
        let mut bytes = Vec::new();
        let barrier = self.manifest.last.map_or(0, |last| last.barrier);
        let base = open.length;
        open.put(&mut bytes, base, frame_type::START, barrier, &encode(&self.manifest));
        open.write(base, &bytes)?;
        self.files.sync_folder(self.layout.root()).map_err(|error| Failure {
            path: self.layout.root().to_owned(),
            action: "sync",
            error,
        })?;
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    fn put(&mut self, to: &mut Vec<u8>, base: u64, frame_type: u8, barrier: u64, payload: &[u8]) {
        let head = FrameHead { frame_type, group: 0, barrier, count: 1 };
        let last = &mut self.last;
        put(to, base, self.seed, head, payload, |crc| *last = crc);
        self.length = base + to.len() as u64;
        self.records += 1;
    }

    /// Writes the same to both copies and syncs both.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let fail = |path: &Path, action, error| Failure { path: path.to_owned(), action, error };
        for (path, file) in &mut self.copies {
            file.write_at(at, bytes).map_err(|error| fail(path, "write", error))?;
        }
        for (path, file) in &mut self.copies {
            file.sync().map_err(|error| fail(path, "sync", error))?;
        }
        Ok(())
    }
}

/// What was found in the commit files of a log.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) generation: u64,
    pub(crate) manifest: Manifest,
    /// What one copy lacked and the other had.
    pub(crate) repaired: Vec<String>,
}

/// Reads the newest commit of a log, among all commit files below a generation. `None` if there has never been one.
/// `with_segments` says whether a generation has written any changes.
pub(crate) fn newest(
    files: &Arc<dyn Files>,
    layout: &Layout,
    names: &[CommitName],
    log_id: &[u8; 16],
    with_segments: impl Fn(u64) -> bool,
) -> Result<Option<Found>, Error> {
    let mut pairs: Vec<(u64, u64)> =
        names.iter().map(|name| (name.generation, name.number)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    while let Some((generation, number)) = pairs.pop() {
        let read = read_pair(files, layout, generation, number, log_id)?;
        if let Some(found) = read {
            return Ok(Some(found));
        }
        // A file that was begun and never finished: the claim, or the roll, did not happen. Of a generation without any file that
        // can be read nothing else may have been written.
        let has_more = pairs.last().is_some_and(|(before, _)| *before == generation);
        if !has_more && with_segments(generation) {
            let name = CommitName { generation, number, copy: Copy2::A };
            return Err(damaged(
                &layout.commit(name),
                Bad::at(
                    HEADER as u64,
                    "its first record is gone, and changes were written behind it",
                ),
            ));
        }
    }
    Ok(None)
}

/// One copy of a commit file.
struct CopyBytes {
    path: PathBuf,
    seed: u32,
    file: Box<dyn File>,
    end: u64,
    /// What is wrong with its header. Records say by themselves whose they are.
    header: Option<Bad>,
    /// Another file's header.
    other: Option<Header>,
}

fn open_copy(
    files: &Arc<dyn Files>,
    path: PathBuf,
    name: CommitName,
    log_id: &[u8; 16],
) -> Result<CopyBytes, (PathBuf, Bad)> {
    let opened = files.open(&path).and_then(|file| {
        let end = file.len()?;
        Ok((file, end))
    });
    let (mut file, end) = match opened {
        Ok(opened) => opened,
        Err(error) => return Err((path, Bad::io(0, error))),
    };
    let expected = header(name, log_id);
    let (bad, other) = match read_header(&mut *file, FileKind::Commit) {
        Ok(header) if header == expected => (None, None),
        Ok(header) => {
            let bad = Bad::at(0, "the file belongs elsewhere: its header is another file's");
            (Some(bad), Some(header))
        }
        Err(bad) if bad.newer.is_some() || bad.io.is_some() => return Err((path, bad)),
        Err(bad) => (Some(bad), None),
    };
    Ok(CopyBytes { path, seed: expected.seed(), file, end, header: bad, other })
}

impl CopyBytes {
    /// The record at an offset, and where the next begins.
    fn record<T>(
        &mut self,
        offset: u64,
        read: impl FnOnce(&Frame<'_>) -> Option<T>,
    ) -> Result<(T, u32, u64), Bad> {
        if offset >= self.end {
            return Err(Bad::at(offset, "the file ends here"));
        }
        let mut frames = Frames::new(&mut *self.file, self.seed, offset, self.end);
        let value = match frames.next()? {
            Some(frame) => read(&frame).ok_or(Bad::at(offset, "a record cannot be decoded"))?,
            None => return Err(Bad::at(offset, "the file ends here")),
        };
        Ok((value, frames.last_crc(), frames.offset()))
    }

    /// Whether a record lies anywhere behind an offset.
    fn any_behind(&mut self, offset: u64) -> Result<bool, Bad> {
        let from = offset.next_multiple_of(8);
        let length = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX);
        let (mut rest, mut have) = (vec![0; length], 0);
        while have < length {
            match self.file.read_at(from + have as u64, &mut rest[have..]) {
                Ok(0) => break,
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Bad::io(from + have as u64, error)),
            }
        }
        let is_record = |frame: &Frame<'_>| is_record(frame.head.frame_type).then_some(());
        for at in (0..have).step_by(8) {
            // Only where it looks like one is the checksum worth the while.
            if may_begin_record(&rest[at..have]) && self.record(from + at as u64, is_record).is_ok()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether bytes may be the beginning of a record, to the eye.
fn may_begin_record(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<FRAME_HEADER>() else { return false };
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    is_record(head[4]) && length <= PAYLOAD_MAX.min(bytes.len() - FRAME_HEADER)
}

fn is_record(of_type: u8) -> bool {
    matches!(of_type, frame_type::START | frame_type::COMMIT)
}

/// Reads both copies of a file, record by record. `None` if it holds not even its first record.
fn read_pair(
    files: &Arc<dyn Files>,
    layout: &Layout,
    generation: u64,
    number: u64,
    log_id: &[u8; 16],
) -> Result<Option<Found>, Error> {
    let mut copies = Vec::new();
    let mut bad = Vec::new();
    for copy in Copy2::BOTH {
        let name = CommitName { generation, number, copy };
        match open_copy(files, layout.commit(name), name, log_id) {
            Ok(copy) => copies.push(copy),
            Err((path, error)) if error.newer.is_some() => return Err(damaged(&path, error)),
            Err(error) => bad.push(error),
        }
    }
    let mut repaired: Vec<String> = Vec::new();
    for (path, bad) in bad.iter() {
        repaired.push(said(path, bad));
    }
    for copy in &copies {
        repaired.extend(copy.header.as_ref().map(|bad| said(&copy.path, bad)));
    }
    let start = |frame: &Frame<'_>| {
        let is = frame.head.frame_type == frame_type::START;
        is.then(|| decode::<Manifest>(frame.payload)).flatten()
    };
    let (mut manifest, mut last, mut offset) =
        match resolve(&mut copies, HEADER as u64, start, &mut repaired)? {
            Some(first) => first,
            None => return no_first_record(layout, copies, bad),
        };
    loop {
        let record = |frame: &Frame<'_>| {
            let is = frame.head.frame_type == frame_type::COMMIT;
            is.then(|| decode::<Record>(frame.payload))
                .flatten()
                .filter(|record| record.before == last)
        };
        match resolve(&mut copies, offset, record, &mut repaired)? {
            Some((record, crc, next)) => {
                record.commits.iter().for_each(|commit| manifest.apply(commit));
                (last, offset) = (crc, next);
            }
            None => return Ok(Some(Found { generation, manifest, repaired })),
        }
    }
}

/// The record at an offset, from whichever copy has it. `None` if neither has it, nor anything behind it.
fn resolve<T>(
    copies: &mut [CopyBytes],
    offset: u64,
    read: impl Fn(&Frame<'_>) -> Option<T>,
    repaired: &mut Vec<String>,
) -> Result<Option<(T, u32, u64)>, Error> {
    let mut found: Option<(T, u32, u64)> = None;
    let mut missing = Vec::new();
    for copy in copies.iter_mut() {
        match (copy.record(offset, &read), &found) {
            (Ok(record), None) => found = Some(record),
            (Ok((_, crc, next)), Some(first)) if (crc, next) == (first.1, first.2) => {}
            (Ok(_), Some(_)) => {
                let bad = Bad::at(offset, "its record is another one than that of the other copy");
                return Err(damaged(&copy.path, bad));
            }
            (Err(bad), _) => missing.push((copy.path.clone(), bad)),
        }
    }
    if found.is_some() {
        for (path, bad) in missing {
            // One message for each copy: what is missing behind the first gap says no more.
            let begins = format!("`{}`", path.display());
            if !repaired.iter().any(|line| line.starts_with(&begins)) {
                repaired.push(said(&path, &bad));
            }
        }
        return Ok(found);
    }
    // A record that neither copy has must be the end of both.
    for (copy, (path, bad)) in copies.iter_mut().zip(missing) {
        let behind = copy.any_behind(offset);
        if bad.io.is_some() || !matches!(behind, Ok(false)) {
            return Err(damaged(&path, behind.err().unwrap_or(bad)));
        }
    }
    Ok(None)
}

/// What is said of a copy that lacks what the other has.
fn said(path: &Path, bad: &Bad) -> String {
    format!("`{}` {bad}; the other copy is whole", path.display())
}

/// Neither copy of a file has its first record: it was begun and never finished. Not so if they cannot be read, or are other
/// files.
fn no_first_record(
    layout: &Layout,
    copies: Vec<CopyBytes>,
    bad: Vec<(PathBuf, Bad)>,
) -> Result<Option<Found>, Error> {
    for (path, bad) in bad {
        if bad.io.as_ref().is_none_or(|error| error.kind() != io::ErrorKind::NotFound) {
            return Err(damaged(&path, bad));
        }
    }
    for copy in copies {
        let Some(Header { generation, number, copy: second, .. }) = copy.other else { continue };
        let copy2 = if second == 0 { Copy2::A } else { Copy2::B };
        let name = layout.commit(CommitName { generation, number, copy: copy2 });
        let name = name.file_name().unwrap_or_default().display().to_string();
        return Err(refused(format!(
            "`{}` is damaged at byte 0: it belongs elsewhere, as a file `{name}`",
            copy.path.display()
        ))
        .help("put the right file back under this name; if there was none, move this one out of the folder"));
    }
    Ok(None)
}
