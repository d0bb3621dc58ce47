//! Files of frames: the header that every file of a log begins with, and the checksummed frames behind it.
//!
//! ```text
//! header  magic 8 | version u16 | kind u8 | copy u8 | writer u32 | log id 16 | generation u64 | number u64 | first barrier u64 | 0 u32 | crc u32
//! frame   len u32 | type u8 | flags u8 | group u16 | barrier u64 | count u32 | crc u32 | payload | 0 up to a multiple of 8
//! ```
//!
//! All numbers are little-endian. A frame's checksum covers the identity of its file and its place in it beside its own
//! bytes: zeros, stale blocks and blocks of other files never pass for a frame.

use std::fmt;
use std::io;

use crc32fast::Hasher;

use crate::io::file::File;

pub(crate) const MAGIC: [u8; 8] = *b"flowlog\n";
/// The version of the format of everything in a log's folder.
pub(crate) const VERSION: u16 = 1;
pub(crate) const HEADER: usize = 64;
pub(crate) const FRAME_HEADER: usize = 24;
/// A frame's payload is at most this long; what is longer continues in the next frame.
pub(crate) const PAYLOAD_MAX: usize = 16 << 20;
/// Payloads in files that are read in pieces are about this long.
pub(crate) const PAYLOAD: usize = 64 << 10;

/// The payload continues in the next frame.
const CONTINUES: u8 = 1;

/// What sort of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Format = 1,
    Commit = 2,
    Segment = 3,
    Base = 4,
    Pin = 5,
}

/// What a frame holds. With its top bit set, a type that is not known may be skipped.
pub(crate) mod frame_type {
    /// A block of changes.
    pub(crate) const CHANGES: u8 = 1;
    /// The end of an epoch's changes.
    pub(crate) const END: u8 = 2;
    /// A full manifest.
    pub(crate) const START: u8 = 3;
    /// A commit.
    pub(crate) const COMMIT: u8 = 4;
    /// The contents of FORMAT.
    pub(crate) const FORMAT: u8 = 5;
    /// May be skipped by those who do not know the type.
    pub(crate) const OPTIONAL: u8 = 0x80;
}

/// A file's header: what it is and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FileKind,
    /// 0, or 1 for the second copy of a commit file.
    pub(crate) copy: u8,
    pub(crate) writer: u32,
    pub(crate) log_id: [u8; 16],
    pub(crate) generation: u64,
    pub(crate) number: u64,
    pub(crate) first_barrier: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.kind as u8;
        bytes[11] = self.copy;
        bytes[12..16].copy_from_slice(&self.writer.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.log_id);
        bytes[32..40].copy_from_slice(&self.generation.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.number.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.first_barrier.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The checksum that the frames of the file go on from. Both copies of a commit file have the same, so their frames are equal.
    pub(crate) fn seed(&self) -> u32 {
        // Without the header's own checksum: the checksum of bytes with their checksum behind them is the same for all bytes.
        crc32fast::hash(&Header { copy: 0, ..*self }.encode()[..HEADER - 4])
    }

    /// Reads a header that must be of this kind.
    pub(crate) fn decode(bytes: &[u8; HEADER], kind: FileKind) -> Result<Header, Bad> {
        let word = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of 8 bytes"))
        };
        let half = |at: usize| {
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of 4 bytes"))
        };
        if bytes[..8] != MAGIC {
            return Err(Bad::at(0, "this is not a file of a recovery log"));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        let crc_fits = |bytes: &[u8]| half(60) == crc32fast::hash(&bytes[..60]);
        // A newer version may have another header, but never another place for its number.
        if version > VERSION {
            let mut ours = *bytes;
            ours[8..10].copy_from_slice(&VERSION.to_le_bytes());
            if crc_fits(&ours) {
                return Err(Bad::at(8, "the file's header is damaged"));
            }
            return Err(Bad { newer: Some(version), ..Bad::at(8, "the format is newer") });
        }
        if !crc_fits(bytes) {
            return Err(Bad::at(0, "the file's header is damaged"));
        }
        if version != VERSION || bytes[10] != kind as u8 {
            return Err(Bad::at(10, "the file is of another kind than its name says"));
        }
        Ok(Header {
            kind,
            copy: bytes[11],
            writer: half(12),
            log_id: bytes[16..32].try_into().expect("a slice of 16 bytes"),
            generation: word(32),
            number: word(40),
            first_barrier: word(48),
        })
    }
}

