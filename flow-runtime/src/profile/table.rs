//! A profile as a table.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use crate::profile::steps::PER_STEP;
use crate::profile::{Profile, StageProfile, StepProfile};

const HEAD: [&str; 12] = [
    "step", "kind", "in", "out", "batches", "each", "time", "waits", "skew", "keys", "state",
    "saved",
];
/// So many columns hold words, and stand on the left.
const WORDS: usize = 2;

type Row = [String; HEAD.len()];

/// One line a stage, and one for each of its steps.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers = self.workers.len();
        let plural = if workers == 1 { "" } else { "s" };
        let longest = self.workers.iter().map(|worker| worker.total()).max().unwrap_or_default();
        writeln!(
            f,
            "{}: where the time of {workers} worker{plural} went, {:.2} s each",
            self.name,
            longest.as_secs_f64()
        )?;
        self.write_table(f)?;
        for (n, worker) in self.workers.iter().enumerate() {
            let share = |time| share(time, worker.total());
            writeln!(
                f,
                "worker {n}: busy {}, waiting for room {}, idle {}",
                share(worker.busy),
                share(worker.waited),
                share(worker.idle)
            )?;
        }
        let plural = if self.epochs == 1 { "" } else { "s" };
        write!(f, "{} epoch{plural}", HumanCount(self.epochs))?;
        if self.commits > 0 {
            let plural = if self.commits == 1 { "" } else { "s" };
            let entries = self.stages.iter().map(|stage| stage.saved_entries).sum();
            let bytes = self.stages.iter().map(|stage| stage.saved_bytes).sum();
            let (entries, bytes) = (HumanCount(entries), HumanBytes(bytes));
            let commits = HumanCount(self.commits);
            write!(f, " in {commits} commit{plural} to the log: {entries} entries, {bytes}")?;
        }
        writeln!(f)?;
        if !PER_STEP {
            writeln!(
                f,
                "a build with `--features flow-runtime/profile` also counts and times the steps inside of a stage"
            )?;
        }
        Ok(())
    }
}

impl Profile {
    fn write_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total();
        let mut rows = vec![HEAD.map(str::to_owned)];
        for (n, stage) in self.stages.iter().enumerate() {
            rows.push(self.stage_row(n, stage));
            rows.extend(stage.steps.iter().map(|step| self.step_row(step)));
        }
        let idle = self.workers.iter().map(|worker| worker.idle).sum();
        for (name, time) in [("between stages", self.between), ("idle", idle)] {
            let mut row = Row::default();
            row[0] = name.to_owned();
            row[6] = share(time, total);
            rows.push(row);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths = std::array::from_fn::<_, { HEAD.len() }, _>(|n| width(n).unwrap_or(0));
        for row in &rows {
            let mut line = String::new();
            for (n, cell) in row.iter().enumerate() {
                // What nothing has been measured of takes no room.
                if n >= WORDS && rows[1..].iter().all(|row| row[n].is_empty()) {
                    continue;
                }
                let width = widths[n];
                match n {
                    0 => line.push_str(&format!("{cell:width$}")),
                    _ if n < WORDS => line.push_str(&format!("  {cell:width$}")),
                    _ => line.push_str(&format!("  {cell:>width$}")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn stage_row(&self, n: usize, stage: &StageProfile) -> Row {
        let total = self.total();
        [
            format!("stage {n}"),
            stage.from.clone(),
            HumanCount(stage.items_in).to_string(),
            unless_zero(stage.items_out, |items| HumanCount(items).to_string()),
            unless_zero(stage.batches, |batches| HumanCount(batches).to_string()),
            stage
                .items_in
                .checked_div(stage.batches)
                .map(|mean| HumanCount(mean).to_string())
                .unwrap_or_default(),
            share(stage.busy, total),
            if stage.waited.is_zero() { String::new() } else { share(stage.waited, total) },
            skew(&stage.items_by_worker),
            String::new(),
            String::new(),
            unless_zero(stage.saved_bytes, |bytes| HumanBytes(bytes).to_string()),
        ]
    }

    fn step_row(&self, step: &StepProfile) -> Row {
        let count =
            |count: Option<u64>| count.map(|n| HumanCount(n).to_string()).unwrap_or_default();
        let mut row = Row::default();
        row[0] = format!("  {}", step.step);
        row[1] = step.kind.to_owned();
        row[2] = count(step.items_in);
        row[3] = count(step.items_out);
        if let (Some(samples), Some(all @ 1..)) = (step.samples, self.samples) {
            row[6] = percent(samples as f64 / all as f64);
        }
        row[9] = count(step.keys);
        row[10] = step.state_bytes.map(|bytes| HumanBytes(bytes).to_string()).unwrap_or_default();
        row
    }
}

/// How many times its equal share the worker has that has most; nothing for one worker.
fn skew(by_worker: &[u64]) -> String {
    let (most, all) = (by_worker.iter().max(), by_worker.iter().sum::<u64>());
    match most {
        Some(most) if by_worker.len() > 1 && all > 0 => {
            format!("{:.2}", *most as f64 * by_worker.len() as f64 / all as f64)
        }
        _ => String::new(),
    }
}

fn unless_zero(n: u64, show: impl FnOnce(u64) -> String) -> String {
    if n == 0 { String::new() } else { show(n) }
}

/// On a virtual schedule nothing takes any time.
fn share(time: Duration, of: Duration) -> String {
    if of.is_zero() { "-".to_owned() } else { percent(time.as_secs_f64() / of.as_secs_f64()) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
