//! The latest row by arrival.

use std::collections::BTreeMap;

use flow_runtime::io::Source;
use flow_runtime::prelude::*;
use flow_runtime::sim::Sim;
use flow_tests::collect::Collect;
use flow_tests::given::given;
use flow_tests::recovery::{On, Place};
use flow_tests::rng::Rng;

use crate::sorted;

/// A change of a table: key, and its row.
type Change = (u8, Option<u32>);

/// An item and the row that it got.
type WithRow = (u8, (u32, Option<u32>));

#[dataflow]
fn replaced<A, B, O>(items: A, rows: B, out: O)
where
    A: Source<Item = (u8, u32)>,
    B: Source<Item = (u8, u32)>,
    O: Sink<Stream<WithRow>>,
{
    let all_rows = source(rows);
    let row_of = into_keyed(all_rows);
    let all_items = source(items);
    let items_of = into_keyed(all_items);
    let (matched, unmatched) = table_join(items_of, row_of);
    let with_row = map(matched, |(item, row)| (item, Some(row)));
    let without_row = map(unmatched, |item| (item, None));
    let all = merge(with_row, without_row);
    let plain = entries(all);
    sink(plain, out);
}

#[dataflow]
fn changed<A, B, O>(items: A, changes: B, out: O)
where
    A: Source<Item = (u8, u32)>,
    B: Source<Item = Change>,
    O: Sink<Stream<WithRow>>,
{
    let all_changes = source(changes);
    let row_of = into_keyed(all_changes);
    let all_items = source(items);
    let items_of = into_keyed(all_items);
    let (matched, unmatched) = changelog_join(items_of, row_of);
    let with_row = map(matched, |(item, row)| (item, Some(row)));
    let without_row = map(unmatched, |item| (item, None));
    let all = merge(with_row, without_row);
    let plain = entries(all);
    sink(plain, out);
}

/// In turn the table is changed in one run, and items come in the next: which row an item gets is then certain.
#[test]
fn an_item_gets_the_row_that_came_last() {
    for (removes, on) in [(false, On::Threads), (true, On::Threads), (true, On::Virtual(7))] {
        let mut rng = Rng::new(31);
        let place = Place::new();
        let out = Collect::new(1);
        let (mut items, mut changes) = (Vec::new(), Vec::new());
        let (mut table, mut expected) = (BTreeMap::new(), Vec::new());
        for turn in 0..8_u32 {
            if turn % 2 == 0 {
                for n in 0..5 {
                    let (key, row) = (rng.below(6) as u8, turn * 100 + n);
                    let row = (!removes || !rng.once_in(3)).then_some(row);
                    changes.push((key, row));
                    table.insert(key, row);
                }
            } else {
                for key in 0..7_u8 {
                    let item = turn * 100 + u32::from(key);
                    items.push((key, item));
                    expected.push((key, (item, table.get(&key).copied().flatten())));
                }
            }
            let workers = [1, 3, 2][turn as usize % 3];
            let items = given(vec![items.clone()]);
            let outcome = if removes {
                let flow = changed(items, given(vec![changes.clone()]), out.clone());
                on.run(flow.workers(workers).recovery(place.log()))
            } else {
                let rows = changes.iter().map(|(key, row)| (*key, row.expect("none is removed")));
                let flow = replaced(items, given(vec![rows.collect()]), out.clone());
                on.run(flow.workers(workers).recovery(place.log()))
            };
            outcome.expect("it runs");
        }
        assert_eq!(out.sorted(), sorted(expected));
        assert!(!removes || out.items().iter().any(|(key, (_, row))| *key < 6 && row.is_none()));
    }
}

#[test]
fn a_table_join_survives_crashes() {
    let items: Vec<_> = (0..24_u32).map(|n| ((n % 3) as u8, n)).collect();
    let rows: Vec<_> = (0..12_u32).map(|n| ((n % 3) as u8, n)).collect();
    let report = Sim::new(|world| {
        replaced(
            world.source("items", items.clone()),
            world.source("rows", rows.clone()),
            world.sink("out"),
        )
    })
    .any_order_of_arrival()
    .rechunk()
    .crash_everywhere()
    .at_most(150)
    .check(|outcome| {
        let mut found = outcome.rows::<WithRow>("out");
        found.sort_by_key(|(key, (item, _))| (*key, *item));
        let all: Vec<_> = found.iter().map(|(key, (item, _))| (*item, *key)).collect();
        assert_eq!(sorted(all), sorted(items.iter().map(|(key, item)| (*item, *key)).collect()));
        // Items of a key come in order, and so do its rows: no item gets an earlier row than one before it.
        let rows: Vec<_> = found.iter().map(|(key, (_, row))| (*key, *row)).collect();
        assert!(rows.is_sorted(), "{rows:?}");
    })
    .run();
    assert!(report.crashes > 50, "{report:?}");
}
