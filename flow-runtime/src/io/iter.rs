//! `from_iter`: a source from anything that can be iterated.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Replay, Resume, Source};

/// A source of the items of an iterator, in one partition.
///
/// The collection is cloned to every worker, so a large one is better given as something that makes its items: a range, a
/// shared slice, a source of its own. After a crash reading goes on behind the items that had been committed, which is why
/// the collection must yield the same items each time.
///
/// ```
/// use flow_runtime::io::from_iter;
///
/// let numbers = from_iter(0..1_000_000_u64);
/// let words = from_iter(["to", "be", "or", "not"]);
/// # let _ = (numbers, words);
/// ```
pub fn from_iter<I>(items: I) -> FromIter<I>
where
    I: IntoIterator<Item: 'static, IntoIter: 'static> + Clone + Send + 'static,
{
    FromIter { items }
}

/// The source that [`from_iter`] makes.
#[derive(Clone)]
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct FromIter<I> {
    items: I,
}

impl<I> fmt::Debug for FromIter<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromIter")
    }
}

impl<I> Source for FromIter<I>
where
    I: IntoIterator<Item: 'static, IntoIter: 'static> + Clone + Send + 'static,
{
    type Item = I::Item;
    /// The number of items that have been read.
    type Position = u64;
    type Reader = IterReader<I::IntoIter>;
    const REPLAY: Replay = Replay::Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("items")])
    }

    fn open(
        &self,
        _: &Io,
        _: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<IterReader<I::IntoIter>, Error> {
        let mut items = self.items.clone().into_iter();
        let read = match resume {
            Resume::Fresh => 0,
            Resume::At { position, .. } => {
                skip(&mut items, position)?;
                position
            }
        };
        Ok(IterReader { items: Some(items), read })
    }
}

/// Drops the items that have been read before.
pub(crate) fn skip(items: &mut impl Iterator, read: u64) -> Result<(), Error> {
    let mut left = read;
    while left > 0 {
        // `nth` drops one item more than it is given; a range does not count them one by one.
        let step = usize::try_from(left).unwrap_or(usize::MAX);
        if items.nth(step - 1).is_none() {
            return Err(Error::new(
                ErrorKind::Source,
                format!("{read} items had been read from an iterator that now yields fewer"),
            )
            .help("to go on after a stop, the iterator must yield the same items each time"));
        }
        left -= step as u64;
    }
    Ok(())
}

/// The reader of a [`FromIter`].
pub struct IterReader<I> {
    /// There but while items are being emitted: an iterator that is moved out of here can live in registers.
    items: Option<I>,
    read: u64,
}

impl<I> fmt::Debug for IterReader<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterReader").field("read", &self.read).finish_non_exhaustive()
    }
}

impl<I: Iterator + 'static> Reader for IterReader<I> {
    type Item = I::Item;
    type Position = u64;

    #[inline]
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(I::Item),
    ) -> Result<Poll, Error> {
        let Some(mut items) = self.items.take() else { return Ok(Poll::End) };
        for n in 0..cx.limit() {
            match items.next() {
                Some(item) => emit(item),
                None => {
                    self.read += n as u64;
                    return Ok(Poll::End);
                }
            }
        }
        self.items = Some(items);
        self.read += cx.limit() as u64;
        Ok(Poll::Ready)
    }

    fn position(&self) -> u64 {
        self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::testing::{drain, poll, resume};

    #[test]
    fn yields_the_items_in_order_and_then_ends() {
        let source = from_iter(vec!["a", "b", "c"]);
        assert_eq!(drain(&source, &Io::real()), Ok(vec!["a", "b", "c"]));
        assert_eq!(drain(&from_iter(0..0), &Io::real()), Ok(vec![]));
    }

    #[test]
    fn keeps_to_the_limit() {
        let source = from_iter(0..10);
        let mut reader =
            source.open(&Io::real(), &PartitionId::new("items"), Resume::Fresh).expect("opens");
        assert_eq!(poll(&mut reader, 4), (vec![0, 1, 2, 3], Ok(Poll::Ready)));
        assert_eq!(reader.position(), 4);
        assert_eq!(poll(&mut reader, 7), (vec![4, 5, 6, 7, 8, 9], Ok(Poll::End)));
        assert_eq!(reader.position(), 10);
        assert_eq!(poll(&mut reader, 7), (vec![], Ok(Poll::End)));
        assert_eq!(reader.position(), 10);
    }

    #[test]
    fn resumed_anywhere_it_goes_on() {
        for at in 0..=10 {
            let rest = resume(&from_iter(0..10), &Io::real(), at);
            assert_eq!(rest, Ok((at..10).collect::<Vec<_>>()));
        }
    }

    #[test]
    fn a_shorter_iterator_is_refused() {
        let error = resume(&from_iter(0..10), &Io::real(), 11).expect_err("is refused");
        assert!(error.contains("11 items had been read"), "{error}");
    }
}
