//! The simulation finds what is wrong, says what, and finds nothing where nothing is.
#![allow(missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_runtime::io::{
    CsvFile, EpochFiles, FileEnd, FileWriter, Io, Lines, PartitionId, Resume, Rows, Sink,
};
use flow_runtime::io::{SinkWriter, Source, delivery};
use flow_runtime::prelude::*;
use flow_runtime::sim::{Sim, SimDisk, SimFailure, World};
use flow_runtime::time::Barrier;
use flow_runtime::{Dataflow, Error, Virtual};

const TEXT: &str = "text.txt";

#[stateful]
#[derive(Default)]
struct Total {
    cents: u64,
}

#[stateful_map]
fn add_up(total: &mut Total, _customer: &u32, (_, cents): (u32, u64)) -> u64 {
    total.cents += cents;
    total.cents
}

#[dataflow]
fn totals<S: Source<Item = (u32, u64)>, O: Sink<Keyed<u32, u64>>>(sales: S, out: O) {
    let all = source(sales);
    let by_customer = key_by(all, |(customer, _)| *customer);
    let totals = add_up(by_customer);
    sink(totals, out);
}

fn sales(count: u64) -> Vec<(u32, u64)> {
    (0..count).map(|n| ((n % 5) as u32, 1 + n * 7 % 11)).collect()
}

/// The text of a failure, which plays again alone.
fn fails<F, P>(sim: impl Fn() -> Sim<'static, F>, says: &[&str]) -> SimFailure
where
    F: Fn(&World) -> Dataflow<P>,
    P: flow_runtime::plan::FlowPlan,
{
    let failure = sim().try_run().expect_err("it fails");
    let text = failure.to_string();
    for part in says {
        assert!(text.contains(part), "`{part}` is missing:\n{text}");
    }
    let again = sim().seed(failure.seed()).replay(failure.history()).try_run();
    let again = again.expect_err("it fails again").to_string();
    let rows = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("    ") && !line.contains("help"));
        rows.map(str::to_owned).collect()
    };
    assert_eq!(rows(&text), rows(&again), "{text}\n{again}");
    failure
}

#[test]
fn a_sound_dataflow_survives_everything() {
    let checked = RefCell::new(0);
    let report = Sim::new(|world| totals(world.source("sales", sales(40)), world.sink("totals")))
        .seed(7)
        .rechunk()
        .crash_everywhere()
        .crashes(10)
        .check(|outcome| {
            *checked.borrow_mut() += 1;
            assert_eq!(outcome.rows::<(u32, u64)>("totals").len(), 40);
        })
        .run();
    assert_eq!(report.histories, checked.take());
    assert!(report.epochs > 2 && report.operations > 30 && report.skipped == 0, "{report:?}");
    assert!(report.crashes > 2 * report.operations, "{report:?}");
}

#[test]
fn a_sound_dataflow_survives_a_disk_that_fails_and_fills_up() {
    let report = Sim::new(|world| totals(world.source("sales", sales(40)), world.sink("totals")))
        .disk_faults()
        .run();
    assert!(report.crashes > report.operations, "{report:?}");
    let build = |world: &World| {
        let out = CsvFile::folder(world.output("totals")).parts(2);
        totals(world.source("sales", sales(20)), out)
    };
    Sim::new(build).seed(1).disk_faults().run();
}

#[test]
fn partitions_and_given_epochs_survive_as_well() {
    let parts = |n: u64| sales(40).into_iter().filter(move |(_, cents)| cents % 3 == n);
    // Customers are in all partitions: only the sums at the end do not depend on the order.
    let last = |rows: Vec<(u32, u64)>| -> Vec<(u32, u64)> {
        let mut last = BTreeMap::new();
        rows.into_iter().for_each(|(customer, total)| {
            let known: &mut u64 = last.entry(customer).or_default();
            *known = total.max(*known);
        });
        last.into_iter().collect()
    };
    Sim::new(|world| totals(world.partitions("sales", (0..3).map(parts)), world.sink("totals")))
        .compare_by("totals", last)
        .crash_everywhere()
        .at_most(60)
        .run();
    let dated = || (0..).map(|n| n / 4).zip(sales(40));
    let report = Sim::new(|world| totals(world.epochs("sales", dated()), world.sink("totals")))
        .crash_everywhere()
        .at_most(60)
        .run();
    assert_eq!(report.epochs, 10);
    assert!(report.skipped > 0);
}

