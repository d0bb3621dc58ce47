//! Keyed state: running sums over uniform keys or few that follow Zipf's law, 32 bytes of state, every update emitted.

use flow_runtime::io::{Sink, Source, for_each_keyed};
use flow_runtime::prelude::*;
use flow_runtime::{RecoveryLog, Summary};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use renoir::BatchMode;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::vec::ToStream;
use timely::dataflow::operators::{Inspect, Operator};

use crate::child::{Outcome, timed};
use crate::input::{Numbered, part};
use crate::options::Job;
use crate::side;
use crate::side::hand::{Mesh, owner};
use crate::tally::{Sum, Whole};
use crate::text::{Random, Zipf};
use crate::works::{Side, Work};

/// A million uniform keys, records computed on the fly.
pub const KEYED: Work = Work::new(
    "keyed",
    &[
        Side::new("hand", |job| by_hand(job, record, keys(job))),
        Side::new("flow", |job| on_flow(job, record, keys(job))),
        Side::new("timely", |job| on_timely(job, record, keys(job))),
        Side::new("renoir", |job| on_renoir(job, record, keys(job))),
    ],
);

/// Ten thousand keys of which a few are frequent, records in memory.
pub const KEYED_ZIPF: Work = Work::new(
    "keyed_zipf",
    &[
        Side::new("hand", |job| by_hand(job, zipf(job), ZIPF_KEYS)),
        Side::new("flow", |job| on_flow(job, zipf(job), ZIPF_KEYS)),
        Side::new("timely", |job| on_timely(job, zipf(job), ZIPF_KEYS)),
        Side::new("renoir", |job| on_renoir(job, zipf(job), ZIPF_KEYS)),
    ],
);

const RECORDS: u64 = 20_000_000;
const KEYS: u64 = 1_000_000;
const ZIPF_KEYS: u64 = 10_000;

/// What is kept of a key.
#[stateful]
#[derive(Clone, Copy, Default)]
pub struct Totals {
    count: u64,
    sum: u64,
    least: u64,
    most: u64,
}

impl Totals {
    /// One more amount; answers how many there have been. Of all that is kept, this alone does not depend on the order in which two
    /// readers' records come, so it is what can be compared.
    #[inline(always)]
    pub fn add(&mut self, amount: u64) -> u64 {
        self.count += 1;
        self.sum = self.sum.wrapping_add(amount);
        self.least = if self.count == 1 { amount } else { self.least.min(amount) };
        self.most = self.most.max(amount);
        self.count
    }
}

/// What an update adds to the checksum.
#[inline(always)]
fn update(sum: &mut Sum, key: u64, count: u64) {
    sum.add(key.wrapping_mul(31) ^ count);
}

#[stateful_map]
fn total(state: &mut Totals, _key: &u64, amount: u64) -> u64 {
    state.add(amount)
}

#[dataflow]
fn totals<L, S>(records: L, keys: u64, out: S)
where
    L: Source<Item = u64>,
    S: Sink<Keyed<u64, u64>>,
{
    let amounts = source(records);
    let by_key = key_by(amounts, |amount| key_of(*amount, keys));
    let sums = total(by_key);
    sink(sums, out);
}

