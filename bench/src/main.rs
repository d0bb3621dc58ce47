//! flow side by side with the loop that a good engineer writes without any engine.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- [--quick] [--work NAME] [--workers N] [--runs N]`
//!
//! Every work is run by hand and on flow in turns, so that what else the machine does touches both. Results are compared by a
//! checksum over all that comes out. What is timed: building the dataflow, starting its threads, all items from source to sink, and
//! joining the threads; not the making of the input. The last lines are for programs: `vs_hand` is the speed of flow as a
//! multiple of the loop's, by the medians of both; `vs_hand_cpu` is the same by processor time, which other work on the
//! machine disturbs less.

mod harness;
mod tally;
mod text;
mod works;

use std::process::ExitCode;

use harness::{Measured, Options};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}\n{}", Options::USAGE);
            return ExitCode::from(2);
        }
    };
    let measured: Vec<Measured> = works::ALL
        .iter()
        .filter(|work| options.work.as_ref().is_none_or(|name| name == work.name))
        .map(|work| (work.measure)(&options))
        .collect();
    if measured.is_empty() {
        let names: Vec<_> = works::ALL.iter().map(|work| work.name).collect();
        eprintln!("there is no such work; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    println!();
    for result in &measured {
        println!("{}", result.line());
    }
    if measured.iter().all(|result| result.agrees) {
        ExitCode::SUCCESS
    } else {
        eprintln!("flow and the loop do not agree on the result");
        ExitCode::FAILURE
    }
}