#[dataflow]
fn outside<S: Source<Item = (u32, u64)>, O: Sink<Keyed<u32, u64>>>(
    sales: S,
    kept: Arc<Mutex<BTreeMap<u32, u64>>>,
    out: O,
) {
    let all = source(sales);
    let by_customer = key_by(all, |(customer, _)| *customer);
    let totals = stateful_map(by_customer, |_: &mut u64, customer, (_, cents): (u32, u64)| {
        let mut kept = kept.lock().expect("nobody panics");
        let total = kept.entry(*customer).or_default();
        *total += cents;
        *total
    });
    sink(totals, out);
}

#[test]
fn state_that_is_not_saved_is_found_by_a_crash() {
    let sim = || {
        Sim::new(|world: &World| {
            outside(world.source("sales", sales(40)), Arc::default(), world.sink("totals"))
        })
        .seed(3)
        .crash_everywhere()
    };
    let failure = fails(
        sim,
        &[
            "the simulation of `outside` failed: after a crash the result is not that of an uninterrupted run",
            "history: 1 worker, killed in disk operation",
            "the last crash came in: ",
            "sink `totals`: ",
            "\n    - (",
            "\n    + (",
            "again:   .seed(3).replay(\"w1,kill@",
        ],
    );
    assert_eq!(failure.seed(), 3);
}

#[test]
fn state_that_outlives_a_run_is_found_by_doing_it_twice() {
    static KEPT: AtomicU64 = AtomicU64::new(0);
    #[dataflow]
    fn numbered<S: Source<Item = (u32, u64)>, O: Sink<Stream<u64>>>(sales: S, out: O) {
        let all = source(sales);
        let numbers = map(all, |_| KEPT.fetch_add(1, Ordering::Relaxed));
        sink(numbers, out);
    }
    let failure =
        Sim::new(|world| numbered(world.source("sales", sales(5)), world.sink("numbers")))
            .try_run()
            .expect_err("it fails");
    let text = failure.to_string();
    assert!(text.contains("the same run, done twice, gives different rows"), "{text}");
    assert!(text.contains("sink `numbers`: 5 missing, 5 too many\n    - 0\n    - 1\n"), "{text}");
}

/// Numbers all items, in the order in which they come.
#[dataflow]
fn numbered<S: Source<Item = u64>, O: Sink<Stream<(u64, u64)>>>(items: S, out: O) {
    let all = source(items);
    let together = key_by(all, |_| 0);
    let numbers = stateful_map(together, |count: &mut u64, _, item: u64| {
        *count += 1;
        (*count, item)
    });
    let pairs = values(numbers);
    sink(pairs, out);
}

#[test]
fn what_depends_on_the_order_of_arrival_is_found_and_may_be_allowed() {
    let build = |world: &World| {
        numbered(world.partitions("items", [0..10, 100..110]), world.sink("numbers"))
    };
    fails(
        || Sim::new(build).crash_everywhere(),
        &[
            "depends on the order in which items arrive: it differs without any crash",
            "any_order_of_arrival",
            "again:   .seed(0).replay(\"w",
        ],
    );
    // How many there are does not depend on it, nor which numbers are given.
    Sim::new(build)
        .compare_by("numbers", |rows: Vec<(u64, u64)>| rows.into_iter().map(|row| row.0).collect())
        .crashes(10)
        .run();
    let report = Sim::new(build)
        .any_order_of_arrival()
        .crashes(10)
        .check(|outcome| {
            let numbers: Vec<(u64, u64)> = outcome.sorted_rows("numbers");
            assert!(numbers.iter().map(|row| row.0).eq(1..=20), "{numbers:?}");
        })
        .run();
    assert!(report.crashes >= 10);
}

#[dataflow]
fn grouped<S: Source<Item = u64>, O: Sink<Stream<Vec<u64>>>>(items: S, out: O) {
    let all = source(items);
    let groups = chunk(all, 4, std::time::Duration::from_secs(1));
    sink(groups, out);
}

#[test]
fn what_depends_on_epochs_is_found() {
    let sim = || {
        Sim::new(|world: &World| grouped(world.source("items", 0..30), world.sink("groups")))
            .workers([1])
            .crash_everywhere()
    };
    fails(sim, &["depends on where epochs end", "history: 1 worker, schedule 1, to the end"]);
}

