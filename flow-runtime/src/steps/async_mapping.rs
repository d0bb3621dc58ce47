//! `async_map`: items in flight.

use std::fmt;
use std::marker::PhantomData;

use crate::asynchronous::{
    Answered, Async, AsyncFailed, AsyncFn, AsyncInlet, AsyncStep, Attempt, Placed, Retriable,
    attempt,
};
use crate::consumer::Consumer;
use crate::describe::StepId;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::steps::Queued;
use crate::steps::merging::MergeInput;
use crate::stream::Token;

/// `async_map(stream, options, |item| async move { .. })`: a future turns every item into one other, or refuses it. Two outputs: what was
/// answered, and the items that failed, as [`AsyncFailed`](crate::steps::AsyncFailed). [`macro@crate::async_map`] makes such a step of an
/// `async fn`.
///
/// Here the future answers a `Result`. A keyed stream stays keyed.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
/// use std::time::Duration;
///
/// /// Somebody else's service.
/// async fn price_of(product: &str) -> Result<u64, String> {
///     match product {
///         "tea" => Ok(300),
///         _ => Err(format!("there is no {product}")),
///     }
/// }
///
/// #[dataflow]
/// fn prices(products: Vec<String>, known: Collect<u64>, unknown: Collect<String>) {
///     let products = source(from_iter(products));
///     let options = Async::in_flight(16).timeout(Duration::from_secs(1));
///     let (prices, failed) = async_map(products, options, |product: String| async move { price_of(&product).await });
///     let reasons = map(failed, |failed| failed.to_string());
///     sink(prices, known);
///     sink(reasons, unknown);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let ((known, found), (unknown, reasons)) = (collect(), collect());
/// prices(vec!["tea".into(), "cake".into()], known, unknown).workers(1).spawn()?.wait()?;
/// assert_eq!(found.take(), [300]);
/// assert_eq!(reasons.take(), ["given up after 1 attempt: there is no cake"]);
/// # Ok(())
/// # }
/// ```
///
/// # What is polled, and what with
///
/// Each worker polls the futures of its own items, on its own thread, so they need not be `Send`. Nothing else is done on it meanwhile: a
/// future that computes for long, or blocks, holds up all of the worker's steps. Times go by the worker's clock, which in a
/// [simulation](crate::sim) is a virtual one.
///
/// There is no async runtime in this crate. What is woken from anywhere works as it is: channels, [`sleep`](crate::time::sleep), and
/// libraries that bring a reactor of their own. What asks for tokio, as its timers, its sockets and clients such as those for HTTP do, needs
/// the feature `tokio` of this crate: futures are then polled within the tokio runtime of the thread that starts the dataflow, or, if it has
/// none, within one that is made for the process, of one thread.
///
/// # What is recovered
///
/// Nothing in flight is ever saved. An epoch ends when all its items are out, so after a crash the source gives again what was in
/// flight, and the function is called again: what it does outside may happen twice. And what it answers may differ then; what was committed
/// stays as it was.
#[derive(Debug)]
pub enum async_map {}

impl async_map {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::AsyncMap);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U, F, G, R>(
        _: U,
        options: Async,
        f: F,
    ) -> (
        (U::With<R::Value>, U::With<AsyncFailed<U::Item>>),
        AsyncPlan<async_map, U, U::Item, R::Value>,
    )
    where
        U: Token<Item: Retriable>,
        F: Fn(U::Item) -> G + 'static,
        G: Future<Output = R> + 'static,
        R: Answered,
    {
        let plan = AsyncPlan::new(options, move |item: &U::Item| {
            let answer = f(item.again());
            attempt(async move { answer.await.answered() })
        });
        ((Token::token(), Token::token()), plan)
    }
}

impl<A: 'static, B: 'static> AsyncStep<A, B> for async_map {
    const KIND: &'static str = Kind::AsyncMap.name();
    type Out = B;
    fn out(_: A, answer: B) -> B {
        answer
    }
}

/// The plan of an asynchronous step that answers a `T` for an `A`.
pub struct AsyncPlan<Op, U, A, T> {
    options: Async,
    function: AsyncFn<A, T>,
    types: PhantomData<fn(Op, U)>,
}

impl<Op, U, A, T> fmt::Debug for AsyncPlan<Op, U, A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncPlan").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<Op, U, A, T> AsyncPlan<Op, U, A, T> {
    /// The step that begins attempts by this function.
    pub fn new(options: Async, function: impl Fn(&A) -> Attempt<T> + 'static) -> Self {
        AsyncPlan { options, function: Box::new(function), types: PhantomData }
    }
}

impl<H, Op, U, A, T, D, E> Plan1<H, U::With<A>, (D, E)> for AsyncPlan<Op, U, A, T>
where
    H: Host,
    Op: AsyncStep<A, T>,
    U: Token<Key: Placed>,
    U::With<A>: Queued,
    A: 'static,
    T: 'static,
    D: Consumer<U::With<Op::Out>>,
    E: Consumer<U::With<AsyncFailed<A>>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        downs: (D, E),
    ) -> (MergeInput<U::With<A>, H::Outlet<<U::With<A> as Queued>::Row>>,) {
        let (worker, polling) = (H::worker(cx).index, H::polling(cx));
        let wired = (self.options, self.function);
        let inlet = AsyncInlet::<Op, U, A, T, D, E>::new(id.clone(), worker, polling, wired, downs);
        let [out] = H::handoff(cx, id, inlet);
        (MergeInput::new(out),)
    }
}
