use flow_runtime::io::from_iter;
use flow_runtime::prelude::*;

#[stateful]
#[derive(Default)]
struct Limits {
    most: u64,
}

#[async_map]
async fn check(amount: u64, limits: &Limits) -> bool {
    amount <= limits.most
}

#[dataflow]
fn live(amounts: Vec<u64>, changes: Vec<u64>) {
    let all = source(from_iter(amounts));
    let news = source(from_iter(changes));
    let limits = broadcast(news, |limits: &mut Limits, most| limits.most = most);
    let (checked, failed) = check(all, Async::in_flight(8), limits);
    discard(checked, "only wired");
    discard(failed, "only wired");
}

struct Order(u64);

#[dataflow]
fn not_clone(amounts: Vec<u64>) {
    let all = source(from_iter(amounts));
    let orders = map(all, Order);
    let (checked, failed) =
        async_map(orders, Async::in_flight(8), |order: Order| async move { Ok::<_, String>(order.0) });
    discard(checked, "only wired");
    discard(failed, "only wired");
}

#[dataflow]
fn no_result(amounts: Vec<u64>) {
    let all = source(from_iter(amounts));
    let (checked, failed) = async_map(all, Async::in_flight(8), |n: u64| async move { n + 1 });
    discard(checked, "only wired");
    discard(failed, "only wired");
}

#[dataflow]
fn not_a_future(amounts: Vec<u64>) {
    let all = source(from_iter(amounts));
    let (found, failed) = enrich(all, Async::in_flight(8), Cache::of(8), |n| *n, |n| n + 1);
    discard(found, "only wired");
    discard(failed, "only wired");
}

fn main() {}
