//! Processing time across a crash: what waits for a time, what is forgotten after one, and the clock itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_runtime::io::{
    Io, PartitionId, Poll, PollContext, Reader, Resume, Source, from_iter, replay,
};
use flow_runtime::prelude::*;
use flow_runtime::time::Timestamp;
use flow_runtime::{EpochPolicy, Error, Virtual};
use flow_tests::recovery::{INTERRUPTED, Place, run_reported};

/// Numbers with the milliseconds at which they come. One of `BOMB` fails the run, the first time that it comes.
#[derive(Clone, Debug)]
struct Timed {
    items: Vec<(u64, u64)>,
    /// What the clock said, whenever the source was polled.
    told: Arc<Mutex<Vec<Timestamp>>>,
    fails: bool,
}

const BOMB: u64 = u64::MAX;

fn timed(items: &[(u64, u64)]) -> Timed {
    Timed { items: items.to_vec(), told: Arc::default(), fails: true }
}

struct TimedReader(Timed, usize);

impl Source for Timed {
    type Item = u64;
    type Position = u64;
    type Reader = TimedReader;
    type Replay = replay::Replayable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("timed")])
    }
    fn open(&self, _: &Io, _: &PartitionId, resume: Resume<u64>) -> Result<TimedReader, Error> {
        let (at, fails) = match resume {
            Resume::Fresh => (0, self.fails),
            Resume::At { position, .. } => (position as usize, false),
        };
        Ok(TimedReader(Timed { fails, ..self.clone() }, at))
    }
}

impl Reader for TimedReader {
    type Item = u64;
    type Position = u64;
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(u64)) -> Result<Poll, Error> {
        let TimedReader(source, next) = self;
        source.told.lock().expect("no holder panics").push(cx.now());
        for _ in 0..cx.limit() {
            let Some((at, item)) = source.items.get(*next).copied() else { return Ok(Poll::End) };
            let at = Timestamp(0).after(Duration::from_millis(at));
            if at > cx.now() {
                return Ok(Poll::At(at));
            }
            if item == BOMB && source.fails {
                return Err(Error::new(flow_runtime::ErrorKind::Source, INTERRUPTED));
            }
            *next += 1;
            if item != BOMB {
                emit(item);
            }
        }
        Ok(Poll::Ready)
    }
    fn position(&self) -> u64 {
        self.1 as u64
    }
}

/// What arrived, with the milliseconds at which it did.
type Arrived<T> = Arc<Mutex<Vec<(u128, T)>>>;

fn watch<T: Send + 'static>(schedule: &Arc<Virtual>, to: &Arrived<T>) -> impl Sink<Stream<T>> {
    let (clock, to) = (Arc::clone(schedule), Arc::clone(to));
    for_each(move |item| {
        let at = clock.elapsed().as_millis();
        to.lock().expect("no holder panics").push((at, item));
    })
}

fn take<T: Ord>(arrived: &Arrived<T>) -> Vec<(u128, T)> {
    let mut items = std::mem::take(&mut *arrived.lock().expect("no holder panics"));
    items.sort();
    items
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[dataflow]
fn chunks<S: Sink<Stream<Vec<u64>>>>(items: Timed, period: Duration, out: S) {
    let all = source(items);
    let by_key = key_by(all, |n| n % 10);
    let gathered = chunk(by_key, 3, period);
    let chunks = values(gathered);
    sink(chunks, out);
}

/// Two runs: the first is interrupted, the second begins when the first one's clock has come this far.
fn two_runs<T: Ord + Send + 'static>(
    seed: u64,
    downtime: Duration,
    mut run: impl FnMut(usize, &Arc<Virtual>, &Arrived<T>, EpochPolicy, &Place) -> Result<(), Error>,
) -> [Vec<(u128, T)>; 2] {
    let place = Place::new();
    let arrived = Arrived::default();
    let epochs = EpochPolicy::items(1 + seed % 3);
    let (first, second) = (Arc::new(Virtual::new(seed)), Arc::new(Virtual::new(seed + 1000)));
    let error = run(0, &first, &arrived, epochs, &place).expect_err("it is interrupted");
    assert!(error.message().contains(INTERRUPTED), "{error}");
    let before = take(&arrived);
    if !downtime.is_zero() {
        // The clock goes on while nothing runs.
        let nobody = Arrived::default();
        let idle =
            chunks(timed(&[(downtime.as_millis() as u64, 1)]), SECOND, watch(&second, &nobody));
        idle.workers(1).simulate_on(Arc::clone(&second)).expect("it waits");
    }
    run(1, &second, &arrived, epochs, &place).expect("it goes on");
    [before, take(&arrived)]
}

