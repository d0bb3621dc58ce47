//! One set of flags for every dataflow.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::engine::EpochPolicy;
use crate::error::{Error, ErrorKind};
use crate::recovery::{RecoveryLog, ResumeFrom};
use crate::time::Epoch;

/// How to run. A program flattens it into its own arguments; every flag can also be given as a variable.
///
/// ```
/// use clap::Parser;
/// use flow_runtime::RunOptions;
///
/// #[derive(Parser)]
/// struct Args {
///     #[command(flatten)]
///     run: RunOptions,
/// }
///
/// let args = Args::parse_from(["program", "--workers", "2", "--epoch", "500ms"]);
/// assert_eq!(args.run.workers, Some(2));
/// ```
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
// A program without a description of its own must not get this one.
#[command(next_help_heading = "Running", about = None, long_about = None)]
#[non_exhaustive]
pub struct RunOptions {
    /// Worker threads [default: one per core]
    #[arg(long, env = "FLOW_WORKERS", value_name = "N", value_parser = workers)]
    pub workers: Option<usize>,

    /// When an epoch ends: after a time, as in 500ms or 2s, or after about so many items, as in 1000items [default: 1s]
    #[arg(long, env = "FLOW_EPOCH", value_name = "WHEN", value_parser = epoch)]
    pub epoch: Option<EpochPolicy>,

    /// Save state in this folder and go on where the last run was
    #[arg(long, env = "FLOW_RECOVERY", value_name = "DIR")]
    pub recovery: Option<PathBuf>,

    /// Key groups of a new recovery log, a power of two: the most workers that can ever share it [default: 256]
    #[arg(long, env = "FLOW_KEY_GROUPS", value_name = "N")]
    pub key_groups: Option<u32>,

    /// Keep the last N commits, so that --resume-from can go back to them [default: 1]
    #[arg(long, env = "FLOW_KEEP_EPOCHS", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub keep_epochs: Option<u64>,

    /// Keep also the commits that are younger than this, as in 30s, 2h or 7d
    #[arg(long, env = "FLOW_KEEP_FOR", value_name = "TIME", value_parser = time)]
    pub keep_for: Option<Duration>,

    /// Go back: begin at this epoch, or at the pin of this name, and give up what was committed later. For one start: a command that
    /// is repeated by itself must not keep it
    #[arg(long, env = "FLOW_RESUME_FROM", value_name = "EPOCH|PIN")]
    pub resume_from: Option<String>,

    /// Go back although the target of a sink has epochs already that come again: what it has of them stays
    #[arg(long, env = "FLOW_ALLOW_SINK_AHEAD")]
    pub allow_sink_ahead: bool,

    /// Let a step go on with the saved state of another one that it was renamed from
    #[arg(long, env = "FLOW_RENAME_STATE", value_name = "OLD=NEW", value_parser = rename, value_delimiter = ',')]
    pub rename_state: Vec<(String, String)>,

    /// Drop the saved state of a step that is gone or keeps something else now; with @EPOCH, that of any step if the run
    /// begins at that epoch
    #[arg(long, env = "FLOW_DROP_STATE", value_name = "STEP[@EPOCH]", value_parser = drop_state, value_delimiter = ',')]
    pub drop_state: Vec<(String, Option<u64>)>,

    /// Accept that sources which cannot replay lose input in a crash
    #[arg(long, env = "FLOW_ACCEPT_LOSS")]
    pub accept_loss: bool,

    /// Fail when the disk is full, instead of waiting for room
    #[arg(long, env = "FLOW_FAIL_WHEN_FULL")]
    pub fail_when_full: bool,

    /// The end of the input is the end for good: emit what is held back. Appended input is refused later
    #[arg(long, env = "FLOW_FINISH")]
    pub finish: bool,

    /// Show what a start would keep, migrate, rename and drop of the saved state, and exit: with 0 if all of it is kept, 3 if
    /// not, 1 if the start would be refused
    #[arg(long, env = "FLOW_PLAN")]
    pub plan: bool,

    /// The log, where it is given by code.
    #[arg(skip)]
    pub(crate) log: Option<RecoveryLog>,

    /// The most items per second that the sources may emit together
    #[arg(long, env = "FLOW_RATE", value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,

    /// Show after the run, on standard error, where its time went: stages, batches, state, workers
    #[arg(long, env = "FLOW_PROFILE")]
    pub profile: bool,

    /// Print the graph of the dataflow and exit
    #[arg(long, env = "FLOW_GRAPH", value_name = "FORMAT")]
    pub graph: Option<GraphFormat>,

