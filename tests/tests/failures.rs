//! What a dataflow does when something of the user's panics or fails, wherever that is: it ends, with an error.

use std::panic::{catch_unwind, panic_any, resume_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use flow_runtime::io::{
    Encoder, FromIter, Io, PartitionId, Poll, PollContext, Reader, Resume, Sink, SinkWriter,
    Source, collect, delivery, from_iter, replay,
};
use flow_runtime::prelude::*;
use flow_runtime::stream::NoKey;
use flow_runtime::time::{Barrier, Epoch};
use flow_runtime::{Error, ErrorKind, Virtual};

/// Where something goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Nowhere,
    Partitions,
    NoPartitions,
    Open,
    Poll,
    Committed,
    NewEncoder,
    Partition,
    WrongPartition,
    Encode,
    Write,
    Seal,
}

/// Goes wrong at a place, by a panic or an error, once that has been passed so many times.
#[derive(Clone, Debug)]
struct Trap {
    at: At,
    panics: bool,
    after: Arc<AtomicI64>,
}

impl Trap {
    fn new(at: At, panics: bool, after: i64) -> Trap {
        Trap { at, panics, after: Arc::new(AtomicI64::new(after)) }
    }
    fn at(&self, at: At) -> Result<(), Error> {
        if self.at != at || self.after.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        assert!(!self.panics, "trapped");
        Err(Error::new(ErrorKind::Failed, "trapped"))
    }
}

/// Numbers from 0 in some partitions.
#[derive(Clone)]
struct Numbers {
    trap: Trap,
    partitions: u64,
    count: u64,
}
struct NumbersReader(Trap, std::ops::Range<u64>);

impl Source for Numbers {
    type Item = u64;
    type Position = ();
    type Reader = NumbersReader;
    type Replay = replay::NotReplayable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        self.trap.at(At::Partitions)?;
        Ok((0..self.partitions).map(|n| PartitionId::new(n.to_string())).collect())
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<NumbersReader, Error> {
        self.trap.at(At::Open)?;
        Ok(NumbersReader(self.trap.clone(), 0..self.count))
    }
}
impl Reader for NumbersReader {
    type Item = u64;
    type Position = ();
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(u64)) -> Result<Poll, Error> {
        self.0.at(At::Poll)?;
        self.1.by_ref().take(cx.limit()).for_each(emit);
        Ok(if self.1.is_empty() { Poll::End } else { Poll::Ready })
    }
    fn position(&self) {}
    fn committed(&mut self, _: Epoch) -> Result<(), Error> {
        self.0.at(At::Committed)
    }
}

/// The epochs that each partition was told to be committed.
type Log = Arc<Mutex<Vec<(String, Epoch)>>>;

#[derive(Clone)]
struct Out {
    trap: Trap,
    log: Log,
}
struct OutWriter(Trap, Log, String);
struct OutEncoder(Trap);

impl Sink<Stream<u64>> for Out {
    type Block = Vec<u64>;
    type Position = ();
    type Encoder = OutEncoder;
    type Writer = OutWriter;
    type Delivery = delivery::Rewindable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        self.trap.at(At::Partitions)?;
        let count = if self.trap.at == At::NoPartitions { 0 } else { 3 };
        Ok((0..count).map(|n| PartitionId::new(n.to_string())).collect())
    }
    fn encoder(&self) -> OutEncoder {
        let _ = self.trap.at(At::NewEncoder);
        OutEncoder(self.trap.clone())
    }
    fn open(&self, _: &Io, partition: &PartitionId, _: Resume<()>) -> Result<OutWriter, Error> {
        self.trap.at(At::Open)?;
        Ok(OutWriter(self.trap.clone(), Arc::clone(&self.log), partition.to_string()))
    }
}
impl Encoder<Stream<u64>> for OutEncoder {
    type Block = Vec<u64>;
    fn encode(&mut self, _: &NoKey, item: u64, block: &mut Vec<u64>) -> Result<usize, Error> {
        self.0.at(At::Encode)?;
        block.push(item);
        Ok(8 * block.len())
    }
    fn partition(&self, worker: usize, _: u64, partitions: usize) -> usize {
        let _ = self.0.at(At::Partition);
        if self.0.at == At::WrongPartition { partitions } else { worker % partitions }
    }
}
impl SinkWriter for OutWriter {
    type Block = Vec<u64>;
    type Position = ();
    fn write(&mut self, _: Vec<u64>) -> Result<(), Error> {
        self.0.at(At::Write)
    }
    fn seal(&mut self, _: Barrier) -> Result<(), Error> {
        self.0.at(At::Seal)
    }
    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.0.at(At::Committed)?;
        let mut log = self.1.lock().expect("no test panics while it holds this");
        log.push((self.2.clone(), epoch));
        Ok(())
    }
}