#[test]
fn an_open_chunk_is_due_when_it_would_have_been() {
    // The chunks of keys 1 and 2 are open at the crash; that of 3 is full before, that of 4 is filled behind it.
    let items = [
        (0, 1),
        (100, 2),
        (200, 3),
        (200, 13),
        (200, 23),
        (300, 4),
        (350, 5),
        (600, BOMB),
        (700, 14),
        (800, 24),
        (5000, 15),
    ];
    for seed in 0..12 {
        let [before, after] =
            two_runs(seed, Duration::ZERO, |n, schedule, arrived, epochs, place| {
                let flow = chunks(timed(&items), SECOND, watch(schedule, arrived));
                let workers = 1 + (seed as usize + n) % 4;
                let flow = flow.workers(workers).epochs(epochs).recovery(place.log());
                flow.simulate_on(Arc::clone(schedule))
            });
        assert_eq!(before, [(200, vec![3, 13, 23])], "seed {seed}");
        // The items of the last epoch before the crash come again, and with them their time: not before the clock of the
        // second run, which begins with the last commit.
        let due = |first: u64| {
            let mut found = after.iter().filter(|(_, chunk)| chunk[0] == first);
            found.next().map(|(at, chunk)| (*at, chunk.clone())).expect("it comes")
        };
        assert_eq!(due(1), (1000, vec![1]), "seed {seed}: {after:?}");
        assert_eq!(due(2), (1100, vec![2]), "seed {seed}: {after:?}");
        assert_eq!(due(4), (800, vec![4, 14, 24]), "seed {seed}: {after:?}");
        assert_eq!(due(5), (1350, vec![5]), "seed {seed}: {after:?}");
        // The end of the input is not the end for good: the last chunk stays open.
        assert_eq!(after.len(), 4, "seed {seed}: {after:?}");
    }
}

#[test]
fn a_chunk_that_was_due_while_nothing_ran_comes_at_once() {
    let items = [(0, 1), (100, 2), (300, BOMB), (20_000, 3)];
    for seed in 0..6 {
        let downtime = Duration::from_secs(10);
        let [before, after] = two_runs(seed, downtime, |n, schedule, arrived, _, place| {
            let flow = chunks(timed(&items), SECOND, watch(schedule, arrived)).workers(1 + 2 * n);
            let flow = flow.epochs(EpochPolicy::items(1)).recovery(place.log());
            flow.simulate_on(Arc::clone(schedule))
        });
        assert!(before.is_empty());
        assert_eq!(after, [(10_000, vec![1]), (10_000, vec![2])], "seed {seed}");
    }
}

#[test]
fn a_period_that_has_become_shorter_holds_for_new_chunks() {
    let items = [(0, 1), (300, BOMB), (400, 2), (10_000, 3), (20_000, 4)];
    for seed in 0..6 {
        let [before, after] = two_runs(seed, Duration::ZERO, |n, schedule, arrived, _, place| {
            let flow = chunks(timed(&items), [HOUR, SECOND][n], watch(schedule, arrived));
            let flow = flow.workers(1).epochs(EpochPolicy::items(1)).recovery(place.log());
            flow.simulate_on(Arc::clone(schedule))
        });
        assert!(before.is_empty());
        assert_eq!(after, [(1400, vec![2]), (11_000, vec![3])], "seed {seed}");
    }
}

