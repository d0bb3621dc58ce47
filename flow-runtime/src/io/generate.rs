//! `generate`: items made from a seed, the same each time.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use crate::error::{Error, ErrorKind};
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

/// A source of items made by a function from random numbers and the item's own number: `0..1000` for a thousand items, `..` for
/// a stream without end. With several [`partitions`](Generate::partitions) each of them has that many.
///
/// Item `n` of a partition depends on the seed, the partition and `n` only, now and in every later release; so reading goes on
/// anywhere, and a test can be run again. The function must be one of its arguments only.
///
/// ```
/// use flow_runtime::io::generate;
///
/// let transfers = generate(42, 0..10_000, |random, n| {
///     let from = random.below(100);
///     (n, from, random.unit_f64() * 250.0)
/// });
/// # let _ = transfers;
/// ```
pub fn generate<T, F>(seed: u64, numbers: impl RangeBounds<u64>, item: F) -> Generate<T, F>
where
    T: 'static,
    F: Fn(&mut Random, u64) -> T + Clone + Send + 'static,
{
    let first = match numbers.start_bound() {
        Bound::Included(first) => *first,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match numbers.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    Generate { seed, first, end: end.max(first), partitions: 1, item, types: PhantomData }
}

/// The source that [`generate`] makes.
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct Generate<T, F> {
    seed: u64,
    first: u64,
    end: u64,
    partitions: u64,
    item: F,
    types: PhantomData<fn() -> T>,
}

impl<T, F: Clone> Clone for Generate<T, F> {
    fn clone(&self) -> Self {
        let Generate { seed, first, end, partitions, ref item, types } = *self;
        Generate { seed, first, end, partitions, item: item.clone(), types }
    }
}

impl<T, F> fmt::Debug for Generate<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generate")
            .field("seed", &self.seed)
            .field("first", &self.first)
            .field("end", &self.end)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl<T, F> Generate<T, F> {
    /// The number of partitions, which workers read side by side; 1 unless it is set. Each has items of its own.
    pub fn partitions(mut self, partitions: u64) -> Self {
        self.partitions = partitions;
        self
    }
}

impl<T, F> Source for Generate<T, F>
where
    T: 'static,
    F: Fn(&mut Random, u64) -> T + Clone + Send + 'static,
{
    type Item = T;
    /// The number of the next item.
    type Position = u64;
    type Reader = GenerateReader<T, F>;
    type Replay = replay::Replayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        // Of equal length, so that they sort by number.
        Ok((0..self.partitions).map(|n| PartitionId::new(format!("{n:05}"))).collect())
    }

    fn open(
        &self,
        _: &Io,
        partition: &PartitionId,
        resume: Resume<u64>,
    ) -> Result<GenerateReader<T, F>, Error> {
        let number: u64 = partition.as_str().parse().map_err(|error| {
            Error::new(ErrorKind::Source, format!("there is no partition `{partition}`"))
                .caused_by(error)
        })?;
        let next = match resume {
            Resume::Fresh => self.first,
            Resume::At { position, .. } => position,
        };
        Ok(GenerateReader {
            seed: mix(self.seed ^ mix(number)),
            next,
            end: self.end,
            item: self.item.clone(),
            types: PhantomData,
        })
    }
}

/// The reader of a [`Generate`].
pub struct GenerateReader<T, F> {
    /// Of this partition.
    seed: u64,
    next: u64,
    end: u64,
    item: F,
    types: PhantomData<fn() -> T>,
}

impl<T, F> fmt::Debug for GenerateReader<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GenerateReader").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<T: 'static, F: Fn(&mut Random, u64) -> T + 'static> Reader for GenerateReader<T, F> {
    type Item = T;
    type Position = u64;

    #[inline]
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        let last = self.end.min(self.next.saturating_add(cx.limit() as u64));
        for n in self.next..last {
            emit((self.item)(&mut Random::of(self.seed, n), n));
        }
        self.next = self.next.max(last);
        Ok(if self.next < self.end { Poll::Ready } else { Poll::End })
    }

    fn position(&self) -> u64 {
        self.next
    }
}

/// Random numbers from a seed, the same now and in every later release (SplitMix64). Good enough for test data; never for secrets.
///
/// ```
/// use flow_runtime::io::Random;
///
/// let mut random = Random::new(7);
/// assert!(random.below(6) < 6);
/// assert!((0.0..1.0).contains(&random.unit_f64()));
/// assert!(["heads", "tails"].contains(random.pick(&["heads", "tails"])));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

