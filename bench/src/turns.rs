//! Runs the sides of a work in turns, each run in a process of its own.

use std::process::{Command, Stdio};

use crate::child::Outcome;
use crate::measured::{Measured, Row};
use crate::options::Options;
use crate::works::{Side, Work};

/// Measures a work with every number of workers that is asked for, and says how it goes.
pub fn measure(work: &'static Work, options: &Options) -> Vec<Row> {
    let only = work.workers.map(|only| vec![only]);
    let numbers = only.unwrap_or_else(|| options.workers.clone());
    numbers.into_iter().map(|workers| take_turns(work, options, workers)).collect()
}

fn take_turns(work: &'static Work, options: &Options, workers: usize) -> Row {
    let runs = if work.once { 1 } else { options.runs };
    println!("{}: {workers} worker(s), {runs} run(s) each, in turns", work.name);
    let mut sides: Vec<Measured> = work.sides.iter().map(|side| Measured::new(side.name)).collect();
    for _ in 0..runs {
        for (side, measured) in work.sides.iter().zip(&mut sides) {
            // What has failed once is not tried again.
            if measured.failed.is_some() {
                continue;
            }
            match one(work, side, workers, options.quick) {
                Ok(outcome) => measured.runs.push(outcome),
                Err(why) => measured.failed = Some(why),
            }
        }
    }
    let row = Row { work, workers, sides };
    print!("{row}");
    row
}

/// One run: the program calls itself.
fn one(work: &Work, side: &Side, workers: usize, quick: bool) -> Result<Outcome, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["one", work.name, side.name, &workers.to_string()]);
    if quick {
        command.arg("--quick");
    }
    let run = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&run.stdout);
    match said.lines().rev().find_map(Outcome::parse) {
        Some(outcome) if run.status.success() => Ok(outcome),
        _ => {
            let complaint = String::from_utf8_lossy(&run.stderr);
            let first =
                complaint.lines().find(|line| !line.is_empty()).unwrap_or("it said nothing");
            Err(format!("{}: {first}", run.status))
        }
    }
}
