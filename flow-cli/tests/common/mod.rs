//! A small dataflow whose log is looked into, and the program that looks.

#![allow(dead_code)] // Not every test file uses all of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use flow_runtime::prelude::*;
use tempfile::TempDir;

/// What a customer has spent.
#[stateful]
#[derive(Default)]
pub(crate) struct Spent {
    /// In cents.
    pub(crate) cents: u64,
    /// What was bought last.
    pub(crate) last: String,
}

#[stateful_map]
fn spend(spent: &mut Spent, _customer: &str, sale: (String, String, u64)) -> u64 {
    spent.cents += sale.2;
    spent.last = sale.1;
    spent.cents
}

/// Sales, each with its epoch: customer, thing, price.
pub(crate) type Sales = Vec<(u64, (String, String, u64))>;

#[dataflow]
pub(crate) fn spending(sales: Sales, out: PathBuf) {
    let sales = source(epochs_from(sales.into_iter()));
    let by_customer = key_by_ref(sales, |sale| sale.0.as_str());
    let totals = spend(by_customer);
    sink(totals, CsvFile::at(out));
}

/// The sales of so many epochs.
pub(crate) fn sales(epochs: u64) -> Sales {
    let customers = ["ann", "bob", "eve"];
    let things = ["tea", "bread", "a \"book\"", "soap"];
    let all = (0..epochs).flat_map(|epoch| (0..2).map(move |n| epoch * 2 + n));
    all.map(|n| {
        let customer = customers[n as usize % 3 % (1 + n as usize / 2)].to_owned();
        (n / 2, (customer, things[n as usize % 4].to_owned(), 100 + n))
    })
    .collect()
}

/// A folder with a log `state` and an output `totals.csv`.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    /// The log of a run through so many epochs, that keeps the last five.
    pub(crate) fn after(epochs: u64) -> Place {
        let place = Place(tempfile::tempdir().expect("a folder can be made"));
        place.run(epochs).expect("runs");
        place
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.path().join("state")
    }

    /// Lets the dataflow go on through so many epochs in all. Answers where it began.
    pub(crate) fn run(&self, epochs: u64) -> Result<u64, flow_runtime::Error> {
        let log = RecoveryLog::at(self.log()).key_groups(4).keep_epochs(5);
        let flow = spending(sales(epochs), self.0.path().join("totals.csv"));
        let running = flow.recovery(log).workers(1).spawn()?;
        let mut began = running.recovered();
        while began.is_none() && !running.is_over() {
            std::thread::yield_now();
            began = running.recovered();
        }
        running.wait()?;
        Ok(began.map_or(0, |report| report.epoch.0))
    }

    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.0.path().join("totals.csv")).expect("is there")
    }

    /// Runs `flow-log` in the folder.
    pub(crate) fn flow_log(&self, args: &[&str]) -> Done {
        let program = env!("CARGO_BIN_EXE_flow-log");
        let output = Command::new(program).args(args).current_dir(self.0.path()).output();
        Done::of(output.expect("can be run"))
    }

    /// The files of the log, with what is in them and when that was written.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.log()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("can be listed") {
                let path = entry.expect("can be listed").path();
                let meta = path.metadata().expect("is there");
                match meta.is_dir() {
                    true => folders.push(path),
                    false => {
                        let bytes = std::fs::read(&path).expect("can be read");
                        files.insert(path, (bytes, meta.modified().expect("is known")));
                    }
                }
            }
        }
        files
    }

    /// The one file in a folder of the log whose name ends like this.
    pub(crate) fn file(&self, folder: &str, end: &str) -> PathBuf {
        let paths = std::fs::read_dir(self.log().join(folder)).expect("can be listed");
        let paths = paths.map(|entry| entry.expect("can be listed").path());
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
        paths.sort();
        paths.pop().expect("there is one")
    }
}

/// Flips a bit of a file.
pub(crate) fn damage(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("can be read");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("can be written");
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    fn of(output: Output) -> Done {
        let text = |bytes| String::from_utf8(bytes).expect("is text");
        Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What was printed by a command that went well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert!(self.code == Some(0) && self.err.is_empty(), "{self:?}");
        self.out
    }

    /// The error of a command that failed.
    #[track_caller]
    pub(crate) fn bad(self, with: &[&str]) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(self.err.starts_with("flow-log: "), "{self:?}");
        with.iter()
            .for_each(|text| assert!(self.err.contains(text), "{text:?} is not in {self:?}"));
        self.err
    }

    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.good()).expect("is JSON")
    }
}
