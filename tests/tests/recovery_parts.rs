//! States with maps and lists that are saved entry by entry: whatever interrupts a run, and however it goes on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use flow_tests::recovery::{
    Fuse, History, INTERRUPTED, On, Out, Place, Script, refused, run_reported,
};
use flow_tests::rng::Rng;

/// An owner, and what happens to the basket.
type Event = (u64, Do);

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
enum Do {
    Put(u16),
    Take(u16),
    /// The basket is emptied.
    Empty,
    /// The basket goes.
    Buy,
}

#[stateful]
#[derive(Default)]
struct Basket {
    events: u64,
    items: MapState<u16, u32>,
    shelf: Shelf,
}

#[stateful]
#[derive(Default)]
struct Shelf {
    last: ListState<u16>,
}

/// An owner, the number of events, the items, and the last ones that were put.
type Seen = (u64, u64, Vec<(u16, u32)>, Vec<u16>);

/// The last ones that are remembered.
const LAST: usize = 5;

#[stateful_map]
fn keep(basket: &mut Option<Basket>, owner: &u64, (_, what): Event) -> Seen {
    let basket_now = basket.get_or_insert_default();
    basket_now.events += 1;
    match what {
        Do::Put(item) => {
            *basket_now.items.get_or_default(item) += 1;
            basket_now.shelf.last.push_back(item);
            if basket_now.shelf.last.len() > LAST {
                basket_now.shelf.last.pop_front();
            }
        }
        Do::Take(item) => drop(basket_now.items.remove(&item)),
        Do::Empty => basket_now.items.clear(),
        Do::Buy => {
            *basket = None;
            return (*owner, 0, Vec::new(), Vec::new());
        }
    }
    let items = basket_now.items.iter().map(|(item, n)| (*item, *n)).collect();
    (*owner, basket_now.events, items, basket_now.shelf.last.iter().copied().collect())
}

#[dataflow]
fn baskets(events: Script<Event>, fuse: Fuse, out: Out<Seen>) {
    let all = source(events);
    let passed = inspect(all, |_, _| fuse.pass());
    let by_owner = key_by(passed, |(owner, _)| *owner);
    let kept = keep(by_owner);
    let plain = values(kept);
    let noted = inspect(plain, |seen, at| out.note(at.epoch, seen.clone()));
    discard(noted, "it is noted");
}

/// The same by a plain loop.
fn expected(events: &[(u64, Event)]) -> Vec<Seen> {
    let mut baskets: BTreeMap<u64, (u64, BTreeMap<u16, u32>, VecDeque<u16>)> = BTreeMap::new();
    let mut all = Vec::new();
    for (_, (owner, what)) in events {
        let (count, items, last) = baskets.entry(*owner).or_default();
        *count += 1;
        match what {
            Do::Put(item) => {
                *items.entry(*item).or_default() += 1;
                last.push_back(*item);
                if last.len() > LAST {
                    last.pop_front();
                }
            }
            Do::Take(item) => drop(items.remove(item)),
            Do::Empty => items.clear(),
            Do::Buy => {
                baskets.remove(owner);
                all.push((*owner, 0, Vec::new(), Vec::new()));
                continue;
            }
        }
        let items = items.iter().map(|(item, n)| (*item, *n)).collect();
        all.push((*owner, *count, items, last.iter().copied().collect()));
    }
    all.sort();
    all
}

/// Events in epochs.
fn events(rng: &mut Rng, epochs: u64) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    for epoch in 0..epochs {
        for _ in 0..rng.below(7) {
            let what = match rng.below(12) {
                0 => Do::Buy,
                1 => Do::Empty,
                2..5 => Do::Take(rng.below(8) as u16),
                _ => Do::Put(rng.below(8) as u16),
            };
            events.push((epoch, (rng.below(4) as u64, what)));
        }
    }
    events
}

