//! Processing time, on a virtual clock: what waits for it, and the rate of sources.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_runtime::io::{
    FromIter, Io, PartitionId, Poll, PollContext, Reader, Resume, Sink, Source, for_each,
    from_iter, replay,
};
use flow_runtime::prelude::*;
use flow_runtime::time::Timestamp;
use flow_runtime::{Error, ErrorKind, Virtual};

/// Items with the milliseconds at which they come.
#[derive(Clone, Debug)]
struct Timed(Vec<(u64, u64)>);

struct TimedReader(std::vec::IntoIter<(u64, u64)>);

impl Source for Timed {
    type Item = u64;
    type Position = ();
    type Reader = TimedReader;
    type Replay = replay::NotReplayable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("timed")])
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<TimedReader, Error> {
        Ok(TimedReader(self.0.clone().into_iter()))
    }
}

impl Reader for TimedReader {
    type Item = u64;
    type Position = ();
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(u64)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            let Some((at, item)) = self.0.as_slice().first().copied() else {
                return Ok(Poll::End);
            };
            let at = Timestamp(0).after(Duration::from_millis(at));
            if at > cx.now() {
                return Ok(Poll::At(at));
            }
            self.0.next();
            emit(item);
        }
        Ok(Poll::Ready)
    }
    fn position(&self) {}
}

/// What arrived, with the milliseconds at which it did.
type Arrived<T> = Arc<Mutex<Vec<(u128, T)>>>;

/// A schedule, and a sink that notes when an item arrives.
fn watch<T: Send + 'static>(
    seed: u64,
) -> (Arc<Virtual>, impl Sink<Stream<T>> + use<T>, Arrived<T>) {
    let schedule = Arc::new(Virtual::new(seed));
    let arrived = Arrived::default();
    let (clock, to) = (Arc::clone(&schedule), Arc::clone(&arrived));
    let sink = for_each(move |item| {
        let at = clock.elapsed().as_millis();
        to.lock().expect("no test panics while it holds this").push((at, item));
    });
    (schedule, sink, arrived)
}

