//! The folder of a log: its lock, and FORMAT, which says whose it is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::env::Env;
use crate::error::Error;
use crate::io::file::{File, Files, Lock, Locked, PathKind};
use crate::recovery::RecoveryLog;
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::frame::{
    Bad, FileKind, FrameHead, Frames, HEADER, Header, frame_type, put, read_header,
};
use crate::recovery::manifest::{Format, decode, encode};
use crate::recovery::names::{BaseName, CommitName, Layout, SegmentName};
use crate::recovery::progress::Reading;
use crate::state::GROUPS;
use crate::time::Timestamp;

/// Key groups unless they are given.
const GROUPS_DEFAULT: u32 = 256;
/// Which hash places keys: the one of this version.
const HASH: u16 = 1;

/// The folder of a log that this process has locked.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) log_id: [u8; 16],
    pub(crate) format: Format,
    pub(crate) lock: Arc<dyn Lock>,
    pub(crate) began: Timestamp,
    /// No run has used it yet.
    pub(crate) is_new: bool,
    /// Whom to tell how far the start is.
    pub(crate) reading: Option<Arc<Reading>>,
}

impl Folder {
    /// Locks the folder of a log, makes it if it is not there, and sees whose log it is.
    pub(crate) fn open(env: &dyn Env, log: &RecoveryLog, dataflow: &str) -> Result<Folder, Error> {
        let (files, began) = (Arc::clone(env.io().files()), env.now());
        let layout = Layout::new(&log.folder);
        check_folder(&*files, &layout)?;
        files
            .create_folder(&layout.segments())
            .map_err(|error| failed("make", &layout.segments(), error))?;
        let lock = match files.lock(&layout.lock(), &env.identity()) {
            Ok(Locked::Here(lock)) => Arc::from(lock),
            Ok(Locked::Elsewhere(holder)) => {
                let holder = if holder.is_empty() { "another process" } else { &holder };
                return Err(refused(format!(
                    "the recovery log `{}` is in use by {holder}",
                    layout.root().display()
                ))
                .help("wait for it to end, or end it; two runs need two logs"));
            }
            Err(error) => return Err(failed("lock", &layout.lock(), error)),
        };
        let is_new = list_commits(&*files, &layout)?.is_empty();
        let (log_id, format) = match read_format(&files, &layout)? {
            Some(found) => found,
            None => new_format(env, log, dataflow)?,
        };
        check_format(&layout, &format, log, dataflow)?;
        // Also one that is found: the start that made it may have been cut off before it was durable. Nothing has followed it then.
        if is_new {
            write_format(&*files, &layout, &log_id, &format)?;
        }
        Ok(Folder { files, layout, log_id, format, lock, began, is_new, reading: None })
    }

    /// Lets somebody be told how far the start is.
    pub(crate) fn telling(self, reading: Arc<Reading>) -> Folder {
        Folder { reading: Some(reading), ..self }
    }
}

pub(crate) fn check_folder(files: &dyn Files, layout: &Layout) -> Result<(), Error> {
    match files.kind(layout.root()) {
        Ok(PathKind::Folder) => Ok(()),
        Ok(_) => Err(refused(format!(
            "`{}` is a file, and a recovery log is a folder",
            layout.root().display()
        ))
        .help("give `--recovery` a folder of its own; it is made if it is not there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", layout.root(), error)),
    }
}

pub(crate) fn check_workers(format: &Format, workers: usize) -> Result<(), Error> {
    if workers <= format.groups as usize {
        return Ok(());
    }
    Err(refused(format!(
        "{workers} workers cannot share the {} key groups of the recovery log",
        format.groups
    ))
    .help("run with fewer workers; a new log may have more groups: `--key-groups N`"))
}

pub(crate) fn check_format(
    layout: &Layout,
    format: &Format,
    log: &RecoveryLog,
    dataflow: &str,
) -> Result<(), Error> {
    let root = layout.root().display();
    if format.dataflow != dataflow {
        return Err(refused(format!(
            "`{root}` is the recovery log of the dataflow `{}`, and this is `{dataflow}`",
            format.dataflow
        ))
        .help("give each dataflow a folder of its own; a dataflow keeps its name for the life of its log"));
    }
    if format.hash != HASH {
        return Err(refused(format!(
            "`{root}` places keys by a hash that this program does not know"
        ))
        .help("run the program that wrote it, or a newer one"));
    }
    match log.groups {
        Some(groups) if groups != format.groups => Err(refused(format!(
            "`{root}` has {} key groups, and {groups} are asked for",
            format.groups
        ))
        .help("their number is fixed when a log is made: leave `--key-groups` out")),
        _ => Ok(()),
    }
}

fn list(files: &dyn Files, folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match files.list(folder) {
        Ok(paths) => Ok(paths),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("list", folder, error)),
    }
}

