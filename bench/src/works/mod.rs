//! What is measured, one work a file.

mod compile_time;
mod durable;
mod exchange;
mod fused;
mod keyed;
mod latency;
mod memory;
mod nexmark;
mod restart;
mod stateless;
mod timers;
mod windows;
mod words;
mod words_inline;

use crate::child::Outcome;
use crate::options::{Job, Options};

/// The sides that are other engines: they may fail, and the rest goes on.
pub const PEERS: &[&str] = &["timely", "renoir"];

/// Something to be done, in several ways.
#[derive(Debug)]
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// The ways. Flow is compared with the first in the first place.
    pub sides: &'static [Side],
    /// What of it is compared.
    pub ratio: Ratio,
    /// The only number of workers that makes sense, if there is one.
    pub workers: Option<usize>,
    /// One run is enough, and more would take long.
    pub once: bool,
    /// It has no quick version.
    pub never_quick: bool,
}

/// A way to do it.
#[derive(Debug)]
pub struct Side {
    /// Its name.
    pub name: &'static str,
    /// Makes the input and does it.
    pub run: fn(&Job) -> Outcome,
}

/// What of a work is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ratio {
    /// Items a second.
    Speed,
    /// Memory that is resident at the end, which runs give as `resident_mb`.
    Resident,
}

impl Work {
    const fn new(name: &'static str, sides: &'static [Side]) -> Work {
        Work { name, sides, ratio: Ratio::Speed, workers: None, once: false, never_quick: false }
    }
}

impl Side {
    const fn new(name: &'static str, run: fn(&Job) -> Outcome) -> Side {
        Side { name, run }
    }
}

/// All works.
const ALL: &[&Work] = &[
    &stateless::STATELESS,
    &fused::FUSED,
    &words::WORDS,
    &words_inline::WORDS_INLINE,
    &keyed::KEYED,
    &keyed::KEYED_ZIPF,
    &exchange::EXCHANGE,
    &nexmark::Q1,
    &nexmark::Q2,
    &nexmark::Q3,
    &nexmark::Q5,
    &nexmark::Q7,
    &nexmark::Q8,
    &windows::TUMBLING,
    &windows::HOPPING,
    &windows::WATERMARKS,
    &timers::TIMERS,
    &durable::EACH_SECOND,
    &durable::EACH_MILLION,
    &durable::EACH_ITEM,
    &restart::ONE,
    &restart::FOUR,
    &restart::SIXTEEN,
    &latency::LATENCY,
    &latency::LATENCY_DURABLE,
    &memory::MEMORY,
    &compile_time::COMPILE_TIME,
];

/// The works that are asked for.
///
/// # Errors
/// When there is no work of a name.
pub fn chosen(options: &Options) -> Result<Vec<&'static Work>, String> {
    let works = match &options.works {
        Some(names) => names.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
        None => ALL.to_vec(),
    };
    Ok(works.into_iter().filter(|work| !(options.quick && work.never_quick)).collect())
}

fn find(name: &str) -> Result<&'static Work, String> {
    ALL.iter().copied().find(|work| work.name == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|work| work.name).collect();
        format!("there is no work `{name}`; there are: {}", names.join(", "))
    })
}

/// The side that a run is of.
///
/// # Errors
/// When there is none.
pub fn side(job: &Job) -> Result<&'static Side, String> {
    let side = find(&job.work)?.sides.iter().find(|side| side.name == job.side);
    side.ok_or(format!("`{}` has no side `{}`", job.work, job.side))
}
