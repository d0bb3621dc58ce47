//! `epochs_from`, `epochs_with`: sources that say which epoch each item belongs to.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};
use crate::time::Epoch;

/// A source of `(epoch, item)` pairs, in one partition, that decides where the epochs of the whole dataflow end.
///
/// Epochs must not decrease; that is an error. Some may have no items. There may be one such source in a dataflow; the
/// others follow its epochs. When the dataflow goes on after a stop, what had been committed is skipped, which is why the
/// collection must yield the same pairs each time.
///
/// ```
/// use flow_runtime::io::epochs_from;
///
/// let payments = epochs_from(vec![(0, "a"), (0, "b"), (7, "c")]);
/// # let _ = payments;
/// ```
pub fn epochs_from<I, E, T>(items: I) -> EpochsFrom<I>
where
    I: IntoIterator<Item = (E, T), IntoIter: 'static> + Clone + Send + 'static,
    E: Into<Epoch> + 'static,
    T: 'static,
{
    EpochsFrom { items }
}

/// A source of `(epoch, item)` pairs like [`epochs_from`], made from the epoch at which it is to begin: 0, or the epoch of
/// the last item that had been committed. All items of that epoch and of later ones must be yielded, the same each time;
/// those that had been committed, and earlier ones, are skipped.
///
/// ```
/// use flow_runtime::io::epochs_with;
///
/// // A day is an epoch.
/// let days = epochs_with(|first| (first.0..365).flat_map(|day| [(day, "open"), (day, "close")]));
/// # let _ = days;
/// ```
pub fn epochs_with<F, I, E, T>(begin: F) -> EpochsWith<F>
where
    F: Fn(Epoch) -> I + Clone + Send + 'static,
    I: IntoIterator<Item = (E, T), IntoIter: 'static>,
    E: Into<Epoch> + 'static,
    T: 'static,
{
    EpochsWith { begin }
}

/// The source that [`epochs_from`] makes.
#[derive(Clone)]
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct EpochsFrom<I> {
    items: I,
}

/// The source that [`epochs_with`] makes.
#[derive(Clone)]
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct EpochsWith<F> {
    begin: F,
}

impl<I> fmt::Debug for EpochsFrom<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochsFrom")
    }
}

impl<F> fmt::Debug for EpochsWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EpochsWith")
    }
}

/// How far a source of epochs has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochPosition {
    /// The epoch of the last item that was read.
    epoch: Epoch,
    /// The number of items of that epoch that were read. Not always all: a stop may come in the middle of an epoch.
    items: u64,
}

impl<I, E, T> Source for EpochsFrom<I>
where
    I: IntoIterator<Item = (E, T), IntoIter: 'static> + Clone + Send + 'static,
    E: Into<Epoch> + 'static,
    T: 'static,
{
    type Item = T;
    type Position = EpochPosition;
    type Reader = EpochReader<I::IntoIter, T>;
    type Replay = replay::Replayable;
    const GIVES_EPOCHS: bool = true;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("items")])
    }

    fn open(
        &self,
        _: &Io,
        _: &PartitionId,
        resume: Resume<EpochPosition>,
    ) -> Result<Self::Reader, Error> {
        EpochReader::open(resume, |_| self.items.clone().into_iter())
    }
}

impl<F, I, E, T> Source for EpochsWith<F>
where
    F: Fn(Epoch) -> I + Clone + Send + 'static,
    I: IntoIterator<Item = (E, T), IntoIter: 'static>,
    E: Into<Epoch> + 'static,
    T: 'static,
{
    type Item = T;
    type Position = EpochPosition;
    type Reader = EpochReader<I::IntoIter, T>;
    type Replay = replay::Replayable;
    const GIVES_EPOCHS: bool = true;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("items")])
    }

    fn open(
        &self,
        _: &Io,
        _: &PartitionId,
        resume: Resume<EpochPosition>,
    ) -> Result<Self::Reader, Error> {
        EpochReader::open(resume, |first| (self.begin)(first).into_iter())
    }
}

/// The reader of a source of epochs.
pub struct EpochReader<I, T> {
    items: I,
    /// An item that has been taken out of `items`, but whose epoch has not begun.
    ahead: Option<(Epoch, T)>,
    /// The epoch of the last item that was taken out.
    latest: Epoch,
    read: EpochPosition,
}

impl<I, T> fmt::Debug for EpochReader<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochReader").field("read", &self.read).finish_non_exhaustive()
    }
}

impl<E: Into<Epoch>, T, I: Iterator<Item = (E, T)>> EpochReader<I, T> {
    fn open(
        resume: Resume<EpochPosition>,
        begin: impl FnOnce(Epoch) -> I,
    ) -> Result<EpochReader<I, T>, Error> {
        let read = match resume {
            Resume::Fresh => EpochPosition::default(),
            Resume::At { position, .. } => position,
        };
        let items = begin(read.epoch);
        let mut reader = EpochReader { items, ahead: None, latest: Epoch(0), read };
        if read.items > 0 {
            reader.skip()?;
        }
        Ok(reader)
    }

