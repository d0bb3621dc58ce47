//! Single cases.

use super::*;

#[stateful]
#[derive(Debug, Default)]
struct Large {
    owner: String,
    items: MapState<String, u64>,
    history: ListState<u64>,
}

fn large(entries: u64) -> World<Large> {
    let mut world = World::<Large>::new(1, vec![], vec![]).expect("is empty");
    world.with(7, |state| {
        state.items.extend((0..entries).map(|n| (format!("item {n}"), n)));
        state.history.extend(0..entries);
    });
    assert!(world.barrier() as u64 > entries * 30);
    world
}

#[test]
fn what_is_written_is_in_proportion_to_what_has_changed() {
    let mut world = large(10_000);
    for restored in [false, true] {
        if restored {
            world.crash(1).expect("is whole");
        }
        assert!(world.with(7, |state| state.items.get_mut("item 77").map(|n| *n += 1)).is_some());
        let one = world.barrier();
        assert!(one < 200, "one entry of 10,000 takes {one} bytes");
        assert!(world.with(7, |state| state.items.remove("item 78")).is_some() != restored);
        world.with(7, |state| {
            state.history.push_back(7);
            state.history.pop_front()
        });
        let few = world.barrier();
        assert!(few < 300, "an entry that is gone and two ends of a list take {few} bytes");
        let none = world.barrier();
        assert_eq!(none, 0, "nothing has changed");
        world.with(7, |state| state.owner.push('x'));
        let owner = world.barrier();
        assert!(owner < 100, "the owner alone takes {owner} bytes");
    }
    world.with(7, |state| state.items.clear());
    let all = world.barrier();
    assert!(all < 200, "that 10,000 entries are gone takes {all} bytes");
    world.crash(3).expect("is whole");
    let states = world.states();
    assert_eq!((states[&7].items.len(), states[&7].history.len()), (0, 10_000));
}

#[test]
fn many_changes_are_found_as_well() {
    let mut world = large(3000);
    for round in 1..4_u64 {
        world.with(7, |state| {
            for n in (0..3000).step_by(2) {
                *state.items.get_or_default(format!("item {n}")) += 1;
                *state.history.get_mut(n).expect("it is there") += 1;
            }
        });
        world.barrier();
        world.crash(2).expect("is whole");
        let states = world.states();
        let even = |n: u64| n + if n.is_multiple_of(2) { round } else { 0 };
        assert!((0..3000).all(|n| states[&7].items.get(&format!("item {n}")) == Some(&even(n))));
        assert!(states[&7].history.iter().copied().eq((0..3000).map(even)));
    }
}

/// A state that begins with entries.
#[stateful]
#[derive(Debug)]
struct Prefilled {
    items: MapState<u8, u8>,
    history: ListState<u8>,
}

impl Default for Prefilled {
    fn default() -> Self {
        Prefilled { items: (0..9).map(|n| (n, n)).collect(), history: (0..9).collect() }
    }
}

#[test]
fn a_state_may_begin_with_entries() {
    let mut world = World::<Prefilled>::new(1, vec![], vec![]).expect("is empty");
    world.with(1, |state| state.items.remove(&3));
    for round in 0..3 {
        world.barrier();
        world.crash(2).expect("is whole");
        assert_eq!(world.states()[&1].items.len(), 8 - round);
        assert!(world.states()[&1].history.iter().copied().eq(0..9));
        world.with(1, |state| state.items.pop_first());
    }
}

/// A run without a log never gathers.
#[test]
fn without_a_log_nothing_is_remembered() {
    let mut table = Table::<u8, Large>::new();
    for n in 0..50_000_u64 {
        let EntryMut { state, .. } = table.find_or_insert(1, &Lent(&7), Large::default);
        state.items.insert("one".to_owned(), n);
        *state.items.get_mut("one").expect("it is there") += 1;
        state.items.remove("one");
        state.history.push_back(n);
        *state.history.back_mut().expect("it is there") += 1;
        state.history.pop_front();
        if n % 100 == 0 {
            table.end_epoch(|_| false);
        }
    }
    let EntryMut { state, .. } = table.find_or_insert(1, &Lent(&7), Large::default);
    assert_eq!(state.items.remembers(), 0);
    assert_eq!(state.history.remembers(), 0);
}

