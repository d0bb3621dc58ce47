//! The schema lock: a file beside the code that says what a dataflow keeps in its recovery log.
//!
//! A program that does not fit the log of a running deployment is refused at its start. The lock finds that out earlier: it is committed, and
//! a test compares the program with it.
//!
//! ```
//! use flow_runtime::io::{Collect, collect, from_iter};
//! use flow_runtime::prelude::*;
//! use flow_runtime::schema_lock;
//!
//! #[stateful]
//! #[derive(Default)]
//! struct Spent {
//!     cents: u64,
//! }
//!
//! #[stateful_map]
//! fn spend(spent: &mut Spent, _customer: &u32, (_, cents): (u32, u64)) -> u64 {
//!     spent.cents += cents;
//!     spent.cents
//! }
//!
//! #[dataflow]
//! fn spending(sales: Vec<(u32, u64)>, out: Collect<(u32, u64)>) {
//!     let all = source(from_iter(sales));
//!     let by_customer = key_by(all, |(customer, _)| *customer);
//!     let totals = spend(by_customer);
//!     sink(totals, out);
//! }
//!
//! # /*
//! #[test]
//! # */
//! fn what_is_deployed_fits() -> Result<(), flow_runtime::Error> {
//!     schema_lock::check("schemas/spending.lock", &spending(vec![], collect().0))
//! }
//!
//! // The file is written by `FLOW_SCHEMA_LOCK=write cargo test`, and says:
//! let text = schema_lock::text(&spending(vec![], collect().0))?;
//! assert!(text.ends_with("
//! step totals
//!   kind: keyed state
//!   key: u32
//!   state: Spent v1 {
//!     cents: u64
//!   }
//! "));
//! # assert!(what_is_deployed_fits().is_err());
//! # Ok::<(), flow_runtime::Error>(())
//! ```
//!
//! * Nothing is said of what keeps nothing: stateless steps come, go and change, and so do the bodies of functions.
//! * A step that is new, and a state with a new version that converts from the one in the file, only ask that the file be written anew. The
//!   versions that were there stay in it as `older`: running deployments may have entries of them, so the conversions must stay, too.
//!   Remove such lines by hand once no deployment needs them.
//! * What a start would refuse fails with the same words: step, field, what was and what is, and the ways out. `FLOW_SCHEMA_LOCK=write`
//!   writes that down as well: it is then a line of the change that somebody reviews.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | checking and writing |
//! | `write` | the text of a lock |
//! | `parse` | reading it |

mod parse;
#[cfg(test)]
mod tests;
mod write;

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::describe::StepId;
use crate::engine::survey_steps;
use crate::error::{Error, ErrorKind};
use crate::failure;
use crate::plan::FlowPlan;
use crate::recovery::check::Written;
use crate::recovery::compare::{Allowed, Compared, Fate, Fated, compare_all};
use crate::recovery::manifest::{Format, Manifest, SavedStep, StepSpec};
use crate::recovery::older::schema_of;
use crate::run::Dataflow;

/// What says whether the file is checked or written.
const VARIABLE: &str = "FLOW_SCHEMA_LOCK";

const REWRITE: &str = "write it anew and commit it: `FLOW_SCHEMA_LOCK=write cargo test`; what it says is reviewed with the change";

/// What a dataflow keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lock {
    dataflow: String,
    /// In the order of their ids, without those that keep nothing.
    steps: Vec<(StepId, StepSpec)>,
}

/// Checks that a dataflow keeps what the lock at `path` says, which is relative to the package in tests that cargo runs. With
/// `FLOW_SCHEMA_LOCK=write` in the environment the file is written instead.
///
/// The parameters of the dataflow are looked at for their types only: nothing is opened, and nothing runs.
///
/// # Errors
/// When the dataflow keeps something else, with what a start on the log of a deployment would say to it; when the file is not
/// there, cannot be read or written, or is no lock.
pub fn check<P: FlowPlan>(path: impl AsRef<Path>, dataflow: &Dataflow<P>) -> Result<(), Error> {
    let path = path.as_ref();
    let writes = match std::env::var(VARIABLE).as_deref() {
        Ok("write") => true,
        Ok("") | Ok("check") | Err(_) => false,
        Ok(other) => {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("`{VARIABLE}={other}` means nothing"),
            )
            .help("it is `write`, or not set"));
        }
    };
    check_or_write(path, lock_of(dataflow)?, writes)
}

/// The text that a dataflow's lock has when it is first written.
///
/// # Errors
/// When the dataflow cannot be assembled from its parameters.
pub fn text<P: FlowPlan>(dataflow: &Dataflow<P>) -> Result<String, Error> {
    Ok(write::text(&lock_of(dataflow)?))
}

