//! Reading the commit log: which commit is the newest one?
//!
//! The two copies are gone through record by record; a record counts when either copy holds it. One that neither holds must be the
//! end of both: if anything follows, the log is damaged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::io::file::{File, Files};
use crate::recovery::commits::header;
use crate::recovery::fault::{damaged, refused};
use crate::recovery::frame::{
    Bad, FRAME_HEADER, FileKind, Frame, Frames, HEADER, Header, PAYLOAD_MAX, frame_type,
    read_header,
};
use crate::recovery::manifest::{Manifest, Record, decode};
use crate::recovery::names::{CommitName, Copy2, Layout};

/// What was found in the commit files of a log.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) generation: u64,
    pub(crate) manifest: Manifest,
    /// What one copy lacked and the other had.
    pub(crate) repaired: Vec<String>,
    /// The file says that another one follows.
    continued: bool,
}

impl Found {
    /// Of a log in which nothing has been committed.
    pub(crate) fn nothing(manifest: Manifest) -> Found {
        Found { generation: 0, manifest, repaired: Vec::new(), continued: false }
    }
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
        let read = read_pair(files, layout, generation, number, log_id, &mut |_| {})?;
        if let Some(found) = read {
            return if found.continued {
                Err(refused(format!(
                    "`{}` is continued in another file, and both copies of that are gone",
                    layout.commit(CommitName { generation, number, copy: Copy2::A }).display()
                ))
                .help("put the files back from a backup; to begin anew, give an empty folder"))
            } else {
                Ok(Some(found))
            };
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

/// Gives `each` what every record of a commit file leads to. Answers whether the file holds any.
pub(crate) fn read_all(
    files: &Arc<dyn Files>,
    layout: &Layout,
    generation: u64,
    number: u64,
    log_id: &[u8; 16],
    each: &mut dyn FnMut(&Manifest),
) -> Result<bool, Error> {
    Ok(read_pair(files, layout, generation, number, log_id, each)?.is_some())
}

/// Reads both copies of a file, record by record, and gives `each` what every commit leads to. `None` if it holds not even its
/// first record.
fn read_pair(
    files: &Arc<dyn Files>,
    layout: &Layout,
    generation: u64,
    number: u64,
    log_id: &[u8; 16],
    each: &mut dyn FnMut(&Manifest),
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
    each(&manifest);
    let mut continued = false;
    loop {
        let record = |frame: &Frame<'_>| {
            let is = frame.head.frame_type == frame_type::COMMIT;
            is.then(|| decode::<Record>(frame.payload))
                .flatten()
                .filter(|record| record.before == last)
        };
        match resolve(&mut copies, offset, record, &mut repaired)? {
            Some((record, crc, next)) => {
                for commit in &record.commits {
                    manifest.apply(commit);
                    each(&manifest);
                }
                continued = record.commits.is_empty();
                (last, offset) = (crc, next);
            }
            None => return Ok(Some(Found { generation, manifest, repaired, continued })),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::testing::Memory;
    use crate::recovery::commits::CommitLog;
    use crate::recovery::manifest::{Commit, Committed, Format};
    use crate::time::{Epoch, Timestamp};

    /// A log whose second run has committed epoch 0, with nothing to be kept of it.
    fn committed(disk: &Memory) -> Arc<dyn Files> {
        let files: Arc<dyn Files> = Arc::new(disk.clone());
        disk.folder("log");
        let layout = Layout::new(Path::new("log"));
        let format = Format { dataflow: "f".into(), groups: 256, seed: 0, hash: 1 };
        let manifest = Manifest::nothing(format);
        let begin = |generation| {
            CommitLog::begin(&files, &layout, [7; 16], generation, manifest.clone(), 4096)
        };
        begin(1).expect("begins");
        let (epoch, next, at) = (Epoch(0), Epoch(1), Timestamp(0));
        let commit = Commit::of(Committed { generation: 2, barrier: 0, epoch, next, at });
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

    #[test]
    fn a_file_that_is_continued_does_not_stand_for_the_one_that_is_gone() {
        let disk = Memory::default();
        let files = committed(&disk);
        let layout = Layout::new(Path::new("log"));
        let manifest = |epoch: u64| {
            let last = Committed {
                generation: 3,
                barrier: epoch,
                epoch: Epoch(epoch),
                next: Epoch(epoch + 1),
                at: Timestamp(0),
            };
            Commit::of(last)
        };
        let names = files.list(Path::new("log")).expect("is there");
        let names: Vec<_> = names.iter().filter_map(|path| CommitName::parse(path)).collect();
        let found = newest(&files, &layout, &names, &[7; 16], |_| false).ok().flatten();
        let begun = found.expect("was committed").manifest;
        let mut log = CommitLog::begin(&files, &layout, [7; 16], 3, begun, 2).expect("begins");
        for epoch in 1..5 {
            assert!(log.append(vec![manifest(epoch)]).is_ok());
        }
        assert_eq!(newest_of(&files), Ok(Some(Epoch(4))));
        let newest_file = files.list(Path::new("log")).expect("is there").pop().expect("is there");
        let newest_file = newest_file.to_string_lossy().into_owned();
        disk.delete(&newest_file);
        assert_eq!(newest_of(&files), Ok(Some(Epoch(4))), "the other copy is whole");
        disk.delete(&newest_file.replace(".b", ".a"));
        let error = newest_of(&files).expect_err("an older commit must not be taken instead");
        assert!(error.contains("is continued in another file"), "{error}");
    }
}
