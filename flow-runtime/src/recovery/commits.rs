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
use crate::recovery::fault::{damaged, failed};
use crate::recovery::frame::{
    Bad, FileKind, Frame, FrameHead, Frames, HEADER, Header, frame_type, put, read_header,
};
use crate::recovery::manifest::{Commit, Manifest, Record, decode, encode};
use crate::recovery::names::{CommitName, Copy2, Layout};

/// After so many records a new file begins.
const RECORDS_MAX: u64 = 4096;

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
    ) -> Result<CommitLog, Error> {
        let mut log = CommitLog {
            files: Arc::clone(files),
            layout: layout.clone(),
            log_id,
            generation,
            number: 0,
            open: None,
            manifest,
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
        // Taken out, and so never written again if this fails.
        let Some(mut open) = self.open.take_if(|open| open.records < RECORDS_MAX) else {
            return self.roll();
        };
        let (mut bytes, base) = (Vec::new(), open.length);
        let record = Record { before: open.last, commits };
        open.put(&mut bytes, base, frame_type::COMMIT, barrier, &encode(&record));
        open.write(base, &bytes)?;
        self.open = Some(open);
        Ok(())
    }

    /// Begins a new file with the manifest as it is.
    fn roll(&mut self) -> Result<(), Failure> {
        let (log_id, generation, number) = (self.log_id, self.generation, self.number);
        let first_barrier = self.manifest.next_barrier();
        let kind = FileKind::Commit;
        let header =
            |copy| Header { kind, copy, writer: 0, log_id, generation, number, first_barrier };
        let paths =
            Copy2::BOTH.map(|copy| self.layout.commit(CommitName { generation, number, copy }));
        // Whatever comes of it, the next attempt is another file.
        self.number += 1;
        let mut copies = Vec::with_capacity(2);
        for (n, path) in paths.into_iter().enumerate() {
            let made = self.files.create(&path, true).and_then(|mut file| {
                file.write_at(0, &header(n as u8).encode())?;
                Ok(file)
            });
            match made {
                Ok(file) => copies.push((path, file)),
                Err(error) => {
                    // An empty one means nothing. While a disk is full there is an attempt a second, and a file for each.
                    let is_empty = self.files.open(&path).and_then(|file| file.is_empty());
                    if is_empty.is_ok_and(|is_empty| is_empty) {
                        let _ = self.files.remove(&path);
                    }
                    return Err(Failure { path, action: "write", error });
                }
            }
        }
        let Ok(copies) = <[_; 2]>::try_from(copies) else { return Ok(()) };
        let seed = header(0).seed();
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
        // A file that was begun and never finished: the claim, or the roll, did not happen. Only if it is a generation's first may
        // nothing else have been written.
        if number == 0 && with_segments(generation) {
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

/// One copy of a commit file, whole. Commit files are small.
struct CopyBytes {
    path: PathBuf,
    seed: u32,
    file: Box<dyn File>,
    end: u64,
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
    let header = match read_header(&mut *file, FileKind::Commit) {
        Ok(header) => header,
        Err(bad) => return Err((path, bad)),
    };
    let fits = header.log_id == *log_id
        && header.generation == name.generation
        && header.number == name.number
        && header.copy == u8::from(name.copy == Copy2::B);
    if !fits {
        return Err((path, Bad::at(0, "the file belongs elsewhere: its header is another file's")));
    }
    let seed = header.seed();
    Ok(CopyBytes { path, seed, file, end })
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
    fn any_behind(&mut self, offset: u64) -> Option<u64> {
        let mut at = offset.next_multiple_of(8);
        while at < self.end {
            let is_record = |frame: &Frame<'_>| {
                matches!(frame.head.frame_type, frame_type::START | frame_type::COMMIT)
                    .then_some(())
            };
            if self.record(at, is_record).is_ok() {
                return Some(at);
            }
            at += 8;
        }
        None
    }
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
    let start = |frame: &Frame<'_>| {
        let is = frame.head.frame_type == frame_type::START;
        is.then(|| decode::<Manifest>(frame.payload)).flatten()
    };
    let (mut manifest, mut last, mut offset) =
        match resolve(&mut copies, HEADER as u64, start, &mut repaired)? {
            Some(first) => first,
            // What cannot be read is not what was never written.
            None => return unreadable(&mut bad).map_or(Ok(None), Err),
        };
    repaired.extend(
        bad.iter()
            .map(|(path, bad)| format!("`{}` {bad}; the other copy is whole", path.display())),
    );
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

/// What is said if the operating system refused to read one of the copies; that a copy is not there is no refusal.
fn unreadable(bad: &mut Vec<(PathBuf, Bad)>) -> Option<Error> {
    let refuses = |(_, bad): &(PathBuf, Bad)| {
        bad.io.as_ref().is_some_and(|error| error.kind() != io::ErrorKind::NotFound)
    };
    let at = bad.iter().position(refuses)?;
    let (path, bad) = bad.swap_remove(at);
    bad.io.map(|error| failed("read", &path, error))
}

/// The record at an offset, from whichever copy has it. `None` if neither has it, nor anything behind it.
fn resolve<T>(
    copies: &mut [CopyBytes],
    offset: u64,
    read: impl Fn(&Frame<'_>) -> Option<T>,
    repaired: &mut Vec<String>,
) -> Result<Option<(T, u32, u64)>, Error> {
    let mut found = None;
    let mut missing = Vec::new();
    for copy in copies.iter_mut() {
        match copy.record(offset, &read) {
            Ok(record) if found.is_none() => found = Some(record),
            Ok(_) => {}
            Err(bad) => missing.push((copy.path.clone(), bad)),
        }
    }
    if found.is_some() {
        for (path, bad) in missing {
            let said = format!("`{}`", path.display());
            // One message for each copy: what is missing behind the first gap says no more.
            if !repaired.iter().any(|line| line.starts_with(&said)) {
                repaired.push(format!("{said} {bad}; the other copy is whole"));
            }
        }
        return Ok(found);
    }
    if let Some(error) = unreadable(&mut missing) {
        return Err(error);
    }
    // A record that neither copy has must be the end of both.
    for copy in copies.iter_mut() {
        if copy.any_behind(offset).is_some() {
            let bad = missing.into_iter().find(|(path, _)| *path == copy.path).map(|(_, bad)| bad);
            let bad = bad.unwrap_or(Bad::at(offset, "a record is missing"));
            return Err(damaged(&copy.path, bad));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::testing::Memory;
    use crate::recovery::manifest::{Committed, Format};
    use crate::time::{Epoch, Timestamp};

    /// A log whose second run has committed epoch 0, with nothing to be kept of it.
    fn committed(disk: &Memory) -> Arc<dyn Files> {
        let files: Arc<dyn Files> = Arc::new(disk.clone());
        disk.folder("log");
        let layout = Layout::new(Path::new("log"));
        let format = Format { dataflow: "f".into(), groups: 256, seed: 0, hash: 1 };
        let manifest = Manifest {
            format,
            workers: 1,
            last: None,
            finished: false,
            steps: Vec::new(),
            next_step: 0,
            parts: Vec::new(),
            stored: Vec::new(),
            watermarks: Vec::new(),
        };
        let begin =
            |generation| CommitLog::begin(&files, &layout, [7; 16], generation, manifest.clone());
        begin(1).expect("begins");
        let (epoch, next, at) = (Epoch(0), Epoch(1), Timestamp(0));
        let commit = Commit {
            last: Committed { generation: 2, barrier: 0, epoch, next, at },
            finished: false,
            parts: Vec::new(),
            stored: Vec::new(),
            watermarks: Vec::new(),
        };
        let appended = begin(2).expect("begins").append(vec![commit]);
        assert!(appended.is_ok());
        files
    }

    fn newest_of(files: &Arc<dyn Files>) -> Result<Option<Epoch>, String> {
        let layout = Layout::new(Path::new("log"));
        let names: Vec<_> = files.list(Path::new("log")).expect("is there");
        let names: Vec<_> = names.iter().filter_map(|path| CommitName::parse(path)).collect();
        let found = newest(files, &layout, &names, &[7; 16], |_| false);
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.and_then(|found| found.manifest.last).map(|last| last.epoch))
    }

    #[test]
    fn a_commit_file_that_cannot_be_read_is_not_taken_for_one_that_was_never_begun() {
        let disk = Memory::default();
        let files = committed(&disk);
        assert_eq!(newest_of(&files), Ok(Some(Epoch(0))));
        disk.forbid("log/commit-00000002-000000.a");
        assert_eq!(newest_of(&files), Ok(Some(Epoch(0))), "the other copy is whole");
        disk.forbid("log/commit-00000002-000000.b");
        let error = newest_of(&files).expect_err("an older commit must not be taken instead");
        assert!(error.contains("commit-00000002-000000") && error.contains("read"), "{error}");
    }
}
