//! A single step in a harness: its state is saved and restored as in a run.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use flow_runtime::prelude::*;

#[stateful]
#[derive(Debug, Default, PartialEq)]
struct Cart {
    items: Vec<String>,
    #[state(skip)]
    seen: u64,
}

/// What is in the cart; "clear" empties it, "buy" takes it away.
#[stateful_flat_map]
fn shop(cart: &mut Option<Cart>, user: &str, item: &'static str, greeting: &str) -> Vec<String> {
    let kept = cart.get_or_insert_default();
    kept.seen += 1;
    match item {
        "clear" => kept.items.clear(),
        "buy" => {
            let bought = cart.take().map(|cart| cart.items).unwrap_or_default();
            return bought.into_iter().map(|item| format!("{greeting} {user}: {item}")).collect();
        }
        item => kept.items.push(item.to_owned()),
    }
    Vec::new()
}

#[test]
fn what_was_saved_comes_back_and_nothing_else() {
    let mut step = shop::harness("hello");
    step.item("a", "tea");
    step.item("b", "milk");
    step.item("c", "salt");
    step.item("c", "buy");
    assert_eq!((step.keys(), step.epoch()), (2, 3), "what is gone is saved, too");
    assert_eq!(step.epoch(), 0, "nothing has changed since");
    step.item("a", "rice");
    step.item("b", "buy");
    step.item("d", "oil");
    assert_eq!(step.emitted(), ["hello c: salt", "hello b: milk"]);
    assert!(step.state("b").is_none() && step.keys() == 2);
    for workers in [1, 2, 7] {
        step.restore_on(workers);
        let a = step.state("a").expect("it was saved");
        assert_eq!((a.items.as_slice(), a.seen), (&["tea".to_owned()][..], 0));
        assert_eq!(step.state("b").map(|cart| cart.items.len()), Some(1), "it was not bought");
        assert!(step.state("c").is_none() && step.state("d").is_none());
        assert_eq!(step.keys(), 2);
    }
    step.item("a", "buy");
    step.item("b", "clear");
    assert_eq!(step.epoch(), 2);
    step.crash_and_restore();
    assert!(step.state("a").is_none());
    assert_eq!(step.state("b"), Some(&Cart::default()));
    assert_eq!(step.emitted(), ["hello a: tea"], "its epoch was committed");
}

#[stateful_map]
fn add<K: Key>(sum: &mut u64, _key: &K, n: u64) -> u64 {
    *sum += n;
    *sum
}

#[test]
fn many_keys_find_their_workers() {
    let mut step = add::harness();
    let mut model = BTreeMap::new();
    for round in 0..6_u64 {
        for key in 0..500_u64 {
            if key % (round + 1) == 0 {
                step.item(&key, key + round);
                *model.entry(key).or_insert(0) += key + round;
            }
        }
        step.epoch();
        // Lost, and done again.
        step.item(&7, 1_000_000);
        step.restore_on(1 + round as usize % 4);
        assert_eq!(step.keys(), model.len());
        assert!(model.iter().all(|(key, sum)| step.state(key) == Some(sum)), "round {round}");
    }
}

thread_local! {
    static OUTSIDE: RefCell<BTreeMap<u64, u64>> = RefCell::default();
}

/// Numbers the items of a key, but not by what is saved.
#[stateful_map]
fn number(_: &mut u64, key: &u64, _item: ()) -> u64 {
    OUTSIDE.with_borrow_mut(|counts| {
        let count = counts.entry(*key).or_default();
        *count += 1;
        *count
    })
}

#[test]
fn what_is_kept_outside_of_the_state_is_seen() {
    let mut step = number::harness();
    step.item(&1, ());
    step.epoch();
    step.item(&1, ());
    assert_eq!(step.emitted(), [1, 2]);
    step.crash_and_restore();
    step.item(&1, ());
    assert_ne!(step.emitted(), [2], "the second item comes again, and is not numbered 2");
}