#[dataflow]
fn firsts<S: Sink<Stream<u64>>>(items: Timed, ttl: Ttl, out: S) {
    let all = source(items);
    let by_key = key_by(all, |n| n % 10);
    let first = dedupe(by_key, ttl);
    let items = values(first);
    sink(items, out);
}

#[test]
fn what_was_seen_is_known_after_a_crash_until_its_time_is_over() {
    let items = [
        (0, 1),
        (100, 2),
        (300, 3),
        (301, 4),
        (500, BOMB),
        (600, 11),
        (900, 12),
        (1050, 21),
        (1060, 22),
        (1150, 32),
        (1200, 31),
    ];
    for seed in 0..12 {
        let [before, after] = two_runs(seed, Duration::ZERO, |n, schedule, arrived, _, place| {
            let flow =
                firsts(timed(&items), Ttl::processing_time(SECOND), watch(schedule, arrived));
            let workers = 1 + (seed as usize + n) % 4;
            let flow = flow.workers(workers).epochs(EpochPolicy::items(1)).recovery(place.log());
            flow.simulate_on(Arc::clone(schedule))
        });
        assert_eq!(before, [(0, 1), (100, 2), (300, 3), (301, 4)], "seed {seed}");
        assert_eq!(after, [(1050, 21), (1150, 32)], "seed {seed}");
    }
}

#[test]
fn what_is_seen_for_ever_is_known_for_ever() {
    let items = [(0, 1), (100, 2), (500, BOMB), (600, 11), (90_000_000, 12), (90_000_001, 3)];
    for seed in 0..6 {
        let [before, after] = two_runs(seed, HOUR, |n, schedule, arrived, _, place| {
            let flow = firsts(timed(&items), Ttl::never(), watch(schedule, arrived));
            let flow = flow.workers(4 - 3 * n).epochs(EpochPolicy::items(1)).recovery(place.log());
            flow.simulate_on(Arc::clone(schedule))
        });
        assert_eq!(before, [(0, 1), (100, 2)], "seed {seed}");
        assert_eq!(after, [(90_000_001, 3)], "seed {seed}");
    }
}

#[stateful(name = "Cart")]
#[derive(Default)]
struct CartV1 {
    orders: u32,
}

#[stateful(version = 2, from = CartV1)]
#[derive(Default)]
struct Cart {
    orders: u64,
}

impl From<CartV1> for Cart {
    fn from(old: CartV1) -> Self {
        Cart { orders: old.orders.into() }
    }
}

/// What a cart has after each order, in a program where carts are kept for ever and in one where they expire.
macro_rules! orders {
    ($name:ident, $cart:ty) => {
        mod $name {
            use super::*;

            pub(super) mod kept {
                use super::*;

                #[dataflow]
                pub(in super::super) fn orders<S: Sink<Stream<(u64, u64)>>>(items: Timed, out: S) {
                    let all = source(items);
                    let timed = event_time(all, |n| Timestamp(*n as i64 * 1000), Disorder::none());
                    let by_key = key_by(timed, |n| n % 10);
                    let counts = stateful_map(by_key, |cart: &mut $cart, _key, n: u64| {
                        cart.orders += 1;
                        (n, cart.orders.into())
                    });
                    let all_counts = values(counts);
                    sink(all_counts, out);
                }
            }

            pub(super) mod expiring {
                use super::*;

                #[dataflow]
                pub(in super::super) fn orders<S>(items: Timed, ttl: Ttl, out: S)
                where
                    S: Sink<Stream<(u64, u64)>>,
                {
                    let all = source(items);
                    let timed = event_time(all, |n| Timestamp(*n as i64 * 1000), Disorder::none());
                    let by_key = key_by(timed, |n| n % 10);
                    let count = |cart: &mut $cart, _key: &u64, n: u64| {
                        cart.orders += 1;
                        (n, cart.orders.into())
                    };
                    let counts = expiring_map(by_key, count, ttl);
                    let all_counts = values(counts);
                    sink(all_counts, out);
                }
            }
        }
    };
}
orders!(first, CartV1);
orders!(second, Cart);

