//! The trades, run as a program, told to stop, and simulated.

mod common;
#[allow(dead_code, private_interfaces)] // The dataflow of the program is all that is of use here.
#[path = "../examples/trades.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;

use common::sums::last_lines;
use common::{example, fail, folder, succeed, text};
use flow_runtime::EpochPolicy;
use flow_runtime::sim::Sim;

#[test]
fn sums_are_the_same_with_any_number_of_workers_and_add_up() {
    let (_keep, folder) = folder();
    let mut results = Vec::new();
    for workers in ["1", "2", "5"] {
        succeed(
            example("trades")
                .args(["--trades", "20000", "--seed", "7", "--workers", workers, "--epoch", "5ms"])
                .arg("--out")
                .arg(&folder),
        );
        let (symbols, accounts) =
            (last_lines(&folder.join("symbols.csv")), last_lines(&folder.join("accounts.csv")));
        for lines in [&symbols, &accounts] {
            assert_eq!(lines.values().map(|(updates, _)| updates).sum::<u64>(), 20_000);
        }
        assert_eq!((symbols.len(), accounts.len()), (8, 1000));
        results.push((symbols, accounts));
    }
    // The last sums do not depend on the order in which the trades arrived.
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn the_final_sums_are_printed() {
    let output = succeed(example("trades").args(["--trades", "1000"]));
    let table = text(&output.stdout);
    assert!(
        table.starts_with("symbol")
            && table.contains("\nACME ")
            && table.contains("spent the most"),
        "{table}"
    );
}

#[test]
fn a_folder_that_is_missing_is_one_clear_message() {
    let message = fail(example("trades").args(["--trades", "10", "--out", "/no/such/folder"]), 1);
    assert!(message.contains(".sink`") && message.contains("/no/such/folder"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_run_with_what_has_been_written() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    for signal in ["TERM", "INT"] {
        let (_keep, folder) = folder();
        let mut child = example("trades")
            .args(["--trades", "1000000000", "--rate", "20000", "--epoch", "20ms", "--out"])
            .arg(&folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example starts");
        // Wait until it writes; it may not be ready for signals before.
        let symbols = folder.join("symbols.csv");
        while fs::metadata(&symbols).map_or(0, |meta| meta.len()) == 0 {
            assert!(
                child.try_wait().expect("the example can be asked").is_none(),
                "the example has ended by itself"
            );
            std::thread::yield_now();
        }
        let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
        if !kill.is_ok_and(|status| status.success()) {
            child.kill().and_then(|()| child.wait()).expect("the example can be ended");
            println!("skipped: there is no `kill` command here");
            return;
        }
        let messages: Vec<String> = BufReader::new(child.stderr.take().expect("it is piped"))
            .lines()
            .map_while(Result::ok)
            .collect();
        let status = child.wait().expect("the example ends");
        assert!(status.success(), "{signal}: {messages:?}");
        assert!(
            messages[0].starts_with("stopping") && messages[1].contains("items read"),
            "{messages:?}"
        );
        // All of the last epoch has been written: both files have the same number of whole lines.
        let updates =
            |file| last_lines(&folder.join(file)).values().map(|(updates, _)| updates).sum::<u64>();
        assert_eq!(updates("symbols.csv"), updates("accounts.csv"));
    }
}

/// Trades, quantity and cents, as the program saves and writes them.
type Sums = (u64, i64, i64);

/// The last sums of each. Buying and selling meet in a merge, where either may come first: those in between may differ.
fn last_sums<K: Ord>(rows: Vec<(K, Sums)>) -> Vec<(K, Sums)> {
    let mut last: BTreeMap<K, Sums> = BTreeMap::new();
    for (key, sums) in rows {
        let known = last.entry(key).or_default();
        *known = sums.max(*known);
    }
    last.into_iter().collect()
}

#[test]
fn sums_survive_a_crash_anywhere() {
    let report = Sim::new(|world| {
        program::trades(program::market(7, 40), world.sink("symbols"), world.sink("accounts"))
    })
    .epochs(EpochPolicy::items(6))
    .compare_by("symbols", last_sums::<String>)
    .compare_by("accounts", last_sums::<u32>)
    .crash_everywhere()
    .check(|outcome| {
        for rows in [
            outcome.rows::<(String, Sums)>("symbols").len(),
            outcome.rows::<(u32, Sums)>("accounts").len(),
        ] {
            assert_eq!(rows, 40);
        }
    })
    .run();
    assert!(report.crashes > 100 && report.epochs > 1, "{report:?}");
}
