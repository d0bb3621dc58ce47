//! `flow-log diff`: what is different between two commits.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use flow_runtime::log::{At, Keeps, Snapshot};
use flow_runtime::{Error, RecoveryLog};
use serde_json::{Value, json};

use crate::output::{Format, Output};
use crate::table::{Column, Table};
use crate::words;

/// There are differences.
const DIFFERENT: u8 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the log
    dir: PathBuf,
    /// The earlier commit: an epoch, a pin, or `newest`
    before: At,
    /// The later one
    after: At,
    /// Shows so many keys of each step
    #[arg(long, value_name = "N", default_value_t = 3)]
    examples: usize,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What is different in a step.
#[derive(Default)]
struct Changes {
    step: String,
    added: u64,
    removed: u64,
    changed: u64,
    examples: Vec<Example>,
}

/// A key, or a partition; and what was and is under it.
struct Example {
    key: Value,
    before: Option<Value>,
    after: Option<Value>,
}

impl Changes {
    fn add(&mut self, example: Example, examples: usize) {
        match (&example.before, &example.after) {
            (None, _) => self.added += 1,
            (_, None) => self.removed += 1,
            _ => self.changed += 1,
        }
        if self.examples.len() < examples {
            self.examples.push(example);
        }
    }

    fn is_empty(&self) -> bool {
        self.added + self.removed + self.changed == 0
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let log = RecoveryLog::read(&args.dir)?;
    let (before, after) = (log.at(args.before.clone())?, log.at(args.after.clone())?);
    let all = [&before, &after].into_iter().flat_map(|snapshot| snapshot.steps());
    let mut seen = BTreeSet::new();
    let steps: Vec<_> = all.filter(|step| seen.insert(step.id.clone())).collect();
    let mut changes = Vec::new();
    for step in steps {
        changes.push(of_step(&step.id, step.keeps, &before, &after, args.examples)?);
    }
    let mut out = Output::new();
    match args.format {
        Format::Json => out.json(&document(&before, &after, &changes))?,
        Format::Table => print(&changes, &mut out)?,
    }
    out.finish()?;
    let is_same = changes.iter().all(Changes::is_empty);
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn of_step(
    step: &str,
    keeps: Keeps,
    before: &Snapshot,
    after: &Snapshot,
    examples: usize,
) -> Result<Changes, Error> {
    let mut changes = Changes { step: step.to_owned(), ..Changes::default() };
    if keeps == Keeps::PerKey {
        for difference in before.differences(step, after)? {
            let difference = difference?;
            let (before, after) = (difference.before, difference.after);
            changes.add(Example { key: difference.key, before, after }, examples);
        }
        return Ok(changes);
    }
    let (mut before, mut after) = (few(before, step)?, few(after, step)?);
    for (key, value) in std::mem::take(&mut before) {
        let other = after.iter().position(|(other, _)| *other == key);
        let now = other.map(|at| after.remove(at).1);
        if now.as_ref() != Some(&value) {
            changes.add(Example { key, before: Some(value), after: now }, examples);
        }
    }
    for (key, value) in after {
        changes.add(Example { key, before: None, after: Some(value) }, examples);
    }
    Ok(changes)
}

/// What a step keeps that has no keys: positions, or a value.
fn few(snapshot: &Snapshot, step: &str) -> Result<Vec<(Value, Value)>, Error> {
    let Ok(found) = snapshot.step(step) else { return Ok(Vec::new()) };
    Ok(match found.keeps {
        Keeps::Positions => {
            let positions = snapshot.positions(step)?.into_iter();
            positions.map(|at| (Value::String(at.partition), at.position)).collect()
        }
        Keeps::OneValue => {
            snapshot.broadcast_json(step)?.map(|value| (Value::Null, value)).into_iter().collect()
        }
        _ => Vec::new(),
    })
}

fn document(before: &Snapshot, after: &Snapshot, changes: &[Changes]) -> Value {
    let example = |example: &Example| json!({ "key": example.key, "before": example.before, "after": example.after });
    let steps = changes.iter().map(|changes| {
        json!({
            "id": changes.step,
            "added": changes.added,
            "removed": changes.removed,
            "changed": changes.changed,
            "examples": changes.examples.iter().map(example).collect::<Vec<_>>(),
        })
    });
    json!({
        "before": before.epoch().0,
        "after": after.epoch().0,
        "steps": steps.collect::<Vec<_>>(),
    })
}

fn print(changes: &[Changes], out: &mut Output) -> Result<(), Error> {
    let columns = [
        Column::Text("step"),
        Column::Number("added"),
        Column::Number("removed"),
        Column::Number("changed"),
    ];
    let mut table = Table::new(&columns);
    for Changes { step, added, removed, changed, .. } in changes {
        let numbers = [added, removed, changed].map(|count| words::number(*count));
        table.row([step.clone()].into_iter().chain(numbers));
    }
    out.line(&table)?;
    for Changes { step, examples, .. } in changes.iter().filter(|it| !it.examples.is_empty()) {
        out.line(format_args!("\n{step}"))?;
        for Example { key, before, after } in examples {
            let key = if key.is_null() { String::new() } else { format!("{key}: ") };
            match (before, after) {
                (Some(before), Some(after)) => {
                    out.line(format_args!("  ~ {key}{before} → {after}"))?
                }
                (Some(before), None) => out.line(format_args!("  - {key}{before}"))?,
                (None, Some(after)) => out.line(format_args!("  + {key}{after}"))?,
                (None, None) => {}
            }
        }
    }
    Ok(())
}
