//! `as_of_join`: the version that was valid at an item's time.

use std::fmt;
use std::marker::PhantomData;

use crate::bounds::{CheckHeld, Item, Key, SameKey};
use crate::consumer::Consumer;
use crate::describe::StepId;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::joins::{AsOf, Valid};
use crate::plan::Plan2;
use crate::steps::by_function::IsKeyed;
use crate::steps::joining::waiting::{NoneLate, Waiting};
use crate::steps::merging::{BothSides, both_sides};
use crate::stream::{Keyed, Token};

/// `let (matched, unmatched) = as_of_join(left, versions, AsOf::keep(d))`: each left item with the version of its key that was valid at its
/// event time: the latest whose time is not after its own.
///
/// A left item waits until event time has passed it, so a version of the same time counts, whichever of the two comes first; an order
/// never sees a price of the future, and never misses one that came a little later. Of several versions of one time the last to arrive
/// counts. A pair has the left item's event time.
///
/// A version is kept, in memory and in the log, until event time has come further than [`AsOf::keep`] behind the one that replaces it; the
/// last version of a key stays. A left item that comes late is decided at once, by what is kept. It is unmatched if there was no
/// version, or if the one that it needs has been given up. A version that comes late counts for what is decided after it.
///
/// At the end of the input left items go on waiting and are saved, for input may be appended. `--finish`, and the end of a run without a
/// recovery log, decide them.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// An article, a second, and a number of pieces or a price.
/// type Row = (u32, i64, u64);
///
/// /// What orders cost, by the prices of their time.
/// #[dataflow]
/// fn costs(orders: Vec<Row>, prices: Vec<Row>, out: Collect<(u32, u64)>) {
///     let all_orders = source(from_iter(orders));
///     let timed_orders = event_time(all_orders, |row| Timestamp::from_secs(row.1), Disorder::none());
///     let orders_of = key_by(timed_orders, |row| row.0);
///     let all_prices = source(from_iter(prices));
///     let timed_prices = event_time(all_prices, |row| Timestamp::from_secs(row.1), Disorder::none());
///     let prices_of = key_by(timed_prices, |row| row.0);
///     let (matched, unmatched) = as_of_join(orders_of, prices_of, AsOf::keep(Duration::ZERO));
///     fail(unmatched);
///     let cost = map(matched, |(order, price)| order.2 * price.2);
///     sink(cost, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, cost) = collect();
/// costs(vec![(1, 20, 3), (1, 60, 1)], vec![(1, 10, 100), (1, 60, 90), (1, 70, 80)], out).spawn()?.wait()?;
/// assert_eq!(cost.sorted(), [(1, 90), (1, 300)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum as_of_join {}

impl as_of_join {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Join);
    #[doc(hidden)]
    pub fn __check<A, B, P, Q: Default>(_: A, _: B) -> Q
    where
        A: IsKeyed + Token<Item: CheckHeld<(), Passed = P>>,
        B: SameKey<A::Key> + Token<Item: CheckHeld<P, Passed = Q>>,
    {
        Q::default()
    }
    #[doc(hidden)]
    pub fn __wire<A: Token, B: Token>(
        _: A,
        _: B,
        versions: AsOf,
    ) -> (
        (Keyed<A::Key, (A::Item, B::Item)>, Keyed<A::Key, A::Item>),
        AsOfJoinPlan<A::Key, A::Item, B::Item>,
    ) {
        let plan = AsOfJoinPlan { versions, types: PhantomData };
        ((Token::token(), Token::token()), plan)
    }
}

/// The plan of [`as_of_join`].
pub struct AsOfJoinPlan<K, A, B> {
    versions: AsOf,
    types: PhantomData<fn(K, A, B)>,
}

impl<K, A, B> fmt::Debug for AsOfJoinPlan<K, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsOfJoinPlan").field("versions", &self.versions).finish()
    }
}

impl<H, K, A, B, D, U> Plan2<H, Keyed<K, A>, Keyed<K, B>, (D, U)> for AsOfJoinPlan<K, A, B>
where
    H: Host,
    K: Key,
    A: Item,
    B: Item,
    D: Consumer<Keyed<K, (A, B)>>,
    U: Consumer<Keyed<K, A>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (matched, unmatched): (D, U),
    ) -> BothSides<H, K, A, B> {
        let down = (matched, unmatched, NoneLate);
        let rules = Ok(self.versions.rules());
        let waiting = Waiting::<K, A, B, Valid, D, U, NoneLate>::new(id.clone(), rules, down);
        both_sides::<H, K, A, B>(cx, id, waiting)
    }
}