#[dataflow]
fn plain<A: Source<Item = u64>, S: Sink<Stream<u64>>>(numbers: A, out: S) {
    let all = source(numbers);
    let spread = rebalance(all);
    sink(spread, out);
}

fn numbers(trap: Trap) -> Numbers {
    Numbers { trap, partitions: 2, count: 40 }
}

fn out(trap: Trap) -> (Out, Log) {
    let log = Log::default();
    (Out { trap, log: Arc::clone(&log) }, log)
}

fn no_trap() -> Trap {
    Trap::new(At::Nowhere, true, 0)
}

/// Runs with several workers and seeds, and checks that each run ends with the trap's error.
fn each(panics: bool, run: impl Fn(usize, Virtual) -> Result<(), Error>, what: &str) {
    for workers in [1, 2, 5] {
        for seed in 0..4 {
            let error = run(workers, Virtual::new(seed)).expect_err("it goes wrong");
            assert!(error.message().contains("trapped"), "{what}: {error}");
            let kind = if panics { ErrorKind::Panic } else { ErrorKind::Failed };
            assert_eq!(error.kind(), kind, "{what}: {error}");
        }
    }
}

#[test]
fn what_goes_wrong_in_a_source_ends_the_run() {
    for at in [At::Partitions, At::Open, At::Poll, At::Committed] {
        for (panics, after) in [(true, 0), (false, 0), (true, 1), (false, 1)] {
            if at == At::Partitions && after > 0 {
                continue; // It is asked once.
            }
            each(
                panics,
                |workers, schedule| {
                    let flow = plain(numbers(Trap::new(at, panics, after)), out(no_trap()).0);
                    flow.workers(workers).epochs(EpochPolicy::items(5)).simulate(schedule)
                },
                &format!("{at:?}"),
            );
        }
    }
}

#[test]
fn what_goes_wrong_in_a_sink_ends_the_run_and_names_it() {
    use At::{Committed, Encode, NewEncoder, Open, Partition, Partitions, Seal, Write};
    for at in [Partitions, NewEncoder, Open, Partition, Encode, Write, Seal, Committed] {
        for panics in [true, false] {
            if !panics && matches!(at, NewEncoder | Partition) {
                continue; // They give no error.
            }
            each(
                panics,
                |workers, schedule| {
                    let flow = plain(numbers(no_trap()), out(Trap::new(at, panics, 0)).0);
                    let flow = flow.workers(workers).epochs(EpochPolicy::items(5));
                    flow.simulate(schedule).inspect_err(|error| {
                        let step = error.step().unwrap_or("no step");
                        assert!(at == NewEncoder || step.contains("spread.sink"), "{at:?}: {step}");
                    })
                },
                &format!("{at:?}"),
            );
        }
    }
}

#[test]
fn an_epoch_is_not_committed_if_a_sink_could_not_seal_it() {
    for workers in [1, 2, 3] {
        for seed in 0..10 {
            // Three partitions: the failing one is in the fourth epoch, whose barrier is 3.
            let (to, log) = out(Trap::new(At::Seal, false, 3 * 3 + 1));
            let numbers = Numbers { count: 400, ..numbers(no_trap()) };
            let flow = plain(numbers, to).workers(workers).epochs(EpochPolicy::items(5));
            flow.simulate(Virtual::new(seed)).expect_err("it goes wrong");
            let log = log.lock().expect("no test panics while it holds this");
            let last = log.iter().map(|(_, epoch)| epoch.0).max().unwrap_or(0);
            // Sealing runs ahead on some workers, so an earlier epoch may be the one that failed, but never a later one.
            assert!(last <= 3, "{workers} workers, seed {seed}: {log:?}");
        }
    }
}