fn lock_of<P: FlowPlan>(dataflow: &Dataflow<P>) -> Result<Lock, Error> {
    let plan = dataflow.__plan();
    let mut steps = failure::caught(|| Ok(survey_steps(plan)))?;
    steps.retain(|(_, spec)| !spec.keeps_nothing());
    steps.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Lock { dataflow: P::GRAPH.name.to_owned(), steps })
}

fn check_or_write(path: &Path, now: Lock, writes: bool) -> Result<(), Error> {
    let committed = read(path)?;
    if let Some(committed) = &committed
        && committed.dataflow != now.dataflow
    {
        return Err(stale(format!(
            "`{}` is the lock of the dataflow `{}`, and this is `{}`",
            path.display(),
            committed.dataflow,
            now.dataflow
        ))
        .help("give every dataflow a file of its own; if it was renamed, so is it for its logs: name it as it was"));
    }
    let compared = committed.as_ref().map(|committed| compared(committed, &now)).transpose()?;
    let expected = expected(now, compared.as_ref());
    if committed.as_ref() == Some(&expected) {
        return Ok(());
    }
    if writes {
        return write_to(path, &write::text(&expected));
    }
    Err(match compared {
        None => stale(format!("`{}` is not there", path.display())).help(REWRITE),
        Some(compared) if !compared.unfit.is_empty() => stale(format!(
            "what `{}` keeps does not fit `{}`, and so no log of a deployment:\n{}",
            expected.dataflow,
            path.display(),
            compared.unfit.join("\n")
        ))
        .help(format!("if it is meant so, {REWRITE}")),
        Some(compared) => stale(format!(
            "`{}` does not say what `{}` keeps now, which deployments can go on with:{}",
            path.display(),
            expected.dataflow,
            changes(&compared)
        ))
        .help(REWRITE),
    })
}

fn stale(message: String) -> Error {
    Error::new(ErrorKind::Recovery, message)
}

/// What a start of the dataflow would make of a log that holds all that a lock says.
fn compared(committed: &Lock, now: &Lock) -> Result<Compared, Error> {
    let format = Format { dataflow: now.dataflow.clone(), groups: 1, seed: 0, hash: 1 };
    let steps = (0..).zip(&committed.steps).map(|(number, (id, spec))| SavedStep {
        number,
        id: id.as_str().to_owned(),
        spec: spec.clone(),
    });
    let manifest = Manifest {
        steps: steps.collect(),
        next_step: u32::try_from(committed.steps.len()).unwrap_or(u32::MAX),
        ..Manifest::nothing(format)
    };
    let written = |step: u32| {
        let (_, spec) = committed.steps.get(step as usize)?;
        let schemas = spec.slots.iter().map(|slot| schema_of(&slot.shape)).collect();
        Some(Written { schemas, ..Written::default() })
    };
    compare_all(&manifest, &now.steps, &Allowed::default(), &written)
}

/// What the lock should say: what is kept now, and the older versions that deployments may have.
fn expected(mut now: Lock, compared: Option<&Compared>) -> Lock {
    let fitting = compared.map_or(&[][..], |compared| &compared.steps);
    for (id, spec) in &mut now.steps {
        if let Some(step) = fitting.iter().find(|step| step.id == id.as_str()) {
            spec.clone_from(&step.spec);
        }
    }
    now
}

/// What has changed, line by line.
fn changes(compared: &Compared) -> String {
    let mut text = String::new();
    for Fated { id, fate, .. } in &compared.fates {
        let _ = match fate {
            Fate::New => write!(text, "\n  step `{id}` is new"),
            Fate::Migrated { change, .. } => {
                write!(text, "\n  step `{id}` is converted: {change}")
            }
            Fate::Kept | Fate::Renamed(_) | Fate::Dropped | Fate::Unfit => Ok(()),
        };
    }
    text
}

fn read(path: &Path) -> Result<Option<Lock>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => parse::lock(&text).map(Some).map_err(|(line, what)| {
            stale(format!("`{}`, line {line}: {what}", path.display()))
                .help("take what is committed; or remove the file, and write it anew: `FLOW_SCHEMA_LOCK=write cargo test`")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(ErrorKind::Recovery, "read", path, error)),
    }
}

#[allow(clippy::disallowed_methods)] // It is a file of the source code, and no file of a run.
fn write_to(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text))
        .map_err(|error| Error::io(ErrorKind::Recovery, "write", path, error))
}
