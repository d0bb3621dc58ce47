//! The code of `docs/testing.md`, and the failures that it shows. Every Rust block there stands here, and runs.
#![allow(missing_docs)]

const GUIDE: &str = include_str!("../../docs/testing.md");
const HERE: &str = include_str!("guide.rs");

mod harness {
    // [block]
    use flow_runtime::prelude::*;

    #[stateful]
    #[derive(Debug, Default, PartialEq)]
    struct Spent {
        cents: u64,
        warned: bool,
    }

    /// Says once of a customer that they have spent too much.
    #[stateful_filter_map]
    fn warn(spent: &mut Spent, customer: &str, cents: u64, limit: u64) -> Option<String> {
        spent.cents += cents;
        if spent.cents <= limit || spent.warned {
            return None;
        }
        spent.warned = true;
        Some(format!("{customer} has spent {}", spent.cents))
    }

    #[test]
    fn a_customer_is_warned_once() {
        let mut step = warn::harness(1000); // The values of its configuration.
        step.item("ann", 900);
        step.item("bob", 1200);
        step.epoch(); // What has changed is saved.
        step.item("ann", 200);
        assert_eq!(step.emitted(), ["bob has spent 1200", "ann has spent 1100"]);

        step.crash_and_restore(); // As of the last epoch. Ann's 200 cents come again.
        assert_eq!(step.state("ann"), Some(&Spent { cents: 900, warned: false }));
        step.item("ann", 200);
        step.item("bob", 1);
        assert_eq!(step.emitted(), ["ann has spent 1100"]);
        step.restore_on(3); // The same on three workers.
        assert!(step.state("bob").is_some_and(|spent| spent.warned));
    }
    // [end]
}

mod machine {
    // [block]
    use std::time::Duration;

    use flow_runtime::prelude::*;
    use flow_runtime::sim::{By, ProcessHarness};

    /// Calls a payment that is not confirmed within a minute open.
    struct Unconfirmed;

    impl Process for Unconfirmed {
        type Key = u64;
        type In = bool;
        type Out = &'static str;
        type State = ();
        type Timer = ();

        fn on_item(
            &self,
            open: &mut Option<()>,
            confirmed: bool,
            cx: &mut ProcessContext<'_, Self>,
        ) {
            *open = (!confirmed).then_some(());
            cx.set_timer(cx.time().after(Duration::from_secs(60)), ());
        }

        fn on_timer(&self, open: &mut Option<()>, _: (), cx: &mut ProcessContext<'_, Self>) {
            cx.emit("open");
            *open = None;
        }
    }

    #[test]
    fn a_payment_is_open_after_a_minute_unless_it_is_confirmed() {
        let at = Timestamp::from_secs;
        let mut payments = ProcessHarness::new(Unconfirmed);
        payments.item(1, at(0), false);
        payments.item(2, at(10), false);
        payments.epoch();
        payments.item(2, at(20), true);
        assert_eq!(payments.timers(), [(&1, By::Event, at(60), &())]); // 2 has none any more.

        payments.crash_and_restore(); // As of the last epoch: 2 is not confirmed.
        assert_eq!(payments.timers_of(&2), [(By::Event, at(70), &())]);
        payments.item(2, at(20), true);
        payments.restore_on(3); // And again, on three workers.
        payments.advance_to(at(70));
        assert_eq!(payments.emitted(), [(1, at(60), "open"), (2, at(70), "open")]);
        assert_eq!(payments.keys(), 0);
    }
    // [end]
}

mod sound {
    // [block]
    use flow_runtime::io::{Sink, Source};
    use flow_runtime::prelude::*;
    use flow_runtime::sim::Sim;

    #[stateful]
    #[derive(Default)]
    struct Total {
        cents: u64,
    }

    #[stateful_map]
    fn add_up(total: &mut Total, _customer: &str, (_, cents): (String, u64)) -> u64 {
        total.cents += cents;
        total.cents
    }

    #[dataflow]
    fn totals<S: Source<Item = (String, u64)>, O: Sink<Keyed<String, u64>>>(sales: S, out: O) {
        let all = source(sales);
        let by_customer = key_by_ref(all, |(customer, _)| customer.as_str());
        let totals = add_up(by_customer);
        sink(totals, out);
    }