#[test]
fn a_sink_without_partitions_is_an_error_at_the_start() {
    let flow = plain(numbers(no_trap()), out(Trap::new(At::NoPartitions, true, 0)).0);
    let error = flow.workers(1).simulate(Virtual::new(1)).expect_err("nowhere to write to");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.message().contains("no partitions"), "{error}");
}

#[test]
fn a_partition_that_does_not_exist_is_an_error_of_the_sink() {
    let flow = plain(numbers(no_trap()), out(Trap::new(At::WrongPartition, true, 0)).0);
    let error = flow.workers(1).simulate(Virtual::new(1)).expect_err("it does not exist");
    assert_eq!(error.kind(), ErrorKind::Sink, "{error}");
    assert!(error.message().contains("partition 3 of 3"), "{error}");
}

/// A source that panics when it is cloned, or dropped, for the so-manieth time.
struct Touchy {
    clones: Arc<AtomicI64>,
    drops: Arc<AtomicI64>,
    numbers: Numbers,
}

impl Clone for Touchy {
    fn clone(&self) -> Self {
        assert!(self.clones.fetch_sub(1, Ordering::Relaxed) != 0, "trapped");
        Touchy {
            clones: Arc::clone(&self.clones),
            drops: Arc::clone(&self.drops),
            numbers: self.numbers.clone(),
        }
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        let last = self.drops.fetch_sub(1, Ordering::Relaxed) == 0;
        assert!(!last || std::thread::panicking(), "trapped");
    }
}

impl Source for Touchy {
    type Item = u64;
    type Position = ();
    type Reader = NumbersReader;
    type Replay = replay::NotReplayable;
    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        self.numbers.partitions(io)
    }
    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<()>,
    ) -> Result<NumbersReader, Error> {
        self.numbers.open(io, partition, resume)
    }
}

fn touchy(clones: i64, drops: i64) -> Touchy {
    let (clones, drops) = (Arc::new(AtomicI64::new(clones)), Arc::new(AtomicI64::new(drops)));
    Touchy { clones, drops, numbers: numbers(no_trap()) }
}

#[test]
fn a_clone_that_panics_ends_the_run_also_for_who_awaits_it() {
    let mut failed = 0;
    for clones in 0..8 {
        let flow = plain(touchy(clones, -1), out(no_trap()).0).workers(3);
        if let Err(error) = flow.simulate(Virtual::new(1)) {
            assert_eq!(error.kind(), ErrorKind::Panic, "{error}");
            failed += 1;
        }
        let flow = plain(touchy(clones, -1), out(no_trap()).0).workers(3);
        if let Ok(running) = flow.spawn() {
            while !running.is_over() {
                std::thread::yield_now();
            }
            let _ = running.wait();
        }
    }
    assert!(failed >= 4, "a plan is cloned for the survey and for each worker");
}

#[test]
fn a_drop_that_panics_ends_the_run_also_for_who_awaits_it() {
    for drops in 0..10 {
        let flow = plain(touchy(-1, drops), out(no_trap()).0).workers(3);
        if let Err(error) = flow.simulate(Virtual::new(1)) {
            assert_eq!(error.kind(), ErrorKind::Panic, "{error}");
        }
    }
}

#[dataflow]
fn mapped<F: Fn(u64) -> u64 + Clone + Send + 'static, S: Sink<Stream<u64>>>(
    numbers: FromIter<std::ops::Range<u64>>,
    f: F,
    out: S,
) {
    let all = source(numbers);
    let results = map(all, move |n| f(n));
    sink(results, out);
}

