//! Event time, on a virtual clock: what silent, ended and slow partitions do to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_runtime::control::Standing;
use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_runtime::{PartitionTime, Virtual};
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::scripted::{Script, scripted};

const SECOND: Duration = Duration::from_secs(1);

fn seconds(at: i64) -> Timestamp {
    Timestamp::from_secs(at)
}

/// Says when event time has come to an item's time: the second of the item, and that of the clock then.
struct Reached;

impl Process for Reached {
    type Key = ();
    type In = i64;
    type Out = (i64, i64);
    type State = ();
    type Timer = i64;
    fn on_item(&self, known: &mut Option<()>, at: i64, cx: &mut ProcessContext<'_, Self>) {
        *known = Some(());
        cx.set_timer(seconds(at), at);
    }
    fn on_timer(&self, _: &mut Option<()>, at: i64, cx: &mut ProcessContext<'_, Self>) {
        // When the input ends for good, event time comes to its end as well: that is not looked at here.
        if cx.watermark() < Timestamp::MAX {
            cx.emit((at, cx.now().since(Timestamp(0)).as_secs() as i64));
        }
    }
}

#[dataflow]
fn reached<S: Source<Item = i64>>(items: S, disorder: Disorder, out: Collect<(i64, i64)>) {
    let all = source(items);
    let timed = event_time(all, |at| seconds(*at), disorder);
    let by_nothing = key_by(timed, |_| ());
    let reached = process(by_nothing, Reached);
    let rows = values(reached);
    sink(rows, out);
}

/// One item a second, each with the second as its time.
fn steady(from: i64, count: i64) -> Script<i64> {
    (from..from + count).map(|at| (SECOND, at)).collect()
}

