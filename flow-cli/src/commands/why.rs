//! `flow-log why`: where the next run begins, and why each file is there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flow_runtime::log::{Inspection, LogFile, LogReader, Need, Role, Run};
use flow_runtime::{Error, RecoveryLog};
use serde_json::{Value, json};

use crate::output::{self, Format, Output};
use crate::table::{Column, Table};
use crate::words;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the log
    dir: PathBuf,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let log = RecoveryLog::read(&args.dir)?;
    let found = log.inspect()?;
    let mut out = Output::new();
    match args.format {
        Format::Json => out.json(&document(&log, &found))?,
        Format::Table => print(&log, &found, &args.dir, &mut out)?,
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn document(log: &LogReader, found: &Inspection) -> Value {
    let runs = found.runs.iter().map(|run| {
        json!({
            "run": run.run,
            "began": run.began.map(|epoch| epoch.0),
            "commits": run.commits,
            "reached": run.reached.map(|epoch| epoch.0),
            "problem": run.problem,
        })
    });
    let files = found.files.iter().map(|file| {
        json!({
            "path": output::path(&file.path),
            "bytes": file.bytes,
            "committed": file.committed,
            "is": role(file),
            "needed_by": file.needed_by.iter().map(need).collect::<Vec<_>>(),
        })
    });
    let stored = found.stored.iter().map(|rows| {
        json!({ "step": rows.step, "partition": rows.partition, "epoch": rows.epoch.0, "file": output::path(&rows.file) })
    });
    json!({
        "next_epoch": log.resume_epoch().0,
        "repaired": log.repaired(),
        "locked_by": found.locked_by,
        "runs": runs.collect::<Vec<_>>(),
        "stored": stored.collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
    })
}

fn print(log: &LogReader, found: &Inspection, dir: &Path, out: &mut Output) -> Result<(), Error> {
    let newest = log.epochs().last().and_then(|kept| Some((kept.run, kept.at?)));
    out.line(match newest {
        Some((run, at)) => format!(
            "The next run begins at epoch {}: run {run} made the newest commit, {}, {} ago.",
            log.resume_epoch(),
            words::time(at),
            words::age(at)
        ),
        None => "The next run begins at epoch 0: nothing has been committed yet.".to_owned(),
    })?;
    match log.repaired() {
        [] => out.line("Both copies of the newest commit file say so.")?,
        repaired => {
            for line in repaired {
                out.line(format_args!(
                    "One copy of the newest commit file lacks something: {line}."
                ))?;
            }
        }
    }
    if let Some(holder) = &found.locked_by {
        out.line(format_args!("The log was locked last by {holder}."))?;
    }
    out.line(format_args!("\n{}", runs(&found.runs)))?;
    for run in found.runs.iter().filter_map(|run| run.problem.as_ref()) {
        out.line(run)?;
    }
    if !found.stored.is_empty() {
        let mut table = Table::new(&[
            Column::Text("stored by"),
            Column::Text("partition"),
            Column::Number("epoch"),
        ]);
        for rows in &found.stored {
            table.row([rows.step.clone(), rows.partition.clone(), rows.epoch.to_string()]);
        }
        out.line(format_args!("\nNot known to be carried out; the next run does it:\n{table}"))?;
    }
    out.line(format_args!("\n{}", files(&found.files, dir)))
}

fn runs(runs: &[Run]) -> Table {
    let columns = [
        Column::Number("run"),
        Column::Number("began at"),
        Column::Number("commits"),
        Column::Number("reached"),
        Column::Text("what came of it"),
    ];
    let mut table = Table::new(&columns);
    let number = |epoch: Option<flow_runtime::time::Epoch>| {
        epoch.map_or_else(String::new, |epoch| epoch.to_string())
    };
    for run in runs {
        let what = match (&run.problem, run.began, run.commits) {
            (Some(_), ..) => "its commits cannot be read",
            (None, None, 0) => "cut off before it began",
            (None, _, 0) => "committed nothing",
            _ => "",
        };
        let (began, reached) = (number(run.began), number(run.reached));
        table.row([
            run.run.to_string(),
            began,
            words::number(run.commits),
            reached,
            what.to_owned(),
        ]);
    }
    table
}

fn files(files: &[LogFile], dir: &Path) -> Table {
    let columns = [Column::Text("file"), Column::Number("size"), Column::Text("why it is there")];
    let mut table = Table::new(&columns);
    for file in files {
        let path = file.path.strip_prefix(dir).unwrap_or(&file.path);
        table.row([path.display().to_string(), words::size(file.bytes), why(file)]);
    }
    table
}

fn why(file: &LogFile) -> String {
    let what = match &file.role {
        Role::Format => return "says whose log it is".to_owned(),
        Role::Lock => return "locked by a run as long as it lasts".to_owned(),
        Role::Pin => return "a pin".to_owned(),
        Role::Quarantined => {
            return "moved out of the way by a repair; nothing needs it".to_owned();
        }
        Role::Commits { run } => format!("commits of run {run}"),
        Role::Changes { run } => format!("changes of run {run}"),
        Role::Base { run } => format!("compacted by run {run}"),
        _ => return "not a file of the log: it is left alone".to_owned(),
    };
    if file.needed_by.is_empty() {
        return match file.role {
            Role::Commits { .. } => {
                format!("{what}, which later ones stand for: removed by a later run")
            }
            _ => format!(
                "{what}; no commit names it: given up, or its run was cut off: removed by a later run"
            ),
        };
    }
    let needs: Vec<String> = file.needed_by.iter().map(in_words).collect();
    let tail = file.committed.map_or(0, |committed| file.bytes.saturating_sub(committed));
    let tail = match tail {
        0 => String::new(),
        tail => format!("; {} behind the last commit", words::size(tail)),
    };
    format!("{what}, needed by {}{tail}", needs.join(", "))
}

fn in_words(need: &Need) -> String {
    match need {
        Need::Newest => "the newest commit".to_owned(),
        Need::Earlier { count: 1, first, .. } => format!("epoch {first}"),
        Need::Earlier { count, first, last } => {
            format!("{} earlier commits (epochs {first} to {last})", words::number(*count))
        }
        Need::Pin(name) => format!("the pin `{name}`"),
        Need::Stored(step) => format!("rows that `{step}` has stored"),
        _ => "something else".to_owned(),
    }
}

fn role(file: &LogFile) -> Value {
    match &file.role {
        Role::Format => json!({ "kind": "format" }),
        Role::Lock => json!({ "kind": "lock" }),
        Role::Pin => json!({ "kind": "pin" }),
        Role::Quarantined => json!({ "kind": "quarantined" }),
        Role::Commits { run } => json!({ "kind": "commits", "run": run }),
        Role::Changes { run } => json!({ "kind": "changes", "run": run }),
        Role::Base { run } => json!({ "kind": "base", "run": run }),
        _ => json!({ "kind": "unknown" }),
    }
}

fn need(need: &Need) -> Value {
    match need {
        Need::Newest => json!({ "newest": true }),
        Need::Earlier { count, first, last } => {
            json!({ "earlier": { "commits": count, "first": first.0, "last": last.0 } })
        }
        Need::Pin(name) => json!({ "pin": name }),
        Need::Stored(step) => json!({ "stored": step }),
        _ => Value::Null,
    }
}
