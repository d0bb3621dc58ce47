//! The entries of a step as bytes: of each key the last word, a range of key groups at a time.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crate::error::Error;
use crate::io::file::File;
use crate::recovery::block::{BlockHead, Entry, NO_GROUP};
use crate::recovery::check::FrameAt;
use crate::recovery::compact::merge::{ByKey, Entries};
use crate::recovery::offline::reader::cannot_read;
use crate::recovery::offline::snapshot::{Inner, Keeps};
use crate::state::parts::whole::PartEntry;

/// About the bytes of entries that are in memory at a time.
const RANGE_BYTES: u64 = 32 << 20;

/// The entries of a step, in the order of key groups, then of keys.
pub(crate) struct Rows {
    of: Arc<Inner>,
    step: u32,
    ranges: VecDeque<(u16, u16)>,
    range: Option<ByKey>,
}

impl Rows {
    /// All entries of the step with this number.
    pub(crate) fn of(inner: &Arc<Inner>, step: u32, keeps: Keeps) -> Rows {
        Rows::in_ranges_of(inner, step, keeps, RANGE_BYTES)
    }

    /// The same, with about so many bytes at a time.
    pub(crate) fn in_ranges_of(inner: &Arc<Inner>, step: u32, keeps: Keeps, bytes: u64) -> Rows {
        let ranges = match keeps {
            Keeps::PerKey => {
                let size = inner.checked.sizes.get(&step).copied().unwrap_or_default();
                let size = size.bytes + size.part_bytes;
                ranges(inner.ground.format.groups, size.div_ceil(bytes))
            }
            Keeps::OneValue | Keeps::Positions => VecDeque::from([(NO_GROUP, NO_GROUP)]),
        };
        Rows { of: Arc::clone(inner), step, ranges, range: None }
    }

    /// The entries of one group.
    pub(crate) fn of_group(inner: &Arc<Inner>, step: u32, group: u16) -> Rows {
        let ranges = VecDeque::from([(group, group)]);
        Rows { of: Arc::clone(inner), step, ranges, range: None }
    }

    /// Gives the next entry, and what its block says of it, to `act`. `None` behind the last one, and behind an error.
    pub(crate) fn next<T>(
        &mut self,
        act: impl FnOnce(BlockHead, Entry<'_>) -> T,
    ) -> Option<Result<T, Error>> {
        match self.ready()? {
            Ok(range) => range.next().map(|(head, entry)| Ok(act(head, entry))),
            Err(error) => Some(Err(error)),
        }
    }

    /// The same, with a state the entries of its maps and lists.
    pub(crate) fn next_state<T>(
        &mut self,
        act: impl FnOnce(BlockHead, Entry<'_>, &[PartEntry<'_>]) -> T,
    ) -> Option<Result<T, Error>> {
        match self.ready()? {
            Ok(range) => {
                range.next_state().map(|(head, entry, parts)| Ok(act(head, entry, &parts)))
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// The range that has the next entry.
    fn ready(&mut self) -> Option<Result<&mut ByKey, Error>> {
        while self.range.as_ref().is_none_or(ByKey::is_at_its_end) {
            let (first, last) = self.ranges.pop_front()?;
            match self.of.read(self.step, first, last) {
                Ok(entries) => self.range = Some(entries),
                Err(error) => {
                    self.ranges.clear();
                    return Some(Err(error));
                }
            }
        }
        self.range.as_mut().map(Ok)
    }
}

/// Divides the groups in so many ranges of the same size. Keys are dealt to groups by their hashes, so that all have about the same number.
fn ranges(groups: u32, count: u64) -> VecDeque<(u16, u16)> {
    let count = count.clamp(1, u64::from(groups));
    let begin = |range: u64| (u64::from(groups) * range / count) as u16;
    (0..count).map(|range| (begin(range), begin(range + 1) - 1)).collect()
}

impl Inner {
    fn read(&self, step: u32, first: u16, last: u16) -> Result<ByKey, Error> {
        let mut entries = Entries::default();
        let within = |frame: &&FrameAt| frame.groups.0 <= last && frame.groups.1 >= first;
        let frames = self.checked.frames.get(&step).map_or(&[][..], Vec::as_slice);
        let mut frames = frames.iter().filter(within).peekable();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(number) = frames.peek().map(|frame| frame.file) {
            let named = &self.checked.files[number as usize];
            let mut again: Box<dyn File>;
            let file = match open.get_mut(number as usize) {
                Some(file) => &mut **file,
                None => {
                    let opened = self.ground.files.open(&named.path);
                    again = opened.map_err(|error| cannot_read(&named.path, error))?;
                    &mut *again
                }
            };
            let here = std::iter::from_fn(|| frames.next_if(|frame| frame.file == number));
            let here = here.map(|frame| (frame.offset, frame.origin));
            entries.add_frames((file, named), here, (first, last), &self.checked.cover)?;
        }
        Ok(entries.by_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_group_once() {
        for (groups, count) in [(1, 0), (8, 1), (8, 3), (256, 7), (32_768, 100_000)] {
            let ranges = ranges(groups, count);
            let mut next = 0;
            for (first, last) in &ranges {
                assert!(u32::from(*first) == next && last >= first, "{ranges:?}");
                next = u32::from(*last) + 1;
            }
            assert_eq!(next, groups);
            assert_eq!(ranges.len() as u64, count.clamp(1, u64::from(groups)));
        }
    }
}
