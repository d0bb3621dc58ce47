//! Writing the commit log: two copies of the same records.
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
use crate::recovery::fault::failed;
use crate::recovery::frame::{FileKind, FrameHead, HEADER, Header, frame_type, put};
use crate::recovery::manifest::{Commit, Manifest, Record, encode};
use crate::recovery::names::{CommitName, Copy2, Layout};
use crate::recovery::planted::{self, Omitted};

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
pub(crate) fn header(name: CommitName, log_id: &[u8; 16]) -> Header {
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
    /// It is the first file of its generation.
    is_first: bool,
}

/// Why commits could not be written.
pub(crate) struct Failure {
    path: PathBuf,
    action: &'static str,
    error: io::Error,
}

impl Failure {
    /// Whether it may go well later.
    fn is_full(&self) -> bool {
        crate::recovery::fault::is_full(&self.error)
    }

    /// The file, and what is wrong with it.
    pub(crate) fn into_parts(self) -> (PathBuf, io::Error) {
        (self.path, self.error)
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

    /// The number of the file that was begun last.
    pub(crate) fn number(&self) -> u64 {
        self.number.saturating_sub(1)
    }

    /// Makes commits durable. If that fails they may or may not have been made; they are made, with others, by a later call
    /// that succeeds.
    pub(crate) fn append(&mut self, commits: Vec<Commit>) -> Result<(), Failure> {
        let Some(barrier) = commits.last().map(|commit| commit.last.barrier) else {
            // What an earlier call could not write.
            return if self.open.is_none() { self.roll() } else { Ok(()) };
        };
        // Taken out, and so never written again if this fails: neither the record nor the roll.
        let mut open = self.open.take();
        let mut rolled = Ok(());
        if let Some(full) = open.take_if(|open| open.records >= self.records_max) {
            // With the manifest as it was: each of these commits is to be found in the new file.
            rolled = self.roll();
            if rolled.is_ok() {
                full.say_continued(self.manifest.last.map_or(0, |last| last.barrier));
                open = self.open.take();
            }
        }
        commits.iter().for_each(|commit| self.manifest.apply(commit));
        rolled?;
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
        let is_first = number == 0;
        let mut open = Open { copies, seed, length: HEADER as u64, records: 0, last: 0, is_first };
        let mut bytes = Vec::new();
        let barrier = self.manifest.last.map_or(0, |last| last.barrier);
        let base = open.length;
        open.put(&mut bytes, base, frame_type::START, barrier, &encode(&self.manifest));
        open.write(base, &bytes)?;
        if !(number == 0 && planted::is_omitted(Omitted::CommitAgain)) {
            let synced = planted::sync_folder(&*self.files, self.layout.root());
            synced.map_err(|error| Failure {
                path: self.layout.root().to_owned(),
                action: "sync",
                error,
            })?;
        }
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

    /// Says, by a record without commits, that another file follows: that one cannot be missed then. Nothing depends on this one.
    fn say_continued(mut self, barrier: u64) {
        let (mut bytes, base) = (Vec::new(), self.length);
        let record = Record { before: self.last, commits: Vec::new() };
        self.put(&mut bytes, base, frame_type::COMMIT, barrier, &encode(&record));
        if let Err(failure) = self.write(base, &bytes) {
            tracing::debug!(error = %failure.into_error(), "a commit file does not say that it is continued");
        }
    }

    /// Writes the same to both copies and syncs both.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        let fail = |path: &Path, action, error| Failure { path: path.to_owned(), action, error };
        for (path, file) in &mut self.copies {
            file.write_at(at, bytes).map_err(|error| fail(path, "write", error))?;
        }
        if at == HEADER as u64 && self.is_first && planted::is_omitted(Omitted::CommitAgain) {
            return Ok(());
        }
        for (path, file) in &mut self.copies {
            planted::sync(&mut **file, Omitted::CommitSync)
                .map_err(|error| fail(path, "sync", error))?;
        }
        Ok(())
    }
}
