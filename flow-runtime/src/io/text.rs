//! One text file being read: in large pieces, decompressed where its name ends in `.gz`, with a position by which the file
//! is known again when reading goes on after a stop.
//!
//! The layer below `Lines`, `Csv` and `JsonLines`. It knows bytes, lines and positions, and nothing of what a record is.
//!
//! ```text
//! buffer   | window | unread           | room |
//!                   ^ start            ^ end         `offset` and `line` are those of `start`
//! ```
//!
//! The window is what lies before `start`, at least the last 4 KiB of it: its checksum goes into every position.

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::io::Io;
use crate::io::file::{File, PathKind};

/// How much of the beginning, and of what was read last, is compared when reading goes on.
const WINDOW: usize = 4096;
/// The unit of reading.
const CHUNK: usize = 128 * 1024;

/// How far a text file has been read, and what it looked like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePosition {
    /// In bytes; of a compressed file in decompressed bytes.
    offset: u64,
    line: u64,
    /// Checksum of the first 4 KiB of what was read.
    head: u32,
    /// Checksum of the last 4 KiB of what was read.
    tail: u32,
    ended: bool,
    compressed: Option<Compressed>,
}

/// By what a compressed file is known again without decompressing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Compressed {
    length: u64,
    /// Checksum of the last 4 KiB as they lie on the disk.
    tail: u32,
}

impl FilePosition {
    /// The number of bytes that have been read; of a compressed file, decompressed ones.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of lines that have been read.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether the file had been read to its end.
    pub fn ended(&self) -> bool {
        self.ended
    }
}

/// One text file being read.
pub(crate) struct Text {
    io: Io,
    path: PathBuf,
    bytes: Bytes,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    line: u64,
    /// The first 4 KiB.
    head: Vec<u8>,
    /// Whether everything has been read into the buffer.
    exhausted: bool,
    compressed: Option<Compressed>,
    /// Of a file that need not be read again, since it had been read to its end.
    done: Option<FilePosition>,
    /// The most bytes of one record.
    record_max: usize,
}

enum Bytes {
    /// Not open: a folder may have more files than the process may have open at a time.
    Closed,
    Plain(Box<dyn File>),
    Compressed(Box<MultiGzDecoder<Sequential>>),
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text")
            .field("path", &self.path)
            .field("offset", &self.offset)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Text {
    /// A file from its beginning. It is opened to see that it can be, and closed until the first read.
    pub(crate) fn open(io: &Io, path: &Path, record_max: usize) -> Result<Text, Error> {
        let mut file = open(io, path)?;
        let length = file.len().map_err(|error| cannot_read(path, error))?;
        let compressed = if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz")) {
            let tail = read_exact(&mut *file, path, length - length.min(WINDOW as u64), length)?;
            Some(Compressed { length, tail: crc32fast::hash(&tail) })
        } else {
            None
        };
        Ok(Text {
            io: io.clone(),
            path: path.to_owned(),
            bytes: Bytes::Closed,
            // A folder of small files must not take a large buffer for each.
            buffer: Vec::with_capacity(CHUNK.min(usize::try_from(length).unwrap_or(CHUNK) + 1)),
            start: 0,
            end: 0,
            offset: 0,
            line: 0,
            head: Vec::new(),
            exhausted: false,
            compressed,
            done: None,
            record_max,
        })
    }

    /// A file that need not be there any more.
    pub(crate) fn done(io: &Io, path: &Path, position: FilePosition) -> Text {
        Text {
            io: io.clone(),
            path: path.to_owned(),
            bytes: Bytes::Closed,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: position.offset,
            line: position.line,
            head: Vec::new(),
            exhausted: true,
            compressed: position.compressed.clone(),
            done: Some(position),
            record_max: 0,
        }
    }