/// What is remembered between two barriers has a bound, also in a run with one.
#[test]
fn what_is_remembered_has_a_bound() {
    let mut world = large(1000);
    world.with(7, |state| {
        for n in 0..100_000_u64 {
            state.items.insert("one".to_owned(), n);
            state.items.remove("one");
            *state.items.get_mut("item 1").expect("it is there") += 1;
            state.history.push_back(n);
            *state.history.back_mut().expect("it is there") += 1;
            state.history.pop_back();
            state.history.pop_back();
            state.history.push_back(n);
        }
        assert!(state.items.remembers() <= 100 && state.history.remembers() <= 100);
    });
    world.barrier();
    world.crash(1).expect("is whole");
    assert_eq!(world.states()[&7].history.back(), Some(&99_999));
    assert_eq!(world.states()[&7].items.get("item 1"), Some(&100_001));
}

#[test]
fn what_cannot_be_is_said() {
    let mut world = large(3);
    let log = world.log.clone();
    let block = |slot, kind| {
        let mut bytes = log[0].clone();
        bytes[4..6].copy_from_slice(&u16::to_le_bytes(slot));
        bytes[6] = kind;
        Block::decode(&bytes).expect("is a block").head
    };
    let mut says = |entry: Vec<u8>, said: &str| {
        world.log = log.iter().cloned().chain([entry]).collect();
        let error = world.crash(2).expect_err(said);
        assert!(error.contains(said), "{error}");
    };
    let number = (1_u64 << 63).to_be_bytes();
    says(one(block(3, 2), 7, &[], &[]), "part 3 of a state that has 2");
    says(one(block(0, 2), 7, &[], &[]), "a kind that this version never writes");
    says(one(block(1, 1), 7, &[], &[]), "a kind that this version never writes");
    says(one(block(2, 2), 7, &[], &[]), "part 2 of the state is a list, and the entry is of a map");
    says(one(block(1, 3), 7, &number, &[]), "part 1 of the state is a map");
    says(one(block(1, 2), 7, &[4, b'i'], &[0; 8]), "a key of a map: it ends too early");
    says(one(block(1, 2), 7, &[0], &[0; 7]), "a value of a map: it ends too early");
    says(one(block(1, 6), 7, &[0, 0], &[]), "a key of a map: bytes are left over");
    says(one(block(2, 3), 7, &number[1..], &[0; 8]), "takes 8 bytes, and here it takes 7");
    says(one(block(2, 3), 7, &number, &[0; 9]), "an element of a list: bytes are left over");
    says(one(block(2, 3), 7, &u64::MAX.to_be_bytes(), &[0; 8]), "elements of a list are missing");
    says(one(block(1, 2), 8, &[0], &[0; 8]), "entries of a key without a state");
    let mut torn = one(block(1, 2), 7, &[4, b'i'], &[0; 8]);
    torn.pop();
    says(torn, "a block is malformed");
    let mut strange = one(block(1, 2), 7, &[0], &[0; 8]);
    strange[8] ^= 1;
    says(strange, "which the log does not know of the step");
}

/// Entries may come before the state that they belong to.
#[test]
fn the_order_of_files_does_not_matter() {
    let mut world = large(20);
    let tombstones = |block: &Vec<u8>| Block::decode(block).expect("is one").head.kind as u8 == 5;
    world.log.retain(|block| !tombstones(block));
    world.log.reverse();
    world.crash(2).expect("is whole");
    let states = world.states();
    assert_eq!((states[&7].items.len(), states[&7].history.len()), (20, 20));
    assert!(states[&7].history.iter().copied().eq(0..20));
}

mod versions {
    use super::*;

    #[stateful(name = "Item")]
    #[derive(Debug, Default, PartialEq)]
    pub(super) struct ItemV1 {
        price: u32,
    }

    #[stateful(version = 2, from = ItemV1)]
    #[derive(Debug, Default, PartialEq)]
    pub(super) struct Item {
        price: u64,
        paid: bool,
    }

    impl From<ItemV1> for Item {
        fn from(old: ItemV1) -> Item {
            Item { price: old.price.into(), paid: false }
        }
    }

    #[stateful(name = "Shop")]
    #[derive(Debug, Default)]
    pub(super) struct Before {
        items: MapState<String, ItemV1>,
        sold: ListState<u32>,
        till: u32,
    }

    /// What is inside has a new version.
    #[stateful(name = "Shop")]
    #[derive(Debug, Default)]
    pub(super) struct Inside {
        items: MapState<String, Item>,
        sold: ListState<u32>,
        till: u32,
    }

    /// Fields have moved, and there is another.
    #[stateful(name = "Shop", version = 2, from = Before)]
    #[derive(Debug, Default)]
    pub(super) struct Moved {
        sold: ListState<u32>,
        sums: MapState<u8, u64>,
        items: MapState<String, ItemV1>,
    }

