//! Each aggregate against a naive reference: over random items that are split at random points of time, added apart, merged in the order
//! of time, and saved and loaded in between.

use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::prelude::stateful;
use crate::state::{Saved, Shape};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sale {
    /// Tells items apart that are otherwise alike.
    id: usize,
    cents: u32,
}

/// An item and its time, which is the same for all where the stream has none.
type At = (Timestamp, Sale);

fn any_items() -> impl Strategy<Value = Vec<At>> {
    let timed = prop::collection::vec((0..12_i64, 0..8_u32), 1..40);
    (timed, any::<bool>()).prop_map(|(items, has_times)| {
        let item = |(id, (at, cents)): (usize, (i64, u32))| {
            let at = if has_times { Timestamp(at) } else { Timestamp::MIN };
            (at, Sale { id, cents })
        };
        items.into_iter().enumerate().map(item).collect()
    })
}

/// Where the time is cut into slices.
fn any_cuts() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::btree_set(0..12_i64, 0..5).prop_map(|cuts| cuts.into_iter().collect())
}

fn saved_and_loaded<S: Saved>(state: S) -> S {
    let mut bytes = Vec::new();
    state.save(&mut bytes);
    S::load_all(&bytes).expect("what is saved is loaded")
}

fn added<G: Aggregate<Sale>>(aggregate: &G, items: &[At]) -> G::State {
    items.iter().enumerate().fold(aggregate.begin(), |mut state, (n, (at, item))| {
        aggregate.add(&mut state, item.clone(), *at);
        if n % 3 == 0 { saved_and_loaded(state) } else { state }
    })
}

/// What comes out however the items are cut must be what `expected` is.
fn check<G: Aggregate<Sale, Out: PartialEq + std::fmt::Debug>>(
    aggregate: &G,
    items: &[At],
    cuts: &[i64],
    expected: &G::Out,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(&aggregate.finish(&added(aggregate, items)), expected);
    prop_assert_eq!(&aggregate.finish_last(added(aggregate, items)), expected);

    let slice_of = |at: Timestamp| cuts.partition_point(|cut| *cut <= at.0);
    let mut merged = aggregate.begin();
    for slice in 0..=cuts.len() {
        let slice: Vec<At> =
            items.iter().filter(|(at, _)| slice_of(*at) == slice).cloned().collect();
        let state = saved_and_loaded(added(aggregate, &slice));
        aggregate.merge(&mut merged, &state);
        merged = saved_and_loaded(merged);
    }
    prop_assert_eq!(&aggregate.finish(&merged), expected);
    // It is not used up.
    prop_assert_eq!(&aggregate.finish(&merged), expected);
    // Nor does it change anything to merge nothing.
    aggregate.merge(&mut merged, &aggregate.begin());
    prop_assert_eq!(&aggregate.finish(&merged), expected);
    prop_assert_eq!(&aggregate.finish_last(merged), expected);
    Ok(())
}

/// By time, those of one time as they came.
fn in_order(items: &[At]) -> Vec<Sale> {
    let mut items = items.to_vec();
    items.sort_by_key(|item| item.0);
    items.into_iter().map(|(_, item)| item).collect()
}

/// Of the best by this comparison the first in the order of time.
fn best(items: &[At], is_better: impl Fn(u32, u32) -> bool) -> Sale {
    let mut items = in_order(items).into_iter();
    let first = items.next().expect("there are items");
    items.fold(first, |best, item| if is_better(item.cents, best.cents) { item } else { best })
}

fn cents(items: &[At]) -> impl Iterator<Item = u32> {
    items.iter().map(|(_, item)| item.cents)
}