/// What is wrong with the bytes of a file, and where.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
    /// The version of a format that is newer than ours.
    pub(crate) newer: Option<u16>,
    /// The bytes could not even be read.
    pub(crate) io: Option<io::Error>,
}

impl Bad {
    pub(crate) fn at(offset: u64, what: &'static str) -> Bad {
        Bad { offset, what, newer: None, io: None }
    }

    pub(crate) fn io(offset: u64, error: io::Error) -> Bad {
        Bad { io: Some(error), ..Bad::at(offset, "it cannot be read") }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)?;
        match &self.io {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

/// What stands in front of a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) frame_type: u8,
    /// The first key group of what is in it.
    pub(crate) group: u16,
    pub(crate) barrier: u64,
    /// How many entries it has.
    pub(crate) count: u32,
}

/// Appends a payload as one frame, or as several if it is very long, to `to`, whose first byte will lie at `base` of the file.
/// Answers the checksums of the frames, as [`chain`] takes them.
pub(crate) fn put(
    to: &mut Vec<u8>,
    base: u64,
    seed: u32,
    head: FrameHead,
    payload: &[u8],
    mut crc_of: impl FnMut(u32),
) {
    let mut rest = payload;
    loop {
        let (part, more) = rest.split_at(rest.len().min(PAYLOAD_MAX));
        rest = more;
        let flags = if rest.is_empty() { 0 } else { CONTINUES };
        let start = to.len();
        to.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        to.push(head.frame_type);
        to.push(flags);
        to.extend_from_slice(&head.group.to_le_bytes());
        to.extend_from_slice(&head.barrier.to_le_bytes());
        to.extend_from_slice(&head.count.to_le_bytes());
        let crc = checksum(seed, base + start as u64, &to[start..start + 20], part);
        to.extend_from_slice(&crc.to_le_bytes());
        to.extend_from_slice(part);
        to.resize(start + FRAME_HEADER + part.len().next_multiple_of(8), 0);
        crc_of(crc);
        if rest.is_empty() {
            return;
        }
    }
}

fn checksum(seed: u32, offset: u64, head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(seed);
    hasher.update(&offset.to_le_bytes());
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

/// The checksum of a run of frames: of their checksums, one after the other.
pub(crate) fn chain(before: u32, crc: u32) -> u32 {
    let mut hasher = Hasher::new_with_initial(before);
    hasher.update(&crc.to_le_bytes());
    hasher.finalize()
}

/// Reads the frames of a file, from one place to another, in large pieces.
pub(crate) struct Frames<'a> {
    file: &'a mut dyn File,
    seed: u32,
    /// Where the next frame begins.
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    /// What of the buffer is still to come.
    start: usize,
    /// The payload of a frame that was continued.
    joined: Vec<u8>,
    /// The checksum of all frames read so far.
    pub(crate) rolling: u32,
    last_crc: u32,
}

/// A frame, read.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) head: FrameHead,
    /// Where it begins.
    pub(crate) offset: u64,
    pub(crate) payload: &'a [u8],
}

const READ: usize = 256 << 10;