    /// Show progress and a summary on standard error
    #[arg(long, env = "FLOW_PROGRESS", value_name = "WHEN", default_value = "auto")]
    pub progress: Progress,
}

/// The formats of `--graph`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// A Mermaid flowchart, which many Markdown viewers draw.
    Mermaid,
    /// Graphviz.
    Dot,
    /// JSON, for programs.
    Json,
    /// A drawing in text.
    Text,
}

/// When progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A progress line on a terminal, a summary in any case.
    #[default]
    Auto,
    /// A progress line and a summary.
    Always,
    /// Neither.
    Never,
}

/// Worker counts above this are taken for a mistake: an exchange has a queue for each two of them.
const MOST_WORKERS: usize = 256;

impl RunOptions {
    /// The number of workers.
    pub(crate) fn worker_count(&self) -> Result<usize, Error> {
        match self.workers {
            None => {
                Ok(std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS))
            }
            Some(0) => {
                Err(Error::new(ErrorKind::Configuration, "a dataflow cannot run with 0 workers")
                    .help("give `--workers 1` or more, or leave it out for one worker per core"))
            }
            Some(count) if count > MOST_WORKERS => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "{count} workers are more than the {MOST_WORKERS} that one process may have"
                ),
            )
            .help("more workers than cores do not make a dataflow faster")),
            Some(count) => Ok(count),
        }
    }

    /// The recovery log: what code gave, or else what the flags say.
    pub(crate) fn recovery_log(&self) -> Result<Option<RecoveryLog>, Error> {
        let given = self.log.clone();
        let given = given.or_else(|| self.recovery.as_deref().map(RecoveryLog::at));
        let Some(mut log) = given else { return self.without_log().map(|()| None) };
        log.groups = self.key_groups.or(log.groups);
        log.allowed.renames.extend(self.rename_state.iter().cloned());
        let drops = self.drop_state.iter().cloned();
        log.allowed.drops.extend(drops.map(|(step, at)| (step, at.map(Epoch))));
        log.keep.epochs = self.keep_epochs.unwrap_or(log.keep.epochs);
        log.keep.younger = self.keep_for.unwrap_or(log.keep.younger);
        if let Some(wanted) = &self.resume_from {
            log.resume_from = Some(match wanted.parse() {
                Ok(epoch) => ResumeFrom::Epoch(Epoch(epoch)),
                Err(_) => ResumeFrom::Pin(wanted.clone()),
            });
        }
        log.sink_ahead |= self.allow_sink_ahead;
        log.accepts_loss |= self.accept_loss;
        log.waits_for_room &= !self.fail_when_full;
        Ok(Some(log))
    }

    /// Refuses flags that mean nothing without a recovery log: whoever gave them believes that there is one.
    fn without_log(&self) -> Result<(), Error> {
        let given = [
            ("--key-groups", self.key_groups.is_some()),
            ("--keep-epochs", self.keep_epochs.is_some()),
            ("--keep-for", self.keep_for.is_some()),
            ("--resume-from", self.resume_from.is_some()),
            ("--allow-sink-ahead", self.allow_sink_ahead),
            ("--rename-state", !self.rename_state.is_empty()),
            ("--drop-state", !self.drop_state.is_empty()),
            ("--accept-loss", self.accept_loss),
            ("--fail-when-full", self.fail_when_full),
            ("--plan", self.plan),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => Err(Error::new(
                ErrorKind::Configuration,
                format!("`{flag}` is about a recovery log, and there is none"),
            )
            .help("give one: `--recovery DIR`")),
        }
    }

    /// The items per second.
    pub(crate) fn rate(&self) -> Result<Option<f64>, Error> {
        match self.rate {
            Some(rate) if !is_rate(rate) => Err(Error::new(
                ErrorKind::Configuration,
                format!("a dataflow cannot run at a rate of {rate} items per second"),
            )
            .help("give a number above 0, or leave it out for no bound")),
            rate => Ok(rate),
        }
    }
}

/// What is wrong with a flag's value.
#[derive(Debug)]
struct BadValue(&'static str);

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
impl std::error::Error for BadValue {}

fn epoch(text: &str) -> Result<EpochPolicy, BadValue> {
    const EXPECTED: BadValue =
        BadValue("expected a time such as 500ms, 2s, 1m, or a number of items such as 1000items");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| EXPECTED)?;
    if number == 0 {
        return Err(BadValue("an epoch cannot be empty"));
    }
    let time = |millis: u64| number.checked_mul(millis).map(Duration::from_millis).ok_or(EXPECTED);
    match unit {
        "ms" => time(1).map(EpochPolicy::every),
        "s" => time(1000).map(EpochPolicy::every),
        "m" | "min" => time(60_000).map(EpochPolicy::every),
        "item" | "items" => Ok(EpochPolicy::items(number)),
        _ => Err(EXPECTED),
    }
}