proptest! {
    #[test]
    fn counts_and_sums(items in any_items(), cuts in any_cuts()) {
        let all: u64 = cents(&items).map(u64::from).sum();
        check(&count(), &items, &cuts, &(items.len() as u64))?;
        check(&sum(|sale: &Sale| u64::from(sale.cents)), &items, &cuts, &all)?;
        check(&sum(|sale: &Sale| -f64::from(sale.cents)), &items, &cuts, &-(all as f64))?;
        let seconds = sum(|sale: &Sale| Duration::from_secs(u64::from(sale.cents)));
        check(&seconds, &items, &cuts, &Duration::from_secs(all))?;
        let average = all as f64 / items.len() as f64;
        check(&avg(|sale: &Sale| f64::from(sale.cents)), &items, &cuts, &average)?;
        let near = map(avg(|sale: &Sale| -i64::from(sale.cents)), move |out| (out + average).abs() < 1e-9);
        check(&near, &items, &cuts, &true)?;
    }

    #[test]
    fn extremes(items in any_items(), cuts in any_cuts()) {
        let (least, most) = (cents(&items).min().expect("some"), cents(&items).max().expect("some"));
        check(&min(|sale: &Sale| sale.cents), &items, &cuts, &least)?;
        check(&max(|sale: &Sale| sale.cents), &items, &cuts, &most)?;
        let float = max(|sale: &Sale| Float(f64::from(sale.cents) / 3.0));
        check(&float, &items, &cuts, &Float(f64::from(most) / 3.0))?;
        check(&min_by_key(|sale: &Sale| sale.cents), &items, &cuts, &best(&items, |a, b| a < b))?;
        check(&max_by_key(|sale: &Sale| sale.cents), &items, &cuts, &best(&items, |a, b| a > b))?;
    }

    #[test]
    fn items_by_time(items in any_items(), cuts in any_cuts()) {
        let all = in_order(&items);
        check(&first(), &items, &cuts, &all[0])?;
        check(&last(), &items, &cuts, &all[all.len() - 1])?;
        check(&collect(), &items, &cuts, &all)?;
    }

    #[test]
    fn the_top(items in any_items(), cuts in any_cuts(), k in 0..12_usize) {
        let mut top = in_order(&items);
        top.sort_by_key(|sale| std::cmp::Reverse(sale.cents));
        top.truncate(k);
        check(&top_k(k, |sale: &Sale| sale.cents), &items, &cuts, &top)?;
    }

    #[test]
    fn what_functions_make(items in any_items(), cuts in any_cuts()) {
        let larger = |a: Sale, b: Sale| if (b.cents, b.id) > (a.cents, a.id) { b } else { a };
        let expected = items.iter().map(|(_, item)| item.clone()).reduce(larger).expect("some");
        check(&reduce(larger), &items, &cuts, &expected)?;

        let ids = fold(
            Seen::default(),
            |seen, sale: Sale| seen.ids |= 1 << sale.id,
            |seen, other| seen.ids |= other.ids,
        );
        let expected = Seen { ids: (1 << items.len()) - 1 };
        check(&ids, &items, &cuts, &expected)?;
        let how_many = map(ids, |seen| seen.ids.count_ones() as usize);
        check(&how_many, &items, &cuts, &items.len())?;
    }

    #[test]
    fn what_is_in_order_is_reduced_in_order(items in any_items(), cuts in any_cuts()) {
        let mut items = items;
        items.sort_by_key(|item| item.0);
        // The ids one behind another: associative, and nothing else.
        let text = map(
            fold(
                String::new(),
                |text: &mut String, sale: Sale| *text += &format!("{} ", sale.id),
                |text, other| *text += other,
            ),
            |text| text.len(),
        );
        let expected: String = items.iter().map(|(_, sale)| format!("{} ", sale.id)).collect();
        check(&text, &items, &cuts, &expected.len())?;
        let joined = reduce(|a: Sale, b: Sale| Sale { id: a.id, cents: b.cents });
        let ends = Sale { id: items[0].1.id, cents: items[items.len() - 1].1.cents };
        check(&joined, &items, &cuts, &ends)?;
    }

    #[test]
    fn tuples(items in any_items(), cuts in any_cuts()) {
        let all = in_order(&items);
        let (n, end) = (items.len() as u64, all[all.len() - 1].clone());
        check(&(count(), first()), &items, &cuts, &(n, all[0].clone()))?;
        check(&(last(), count(), first()), &items, &cuts, &(end.clone(), n, all[0].clone()))?;
        let four = (first(), last(), map((count(), count()), |(a, b)| a + b), collect());
        check(&four, &items, &cuts, &(all[0].clone(), end, 2 * n, all.clone()))?;
    }
}

