//! `from_iter`: a source from anything that can be iterated.

use std::any::Any;
use std::fmt;
use std::ops::Range;

use crate::error::{Error, ErrorKind};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

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
    type Replay = replay::Replayable;

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
        Ok(IterReader { items, read })
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
    items: I,
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

    #[inline(always)]
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut(I::Item),
    ) -> Result<Poll, Error> {
        let limit = cx.limit();
        let count = match emit_range(&mut self.items, limit, emit) {
            Some(count) => count,
            None => {
                let mut count = 0;
                // The iterator drives the loop, which suits chains and nested ones.
                self.items.by_ref().take(limit).for_each(|item| {
                    count += 1;
                    emit(item);
                });
                count
            }
        };
        self.read += count as u64;
        Ok(if count < limit { Poll::End } else { Poll::Ready })
    }

    fn position(&self) -> u64 {
        self.read
    }
}

/// Emits up to `limit` items if the iterator is a range of numbers, and answers how many.
///
/// Such a loop has one end, that of the range, and not a second one for the limit: it runs as fast as one written by hand,
/// half again as fast as the general one. Which type it is, is known when it is compiled: nothing of the question is left.
#[inline(always)]
fn emit_range<I: Iterator<Item: 'static> + 'static>(
    items: &mut I,
    limit: usize,
    emit: &mut impl FnMut(I::Item),
) -> Option<usize> {
    macro_rules! of {
        ($($number:ty),*) => {$(
            if let Some(range) = (items as &mut dyn Any).downcast_mut::<Range<$number>>() {
                let most = <$number>::try_from(limit).unwrap_or(<$number>::MAX);
                let from = range.start;
                let to = from.saturating_add(most).min(range.end).max(from);
                range.start = to;
                for number in from..to {
                    let mut number = Some(number);
                    let item = (&mut number as &mut dyn Any).downcast_mut::<Option<I::Item>>();
                    if let Some(item) = item.and_then(Option::take) {
                        emit(item);
                    }
                }
                return Some((to - from) as usize);
            }
        )*};
    }
    of!(u64, i64, u32, i32, usize);
    None
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
    fn ranges_of_all_numbers_are_as_they_are_elsewhere() {
        fn same<I>(range: I)
        where
            I: IntoIterator<Item: PartialEq + fmt::Debug + 'static, IntoIter: 'static>,
            I: Clone + Send + 'static,
        {
            let plain: Vec<_> = range.clone().into_iter().take(20).collect();
            let mut reader = from_iter(range)
                .open(&Io::real(), &PartitionId::new("items"), Resume::Fresh)
                .expect("opens");
            let mut all = poll(&mut reader, 7).0;
            all.extend(poll(&mut reader, 13).0);
            assert_eq!(all, plain);
            assert_eq!(reader.position(), plain.len() as u64);
        }
        same(0..30_u64);
        same(5..9_u32);
        same(u64::MAX - 10..u64::MAX);
        same(i64::MIN..i64::MAX);
        same(i32::MAX - 3..i32::MAX);
        same(-3..12);
        same(3..3_usize);
        same(Range { start: 4, end: 3 });
        same(0..9_u8);
        same('a'..='z');
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
