//! What a file holds: in the cache, durably, and what has been written since the last sync.

use std::io;
use std::sync::Arc;

use super::luck::Luck;
use crate::io::Random;

/// What a disk writes at once or not at all.
const SECTOR: usize = 512;
/// No file of a simulation is larger: it would not fit into memory.
const MOST: u64 = 1 << 31;

/// What a file holds. A clone copies nothing before one of the two is written.
#[derive(Clone, Default)]
pub(super) struct Content {
    /// As a process reads it.
    live: Arc<Vec<u8>>,
    /// As of the last sync.
    durable: Arc<Vec<u8>>,
    /// What has been done since.
    pending: Arc<Vec<Change>>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Arc<[u8]> },
    Length(usize),
}

/// Writes into bytes; what lies between their end and the offset becomes zeros.
fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

impl Content {
    /// Bytes that are durable.
    pub(super) fn durable(bytes: &[u8]) -> Content {
        let live = Arc::new(bytes.to_vec());
        Content { durable: Arc::clone(&live), live, pending: Arc::default() }
    }

    pub(super) fn len(&self) -> u64 {
        self.live.len() as u64
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.live
    }

    pub(super) fn read_at(&self, offset: u64, into: &mut [u8]) -> usize {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.live.len());
        let read = into.len().min(self.live.len() - from);
        into[..read].copy_from_slice(&self.live[from..from + read]);
        read
    }

    pub(super) fn write_at(&mut self, offset: u64, bytes: Arc<[u8]>) -> io::Result<()> {
        let offset = position(offset.saturating_add(bytes.len() as u64))? - bytes.len();
        if !bytes.is_empty() {
            put(Arc::make_mut(&mut self.live), offset, &bytes);
            Arc::make_mut(&mut self.pending).push(Change::Write { offset, bytes });
        }
        Ok(())
    }

    pub(super) fn set_len(&mut self, length: u64) -> io::Result<()> {
        let length = position(length)?;
        Arc::make_mut(&mut self.live).resize(length, 0);
        Arc::make_mut(&mut self.pending).push(Change::Length(length));
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for change in &*self.pending {
            match change {
                Change::Write { offset, bytes } => put(durable, *offset, bytes),
                Change::Length(length) => durable.resize(*length, 0),
            }
        }
        self.pending = Arc::default();
    }

    /// Makes some of what was written durable and forgets that there was more: what a power cut does, and a failing sync.
    pub(super) fn lose_some(&mut self, luck: &mut Luck<'_>) {
        if self.pending.is_empty() {
            return;
        }
        let durable = Arc::make_mut(&mut self.durable);
        for change in &*self.pending {
            match change {
                Change::Write { offset, bytes } => {
                    let (mut at, end) = (*offset, offset + bytes.len());
                    while at < end {
                        let next = end.min((at / SECTOR + 1) * SECTOR);
                        if luck.survives() {
                            put(durable, at, &bytes[at - offset..next - offset]);
                        }
                        at = next;
                    }
                }
                Change::Length(length) if luck.survives() => durable.resize(*length, 0),
                Change::Length(_) => {}
            }
        }
        self.pending = Arc::default();
    }

    /// The machine starts anew: what is not durable is gone.
    pub(super) fn forget_cache(&mut self) {
        self.live = Arc::clone(&self.durable);
    }

    /// Flips a bit. Answers the number of the byte.
    pub(super) fn flip_bit(&mut self, random: &mut Random) -> Option<u64> {
        if self.live.is_empty() {
            return None;
        }
        let (at, bit) = (random.below(self.len()), 1 << random.below(8));
        let index = usize::try_from(at).ok()?;
        for bytes in [&mut self.live, &mut self.durable] {
            if let Some(byte) = Arc::make_mut(bytes).get_mut(index) {
                *byte ^= bit;
            }
        }
        Some(at)
    }
}

fn position(offset: u64) -> io::Result<usize> {
    if offset > MOST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("a file of a simulated disk has at most {MOST} bytes"),
        ));
    }
    usize::try_from(offset).map_err(io::Error::other)
}