fn time(text: &str) -> Result<Duration, BadValue> {
    const EXPECTED: BadValue = BadValue("expected a time such as 30s, 15m, 2h or 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| EXPECTED)?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(EXPECTED),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or(EXPECTED)
}

fn rename(text: &str) -> Result<(String, String), BadValue> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => {
            Ok((old.to_owned(), new.to_owned()))
        }
        _ => Err(BadValue("expected the old and the new id of a step, as in totals=counts")),
    }
}

fn drop_state(text: &str) -> Result<(String, Option<u64>), BadValue> {
    const EXPECTED: BadValue = BadValue("expected the id of a step, as in counts, or counts@12");
    match text.split_once('@') {
        None if text.is_empty() => Err(EXPECTED),
        None => Ok((text.to_owned(), None)),
        Some((step, epoch)) => {
            let epoch = epoch.parse().map_err(|_| EXPECTED)?;
            if step.is_empty() { Err(EXPECTED) } else { Ok((step.to_owned(), Some(epoch))) }
        }
    }
}

fn is_rate(rate: f64) -> bool {
    rate.is_finite() && rate > 0.0
}

fn workers(text: &str) -> Result<usize, BadValue> {
    text.parse().map_err(|_| BadValue("expected a number of threads, 1 or more"))
}

fn rate(text: &str) -> Result<f64, BadValue> {
    match text.parse::<f64>() {
        Ok(rate) if is_rate(rate) => Ok(rate),
        _ => Err(BadValue("expected a number of items per second above 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_times_or_numbers_of_items() {
        let every = |millis| Some(EpochPolicy::every(Duration::from_millis(millis)));
        assert_eq!(epoch("500ms").ok(), every(500));
        assert_eq!(epoch("2s").ok(), every(2000));
        assert_eq!(epoch("1m").ok(), every(60_000));
        assert_eq!(epoch("1000items").ok(), Some(EpochPolicy::items(1000)));
        for bad in [
            "",
            "s",
            "1",
            "0s",
            "-1s",
            "1.5s",
            "1h",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert!(epoch(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn a_program_without_a_description_gets_none_from_here() {
        #[derive(clap::Parser)]
        struct Args {
            #[command(flatten)]
            _run: RunOptions,
        }
        let help = <Args as clap::CommandFactory>::command().render_long_help().to_string();
        assert!(help.starts_with("Usage:"), "{help}");
    }

    #[test]
    fn flags_about_a_log_need_one() {
        #[derive(clap::Parser)]
        struct Args {
            #[command(flatten)]
            run: RunOptions,
        }
        let log = |flags: &[&str]| {
            let args = ["program"].iter().chain(flags);
            <Args as clap::Parser>::parse_from(args).run.recovery_log()
        };
        assert_eq!(log(&[]).ok(), Some(None));
        for flags in [&["--key-groups", "4"][..], &["--rename-state", "a=b"], &["--plan"]] {
            let error = log(flags).expect_err("there is no log").to_string();
            assert!(error.contains(flags[0]) && error.contains("--recovery DIR"), "{error}");
        }
        let flags = ["--recovery", "d", "--drop-state", "a,b@7", "--rename-state", "x=y"];
        let expected = RecoveryLog::at("d")
            .drop_state("a")
            .drop_state_at("b", Epoch(7))
            .rename_state("x", "y");
        assert_eq!(log(&flags).ok(), Some(Some(expected)));
    }

    #[test]
    fn state_is_renamed_and_dropped_by_ids() {
        assert_eq!(rename("a=b/c").ok(), Some(("a".into(), "b/c".into())));
        assert_eq!(drop_state("a@12").ok(), Some(("a".into(), Some(12))));
        assert!(["", "a", "=b", "a="].iter().all(|bad| rename(bad).is_err()));
        assert!(["", "@1", "a@", "a@x"].iter().all(|bad| drop_state(bad).is_err()));
    }

    #[test]
    fn rates_are_above_zero() {
        assert_eq!(rate("0.5").ok(), Some(0.5));
        for bad in ["0", "-1", "nan", "inf", "many"] {
            assert!(rate(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn absurd_worker_counts_are_refused() {
        let count = |workers| RunOptions { workers, ..RunOptions::default() }.worker_count();
        assert!(count(None).is_ok_and(|count| count > 0));
        assert_eq!(count(Some(3)).ok(), Some(3));
        assert!(count(Some(0)).is_err());
        assert!(count(Some(1_000_000)).is_err());
    }
}
