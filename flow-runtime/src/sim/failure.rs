//! Why a simulation failed, in words, with the line that plays it again.

use std::fmt;

use super::history::{History, InWords};
use super::rows::Difference;
use crate::error::Error;

/// Why a simulation failed. Displayed (and debugged, since that is what a test prints) as a text of several lines: what went wrong, what
/// the dataflow went through before, how the rows differ, and what plays exactly this history again.
pub struct SimFailure(pub(super) Box<Failure>);

/// What is known of a failure.
pub(super) struct Failure {
    pub(super) dataflow: &'static str,
    pub(super) seed: u64,
    pub(super) history: History,
    /// The operation of the last crash, in words.
    pub(super) crashed_in: Option<String>,
    pub(super) cause: Cause,
}

pub(super) enum Cause {
    /// Two runs under one seed differ.
    Unrepeatable(Difference),
    /// Another schedule gives other rows.
    Order(Difference),
    /// Other batches give other rows.
    Batches(Difference),
    /// Other epochs give other rows.
    Epochs(Difference),
    /// A crash is not made good.
    Crash(Difference),
    /// What was committed does not survive a power cut at the end.
    NotDurable(Difference),
    /// A history that was given gives other rows.
    Replayed(Difference),
    /// The run ended with an error.
    Run(Error),
    /// The user's check panicked.
    Check(Error),
    /// What was asked for makes no sense.
    Asked(String),
}

impl SimFailure {
    /// The seed of the simulation.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// The history that failed, as [`Sim::replay`](super::Sim::replay) takes it.
    pub fn history(&self) -> String {
        self.0.history.to_string()
    }
}

impl fmt::Display for SimFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { dataflow, seed, history, crashed_in, cause } = &*self.0;
        if let Cause::Asked(what) = cause {
            return write!(f, "the simulation of `{dataflow}` cannot begin: {what}");
        }
        writeln!(f, "the simulation of `{dataflow}` failed: {cause}\n")?;
        writeln!(f, "  history: {}", InWords(history))?;
        if let Some(operation) = crashed_in {
            writeln!(f, "  the last crash came in: {operation}")?;
        }
        if let Some(difference) = cause.difference() {
            let difference = difference.to_string().replace('\n', "\n  ");
            writeln!(f, "  {difference}")?;
        }
        write!(f, "  again:   .seed({seed}).replay(\"{history}\")")
    }
}

impl fmt::Debug for SimFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SimFailure {}

impl Cause {
    fn difference(&self) -> Option<&Difference> {
        match self {
            Cause::Unrepeatable(difference)
            | Cause::Order(difference)
            | Cause::Batches(difference)
            | Cause::Epochs(difference)
            | Cause::Crash(difference)
            | Cause::NotDurable(difference)
            | Cause::Replayed(difference) => Some(difference),
            Cause::Run(_) | Cause::Check(_) | Cause::Asked(_) => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Unrepeatable(_) => f.write_str(
                "the same run, done twice, gives different rows\n  \
                 something outlives a run, or differs between runs: a `static`, an `Rc` or `Arc` that was captured, a clock, random \
                 numbers, the order of a `HashMap`\n  \
                 help: keep what a step remembers in its `#[stateful]` state, and nowhere else",
            ),
            Cause::Order(_) => f.write_str(
                "the result depends on the order in which items arrive: it differs without any crash\n  \
                 items of different partitions and workers come in any order; only those of one key and one partition keep theirs\n  \
                 help: key by what must stay in order, sort by something in the item, or say that it may differ: `compare_by`, \
                 `any_order_of_arrival`",
            ),
            Cause::Batches(_) => f.write_str(
                "the result depends on where batches end: it differs without any crash\n  \
                 how many items come together is up to the engine\n  \
                 help: let nothing depend on it; `chunk` makes groups of a given size",
            ),
            Cause::Epochs(_) => f.write_str(
                "the result depends on where epochs end: it differs without any crash\n  \
                 epochs end by time, and after a crash elsewhere than before\n  \
                 help: let no step look at the epoch or emit at its end; on a keyed stream `chunk` keeps its items until it is full. Or give \
                 the epochs: `world.epochs(..)`, `.epochs(..)`",
            ),
            Cause::Crash(_) => f.write_str(
                "after a crash the result is not that of an uninterrupted run\n  \
                 something that it depends on is not saved: it is kept outside of the state of a step, or comes from a clock or \
                 from random numbers\n  \
                 help: keep what a step remembers in its `#[stateful]` state, and nowhere else",
            ),
            Cause::NotDurable(_) => f.write_str(
                "a power cut after the end takes away what had been committed\n  \
                 a sink does not make durable what it has sealed: rows, a file's name in its folder, or the folder itself\n  \
                 help: let `SinkWriter::durable` sync the file, and where the file is new its folder, too",
            ),
            Cause::Replayed(_) => f.write_str("the rows are not those of an uninterrupted run"),
            Cause::Run(error) => write!(f, "a run ended with an error\n  {}", indented(error)),
            Cause::Check(error) => write!(f, "the check {}", indented(error)),
            Cause::Asked(what) => f.write_str(what),
        }
    }
}

fn indented(error: &Error) -> String {
    error.to_string().replace('\n', "\n  ")
}
