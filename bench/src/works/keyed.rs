//! Keyed state: running sums over a million uniform keys, 32 bytes of state, every update emitted.

use flow_runtime::io::{Sink, Source, for_each_keyed, from_iter};
use flow_runtime::prelude::*;
use flow_runtime::{RecoveryLog, Summary};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::harness::{Measured, Options, compare};
use crate::tally::{Sum, Whole};

const RECORDS: u64 = 20_000_000;
pub const KEYS: u64 = 1_000_000;

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
    #[inline(always)]
    fn add(&mut self, amount: u64) -> u64 {
        self.count += 1;
        self.sum = self.sum.wrapping_add(amount);
        self.least = if self.count == 1 { amount } else { self.least.min(amount) };
        self.most = self.most.max(amount);
        self.sum
    }
}

#[stateful_map]
fn total(state: &mut Totals, _key: &u64, amount: u64) -> u64 {
    state.add(amount)
}

#[dataflow]
fn totals<L, S>(records: L, out: S)
where
    L: Source<Item = u64>,
    S: Sink<Keyed<u64, u64>>,
{
    let amounts = source(records);
    let by_key = key_by(amounts, |amount| key_of(*amount, KEYS));
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
fn key_of(record: u64, keys: u64) -> u64 {
    ((u128::from(record) * u128::from(keys)) >> 64) as u64
}

pub fn records(options: &Options) -> u64 {
    if options.quick { RECORDS / 10 } else { RECORDS }
}

/// One run on flow: the checksum, and what the run says of itself. Without a policy every record is an epoch.
pub fn on_flow(
    records: u64,
    workers: usize,
    epochs: Option<EpochPolicy>,
    log: Option<RecoveryLog>,
) -> (Sum, Summary) {
    match epochs {
        Some(_) => run(from_iter((0..records).map(record)), workers, epochs, log),
        None => run(epochs_from((0..records).map(|n| (n, record(n)))), workers, epochs, log),
    }
}

fn run<L: Source<Item = u64>>(
    records: L,
    workers: usize,
    epochs: Option<EpochPolicy>,
    log: Option<RecoveryLog>,
) -> (Sum, Summary) {
    let whole = Whole::default();
    let mut part = whole.part();
    let out = for_each_keyed(move |key: &u64, sum: u64| part.sum().add(key ^ sum));
    let mut flow = totals(records, out).workers(workers);
    if let Some(policy) = epochs {
        flow = flow.epochs(policy);
    }
    if let Some(log) = log {
        flow = flow.recovery(log);
    }
    let summary = flow.spawn().and_then(|running| running.wait()).expect("the dataflow runs");
    (whole.sum(), summary)
}

fn by_hand(records: u64) -> Sum {
    let mut sum = Sum::default();
    let mut totals: HashMap<u64, Totals, FixedState> = HashMap::default();
    for amount in (0..records).map(record) {
        let key = key_of(amount, KEYS);
        sum.add(key ^ totals.entry(key).or_default().add(amount));
    }
    sum
}

pub fn measure(options: &Options) -> Measured {
    let records = records(options);
    // The loop has one thread whatever the workers.
    compare(
        "keyed",
        options,
        records,
        || by_hand(records),
        || on_flow(records, options.workers, Some(EpochPolicy::default()), None).0,
    )
}
