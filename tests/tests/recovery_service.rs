//! Recovery inside a program: stops, what a start reports, inputs that cannot be read again, one run at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use flow_runtime::io::{
    ChannelSource, Collect, FromIter, Io, PartitionId, Poll, PollContext, Reader, Resume, Source,
    channel, collect, from_iter, replay,
};
use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use flow_runtime::{EpochPolicy, Error, ErrorKind, RecoveryReport};
use flow_tests::recovery::{INTERRUPTED, On, Place, Script, refused, run_reported};

#[dataflow]
fn counted<A: Source<Item = u64>>(numbers: A, out: Collect<(u64, u64)>) {
    let all = source(numbers);
    let by_key = key_by(all, |n| n % 10);
    let counts = stateful_map(by_key, |count: &mut u64, _key, _n: u64| {
        *count += 1;
        *count
    });
    sink(counts, out);
}

/// Items without an end.
fn endless() -> FromIter<std::ops::RangeFrom<u64>> {
    from_iter(0..)
}

#[test]
fn a_stop_commits_what_has_been_read() {
    let place = Place::new();
    let (out, found) = collect();
    let mut items = 0;
    for workers in [2, 1, 4] {
        // An epoch that would never end by itself.
        let flow = counted(endless(), out.clone()).workers(workers).recovery(place.log());
        let flow = flow.rate(5_000.0).epochs(EpochPolicy::every(Duration::from_secs(3600)));
        let running = flow.spawn().expect("it starts");
        while running.progress().items_in < 50 {
            thread::yield_now();
        }
        let summary = running.stop_blocking().expect("it stops");
        assert_eq!(summary.epochs, 1, "{summary:?}");
        items += summary.items_in;
    }
    // Each item has been counted once, so the counts of a key are 1, 2, 3, ..
    let mut wanted: Vec<_> = (0..items).map(|n| (n % 10, n / 10 + 1)).collect();
    wanted.sort_unstable();
    assert_eq!(found.sorted(), wanted);
}

#[test]
fn a_run_that_is_stopped_before_anything_has_come_changes_nothing() {
    let place = Place::new();
    let (out, found) = collect();
    for _ in 0..3 {
        let flow = counted(endless(), out.clone()).workers(2).recovery(place.log());
        let running = flow.rate(1e-6).spawn().expect("it starts");
        let summary = running.stop_blocking().expect("it stops");
        assert_eq!(summary.items_in, 0);
    }
    let (report, summary) =
        run_reported(counted(from_iter(0..10), out).workers(2).recovery(place.log()));
    assert_eq!(summary.items_in, 10, "{report}");
    assert_eq!(found.len(), 10);
}

fn step(report: &RecoveryReport, id: &str) -> u64 {
    let step = report.steps.iter().find(|step| step.step == id);
    step.map_or(0, |step| step.keys)
}

#[test]
fn a_start_reports_what_it_found() {
    let place = Place::new();
    let (out, _) = collect();
    let script = || Script::<u64>::of((0..30).map(|n| (2 * n, n)));
    let flow =
        |script, workers| counted(script, out.clone()).workers(workers).recovery(place.log());
    let (report, summary) = run_reported(flow(script(), 3));
    assert!(!report.resumed && report.steps.iter().all(|step| step.keys == 0), "{report:?}");
    assert_eq!((report.epoch, report.generation), (Epoch(0), 1));
    assert_eq!((summary.resume_epoch, summary.epochs), (Epoch(59), 30));
    assert!(report.to_string().starts_with("fresh, run 1"), "{report}");
    for (generation, workers) in [(2, 1), (3, 5)] {
        let (report, summary) = run_reported(flow(script(), workers));
        assert!(report.resumed, "{report:?}");
        assert_eq!((report.epoch, report.generation), (Epoch(59), generation));
        assert_eq!(step(&report, "counts"), 10, "{report:?}");
        let bytes = |step: &flow_runtime::StepRecovered| step.keys == 0 || step.bytes > 0;
        assert!(report.steps.iter().all(bytes), "{report:?}");
        assert!(report.repaired.is_empty());
        assert!(report.to_string().starts_with("resumed at epoch 59, run"), "{report}");
        // Nothing was left to be done.
        assert_eq!((summary.items_in, summary.epochs), (0, 0));
        assert_eq!(summary.resume_epoch, Epoch(59), "what was committed before is committed");
    }
    let running = counted(script(), out).workers(1).spawn().expect("it starts");
    assert_eq!(running.recovered(), None, "there is no log");
    running.wait().expect("it succeeds");
}

