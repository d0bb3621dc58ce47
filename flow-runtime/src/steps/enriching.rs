//! `enrich`: what is looked up for an item, through a cache.

use std::cell::RefCell;
use std::rc::Rc;

use crate::asynchronous::{Answered, Async, AsyncFailed, AsyncStep, attempt};
use crate::graph::{Kind, Operator};
use crate::steps::async_mapping::AsyncPlan;
use crate::stream::Token;

mod cache;

pub use cache::Cache;
use cache::{Asked, Cached};

/// `enrich(stream, options, cache, |item| key, |key| async move { .. })`: adds to every item what is looked up for it by a key. Two outputs:
/// items with what was found, `(A, V)`, and the items whose look-up failed, as [`AsyncFailed`](crate::steps::AsyncFailed).
///
/// What was found is kept in a [`Cache`], and items whose key is being looked up wait for that one look-up. Otherwise it runs as
/// [`async_map`](crate::steps::async_map) does, with the same options, and a keyed stream stays keyed. The look-up answers a `Result`, with a value
/// that is `Clone`; a key is `Ord + Clone`, and need not be the stream's. Who asks for what is not there answers `Ok(None)`, which is kept like any
/// other value.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
/// use std::time::Duration;
///
/// #[derive(Clone)]
/// struct Order {
///     customer: u32,
///     cents: u64,
/// }
///
/// /// The city that a customer lives in, if there is such a customer.
/// async fn city_of(customer: u32) -> Result<Option<String>, String> {
///     Ok((customer == 7).then(|| "Lisbon".to_owned()))
/// }
///
/// #[dataflow]
/// fn cities(orders: Vec<Order>, out: Collect<(u64, Option<String>)>) {
///     let orders = source(from_iter(orders));
///     let cache = Cache::of(10_000).ttl(Duration::from_secs(60));
///     let (enriched, failed) = enrich(orders, Async::in_flight(32), cache, |order| order.customer, city_of);
///     discard(failed, "a look-up that fails is looked into by others");
///     let rows = map(enriched, |(order, city): (Order, Option<String>)| (order.cents, city));
///     sink(rows, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, rows) = collect();
/// let orders = [(7, 100), (8, 5), (7, 50)].map(|(customer, cents)| Order { customer, cents });
/// cities(orders.to_vec(), out).workers(1).spawn()?.wait()?;
/// let lisbon = || Some("Lisbon".to_owned());
/// assert_eq!(rows.take(), [(100, lisbon()), (5, None), (50, lisbon())]);
/// # Ok(())
/// # }
/// ```
///
/// The cache is no state. Each worker has its own, it begins empty at every start, and nothing of it is saved or moved: it saves questions,
/// and no answer may depend on it. So a key is asked for about once on each worker and in each time to live; on a stream that is keyed by
/// the same key, on one worker only.
///
/// An item that fails is tried again as the options say. Items that wait for one look-up fail with it, and the first of them to be tried
/// again begins the next.
#[derive(Debug)]
pub enum enrich {}

impl enrich {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Enrich);
    #[doc(hidden)]
    pub fn __check<U: Token>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U, K, X, F, G, R>(
        _: U,
        options: Async,
        cache: Cache,
        key: X,
        look_up: F,
    ) -> (
        (U::With<(U::Item, R::Value)>, U::With<AsyncFailed<U::Item>>),
        AsyncPlan<enrich, U, U::Item, R::Value>,
    )
    where
        U: Token,
        K: Ord + Clone + 'static,
        X: Fn(&U::Item) -> K + 'static,
        F: Fn(K) -> G + 'static,
        G: Future<Output = R> + 'static,
        R: Answered<Value: Clone>,
    {
        let (cached, look_up) = (Rc::new(RefCell::new(Cached::new(cache))), Rc::new(look_up));
        let plan = AsyncPlan::new(options, move |item: &U::Item| {
            attempt(find(key(item), Rc::clone(&cached), Rc::clone(&look_up)))
        });
        ((Token::token(), Token::token()), plan)
    }
}

impl<A: 'static, V: 'static> AsyncStep<A, V> for enrich {
    const KIND: &'static str = Kind::Enrich.name();
    type Out = (A, V);
    fn out(item: A, found: V) -> (A, V) {
        (item, found)
    }
}

/// What there is for a key: known, or looked up by somebody.
async fn find<K, F, G, R>(
    key: K,
    cached: Rc<RefCell<Cached<K, R::Value>>>,
    look_up: Rc<F>,
) -> Result<R::Value, String>
where
    K: Ord + Clone,
    F: Fn(K) -> G,
    G: Future<Output = R>,
    R: Answered<Value: Clone>,
{
    loop {
        match cache::ask(&cached, &key) {
            Asked::Known(answer) => return answer,
            // Answered, or given up: whoever comes first asks himself then.
            Asked::Joined(mut waiting) => {
                if let Some(answer) = waiting.wait().await {
                    return answer;
                }
            }
            Asked::Nobody(leading) => {
                let answer = look_up(key).await.answered();
                leading.answer(answer.clone());
                return answer;
            }
        }
    }
}