/// What was seen of all keys at last, as it is kept.
fn left(seen: &[Seen]) -> BTreeMap<u64, Seen> {
    let mut left = BTreeMap::new();
    for seen in seen {
        match seen.1 {
            0 => drop(left.remove(&seen.0)),
            _ => drop(left.insert(seen.0, seen.clone())),
        }
    }
    left
}

/// What a log has of all keys, by their types and as JSON.
fn kept(place: &Place) -> [BTreeMap<u64, Seen>; 2] {
    let log = RecoveryLog::read(place.log()).expect("is a log");
    let newest = log.newest().expect("is whole");
    let typed = newest.state::<u64, Basket>("kept").expect("fits").map(|entry| {
        let (owner, basket) = entry.expect("is whole");
        let items = basket.items.into_iter().collect();
        (owner, (owner, basket.events, items, basket.shelf.last.into_iter().collect()))
    });
    let entries = newest.entries("kept").expect("is kept").map(|entry| {
        let entry = entry.expect("is whole");
        let owner = entry.key.as_u64().expect("is a number");
        let items = entry.state["items"].as_object().expect("is a map").iter();
        let mut items: Vec<(u16, u32)> = items
            .map(|(item, n)| {
                (item.parse().expect("is a number"), n.as_u64().expect("is one") as u32)
            })
            .collect();
        items.sort_unstable();
        let last = serde_json::from_value(entry.state["shelf"]["last"].clone());
        let events = entry.state["events"].as_u64().expect("is a number");
        (owner, (owner, events, items, last.expect("are numbers")))
    });
    [typed.collect(), entries.collect()]
}

/// Runs on one log, the last one to the end, each on so many workers; between some of them the log is compacted.
fn check(events: &[(u64, Event)], runs: &[(Option<usize>, usize, bool)], on: On) {
    let (place, mut history) = (Place::new(), History::default());
    for (items, workers, compacts) in runs {
        let (script, out) = (Script::of(events.to_vec()).paced(), Out::default());
        let fuse = items.map_or(Fuse::none(), Fuse::before);
        let flow = baskets(script.clone(), fuse, out.clone());
        match (on.run(flow.workers(*workers).recovery(place.log())), items) {
            (Ok(()), _) => {}
            (Err(error), Some(_)) => assert!(error.to_string().contains(INTERRUPTED), "{error}"),
            (Err(error), None) => panic!("{error}"),
        }
        history.add(script.resumed(), out.take());
        if *compacts {
            let before = kept(&place);
            flow_runtime::log::compact(place.log(), 1).expect("is whole");
            assert_eq!(kept(&place), before);
        }
    }
    let seen: Vec<Seen> = history.all().into_iter().map(|(_, seen)| seen).collect();
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(sorted, expected(events));
    let left = left(&seen);
    assert_eq!(kept(&place), [left.clone(), left]);
}

#[test]
fn a_run_may_end_after_any_event() {
    let events = events(&mut Rng::new(7), 16);
    for items in 0..events.len() {
        let (workers, after) = (1 + items % 3, 1 + (items + 1) % 4);
        let runs = [(Some(items), workers, items % 3 == 0), (None, after, items % 2 == 0)];
        check(&events, &runs, On::Virtual(items as u64));
    }
}

#[test]
fn runs_may_end_again_and_again_on_any_number_of_workers() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let events = events(&mut rng, 30);
        let mut runs: Vec<_> = (0..1 + rng.below(6))
            .map(|_| (Some(rng.below(40)), 1 + rng.below(4), rng.once_in(3)))
            .collect();
        runs.push((None, 1 + rng.below(4), rng.once_in(2)));
        let on = if seed % 4 == 0 { On::Threads } else { On::Virtual(seed) };
        check(&events, &runs, on);
    }
}

/// The bytes of the segments of a log.
fn segment_bytes(place: &Place) -> usize {
    let files = place.files_of_log().into_iter();
    let is_segment = |path: &std::path::Path| path.extension().is_some_and(|end| end == "seg");
    files.filter(|(path, _)| is_segment(path)).map(|(_, bytes)| bytes.len()).sum()
}