#[test]
fn state_is_over_exactly_when_its_time_is_whether_there_was_a_crash_or_not() {
    let items = [
        (0, 1),
        (900, 11),
        (1899, 21),
        (2000, BOMB),
        (2898, 31),
        (3898, 41),
        (4897, 51),
        (5000, 2),
        (100_000, 61),
    ];
    for seed in 0..12 {
        let [before, after] = two_runs(seed, Duration::ZERO, |n, schedule, arrived, _, place| {
            let ttl = Ttl::processing_time(SECOND);
            let flow = second::expiring::orders(timed(&items), ttl, watch(schedule, arrived));
            let workers = 1 + (seed as usize + n) % 4;
            let flow = flow.workers(workers).epochs(EpochPolicy::items(1)).recovery(place.log());
            flow.simulate_on(Arc::clone(schedule))
        });
        let counts = |arrived: Vec<(u128, (u64, u64))>| -> Vec<(u64, u64)> {
            arrived.into_iter().map(|(_, count)| count).collect()
        };
        assert_eq!(counts(before), [(1, 1), (11, 2), (21, 3)], "seed {seed}");
        assert_eq!(counts(after), [(31, 4), (41, 1), (51, 2), (2, 1), (61, 1)], "seed {seed}");
    }
}

/// The ways in which a program may keep its carts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    ForEver,
    Expiring(Ttl),
}

#[test]
fn expiry_may_be_turned_on_and_off_and_changed_and_the_state_may_get_a_version() {
    // The event time of an item is its number in milliseconds: close to one another before the crash, and behind it as they come.
    let items = [(0, 1), (100, 2), (101, 102), (500, BOMB), (600, 601), (3000, 3001), (3001, 3002)];
    let ways = [
        Way::ForEver,
        Way::Expiring(Ttl::never()),
        Way::Expiring(Ttl::processing_time(SECOND)),
        Way::Expiring(Ttl::event_time(SECOND)),
    ];
    for (seed, was) in (0..).zip(ways) {
        for (m, is) in (0..).zip(ways) {
            let [before, after] =
                two_runs(seed, Duration::ZERO, |n, schedule, arrived, _, place| {
                    let (items, out) = (timed(&items), watch(schedule, arrived));
                    let workers = 1 + (seed as usize + m + n) % 3;
                    macro_rules! run {
                        ($flow:expr) => {
                            $flow
                                .workers(workers)
                                .epochs(EpochPolicy::items(1))
                                .recovery(place.log())
                                .simulate_on(Arc::clone(schedule))
                        };
                    }
                    match (n, [was, is][n]) {
                        (0, Way::ForEver) => run!(first::kept::orders(items, out)),
                        (0, Way::Expiring(ttl)) => run!(first::expiring::orders(items, ttl, out)),
                        (_, Way::ForEver) => run!(second::kept::orders(items, out)),
                        (_, Way::Expiring(ttl)) => run!(second::expiring::orders(items, ttl, out)),
                    }
                });
            let counts = |arrived: Vec<(u128, (u64, u64))>| -> Vec<(u64, u64)> {
                arrived.into_iter().map(|(_, count)| count).collect()
            };
            assert_eq!(counts(before), [(1, 1), (2, 1), (102, 2)], "{was:?} {is:?}");
            let expires = is != Way::ForEver && is != Way::Expiring(Ttl::never());
            let expected = match expires {
                true => [(601, 2), (3001, 1), (3002, 1)],
                false => [(601, 2), (3001, 3), (3002, 3)],
            };
            assert_eq!(counts(after), expected, "{was:?} {is:?}");
        }
    }
}

