//! `flow-log verify`: whether everything is whole.

use std::process::ExitCode;

use flow_runtime::log::{LogReader, Verified};
use flow_runtime::{Error, ErrorKind, RecoveryLog};
use serde_json::{Value, json};

use crate::LogAt;
use crate::commands::{at, in_words};
use crate::output::{self, Bar, Format, Output};
use crate::words;

/// How often a log is verified again that has changed meanwhile.
const ATTEMPTS: usize = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogAt,
    /// Verifies all commits that a run can go back to, and all pins
    #[arg(long, conflicts_with = "at")]
    all: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut log = RecoveryLog::read(&args.log.dir)?;
    let bar = Bar::new();
    let verify = |log: &mut LogReader| {
        let commits = if args.all { log.all() } else { vec![args.log.at.clone()] };
        log.verify(&commits, &mut |progress| bar.set(progress))
    };
    let mut verified = verify(&mut log)?;
    for _ in 0..ATTEMPTS {
        // What a running dataflow has given up meanwhile is not damaged.
        if verified.damages.is_empty() || !log.refresh()? {
            break;
        }
        verified = verify(&mut log)?;
    }
    drop(bar);
    let mut out = Output::new();
    match args.format {
        Format::Json => out.json(&document(&verified))?,
        Format::Table => print(&verified, &mut out)?,
    }
    out.finish()?;
    match verified.broken.len() as u64 {
        0 => Ok(ExitCode::SUCCESS),
        broken => {
            let (all, broken) = (verified.whole.len() as u64 + broken, words::number(broken));
            let message =
                format!("{broken} of {} cannot be gone on from", words::count(all, "commit"));
            Err(Error::new(ErrorKind::Recovery, message).help(
                "put the files back from a backup, or let `flow-log repair` get them out of the way: with `--dry-run` it says what is lost",
            ))
        }
    }
}

fn document(verified: &Verified) -> Value {
    let damages = verified.damages.iter().map(|damage| {
        json!({
            "file": output::path(&damage.file),
            "problem": damage.problem,
            "needed_by": damage.needed_by.iter().map(at).collect::<Vec<_>>(),
        })
    });
    json!({
        "files": verified.files,
        "bytes": verified.bytes,
        "whole": verified.whole.iter().map(at).collect::<Vec<_>>(),
        "broken": verified.broken.iter().map(at).collect::<Vec<_>>(),
        "damages": damages.collect::<Vec<_>>(),
    })
}

fn print(verified: &Verified, out: &mut Output) -> Result<(), Error> {
    let (files, bytes) = (words::count(verified.files, "file"), words::size(verified.bytes));
    out.line(format_args!("{files} read, {bytes}"))?;
    if !verified.whole.is_empty() {
        out.line(format_args!("whole: {}", in_words(&verified.whole)))?;
    }
    for damage in &verified.damages {
        out.line(format_args!("{}", damage.problem))?;
        out.line(format_args!("  needed by {}", in_words(&damage.needed_by)))?;
    }
    Ok(())
}