    impl From<Before> for Moved {
        fn from(old: Before) -> Moved {
            let sums = MapState::from_iter([(0, u64::from(old.till))]);
            Moved { sold: old.sold, sums, items: old.items }
        }
    }

    /// Nothing is saved by entry any more.
    #[stateful(name = "Shop", version = 2, try_from = Before)]
    #[derive(Debug, Default)]
    pub(super) struct Flat {
        sum: u32,
    }

    impl TryFrom<Before> for Flat {
        type Error = String;
        fn try_from(old: Before) -> Result<Flat, String> {
            let sum: u32 = old.items.values().map(|item| item.price).sum();
            if sum > 1000 { Err(format!("{sum} is too much")) } else { Ok(Flat { sum }) }
        }
    }

    pub(super) fn before() -> World<Option<Before>> {
        let mut world = World::new(1, vec![], vec![]).expect("is empty");
        for key in 0..3 {
            world.with(key, |state: &mut Option<Before>| {
                let state = state.get_or_insert_default();
                state.till = 5;
                for n in 0..10_u32 {
                    state.items.insert(n.to_string(), ItemV1 { price: n });
                    state.sold.push_back(n);
                }
            });
        }
        world.barrier();
        world.with(1, |state| {
            let state = state.as_mut().expect("it is there");
            state.sold.pop_front();
            state.items.remove("3");
        });
        world.with(2, |state| *state = None);
        world.barrier();
        world
    }

    fn after<V: Held>(compact: bool) -> Result<World<V>, String> {
        let mut was = before();
        if compact {
            was.compact();
        }
        World::<V>::new(2, was.log, vec![Shape::from(Before::SCHEMA)])
    }

    #[test]
    fn what_is_inside_is_converted() {
        for compact in [false, true] {
            let mut world = after::<Inside>(compact).expect("is converted");
            for round in 0..3 {
                let states = world.states();
                assert_eq!(states.len(), 2);
                assert_eq!(states[&1].items.len(), 9);
                let item = Item { price: 9, paid: round > 0 };
                assert_eq!(states[&1].items.get("9"), Some(&item));
                assert!(states[&1].sold.iter().copied().eq(1..10));
                world.with(1, |state| state.items.get_mut("9").map(|item| item.paid = true));
                world.barrier();
                if compact {
                    world.compact();
                }
                world.crash(1).expect("is whole");
            }
            // A key that has not changed since then is still what it was.
            assert_eq!(world.states()[&0].items.get("3"), Some(&Item { price: 3, paid: false }));
        }
    }

    #[test]
    fn parts_may_move() {
        for compact in [false, true] {
            let mut world = after::<Moved>(compact).expect("is converted");
            for round in 0..3_u64 {
                let states = world.states();
                assert_eq!((states[&0].items.len(), states[&1].items.len()), (10, 9));
                assert_eq!(states[&1].sums.get(&0), Some(&(5 + round)));
                assert!(states[&1].sold.iter().copied().eq(1..10));
                world.with(1, |state| *state.sums.get_or_default(0) += 1);
                assert!(round > 0 || world.barrier() > 100, "all of it is written once");
                assert!(world.barrier() < 150);
                if compact {
                    world.compact();
                }
                world.crash(2).expect("is whole");
            }
        }
    }

    #[test]
    fn parts_may_go() {
        for compact in [false, true] {
            let mut world = after::<Option<Flat>>(compact).expect("is converted");
            assert_eq!(world.states().values().map(|flat| flat.sum).collect::<Vec<_>>(), [45, 42]);
            for key in 0..2 {
                world.with(key, |state| state.as_mut().map(|flat| flat.sum += 1));
            }
            world.barrier();
            if compact {
                world.compact();
                assert_eq!(world.log.len(), 2, "nothing is left of the entries");
            }
            world.crash(1).expect("is whole");
            assert_eq!(world.states().values().map(|flat| flat.sum).collect::<Vec<_>>(), [46, 43]);
        }
    }

    #[test]
    fn what_cannot_be_converted_names_the_key() {
        let mut was = before();
        was.with(1, |state| {
            let state = state.as_mut().expect("it is there");
            state.items.insert("dear".to_owned(), ItemV1 { price: 1000 });
        });
        was.barrier();
        let older = || vec![Shape::from(Before::SCHEMA)];
        let error = World::<Flat>::new(1, was.log.clone(), older()).err().expect("is too dear");
        assert!(error.contains("of key 1") && error.contains("1042 is too much"), "{error}");
        // What is not there any more need not be converted.
        was.with(1, |state| *state = None);
        was.barrier();
        assert!(World::<Flat>::new(1, was.log, older()).is_ok());
    }
}