#[test]
fn a_run_that_goes_on_says_at_once_what_is_committed() {
    let place = Place::new();
    let (out, _) = collect();
    let flow = |items| {
        let flow = counted(Script::<u64>::each(0..items), out.clone());
        flow.workers(2).recovery(place.log())
    };
    run_reported(flow(7));
    let running = flow(8).spawn().expect("it starts");
    assert!(running.progress().resume_epoch >= Epoch(7), "{:?}", running.progress());
    assert_eq!(running.wait().expect("it succeeds").resume_epoch, Epoch(8));
}

#[dataflow]
fn received(numbers: ChannelSource<u64>, out: Collect<(u64, u64)>) {
    let all = source(numbers);
    let by_key = key_by(all, |n| n % 10);
    let counts = stateful_map(by_key, |count: &mut u64, _key, n: u64| {
        assert!(n != 666, "{INTERRUPTED}");
        *count += 1;
        *count
    });
    sink(counts, out);
}

#[test]
fn a_source_that_cannot_replay_is_refused_unless_the_loss_is_accepted() {
    let place = Place::new();
    let (out, found) = collect();
    let (_, numbers) = channel(100);
    let error = refused(
        received(numbers, out.clone()).recovery(place.log()),
        &["cannot replay", "lost in a crash", "--accept-loss"],
    );
    assert_eq!((error.kind(), error.step()), (ErrorKind::Configuration, Some("all")));
    let log = || RecoveryLog::at(place.log()).accept_loss();
    let run = |items: &[u64]| {
        let (sender, numbers) = channel(100);
        let running = received(numbers, out.clone()).workers(2).recovery(log()).spawn();
        let running = running.expect("it starts");
        for item in items {
            sender.send(*item).expect("it runs");
        }
        drop(sender);
        running.wait()
    };
    run(&[1, 2, 11]).expect("it succeeds");
    assert_eq!(found.sorted(), [(1, 1), (1, 2), (2, 1)]);
    // The state is saved, and what was sent in the epoch of the crash is lost.
    run(&[1, 2, 666]).expect_err("it is interrupted");
    found.take();
    run(&[1, 2]).expect("it succeeds");
    assert_eq!(found.sorted(), [(1, 3), (2, 2)]);
}

/// A queue that hands out a message once the one before it is acknowledged, and has no positions.
#[derive(Clone)]
struct Acknowledged {
    left: Arc<Mutex<Vec<u64>>>,
}
struct AcknowledgedReader {
    left: Arc<Mutex<Vec<u64>>>,
    given: Option<Epoch>,
    waker: Option<Waker>,
}

impl Source for Acknowledged {
    type Item = u64;
    type Position = ();
    type Reader = AcknowledgedReader;
    type Replay = replay::AcknowledgedOnly;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("queue")])
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<AcknowledgedReader, Error> {
        Ok(AcknowledgedReader { left: Arc::clone(&self.left), given: None, waker: None })
    }
}

impl Reader for AcknowledgedReader {
    type Item = u64;
    type Position = ();
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(u64)) -> Result<Poll, Error> {
        if self.given.is_some() {
            self.waker = Some(cx.waker().clone());
            return Ok(Poll::Pending);
        }
        let Some(next) = self.left.lock().expect("no holder panics").last().copied() else {
            return Ok(Poll::End);
        };
        self.given = Some(cx.epoch());
        emit(next);
        Ok(Poll::Ready)
    }
    fn position(&self) {}
    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        if self.given.is_some_and(|given| given < epoch) {
            self.left.lock().expect("no holder panics").pop();
            self.given = None;
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }
}

#[dataflow]
fn passed_on(messages: Acknowledged, out: Collect<u64>) {
    let all = source(messages);
    let spread = rebalance(all);
    sink(spread, out);
}

#[test]
fn what_was_read_is_acknowledged_though_nothing_of_it_is_kept() {
    for (on, workers) in [(On::Virtual(1), 1), (On::Virtual(2), 3), (On::Threads, 2)] {
        let place = Place::new();
        let left = Arc::new(Mutex::new(vec![5, 4, 3, 2, 1]));
        for _ in 0..2 {
            let (out, found) = collect();
            let flow = passed_on(Acknowledged { left: Arc::clone(&left) }, out).workers(workers);
            let flow = flow.epochs(EpochPolicy::items(1)).recovery(place.log());
            on.run(flow).expect("each message is acknowledged");
            assert!(left.lock().expect("no holder panics").is_empty());
            assert_eq!(found.take(), [1, 2, 3, 4, 5]);
            left.lock().expect("no holder panics").extend([5, 4, 3, 2, 1]);
        }
    }
}