impl<'a> Frames<'a> {
    pub(crate) fn new(file: &'a mut dyn File, seed: u32, from: u64, end: u64) -> Self {
        let buffer = Vec::new();
        Frames {
            file,
            seed,
            offset: from,
            end,
            buffer,
            start: 0,
            joined: Vec::new(),
            rolling: 0,
            last_crc: 0,
        }
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The checksum of the last frame.
    pub(crate) fn last_crc(&self) -> u32 {
        self.last_crc
    }

    /// Goes to where a frame begins. What has been read of the file is kept, where it is of use.
    pub(crate) fn go_to(&mut self, offset: u64) {
        let ahead = offset.checked_sub(self.offset).and_then(|ahead| usize::try_from(ahead).ok());
        match ahead.filter(|ahead| *ahead <= self.buffer.len() - self.start) {
            Some(ahead) => self.start += ahead,
            None => {
                self.buffer.clear();
                self.start = 0;
            }
        }
        self.offset = offset;
    }

    /// Has `bytes` of the file from the next frame on in the buffer. Never asks for more memory than the file has bytes.
    fn fill(&mut self, bytes: usize) -> Result<(), Bad> {
        let have = self.buffer.len() - self.start;
        if have >= bytes {
            return Ok(());
        }
        if (bytes as u64) > self.end.saturating_sub(self.offset) {
            return Err(Bad::at(self.offset, "the file ends in the middle of a frame"));
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let left = self.end - self.offset;
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.max(READ));
        let mut have = self.buffer.len();
        self.buffer.resize(want, 0);
        while have < bytes {
            match self.file.read_at(self.offset + have as u64, &mut self.buffer[have..]) {
                Ok(0) => {
                    return Err(Bad::at(self.offset, "the file ends in the middle of a frame"));
                }
                Ok(read) => have += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Bad::io(self.offset, error)),
            }
        }
        self.buffer.truncate(have);
        Ok(())
    }

    /// Checks the next frame and moves behind it. Its payload is then what `self.buffer` has in the range.
    fn advance(&mut self) -> Result<(FrameHead, u8, std::ops::Range<usize>), Bad> {
        self.fill(FRAME_HEADER)?;
        let head: [u8; FRAME_HEADER] = self.buffer[self.start..self.start + FRAME_HEADER]
            .try_into()
            .expect("the header is in the buffer");
        let half = |at: usize| {
            u32::from_le_bytes(head[at..at + 4].try_into().expect("a slice of 4 bytes"))
        };
        let length = half(0) as usize;
        if length > PAYLOAD_MAX {
            return Err(Bad::at(self.offset, "a frame's length is damaged"));
        }
        let padded = length.next_multiple_of(8);
        self.fill(FRAME_HEADER + padded)?;
        let from = self.start + FRAME_HEADER;
        let payload = &self.buffer[from..from + length];
        let crc = checksum(self.seed, self.offset, &head[..20], payload);
        if crc != half(20) {
            return Err(Bad::at(self.offset, "a frame's checksum is wrong"));
        }
        if self.buffer[from + length..from + padded].iter().any(|byte| *byte != 0) {
            return Err(Bad::at(self.offset, "the bytes behind a frame are not zero"));
        }
        if head[5] & !CONTINUES != 0 {
            return Err(Bad::at(self.offset, "a frame has flags that this version never sets"));
        }
        self.rolling = chain(self.rolling, crc);
        self.last_crc = crc;
        self.offset += (FRAME_HEADER + padded) as u64;
        self.start = from + padded;
        let frame = FrameHead {
            frame_type: head[4],
            group: u16::from_le_bytes([head[6], head[7]]),
            barrier: u64::from_le_bytes(head[8..16].try_into().expect("a slice of 8 bytes")),
            count: half(16),
        };
        Ok((frame, head[5], from..from + length))
    }

    /// The next frame, `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, Bad> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let offset = self.offset;
        let (head, mut flags, range) = self.advance()?;
        if flags & CONTINUES == 0 {
            return Ok(Some(Frame { head, offset, payload: &self.buffer[range] }));
        }
        self.joined.clear();
        self.joined.extend_from_slice(&self.buffer[range]);
        while flags & CONTINUES != 0 {
            let (next, more, range) = self.advance()?;
            if next != head {
                return Err(Bad::at(offset, "a frame is not continued where it should be"));
            }
            flags = more;
            self.joined.extend_from_slice(&self.buffer[range]);
        }
        Ok(Some(Frame { head, offset, payload: &self.joined }))
    }
}

/// Reads a file's header.
pub(crate) fn read_header(file: &mut dyn File, kind: FileKind) -> Result<Header, Bad> {
    let mut bytes = [0; HEADER];
    let mut have = 0;
    while have < HEADER {
        match file.read_at(have as u64, &mut bytes[have..]) {
            Ok(0) => return Err(Bad::at(have as u64, "the file ends in the middle of its header")),
            Ok(read) => have += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Bad::io(have as u64, error)),
        }
    }
    Header::decode(&bytes, kind)
}

#[cfg(test)]
mod tests;
