//! How long an item is on its way when the machine is half busy: the keyed state of `keyed`, read by a source that has items at fixed
//! times, whether or not the dataflow keeps up (an open loop: what waits in front of the source counts).
//!
//! First the throughput of this machine is measured, which is not timed, and the source then has half of it. The first part of the run is
//! not counted: the table grows there.

mod paced;
mod times;

use std::time::{Duration, Instant};

use flow_runtime::RecoveryLog;
use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;

use crate::child::{Outcome, timed};
use crate::input::Numbered;
use crate::options::Job;
use crate::side;
use crate::tally::Sum;
use crate::works::durable::folder;
use crate::works::keyed::{self, Totals, key_of, record};
use crate::works::{Side, Work};

use paced::{Item, Paced};
use times::AllTimes;

/// Without a log: from due to the sink.
pub const LATENCY: Work = Work::new("latency", &[Side::new("flow", |job| measure(job, false))]);

/// With a log and an epoch each tenth of a second: also from due to committed.
pub const LATENCY_DURABLE: Work =
    Work::new("latency_durable", &[Side::new("flow", |job| measure(job, true))]);

#[stateful_map]
fn total(state: &mut Totals, _key: &u64, item: Item) -> Item {
    state.add(item.amount);
    item
}

#[dataflow]
fn totals<L, S>(records: L, keys: u64, out: S)
where
    L: Source<Item = Item>,
    S: Sink<Keyed<u64, Item>>,
{
    let items = source(records);
    let by_key = key_by(items, |item| key_of(item.amount, keys));
    let sums = total(by_key);
    sink(sums, out);
}

/// What the dataflow without a log can do at most, in items a second.
fn full_speed(job: &Job) -> f64 {
    let records = keyed::records(job);
    let source = Numbered::new(records, job.workers, record);
    let began = Instant::now();
    keyed::run(source, keyed::keys(job), job.workers, EpochPolicy::default(), None);
    records as f64 / began.elapsed().as_secs_f64()
}

fn measure(job: &Job, durable: bool) -> Outcome {
    let rate = full_speed(job) / 2.0;
    let (lasts, uncounted) = match job.quick {
        true => (Duration::from_secs(2), Duration::from_millis(500)),
        false => (Duration::from_secs(10), Duration::from_secs(2)),
    };
    let items = (rate * lasts.as_secs_f64()) as u64;
    let (at_sink, at_commit) = (AllTimes::default(), AllTimes::default());
    let folder = folder();
    let outcome = timed(items, || {
        // The threads start before the first item is due.
        let begin = Instant::now() + Duration::from_millis(50);
        let from = begin + uncounted;
        let source = Paced::new(items, job.workers, rate, begin, from, at_commit.clone());
        let mut times = at_sink.part();
        let out = for_each_keyed(move |_: &u64, item: Item| {
            if let Some(due) = item.due() {
                times.add((begin + due).elapsed());
            }
        });
        let mut dataflow = totals(source, keyed::keys(job), out);
        if durable {
            let epochs = EpochPolicy::every(Duration::from_millis(100));
            dataflow = dataflow.epochs(epochs).recovery(RecoveryLog::at(folder.path()));
        }
        let summary = side::flow::run(dataflow, job.workers);
        Sum { items: summary.items_in, sum: 0 }
    });
    let outcome = at_sink.say(outcome, "us", 1e3);
    // The rate differs from run to run, and so does the number of items: there is nothing to be compared.
    let outcome = Outcome { sum: Sum::default(), ..outcome };
    if durable { at_commit.say(outcome, "commit_ms", 1e6) } else { outcome }
}