    fn sales() -> Vec<(String, u64)> {
        let customers = ["ann", "bob", "eve"].into_iter().cycle();
        customers.zip(1..=24).map(|(customer, cents)| (customer.to_owned(), cents)).collect()
    }

    #[test]
    fn totals_survive_a_crash_anywhere() {
        Sim::new(|world| totals(world.source("sales", sales()), world.sink("totals")))
            .crash_everywhere()
            .run();
    }
    // [end]

    pub(crate) fn report() -> flow_runtime::sim::SimReport {
        Sim::new(|world| totals(world.source("sales", sales()), world.sink("totals")))
            .crash_everywhere()
            .run()
    }
}

mod outside {
    // [block]
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use flow_runtime::io::{Sink, Source};
    use flow_runtime::prelude::*;
    use flow_runtime::sim::Sim;

    type Totals = Arc<Mutex<BTreeMap<String, u64>>>;

    #[stateful_map]
    fn add_up(_: &mut u64, customer: &str, (_, cents): (String, u64), totals: &Totals) -> u64 {
        let mut totals = totals.lock().expect("nobody panics under the lock");
        let total = totals.entry(customer.to_owned()).or_default();
        *total += cents;
        *total
    }

    #[dataflow]
    fn totals<S, O>(sales: S, kept: Totals, out: O)
    where
        S: Source<Item = (String, u64)>,
        O: Sink<Keyed<String, u64>>,
    {
        let all = source(sales);
        let by_customer = key_by_ref(all, |(customer, _)| customer.as_str());
        let totals = add_up(by_customer, kept);
        sink(totals, out);
    }

    fn sales() -> Vec<(String, u64)> {
        let customers = ["ann", "bob", "eve"].into_iter().cycle();
        customers.zip(1..=24).map(|(customer, cents)| (customer.to_owned(), cents)).collect()
    }

    #[test]
    #[should_panic(expected = "after a crash the result is not that of an uninterrupted run")]
    fn totals_that_are_kept_elsewhere_are_lost() {
        Sim::new(|world| {
            totals(world.source("sales", sales()), Totals::default(), world.sink("totals"))
        })
        .seed(7)
        .crash_everywhere()
        .run();
    }
    // [end]

    pub(crate) fn failure() -> String {
        Sim::new(|world| {
            totals(world.source("sales", sales()), Totals::default(), world.sink("totals"))
        })
        .seed(7)
        .crash_everywhere()
        .try_run()
        .expect_err("it is found")
        .to_string()
    }
}

mod boundaries {
    // [block]
    use std::time::Duration;

    use flow_runtime::io::{Sink, Source};
    use flow_runtime::prelude::*;
    use flow_runtime::sim::Sim;

    #[dataflow]
    fn in_fours<S: Source<Item = u64>, O: Sink<Stream<Vec<u64>>>>(numbers: S, out: O) {
        let all = source(numbers);
        let fours = chunk(all, 4, Duration::from_secs(1));
        sink(fours, out);
    }

    #[test]
    #[should_panic(expected = "the result depends on where epochs end")]
    fn a_chunk_without_a_key_ends_with_its_epoch() {
        Sim::new(|world| in_fours(world.source("numbers", 0..12), world.sink("fours")))
            .workers([1])
            .run();
    }
    // [end]

    pub(crate) fn failure() -> String {
        Sim::new(|world| in_fours(world.source("numbers", 0..12), world.sink("fours")))
            .workers([1])
            .try_run()
            .expect_err("it is found")
            .to_string()
    }
}

mod order {
    // [block]
    use std::collections::BTreeMap;

    use flow_runtime::io::{Sink, Source};
    use flow_runtime::prelude::*;
    use flow_runtime::sim::Sim;

    #[dataflow]
    fn totals<S: Source<Item = (u32, u64)>, O: Sink<Keyed<u32, u64>>>(sales: S, out: O) {
        let all = source(sales);
        let by_customer = into_keyed(all);
        let totals = stateful_map(by_customer, |total: &mut u64, _customer, cents: u64| {
            *total += cents;
            *total
        });
        sink(totals, out);
    }

