//! Many workers, partitions and epochs; rows of no size and large ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flow_runtime::io::{
    Collect, FromIter, Io, PartitionId, Poll, PollContext, Reader, Resume, Source, collect,
    from_iter, replay,
};
use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use flow_runtime::{Error, Virtual};
use flow_tests::given::{Given, given};

#[dataflow]
fn counted<A: Source<Item = u64>>(numbers: A, out: Collect<(u64, u64)>) {
    let all = source(numbers);
    let by_key = key_by(all, |n| n % 50);
    let counts = stateful_map(by_key, |count: &mut u64, _key, _n: u64| {
        *count += 1;
        *count
    });
    sink(counts, out);
}

#[test]
fn many_workers_and_partitions() {
    let partitions: Given<u64> = given((0..3000).map(|n| vec![n; (n % 3) as usize]).collect());
    let (out, collected) = collect();
    counted(partitions.clone(), out).workers(7).simulate(Virtual::new(3)).expect("it succeeds");
    assert_eq!(collected.len(), 3000);
    let (out, collected) = collect();
    let running = counted(partitions, out).workers(150).spawn().expect("it starts");
    running.wait().expect("it succeeds");
    assert_eq!(collected.len(), 3000);
}

#[test]
fn epochs_without_end_and_without_length() {
    for policy in [EpochPolicy::every(Duration::ZERO), EpochPolicy::items(0)] {
        for workers in [1, 3] {
            let (out, collected) = collect();
            let flow = counted(from_iter(0..2000), out).workers(workers).epochs(policy);
            flow.simulate(Virtual::new(3)).expect("it succeeds");
            assert_eq!(collected.len(), 2000);
            let (out, collected) = collect();
            let flow = counted(from_iter(0..20_000), out).workers(workers).epochs(policy);
            flow.spawn().expect("it starts").wait().expect("it succeeds");
            assert_eq!(collected.len(), 20_000);
        }
    }
}

#[test]
fn sources_without_partitions_and_runs_that_are_told_to_stop_twice() {
    for workers in [1, 3] {
        let (out, collected) = collect();
        let flow = counted(given(vec![]), out).workers(workers);
        flow.simulate(Virtual::new(1)).expect("it succeeds");
        assert!(collected.is_empty());
        let (wrong, right) = (Arc::default(), Arc::<AtomicU64>::default());
        let flow = in_epochs(Epochs(vec![]), from_iter(0..500), wrong, right);
        flow.workers(workers).simulate(Virtual::new(1)).expect("it succeeds");
        let (out, _) = collect();
        let running = counted(from_iter(0..u64::MAX), out).workers(workers).spawn();
        let running = running.expect("it starts");
        let stopper = running.stopper();
        stopper.stop();
        stopper.stop();
        running.wait().expect("it succeeds");
        stopper.stop();
    }
}

type Numbers = FromIter<std::ops::Range<u64>>;

#[dataflow]
fn of_sizes(numbers: Numbers, nothings: Arc<AtomicU64>, larges: Arc<AtomicU64>) {
    let all = source(numbers);
    let nothing = map(all, |_| ());
    let spread = rebalance(nothing);
    let counted = inspect(spread, |(), _| {
        nothings.fetch_add(1, Ordering::Relaxed);
    });
    discard(counted, "counted above");
    let few = filter(all, |n| n % 100 == 0);
    let large = map(few, |n| [[[n; 32]; 32]; 16]);
    let by_key = key_by(large, |row| row[0][0][0] % 3);
    let seen = inspect(by_key, |row, _| {
        larges.fetch_add(row[7][7][7], Ordering::Relaxed);
    });
    discard(seen, "summed above");
}

#[test]
fn rows_of_no_size_and_rows_of_many_bytes() {
    for workers in [1, 2] {
        let (nothings, larges) = (Arc::default(), Arc::default());
        let flow = of_sizes(from_iter(0..5000), Arc::clone(&nothings), Arc::clone(&larges));
        flow.workers(workers).simulate(Virtual::new(2)).expect("it succeeds");
        assert_eq!(nothings.load(Ordering::Relaxed), 5000);
        assert_eq!(larges.load(Ordering::Relaxed), (0..50).sum::<u64>() * 100);
    }
}

/// Partitions of (epoch, number), each with its own gaps and end.
#[derive(Clone)]
struct Epochs(Vec<Vec<(u64, u64)>>);
struct EpochsReader(std::iter::Peekable<std::vec::IntoIter<(u64, u64)>>);

impl Source for Epochs {
    type Item = (u64, u64);
    type Position = ();
    type Reader = EpochsReader;
    type Replay = replay::NotReplayable;
    const GIVES_EPOCHS: bool = true;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok((0..self.0.len()).map(|n| PartitionId::new(n.to_string())).collect())
    }
    fn open(&self, _: &Io, partition: &PartitionId, _: Resume<()>) -> Result<EpochsReader, Error> {
        let partition: usize = partition.as_str().parse().expect("named by `partitions`");
        Ok(EpochsReader(self.0[partition].clone().into_iter().peekable()))
    }
}
impl Reader for EpochsReader {
    type Item = (u64, u64);
    type Position = ();
    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut((u64, u64)),
    ) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            match self.0.peek() {
                None => return Ok(Poll::End),
                Some((epoch, _)) if *epoch > cx.epoch().0 => {
                    return Ok(Poll::Epoch(Epoch(*epoch)));
                }
                Some(_) => self.0.next().into_iter().for_each(&mut *emit),
            }
        }
        Ok(Poll::Ready)
    }
    fn position(&self) {}
}

#[dataflow]
fn in_epochs(given: Epochs, others: Numbers, wrong: Arc<AtomicU64>, right: Arc<AtomicU64>) {
    let items = source(given);
    let by_key = key_by(items, |item| item.1 % 5);
    let pairs = values(by_key);
    let looked_at = inspect(pairs, |item, at| {
        let count = if item.0 == at.epoch.0 { &right } else { &wrong };
        count.fetch_add(1, Ordering::Relaxed);
    });
    discard(looked_at, "only the epochs matter");
    let more = source(others);
    let spread = rebalance(more);
    discard(spread, "only that it follows matters");
}

#[test]
fn partitions_that_give_epochs_end_when_they_like() {
    let partitions = vec![
        (0..40).map(|n| (n / 2 * 3, n)).collect(),
        vec![],
        vec![(5, 0), (5, 1), (1000, 2)],
        (0..10).map(|n| (n * 7, n)).collect(),
        vec![(u64::MAX - 1, 0), (u64::MAX, 1)],
    ];
    let count = partitions.iter().map(Vec::len).sum::<usize>() as u64;
    for workers in [1, 2, 7] {
        for seed in 0..10 {
            let (wrong, right) = (Arc::default(), Arc::default());
            let given = Epochs(partitions.clone());
            let flow = in_epochs(given, from_iter(0..500), Arc::clone(&wrong), Arc::clone(&right));
            flow.workers(workers).simulate(Virtual::new(seed)).expect("it succeeds");
            let seen = (wrong.load(Ordering::Relaxed), right.load(Ordering::Relaxed));
            assert_eq!(seen, (0, count), "{workers} workers, seed {seed}");
        }
    }
}
