use std::collections::BTreeMap;

use flow_runtime::Error;
use flow_runtime::io::{Encoder, Io, PartitionId, Resume, SinkWriter, delivery};
use flow_runtime::prelude::*;
use flow_runtime::time::Barrier;

#[derive(Clone)]
struct Table;

impl Sink<Keyed<String, u64>> for Table {
    type Block = BTreeMap<String, u64>;
    type Position = ();
    type Encoder = Table;
    type Writer = Table;
    type Delivery = delivery::Upsert;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("table")])
    }
    fn encoder(&self) -> Table {
        Table
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<Table, Error> {
        Ok(Table)
    }
}

impl Encoder<Keyed<String, u64>> for Table {
    type Block = BTreeMap<String, u64>;
    fn encode(
        &mut self,
        key: &String,
        total: u64,
        block: &mut BTreeMap<String, u64>,
    ) -> Result<usize, Error> {
        block.insert(key.clone(), total);
        Ok(block.len())
    }
}

impl SinkWriter for Table {
    type Block = BTreeMap<String, u64>;
    type Position = ();
    fn write(&mut self, _: BTreeMap<String, u64>) -> Result<(), Error> {
        Ok(())
    }
    fn seal(&mut self, _: Barrier) -> Result<(), Error> {
        Ok(())
    }
}

#[dataflow(delivery = exactly_once)]
fn totals(sales: Vec<(String, u64)>, table: Table) {
    let all = source(from_iter(sales));
    let by_customer = into_keyed(all);
    sink(by_customer, table);
    #[id = "declared"]
    sink(by_customer, deterministic(table));
}

#[dataflow(delivery = exactly_once)]
fn not_an_upsert(text: Lines) {
    let lines = source(text);
    sink(lines, deterministic(Stdout::lines()));
}

fn main() {
    let _ = totals(Vec::new(), Table);
    let _ = not_an_upsert(Lines::of("text"));
}
