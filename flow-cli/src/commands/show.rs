//! `flow-log show`: what a step keeps.

use std::process::ExitCode;

use clap::ValueEnum;
use flow_runtime::log::{Keeps, Snapshot, Step};
use flow_runtime::state::Shape;
use flow_runtime::{Error, ErrorKind, RecoveryLog};
use serde_json::{Value, json};

use crate::LogAt;
use crate::output::{Output, closed};
use crate::table::Table;

/// So many lines a table has unless it is told otherwise.
const LIMIT: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogAt,
    /// The step, by its id: `flow-log ls` shows them
    #[arg(long)]
    step: String,
    /// Shows one key only: as text, or as JSON where it is something else
    #[arg(long)]
    key: Option<String>,
    /// Shows so many keys at most: all, and of a table 20, unless it is given
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Rows::Table)]
    format: Rows,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// For people
    Table,
    /// One JSON object a line
    Json,
    /// Comma-separated values, with a line of headings
    Csv,
}

/// What is under what in a step.
struct Row {
    /// A key, or a partition.
    key: Option<Value>,
    value: Value,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let snapshot = RecoveryLog::read(&args.log.dir)?.at(args.log.at.clone())?;
    let step = snapshot.step(&args.step)?;
    let mut rows = rows(&snapshot, step)?;
    if let Some(key) = &args.key {
        let found = rows.find(|row| row.as_ref().map_or(true, |row| is_key(row, key)));
        let found = found.transpose()?.ok_or_else(|| no_key(step, key, &snapshot))?;
        rows = Box::new([Ok(found)].into_iter());
    }
    let limit = args.limit.unwrap_or(if args.format == Rows::Table { LIMIT } else { usize::MAX });
    let mut out = Output::new();
    match args.format {
        Rows::Table => print(step, rows, limit, &mut out)?,
        Rows::Json => {
            for row in rows.take(limit) {
                out.line(object(step, row?))?;
            }
        }
        Rows::Csv => csv(step, rows.take(limit), &mut out)?,
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

type AllRows = Box<dyn Iterator<Item = Result<Row, Error>>>;

fn rows(snapshot: &Snapshot, step: &Step) -> Result<AllRows, Error> {
    Ok(match step.keeps {
        Keeps::PerKey => Box::new(snapshot.entries(&step.id)?.map(|entry| {
            let entry = entry?;
            Ok(Row { key: Some(entry.key), value: entry.state })
        })),
        Keeps::Positions => Box::new(
            snapshot
                .positions(&step.id)?
                .into_iter()
                .map(|at| Ok(Row { key: Some(Value::String(at.partition)), value: at.position })),
        ),
        _ => {
            let value = snapshot.broadcast_json(&step.id)?;
            Box::new(value.into_iter().map(|value| Ok(Row { key: None, value })))
        }
    })
}

/// Whether a row is the one with this key: its text, or its JSON however it is spaced.
fn is_key(row: &Row, wanted: &str) -> bool {
    match &row.key {
        Some(Value::String(key)) if key == wanted => true,
        Some(key) => serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| wanted == *key),
        None => false,
    }
}

fn no_key(step: &Step, key: &str, snapshot: &Snapshot) -> Error {
    let message = format!("there is no key `{key}` as of epoch {}", snapshot.epoch());
    let shape = step.key.as_ref().map_or_else(|| "a partition".to_owned(), Shape::to_string);
    Error::new(ErrorKind::Configuration, message).at_step(&step.id).help(format!(
        "its keys are {shape}; one that is neither text nor a number is given as JSON: `--key '[1,\"x\"]'`"
    ))
}

/// What rows are called.
fn names(step: &Step) -> (Option<&'static str>, &'static str) {
    match step.keeps {
        Keeps::PerKey => (Some("key"), "state"),
        Keeps::Positions => (Some("partition"), "position"),
        _ => (None, "value"),
    }
}

/// The fields that get columns of their own.
fn fields(step: &Step) -> Option<Vec<&str>> {
    match &step.state {
        Shape::Struct { fields, .. } if fields.iter().any(|(name, _)| name != "0") => {
            let is_tuple = fields.iter().enumerate().all(|(n, (name, _))| *name == n.to_string());
            (!is_tuple).then(|| fields.iter().map(|(name, _)| name.as_str()).collect())
        }
        _ => None,
    }
}

fn object(step: &Step, row: Row) -> Value {
    let (key, value) = names(step);
    match (key, row.key) {
        (Some(name), Some(key)) => json!({ name: key, value: row.value }),
        _ => json!({ value: row.value }),
    }
}

fn headings(step: &Step) -> Vec<String> {
    let (key, value) = names(step);
    let values = match fields(step) {
        Some(fields) => fields.into_iter().map(str::to_owned).collect(),
        None => vec![value.to_owned()],
    };
    key.map(str::to_owned).into_iter().chain(values).collect()
}

fn cells(step: &Step, row: Row) -> Vec<String> {
    let values: Vec<String> = match (fields(step), &row.value) {
        // What could not be told has no fields.
        (Some(fields), Value::Object(values)) if !values.contains_key("hex") => {
            fields.into_iter().map(|field| text(values.get(field))).collect()
        }
        (_, value) => vec![text(Some(value))],
    };
    row.key.iter().map(|key| text(Some(key))).chain(values).collect()
}

/// Text as it is, nothing as nothing, everything else as JSON.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn print(
    step: &Step,
    mut rows: impl Iterator<Item = Result<Row, Error>>,
    limit: usize,
    out: &mut Output,
) -> Result<(), Error> {
    let mut table = Table::new(&[]);
    let state = |field: &str| match &step.state {
        Shape::Struct { fields, .. } => {
            fields.iter().find(|(name, _)| name == field).map(|(_, shape)| shape)
        }
        _ => None,
    };
    for (at, name) in headings(step).into_iter().enumerate() {
        let shape = if at == 0 { step.key.as_ref() } else { state(&name).or(Some(&step.state)) };
        table.column(name, shape.is_some_and(is_number));
    }
    for row in rows.by_ref().take(limit) {
        // What would break a line is shown as it is written in a program.
        let cells = cells(step, row?).into_iter();
        table.row(cells.map(|cell| match cell.contains(char::is_control) {
            true => cell.escape_debug().to_string(),
            false => cell,
        }));
    }
    out.line(&table)?;
    match rows.next() {
        Some(_) => out.line("and more: `--limit N`, `--key KEY`, `--format json`"),
        None => Ok(()),
    }
}

fn is_number(shape: &Shape) -> bool {
    match shape {
        Shape::Plain(name) => {
            !matches!(name.as_str(), "String" | "char" | "bool" | "()" | "Duration")
        }
        _ => false,
    }
}

fn csv(
    step: &Step,
    rows: impl Iterator<Item = Result<Row, Error>>,
    out: &mut Output,
) -> Result<(), Error> {
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => closed(error),
        other => Error::new(ErrorKind::Encoding, format!("a row cannot be written: {other:?}")),
    };
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(out.raw());
    writer.write_record(headings(step)).map_err(failed)?;
    for row in rows {
        writer.write_record(cells(step, row?)).map_err(failed)?;
    }
    writer.flush().map_err(closed)
}