    /// Whether it is known to have nothing more, without having been opened.
    pub(crate) fn is_done(&self) -> bool {
        self.done.is_some()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of lines before what is unread.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The number of bytes before what is unread.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The most bytes of one record.
    pub(crate) fn record_max(&self) -> usize {
        self.record_max
    }

    /// What is in the buffer and has not been consumed.
    #[inline]
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The bytes before what is unread, at least those of the record that was consumed last if nothing was read since.
    #[inline]
    pub(crate) fn consumed(&self, bytes: usize) -> &[u8] {
        &self.buffer[self.start - bytes..self.start]
    }

    /// Consumes bytes, and lines with them.
    #[inline]
    pub(crate) fn advance(&mut self, bytes: usize, lines: u64) {
        self.start += bytes;
        self.offset += bytes as u64;
        self.line += lines;
    }

    /// Takes back what was consumed last. Nothing may have been read since.
    pub(crate) fn take_back(&mut self, bytes: usize, lines: u64) {
        self.start -= bytes;
        self.offset -= bytes as u64;
        self.line -= lines;
    }

    /// Whether there is anything that has not been consumed. Reads on to see that.
    #[inline]
    pub(crate) fn has_more(&mut self) -> Result<bool, Error> {
        while self.start == self.end {
            if !self.fill()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Consumes bytes that are blank lines.
    pub(crate) fn skip_blank(&mut self, bytes: usize) {
        let lines = memchr::memchr_iter(b'\n', &self.unread()[..bytes]).count();
        self.advance(bytes, lines as u64);
    }

    /// Consumes the next line. Answers where it lies in the buffer, without its end, and how long it was with it.
    #[inline]
    pub(crate) fn next_line(&mut self) -> Result<Option<(&[u8], usize)>, Error> {
        let mut searched = 0;
        let (length, consumed) = loop {
            match memchr::memchr(b'\n', &self.unread()[searched..]) {
                Some(found) => break (searched + found, searched + found + 1),
                None => {
                    searched = self.end - self.start;
                    if searched > self.record_max {
                        return Err(self.too_long("line", "max_line_bytes"));
                    }
                    if !self.fill()? {
                        if searched == 0 {
                            return Ok(None);
                        }
                        break (searched, searched);
                    }
                }
            }
        };
        if length > self.record_max {
            return Err(self.too_long("line", "max_line_bytes"));
        }
        self.advance(consumed, 1);
        let line = &self.consumed(consumed)[..length];
        Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), consumed)))
    }

    /// Reads on, behind what is unread. Answers `false` at the end of the file.
    pub(crate) fn fill(&mut self) -> Result<bool, Error> {
        if self.exhausted {
            self.release();
            return Ok(false);
        }
        let first = self.offset == 0 && self.start == self.end;
        let mut grew = self.read_once()?;
        if first {
            const BOM: &[u8] = b"\xef\xbb\xbf";
            while grew && self.end < BOM.len() {
                grew = self.read_once()?;
            }
            if self.unread().starts_with(BOM) {
                self.advance(BOM.len(), 0);
            }
        }
        Ok(grew || self.start < self.end)
    }

    fn read_once(&mut self) -> Result<bool, Error> {
        self.make_room();
        if let Bytes::Closed = self.bytes {
            self.bytes = self.open_bytes()?;
        }
        let at = self.offset + (self.end - self.start) as u64;
        let room = &mut self.buffer[self.end..];
        let read = loop {
            let read = match &mut self.bytes {
                Bytes::Plain(file) => file.read_at(at, room),
                Bytes::Compressed(decoder) => decoder.read(room),
                Bytes::Closed => Ok(0),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
                Ok(read) => break read,
            }
        };
        if read == 0 {
            self.bytes = Bytes::Closed;
            self.exhausted = true;
            return Ok(false);
        }
        if self.head.len() < WINDOW {
            let new = &self.buffer[self.end..self.end + read];
            self.head.extend_from_slice(&new[..read.min(WINDOW - self.head.len())]);
        }
        self.end += read;
        Ok(true)
    }

    /// Makes room behind what is unread. The window stays.
    fn make_room(&mut self) {
        if self.end < self.buffer.len() {
            return;
        }
        let from = self.start.saturating_sub(WINDOW);
        if from > 0 {
            self.buffer.copy_within(from..self.end, 0);
            self.start -= from;
            self.end -= from;
        }
        if self.buffer.len() - self.end < CHUNK / 2 {
            let length = match self.buffer.len() {
                0 => self.buffer.capacity().clamp(WINDOW / 8, CHUNK),
                some => (2 * some).max(2 * WINDOW),
            };
            self.buffer.resize(length, 0);
        }
    }

    /// Gives the buffer back, but for the window.
    fn release(&mut self) {
        if self.start == self.end && self.buffer.len() > WINDOW {
            self.buffer = self.buffer[self.start.saturating_sub(WINDOW)..self.start].to_vec();
            self.start = self.buffer.len();
            self.end = self.start;
        }
    }

    fn open_bytes(&self) -> Result<Bytes, Error> {
        let file = open(&self.io, &self.path)?;
        Ok(match self.compressed {
            Some(_) => Bytes::Compressed(Box::new(MultiGzDecoder::new(Sequential { file, at: 0 }))),
            None => Bytes::Plain(file),
        })
    }

    /// The position behind what has been consumed.
    pub(crate) fn position(&self) -> FilePosition {
        if let Some(done) = &self.done {
            return done.clone();
        }
        let head = self.head.len().min(usize::try_from(self.offset).unwrap_or(usize::MAX));
        FilePosition {
            offset: self.offset,
            line: self.line,
            head: crc32fast::hash(&self.head[..head]),
            tail: crc32fast::hash(&self.buffer[self.start.saturating_sub(WINDOW)..self.start]),
            ended: self.exhausted && self.start == self.end,
            compressed: self.compressed.clone(),
        }
    }

    /// Goes to a position, and sees that the file is the one that was read. `ends_at_return`: a carriage return alone ends a record.
    ///
    /// # Errors
    /// When it has been truncated or replaced, when a compressed file has changed at all, and when the last line had no
    /// end and has grown.
    pub(crate) fn go_to(
        &mut self,
        saved: &FilePosition,
        ends_at_return: bool,
    ) -> Result<(), Error> {
        match (&self.compressed, &saved.compressed) {
            (None, None) => self.go_to_plain(saved, ends_at_return),
            (Some(now), Some(then)) if now == then => {
                if saved.ended {
                    *self = Text::done(&self.io, &self.path, saved.clone());
                    return Ok(());
                }
                self.go_to_compressed(saved)
            }
            _ => Err(self
                .refused("is not the file that was read before: its length or its end differ")
                .help("a compressed file cannot grow: put new data into a file of its own")),
        }
    }

    fn go_to_plain(&mut self, saved: &FilePosition, ends_at_return: bool) -> Result<(), Error> {
        let mut file = open(&self.io, &self.path)?;
        let length = file.len().map_err(|error| cannot_read(&self.path, error))?;
        if length < saved.offset {
            return Err(self.refused(&format!(
                "has been truncated: {} bytes of it had been read, and it has {length}",
                saved.offset
            )));
        }
        let window = saved.offset.min(WINDOW as u64);
        self.head = read_exact(&mut *file, &self.path, 0, window)?;
        self.buffer = read_exact(&mut *file, &self.path, saved.offset - window, saved.offset)?;
        self.start = self.buffer.len();
        self.end = self.start;
        self.offset = saved.offset;
        self.line = saved.line;
        self.exhausted = saved.ended && length == saved.offset;
        self.check(saved)?;
        let is_whole = match self.buffer.last() {
            Some(b'\n') => true,
            Some(b'\r') => ends_at_return,
            _ => false,
        };
        if length > saved.offset && saved.line > 0 && !is_whole {
            self.finish_line(&mut *file)?;
        }
        Ok(())
    }

    /// The last line was taken without an end, and the file has grown: only an end may have been added to it.
    fn finish_line(&mut self, file: &mut dyn File) -> Result<(), Error> {
        let mut next = [0; 2];
        let mut read = 0;
        while read < next.len() {
            match file.read_at(self.offset + read as u64, &mut next[read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) => return Err(self.failed(error)),
            }
        }
        let end = match &next[..read] {
            [b'\n', ..] => 1,
            b"\r\n" => 2,
            _ => {
                return Err(self
                    .refused(&format!(
                        "has grown in its line {}, which was already read without its end",
                        self.line
                    ))
                    .help("what came out of that line cannot be taken back: add whole lines only, or put the new data into a file of its own"));
            }
        };
        self.buffer.extend_from_slice(&next[..end]);
        if self.head.len() < WINDOW {
            self.head.extend_from_slice(&next[..end.min(WINDOW - self.head.len())]);
        }
        self.end = self.buffer.len();
        self.advance(end, 0);
        Ok(())
    }

    fn go_to_compressed(&mut self, saved: &FilePosition) -> Result<(), Error> {
        while self.offset < saved.offset {
            if self.start == self.end && !self.fill()? {
                return Err(self.refused("is not the file that was read before: it is shorter"));
            }
            let ahead = usize::try_from(saved.offset - self.offset).unwrap_or(usize::MAX);
            self.advance(ahead.min(self.end - self.start), 0);
        }
        self.line = saved.line;
        self.check(saved)
    }

    fn check(&self, saved: &FilePosition) -> Result<(), Error> {
        let now = self.position();
        let differs = if now.head != saved.head {
            "its beginning differs"
        } else if now.tail != saved.tail {
            "what lies before the place where reading stopped differs"
        } else {
            return Ok(());
        };
        Err(self.refused(&format!("is not the file that was read before: {differs}")))
    }

    fn refused(&self, what: &str) -> Error {
        Error::new(ErrorKind::Source, format!("`{}` {what}", self.path.display())).help(
            "put the file back as it was; new data belongs at its end, or under another name, where it is read from its beginning",
        )
    }

    /// A record of kind `what` is longer than is allowed by the option of this name.
    pub(crate) fn too_long(&self, what: &str, option: &str) -> Error {
        Error::new(
            ErrorKind::Source,
            format!(
                "line {} of `{}` begins a {what} of more than {} bytes",
                self.line + 1,
                self.path.display(),
                self.record_max
            ),
        )
        .help(format!("is it the right file? a larger {what} is allowed by `.{option}(n)`"))
    }

    fn failed(&self, error: io::Error) -> Error {
        if self.compressed.is_none() {
            return cannot_read(&self.path, error);
        }
        let what = match error.kind() {
            io::ErrorKind::UnexpectedEof => "its compressed data breaks off",
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                "it is damaged, or not compressed by gzip although its name ends in `.gz`"
            }
            _ => return cannot_read(&self.path, error),
        };
        Error::new(
            ErrorKind::Source,
            format!("cannot read `{}` behind line {}: {what}", self.path.display(), self.line),
        )
        .help(format!("test it by `gzip --test {}`, and fetch it again", self.path.display()))
        .caused_by(error)
    }
}

