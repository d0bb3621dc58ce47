//! The sinks of a simulation: rows in a file of the simulated disk.
//!
//! A row is framed by its length and a checksum, so that one which a crash has torn is told from a whole one.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::bounds::Item;
use crate::error::{Error, ErrorKind};
use crate::io::delivery::{DeliveryKind, Rewindable};
use crate::io::file::File;
use crate::io::{Delivery, Durable, Encoder, Io, PartitionId, Resume, Sink, SinkWriter};
use crate::stream::{Keyed, NoKey, Stream};
use crate::time::Barrier;

/// A sink whose rows lie on the simulated disk, which a [`World`](super::World) makes. A keyed stream arrives as `(key, item)`.
///
/// `D` is what it promises: [`Rewindable`], as files are, or [`AppendOnly`](crate::io::delivery::AppendOnly).
#[must_use = "a sink does nothing until it is wired by `sink(stream, ..)`"]
pub struct SimSink<T, D = Rewindable> {
    path: PathBuf,
    kinds: PhantomData<fn() -> (T, D)>,
}

impl<T, D> SimSink<T, D> {
    pub(super) fn new(path: PathBuf) -> Self {
        SimSink { path, kinds: PhantomData }
    }
}

impl<T, D> Clone for SimSink<T, D> {
    fn clone(&self) -> Self {
        SimSink::new(self.path.clone())
    }
}

impl<T, D> fmt::Debug for SimSink<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSink").field("path", &self.path).finish_non_exhaustive()
    }
}

macro_rules! sink_of {
    ([$($generics:tt)*] $stream:ty, $row:ty) => {
        impl<$($generics)*, D: DeliveryKind> Sink<$stream> for SimSink<$row, D> {
            type Block = Vec<u8>;
            /// The length of the file.
            type Position = u64;
            type Encoder = SimEncoder;
            type Writer = SimWriter;
            type Delivery = D;

            fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
                io.will_write(&self.path);
                Ok(vec![PartitionId::new(self.path.to_string_lossy())])
            }
            fn encoder(&self) -> SimEncoder {
                SimEncoder
            }
            fn open(&self, io: &Io, _: &PartitionId, resume: Resume<u64>) -> Result<SimWriter, Error> {
                let rewinds = D::KIND == Delivery::Rewindable;
                SimWriter::open(io, &self.path, resume, rewinds)
                    .map_err(|error| failed("write", &self.path, error))
            }
        }
    };
}

sink_of!([T: Item] Stream<T>, T);
sink_of!([K: Item, T: Item] Keyed<K, T>, (K, T));

fn failed(action: &str, path: &Path, error: io::Error) -> Error {
    Error::io(ErrorKind::Sink, action, path, error)
}

/// Frames rows.
#[derive(Clone, Copy, Debug)]
pub struct SimEncoder;

impl SimEncoder {
    fn row(row: &impl Serialize, block: &mut Vec<u8>) -> Result<usize, Error> {
        put(row, block).map_err(|error| {
            Error::new(ErrorKind::Encoding, format!("a row cannot be written: {error}"))
                .caused_by(error)
        })?;
        Ok(block.len())
    }
}

impl<T: Item> Encoder<Stream<T>> for SimEncoder {
    type Block = Vec<u8>;
    fn encode(&mut self, _: &NoKey, item: T, block: &mut Vec<u8>) -> Result<usize, Error> {
        SimEncoder::row(&item, block)
    }
}

impl<K: Item, T: Item> Encoder<Keyed<K, T>> for SimEncoder {
    type Block = Vec<u8>;
    fn encode(&mut self, key: &K, item: T, block: &mut Vec<u8>) -> Result<usize, Error> {
        SimEncoder::row(&(key, item), block)
    }
}

/// Before a row: its length and its checksum.
const HEAD: usize = 8;

fn put(row: &impl Serialize, into: &mut Vec<u8>) -> Result<(), postcard::Error> {
    let bytes = postcard::to_allocvec(row)?;
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&checksum(&bytes).to_le_bytes());
    into.extend_from_slice(&bytes);
    Ok(())
}

/// Not 0 for no bytes: a hole must not be taken for rows.
fn checksum(bytes: &[u8]) -> u32 {
    !crc32fast::hash(bytes)
}

/// The rows at the beginning of bytes, and where they end.
pub(super) fn rows(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut rows, mut at) = (Vec::new(), 0);
    while let Some((head, rest)) = bytes[at..].split_first_chunk::<HEAD>() {
        let [a, b, c, d, sum @ ..] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        match rest.get(..length) {
            Some(row) if checksum(row) == u32::from_le_bytes(sum) => rows.push(row),
            _ => break,
        }
        at += HEAD + length;
    }
    (rows, at)
}

/// Writes the rows of a [`SimSink`].
#[derive(Debug)]
pub struct SimWriter {
    io: Io,
    path: PathBuf,
    file: Box<dyn File>,
    length: u64,
    /// The folder may not know the file yet.
    is_new: Arc<AtomicBool>,
}

impl SimWriter {
    fn open(io: &Io, path: &Path, resume: Resume<u64>, rewinds: bool) -> io::Result<SimWriter> {
        let mut file = io.files().create(path, false)?;
        let there = file.len()?;
        let length = match resume {
            Resume::Fresh if rewinds => 0,
            Resume::At { position, .. } if rewinds => position,
            // What had been written stays; only a row that was torn goes.
            _ => {
                let mut bytes = vec![0; usize::try_from(there).map_err(io::Error::other)?];
                let read = file.read_at(0, &mut bytes)?;
                rows(&bytes[..read]).1 as u64
            }
        };
        if there < length {
            return Err(io::Error::other(format!(
                "it had {length} bytes at the last commit and now has {there}"
            )));
        }
        if there > length {
            file.set_len(length)?;
            // It must not come back, though nothing more be written.
            file.sync()?;
        }
        let is_new = Arc::new(AtomicBool::new(true));
        Ok(SimWriter { io: io.clone(), path: path.to_owned(), file, length, is_new })
    }
}

impl SinkWriter for SimWriter {
    type Block = Vec<u8>;
    type Position = u64;

    fn write(&mut self, block: Vec<u8>) -> Result<(), Error> {
        let file = &mut *self.file;
        crate::io::write_patiently(&self.io, file, &self.path, self.length, &block)?;
        self.length += block.len() as u64;
        Ok(())
    }

    fn seal(&mut self, _: Barrier) -> Result<u64, Error> {
        Ok(self.length)
    }

    fn durable(&mut self) -> Result<Option<Durable>, Error> {
        let failed = |path: &Path, error| failed("make durable", path, error);
        let syncing = self.file.syncing().map_err(|error| failed(&self.path, error))?;
        let (io, path, is_new) = (self.io.clone(), self.path.clone(), Arc::clone(&self.is_new));
        Ok(Some(Box::new(move || {
            let sync = || {
                syncing()?;
                if is_new.load(Ordering::Acquire) {
                    io.files().sync_folder(path.parent().unwrap_or(Path::new("")))?;
                    is_new.store(false, Ordering::Release);
                }
                Ok(())
            };
            sync().map_err(|error| failed(&path, error))
        })))
    }
}