    /// Drops what had been read: earlier epochs, and so many items of the last one.
    fn skip(&mut self) -> Result<(), Error> {
        let read = self.read;
        let mut skipped = 0;
        loop {
            match self.take()? {
                Some((epoch, _)) if epoch < read.epoch => {}
                Some((epoch, _)) if epoch == read.epoch && skipped < read.items => skipped += 1,
                other => {
                    self.ahead = other;
                    break;
                }
            }
        }
        if skipped == read.items {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Source,
            format!(
                "{} items of epoch {} had been read, and now it has {skipped}",
                read.items, read.epoch
            ),
        )
        .help("to go on after a stop, the source must yield the same items each time"))
    }

    #[inline]
    fn take(&mut self) -> Result<Option<(Epoch, T)>, Error> {
        let Some((epoch, item)) = self.items.next() else { return Ok(None) };
        let epoch = epoch.into();
        if epoch < self.latest {
            return Err(Error::new(
                ErrorKind::Source,
                format!("an item of epoch {epoch} came after one of epoch {}", self.latest),
            )
            .help("epochs must not decrease: sort the items by epoch"));
        }
        self.latest = epoch;
        Ok(Some((epoch, item)))
    }
}

impl<E, T, I> Reader for EpochReader<I, T>
where
    E: Into<Epoch> + 'static,
    T: 'static,
    I: Iterator<Item = (E, T)> + 'static,
{
    type Item = T;
    type Position = EpochPosition;

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            let next = match self.ahead.take() {
                None => self.take()?,
                ahead => ahead,
            };
            let Some((epoch, item)) = next else { return Ok(Poll::End) };
            if epoch > cx.epoch() {
                self.ahead = Some((epoch, item));
                return Ok(Poll::Epoch(epoch));
            }
            // An item of an earlier epoch is the rest of one in which the last run was stopped: it comes late, but it
            // comes.
            if epoch != self.read.epoch {
                self.read = EpochPosition { epoch, items: 0 };
            }
            self.read.items += 1;
            emit(item);
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> EpochPosition {
        self.read
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::io::testing::{poll_in, reopen};

    const ITEMS: [(u64, char); 7] =
        [(0, 'a'), (0, 'b'), (2, 'c'), (2, 'd'), (2, 'e'), (9, 'f'), (10, 'g')];

    fn fresh<S: Source>(source: &S) -> S::Reader {
        let partitions = source.partitions(&Io::real()).expect("lists");
        source.open(&Io::real(), &partitions[0], Resume::Fresh).expect("opens")
    }

    /// Reads to the end as an engine does, from this epoch on: what came in which epoch.
    fn read<R: Reader>(reader: &mut R, mut epoch: u64, limit: usize) -> Vec<(u64, R::Item)> {
        let mut all = Vec::new();
        loop {
            let (items, answer) = poll_in(reader, limit, Epoch(epoch), Waker::noop());
            all.extend(items.into_iter().map(|item| (epoch, item)));
            match answer.expect("reads") {
                Poll::Epoch(later) => {
                    assert!(later.0 > epoch);
                    epoch = later.0;
                }
                Poll::End => return all,
                answer => assert_eq!(answer, Poll::Ready),
            }
        }
    }

    #[test]
    fn items_come_in_their_epochs() {
        for limit in [1, 2, 100] {
            assert_eq!(read(&mut fresh(&epochs_from(ITEMS)), 0, limit), ITEMS);
        }
        let late = [(Epoch(5), 'a')];
        assert_eq!(read(&mut fresh(&epochs_from(late)), 0, 9), [(5, 'a')]);
    }

    #[test]
    fn resumed_anywhere_nothing_is_lost_or_repeated() {
        for count in 0..=ITEMS.len() {
            let mut reader = fresh(&epochs_from(ITEMS));
            let mut epoch = 0;
            for _ in 0..count {
                if let (_, Ok(Poll::Epoch(later))) =
                    poll_in(&mut reader, 1, Epoch(epoch), Waker::noop())
                {
                    epoch = later.0;
                    poll_in(&mut reader, 1, later, Waker::noop()).1.expect("reads");
                }
            }
            // Stopped here: the epoch was closed, perhaps before all of its items had come.
            let next = if count == 0 { 0 } else { epoch + 1 };
            let mut reader =
                reopen(&epochs_from(ITEMS), &Io::real(), reader.position()).expect("resumes");
            let rest: Vec<_> =
                ITEMS[count..].iter().map(|(epoch, item)| ((*epoch).max(next), *item)).collect();
            assert_eq!(read(&mut reader, next, 3), rest, "after {count}");
        }
    }

    #[test]
    fn begun_late_only_the_rest_is_made() {
        let days =
            epochs_with(|first| (first.0..5).flat_map(|day| [(day, 2 * day), (day, 2 * day + 1)]));
        let mut reader = fresh(&days);
        assert_eq!(poll_in(&mut reader, 9, Epoch(0), Waker::noop()).0, [0, 1]);
        poll_in(&mut reader, 3, Epoch(3), Waker::noop()).1.expect("reads");
        assert_eq!(reader.position(), EpochPosition { epoch: Epoch(2), items: 1 });
        let mut reader = reopen(&days, &Io::real(), reader.position()).expect("resumes");
        assert_eq!(read(&mut reader, 3, 9), [(3, 5), (3, 6), (3, 7), (4, 8), (4, 9)]);
    }

    #[test]
    fn decreasing_epochs_are_an_error() {
        let mut reader = fresh(&epochs_from([(3, 'a'), (2, 'b')]));
        let (items, answer) = poll_in(&mut reader, 9, Epoch(3), Waker::noop());
        assert_eq!(items, ['a']);
        let error = answer.expect_err("decreases");
        assert!(error.starts_with("an item of epoch 2 came after one of epoch 3"), "{error}");
    }

    #[test]
    fn fewer_items_than_before_are_refused() {
        let position = EpochPosition { epoch: Epoch(2), items: 4 };
        let error = reopen(&epochs_from(ITEMS), &Io::real(), position).expect_err("is refused");
        assert!(error.contains("4 items of epoch 2 had been read, and now it has 3"), "{error}");
    }
}