/// A file read from its beginning to its end.
struct Sequential {
    file: Box<dyn File>,
    at: u64,
}

impl Read for Sequential {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.at, into)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn open(io: &Io, path: &Path) -> Result<Box<dyn File>, Error> {
    if let Ok(PathKind::Other) = io.files().kind(path) {
        return Err(Error::new(
            ErrorKind::Source,
            format!("cannot read `{}`: it is a pipe or a device, not a file", path.display()),
        )
        .help("what cannot be read twice comes in by standard input: `Lines::stdin()`"));
    }
    io.files().open(path).map_err(|error| cannot_read(path, error))
}

fn read_exact(file: &mut dyn File, path: &Path, from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(to - from).expect("a window is small")];
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(from + read as u64, &mut bytes[read..]) {
            Ok(0) => return Err(cannot_read(path, io::ErrorKind::UnexpectedEof.into())),
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(cannot_read(path, error)),
        }
    }
    Ok(bytes)
}

/// A file or folder cannot be read.
pub(crate) fn cannot_read(path: &Path, error: io::Error) -> Error {
    let help = match error.kind() {
        io::ErrorKind::NotFound if path.is_relative() => {
            "check the path; it is relative to the folder in which the program was started"
        }
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "let the user that runs the program read it",
        io::ErrorKind::IsADirectory => "give the path of a file",
        _ => return Error::io(ErrorKind::Source, "read", path, error),
    };
    Error::io(ErrorKind::Source, "read", path, error).help(help)
}
