//! What happens to a dataflow, in a form that can be written down and played again.

use std::fmt;
use std::str::FromStr;

use crate::io::Random;

/// Runs one after the other, each but the last cut off by a crash.
///
/// As text: `w1,kill@123,w3r` is one worker, the process killed in disk operation 123, then three workers with batches of random sizes
/// to the end. `cut@123` is a power cut, `sync@123` a sync that fails, `full@123` a disk that is full, `w2e5` ends epochs after 5 items, `w2s1` is another schedule than `w2`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History(pub(super) Vec<Event>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Run(Run),
    Crash(Crash),
}

/// How the dataflow is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) workers: usize,
    /// Of several schedules, this one. They differ in the order in which workers take turns.
    pub(super) schedule: u64,
    /// Batches have random sizes.
    pub(super) rechunk: bool,
    /// An epoch ends after so many items, instead of what is set for all runs.
    pub(super) epoch: Option<u64>,
}

impl Run {
    pub(super) fn with(workers: usize) -> Run {
        Run { workers, schedule: 0, rechunk: false, epoch: None }
    }
}

/// What happens to a run, in which operation of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crash {
    pub(super) how: How,
    pub(super) operation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The process is killed.
    Kill,
    /// The power is cut.
    Cut,
    /// A sync fails, with which the run ends.
    Sync,
    /// The disk is full for a while, with which the run may end.
    Full,
}

impl How {
    const ALL: [How; 4] = [How::Kill, How::Cut, How::Sync, How::Full];

    fn name(self) -> &'static str {
        match self {
            How::Kill => "kill",
            How::Cut => "cut",
            How::Sync => "sync",
            How::Full => "full",
        }
    }
}

impl History {
    pub(super) fn then(&self, event: Event) -> History {
        let mut events = self.0.clone();
        events.push(event);
        History(events)
    }

    /// The seed of what happens last. It depends on the seed of the simulation and on what has happened: nothing else is needed to
    /// play a history again.
    pub(super) fn seed(&self, seed: u64) -> u64 {
        let mut random = Random::new(seed);
        let mut mixed = random.next_u64();
        for byte in self.to_string().bytes() {
            mixed = Random::new(mixed ^ u64::from(byte)).next_u64();
        }
        mixed
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, event) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            match event {
                Event::Run(run) => {
                    write!(f, "w{}", run.workers)?;
                    if run.schedule > 0 {
                        write!(f, "s{}", run.schedule)?;
                    }
                    if let Some(items) = run.epoch {
                        write!(f, "e{items}")?;
                    }
                    f.write_str(if run.rechunk { "r" } else { "" })?;
                }
                Event::Crash(Crash { how, operation }) => {
                    write!(f, "{}@{operation}", how.name())?;
                }
            }
        }
        Ok(())
    }
}

/// The same in words.
pub(super) struct InWords<'a>(pub(super) &'a History);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, event) in self.0.0.iter().enumerate() {
            match event {
                Event::Run(run) => {
                    f.write_str(if n > 0 { "then " } else { "" })?;
                    let workers = if run.workers == 1 { "worker" } else { "workers" };
                    write!(f, "{} {workers}", run.workers)?;
                    if run.schedule > 0 {
                        write!(f, ", schedule {}", run.schedule)?;
                    }
                    if let Some(items) = run.epoch {
                        let items_word = if items == 1 { "item" } else { "items" };
                        write!(f, ", epochs of {items} {items_word}")?;
                    }
                    f.write_str(if run.rechunk { ", batches of random sizes" } else { "" })?;
                    f.write_str(if n + 1 == self.0.0.len() { ", to the end" } else { ", " })?;
                }
                Event::Crash(Crash { how, operation }) => {
                    let what = match how {
                        How::Kill => "killed in",
                        How::Cut => "the power cut in",
                        How::Sync => "the first sync fails from",
                        How::Full => "the disk full for a while from",
                    };
                    write!(f, "{what} disk operation {operation}")?;
                    f.write_str(if matches!(how, How::Sync | How::Full) { " on; " } else { "; " })?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for History {
    type Err = String;

    fn from_str(text: &str) -> Result<History, String> {
        let mut events = Vec::new();
        for (n, word) in text.split(',').map(str::trim).enumerate() {
            let event = if n % 2 == 0 {
                parse_run(word).map(Event::Run)
            } else {
                parse_crash(word).map(Event::Crash)
            };
            events.push(event.ok_or_else(|| {
                let expected = ["a run, as `w2`", "a crash, as `kill@12` or `cut@12`"][n % 2];
                format!("`{text}` is no history: `{word}` stands where {expected} should")
            })?);
        }
        match events.last() {
            Some(Event::Run(_)) => Ok(History(events)),
            _ => Err(format!("`{text}` is no history: it ends with a crash, and not with a run")),
        }
    }
}

fn parse_run(word: &str) -> Option<Run> {
    let word = word.strip_prefix('w')?;
    let (word, rechunk) = match word.strip_suffix('r') {
        Some(word) => (word, true),
        None => (word, false),
    };
    let (word, epoch) = match word.split_once('e') {
        Some((word, items)) => (word, Some(items.parse().ok()?)),
        None => (word, None),
    };
    let (workers, schedule) = match word.split_once('s') {
        Some((workers, schedule)) => (workers, schedule.parse().ok()?),
        None => (word, 0),
    };
    Some(Run { workers: workers.parse().ok()?, schedule, rechunk, epoch })
}

fn parse_crash(word: &str) -> Option<Crash> {
    let (kind, operation) = word.split_once('@')?;
    let how = How::ALL.into_iter().find(|how| how.name() == kind)?;
    Some(Crash { how, operation: operation.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_as_it_is_written() {
        for text in ["w1", "w1,sync@3,w1,full@4,w2", "w2s3e4r", "w12e5r,kill@0,w2r,cut@123,w3e1"] {
            assert_eq!(text.parse::<History>().map(|history| history.to_string()), Ok(text.into()));
        }
        let words = InWords(&"w1r,kill@7,w2s4,cut@9,w3e1".parse().expect("is one")).to_string();
        assert_eq!(
            words,
            "1 worker, batches of random sizes, killed in disk operation 7; then 2 workers, \
             schedule 4, the power cut in disk operation 9; then 3 workers, epochs of 1 item, to the end"
        );
    }

    #[test]
    fn what_is_no_history_is_refused() {
        for (text, says) in [
            ("", "where a run"),
            ("kill@1", "where a run"),
            ("w1,w2", "where a crash"),
            ("w1,kill@", "where a crash"),
            ("w1,cut@1", "ends with a crash"),
            ("w1x", "where a run"),
        ] {
            let error = text.parse::<History>().expect_err("is refused");
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn seeds_depend_on_all_that_has_happened() {
        let seed = |text: &str, seed| text.parse::<History>().expect("is one").seed(seed);
        assert_eq!(seed("w1,kill@7,w2", 3), seed("w1,kill@7,w2", 3));
        for other in [seed("w1,kill@8,w2", 3), seed("w2,kill@7,w2", 3), seed("w1,kill@7,w2", 4)] {
            assert_ne!(seed("w1,kill@7,w2", 3), other);
        }
    }
}
