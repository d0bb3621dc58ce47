//! `flow-log compact`, `pin`, `unpin` and `rollback`.

use std::path::PathBuf;
use std::process::ExitCode;

use flow_runtime::Error;
use flow_runtime::log::{self, At, WentBack};

use crate::LogAt;
use crate::output::Output;
use crate::words;

/// `flow-log compact`.
#[derive(Debug, clap::Args)]
pub(crate) struct Compact {
    /// The folder of the log
    dir: PathBuf,
    /// Keeps the last commits, so many, for going back: what they need is not removed. Pins are kept in any case
    #[arg(long, value_name = "N", default_value_t = 1)]
    keep_epochs: u64,
}

impl Compact {
    pub(crate) fn run(&self) -> Result<ExitCode, Error> {
        let done = log::compact(&self.dir, self.keep_epochs)?;
        let (before, after) = (words::size(done.before), words::size(done.after));
        let mut line = format!("compacted from {before} to {after}");
        match done.kept_before.saturating_sub(done.kept_after) {
            0 => {}
            given_up => {
                let epochs = words::count(given_up, "earlier commit");
                line += &format!("; {epochs} cannot be gone back to any more");
            }
        }
        say(line)
    }
}

/// `flow-log pin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Pin {
    #[command(flatten)]
    log: LogAt,
    /// The name of the pin
    name: String,
}

impl Pin {
    pub(crate) fn run(&self) -> Result<ExitCode, Error> {
        let Pin { log: LogAt { dir, at }, name } = self;
        let epoch = log::pin(dir, name, at.clone())?;
        say(format!("pinned `{name}`: a run that goes on from it begins at epoch {epoch}"))
    }
}

/// `flow-log unpin`.
#[derive(Debug, clap::Args)]
pub(crate) struct Unpin {
    /// The folder of the log
    dir: PathBuf,
    /// The name of the pin
    name: String,
}

impl Unpin {
    pub(crate) fn run(&self) -> Result<ExitCode, Error> {
        log::unpin(&self.dir, &self.name)?;
        say(format!("let go of `{}`", self.name))
    }
}

/// `flow-log rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// The folder of the log
    dir: PathBuf,
    /// Where the next run begins: an epoch, or a pin
    at: At,
}

impl Rollback {
    pub(crate) fn run(&self) -> Result<ExitCode, Error> {
        let WentBack { from, to, sinks, .. } = log::go_back(&self.dir, self.at.clone())?;
        if from == to {
            return say(format!("the next run begins at epoch {to} anyway: nothing was changed"));
        }
        if !sinks.is_empty() {
            let sinks: Vec<String> = sinks.iter().map(|sink| format!("`{sink}`")).collect();
            eprintln!(
                "flow-log: warning: no sink was asked ({}). The next run cuts files back; it is refused where a target has the epochs already that come again, until that is put back, too, or it is given `--allow-sink-ahead`",
                sinks.join(", ")
            );
        }
        say(format!(
            "the next run begins at epoch {to} instead of {from}; it removes what was committed later"
        ))
    }
}

fn say(line: String) -> Result<ExitCode, Error> {
    let mut out = Output::new();
    out.line(line)?;
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}
