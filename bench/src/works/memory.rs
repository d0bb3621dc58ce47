//! Memory for each key: a hundred million numbers with 32 bytes of state each, beside a hash map of the same and nothing else.

use std::sync::{Arc, OnceLock};

use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::machine;
use crate::options::Job;
use crate::side;
use crate::tally::Sum;
use crate::works::keyed::{Totals, record};
use crate::works::{Ratio, Side, Work};

/// The work. It takes up to ten gigabytes.
pub const MEMORY: Work = Work {
    ratio: Ratio::Resident,
    workers: Some(1),
    once: true,
    ..Work::new("memory", &[Side::new("bare_map", bare_map), Side::new("flow", on_flow)])
};

const KEYS: u64 = 100_000_000;

#[stateful_map]
fn total(state: &mut Totals, _key: &u64, amount: u64) -> u64 {
    state.add(amount)
}

#[dataflow]
fn distinct<L, S>(numbers: L, out: S)
where
    L: Source<Item = u64>,
    S: Sink<Keyed<u64, u64>>,
{
    let all = source(numbers);
    // Different numbers make different records.
    let by_record = key_by(all, |n| record(*n));
    let counts = total(by_record);
    sink(counts, out);
}

fn on_flow(job: &Job) -> Outcome {
    let keys = job.scaled(KEYS);
    let before = machine::resident_mb();
    // There is one worker: its last item is the last of all, and everything is still there.
    let resident: Arc<OnceLock<f64>> = Arc::default();
    let seen = Arc::clone(&resident);
    let outcome = timed(keys, || {
        let mut sum = Sum::default();
        let out = for_each_keyed(move |_: &u64, count: u64| {
            sum.add(count);
            if sum.items == keys {
                seen.get_or_init(machine::resident_mb);
            }
        });
        let summary = side::flow::run(distinct(Numbered::new(keys, 1, |n| n), out), 1);
        Sum { items: summary.items_in, sum: 0 }
    });
    let resident = resident.get().expect("all keys came to the sink");
    outcome.with("resident_mb", resident - before)
}

fn bare_map(job: &Job) -> Outcome {
    let keys = job.scaled(KEYS);
    let before = machine::resident_mb();
    let mut resident = 0.0;
    let outcome = timed(keys, || {
        let mut totals: HashMap<u64, [u64; 4], FixedState> = HashMap::default();
        for n in 0..keys {
            totals.entry(record(n)).or_default()[0] += 1;
        }
        resident = machine::resident_mb();
        Sum { items: totals.len() as u64, sum: 0 }
    });
    outcome.with("resident_mb", resident - before)
}
