//! Dataflows inside a program: channels in and out, stop, futures, epochs that a source gives, failures.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use flow_runtime::io::{
    ChannelSource, Collect, CsvFile, FromIter, ReceiveError, Sender, Sink, Source, channel,
    channel_out, collect, epochs_from, from_iter,
};
use flow_runtime::prelude::*;
use flow_runtime::{ErrorKind, Virtual};

#[dataflow]
fn doubled<S: Sink<Stream<u64>>>(numbers: ChannelSource<u64>, out: S) {
    let all = source(numbers);
    let spread = rebalance(all);
    let twice = map(spread, |n| n * 2);
    sink(twice, out);
}

/// A future's value, on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn items_go_in_and_come_out_while_it_runs() {
    for workers in [1, 3] {
        let (sender, numbers) = channel(2);
        let (out, mut receiver) = channel_out(2);
        let running = doubled(numbers, out).workers(workers).spawn().expect("it starts");
        for n in 0..100 {
            sender.send(n).expect("it runs");
            assert_eq!(
                receiver.next(),
                Some(2 * n),
                "what was sent comes out before anything else is sent"
            );
        }
        drop(sender);
        assert_eq!(receiver.recv(), Err(ReceiveError::Ended));
        let summary = block_on(running.finished()).expect("it succeeds");
        assert_eq!(summary.items_in, 100);
    }
}

#[test]
fn a_receiver_that_takes_its_time_holds_the_sender_back_and_loses_nothing() {
    let (sender, numbers) = channel(4);
    let (out, receiver) = channel_out(1);
    let running = doubled(numbers, out).workers(2).spawn().expect("it starts");
    let sending = thread::spawn(move || (0..50_000).try_for_each(|n| sender.send(n).map_err(drop)));
    let mut received: Vec<u64> = receiver.collect();
    received.sort_unstable();
    assert_eq!(received, (0..50_000).map(|n| 2 * n).collect::<Vec<_>>());
    assert_eq!(sending.join().expect("it does not panic"), Ok(()));
    running.wait().expect("it succeeds");
}

#[test]
fn a_stop_ends_a_run_whose_input_has_not_ended() {
    let (sender, numbers) = channel(10);
    let (out, collected) = collect();
    let running = doubled(numbers, out).workers(2).spawn().expect("it starts");
    for n in 0..10 {
        sender.send(n).expect("it runs");
    }
    while collected.len() < 10 {
        thread::yield_now();
    }
    assert!(!running.is_over());
    let summary = block_on(running.stop()).expect("it succeeds");
    assert_eq!(summary.items_in, 10);
    assert!(sender.send(11).is_err(), "a run that has ended takes nothing");
}

#[test]
fn a_receiver_that_goes_away_ends_the_run_with_an_error_of_its_own_kind() {
    let (sender, numbers) = channel(10);
    let (out, receiver) = channel_out(10);
    let running = doubled(numbers, out).workers(2).spawn().expect("it starts");
    drop(receiver);
    while sender.send(1).is_ok() {}
    let error = running.wait().expect_err("nobody receives");
    assert_eq!(error.kind(), ErrorKind::OutputClosed, "{error}");
}

#[dataflow]
fn copied_twice(numbers: Vec<u64>, one: PathBuf, other: PathBuf) {
    let all = source(from_iter(numbers));
    #[id = "one"]
    sink(all, CsvFile::at(one));
    #[id = "other"]
    sink(all, CsvFile::at(other));
}

#[test]
fn a_file_that_would_be_written_twice_is_refused() {
    let path = std::env::temp_dir().join("written-by-nobody.csv");
    let dotted = std::env::temp_dir().join(".").join("written-by-nobody.csv");
    let error = copied_twice(vec![1], path.clone(), dotted).spawn().map(drop);
    let error = error.expect_err("two sinks write one file");
    assert!(error.to_string().contains("writes it, too"), "{error}");
    assert!(!path.exists(), "nothing was written");
}

#[dataflow]
fn failing(numbers: FromIter<std::ops::Range<u64>>) {
    let all = source(numbers);
    let big = filter(all, |n| *n >= 1000);
    fail(big);
}

#[test]
fn fail_shows_the_item() {
    let error = failing(from_iter(0..1_000_000))
        .workers(2)
        .simulate(Virtual::new(4))
        .expect_err("it fails");
    assert_eq!((error.kind(), error.step()), (ErrorKind::Failed, Some("big.fail")));
    assert!(error.message().ends_with("has arrived: 1000"), "{error}");
}

#[dataflow]
fn panicking(numbers: FromIter<std::ops::Range<u64>>, out: Collect<u64>) {
    let all = source(numbers);
    let odd = map(all, |n| {
        assert!(n < 5000, "{n} is too large");
        n
    });
    sink(odd, out);
}

