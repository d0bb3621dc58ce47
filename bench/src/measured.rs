//! What came out of measuring a work, in words and for programs.

use std::fmt;

use crate::child::Outcome;
use crate::spread::Spread;
use crate::tally::Sum;
use crate::works::{PEERS, Ratio, Work};

/// The runs of one side.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The side.
    pub name: &'static str,
    /// Its runs.
    pub runs: Vec<Outcome>,
    /// Why there are no more.
    pub failed: Option<String>,
}

impl Measured {
    /// A side that has not run.
    pub fn new(name: &'static str) -> Measured {
        Measured { name, runs: Vec::new(), failed: None }
    }

    /// Millions of items a second.
    pub fn rate(&self) -> Spread {
        self.spread(|run| run.items as f64 / run.wall_s / 1e6)
    }

    /// Any number of the runs.
    pub fn spread(&self, of: impl Fn(&Outcome) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(of))
    }

    /// What else the runs said: the median of each.
    pub fn more(&self) -> Vec<(&str, f64)> {
        let Some(first) = self.runs.first() else { return Vec::new() };
        let median =
            |at: usize| self.spread(|run| run.more.get(at).map_or(0.0, |(_, value)| *value)).median;
        first.more.iter().enumerate().map(|(at, (name, _))| (name.as_str(), median(at))).collect()
    }
}

/// A work with a number of workers.
#[derive(Debug)]
pub struct Row {
    /// The work.
    pub work: &'static Work,
    /// The number of workers.
    pub workers: usize,
    /// What it was measured with.
    pub sides: Vec<Measured>,
}

impl Row {
    /// Whether all sides that have run came to the same result in all runs, and none has failed but another engine.
    pub fn agrees(&self) -> bool {
        let mut sums = self.sides.iter().flat_map(|side| &side.runs).map(|run| run.sum);
        let equal = sums.next().is_none_or(|first| sums.all(|sum| sum == first));
        let failed = |side: &Measured| side.failed.is_some() && !PEERS.contains(&side.name);
        equal && !self.sides.iter().any(failed)
    }

    /// How often flow goes into a side's place: above 1 where flow is better. `None` where one of them has not run.
    pub fn ratio(&self, side: &Measured) -> Option<f64> {
        let flow = self.flow()?;
        let ratio = match self.work.ratio {
            Ratio::Speed => flow.rate().median / side.rate().median,
            // Of bytes: below 1 where flow is better.
            Ratio::Resident => self.resident(flow)? / self.resident(side)?,
        };
        (!flow.runs.is_empty() && !side.runs.is_empty()).then_some(ratio)
    }

    /// How much more processor time a side takes than flow, and how much more memory flow takes than it.
    fn other_ratios(&self, side: &Measured) -> (f64, f64) {
        let cpu = |side: &Measured| side.spread(|run| run.cpu_s).median;
        let peak = |side: &Measured| side.spread(|run| run.peak_mb).median;
        self.flow().map_or((0.0, 0.0), |flow| (cpu(side) / cpu(flow), peak(flow) / peak(side)))
    }

    fn flow(&self) -> Option<&Measured> {
        self.sides.iter().find(|side| side.name == "flow")
    }

    fn resident(&self, side: &Measured) -> Option<f64> {
        side.more().into_iter().find(|(name, _)| *name == "resident_mb").map(|(_, value)| value)
    }

    /// The fastest of the other engines.
    fn best_peer(&self) -> Option<&Measured> {
        let peers =
            self.sides.iter().filter(|side| PEERS.contains(&side.name) && !side.runs.is_empty());
        peers.max_by(|a, b| a.rate().median.total_cmp(&b.rate().median))
    }

