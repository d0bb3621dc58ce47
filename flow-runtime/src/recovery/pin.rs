//! Pins: commits that are kept until somebody lets go of them, whatever else is kept.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::io::file::{File, Files};
use crate::recovery::fault::{damaged, failed, refused};
use crate::recovery::frame::{
    Bad, FileKind, FrameHead, Frames, HEADER, Header, frame_type, put, read_header,
};
use crate::recovery::manifest::{Manifest, decode, encode};
use crate::recovery::names::Layout;

/// A commit that is kept under a name.
#[derive(Clone, Debug)]
pub(crate) struct Pin {
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
}

/// The most bytes of a pin's name.
const NAME_MAX: usize = 100;

/// What a pin may be called: it is the name of a file, on any system.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // These say which commit is meant where a pin may be named, too.
    let means_another = name.bytes().all(|byte| byte.is_ascii_digit()) || name == "newest";
    if name.is_empty() || name.len() > NAME_MAX || name.starts_with('.') || means_another {
        return Err(refused(format!("a pin cannot be called `{name}`"))
            .help("give a name of up to 100 letters, digits, `-`, `_` and `.` that is not a number, not `newest`, and does not begin with `.`"));
    }
    match name.chars().find(|c| !fits(*c)) {
        None => Ok(()),
        Some(c) => Err(refused(format!("a pin cannot be called `{name}`: `{c}` is not allowed"))
            .help("use letters, digits, `-`, `_` and `.`")),
    }
}

/// All pins of a log, by name.
pub(crate) fn all(files: &dyn Files, layout: &Layout) -> Result<Vec<Pin>, Error> {
    let pins = each(files, layout)?.into_iter();
    pins.map(|(name, manifest)| Ok(Pin { name, manifest: manifest? })).collect()
}

/// The same, with what is wrong with those that cannot be read.
pub(crate) fn each(
    files: &dyn Files,
    layout: &Layout,
) -> Result<Vec<(String, Result<Manifest, Error>)>, Error> {
    let folder = layout.pins();
    let paths = match files.list(&folder) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", &folder, error)),
    };
    let ours = paths.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        check_name(&name).is_ok().then_some((path, name))
    });
    let mut pins = Vec::new();
    for (path, name) in ours {
        match files.open(&path) {
            Ok(mut file) => pins.push((name, read(&mut *file).map_err(|bad| damaged(&path, bad)))),
            // Somebody has let go of it in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => pins.push((name, Err(failed("read", &path, error)))),
        }
    }
    Ok(pins)
}

fn read(file: &mut dyn File) -> Result<Manifest, Bad> {
    let header = read_header(file, FileKind::Pin)?;
    let end = file.len().map_err(|error| Bad::io(0, error))?;
    let mut frames = Frames::new(file, header.seed(), HEADER as u64, end);
    let malformed = || Bad::at(HEADER as u64, "what it says cannot be decoded");
    let frame = frames.next()?.ok_or_else(malformed)?;
    let is_it = frame.head.frame_type == frame_type::START;
    is_it.then(|| decode(frame.payload)).flatten().ok_or_else(malformed)
}

/// Pins a commit. When this answers the pin is durable.
pub(crate) fn write(
    files: &Arc<dyn Files>,
    layout: &Layout,
    log_id: [u8; 16],
    name: &str,
    manifest: &Manifest,
) -> Result<(), Error> {
    check_name(name)?;
    let header = Header {
        kind: FileKind::Pin,
        copy: 0,
        writer: 0,
        log_id,
        generation: 0,
        number: 0,
        first_barrier: 0,
    };
    let barrier = manifest.last.map_or(0, |last| last.barrier);
    let mut bytes = header.encode().to_vec();
    let head = FrameHead { frame_type: frame_type::START, group: 0, barrier, count: 1 };
    let mut frame = Vec::new();
    put(&mut frame, HEADER as u64, header.seed(), head, &encode(manifest), |_| {});
    bytes.append(&mut frame);
    let path = layout.pin(name);
    // Under a name that no pin can have, until it is whole.
    let unfinished = layout.pin(&format!(".{name}"));
    let written = |path: &Path| -> io::Result<()> {
        files.create_folder(&layout.pins())?;
        let mut file = files.create(path, true)?;
        file.write_at(0, &bytes)?;
        file.sync()
    };
    written(&unfinished).map_err(|error| failed("write", &unfinished, error))?;
    if files.kind(&path).is_ok() {
        let _ = files.remove(&unfinished);
        return Err(refused(format!("there is a pin `{name}` already"))
            .help("give another name, or let go of that one first: `flow-log unpin`"));
    }
    files
        .rename(&unfinished, &path)
        .and_then(|()| files.sync_folder(&layout.pins()))
        .and_then(|()| files.sync_folder(layout.root()))
        .map_err(|error| failed("write", &path, error))
}

/// Lets go of a pin.
pub(crate) fn remove(files: &dyn Files, layout: &Layout, name: &str) -> Result<(), Error> {
    check_name(name)?;
    let path = layout.pin(name);
    match files.remove(&path) {
        Ok(()) => {
            files.sync_folder(&layout.pins()).map_err(|error| failed("sync", &layout.pins(), error))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(refused(format!("there is no pin `{name}`"))
                .help("`flow-log ls` shows the pins of a log"))
        }
        Err(error) => Err(failed("remove", &path, error)),
    }
}
