//! One run, in a process of its own: makes its input, times its side, and says what it took in one line.

use std::fmt;
use std::time::Instant;

use crate::machine;
use crate::options::Job;
use crate::tally::Sum;
use crate::works;

/// What one run came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// On the clock.
    pub wall_s: f64,
    /// Of the processors, of all threads.
    pub cpu_s: f64,
    /// By how much the resident memory grew at most.
    pub peak_mb: f64,
    /// What went in: what a second's throughput is counted in.
    pub items: u64,
    /// What came out.
    pub sum: Sum,
    /// What else there is to say, as name and value.
    pub more: Vec<(String, f64)>,
}

impl Outcome {
    /// The same, with something more to say.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Outcome {
        self.more.push((name.to_owned(), value));
        self
    }
}

/// Runs a side and measures it.
pub fn timed(items: u64, side: impl FnOnce() -> Sum) -> Outcome {
    machine::reset_peak();
    let (resident, cpu, began) = (machine::resident_mb(), machine::cpu_seconds(), Instant::now());
    let sum = side();
    let wall_s = began.elapsed().as_secs_f64();
    let cpu_s = machine::cpu_seconds() - cpu;
    let peak_mb = (machine::peak_mb() - resident).max(0.0);
    Outcome { wall_s, cpu_s, peak_mb, items, sum, more: Vec::new() }
}

/// Is one run.
///
/// # Errors
/// When there is no such work or side.
pub fn run(job: &Job) -> Result<(), String> {
    let outcome = (works::side(job)?.run)(job);
    println!("{outcome}");
    Ok(())
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { wall_s, cpu_s, peak_mb, items, sum, more } = self;
        write!(f, "wall_s={wall_s} cpu_s={cpu_s} peak_mb={peak_mb} items={items}")?;
        write!(f, " out={} sum={}", sum.items, sum.sum)?;
        more.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl Outcome {
    /// Reads the line of a run; `None` if it is none.
    pub fn parse(line: &str) -> Option<Outcome> {
        let mut outcome = Outcome::default();
        for pair in line.split_ascii_whitespace() {
            let (name, value) = pair.split_once('=')?;
            match name {
                "wall_s" => outcome.wall_s = value.parse().ok()?,
                "cpu_s" => outcome.cpu_s = value.parse().ok()?,
                "peak_mb" => outcome.peak_mb = value.parse().ok()?,
                "items" => outcome.items = value.parse().ok()?,
                "out" => outcome.sum.items = value.parse().ok()?,
                "sum" => outcome.sum.sum = value.parse().ok()?,
                _ => outcome.more.push((name.to_owned(), value.parse().ok()?)),
            }
        }
        (outcome.items > 0).then_some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_all() {
        let sum = Sum { items: 3, sum: u64::MAX };
        let outcome =
            Outcome { wall_s: 0.25, cpu_s: 0.5, peak_mb: 1.5, items: 7, sum, more: vec![] };
        let outcome = outcome.with("pause_ms", 2.5);
        assert_eq!(Outcome::parse(&outcome.to_string()), Some(outcome));
        assert_eq!(Outcome::parse("something else"), None);
    }
}