/// Says of each item how many have been read when it comes behind the exchange.
#[dataflow]
fn read_ahead<S: Source<Item = u64>, O: Sink<Stream<u64>>>(items: S, read: Arc<AtomicU64>, out: O) {
    let all = source(items);
    let counted = inspect(all, |_, _| {
        let _ = read.fetch_add(1, Ordering::Relaxed);
    });
    let spread = rebalance(counted);
    let behind = map(spread, |_| read.load(Ordering::Relaxed));
    sink(behind, out);
}

#[test]
fn what_depends_on_batches_is_found() {
    let sim = || {
        Sim::new(|world: &World| {
            read_ahead(world.source("items", 0..300), Arc::default(), world.sink("read"))
        })
        .workers([1])
        .epochs(EpochPolicy::items(1000))
        .rechunk()
    };
    fails(sim, &["depends on where batches end", "1 worker, schedule 1, batches of random sizes"]);
}

#[test]
fn an_append_only_sink_repeats_and_loses_nothing() {
    let repeated = RefCell::new(0);
    Sim::new(|world| totals(world.source("sales", sales(30)), world.append_only_sink("totals")))
        .crash_everywhere()
        .check(|outcome| {
            let rows: Vec<(u32, u64)> = outcome.rows("totals");
            assert!(rows.len() >= 30);
            *repeated.borrow_mut() += usize::from(rows.len() > 30);
        })
        .run();
    assert!(repeated.take() > 10, "a crash repeats what was not committed");
}

#[test]
fn a_panic_names_step_and_key_and_a_check_its_history() {
    #[dataflow]
    fn strict<S: Source<Item = u64>, O: Sink<Keyed<u64, u64>>>(items: S, out: O) {
        let all = source(items);
        let by_ten = key_by(all, |n| n / 10);
        let checked = stateful_map(by_ten, |_: &mut u64, _, n: u64| {
            assert!(n != 25, "no such number");
            n
        });
        sink(checked, out);
    }
    let build = |world: &World| strict(world.source("items", 0..30), world.sink("checked"));
    fails(
        || Sim::new(build),
        &["a run ended with an error", "step `checked`", "no such number", "at key 2"],
    );
    let check = Sim::new(|world| strict(world.source("items", 0..20), world.sink("checked")))
        .crash_everywhere()
        .check(|outcome| assert!(!outcome.history().contains("kill@9,"), "found it"))
        .try_run()
        .expect_err("the check fails")
        .to_string();
    assert!(check.contains("the check panicked at") && check.contains("found it"), "{check}");
    assert!(check.contains(".seed(0).replay(\"w1,kill@9,w"), "{check}");
}

#[dataflow]
fn lengths<O: Sink<Stream<(String, usize)>>>(text: Lines, out: O) {
    let lines = source(text);
    let lengths = map(lines, |line: String| (line.clone(), line.len()));
    sink(lengths, out);
}

#[test]
fn file_sources_and_sinks_lie_on_the_simulated_disk() {
    let text = "to\nbe\nor\nnot\nto\nbe\n";
    let report = Sim::new(|world| {
        let out = CsvFile::at(world.output("lengths.csv"));
        lengths(Lines::of(world.file("text.txt", text)), out)
    })
    .crash_everywhere()
    .check(|outcome| {
        let lines: Vec<String> = outcome.sorted_rows("lengths.csv");
        assert_eq!(lines.len(), text.lines().count(), "{lines:?}");
    })
    .run();
    assert!(report.epochs > 1, "{report:?}");
}

/// A file sink that forgets to make durable what it has sealed.
#[derive(Clone)]
struct Unsynced(CsvFile);

struct UnsyncedWriter(FileWriter);

impl SinkWriter for UnsyncedWriter {
    type Block = Rows;
    type Position = FileEnd;
    fn write(&mut self, rows: Rows) -> Result<(), Error> {
        self.0.write(rows)
    }
    fn seal(&mut self, barrier: Barrier) -> Result<FileEnd, Error> {
        self.0.seal(barrier)
    }
}