#[test]
fn an_entry_of_many_costs_what_an_entry_costs() {
    let fill = |items: u16| (0..items).map(|item| (0, (1, Do::Put(item))));
    let changes = |epochs: u64| (1..epochs).map(|epoch| (epoch, (1, Do::Put(epoch as u16))));
    let bytes = |items: u16, epochs: u64| {
        let place = Place::new();
        let script = Script::of(fill(items).chain(changes(epochs)).collect::<Vec<_>>());
        run_reported(baskets(script, Fuse::none(), Out::default()).recovery(place.log()));
        segment_bytes(&place)
    };
    // An event changes the counter, an item, and two ends of the list; the position of the source is written, too.
    let (few, many) = (bytes(1500, 2), bytes(1500, 102));
    let each = (many - few) / 100;
    assert!(each < 700, "an epoch takes {each} bytes");
    assert!(few > 1500 * 8, "{few}");
}

/// Fills a basket with its first item, and puts one more into it each second from then on.
struct Ticking;

impl Process for Ticking {
    type Key = u64;
    /// How many items there are in the beginning.
    type In = u16;
    type Out = ();
    type State = Basket;
    type Timer = ();
    fn on_item(&self, basket: &mut Option<Basket>, items: u16, cx: &mut ProcessContext<'_, Self>) {
        let basket = basket.get_or_insert_default();
        basket.items.extend((0..items).map(|item| (item, 1)));
        if items > 0 {
            cx.set_timer(cx.time().after(Duration::from_secs(1)), ());
        }
    }
    fn on_timer(&self, basket: &mut Option<Basket>, _: (), cx: &mut ProcessContext<'_, Self>) {
        let Some(basket) = basket else { return };
        *basket.items.get_or_default((basket.events % 1000) as u16) += 1;
        basket.events += 1;
        cx.set_timer(cx.time().after(Duration::from_secs(1)), ());
    }
}

/// An owner, the second, and the items in the beginning.
type Tick = (u64, i64, u16);

#[dataflow]
fn ticking(ticks: Script<Tick>) {
    let all = source(ticks);
    let timed = event_time(all, |tick| Timestamp::from_secs(tick.1), Disorder::none());
    let by_owner = key_by(timed, |tick| tick.0);
    let items = map(by_owner, |tick| tick.2);
    let out = process(items, Ticking);
    discard(out, "only what is kept is looked at");
}

#[test]
fn an_entry_that_a_timer_changes_costs_what_an_entry_costs() {
    let bytes = |items: u16, epochs: u64| {
        let place = Place::new();
        // The timers of one owner are due by the items of the other.
        let ticks = (1..epochs).map(|epoch| (epoch, (2, epoch as i64, 0)));
        let script = Script::of([(0, (1, 0, items))].into_iter().chain(ticks).collect::<Vec<_>>());
        run_reported(ticking(script).recovery(place.log()));
        let log = RecoveryLog::read(place.log()).expect("is a log");
        let newest = log.newest().expect("is whole");
        let entries = newest.entries("out").expect("is kept");
        let mut entries = entries.map(|entry| entry.expect("is whole"));
        let entry = entries.find(|entry| entry.key == 1).expect("it has a basket");
        assert_eq!(entry.state["state"]["events"], epochs - 1);
        segment_bytes(&place)
    };
    let (few, many) = (bytes(1500, 2), bytes(1500, 102));
    let each = (many - few) / 100;
    assert!(each < 700, "an epoch takes {each} bytes");
    assert!(few > 1500 * 3, "{few}");
}

/// Types that have changed.
macro_rules! program {
    ($name:ident, $basket:ty, |$state:ident, $item:ident| $put:expr) => {
        mod $name {
            use super::*;

            #[dataflow]
            pub(super) fn shop(numbers: std::ops::Range<u64>) {
                let all = source(from_iter(numbers));
                let by_owner = key_by(all, |n| n % 3);
                let kept = stateful_map(by_owner, |$state: &mut $basket, _owner, $item: u64| $put);
                discard(kept, "only what is kept is looked at");
            }
        }
    };
}