/// When event time came to which second, with each number of workers.
fn run(
    partitions: &[(&'static str, Script<i64>)],
    disorder: Disorder,
    check: impl Fn(&[(i64, i64)]),
) {
    for workers in 1..=3 {
        for seed in 0..3 {
            let out = Collect::new(1);
            let found = out.clone();
            reached(scripted(partitions.to_vec()), disorder, out)
                .workers(workers)
                .simulate(Virtual::new(seed))
                .expect("it runs");
            let mut found = found.sorted();
            // The clock of a virtual run begins at some time of its own.
            found.sort();
            check(&found);
        }
    }
}

#[test]
fn a_silent_partition_holds_time_back_unless_it_may_be_idle() {
    // After its first item it is silent for a hundred seconds.
    let silent = vec![(SECOND, 1), (100 * SECOND, 101)];
    let partitions = [("busy", steady(1, 50)), ("silent", silent)];
    let wait = |found: &[(i64, i64)], at| found.iter().find(|row| row.0 == at).map(|row| row.1);
    run(&partitions, Disorder::none(), |found| {
        let first = wait(found, 1).expect("both have come so far");
        let tenth = wait(found, 10).expect("it comes with the next item of the silent one");
        assert!(tenth - first >= 99, "{found:?}");
    });
    run(&partitions, Disorder::none().idle_after(20 * SECOND), |found| {
        let first = wait(found, 1).expect("both have come so far");
        let tenth = wait(found, 10).expect("it is not waited for");
        assert!((19..=22).contains(&(tenth - first)), "{found:?}");
        let fortieth = wait(found, 40).expect("it is not waited for");
        assert!((38..=41).contains(&(fortieth - first)), "as it comes: {found:?}");
    });
}

#[test]
fn an_ended_partition_neither_holds_time_back_nor_carries_it_ahead() {
    let short = vec![(SECOND, 1_000)];
    let partitions = [("busy", steady(1, 30)), ("short", short)];
    run(&partitions, Disorder::none(), |found| {
        let times: Vec<_> = found.iter().map(|row| row.0).collect();
        // The last of the busy one is where event time stands when it ends, too.
        assert_eq!(times, (1..=30).collect::<Vec<_>>(), "{found:?}");
        assert!(found.windows(2).all(|rows| rows[1].1 - rows[0].1 <= 1), "{found:?}");
    });
}

#[dataflow]
fn per_minute<S: Source<Item = i64>>(
    items: S,
    disorder: Disorder,
    out: Collect<(i64, u64)>,
    dropped: Collect<i64>,
) {
    let all = source(items);
    let timed = event_time(all, |at| seconds(*at), disorder);
    let by_nothing = key_by(timed, |_| ());
    let (minutes, late) = window(by_nothing, Tumbling::of(60 * SECOND), aggregate::count());
    let counts = values(minutes);
    let rows = map(counts, |minute| (minute.start.0 / 60_000_000, minute.value));
    sink(rows, out);
    let late_items = values(late);
    sink(late_items, dropped);
}

#[test]
fn what_an_idle_partition_brings_when_it_comes_back_may_be_late() {
    // While the other is silent one goes on for five minutes; then it brings what is from the first of them.
    let back = vec![(SECOND, 1), (250 * SECOND, 2), (SECOND, 299)];
    let busy: Script<i64> = steady(1, 310);
    let disorder = Disorder::none().idle_after(30 * SECOND);
    for workers in 1..=3 {
        let (out, dropped) = (Collect::new(1), Collect::new(1));
        let (counts, late) = (out.clone(), dropped.clone());
        let partitions = vec![("back", back.clone()), ("busy", busy.clone())];
        per_minute(scripted(partitions), disorder, out, dropped)
            .workers(workers)
            .simulate(Virtual::new(1))
            .expect("it runs");
        assert_eq!(late.sorted(), [2]);
        let expected = [(0, 60), (1, 60), (2, 60), (3, 60), (4, 61), (5, 11)];
        assert_eq!(counts.sorted(), expected, "what is not late counts, {workers} workers");
    }
}

#[test]
fn a_partition_a_day_behind_holds_the_others_near_it_if_they_are_aligned() {
    let day = 24 * 3600;
    let behind: Vec<i64> = (0..4_000).map(|n| n * 30).collect();
    let ahead: Vec<i64> = (0..4_000).map(|n| day + n * 30).collect();
    for (disorder, bound) in
        [(Disorder::none(), None), (Disorder::none().aligned_within(600 * SECOND), Some(600))]
    {
        for workers in 1..=2 {
            // The latest time of each: the second one is recognised by being a day ahead of where it began.
            let latest = Arc::new(Mutex::new((0_i64, 0_i64, 0_i64)));
            let seen = Arc::clone(&latest);
            let items: Vec<Vec<(u8, i64)>> = [&behind, &ahead]
                .into_iter()
                .enumerate()
                .map(|(n, items)| items.iter().map(|at| (n as u8, *at)).collect())
                .collect();
            skewed(given(items), disorder, Note(seen))
                .workers(workers)
                .simulate(Virtual::new(7))
                .expect("it runs");
            let (_, _, most) = *latest.lock().expect("nobody panicked");
            match bound {
                // The first batch of each is read before anything is known of the other.
                Some(bound) => assert!(most <= day + bound + 30 * 300, "{most} seconds ahead"),
                None => assert!(most > day, "{most} seconds ahead"),
            }
        }
    }
}

/// What was seen last of both partitions, and how far the second was ahead at most while the first went on.
#[derive(Clone)]
struct Note(Arc<Mutex<(i64, i64, i64)>>);

#[dataflow]
fn skewed<S: Source<Item = (u8, i64)>>(items: S, disorder: Disorder, note: Note) {
    let all = source(items);
    let timed = event_time(all, |item| seconds(item.1), disorder);
    let seen = inspect(timed, |(partition, at), _| {
        let mut latest = note.0.lock().expect("nobody panicked");
        match partition {
            0 => latest.0 = *at,
            _ => {
                latest.1 = *at;
                // Once the first has ended nothing holds the second.
                if latest.0 < 3_999 * 30 {
                    latest.2 = latest.2.max(latest.1 - latest.0);
                }
            }
        }
    });
    discard(seen, "only looked at");
}

#[test]
fn a_time_in_the_far_future_is_cut_or_rejected() {
    let items = vec![(SECOND, 0), (SECOND, 1 << 40), (SECOND, 1)];
    let disorder = Disorder::none().at_most_ahead(3600 * SECOND);
    let (out, dropped) = (Collect::new(1), Collect::new(1));
    let (counts, late) = (out.clone(), dropped.clone());
    // Where the clock of a virtual run stands is not known here: the items are as old as the run, or a second older.
    per_minute(scripted(vec![("one", items.clone())]), disorder, out, dropped)
        .simulate(Virtual::new(1))
        .expect("it runs");
    let found = counts.sorted();
    assert!(found.iter().all(|(minute, _)| *minute < 1 << 33), "{found:?}");
    assert_eq!(found.iter().map(|row| row.1).sum::<u64>() + late.items().len() as u64, 3);

    let (good, bad) = (Collect::new(1), Collect::new(1));
    let (timed, rejected) = (good.clone(), bad.clone());
    checked(scripted(vec![("one", items)]), disorder, good, bad)
        .simulate(Virtual::new(1))
        .expect("it runs");
    assert_eq!((timed.sorted(), rejected.sorted()), (vec![0], vec![1, 1 << 40]));
}

#[dataflow]
fn checked<S: Source<Item = i64>>(
    items: S,
    disorder: Disorder,
    good: Collect<i64>,
    bad: Collect<i64>,
) {
    let all = source(items);
    // An odd one has no time.
    let (timed, rejected) =
        try_event_time(all, |at| (*at % 2 == 0).then(|| seconds(*at)), disorder);
    sink(timed, good);
    sink(rejected, bad);
}

#[test]
fn a_running_dataflow_tells_which_partition_holds_time_back() {
    let (sender, receiver) = channel::<i64>(16);
    let out = Collect::new(1);
    let running = reached(receiver, Disorder::bounded(SECOND), out).spawn().expect("it starts");
    let wait_for = |is: &dyn Fn(&[PartitionTime]) -> bool| {
        let end = std::time::Instant::now() + 20 * SECOND;
        while !is(&running.event_times()) {
            assert!(std::time::Instant::now() < end, "{:?}", running.event_times());
            std::thread::yield_now();
        }
    };
    wait_for(&|times| times.len() == 1 && times[0].watermark.is_none());
    sender.send(10).expect("it runs");
    wait_for(&|times| {
        times[0].step == "timed"
            && times[0].watermark == Some(seconds(9))
            && times[0].standing == Standing::Active
    });
    drop(sender);
    running.wait().expect("it ends");
}

#[dataflow]
fn all_per_minute<S: Source<Item = i64>>(
    items: S,
    disorder: Disorder,
    out: Collect<(i64, u64)>,
    dropped: Collect<i64>,
) {
    let all = source(items);
    let timed = event_time(all, |at| seconds(*at), disorder);
    let (minutes, late) = window_all(timed, Tumbling::of(60 * SECOND), aggregate::count());
    let rows = map(minutes, |minute| (minute.start.0 / 60_000_000, minute.value));
    sink(rows, out);
    sink(late, dropped);
}

#[test]
fn nothing_is_lost_where_workers_gather_apart_and_a_partition_comes_back() {
    let back = vec![(SECOND, 1), (250 * SECOND, 2), (SECOND, 299)];
    let busy: Script<i64> = steady(1, 310);
    let disorder = Disorder::none().idle_after(30 * SECOND);
    for workers in 1..=3 {
        for seed in 0..5 {
            let (out, dropped) = (Collect::new(1), Collect::new(1));
            let (counts, late) = (out.clone(), dropped.clone());
            let partitions = vec![("back", back.clone()), ("busy", busy.clone())];
            all_per_minute(scripted(partitions), disorder, out, dropped)
                .workers(workers)
                .simulate(Virtual::new(seed))
                .expect("it runs");
            assert_eq!(late.sorted(), [2], "{workers} workers, seed {seed}");
            let expected = [(0, 60), (1, 60), (2, 60), (3, 60), (4, 61), (5, 11)];
            assert_eq!(counts.sorted(), expected, "{workers} workers, seed {seed}");
        }
    }
}