#[stateful]
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    ids: u64,
}

/// Adds these items, without times.
fn of<A, G: Aggregate<A>>(aggregate: &G, items: impl IntoIterator<Item = A>) -> G::Out {
    let mut state = aggregate.begin();
    items.into_iter().for_each(|item| aggregate.add(&mut state, item, Timestamp::MIN));
    aggregate.finish(&state)
}

#[test]
#[should_panic(expected = "the sum no longer fits into `u8`: let the function that is summed give")]
fn a_sum_that_does_not_fit_says_so() {
    of(&sum(|item: &u8| *item), [200, 55, 1]);
}

#[test]
#[should_panic(expected = "the sum no longer fits into `i64`")]
fn sums_that_do_not_fit_together_say_so() {
    let all = sum(|item: &i64| *item);
    let mut state = i64::MAX;
    all.merge(&mut state, &1);
}

#[test]
fn averages_lose_nothing_that_can_be_kept() {
    assert_eq!(of(&avg(|item: &u64| *item), [u64::MAX; 3]), u64::MAX as f64);
    assert_eq!(of(&avg(|item: &i64| *item), [i64::MIN, i64::MAX]), -0.5);
    assert_eq!(of(&avg(|item: &f64| *item), [1e100, 1.0, -1e100]), 1.0 / 3.0);
    assert_eq!(of(&avg(|item: &f64| *item), [f64::INFINITY, 1.0]), f64::INFINITY);
    assert!(of(&avg(|item: &f64| *item), []).is_nan());
}

#[test]
fn floats_have_an_order() {
    let largest = max(|item: &f64| Float(*item));
    assert_eq!(of(&largest, [0.5, -0.0, 2.5]), Float(2.5));
    assert!(of(&largest, [f64::NAN, 2.5]).0.is_nan());
    assert_eq!(Shape::from(Float::SCHEMA), Shape::from(f64::SCHEMA));
}

#[test]
fn what_is_kept_does_not_depend_on_closures() {
    fn kept<A, G: Aggregate<A>>(_: &G) -> String {
        G::State::SCHEMA.to_string()
    }
    let sale = "(Timestamp, serde(Sale v1 { id: u64, cents: u32 }))";
    let by_cents = min_by_key(|sale: &Sale| sale.cents);
    assert_eq!(kept(&by_cents), format!("Option<{sale}>"));
    assert_eq!(kept(&max_by_key(|sale: &Sale| sale.id)), kept(&by_cents));
    assert_eq!(kept(&top_k(3, |sale: &Sale| sale.id)), format!("[{sale}]"));
    assert_eq!(kept::<Sale, _>(&collect()), format!("[{sale}]"));
    let words = map((count(), avg(|sale: &Sale| sale.cents)), |(_, average)| average.to_string());
    assert_eq!(kept(&words), "(u64, (i128, u64))");
}

#[test]
fn a_list_that_another_run_has_kept_is_brought_into_order() {
    let before = top_k(4, |item: &i32| *item);
    let mut list = before.begin();
    for item in [1, 5, 3, 2, 4] {
        before.add(&mut list, item, Timestamp::MIN);
    }
    let now = top_k(2, |item: &i32| -item);
    now.adopt(&mut list);
    now.add(&mut list, 1, Timestamp::MIN);
    now.add(&mut list, 9, Timestamp::MIN);
    assert_eq!(now.finish(&list), [1, 2]);
}