#[stateful(name = "Items")]
#[derive(Default)]
struct Flat {
    items: std::collections::HashMap<u64, u32>,
}

#[stateful(name = "Items")]
#[derive(Default)]
struct ByEntry {
    items: MapState<u64, u32>,
}

#[stateful(name = "Items", version = 2, from = Flat)]
#[derive(Default)]
struct Moved {
    items: MapState<u64, u32>,
}

impl From<Flat> for Moved {
    fn from(old: Flat) -> Moved {
        Moved { items: old.items.into_iter().collect() }
    }
}

#[stateful(name = "Items", version = 3, from = Moved)]
#[derive(Default)]
struct Wider {
    sum: u64,
    items: MapState<u64, u64>,
}

impl From<Moved> for Wider {
    fn from(old: Moved) -> Wider {
        let items: MapState<u64, u64> = old.items.into_iter().map(|(k, n)| (k, n.into())).collect();
        Wider { sum: items.values().sum(), items }
    }
}

program!(flat, Flat, |state, item| *state.items.entry(item).or_default() += 1);
program!(by_entry, ByEntry, |state, item| *state.items.get_or_default(item) += 1);
program!(moved, Moved, |state, item| *state.items.get_or_default(item) += 1);
program!(wider, Wider, |state, item| {
    state.sum += 1;
    *state.items.get_or_default(item) += 1;
});

#[test]
fn a_map_that_becomes_one_saved_by_entry_is_a_change_that_is_named() {
    let place = Place::new();
    run_reported(flat::shop(0..30).workers(2).recovery(place.log()));
    let says = ["field `items` was `{u64: u32}` and is `MapState<u64, u32>`", "--drop-state kept"];
    refused(by_entry::shop(0..60).recovery(place.log()), &says);
    run_reported(moved::shop(0..60).workers(3).recovery(place.log()));
    let (report, _) = run_reported(wider::shop(0..90).workers(2).recovery(place.log()));
    assert_eq!(report.migrated, ["kept"]);
    for compacts in [false, true] {
        if compacts {
            flow_runtime::log::compact(place.log(), 1).expect("is whole");
        }
        let newest = RecoveryLog::read(place.log()).expect("is a log").newest().expect("is whole");
        let all: Vec<(u64, Wider)> =
            newest.state("kept").expect("fits").collect::<Result<_, _>>().expect("is whole");
        assert_eq!(all.len(), 3);
        for (owner, state) in all {
            assert_eq!((state.sum, state.items.len()), (30, 30));
            assert!(state.items.keys().all(|item| item % 3 == owner));
        }
        run_reported(wider::shop(0..90).workers(1).recovery(place.log()));
    }
}

#[test]
fn what_is_different_between_two_epochs_has_the_entries() {
    let place = Place::new();
    let log = RecoveryLog::at(place.log()).keep_epochs(10);
    let events = [(0, (1, Do::Put(4))), (0, (2, Do::Put(5))), (1, (1, Do::Put(6)))];
    let script = Script::of(events);
    run_reported(baskets(script, Fuse::none(), Out::default()).recovery(log));
    let log = RecoveryLog::read(place.log()).expect("is a log");
    let before = log.at(Epoch(1)).expect("is kept");
    let differences = before.differences("kept", &log.newest().expect("is whole")).expect("fits");
    let differences: Vec<_> = differences.collect::<Result<_, _>>().expect("are whole");
    let [one] = &differences[..] else { panic!("{differences:?}") };
    let items =
        |state: &Option<serde_json::Value>| state.as_ref().map(|state| state["items"].clone());
    assert_eq!(one.key, 1);
    assert_eq!(items(&one.before), Some(serde_json::json!({ "4": 1 })));
    assert_eq!(items(&one.after), Some(serde_json::json!({ "4": 1, "6": 1 })));
    let measure = before.measure("kept").expect("is kept");
    assert_eq!((measure.keys, measure.entries), (2, 4));
}