impl Sink<Stream<(String, usize)>> for Unsynced {
    type Block = Rows;
    type Position = FileEnd;
    type Encoder = flow_runtime::io::CsvRows;
    type Writer = UnsyncedWriter;
    type Delivery = delivery::Rewindable;
    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        Sink::<Stream<(String, usize)>>::partitions(&self.0, io)
    }
    fn encoder(&self) -> flow_runtime::io::CsvRows {
        Sink::<Stream<(String, usize)>>::encoder(&self.0)
    }
    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FileEnd>,
    ) -> Result<UnsyncedWriter, Error> {
        Sink::<Stream<(String, usize)>>::open(&self.0, io, partition, resume).map(UnsyncedWriter)
    }
}

#[test]
fn a_sink_that_does_not_sync_is_found() {
    let failure = Sim::new(|world| {
        let out = Unsynced(CsvFile::at(world.output("lengths.csv")));
        lengths(Lines::of(world.file("text.txt", "to\nbe\nor\nnot\n")), out)
    })
    .try_run()
    .expect_err("it is found")
    .to_string();
    assert!(failure.contains("a power cut after the end takes away"), "{failure}");
    assert!(failure.contains("sink `lengths.csv`: "), "{failure}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let build = |world: &World| totals(world.source("sales", sales(4)), world.sink("totals"));
    let none = Sim::new(build).workers([]).try_run().expect_err("is refused").to_string();
    assert!(none.contains("`totals` cannot begin") && none.contains(".workers([1, 3, 2])"));
    let history = Sim::new(build).replay("w1,w2").try_run().expect_err("is refused").to_string();
    assert!(history.contains("`w2` stands where a crash"), "{history}");
    Sim::new(build).replay("w1,kill@7,w3,cut@2,w2").run();
}

#[test]
fn a_log_that_was_not_durable_when_its_start_was_cut_off_is_made_good() {
    for first in 4..=8 {
        for second in [10, 13, 16, 20] {
            Sim::new(|world| totals(world.source("sales", sales(10)), world.sink("totals")))
                .replay(format!("w1,kill@{first},w3,cut@{second},w2"))
                .run();
        }
    }
}

#[test]
fn folders_of_files_are_written_once_and_durably() {
    Sim::new(|world| {
        let out = CsvFile::folder(world.output("totals")).parts(2);
        totals(world.source("sales", sales(30)), out)
    })
    .at_most(100)
    .crash_everywhere()
    .crashes(40)
    .run();
    Sim::new(|world| {
        let out = EpochFiles::json_lines(world.output("totals"));
        totals(world.source("sales", sales(30)), out)
    })
    .at_most(100)
    .crash_everywhere()
    .crashes(40)
    .run();
}

#[test]
fn a_slow_disk_takes_virtual_time() {
    let elapsed = |millis: u64| {
        let disk = SimDisk::new(1);
        let schedule = Arc::new(Virtual::new(1).with_io(disk.io()));
        let clock = Arc::downgrade(&schedule);
        disk.on_operation(move |_| {
            let clock = clock.upgrade().expect("the run has it");
            clock.pass_time(Duration::from_millis(millis));
        });
        let flow = lengths(Lines::of(TEXT), CsvFile::at("lengths.csv"));
        disk.put(TEXT, "to\nbe\n");
        flow.workers(1).recovery("log").simulate_on(Arc::clone(&schedule)).expect("it succeeds");
        (schedule.elapsed(), disk.operations())
    };
    let (fast, operations) = elapsed(0);
    let (slow, more) = elapsed(7);
    assert!(operations > 20 && more >= operations);
    assert!(slow >= fast + Duration::from_millis(7 * operations), "{fast:?} {slow:?}");
}

#[test]
fn a_sync_that_is_left_out_is_found() {
    let lies: [(&str, fn(&Path) -> bool); 7] = [
        ("FORMAT", |path| path.ends_with("FORMAT")),
        ("commits", |path| path.to_string_lossy().contains("commit-")),
        ("segments", |path| path.extension().is_some_and(|extension| extension == "seg")),
        ("the folder of the log", |path| path == Path::new("log")),
        ("the folder of segments", |path| path == Path::new("log/seg")),
        ("the folder above", |path| path == Path::new("")),
        ("the output", |path| path.starts_with("sink-totals")),
    ];
    for (what, lie) in lies {
        let outcome = Sim::new(|world| {
            world.disk().lie_about(lie);
            totals(world.source("sales", sales(20)), world.sink("totals"))
        })
        .crash_everywhere()
        .try_run();
        assert!(outcome.is_err(), "nobody has missed the sync of {what}");
    }
}
