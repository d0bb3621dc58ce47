//! Comparing what sinks hold at the end of two histories.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;

use super::disk::SimDisk;
use super::play::Ended;
use super::world::Output;

/// How many rows of each kind are shown.
const SHOWN: usize = 5;

/// Brings the rows of a sink into a form in which they can be compared; each is then a text.
pub(super) type Normal<'a> = Box<dyn Fn(Vec<Vec<u8>>) -> Result<Vec<String>, String> + 'a>;

/// What sinks hold at the end of a history: see [`Sim::check`](super::Sim::check).
pub struct Outcome {
    pub(super) history: String,
    disk: SimDisk,
    outputs: BTreeMap<String, Output>,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome").field("history", &self.history).finish_non_exhaustive()
    }
}

impl Outcome {
    pub(super) fn of(ended: &Ended) -> Outcome {
        Outcome {
            history: ended.history.to_string(),
            disk: ended.disk.clone(),
            outputs: ended.outputs.clone(),
        }
    }

    /// What a power cut at the very end changes: nothing, since everything is committed then.
    pub(super) fn is_not_durable(&self) -> Option<Difference> {
        let cut = Outcome {
            history: String::new(),
            disk: self.disk.fork().after_power_cut(),
            outputs: self.outputs.clone(),
        };
        cut.differs_from(self, &BTreeMap::new())
    }

    /// The rows of a sink, in the order in which they were written; of an output file its lines, as `String`. With several workers only the
    /// order of the rows of one key means something.
    ///
    /// # Panics
    /// When there is no such sink, and when its rows are not of this type.
    pub fn rows<T: DeserializeOwned>(&self, sink: &str) -> Vec<T> {
        let Some(output) = self.outputs.get(sink) else {
            let names: Vec<_> = self.outputs.keys().collect();
            panic!("the world has no sink `{sink}`; there are {names:?}");
        };
        let rows = output.rows(&self.disk).and_then(decode_all);
        rows.unwrap_or_else(|error| panic!("the rows of `{sink}` cannot be read: {error}"))
    }

    /// The same, sorted.
    ///
    /// # Panics
    /// As [`rows`](Outcome::rows).
    pub fn sorted_rows<T: DeserializeOwned + Ord>(&self, sink: &str) -> Vec<T> {
        let mut rows = self.rows(sink);
        rows.sort();
        rows
    }

    /// The history that has led here, as [`Sim::replay`](super::Sim::replay) takes it.
    pub fn history(&self) -> &str {
        &self.history
    }

    /// What differs from another outcome.
    pub(super) fn differs_from(
        &self,
        expected: &Outcome,
        normal: &BTreeMap<String, Normal<'_>>,
    ) -> Option<Difference> {
        self.outputs.iter().find_map(|(sink, output)| {
            let of = |outcome: &Outcome| -> Result<Vec<Vec<u8>>, String> {
                let rows = output.rows(&outcome.disk)?;
                match normal.get(sink) {
                    Some(normal) => Ok(normal(rows)?.into_iter().map(String::into_bytes).collect()),
                    None => Ok(rows),
                }
            };
            let shown = |row: &[u8]| match normal.get(sink) {
                Some(_) => String::from_utf8_lossy(row).into_owned(),
                None => output.show(row),
            };
            match (of(expected), of(self)) {
                (Ok(expected), Ok(found)) => {
                    Difference::of(sink, expected, found, output.repeats(), shown)
                }
                (_, Err(error)) | (Err(error), _) => {
                    Some(Difference { sink: sink.clone(), what: What::Unreadable(error) })
                }
            }
        })
    }
}

fn decode_all<T: DeserializeOwned>(rows: Vec<Vec<u8>>) -> Result<Vec<T>, String> {
    let decoded = rows.iter().map(|row| match postcard::take_from_bytes(row) {
        Ok((row, [])) => Ok(row),
        _ => Err(format!("they are not of the type `{}`", std::any::type_name::<T>())),
    });
    decoded.collect()
}

/// Normalises by a function of the user's.
pub(super) fn normal_by<'a, T, U>(normal: impl Fn(Vec<T>) -> Vec<U> + 'a) -> Normal<'a>
where
    T: DeserializeOwned,
    U: fmt::Debug,
{
    Box::new(move |rows| {
        let rows = normal(decode_all(rows)?);
        Ok(rows.into_iter().map(|row| format!("{row:?}")).collect())
    })
}

/// What a sink holds that it should not, and the other way round.
#[derive(Debug)]
pub(super) struct Difference {
    sink: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Rows { missing: Rows, extra: Rows },
    Unreadable(String),
}

#[derive(Debug, Default)]
struct Rows {
    count: usize,
    /// The first of them.
    shown: Vec<String>,
}

impl Rows {
    fn add(&mut self, row: impl FnOnce() -> String, times: usize) {
        self.count += times;
        if times > 0 && self.shown.len() < SHOWN {
            let times = if times > 1 { format!("   ({times} times)") } else { String::new() };
            self.shown.push(row() + &times);
        }
    }
}

impl Difference {
    fn of(
        sink: &str,
        expected: Vec<Vec<u8>>,
        found: Vec<Vec<u8>>,
        repeats: bool,
        shown: impl Fn(&[u8]) -> String,
    ) -> Option<Difference> {
        let mut counts: BTreeMap<Vec<u8>, (usize, usize)> = BTreeMap::new();
        expected.into_iter().for_each(|row| counts.entry(row).or_default().0 += 1);
        found.into_iter().for_each(|row| counts.entry(row).or_default().1 += 1);
        let (mut missing, mut extra) = (Rows::default(), Rows::default());
        for (row, (expected, found)) in counts {
            missing.add(|| shown(&row), expected.saturating_sub(found));
            // A row that may be repeated is as good as expected once.
            let allowed = if repeats && expected > 0 { found } else { expected };
            extra.add(|| shown(&row), found.saturating_sub(allowed));
        }
        let differs = missing.count + extra.count > 0;
        differs.then(|| Difference { sink: sink.to_owned(), what: What::Rows { missing, extra } })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { sink, what } = self;
        match what {
            What::Unreadable(error) => write!(f, "sink `{sink}` cannot be read: {error}"),
            What::Rows { missing, extra } => {
                write!(f, "sink `{sink}`: {} missing, {} too many", missing.count, extra.count)?;
                for (sign, rows) in [('-', missing), ('+', extra)] {
                    rows.shown.iter().try_for_each(|row| write!(f, "\n  {sign} {row}"))?;
                    if rows.count > rows.shown.len() && rows.shown.len() == SHOWN {
                        write!(f, "\n  {sign} ..")?;
                    }
                }
                Ok(())
            }
        }
    }
}
