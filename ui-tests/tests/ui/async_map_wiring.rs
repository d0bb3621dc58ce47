use flow_runtime::io::from_iter;
use flow_runtime::prelude::*;

#[async_map]
async fn score(amount: u64, limit: &u64) -> Result<u64, String> {
    Ok(amount * 100 / limit)
}

#[dataflow]
fn one_name(amounts: Vec<u64>) {
    let all = source(from_iter(amounts));
    let scored = score(all, Async::in_flight(8), 100);
    discard(scored, "only wired");
}

#[dataflow]
fn failed_unused(amounts: Vec<u64>) {
    let all = source(from_iter(amounts));
    let (scored, failed) = score(all, Async::in_flight(8), 100);
    discard(scored, "only wired");
}

#[dataflow]
fn no_options(amounts: Vec<u64>) {
    let all = source(from_iter(amounts));
    let (scored, failed) = score(all, 100);
    discard(scored, "only wired");
    discard(failed, "only wired");
}

#[dataflow]
fn wrong_item(lines: Vec<String>) {
    let all = source(from_iter(lines));
    let (scored, failed) = score(all, Async::in_flight(8), 100);
    discard(scored, "only wired");
    discard(failed, "only wired");
}

fn main() {}