    /// What a customer has in the end: totals only grow.
    fn last(rows: Vec<(u32, u64)>) -> Vec<(u32, u64)> {
        let mut last = BTreeMap::new();
        for (customer, total) in rows {
            let known: &mut u64 = last.entry(customer).or_default();
            *known = total.max(*known);
        }
        last.into_iter().collect()
    }

    #[test]
    fn a_customer_of_several_shops_has_one_total() {
        let shops = [vec![(1, 5), (2, 7), (1, 1)], vec![(1, 3), (2, 2)], vec![(2, 4)]];
        Sim::new(|world| totals(world.partitions("sales", shops.clone()), world.sink("totals")))
            .compare_by("totals", last)
            .rechunk()
            .crash_everywhere()
            .check(|outcome| assert_eq!(last(outcome.rows("totals")), [(1, 9), (2, 13)]))
            .run();
    }
    // [end]
}

mod files {
    // [block]
    use flow_runtime::io::CsvFile;
    use flow_runtime::prelude::*;
    use flow_runtime::sim::Sim;

    #[dataflow]
    fn lengths(text: Lines, out: CsvFile) {
        let lines = source(text);
        let lengths = map(lines, |line: String| line.len());
        sink(lengths, out);
    }

    #[test]
    fn a_file_is_written_once_whatever_happens() {
        Sim::new(|world| {
            let text = Lines::of(world.file("text.txt", "to\nbe\nor\nnot\n"));
            lengths(text, CsvFile::at(world.output("lengths.csv")))
        })
        .crash_everywhere()
        .check(|outcome| assert_eq!(outcome.rows::<String>("lengths.csv"), ["2", "2", "2", "3"]))
        .run();
    }
    // [end]
}

mod disk {
    // [block]
    use std::io;
    use std::path::Path;

    use flow_runtime::io::file::Files;
    use flow_runtime::sim::SimDisk;

    /// Replaces a small file as a whole: it holds the old text or the new one, whatever happens.
    fn replace(files: &dyn Files, path: &Path, text: &str) -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = files.create(&new, true)?;
        file.write_at(0, text.as_bytes())?;
        file.sync()?;
        files.rename(&new, path)?;
        files.sync_folder(path.parent().unwrap_or(Path::new("")))
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let path = Path::new("settings");
        let disk = SimDisk::new(7);
        disk.put(path, "old");
        disk.record();
        replace(&disk, path, "new").expect("nothing fails");
        for moment in disk.take_moments() {
            for seed in 0..50 {
                let found = moment.crashed(seed).after_power_cut().get(path);
                assert!(matches!(found.as_deref(), Some(b"old" | b"new")), "{moment}: {found:?}");
            }
        }
    }
    // [end]
}

/// The blocks of the guide of a kind: what stands between ```` ```rust ```` and ```` ``` ````.
fn blocks(kind: &str) -> Vec<String> {
    let open = format!("```{kind}\n");
    let blocks = GUIDE.split(open.as_str()).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_block_of_the_guide_stands_here() {
    let (begin, end) = (concat!("// [", "block]\n"), concat!("// [", "end]"));
    let here: Vec<String> = HERE
        .split(begin)
        .skip(1)
        .map(|rest| {
            let block = rest.split(end).next().unwrap_or_default();
            let lines = block.lines().map(|line| line.strip_prefix("    ").unwrap_or(line));
            lines.map(|line| format!("{line}\n")).collect::<String>().trim().to_owned()
        })
        .collect();
    let guide: Vec<String> = blocks("rust").iter().map(|block| block.trim().to_owned()).collect();
    assert!(here.len() > 5);
    for block in &here {
        assert!(guide.contains(block), "this block is not in the guide:\n{block}");
    }
    for block in &guide {
        assert!(here.contains(block), "this block of the guide does not stand here:\n{block}");
    }
}

#[test]
fn the_failures_of_the_guide_are_those_that_are_printed() {
    let shown = blocks("text");
    for failure in [outside::failure(), boundaries::failure()] {
        let is_shown = shown.iter().any(|block| block.trim() == failure);
        assert!(is_shown, "this failure is not in the guide:\n{failure}");
    }
    let report = format!("{:?}", sound::report());
    assert!(GUIDE.contains(&report), "this report is not in the guide:\n{report}");
}