/// The n-th record.
#[inline(always)]
pub fn record(n: u64) -> u64 {
    let z = (n.wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The key of a record, among `keys`.
#[inline(always)]
pub fn key_of(record: u64, keys: u64) -> u64 {
    ((u128::from(record) * u128::from(keys)) >> 64) as u64
}

/// Records whose keys follow Zipf's law.
fn zipf(job: &Job) -> impl Fn(u64) -> u64 + Copy + Send + Sync + 'static {
    let ranks = Zipf::of(ZIPF_KEYS as usize);
    let mut random = Random(7);
    let each = u64::MAX / ZIPF_KEYS;
    let mut make = || {
        let least = ((ranks.draw(&mut random) as u128) << 64).div_ceil(u128::from(ZIPF_KEYS));
        least as u64 + random.word() % (each - 1)
    };
    let records: Vec<u64> = (0..records(job)).map(|_| make()).collect();
    let records: &'static [u64] = records.leak();
    |n| records[n as usize]
}

/// How many uniform keys there are: as many records to each in a quick run as in another.
pub fn keys(job: &Job) -> u64 {
    job.scaled(KEYS)
}

/// How many records there are.
pub fn records(job: &Job) -> u64 {
    job.scaled(RECORDS)
}

fn on_flow(job: &Job, make: impl Fn(u64) -> u64 + Copy + Send + 'static, keys: u64) -> Outcome {
    let records = records(job);
    timed(records, || {
        let source = Numbered::new(records, job.workers, make);
        run(source, keys, job.workers, EpochPolicy::default(), None).0
    })
}

/// One run on flow: the checksum, and what the run says of itself.
pub fn run<L: Source<Item = u64>>(
    records: L,
    keys: u64,
    workers: usize,
    epochs: EpochPolicy,
    log: Option<RecoveryLog>,
) -> (Sum, Summary) {
    let whole = Whole::default();
    let mut part = whole.part();
    let out = for_each_keyed(move |key: &u64, count: u64| update(part.sum(), *key, count));
    let mut dataflow = totals(records, keys, out).epochs(epochs);
    if let Some(log) = log {
        dataflow = dataflow.recovery(log);
    }
    let summary = side::flow::run(dataflow, workers);
    (whole.sum(), summary)
}

fn on_timely<F>(job: &Job, make: F, keys: u64) -> Outcome
where
    F: Fn(u64) -> u64 + Copy + Send + Sync + 'static,
{
    let records = records(job);
    timed(records, || {
        let whole = Whole::default();
        let parts = whole.clone();
        side::timely::run(job.workers, move |worker| {
            let amounts = part(records, worker.index(), worker.peers()).map(make);
            let mut sums = parts.part();
            worker.dataflow::<u64, _, _>(|scope| {
                let route = Exchange::new(move |amount| hash(key_of(*amount, keys)) >> 24);
                let counts = amounts.to_stream(scope).unary(route, "total", |_, _| {
                    let mut totals: HashMap<u64, Totals, FixedState> = HashMap::default();
                    move |input, output| {
                        input.for_each(|time, amounts: &mut Vec<u64>| {
                            let mut session = output.session(&time);
                            for amount in amounts.drain(..) {
                                let key = key_of(amount, keys);
                                session.give((key, totals.entry(key).or_default().add(amount)));
                            }
                        });
                    }
                });
                counts
                    .container::<Vec<_>>()
                    .inspect(move |(key, count)| update(sums.sum(), *key, *count));
            });
        });
        whole.sum()
    })
}

fn on_renoir<F>(job: &Job, make: F, keys: u64) -> Outcome
where
    F: Fn(u64) -> u64 + Copy + Send + Sync + 'static,
{
    let records = records(job);
    timed(records, || {
        let whole = Whole::default();
        let mut sums = whole.part();
        side::renoir::run(job.workers, |env| {
            let amounts = env.stream_par_iter(move |worker, workers| {
                part(records, worker as usize, workers as usize).map(make)
            });
            let amounts = amounts.batch_mode(BatchMode::fixed(1024));
            let by_key = amounts.group_by(move |amount| key_of(*amount, keys));
            let mut totals = Totals::default();
            // Each key has a copy of the function, and so of what it keeps.
            let counts = by_key.rich_map(move |(_, amount)| totals.add(amount));
            counts.for_each(move |(key, count)| update(sums.sum(), key, count));
        });
        whole.sum()
    })
}

/// What the loop keeps.
#[derive(Default)]
struct Loop {
    totals: HashMap<u64, Totals, FixedState>,
    sum: Sum,
}

impl Loop {
    #[inline(always)]
    fn take(&mut self, keys: u64, amount: u64) {
        let key = key_of(amount, keys);
        let count = self.totals.entry(key).or_default().add(amount);
        update(&mut self.sum, key, count);
    }
}

fn by_hand(job: &Job, make: impl Fn(u64) -> u64 + Copy + Sync, keys: u64) -> Outcome {
    let records = records(job);
    let alone = || {
        let mut kept = Loop::default();
        (0..records).for_each(|n| kept.take(keys, make(n)));
        kept.sum
    };
    let together = |mut mesh: Mesh<u64>| {
        let mut kept = Loop::default();
        let mut take = |amount| kept.take(keys, amount);
        for n in part(records, mesh.me(), mesh.threads()) {
            let amount = make(n);
            mesh.give(owner(hash(key_of(amount, keys)), job.workers), amount, &mut take);
        }
        mesh.finish(&mut take);
        kept.sum
    };
    timed(records, || match job.workers {
        1 => alone(),
        several => side::hand::exchanging(several, together),
    })
}

/// A hash that is good enough to deal keys out.
#[inline(always)]
pub fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
