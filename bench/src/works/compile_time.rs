//! How long a change takes to compile: runs `compile-time.sh`, which says more about it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::child::{Outcome, timed};
use crate::options::Job;
use crate::tally::Sum;
use crate::works::{Side, Work};

/// The work. There is no tenth of it.
pub const COMPILE_TIME: Work = Work {
    workers: Some(1),
    once: true,
    never_quick: true,
    ..Work::new("compile_time", &[Side::new("flow", on_flow)])
};

fn on_flow(_: &Job) -> Outcome {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("compile-time.sh");
    let mut said = Vec::new();
    let outcome = timed(1, || {
        let run = Command::new("bash").arg(script).stderr(Stdio::inherit()).output();
        let run = run.expect("there is a shell");
        assert!(run.status.success(), "the script has failed");
        said = run.stdout;
        Sum { items: 1, sum: 0 }
    });
    let said = String::from_utf8_lossy(&said);
    said.lines().filter_map(build).fold(outcome, |outcome, (name, seconds)| {
        outcome.with(&format!("{}_s", name.replace('-', "_")), seconds)
    })
}

/// Of a line `build=debug change_s=1.23 ..` the name and the seconds.
fn build(line: &str) -> Option<(&str, f64)> {
    let mut values = line.split_ascii_whitespace().filter_map(|pair| pair.split_once('='));
    let (_, name) = values.next().filter(|(what, _)| *what == "build")?;
    let (_, seconds) = values.next().filter(|(what, _)| *what == "change_s")?;
    Some((name, seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_builds_are_read() {
        let line = "build=debug change_s=1.23 cpu_s=2.00 mark_s=2.0 within=yes";
        assert_eq!(build(line), Some(("debug", 1.23)));
        assert_eq!(build("100 steps, 20 exchanges: a change of one operator, in seconds"), None);
    }
}