fn take<T>(arrived: &Arrived<T>) -> Vec<(u128, T)> {
    std::mem::take(&mut *arrived.lock().expect("no test panics while it holds this"))
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: EpochPolicy = EpochPolicy::every(Duration::from_secs(3600));

#[dataflow]
fn firsts<S: Sink<Stream<u64>>>(items: Timed, out: S) {
    let all = source(items);
    let by_key = key_by(all, |n| n % 10);
    let first = dedupe(by_key, Ttl::processing_time(SECOND));
    let items = values(first);
    sink(items, out);
}

#[test]
fn a_key_is_forgotten_when_its_time_is_over_though_nothing_came_meanwhile() {
    for seed in 0..5 {
        let items = Timed(vec![(0, 1), (500, 11), (900, 21), (10_000, 31), (10_500, 41)]);
        let (schedule, out, arrived) = watch(seed);
        let flow = firsts(items, out).workers(2).epochs(HOUR);
        flow.simulate_on(schedule).expect("it succeeds");
        assert_eq!(take(&arrived), [(0, 1), (10_000, 31)], "seed {seed}");
    }
}

#[dataflow]
fn chunks<S: Sink<Stream<Vec<u64>>>>(items: Timed, out: S) {
    let all = source(items);
    let gathered = chunk(all, 3, SECOND);
    sink(gathered, out);
}

#[dataflow]
fn chunks_by_key<S: Sink<Stream<Vec<u64>>>>(items: Timed, out: S) {
    let all = source(items);
    let by_key = key_by(all, |n| n % 10);
    let gathered = chunk(by_key, 3, SECOND);
    let chunks = values(gathered);
    sink(chunks, out);
}

#[test]
fn a_chunk_lasts_from_its_first_item_also_after_a_pause() {
    let items = Timed(vec![(0, 1), (10_000, 11), (10_900, 21), (20_000, 31)]);
    let expected = [(1_000, vec![1]), (11_000, vec![11, 21]), (20_000, vec![31])];
    for seed in 0..5 {
        let (schedule, out, arrived) = watch(seed);
        let flow = chunks(items.clone(), out).workers(1).epochs(HOUR);
        flow.simulate_on(schedule).expect("it succeeds");
        assert_eq!(take(&arrived), expected, "seed {seed}");
        let (schedule, out, arrived) = watch(seed);
        let flow = chunks_by_key(items.clone(), out).workers(2).epochs(HOUR);
        flow.simulate_on(schedule).expect("it succeeds");
        assert_eq!(take(&arrived), expected, "seed {seed}");
    }
}

#[test]
fn a_chunk_is_emitted_in_time_though_an_epoch_ended_behind_its_items() {
    let items = Timed(vec![(0, 1), (0, 2), (60_000, 3)]);
    for workers in 1..4 {
        for seed in 0..40 {
            let (schedule, out, arrived) = watch(seed);
            let flow = chunks_by_key(items.clone(), out).workers(workers);
            flow.epochs(EpochPolicy::items(1)).simulate_on(schedule).expect("it succeeds");
            let mut arrived = take(&arrived);
            arrived.sort();
            let expected = [(1_000, vec![1]), (1_000, vec![2]), (60_000, vec![3])];
            assert_eq!(arrived, expected, "{workers} workers, seed {seed}");
        }
    }
}

#[dataflow]
fn two<A: Source<Item = u64>, B: Source<Item = u64>, S: Sink<Stream<u64>>>(
    first: A,
    second: B,
    out: S,
) {
    let first = source(first);
    let second = source(second);
    let both = merge(first, second);
    sink(both, out);
}

type Numbers = FromIter<std::ops::Range<u64>>;

#[dataflow]
fn one<A: Source<Item = u64>, S: Sink<Stream<u64>>>(numbers: A, out: S) {
    let all = source(numbers);
    sink(all, out);
}

#[test]
fn a_rate_is_kept_to_the_microsecond() {
    for rate in [0.3, 3.0, 7.0, 1e3, 123_456.7] {
        let (schedule, out, arrived) = watch(1);
        let flow = one(from_iter(0..30), out).workers(1).rate(rate);
        flow.simulate_on(Arc::clone(&schedule)).expect("it succeeds");
        assert_eq!(take(&arrived).len(), 30);
        let (took, expected) = (schedule.elapsed().as_secs_f64(), 30.0 / rate);
        assert!(took >= expected * 0.999 && took < expected * 1.1 + 1e-3, "{rate}: {took}");
    }
}

#[test]
fn the_extremes_of_a_rate() {
    let (schedule, out, arrived) = watch(1);
    let flow = one(from_iter(0..1000), out).workers(3).rate(1e18);
    flow.simulate_on(schedule).expect("it succeeds");
    assert_eq!(take(&arrived).len(), 1000);
    for rate in [1e-9, 1e-300] {
        let (_, out, arrived) = watch(1);
        let running = one(from_iter(0..9), out).workers(2).rate(rate).spawn().expect("it starts");
        running.stop_blocking().expect("it succeeds");
        assert_eq!(take(&arrived), []);
    }
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let (_, out, _) = watch(1);
        let error = one(from_iter(0..9), out).rate(rate).spawn().expect_err("it makes no sense");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{rate}");
    }
}

#[test]
fn a_rate_is_shared_by_all_sources() {
    for seed in 0..5 {
        let (schedule, out, arrived) = watch(seed);
        let numbers: (Numbers, Numbers) = (from_iter(0..100), from_iter(1000..1100));
        let flow = two(numbers.0, numbers.1, out).workers(1).rate(10.0);
        flow.simulate_on(schedule).expect("it succeeds");
        for range in [0..100, 1000..1100] {
            let half: Vec<u128> = take_range(&arrived, range);
            assert!(half[0] < 500 && half[99] > 15_000, "{half:?}");
        }
    }
}

fn take_range(arrived: &Arrived<u64>, range: std::ops::Range<u64>) -> Vec<u128> {
    let arrived = arrived.lock().expect("no test panics while it holds this");
    arrived.iter().filter(|(_, item)| range.contains(item)).map(|(at, _)| *at).collect()
}

#[test]
fn a_source_that_waits_for_a_time_waits_for_the_rate_as_well() {
    for seed in 0..5 {
        let (schedule, out, arrived) = watch(seed);
        let items = Timed(vec![(2_500, 1), (2_600, 2)]);
        let numbers: Numbers = from_iter(100..110);
        let flow = two(items, numbers, out).workers(1).rate(1.0);
        flow.simulate_on(schedule).expect("it succeeds");
        let arrived = take_range(&arrived, 1..3);
        assert!(arrived[0] >= 3_000 && arrived[1] <= 6_000, "{arrived:?}");
    }
}
