//! What cannot be joined, and what a join says about itself.

use flow_runtime::graph::Kind;
use flow_runtime::prelude::*;
use flow_tests::collect::Collect;
use flow_tests::given::{Given, given};
use flow_tests::recovery::On;

use crate::interval::near;
use crate::{Row, SECOND, at};

/// Takes its time from an item: no `event_time` is missing, and yet there is none.
struct Timeless;

impl Process for Timeless {
    type Key = u8;
    type In = Row;
    type Out = Row;
    type State = bool;
    type Timer = ();
    fn on_item(&self, _: &mut Option<bool>, item: Row, cx: &mut ProcessContext<'_, Self>) {
        cx.emit_at(Timestamp::MIN, item);
    }
}

#[dataflow]
fn untimed(rows: Given<Row>) {
    let all = source(rows);
    let timed = event_time(all, at, Disorder::none());
    let by_key = key_by(timed, |row| row.0);
    let timeless = process(by_key, Timeless);
    let interval = Interval::between(SECOND, SECOND);
    let (matched, unmatched, late) = interval_join(timeless, by_key, interval);
    discard(matched, "is not looked at");
    discard(unmatched, "is not looked at");
    discard(late, "is not looked at");
}

#[dataflow]
fn untimed_versions(rows: Given<Row>) {
    let all = source(rows);
    let timed = event_time(all, at, Disorder::none());
    let by_key = key_by(timed, |row| row.0);
    let timeless = process(by_key, Timeless);
    let (matched, unmatched) = as_of_join(by_key, timeless, AsOf::keep(SECOND));
    discard(matched, "is not looked at");
    discard(unmatched, "is not looked at");
}

#[dataflow]
fn untimed_windows(rows: Given<Row>) {
    let all = source(rows);
    let timed = event_time(all, at, Disorder::none());
    let by_key = key_by(timed, |row| row.0);
    let timeless = process(by_key, Timeless);
    let seconds = Tumbling::of(SECOND);
    let (matched, unmatched, late) = window_join(by_key, timeless, seconds, Join::full());
    discard(matched, "is not looked at");
    discard(unmatched, "is not looked at");
    discard(late, "is not looked at");
}

#[test]
fn an_item_without_a_time_is_an_error_that_names_the_step() {
    let rows = || given(vec![vec![(1, 1, 1)]]);
    let outcomes = [
        On::Threads.run(untimed(rows())),
        On::Threads.run(untimed_versions(rows())),
        On::Threads.run(untimed_windows(rows())),
    ];
    for outcome in outcomes {
        let error = outcome.expect_err("it cannot be joined").to_string();
        for part in ["`matched`", "an item without a time has come to a join", "event_time("] {
            assert!(error.contains(part), "`{part}` is missing: {error}");
        }
    }
}

#[test]
fn an_empty_interval_is_an_error_when_the_run_begins() {
    let (pairs, alone, late) = (Collect::new(1), Collect::new(1), Collect::new(1));
    let none = || given(vec![Vec::new()]);
    let interval = Interval::after(9 * SECOND, 2 * SECOND);
    let flow = near(none(), none(), Disorder::none(), interval, pairs, alone, late);
    let error = On::Threads.run(flow).expect_err("it is refused").to_string();
    for part in
        ["`matched`", "from 9s after an item to 2s after it is empty", "Interval::after(2s, 9s)"]
    {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
}

#[dataflow]
fn told(rows: Given<Row>) {
    let all = source(rows);
    let timed = event_time(all, at, Disorder::none());
    let by_key = key_by(timed, |row| row.0);
    let (matched, unmatched, late) =
        window_join(by_key, by_key, Tumbling::of(SECOND), Join::inner());
    discard(late, "is not looked at");
    discard(unmatched, "is not looked at");
    let (with_row, without_row) = table_join(matched, by_key);
    discard(with_row, "is not looked at");
    discard(without_row, "is not looked at");
}

#[test]
fn a_join_is_one_step_of_its_own_kind() {
    let graph = told::GRAPH;
    let kind = |id: &str| graph.nodes[graph.index_of(id).expect("there is one")].operator.kind;
    assert_eq!((kind("matched"), kind("with_row")), (Kind::Join, Kind::TableJoin));
    let description = told(given(vec![Vec::new()])).describe();
    let joins: Vec<_> = description.steps().filter(|step| step.kind.contains("join")).collect();
    let [windows, table] = joins[..] else { panic!("{joins:?}") };
    assert_eq!((windows.id.to_string(), windows.kind), ("matched".into(), "join"));
    assert_eq!((table.id.to_string(), table.kind), ("with_row".into(), "table_join"));
    let text = description.to_string();
    assert!(text.contains("Windowed<((u8, i64, u32), (u8, i64, u32))>"), "{text}");
    let first =
        |step: &str| description.stages.iter().any(|stage| stage.steps[0].id.to_string() == step);
    assert!(first("matched") && first("with_row"), "a stage begins at a join: {text}");
}