/// Waits in its one step until it is told to go on.
#[dataflow]
fn waiting(numbers: Script<u64>, gate: Arc<AtomicBool>) {
    let all = source(numbers);
    let seen = inspect(all, |_, _| {
        while !gate.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    });
    discard(seen, "only that it waits matters");
}

#[test]
fn of_two_runs_on_one_log_the_second_is_refused_and_harms_nobody() {
    let place = Place::new();
    let flow = |gate: &Arc<AtomicBool>| {
        waiting(Script::each(0..5), Arc::clone(gate)).workers(2).recovery(place.log())
    };
    let gate = Arc::new(AtomicBool::new(false));
    let running = flow(&gate).spawn().expect("it starts");
    let open = Arc::new(AtomicBool::new(true));
    for _ in 0..3 {
        let error = refused(flow(&open), &["is in use by process", "two runs need two logs"]);
        assert_eq!(error.kind(), ErrorKind::Recovery);
        assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    }
    gate.store(true, Ordering::Relaxed);
    running.wait().expect("it goes on");
    let (report, summary) = run_reported(flow(&open));
    assert_eq!((report.epoch, report.generation, summary.items_in), (Epoch(5), 2, 0));
}

#[test]
fn a_run_that_has_failed_lets_go_of_its_log() {
    let place = Place::new();
    for on in [On::Threads, On::Virtual(1)] {
        for _ in 0..5 {
            let (out, _) = collect();
            let script = Script::<u64>::each(0..9).fails_at(0);
            let flow = counted(script, out).workers(3).recovery(place.log());
            let error = on.run(flow).expect_err("it is interrupted");
            assert!(error.message().contains(INTERRUPTED), "{error}");
        }
    }
}

#[map]
fn with_limit(n: u64, limit: &u64) -> (u64, u64) {
    (n, *limit)
}

/// A value that every worker has; and, for each item, what it was and on which worker.
type Shown = Arc<Mutex<Vec<(usize, u64)>>>;

#[dataflow]
fn broadcasting(limits: Script<u64>, numbers: Script<u64, false>, shown: Shown) {
    let changes = source(limits);
    let limit = broadcast(changes, |limit: &mut u64, more| *limit = *limit * 10 + more);
    let all = source(numbers);
    let by_number = key_by(all, |n| *n);
    let read = with_limit(by_number, limit);
    let seen = inspect(read, |(_, limit), seen| {
        shown.lock().expect("no holder panics").push((seen.worker, *limit));
    });
    discard(seen, "it is noted");
}

#[test]
fn a_value_that_every_worker_has_is_there_again_with_any_number_of_workers() {
    let place = Place::new();
    let limits = || Script::<u64>::each([1, 2, 3]);
    let run = |limits: Script<u64>, end, workers| {
        let shown = Shown::default();
        let numbers = Script::each(0..end);
        let flow = broadcasting(limits, numbers, Arc::clone(&shown)).workers(workers);
        let (report, _) = run_reported(flow.recovery(place.log()));
        let shown = std::mem::take(&mut *shown.lock().expect("no holder panics"));
        (step(&report, "limit"), shown)
    };
    assert_eq!(run(limits(), 0, 2).0, 0);
    for (n, workers) in [5, 1, 3].into_iter().enumerate() {
        let (keys, shown) = run(limits(), 10_000 * (n as u64 + 1), workers);
        assert_eq!(keys, 1, "it is one value");
        assert_eq!(shown.len(), 10_000);
        assert!(shown.iter().all(|(_, limit)| *limit == 123), "with {workers} workers");
        let who: std::collections::BTreeSet<_> = shown.iter().map(|(worker, _)| *worker).collect();
        assert_eq!(who.len(), workers, "every worker has had items");
    }
    // One more change, and it is that one which the next run has.
    run(Script::each([1, 2, 3, 4]), 30_000, 2);
    let (_, shown) = run(Script::each([1, 2, 3, 4]), 30_100, 4);
    assert!(shown.len() == 100 && shown.iter().all(|(_, limit)| *limit == 1234), "{shown:?}");
}
