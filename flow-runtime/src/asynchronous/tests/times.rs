//! Timeouts, pauses and retries, at exact times.

use super::{Log, millis, ms};
use crate::Virtual;
use crate::asynchronous::now;
use crate::io::{Collect, collect, from_iter};
use crate::prelude::*;
use crate::time::sleep;

/// Each attempt takes as long as is said for it; an attempt of 0 is refused at once.
#[async_map]
async fn attempts(takes: Vec<u64>, tried: Log<(usize, i64)>) -> Result<usize, String> {
    let item = takes.len();
    let before =
        tried.0.lock().expect("nobody panics").iter().filter(|(of, _)| *of == item).count();
    tried.add((item, millis(now())));
    match takes[before] {
        0 => Err(format!("attempt {before} is refused")),
        takes => {
            sleep(ms(takes)).await;
            Ok(before)
        }
    }
}

#[dataflow]
fn tried(
    items: Vec<Vec<u64>>,
    options: Async,
    tried: Log<(usize, i64)>,
    out: Collect<usize>,
    bad: Collect<AsyncFailed<Vec<u64>>>,
) {
    let all = source(from_iter(items));
    let (done, failed) = attempts(all, options, tried);
    sink(done, out);
    sink(failed, bad);
}

type Ran = (Vec<(usize, i64)>, Vec<usize>, Vec<AsyncFailed<Vec<u64>>>);

fn run(items: &[&[u64]], options: Async, workers: usize, seed: u64) -> Ran {
    let (log, (out, found), (bad, failed)) = (Log::new(), collect(), collect());
    let items = items.iter().map(|item| item.to_vec()).collect();
    let flow = tried(items, options, log.clone(), out, bad).workers(workers);
    flow.simulate(Virtual::new(seed)).expect("it runs");
    (log.take(), found.take(), failed.take())
}

#[test]
fn an_attempt_that_takes_too_long_is_made_again_after_pauses_that_grow() {
    let options =
        Async::in_flight(1).timeout(ms(1000)).retry(3, Backoff::exponential(ms(100), ms(250)));
    for (workers, seed) in [(1, 0), (2, 1), (3, 2), (1, 3)] {
        let (tried, done, failed) = run(&[&[5000, 1001, 0, 1000]], options.clone(), workers, seed);
        // Timed out at 1000, at 2100; refused at 2300; done at the last moment.
        assert_eq!(tried, [(4, 0), (4, 1100), (4, 2300), (4, 2550)]);
        assert_eq!((done, failed), (vec![3], vec![]));
    }
}

#[test]
fn an_item_without_an_attempt_left_is_given_up_with_the_last_reason() {
    let options = Async::in_flight(8).timeout(ms(10)).retry(1, Backoff::constant(ms(5)));
    let (tried, done, failed) = run(&[&[0, 20], &[11, 0, 0], &[1, 0, 0, 0]], options, 1, 0);
    assert_eq!(tried, [(2, 0), (3, 0), (4, 0), (2, 5), (3, 15)]);
    assert_eq!(done, [0]);
    let failed: Vec<_> = failed
        .into_iter()
        .map(|failed| (failed.item.len(), failed.attempts, failed.reason))
        .collect();
    let refused = AsyncReason::Refused("attempt 1 is refused".to_owned());
    assert_eq!(failed, [(2, 2, AsyncReason::TimedOut), (3, 2, refused)]);
}

#[test]
fn without_options_there_is_one_attempt_and_no_end_to_it() {
    let (tried, done, failed) = run(&[&[3_600_000], &[0, 1]], Async::in_flight(2), 1, 0);
    assert_eq!(tried, [(1, 0), (2, 0)]);
    assert_eq!(done, [0]);
    assert_eq!(failed[0].attempts, 1);
}

#[test]
fn a_pause_of_nothing_is_none() {
    let (tried, ..) =
        run(&[&[0, 0, 0, 1]], Async::in_flight(1).retry(5, Backoff::constant(ms(0))), 1, 0);
    assert_eq!(tried, [(4, 0); 4]);
}

#[test]
fn jitter_is_the_same_each_time() {
    let options = Async::in_flight(2).retry(1, Backoff::exponential(ms(1000), ms(1000)).jittered());
    let at = |seed| {
        let (log, (out, _), (bad, _)) = (Log::new(), collect(), collect());
        #[dataflow]
        fn jittered(
            options: Async,
            log: Log<i64>,
            out: Collect<u8>,
            bad: Collect<AsyncFailed<u8>>,
        ) {
            let all = source(from_iter(0..2));
            let (done, failed) = async_map(all, options, |n: u8| {
                log.add(now().0);
                async move { Err::<u8, _>(n) }
            });
            sink(done, out);
            sink(failed, bad);
        }
        jittered(options.clone(), log.clone(), out, bad)
            .workers(1)
            .simulate(Virtual::new(seed))
            .expect("it runs");
        log.take()
    };
    let times = at(0);
    assert_eq!((times[0], times[1]), (0, 0));
    assert!(times[2..].iter().all(|at| (500_000..=1_000_000).contains(at)), "{times:?}");
    assert_ne!(times[2], times[3]);
    assert_eq!(at(1), times);
}

/// Several sleeps in one future, some of them dropped.
#[async_map]
async fn races(n: u64, log: Log<i64>) -> u64 {
    let mut long = Box::pin(sleep(ms(1_000_000)));
    for _ in 0..n {
        let mut short = Box::pin(sleep(ms(10)));
        std::future::poll_fn(|cx| match long.as_mut().poll(cx) {
            std::task::Poll::Pending => short.as_mut().poll(cx),
            ready => ready,
        })
        .await;
    }
    drop(long);
    log.add(millis(now()));
    n
}

#[test]
fn a_sleep_that_is_dropped_is_not_waited_for() {
    #[dataflow]
    fn raced(log: Log<i64>) {
        let all = source(from_iter([3, 1, 2]));
        let (done, failed) = races(all, Async::in_flight(3), log);
        discard(done, "the times are looked at");
        discard(failed, "nothing fails");
    }
    let (log, schedule) = (Log::new(), std::sync::Arc::new(Virtual::new(0)));
    raced(log.clone()).workers(1).simulate_on(schedule.clone()).expect("it runs");
    assert_eq!(log.take(), [10, 20, 30]);
    assert!(schedule.elapsed() < ms(1_000_000), "{:?}", schedule.elapsed());
}

#[test]
fn a_sleep_elsewhere_says_where_it_belongs() {
    let waker = std::task::Waker::noop();
    let polled = std::panic::catch_unwind(|| {
        Box::pin(sleep(ms(1))).as_mut().poll(&mut std::task::Context::from_waker(waker))
    });
    let panic = polled.expect_err("it panics");
    assert!(
        panic.downcast_ref::<&str>().is_some_and(|text| text.contains("asynchronous step only"))
    );
}
