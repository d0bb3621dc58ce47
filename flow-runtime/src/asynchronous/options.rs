//! What an asynchronous step is wired with.

use std::time::Duration;

/// How an asynchronous step runs: how many items at a time, in which order they come out, how long one may take, and how often
/// it is tried.
///
/// ```
/// use flow_runtime::prelude::*;
/// use std::time::Duration;
///
/// let patient = Async::in_flight(64)
///     .unordered()
///     .timeout(Duration::from_secs(2))
///     .retry(3, Backoff::exponential(Duration::from_millis(100), Duration::from_secs(5)));
/// # let _ = patient;
/// ```
///
/// All times are processing time, by the clock of the worker: in a simulation they pass at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "these are options of a step: pass them where it is wired"]
pub struct Async {
    pub(super) limit: usize,
    pub(super) ordered: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: u32,
    pub(super) backoff: Backoff,
}

impl Async {
    /// At most `limit` items are in flight on each worker: taken, and not passed on. Then the step takes no more, and what is
    /// upstream waits. 0 counts as 1.
    ///
    /// Items come out in the order in which they went in, none is given up, and none is tried twice, unless that is set.
    pub const fn in_flight(limit: usize) -> Async {
        Async {
            limit: if limit == 0 { 1 } else { limit },
            ordered: true,
            timeout: None,
            retries: 0,
            backoff: Backoff::constant(Duration::ZERO),
        }
    }

    /// Items come out in the order in which they went in: an item that takes long holds back those behind it, and they count as
    /// in flight. This is how it is unless [`unordered`](Async::unordered) is set.
    pub const fn ordered(mut self) -> Async {
        self.ordered = true;
        self
    }

    /// Items come out as soon as they are done. Of a keyed stream the items of one key stay in order all the same: what depends on
    /// the order within a key, a stateful step behind this one, say, sees it kept.
    pub const fn unordered(mut self) -> Async {
        self.ordered = false;
        self
    }

    /// An attempt that takes longer is given up: its future is dropped. It counts as one that failed, so the item is tried again
    /// if [`retry`](Async::retry) says so. Without this an attempt may take for ever, and with it the epoch.
    pub const fn timeout(mut self, after: Duration) -> Async {
        self.timeout = Some(after);
        self
    }

    /// An item whose attempt has failed or timed out is tried up to `times` times more, each time after a pause. Meanwhile it is in flight.
    pub const fn retry(mut self, times: u32, backoff: Backoff) -> Async {
        self.retries = times;
        self.backoff = backoff;
        self
    }
}

/// How long an item rests before it is tried again.
///
/// ```
/// use flow_runtime::prelude::*;
/// use std::time::Duration;
///
/// // 100 ms, 200 ms, 400 ms, .. and never more than 2 s; each of them up to a half shorter, so that items which failed together
/// // are not all tried again together.
/// let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(2)).jittered();
/// # let _ = backoff;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "this says how to retry: pass it to `Async::retry`"]
pub struct Backoff {
    first: Duration,
    most: Duration,
    jittered: bool,
}

impl Backoff {
    /// Each time as long.
    pub const fn constant(pause: Duration) -> Backoff {
        Backoff { first: pause, most: pause, jittered: false }
    }

    /// `first`, then each time twice as long, up to `most`.
    pub const fn exponential(first: Duration, most: Duration) -> Backoff {
        Backoff { first, most, jittered: false }
    }

    /// Each pause is made shorter, by up to a half of it. By how much is no matter of chance: it depends on the worker, on how many items the
    /// worker has taken before this one, and on the number of the attempt. So a simulation can be repeated.
    pub const fn jittered(mut self) -> Backoff {
        self.jittered = true;
        self
    }

    /// The pause behind the attempt with this number, from 1, of an item that `seed` stands for.
    pub(super) fn pause(&self, attempt: u32, seed: u64) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = self.first.saturating_mul(factor).min(self.most);
        if !self.jittered {
            return pause;
        }
        let half = pause / 2;
        // The top 32 bits, as a part of one.
        let part = mixed(seed ^ u64::from(attempt).rotate_left(48)) >> 32;
        pause - half.mul_f64(part as f64 / f64::from(u32::MAX))
    }
}

/// splitmix64: numbers that lie close to each other become numbers that have nothing to do with each other.
pub(super) fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let backoff = Backoff::exponential(ms(100), ms(450));
        let pauses: Vec<_> = (1..6).map(|attempt| backoff.pause(attempt, 0)).collect();
        assert_eq!(pauses, [ms(100), ms(200), ms(400), ms(450), ms(450)]);
        // However often it was tried.
        assert_eq!(backoff.pause(u32::MAX, 0), ms(450));
        assert_eq!(Backoff::constant(ms(7)).pause(40, 0), ms(7));
    }

    #[test]
    fn jitter_takes_up_to_a_half_and_can_be_repeated() {
        let backoff = Backoff::exponential(ms(100), ms(100)).jittered();
        let pauses: Vec<_> = (0..1000).map(|seed| backoff.pause(1, seed)).collect();
        assert!(pauses.iter().all(|pause| (ms(50)..=ms(100)).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause < ms(55)) && pauses.iter().any(|p| *p > ms(95)));
        assert_eq!(backoff.pause(1, 7), pauses[7]);
        assert_ne!(backoff.pause(2, 7), pauses[7]);
    }

    #[test]
    fn a_limit_of_nothing_is_one() {
        assert_eq!(Async::in_flight(0).limit, 1);
    }
}
