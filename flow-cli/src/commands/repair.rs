//! `flow-log repair`: getting damaged files out of the way.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use flow_runtime::log::Repair;
use flow_runtime::{Error, ErrorKind};

use crate::commands::in_words;
use crate::output::{Bar, Output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the log
    dir: PathBuf,
    /// Says what would be done and what is lost, and does nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Does it without asking
    #[arg(long)]
    yes: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let bar = Bar::new();
    let repair = Repair::plan(&args.dir, &mut |progress| bar.set(progress))?;
    drop(bar);
    let mut out = Output::new();
    if repair.is_needless() {
        out.line("everything is whole: there is nothing to repair")?;
        out.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&repair, args, &mut out)?;
    out.finish()?;
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes && !agreed()? {
        return Err(Error::new(ErrorKind::Stopped, "nothing was changed")
            .help("`--yes` does it without asking"));
    }
    let epoch = repair.epoch();
    repair.carry_out()?;
    let mut out = Output::new();
    out.line(format_args!("repaired: the next run begins at epoch {epoch}"))?;
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn print(repair: &Repair, args: &Args, out: &mut Output) -> Result<(), Error> {
    // Of two copies the same is said.
    let mut problems: Vec<&str> =
        repair.damages().iter().map(|damage| damage.problem.as_str()).collect();
    problems.dedup();
    problems.iter().try_for_each(|problem| out.line(problem))?;
    out.line("")?;
    out.line(match repair.goes_back() {
        true => format!(
            "The newest commit is not whole. The next run begins at epoch {}, after the newest commit that is, and what was committed later is lost.",
            repair.epoch()
        ),
        false => format!("The newest commit is whole: the next run begins at epoch {}, as without the repair.", repair.epoch()),
    })?;
    if !repair.lost().is_empty() {
        out.line(format_args!("Cannot be gone back to any more: {}.", in_words(repair.lost())))?;
    }
    if !repair.moves().is_empty() {
        out.line("Moved into the folder `quarantine` of the log:")?;
        for path in repair.moves() {
            let path = path.strip_prefix(&args.dir).unwrap_or(path);
            out.line(format_args!("  {}", path.display()))?;
        }
    }
    Ok(())
}

/// Asks, where there is somebody to be asked.
fn agreed() -> Result<bool, Error> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("Go on? [y/N] ");
    let mut answer = String::new();
    let asked = io::stderr().flush().and_then(|()| io::stdin().read_line(&mut answer));
    asked.map_err(|error| {
        Error::new(ErrorKind::Stopped, format!("cannot ask: {error}")).caused_by(error)
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
