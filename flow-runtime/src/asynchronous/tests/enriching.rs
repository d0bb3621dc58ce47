//! The cache of an `enrich`.

use super::{Log, millis, ms};
use crate::Virtual;
use crate::asynchronous::now;
use crate::io::{Collect, collect, from_iter};
use crate::prelude::*;
use crate::time::{Timestamp, sleep};

/// Items are a key and the time at which they come. A look-up of key n takes 10 ms, and is refused for odd keys. What is found tells when.
#[dataflow]
fn looked_up(
    items: Vec<(u32, u64)>,
    options: Async,
    cache: Cache,
    asked: Log<(u32, i64)>,
    out: Collect<((u32, u64), Timestamp)>,
    bad: Collect<AsyncFailed<(u32, u64)>>,
) {
    let all = source(from_iter(items));
    // One after the other, each at its time.
    let (on_time, none) = async_map(all, Async::in_flight(1), |item: (u32, u64)| async move {
        sleep(Timestamp(0).after(ms(item.1)).since(now())).await;
        Ok::<_, String>(item)
    });
    let (found, failed) = enrich(
        on_time,
        options,
        cache,
        |item| item.0,
        |key| {
            asked.add((key, millis(now())));
            async move {
                sleep(ms(10)).await;
                if key % 2 == 0 { Ok(now()) } else { Err("it is odd") }
            }
        },
    );
    sink(found, out);
    sink(failed, bad);
    discard(none, "nothing fails");
}

type Asked = Vec<(u32, i64)>;

fn run(items: &[(u32, u64)], options: Async, cache: Cache) -> (Asked, Vec<i64>, Vec<(u32, u64)>) {
    let (asked, (out, found), (bad, failed)) = (Log::new(), collect(), collect());
    let flow = looked_up(items.to_vec(), options, cache, asked.clone(), out, bad);
    flow.workers(1).simulate(Virtual::new(0)).expect("it runs");
    let found = found.take().into_iter().map(|(_, at)| millis(at)).collect();
    (asked.take(), found, failed.take().into_iter().map(|failed| failed.item).collect())
}

#[test]
fn a_key_is_looked_up_once_and_those_that_come_meanwhile_wait_for_that() {
    let items = [(2, 0), (2, 3), (4, 5), (2, 9), (2, 500), (4, 600)];
    let (asked, found, _) = run(&items, Async::in_flight(9), Cache::of(10));
    assert_eq!(asked, [(2, 0), (4, 5)]);
    assert_eq!(found, [10, 10, 15, 10, 10, 15]);
}

#[test]
fn what_is_found_is_good_for_its_time_to_live() {
    // Found at 10, good until 110.
    let items = [(2, 0), (2, 109), (2, 110), (2, 150)];
    let (asked, found, _) = run(&items, Async::in_flight(9), Cache::of(10).ttl(ms(100)));
    assert_eq!(asked, [(2, 0), (2, 110)]);
    assert_eq!(found, [10, 10, 120, 120]);
}

#[test]
fn whoever_was_not_asked_for_longest_goes_first() {
    let items = [(2, 0), (4, 20), (2, 40), (6, 60), (2, 80), (4, 100)];
    let (asked, ..) = run(&items, Async::in_flight(9), Cache::of(2));
    assert_eq!(asked, [(2, 0), (4, 20), (6, 60), (4, 100)]);
    let (asked, ..) = run(&[(2, 0), (2, 5), (2, 20)], Async::in_flight(9), Cache::of(0));
    assert_eq!(asked, [(2, 0), (2, 20)]);
}

#[test]
fn failures_are_kept_only_where_that_is_said() {
    let items = [(3, 0), (3, 5), (3, 20), (3, 200)];
    let (asked, found, failed) = run(&items, Async::in_flight(9), Cache::of(10));
    assert_eq!(asked, [(3, 0), (3, 20), (3, 200)]);
    assert_eq!((found, failed), (vec![], items.to_vec()));
    let (asked, _, failed) =
        run(&items, Async::in_flight(9), Cache::of(10).failures(ms(100)).ttl(ms(1)));
    assert_eq!(asked, [(3, 0), (3, 200)]);
    assert_eq!(failed, items);
}

#[test]
fn a_look_up_that_is_given_up_is_begun_by_the_next() {
    // Two wait for the first one's look-up, which times out after 8 ms; of them one asks, and times out 8 ms after it came, then the last.
    let options = Async::in_flight(9).timeout(ms(8));
    let (asked, found, failed) = run(&[(2, 0), (2, 5), (2, 9)], options, Cache::of(10));
    assert_eq!(asked, [(2, 0), (2, 8), (2, 13)]);
    assert_eq!((found, failed), (vec![], vec![(2, 0), (2, 5), (2, 9)]));
}

#[test]
fn all_that_wait_for_one_look_up_are_tried_again_by_one() {
    let options = Async::in_flight(9).retry(1, Backoff::constant(ms(5)));
    let (asked, _, failed) = run(&[(3, 0), (3, 1), (3, 2)], options, Cache::of(10));
    assert_eq!(asked, [(3, 0), (3, 15)]);
    assert_eq!(failed.len(), 3);
}
