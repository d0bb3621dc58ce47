//! `flow-log ls`: whose log it is, and what is in it.

use std::path::PathBuf;
use std::process::ExitCode;

use flow_runtime::log::{At, Keeps, KeptEpoch, LogReader, Snapshot};
use flow_runtime::{Error, RecoveryLog};
use serde_json::{Map, Value, json};

use crate::output::{Format, Output};
use crate::table::{Column, Table};
use crate::words;

/// So many epochs are shown.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of the log
    dir: PathBuf,
    /// Shows all epochs, each with the number of keys of every step: reads everything that the log keeps
    #[arg(long)]
    all: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let log = RecoveryLog::read(&args.dir)?;
    let mut out = Output::new();
    match args.format {
        Format::Json => out.json(&document(&log, args.all)?)?,
        Format::Table => print(&log, args, &mut out)?,
    }
    out.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn document(log: &LogReader, all: bool) -> Result<Value, Error> {
    let newest = log.newest()?;
    let steps = newest.steps().iter().map(|step| {
        let measure = newest.measure(&step.id)?;
        Ok(json!({
            "id": step.id,
            "kind": step.kind,
            "key": step.key.as_ref().map(ToString::to_string),
            "state": step.state.to_string(),
            "keys": measure.keys,
            "bytes": measure.bytes,
        }))
    });
    let epochs = log.epochs().iter().map(|kept| {
        let mut epoch = kept_json(kept);
        if all {
            let keys = keys(&log.at(kept.epoch)?)?.into_iter().map(|(id, keys)| (id, json!(keys)));
            epoch.insert("keys".to_owned(), Value::Object(keys.collect()));
        }
        Ok(Value::Object(epoch))
    });
    let pins = log.pins().map(|pin| {
        let mut shown = match &pin.pinned {
            Ok(kept) => kept_json(kept),
            Err(problem) => Map::from_iter([("problem".to_owned(), json!(problem))]),
        };
        shown.insert("name".to_owned(), json!(pin.name));
        Value::Object(shown)
    });
    Ok(json!({
        "dataflow": log.dataflow(),
        "key_groups": log.key_groups(),
        "runs": log.runs(),
        "workers": log.workers(),
        "finished": log.is_finished(),
        "next_epoch": log.resume_epoch().0,
        "epochs": epochs.collect::<Result<Vec<_>, Error>>()?,
        "pins": pins.collect::<Vec<_>>(),
        "steps": steps.collect::<Result<Vec<_>, Error>>()?,
    }))
}

fn kept_json(kept: &KeptEpoch) -> Map<String, Value> {
    Map::from_iter([
        ("epoch".to_owned(), json!(kept.epoch.0)),
        ("run".to_owned(), json!(kept.run)),
        ("at".to_owned(), json!(kept.at.map(words::exact_time))),
        ("bytes".to_owned(), json!(kept.bytes)),
    ])
}

/// The keys of each step that has any by its nature.
fn keys(snapshot: &Snapshot) -> Result<Vec<(String, u64)>, Error> {
    let keyed = snapshot.steps().iter().filter(|step| step.keeps == Keeps::PerKey);
    keyed.map(|step| Ok((step.id.clone(), snapshot.measure(&step.id)?.keys))).collect()
}

fn print(log: &LogReader, args: &Args, out: &mut Output) -> Result<(), Error> {
    let newest = log.newest()?;
    out.line(format_args!("dataflow    {}", log.dataflow()))?;
    let (runs, workers) = (log.runs(), words::count(log.workers().into(), "worker"));
    out.line(format_args!("runs        {}, the last with {workers}", words::number(runs)))?;
    out.line(format_args!("key groups  {}", log.key_groups()))?;
    let next = match log.is_finished() {
        true => "finished: takes no more input".to_owned(),
        false => format!("begins at epoch {}", log.resume_epoch()),
    };
    out.line(format_args!("next run    {next}\n"))?;
    out.line(epochs(log, args.all, &newest)?)?;
    let hidden = log.epochs().len().saturating_sub(SHOWN) as u64;
    if hidden > 0 && !args.all {
        let earlier = words::count(hidden, "earlier epoch");
        out.line(format_args!("and {earlier}: `--all`"))?;
    }
    if log.pins().len() > 0 {
        out.line(format_args!("\n{}", pins(log)))?;
    }
    let steps = steps(&newest)?;
    if !steps.is_empty() {
        out.line(format_args!("\n{steps}"))?;
    }
    Ok(())
}

const KEPT: [Column; 5] = [
    Column::Number("epoch"),
    Column::Number("run"),
    Column::Text("committed"),
    Column::Number("age"),
    Column::Number("size"),
];

fn kept_cells(kept: &KeptEpoch) -> Vec<String> {
    vec![
        kept.epoch.to_string(),
        kept.run.to_string(),
        kept.at.map_or_else(|| "nothing yet".to_owned(), words::time),
        kept.at.map(words::age).unwrap_or_default(),
        words::size(kept.bytes),
    ]
}

fn epochs(log: &LogReader, all: bool, newest: &Snapshot) -> Result<Table, Error> {
    let mut table = Table::new(&KEPT);
    let steps: Vec<String> = keys(newest)?.into_iter().map(|(id, _)| id).collect();
    if all {
        steps.iter().for_each(|id| table.column(format!("keys of {id}"), true));
    }
    let hidden = if all { 0 } else { log.epochs().len().saturating_sub(SHOWN) };
    for kept in &log.epochs()[hidden..] {
        let mut cells = kept_cells(kept);
        if all {
            let keys = keys(&log.at(At::Epoch(kept.epoch))?)?;
            cells.extend(steps.iter().map(|id| {
                let found = keys.iter().find(|(other, _)| other == id);
                found.map_or_else(String::new, |(_, keys)| words::number(*keys))
            }));
        }
        table.row(cells);
    }
    Ok(table)
}

fn pins(log: &LogReader) -> Table {
    let mut table = Table::new(&[Column::Text("pin")]);
    for column in KEPT {
        match column {
            Column::Text(name) => table.column(name, false),
            Column::Number(name) => table.column(name, true),
        }
    }
    for pin in log.pins() {
        let mut cells = vec![pin.name.clone()];
        match &pin.pinned {
            Ok(kept) => cells.extend(kept_cells(kept)),
            Err(_) => cells.extend(["?".to_owned(), "?".to_owned(), "cannot be read".to_owned()]),
        }
        table.row(cells);
    }
    table
}

fn steps(newest: &Snapshot) -> Result<Table, Error> {
    let columns = [
        Column::Text("step"),
        Column::Text("kind"),
        Column::Number("keys"),
        Column::Number("size"),
        Column::Text("keeps"),
    ];
    let mut table = Table::new(&columns);
    for step in newest.steps() {
        let measure = newest.measure(&step.id)?;
        let keeps = match &step.key {
            Some(key) => format!("{key} → {}", step.state),
            None => step.state.to_string(),
        };
        table.row([
            step.id.clone(),
            step.kind.clone(),
            words::number(measure.keys),
            words::size(measure.bytes),
            keeps,
        ]);
    }
    Ok(table)
}