fn error_of(f: impl Fn(u64) -> u64 + Clone + Send + 'static) -> Error {
    let (out, _) = collect();
    let flow = mapped(from_iter(0..10), f, out).workers(1);
    flow.simulate(Virtual::new(1)).expect_err("it panics")
}

#[test]
fn a_panic_that_the_user_caught_is_not_taken_for_the_one_that_ended_the_run() {
    let error = error_of(|n| {
        let _ = catch_unwind(|| panic!("caught"));
        assert!(n < 3, "not caught");
        n
    });
    assert!(error.message().contains("not caught"), "{error}");
    // As a thread pool does it: no hook is called.
    let error = error_of(|n| {
        let _ = catch_unwind(|| panic!("caught"));
        if n == 3 { resume_unwind(Box::new("not caught")) } else { n }
    });
    assert!(error.message().contains("not caught"), "{error}");
}

#[test]
fn a_panic_may_carry_anything() {
    let error = error_of(|_| panic_any(17_u8));
    assert_eq!((error.kind(), error.step()), (ErrorKind::Panic, Some("results")), "{error}");
    let error = error_of(|_| resume_unwind(Box::new(17_u8)));
    assert_eq!(error.kind(), ErrorKind::Panic, "{error}");
}

#[test]
fn a_dataflow_may_run_inside_another() {
    let error = error_of(|n| {
        let (out, inner) = collect();
        let flow = mapped(from_iter(0..n), |n| n, out).workers(2);
        flow.simulate(Virtual::new(n)).expect("the inner one succeeds");
        assert_eq!(inner.len(), n as usize);
        let (out, _) = collect();
        let flow = mapped(from_iter(0..10), |_| panic!("the inner one"), out).workers(2);
        flow.simulate(Virtual::new(n)).expect_err("the inner one fails");
        assert!(n < 3, "the outer one");
        n
    });
    assert!(error.message().contains("the outer one"), "{error}");
}

#[dataflow]
fn folding<S: Sink<Stream<u64>>>(numbers: FromIter<std::ops::Range<u64>>, out: S) {
    let all = source(numbers);
    let total = broadcast(all, |total: &mut u64, n| {
        *total += n;
        assert!(*total < 10, "trapped");
    });
    let shown = with_total(all, total);
    sink(shown, out);
}

#[map]
fn with_total(n: u64, total: &u64) -> u64 {
    n + total
}

#[test]
fn a_fold_that_panics_is_named() {
    each(
        true,
        |workers, schedule| {
            let (out, _) = collect();
            let flow = folding(from_iter(0..50), out).workers(workers);
            flow.simulate(schedule).inspect_err(|error| {
                assert_eq!(error.step(), Some("total"), "{error}");
            })
        },
        "fold",
    );
}

/// Panics when it is dropped, once it is armed.
#[derive(Clone, Default)]
struct Bomb {
    armed: Arc<AtomicI64>,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.armed.swap(0, Ordering::Relaxed) == 0, "the bomb goes off");
    }
}

#[dataflow]
fn guarded(numbers: Vec<u64>, before: Bomb, behind: Bomb) {
    let all = source(from_iter(numbers));
    let first = map(all, move |n| {
        if n == 3 {
            before.armed.store(1, Ordering::Relaxed);
            panic!("trapped");
        }
        n
    });
    let by_number = key_by(first, |n| *n);
    let second = map(by_number, move |n| {
        if n == 5 {
            behind.armed.store(1, Ordering::Relaxed);
            panic!("trapped");
        }
        n
    });
    discard(second, "none is of interest");
}

/// A panic on top of a panic would end the process.
#[test]
fn what_a_panicking_step_holds_may_panic_when_it_is_dropped() {
    for (numbers, step) in [(vec![1, 2, 3], "first"), (vec![4, 5, 6], "second")] {
        let running = guarded(numbers, Bomb::default(), Bomb::default()).workers(1).spawn();
        let error = running.and_then(|running| running.wait()).expect_err("a step panics");
        assert_eq!((error.kind(), error.step()), (ErrorKind::Panic, Some(step)), "{error}");
    }
}
