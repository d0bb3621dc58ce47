//! The carts through two versions of their program, on one log.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::process::{Process, epoch_after, planned_epoch};
use common::shop::generated;
use common::{example, folder, text};
use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;

/// Events, a log, and where the programs write.
struct Case {
    _keep: tempfile::TempDir,
    events: PathBuf,
    out: PathBuf,
    log: PathBuf,
}

impl Case {
    fn of(events: &str) -> Case {
        let (keep, folder) = folder();
        let [events_at, out, log] =
            ["events.jsonl", "out.jsonl", "log"].map(|name| folder.join(name));
        fs::write(&events_at, events).expect("the folder is writable");
        Case { _keep: keep, events: events_at, out, log }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = example(name);
        command.arg("--events").arg(&self.events).arg("--out").arg(&self.out);
        command.arg("--recovery").arg(&self.log).args(["--workers", "2"]);
        command
    }

    /// What a program says of the log before it starts, and the exit code.
    fn planned(&self, name: &str) -> (String, Option<i32>) {
        let output = self.program(name).arg("--plan").output().expect("the example starts");
        (text(&output.stdout) + &text(&output.stderr), output.status.code())
    }

    fn written(&self) -> String {
        fs::read_to_string(&self.out).expect("the output was written")
    }
}

/// The second version without a way from the first one.
mod without {
    use super::*;

    #[stateful]
    #[derive(Default)]
    struct Cart {
        unpaid: Vec<u64>,
        paid: Vec<u64>,
        last: Option<Epoch>,
    }

    #[dataflow]
    pub(super) fn cart(events: Lines, out: JsonLinesFile) {
        let numbered = source(events.epoch_per_line());
        let by_user = key_by_ref(numbered, |(_, event)| event.as_str());
        let carts = stateful_map(by_user, |cart: &mut Cart, _user, (epoch, _): (Epoch, String)| {
            cart.last = Some(epoch);
            cart.unpaid.len() + cart.paid.len()
        });
        let lines = values(carts);
        sink(lines, out);
    }
}

/// What the second version writes for lines of the first one from this epoch on.
fn of_second(lines: &str, from: u64) -> String {
    let (mut last, mut written) = (BTreeMap::new(), String::new());
    for line in lines.lines() {
        let epoch = epoch_after("\"epoch\":", line).expect("it has an epoch");
        let user = line.split('"').nth(5).expect("it has a user");
        if epoch < from {
            written.push_str(line);
        } else {
            let since: Option<u64> = last.insert(user, epoch).map(|last| epoch - last);
            let since = since.map_or("null".to_owned(), |since| since.to_string());
            written.push_str(&line.replace("]}", &format!("],\"since\":{since}}}")));
        }
        written.push('\n');
    }
    written
}

#[test]
fn the_second_version_goes_on_with_the_carts_of_the_first() {
    let (events, expected) = generated(300);
    let case = Case::of(&events);
    let (said, code) = case.planned("cart_v2");
    assert!(said.contains("holds no recovery log") && code == Some(0), "{said}");
    // The first version, until it has committed something and is killed.
    let mut first = Process::start(case.program("cart").args(["--rate", "200"]));
    first.until("some commits", |_| planned_epoch(&mut case.program("cart")) > 50);
    assert!(first.kill(), "it was over too soon");
    let from = planned_epoch(&mut case.program("cart"));
    let (said, code) = case.planned("cart");
    assert!(said.contains("\n  kept      carts, ") && code == Some(0), "{said}");

    // Without a migration it is refused, with both schemas; nothing is changed.
    let flow = without::cart(Lines::of(&case.events), JsonLinesFile::at(&case.out));
    let error = flow.recovery(case.log.as_path()).spawn().expect_err("is refused").to_string();
    for part in [
        "step `carts` keeps something else: field `last` is new",
        "saved: keyed state by String of Cart v1 { unpaid: [u64], paid: [u64] }",
        "now:   keyed state by String of Cart v1 { unpaid: [u64], paid: [u64], last: Option<Epoch> }",
        "`#[stateful(version = 2, from = CartV1)]` on `Cart`",
        "--drop-state carts",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }

    // With one it is announced, and done.
    let (said, code) = case.planned("cart_v2");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("\n  migrated  carts, "), "{said}");
    assert!(said.contains(" bytes: the version of `Cart` was 1 and is 2\n"), "{said}");
    assert!(said.contains("\n  kept      numbered, "), "{said}");
    let mut second = Process::start(case.program("cart_v2").args(["--rate", "200"]));
    let went_on = second.until("a commit", |run| {
        run.said().contains("; migrated the state of carts") && case.planned("cart").1 == Some(1)
    });
    assert!(went_on && second.kill(), "it was over too soon");

    // Now there is no way back.
    let (said, code) = case.planned("cart");
    assert!(code == Some(1) && said.contains("a newer program has saved it"), "{said}");
    assert!(said.contains("Error: a start would be refused"), "{said}");
    let (said, code) = case.planned("cart_v2");
    assert!(said.contains("\n  kept      carts, ") && code == Some(0), "{said}");
    let said = Process::start(&mut case.program("cart_v2")).ends(0);
    assert!(said.contains("cart: resumed at epoch ") && !said.contains("migrated"), "{said}");
    assert_eq!(case.written(), of_second(&expected, from));
}

#[test]
fn what_flags_drop_and_rename_is_a_change_of_its_own() {
    let (events, _) = generated(20);
    let case = Case::of(&events);
    Process::start(&mut case.program("cart")).ends(0);
    let planned = |flags: &[&str]| {
        let mut command = case.program("cart");
        let output = command.arg("--plan").args(flags).output().expect("the example starts");
        (text(&output.stdout), output.status.code())
    };
    let (said, code) = planned(&["--drop-state", "carts@20"]);
    assert!(said.contains("\n  dropped   carts, ") && code == Some(3), "{said}");
    // What fits is not dropped without an epoch, and what is not there is not renamed.
    let (said, code) = planned(&["--drop-state", "carts", "--rename-state", "baskets=carts"]);
    assert!(said.contains("\n  kept      carts, ") && code == Some(0), "{said}");
    let mistaken = case.program("cart").args(["--plan", "--workers", "many"]).output();
    assert_eq!(mistaken.expect("the example starts").status.code(), Some(2));
}
