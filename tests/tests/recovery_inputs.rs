//! Files that are read, and what has become of them between two runs.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use flow_runtime::io::{Collect, collect};
use flow_runtime::prelude::*;
use flow_runtime::{EpochPolicy, ErrorKind};
use flow_tests::recovery::{Place, refused, run_reported};
use serde::{Deserialize, Serialize};

#[dataflow]
fn copied<T: Item + Send, A: Source<Item = T>>(input: A, out: Collect<T>) {
    let all = source(input);
    let spread = rebalance(all);
    sink(spread, out);
}

/// A kind of file: a row's text, and the source.
trait Kind {
    type Item: Item + Ord + Debug + Send;
    type Source: Source<Item = Self::Item>;
    fn source(&self, path: &Path) -> Self::Source;
    fn item(&self, n: u64) -> Self::Item;
    fn row(&self, n: u64) -> String;

    fn text(&self, rows: std::ops::Range<u64>) -> String {
        rows.map(|n| self.row(n) + "\n").collect()
    }
    fn flow(
        &self,
        place: &Place,
        out: Collect<Self::Item>,
    ) -> Dataflow<impl flow_runtime::plan::FlowPlan> {
        let flow = copied(self.source(&place.path("input")), out).recovery(place.log());
        flow.workers(2).epochs(EpochPolicy::items(1))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Row {
    number: u64,
    text: String,
}

fn row(number: u64) -> Row {
    Row { number, text: format!("\"{}\"\n,", number * 7) }
}

struct OfLines;
struct OfCsv;
struct OfJson;

impl Kind for OfLines {
    type Item = String;
    type Source = Lines;
    fn source(&self, path: &Path) -> Lines {
        Lines::of(path)
    }
    fn item(&self, n: u64) -> String {
        format!("line {n:05}")
    }
    fn row(&self, n: u64) -> String {
        self.item(n)
    }
}
impl Kind for OfCsv {
    type Item = Row;
    type Source = Csv<Row>;
    fn source(&self, path: &Path) -> Csv<Row> {
        Csv::of(path).header(false)
    }
    fn item(&self, n: u64) -> Row {
        row(n)
    }
    // A field with quotes, a comma and a line end.
    fn row(&self, n: u64) -> String {
        format!("{n},\"{}\"", row(n).text.replace('"', "\"\""))
    }
}
impl Kind for OfJson {
    type Item = Row;
    type Source = JsonLines<Row>;
    fn source(&self, path: &Path) -> JsonLines<Row> {
        JsonLines::of(path)
    }
    fn item(&self, n: u64) -> Row {
        row(n)
    }
    fn row(&self, n: u64) -> String {
        format!("{{\"number\": {n}, \"text\": \"\\\"{}\\\"\\n,\"}}", n * 7)
    }
}

const ROWS: u64 = 500;

/// A place with a file of `ROWS` rows, of which a run has read some and was stopped; and what it read.
fn stopped<K: Kind>(kind: &K) -> (Place, Vec<K::Item>) {
    let place = Place::new();
    place.write("input", kind.text(0..ROWS));
    let (out, found) = collect();
    let running = kind.flow(&place, out).rate(200.0).spawn().expect("it starts");
    while running.progress().items_in < 8 {
        std::thread::yield_now();
    }
    let summary = running.stop_blocking().expect("it stops");
    assert!((8..ROWS).contains(&summary.items_in), "{summary:?}");
    let read = found.sorted();
    assert_eq!(read, (0..read.len() as u64).map(|n| kind.item(n)).collect::<Vec<_>>());
    (place, read)
}

/// Goes on, and checks that each of the rows has been read once.
fn goes_on<K: Kind>(kind: &K, place: &Place, mut read: Vec<K::Item>, rows: u64) {
    let (out, found) = collect();
    run_reported(kind.flow(place, out));
    read.extend(found.take());
    read.sort();
    assert_eq!(read, (0..rows).map(|n| kind.item(n)).collect::<Vec<_>>());
}

fn is_refused<K: Kind>(kind: &K, place: &Place, says: &[&str]) {
    let (out, found) = collect();
    let error = refused(kind.flow(place, out), says);
    assert_eq!((error.kind(), error.step()), (ErrorKind::Source, Some("all")), "{error}");
    assert!(found.is_empty());
}

fn a_file_between_two_runs<K: Kind>(kind: &K) {
    // As it was, and grown.
    let (place, read) = stopped(kind);
    goes_on(kind, &place, read, ROWS);
    let (place, read) = stopped(kind);
    place.write("input", kind.text(0..ROWS + 20));
    goes_on(kind, &place, read, ROWS + 20);

    // Truncated; put back, it goes on.
    let (place, read) = stopped(kind);
    place.write("input", kind.text(0..2));
    is_refused(kind, &place, &["/input` has been truncated"]);
    // Replaced by one that is as long, by one that differs at its beginning, by none.
    place.write("input", kind.text(1000..1000 + ROWS));
    is_refused(kind, &place, &["/input` is not the file that was read before"]);
    place.write("input", "x".repeat(100_000));
    is_refused(kind, &place, &["/input` is not the file that was read before"]);
    fs::rename(place.path("input"), place.path("other")).expect("it can be renamed");
    is_refused(kind, &place, &["/input` is gone", "lines of it had been read, but not all"]);
    place.write("input", kind.text(0..ROWS));
    goes_on(kind, &place, read, ROWS);

    // Read to its end: it may grow, and it may be gone, but not be another one.
    place.write("input", kind.text(0..ROWS + 3));
    let (out, found) = collect();
    run_reported(kind.flow(&place, out.clone()));
    assert_eq!(found.sorted(), (ROWS..ROWS + 3).map(|n| kind.item(n)).collect::<Vec<_>>());
    place.write("input", kind.text(0..ROWS));
    is_refused(kind, &place, &["/input` has been truncated"]);
    place.write("input", kind.text(1..ROWS + 9));
    is_refused(kind, &place, &["/input` is not the file that was read before"]);
    fs::remove_file(place.path("input")).expect("it is there");
    run_reported(kind.flow(&place, out));
    assert!(found.is_empty());
}

#[test]
fn lines_between_two_runs() {
    a_file_between_two_runs(&OfLines);
}

#[test]
fn csv_between_two_runs() {
    a_file_between_two_runs(&OfCsv);
}

#[test]
fn json_lines_between_two_runs() {
    a_file_between_two_runs(&OfJson);
}

#[test]
fn a_folder_whose_files_come_go_and_are_renamed() {
    let place = Place::new();
    let folder = place.path("folder");
    fs::create_dir(&folder).expect("it can be made");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("it is written");
    let flow = |out| copied(Lines::of(place.path("folder")), out).workers(3).recovery(place.log());
    let (out, found) = collect();
    write("a", "a1\na2\n");
    write("b", "b1\n");
    run_reported(flow(out.clone()));
    assert_eq!(found.sorted(), ["a1", "a2", "b1"]);
    // `a` is read to its end and goes; `b` grows; `c` is new.
    fs::remove_file(folder.join("a")).expect("it is there");
    write("b", "b1\nb2\n");
    write("c", "c1\n");
    run_reported(flow(out.clone()));
    assert_eq!(found.sorted(), ["b2", "c1"]);
    // `a` comes back as it was, and then as another file.
    write("a", "a1\na2\n");
    run_reported(flow(out.clone()));
    assert!(found.is_empty());
    write("a", "other\n");
    refused(flow(out.clone()), &["/a` "]);
    // A line that was read without its end must not grow.
    write("a", "a1\na2\n");
    write("d", "d1");
    run_reported(flow(out.clone()));
    assert_eq!(found.sorted(), ["d1"]);
    write("d", "d1more\n");
    refused(flow(out.clone()), &["/d` has grown in its line 1"]);
    write("d", "d1\nd2\n");
    run_reported(flow(out));
    assert_eq!(found.sorted(), ["d2"]);
}

#[test]
fn a_file_in_a_folder_that_got_another_name_is_found() {
    let place = Place::new();
    let folder = place.path("folder");
    fs::create_dir(&folder).expect("it can be made");
    let text: String = (0..500).map(|n| format!("line {n}\n")).collect();
    fs::write(folder.join("today.log"), text).expect("it is written");
    let (out, _) = collect();
    let flow =
        || copied(Lines::of(place.path("folder")), out.clone()).workers(2).recovery(place.log());
    let running = flow().rate(200.0).spawn().expect("it starts");
    while running.progress().items_in < 8 {
        std::thread::yield_now();
    }
    running.stop_blocking().expect("it stops");
    fs::rename(folder.join("today.log"), folder.join("yesterday.log")).expect("it can be renamed");
    refused(flow(), &["today.log` is gone", "was it renamed to", "yesterday.log"]);
    fs::rename(folder.join("yesterday.log"), folder.join("today.log")).expect("it can be renamed");
    run_reported(flow());
}