/// The step of SplitMix64: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of SplitMix64: spreads every bit over all.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// The numbers of item `n`. The state is mixed, since items next to one another would otherwise share numbers.
    #[inline]
    fn of(seed: u64, n: u64) -> Self {
        Random { state: mix(seed.wrapping_add(n.wrapping_mul(STEP))) }
    }

    /// The next number, of all 2^64.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number below `n`, each equally likely; 0 if `n` is 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        // The high half of a product spreads 2^64 numbers over n; those that are left over are drawn again.
        let mut wide = u128::from(self.next_u64()) * u128::from(n);
        if (wide as u64) < n {
            let left_over = n.wrapping_neg() % n;
            while (wide as u64) < left_over {
                wide = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (wide >> 64) as u64
    }

    /// A number from 0 up to, but without, 1.
    #[inline]
    pub fn unit_f64(&mut self) -> f64 {
        // 53 bits are what a float between 0.5 and 1 can hold.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of these, each equally likely.
    ///
    /// # Panics
    /// When there is none.
    #[inline]
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        assert!(!from.is_empty(), "one of no items cannot be picked");
        &from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::testing::{drain, poll, resume};

    fn numbers(seed: u64, count: u64) -> impl Source<Item = (u64, u64), Position = u64> {
        generate(seed, ..count, |random, n| (n, random.next_u64()))
    }

    #[test]
    fn it_is_splitmix64() {
        // The vector that is published with the algorithm.
        let mut random = Random::new(1_234_567);
        let drawn = [(); 5].map(|()| random.next_u64());
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(drawn, published);
    }

    #[test]
    fn items_never_change() {
        let items = drain(
            &generate(42, ..3, |random, n| (n, random.next_u64())).partitions(2),
            &Io::real(),
        )
        .expect("reads");
        let expected = [
            (0, 11_338_124_010_319_451_123),
            (1, 6_168_158_941_143_839_527),
            (2, 7_382_028_192_048_325_405),
            (0, 3_715_733_140_426_505_205),
            (1, 1_563_112_817_023_193_515),
            (2, 10_919_037_893_981_088_276),
        ];
        assert_eq!(items, expected);
    }

    #[test]
    fn draws_are_even() {
        let mut random = Random::new(7);
        let mut seen = [0; 6];
        for _ in 0..60_000 {
            seen[random.below(6) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (9_600..10_400).contains(count)), "{seen:?}");
        let mean = (0..60_000).map(|_| random.unit_f64()).sum::<f64>() / 60_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
        assert_eq!((random.below(0), random.below(1)), (0, 0));
        assert!(random.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn numbers_of_neighbours_are_unlike() {
        let ones: u32 = (0..1000)
            .map(|n| (Random::of(7, n).next_u64() ^ Random::of(7, n + 1).next_u64()).count_ones())
            .sum();
        assert!((31_000..33_000).contains(&ones), "about half of the 64000 bits differ: {ones}");
    }

    #[test]
    fn resumed_anywhere_it_goes_on() {
        let source = numbers(1, 10);
        let all = drain(&source, &Io::real()).expect("reads");
        for at in 0..=10 {
            let rest = resume(&source, &Io::real(), at as u64);
            assert_eq!(rest.as_deref(), Ok(&all[at..]));
        }
    }

    #[test]
    fn ranges_say_which_items() {
        let count = |range: (Bound<u64>, Bound<u64>)| {
            let source = generate(1, range, |_, n| n);
            drain(&source, &Io::real()).expect("reads")
        };
        assert_eq!(count((Bound::Included(3), Bound::Excluded(6))), [3, 4, 5]);
        assert_eq!(count((Bound::Excluded(3), Bound::Included(6))), [4, 5, 6]);
        assert_eq!(count((Bound::Included(3), Bound::Excluded(2))), [0; 0]);
        let endless = generate(1, .., |_, n| n);
        let partition = PartitionId::new("00000");
        let mut reader = endless.open(&Io::real(), &partition, Resume::Fresh).expect("opens");
        assert_eq!(poll(&mut reader, 2), (vec![0, 1], Ok(Poll::Ready)));
    }
}