    /// One line for programs.
    pub fn line(&self) -> String {
        let mut line = format!("work={} workers={}", self.work.name, self.workers);
        let mut say = |name: &str, value: String| line.push_str(&format!(" {name}={value}"));
        let first = self.sides.first().filter(|first| first.name != "flow");
        if let Some((first, ratio)) = first.and_then(|first| Some((first, self.ratio(first)?))) {
            say(&format!("vs_{}", first.name), format!("{ratio:.2}"));
            let (cpu, peak) = self.other_ratios(first);
            match self.work.ratio {
                Ratio::Speed => say(&format!("vs_{}_cpu", first.name), format!("{cpu:.2}")),
                Ratio::Resident => say(&format!("peak_vs_{}", first.name), format!("{peak:.2}")),
            }
        }
        if let Some((peer, ratio)) =
            self.best_peer().and_then(|peer| Some((peer, self.ratio(peer)?)))
        {
            say("vs_best_peer", format!("{ratio:.2}"));
            say("peer", peer.name.to_owned());
        }
        for peer in self.sides.iter().filter(|side| PEERS.contains(&side.name)) {
            match self.ratio(peer) {
                Some(ratio) => say(&format!("vs_{}", peer.name), format!("{ratio:.2}")),
                None => say(&format!("vs_{}", peer.name), "failed".to_owned()),
            }
        }
        for side in &self.sides {
            say(&format!("{}_per_s", side.name), format!("{:.0}", side.rate().median * 1e6));
        }
        for side in &self.sides {
            say(
                &format!("{}_cpu_s", side.name),
                format!("{:.3}", side.spread(|run| run.cpu_s).median),
            );
            say(
                &format!("{}_peak_mb", side.name),
                format!("{:.1}", side.spread(|run| run.peak_mb).median),
            );
        }
        if let Some((first, resident)) =
            first.and_then(|first| Some((first, self.resident(first)?)))
        {
            say(&format!("{}_resident_mb", first.name), short(resident));
        }
        for (name, value) in self.flow().map(Measured::more).unwrap_or_default() {
            say(name, short(value));
        }
        say("agrees", self.agrees().to_string());
        line
    }
}

/// A number with no more digits than it deserves.
pub fn short(value: f64) -> String {
    match value {
        whole if whole.fract() == 0.0 => format!("{whole:.0}"),
        large if large >= 1000.0 => format!("{large:.0}"),
        middle if middle >= 10.0 => format!("{middle:.1}"),
        small => format!("{small:.3}"),
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for side in &self.sides {
            let name = side.name;
            if let Some(why) = &side.failed {
                writeln!(f, "  {name:<10}  FAILED: {why}")?;
            }
            if side.runs.is_empty() {
                continue;
            }
            let (cpu, peak) = (side.spread(|run| run.cpu_s), side.spread(|run| run.peak_mb));
            write!(f, "  {name:<10}  {} M/s   cpu {cpu} s   peak {peak} MB", side.rate())?;
            side.more()
                .iter()
                .try_for_each(|(name, value)| write!(f, "   {name} {}", short(*value)))?;
            writeln!(f)?;
        }
        if !self.agrees() {
            let sums: Vec<(&str, Vec<Sum>)> = self
                .sides
                .iter()
                .map(|side| (side.name, side.runs.iter().map(|run| run.sum).collect()))
                .collect();
            writeln!(f, "  THE RESULTS ARE NOT EQUAL: {sums:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static WORK: Work = Work {
        name: "sums",
        sides: &[],
        ratio: Ratio::Speed,
        workers: None,
        once: false,
        never_quick: false,
    };

    fn side(name: &'static str, walls: &[f64]) -> Measured {
        let sum = Sum { items: 1, sum: 2 };
        let run = |wall_s: &f64| Outcome {
            wall_s: *wall_s,
            cpu_s: 1.0,
            items: 8,
            sum,
            ..Outcome::default()
        };
        Measured { name, runs: walls.iter().map(run).collect(), failed: None }
    }

    fn row(sides: Vec<Measured>) -> Row {
        Row { work: &WORK, workers: 1, sides }
    }

    #[test]
    fn ratios_are_of_medians() {
        let row =
            row(vec![side("hand", &[9.0, 2.0, 1.0]), side("flow", &[1.0]), side("timely", &[4.0])]);
        let line = row.line();
        assert!(line.starts_with("work=sums workers=1 vs_hand=2.00 "), "{line}");
        assert!(line.contains(" vs_best_peer=4.00 peer=timely vs_timely=4.00 "), "{line}");
        assert!(line.ends_with(" agrees=true"), "{line}");
    }

    #[test]
    fn another_engine_may_fail_but_not_differ() {
        let mut failed = side("renoir", &[]);
        failed.failed = Some("no".into());
        let with_failure = row(vec![side("hand", &[1.0]), side("flow", &[1.0]), failed.clone()]);
        assert!(with_failure.agrees());
        assert!(with_failure.line().contains(" vs_renoir=failed "), "{}", with_failure.line());
        failed.name = "flow";
        assert!(!row(vec![side("hand", &[1.0]), failed]).agrees());
        let mut other = side("timely", &[1.0]);
        other.runs[0].sum.sum = 3;
        assert!(!row(vec![side("hand", &[1.0]), side("flow", &[1.0]), other]).agrees());
    }
}
