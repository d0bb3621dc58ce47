//! State whose type has a new version: what older ones have saved is converted, wherever it lies and however often the run is
//! interrupted meanwhile.

use std::collections::BTreeMap;

use flow_runtime::prelude::*;
use flow_tests::recovery::{
    Fuse, History, INTERRUPTED, On, Out, Place, Script, refused, run_reported,
};

/// A user, and an order; 0 closes the cart. No order comes twice.
type Event = (u64, u64);

/// A step, a user, and the orders that the step knows of then.
type Seen = (&'static str, u64, Vec<u64>);

/// What all versions of a cart can do.
trait Holds {
    fn add(&mut self, order: u64);
    fn orders(&self) -> Vec<u64>;
}

#[stateful(name = "Cart")]
#[derive(Default)]
struct CartV1 {
    orders: Vec<u32>,
}

#[stateful(name = "Cart", version = 2, from = CartV1)]
#[derive(Default)]
struct CartV2 {
    orders: Vec<u64>,
    sum: u64,
}

#[stateful(version = 3, try_from = CartV2)]
#[derive(Default)]
enum Cart {
    #[default]
    Empty,
    Holds {
        first: u64,
        more: Vec<u64>,
    },
}

impl From<CartV1> for CartV2 {
    fn from(old: CartV1) -> Self {
        let orders: Vec<u64> = old.orders.into_iter().map(u64::from).collect();
        CartV2 { sum: orders.iter().sum(), orders }
    }
}

impl TryFrom<CartV2> for Cart {
    type Error = String;

    fn try_from(mut old: CartV2) -> Result<Self, String> {
        if old.sum != old.orders.iter().sum::<u64>() {
            return Err(format!("the sum of {:?} is not {}", old.orders, old.sum));
        }
        if old.orders.is_empty() {
            return Ok(Cart::Empty);
        }
        Ok(Cart::Holds { first: old.orders.remove(0), more: old.orders })
    }
}

impl Holds for CartV1 {
    fn add(&mut self, order: u64) {
        self.orders.push(u32::try_from(order).expect("orders are small"));
    }
    fn orders(&self) -> Vec<u64> {
        self.orders.iter().copied().map(u64::from).collect()
    }
}

impl Holds for CartV2 {
    fn add(&mut self, order: u64) {
        self.orders.push(order);
        self.sum += order;
    }
    fn orders(&self) -> Vec<u64> {
        self.orders.clone()
    }
}

impl Holds for Cart {
    fn add(&mut self, order: u64) {
        match self {
            Cart::Empty => *self = Cart::Holds { first: order, more: Vec::new() },
            Cart::Holds { more, .. } => more.push(order),
        }
    }
    fn orders(&self) -> Vec<u64> {
        match self {
            Cart::Empty => Vec::new(),
            Cart::Holds { first, more } => [&[*first], &more[..]].concat(),
        }
    }
}

/// One and the same dataflow, with the carts of a version.
macro_rules! program {
    ($name:ident, $cart:ty) => {
        mod $name {
            use super::*;

            /// It has not changed; what is inside of it has.
            #[stateful]
            #[derive(Default)]
            pub(super) struct Shop {
                carts: BTreeMap<u64, $cart>,
            }

            /// What all workers know, without the order of this event, which may be among it or not.
            #[map]
            fn look((user, order): Event, all: &$cart) -> Seen {
                let mut orders = all.orders();
                orders.retain(|known| *known != order);
                ("everywhere", user, orders)
            }

            #[dataflow]
            pub(super) fn carts(events: Script<Event>, fuse: Fuse, out: Out<Seen>) {
                let all = source(events);
                let passed = inspect(all, |_, _| fuse.pass());
                let by_user = key_by(passed, |(user, _)| *user);
                let filled =
                    stateful_map(by_user, |cart: &mut $cart, _user, (user, order): Event| {
                        cart.add(order);
                        ("filled", user, cart.orders())
                    });
                let open = stateful_map(
                    by_user,
                    |cart: &mut Option<$cart>, _user, (user, order): Event| {
                        if order == 0 {
                            *cart = None;
                            return ("open", user, Vec::new());
                        }
                        let cart = cart.get_or_insert_default();
                        cart.add(order);
                        ("open", user, cart.orders())
                    },
                );
                let by_shop = key_by(passed, |(user, _)| user % 2);
                let shops =
                    stateful_map(by_shop, |shop: &mut Shop, _shop, (user, order): Event| {
                        let cart = shop.carts.entry(user).or_default();
                        cart.add(order);
                        ("shops", user, cart.orders())
                    });
                let orders = map(passed, |(_, order): Event| order);
                let everything = broadcast(orders, |cart: &mut $cart, order| cart.add(order));
                let looked = look(passed, everything);
                let filled_seen = values(filled);
                let open_seen = values(open);
                let shops_seen = values(shops);
                let seen = merge(filled_seen, open_seen, shops_seen, looked);
                let noted = inspect(seen, |seen, at| out.note(at.epoch, seen.clone()));
                discard(noted, "it is noted");
            }
        }
    };
}
program!(first, CartV1);
program!(second, CartV2);
program!(third, Cart);

/// Five users in turn; each seventh event closes a cart.
fn events(count: u64) -> Vec<Event> {
    (1..=count).map(|n| (n * n % 5, if n % 7 == 0 { 0 } else { n })).collect()
}

/// What comes out of these events, one an epoch.
fn expected(events: &[Event]) -> Vec<(u64, Seen)> {
    let (mut filled, mut open) = (BTreeMap::<u64, Vec<u64>>::new(), BTreeMap::new());
    let (mut all, mut seen) = (Vec::new(), Vec::new());
    for (epoch, (user, order)) in (0..).zip(events.iter().copied()) {
        let cart = filled.entry(user).or_default();
        cart.push(order);
        seen.push((epoch, ("filled", user, cart.clone())));
        seen.push((epoch, ("shops", user, cart.clone())));
        let cart: &mut Vec<u64> = open.entry(user).or_default();
        if order == 0 {
            cart.clear();
        } else {
            cart.push(order);
        }
        seen.push((epoch, ("open", user, cart.clone())));
        let known = all.iter().copied().filter(|known| *known != order).collect();
        seen.push((epoch, ("everywhere", user, known)));
        all.push(order);
    }
    seen.sort();
    seen
}

/// The program of a version.
#[derive(Clone, Copy, Debug)]
enum Version {
    First,
    Second,
    Third,
}

/// Runs of the dataflow on one log.
#[derive(Default)]
struct Runs {
    place: Place,
    history: History<Seen>,
}

impl Runs {
    /// Runs a version until so many items have passed, or to the end.
    fn run(
        &mut self,
        version: Version,
        workers: usize,
        on: On,
        events: &[Event],
        items: Option<usize>,
    ) {
        let script = Script::each(events.to_vec()).paced();
        let (fuse, out) = (items.map_or(Fuse::none(), Fuse::before), Out::default());
        let log = self.place.log();
        macro_rules! run {
            ($program:ident) => {
                on.run(
                    $program::carts(script.clone(), fuse, out.clone())
                        .workers(workers)
                        .recovery(log),
                )
            };
        }
        let outcome = match version {
            Version::First => run!(first),
            Version::Second => run!(second),
            Version::Third => run!(third),
        };
        match (outcome, items) {
            (Ok(()), None) => {}
            (Err(error), Some(_)) => assert!(error.to_string().contains(INTERRUPTED), "{error}"),
            (outcome, _) => panic!("{version:?} with {workers} workers: {outcome:?}"),
        }
        self.history.add(script.resumed(), out.take());
    }

    fn check(&self, events: &[Event]) {
        let mut seen = self.history.all();
        seen.sort();
        assert_eq!(seen, expected(events));
    }
}

#[test]
fn versions_follow_each_other_through_crashes() {
    use Version::{First, Second, Third};
    let events = events(40);
    for (seed, on) in [(0, On::Threads), (1, On::Virtual(1)), (2, On::Virtual(2))] {
        let mut runs = Runs::default();
        // Some are interrupted at once, before they have saved anything in their version.
        for (version, items) in
            [(First, 9), (Second, 0), (Second, 6), (Second, 5), (Third, 0), (Third, 4), (Third, 7)]
        {
            runs.run(version, 1 + (seed + items) % 3, on, &events, Some(items));
        }
        runs.run(Third, 2, on, &events, None);
        runs.check(&events);
    }
}

#[test]
fn a_version_in_between_may_be_left_out() {
    use Version::{First, Third};
    let events = events(30);
    let mut runs = Runs::default();
    runs.run(First, 3, On::Threads, &events, Some(12));
    runs.run(Third, 2, On::Threads, &events, Some(6));
    runs.run(Third, 4, On::Threads, &events, None);
    runs.check(&events);
}

#[test]
fn a_start_says_what_it_has_migrated_once() {
    let place = Place::new();
    let script = |count| Script::each(events(count));
    let flow = first::carts(script(12), Fuse::none(), Out::default());
    let (report, _) = run_reported(flow.recovery(place.log()));
    assert_eq!(report.migrated, [""; 0]);
    for (count, migrated) in [(16, &["everything", "filled", "open", "shops"][..]), (20, &[])] {
        let flow = third::carts(script(count), Fuse::none(), Out::default());
        let (report, _) = run_reported(flow.recovery(place.log()));
        assert_eq!(report.migrated, migrated);
        let said = report.to_string();
        assert_eq!(said.contains("migrated the state of filled"), !migrated.is_empty(), "{said}");
    }
}

#[test]
fn the_program_of_before_is_refused_once_something_newer_is_saved() {
    let mut runs = Runs::default();
    let events = events(20);
    let back = |place: &Place| {
        first::carts(Script::each(events.clone()), Fuse::none(), Out::default())
            .recovery(place.log())
    };
    runs.run(Version::First, 2, On::Threads, &events, Some(8));
    // Nothing has come of it: it can be taken back.
    runs.run(Version::Second, 2, On::Threads, &events, Some(0));
    runs.run(Version::First, 1, On::Threads, &events, Some(3));
    runs.run(Version::Second, 2, On::Threads, &events, Some(4));
    let files = runs.place.files_of_log();
    refused(
        back(&runs.place),
        &[
            "`filled` keeps something else: the version of `Cart` was 2 and is 1",
            "saved: keyed state by u64 of Cart v2 { orders: [u64], sum: u64 }",
            "now:   keyed state by u64 of Cart v1 { orders: [u32] }",
            "a newer program has saved it",
            "`everything` keeps something else",
        ],
    );
    assert_eq!(runs.place.files_of_log(), files, "nothing has been changed");
    runs.run(Version::Second, 2, On::Threads, &events, None);
    runs.check(&events);
}

/// Conversions that do not take every value.
mod picky {
    use super::*;

    #[stateful(name = "Total")]
    #[derive(Default)]
    pub(super) struct TotalV1(i64);

    #[stateful(version = 2, try_from = TotalV1)]
    #[derive(Default)]
    pub(super) struct Total(u64);

    impl TryFrom<TotalV1> for Total {
        type Error = std::num::TryFromIntError;
        fn try_from(old: TotalV1) -> Result<Self, Self::Error> {
            old.0.try_into().map(Total)
        }
    }

    pub(super) mod panics {
        use super::*;

        #[stateful(version = 2, from = TotalV1)]
        #[derive(Default)]
        pub(super) struct Total(u64);

        impl From<TotalV1> for Total {
            fn from(old: TotalV1) -> Self {
                Total(old.0.try_into().expect("totals are not negative"))
            }
        }

        #[dataflow]
        pub(in super::super) fn totals(amounts: Vec<i64>) {
            let all = source(from_iter(amounts));
            let by_key = key_by(all, |n| format!("key {}", n % 3));
            let sums = stateful_map(by_key, |total: &mut Total, _key, n: i64| total.0 += n as u64);
            discard(sums, "it only has to fit");
        }
    }

    pub(super) mod before {
        use super::*;

        #[dataflow]
        pub(in super::super) fn totals(amounts: Vec<i64>) {
            let all = source(from_iter(amounts));
            let by_key = key_by(all, |n| format!("key {}", n % 3));
            let sums = stateful_map(by_key, |total: &mut TotalV1, _key, n: i64| total.0 += n);
            discard(sums, "it only has to fit");
        }
    }

    #[dataflow]
    pub(super) fn totals(amounts: Vec<i64>) {
        let all = source(from_iter(amounts));
        let by_key = key_by(all, |n| format!("key {}", n % 3));
        let sums = stateful_map(by_key, |total: &mut Total, _key, n: i64| total.0 += n as u64);
        discard(sums, "it only has to fit");
    }
}

#[test]
fn a_conversion_that_fails_names_step_and_key_and_changes_nothing_for_good() {
    let place = Place::new();
    let run = |amounts: &[i64]| picky::before::totals(amounts.to_vec()).recovery(place.log());
    run_reported(run(&[1, 2, -6]));
    refused(
        picky::totals(vec![1, 2, -6, 3]).recovery(place.log()),
        &[
            "step `sums`",
            "of key \"key 0\": it cannot be converted from the older version: out of range integral type conversion attempted",
            "let the conversion from the older version take this value",
        ],
    );
    refused(
        picky::panics::totals(vec![1, 2, -6, 3]).recovery(place.log()),
        &["step `sums`", "totals are not negative", "while at key \"key 0\""],
    );
    // The program of before goes on, until nothing is in the way any more: what was is still in the log, and does not count.
    run_reported(run(&[1, 2, -6, 9]));
    let (report, _) =
        run_reported(picky::totals(vec![1, 2, -6, 9, 1]).workers(3).recovery(place.log()));
    assert_eq!(report.steps.iter().map(|step| step.keys).sum::<u64>(), 3, "{report}");
}