pub(crate) fn list_commits(files: &dyn Files, layout: &Layout) -> Result<Vec<CommitName>, Error> {
    let paths = list(files, layout.root())?;
    Ok(paths.iter().filter_map(|path| CommitName::parse(path)).collect())
}

pub(crate) fn list_segments(files: &dyn Files, layout: &Layout) -> Result<Vec<SegmentName>, Error> {
    let paths = list(files, &layout.segments())?;
    Ok(paths.iter().filter_map(|path| SegmentName::parse(path)).collect())
}

pub(crate) fn list_bases(files: &dyn Files, layout: &Layout) -> Result<Vec<BaseName>, Error> {
    let paths = list(files, &layout.bases())?;
    Ok(paths.iter().filter_map(|path| BaseName::parse(path)).collect())
}

/// FORMAT, `None` if the log is still to be made.
pub(crate) fn read_format(
    files: &Arc<dyn Files>,
    layout: &Layout,
) -> Result<Option<([u8; 16], Format)>, Error> {
    let path = layout.format();
    let is_used = || -> Result<bool, Error> {
        Ok(!list_commits(&**files, layout)?.is_empty()
            || !list_segments(&**files, layout)?.is_empty())
    };
    let mut file = match files.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if is_used()? {
                return Err(refused(format!("`{}` is gone", path.display()))
                    .help("put the file back from a backup; to begin anew, give an empty folder"));
            }
            return Ok(None);
        }
        Err(error) => return Err(failed("read", &path, error)),
    };
    match parse_format(&mut *file) {
        Ok(found) => Ok(Some(found)),
        // The very first start was cut off while it made the log.
        Err(bad) if bad.newer.is_none() && bad.io.is_none() && !is_used()? => Ok(None),
        Err(bad) => Err(damaged(&path, bad)),
    }
}

fn parse_format(file: &mut dyn File) -> Result<([u8; 16], Format), Bad> {
    let header = read_header(file, FileKind::Format)?;
    let end = file.len().map_err(|error| Bad::io(0, error))?;
    let mut frames = Frames::new(file, header.seed(), HEADER as u64, end);
    let malformed = || Bad::at(HEADER as u64, "what it says cannot be decoded");
    let frame = frames.next()?.ok_or_else(malformed)?;
    if frame.head.frame_type != frame_type::FORMAT {
        return Err(malformed());
    }
    let format: Format = decode(frame.payload).ok_or_else(malformed)?;
    if !format.groups.is_power_of_two() || format.groups > GROUPS {
        return Err(malformed());
    }
    Ok((header.log_id, format))
}

fn new_format(
    env: &dyn Env,
    log: &RecoveryLog,
    dataflow: &str,
) -> Result<([u8; 16], Format), Error> {
    let groups = log.groups.unwrap_or(GROUPS_DEFAULT);
    if !groups.is_power_of_two() || groups > GROUPS {
        return Err(refused(format!("a recovery log cannot have {groups} key groups"))
            .help(format!("give a power of two up to {GROUPS}")));
    }
    let format = Format { dataflow: dataflow.to_owned(), groups, seed: env.random(), hash: HASH };
    let mut log_id = [0; 16];
    log_id[..8].copy_from_slice(&env.random().to_le_bytes());
    log_id[8..].copy_from_slice(&env.random().to_le_bytes());
    Ok((log_id, format))
}

/// Writes FORMAT. When this answers, it and the folder are durable.
fn write_format(
    files: &dyn Files,
    layout: &Layout,
    log_id: &[u8; 16],
    format: &Format,
) -> Result<(), Error> {
    let header = Header {
        kind: FileKind::Format,
        copy: 0,
        writer: 0,
        log_id: *log_id,
        generation: 0,
        number: 0,
        first_barrier: 0,
    };
    let mut bytes = header.encode().to_vec();
    let head = FrameHead { frame_type: frame_type::FORMAT, group: 0, barrier: 0, count: 1 };
    let mut frame = Vec::new();
    put(&mut frame, HEADER as u64, header.seed(), head, &encode(format), |_| {});
    bytes.append(&mut frame);
    let path = layout.format();
    let made = files.create(&path, true).and_then(|mut file| {
        file.write_at(0, &bytes)?;
        file.sync()?;
        files.sync_folder(layout.root())?;
        // The folder itself must be there after a power cut, and those above it, which may be as new as it is. Some of them may not
        // be ours to open.
        let mut above = layout.root().ancestors().skip(1);
        above.next().map_or(Ok(()), |above| files.sync_folder(above))?;
        above.for_each(|above| drop(files.sync_folder(above)));
        Ok(())
    });
    made.map_err(|error| failed("write", &path, error))
}
