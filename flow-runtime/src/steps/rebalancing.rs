//! `rebalance`, and the exchange behind `into_keyed`.

use std::fmt;
use std::marker::PhantomData;

use crate::at_home::AtHome;
use crate::bounds::{CheckItem, Item, Key};
use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::graph::{Kind, Operator};
use crate::host::{Batch, Host, Inlet, Outlet, Spread};
use crate::plan::Plan1;
use crate::state::KeyHasher;
use crate::steps::{Queued, pass};
use crate::stream::{Keyed, Stream, Token};

/// `rebalance(stream)`: spreads a stream evenly over all workers, batch by batch. The order between items is given up.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// /// One file is read by one worker; its lines are worked on by all.
/// #[dataflow]
/// fn squares(numbers: Vec<u64>, out: Collect<u64>) {
///     let all = source(from_iter(numbers));
///     let spread = rebalance(all);
///     let squares = map(spread, |n| n * n);
///     sink(squares, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// squares(vec![1, 2, 3], out).workers(3).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [1, 4, 9]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum rebalance {}

impl rebalance {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Rebalance);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<T: CheckItem<(), Passed = P>, P: Default>(_: Stream<T>) -> P {
        P::default()
    }
    #[doc(hidden)]
    pub fn __wire<T: 'static>(_: Stream<T>) -> (Stream<T>, RebalancePlan<T>) {
        (Token::token(), RebalancePlan(PhantomData))
    }
}

/// The plan of [`rebalance`].
pub struct RebalancePlan<T>(PhantomData<fn(T)>);

impl<T> fmt::Debug for RebalancePlan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RebalancePlan")
    }
}

impl<H: Host, T: Item, D: Consumer<Stream<T>>> Plan1<H, Stream<T>, (D,)> for RebalancePlan<T> {
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(self, cx: &mut H::Cx<'_>, id: StepId, (down,): (D,)) -> (Spreading<H::Outlet<T>>,) {
        let inlet = Arrived {
            id: id.clone(),
            kind: Kind::Rebalance,
            down: AtHome::new(down),
            types: PhantomData,
        };
        (Spreading { out: H::exchange(cx, id, Spread::Balanced, inlet) },)
    }
}

/// The sending side of a `rebalance`.
#[derive(Debug)]
pub struct Spreading<O> {
    out: O,
}

impl<T: 'static, O: Outlet<T>> Consumer<Stream<T>> for Spreading<O> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, crate::stream::NoKey>, item: T) {
        self.out.send(0, head.time, item);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.out.describe(to);
    }
}

/// The receiving side of an exchange whose rows are the stream's own.
pub(crate) struct Arrived<S, D> {
    id: StepId,
    kind: Kind,
    down: AtHome<D>,
    types: PhantomData<fn(S)>,
}

impl<S: Queued, D: Consumer<S>> Inlet<S::Row> for Arrived<S, D> {
    fn batch(&mut self, _: usize, batch: &mut Batch<S::Row>) {
        pass(batch, &mut self.down, S::hash, |down, time, row| {
            S::unpack(row, time, |head, item| down.push(head, item));
        });
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.get().control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, self.kind.name()).takes::<S>().emits::<S::Item>());
        self.down.seen().describe(to);
    }
}

/// The plan of `into_keyed`.
pub struct ByKey<U, K, T>(PhantomData<fn(U, K, T)>);

impl<U, K, T> fmt::Debug for ByKey<U, K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByKey")
    }
}

pub(crate) fn into_keyed_plan<U, K, T>() -> ByKey<U, K, T> {
    ByKey(PhantomData)
}

impl<H, U, K, T, D> Plan1<H, U, (D,)> for ByKey<U, K, T>
where
    H: Host,
    U: Token<Item = (K, T)>,
    K: Key,
    T: Item,
    D: Consumer<Keyed<K, T>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (Apart<U, H::Outlet<(u64, K, T)>>,) {
        let inlet = Arrived {
            id: id.clone(),
            kind: Kind::KeyBy,
            down: AtHome::new(down),
            types: PhantomData,
        };
        let out = H::exchange(cx, id, Spread::ByHash, inlet);
        (Apart { hasher: KeyHasher::new(H::worker(cx).hash_seed), out, types: PhantomData },)
    }
}

/// The sending side of an `into_keyed`.
pub struct Apart<U, O> {
    hasher: KeyHasher,
    out: O,
    types: PhantomData<fn(U)>,
}

impl<U, O> fmt::Debug for Apart<U, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Apart")
    }
}

impl<U, K, T, O> Consumer<U> for Apart<U, O>
where
    U: Token<Item = (K, T)>,
    K: Key,
    T: Item,
    O: Outlet<(u64, K, T)>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, (key, item): (K, T)) {
        let hash = self.hasher.hash(&key);
        self.out.send(hash, head.time, (hash, key, item));
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.out.describe(to);
    }
}