#[test]
fn a_panic_on_a_thread_ends_all_workers_and_is_an_error() {
    let (out, _) = collect();
    let error =
        panicking(from_iter(0..1_000_000), out).workers(3).spawn().expect("it starts").wait();
    let error = error.expect_err("it panics");
    assert_eq!((error.kind(), error.step()), (ErrorKind::Panic, Some("odd")));
    assert!(
        error.message().contains("5000 is too large") && error.message().contains("service.rs:"),
        "{error}"
    );
}

#[dataflow]
fn seen_in_epochs<A: Source<Item = (u64, u64)>>(given: A, seen: Sender<(u64, u64)>) {
    let items = source(given);
    let spread = rebalance(items);
    let looked_at = inspect(spread, |item, at| {
        seen.send((item.0, at.epoch.0)).expect("the test receives");
    });
    discard(looked_at, "only the epochs matter");
}

#[test]
fn a_source_says_which_epoch_an_item_belongs_to() {
    // Epochs with gaps and several items each.
    let items: Vec<(u64, (u64, u64))> = (0..60).map(|n| (n / 3 * 5, (n / 3 * 5, n))).collect();
    for workers in [1, 2, 4] {
        let (seen, source_of_seen) = channel(1000);
        let (out, collected) = collect();
        let running = seen_in_epochs(epochs_from(items.clone()), seen)
            .workers(workers)
            .spawn()
            .expect("it starts");
        running.wait().expect("it succeeds");
        // The channel's other end is a source: read it by a dataflow.
        forward(source_of_seen, out)
            .workers(1)
            .spawn()
            .expect("it starts")
            .wait()
            .expect("it succeeds");
        let seen = collected.sorted();
        assert_eq!(seen.len(), 60);
        assert!(
            seen.iter().all(|(given, epoch)| given == epoch),
            "with {workers} workers: {seen:?}"
        );
    }
}

#[dataflow]
fn forward(items: ChannelSource<(u64, u64)>, out: Collect<(u64, u64)>) {
    let all = source(items);
    sink(all, out);
}

#[dataflow]
fn beside<A: Source<Item = u64>>(
    given: A,
    others: FromIter<std::ops::Range<u64>>,
    last: Arc<AtomicU64>,
) {
    let items = source(given);
    let more = source(others);
    let both = merge(items, more);
    let looked_at = inspect(both, |_, at| {
        last.fetch_max(at.epoch.0, Ordering::Relaxed);
    });
    discard(looked_at, "only the epochs matter");
}

#[test]
fn epochs_are_counted_in_items_once_the_source_that_gave_them_has_ended() {
    for given in [vec![], vec![(0, 0), (7, 1)]] {
        for seed in 0..3 {
            let last = Arc::new(AtomicU64::new(0));
            let flow = beside(epochs_from(given.clone()), from_iter(0..1000), Arc::clone(&last));
            let flow = flow.workers(1).epochs(EpochPolicy::items(10));
            flow.simulate(Virtual::new(seed)).expect("it succeeds");
            let last = last.load(Ordering::Relaxed);
            assert!(last > 20, "{last} epochs of about 10 of 1000 items");
        }
    }
}

#[test]
fn epochs_that_decrease_are_an_error() {
    let (seen, _receiver) = channel(1000);
    let items = vec![(0, (0, 0)), (7, (7, 1)), (3, (3, 2))];
    let error = seen_in_epochs(epochs_from(items), seen)
        .workers(2)
        .simulate(Virtual::new(6))
        .expect_err("3 < 7");
    assert_eq!(error.step(), Some("items"));
    assert!(error.message().contains('3') && error.message().contains('7'), "{error}");
}

#[test]
fn a_rate_bounds_what_sources_emit() {
    // On the virtual clock: 500 items at 100 a second take 5 seconds, less what may be saved up. The one worker that reads
    // has the whole rate.
    for workers in [1, 4] {
        let (out, collected) = collect();
        let schedule = Arc::new(Virtual::new(7));
        limited(from_iter(0..500), out)
            .workers(workers)
            .rate(100.0)
            .simulate_on(Arc::clone(&schedule))
            .expect("it succeeds");
        assert_eq!(collected.len(), 500);
        let took = schedule.elapsed();
        assert!(took >= Duration::from_millis(4800) && took < Duration::from_secs(6), "{took:?}");
    }
}

#[dataflow]
fn limited(numbers: FromIter<std::ops::Range<u64>>, out: Collect<u64>) {
    let all = source(numbers);
    sink(all, out);
}
