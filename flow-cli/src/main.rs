//! `flow-log`: looks into the recovery log of a dataflow, checks it, pins, compacts and repairs it.
//!
//! Everything that it does is done by [`flow_runtime::log`]; here is what is typed and printed.
//!
//! | file | what it owns |
//! |---|---|
//! | `main` | the arguments, and how the program ends |
//! | `commands` | one command a file |
//! | `output` | where things are printed, and in which format |
//! | `table` | columns |
//! | `words` | sizes, times and numbers for people |

mod commands;
mod output;
mod table;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use flow_runtime::log::At;
use flow_runtime::{Error, ErrorKind};

use crate::commands::{change, diff, ls, repair, show, verify, why};

/// Looks into the recovery log of a flow dataflow, checks it, pins, compacts and repairs it.
///
/// DIR is the folder that the program was given as `--recovery`. Epochs are named as `--resume-from` names them: by where a run begins that goes
/// on from there. AT is an epoch, the name of a pin, or `newest`.
///
/// ls, show, diff, verify and why never write, and can be used while the dataflow runs, as can pin and unpin. compact, rollback and repair are
/// refused while it runs.
///
/// The program ends with 0 if all went well, with 1 if something failed or is damaged, with 2 if the arguments make no sense, and diff with 3
/// if there are differences.
#[derive(Debug, Parser)]
#[command(name = "flow-log", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows whose log it is, the epochs that a run can go back to, the pins, and what the steps keep
    Ls(ls::Args),
    /// Shows what a step keeps: keys and states, a broadcast value, or the positions of a source or sink
    Show(show::Args),
    /// Shows which keys are added, removed and changed between two epochs or pins
    Diff(diff::Args),
    /// Reads everything that commits need, and compares all checksums
    Verify(verify::Args),
    /// Explains where the next run begins, and why each file is there
    Why(why::Args),
    /// Writes the log again without what has been superseded
    Compact(change::Compact),
    /// Keeps a commit under a name, whatever else is removed
    Pin(change::Pin),
    /// Lets go of a pin
    Unpin(change::Unpin),
    /// Lets the next run begin at an earlier epoch
    Rollback(change::Rollback),
    /// Moves damaged files out of the way, and goes back to the newest commit that is whole
    Repair(repair::Args),
}

/// The log, and which of its commits.
#[derive(Debug, clap::Args)]
struct LogAt {
    /// The folder of the log
    dir: PathBuf,
    /// Which commit: an epoch, a pin, or `newest`
    #[arg(long, default_value = "newest")]
    at: At,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Ls(args) => ls::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Compact(args) => args.run(),
        Command::Pin(args) => args.run(),
        Command::Unpin(args) => args.run(),
        Command::Rollback(args) => args.run(),
        Command::Repair(args) => repair::run(&args),
    };
    done.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &Error) -> ExitCode {
    // Whoever read our output has had enough of it.
    if error.kind() == ErrorKind::OutputClosed {
        return ExitCode::SUCCESS;
    }
    eprintln!("flow-log: {error}");
    ExitCode::FAILURE
}
