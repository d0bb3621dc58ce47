//! A description as a table.

use std::fmt;

use crate::describe::StepInfo;
use crate::description::{Boundary, Description, StageInfo, short_type_name};
use crate::host::Spread;

/// The columns between the first and the last.
const HEAD: [&str; 6] = ["step", "kind", "key", "input", "output", "state"];

/// One table a stage, with columns of equal width in all.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<_>> =
            self.stages.iter().map(|stage| stage.steps.iter().map(row).collect()).collect();
        let mut widths = HEAD.map(|head| head.len());
        for row in rows.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        write_row(f, &HEAD.map(str::to_owned), &widths)?;
        for (n, (stage, rows)) in self.stages.iter().zip(&rows).enumerate() {
            writeln!(f, "stage {n}{}", self.comes_from(stage))?;
            for row in rows {
                write_row(f, row, &widths)?;
            }
        }
        Ok(())
    }
}

impl Description {
    /// Where the items of a stage come from, and how.
    pub(crate) fn comes_from(&self, stage: &StageInfo) -> String {
        let mut text = String::new();
        for boundary in &stage.reads {
            text.push_str(if text.is_empty() { " ⇐ " } else { ", " });
            match self.sender(boundary.outlet) {
                Some(sender) => text.push_str(&format!("stage {sender}")),
                None => text.push_str("nothing"),
            }
            text.push_str(manner(boundary));
        }
        text
    }
}

pub(crate) fn manner(boundary: &Boundary) -> &'static str {
    match boundary.spread {
        None => "",
        Some(Spread::ByHash) => " by key",
        Some(Spread::Balanced) => " in turn",
        Some(Spread::ToWorker) => " to its owner",
        Some(Spread::ToAll) => " to all",
    }
}

fn row(step: &StepInfo) -> [String; 6] {
    let ty = |name: Option<&str>| name.map(short_type_name).unwrap_or_default();
    let state = step.state.map(ToString::to_string).unwrap_or_default();
    [
        step.id.to_string(),
        step.kind.to_owned(),
        ty(step.key),
        ty(step.input),
        ty(step.output),
        state,
    ]
}

fn write_row(f: &mut fmt::Formatter<'_>, row: &[String; 6], widths: &[usize; 6]) -> fmt::Result {
    let mut line = String::from(" ");
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&format!(" {cell:width$} "));
    }
    writeln!(f, "{}", line.trim_end())
}