#[test]
fn state_of_unknown_age_counts_from_the_run_that_took_it_over_and_no_restart_prolongs_that() {
    let items = [(0, 1), (100, 2), (700, 3), (1000, 4), (1450, 11), (1451, 12)];
    for seed in 0..8 {
        let place = Place::new();
        let run = |n: usize, until: usize| {
            let schedule = Arc::new(Virtual::new(seed + 10 * n as u64));
            let arrived = Arrived::default();
            let (items, out) = (timed(&items[..until]), watch(&schedule, &arrived));
            let workers = 1 + (seed as usize + n) % 3;
            let done = match n {
                0 => first::kept::orders(items, out)
                    .workers(workers)
                    .epochs(EpochPolicy::items(1))
                    .recovery(place.log())
                    .simulate_on(schedule),
                _ => second::expiring::orders(items, Ttl::processing_time(SECOND), out)
                    .workers(workers)
                    .epochs(EpochPolicy::items(1))
                    .recovery(place.log())
                    .simulate_on(schedule),
            };
            done.expect("it succeeds");
            take(&arrived).into_iter().map(|(_, count)| count).collect::<Vec<_>>()
        };
        assert_eq!(run(0, 2), [(1, 1), (2, 1)], "seed {seed}");
        // It begins at the time of the last commit, and its own go on to 1000.
        assert_eq!(run(1, 4), [(3, 1), (4, 1)], "seed {seed}");
        assert_eq!(run(2, 6), [(11, 1), (12, 1)], "over at 1100, not at 2000; seed {seed}");
    }
}

#[dataflow]
fn once(numbers: std::ops::Range<u64>) {
    let all = source(from_iter(numbers));
    let by_key = key_by(all, |n| *n);
    let first = dedupe(by_key, Ttl::processing_time(Duration::from_millis(20)));
    discard(first, "only what is kept matters");
}

#[test]
fn what_is_forgotten_after_its_time_is_gone_from_the_log_as_well() {
    let place = Place::new();
    let mut keys = Vec::new();
    for numbers in [0..100, 0..101, 0..101] {
        let (report, _) = run_reported(once(numbers).workers(2).recovery(place.log()));
        keys.push(report.steps.iter().map(|step| step.keys).sum::<u64>());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Forgotten at the end of an epoch: the one in which the second run read its one item.
    assert_eq!(keys[..2], [0, 100]);
    assert!(keys[2] <= 1, "{keys:?}");
}

#[test]
fn the_clock_does_not_go_back() {
    // In the year 2128: no machine's clock is as late as that.
    let late = 5_000_000_000_000;
    let place = Place::new();
    let arrived = Arrived::default();
    let schedule = Arc::new(Virtual::new(1));
    let first = timed(&[(late, 1), (late + 700, 2)]);
    let flow = firsts(first, Ttl::never(), watch(&schedule, &arrived)).workers(1);
    let flow = flow.epochs(EpochPolicy::items(1)).recovery(place.log());
    flow.simulate_on(schedule).expect("it succeeds");
    let earliest = Timestamp(0).after(Duration::from_millis(late + 700));
    // Another schedule's clock begins at 0, and the machine's own in our days.
    let second = timed(&[(late, 1), (late + 700, 2), (0, 3)]);
    let schedule = Arc::new(Virtual::new(2));
    let flow = firsts(second.clone(), Ttl::never(), watch(&schedule, &arrived)).workers(2);
    flow.recovery(place.log()).simulate_on(schedule).expect("it succeeds");
    let third = timed(&[(late, 1), (late + 700, 2), (0, 3), (0, 4)]);
    let flow = firsts(third.clone(), Ttl::never(), for_each(|_| ())).workers(2);
    flow.recovery(place.log()).spawn().expect("it starts").wait().expect("it succeeds");
    for source in [second, third] {
        let told = source.told.lock().expect("no holder panics").clone();
        assert!(!told.is_empty() && told.iter().all(|now| *now >= earliest), "{told:?}");
    }
}
