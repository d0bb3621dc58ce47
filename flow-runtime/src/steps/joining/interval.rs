//! `interval_join`: items near one another in time.

use std::fmt;
use std::marker::PhantomData;

use crate::bounds::{CheckHeld, Item, Key, SameKey};
use crate::consumer::Consumer;
use crate::describe::StepId;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::joins::Interval;
use crate::plan::Plan2;
use crate::steps::Either;
use crate::steps::by_function::IsKeyed;
use crate::steps::joining::waiting::Waiting;
use crate::steps::merging::{BothSides, both_sides};
use crate::stream::{Keyed, Token};

/// `let (matched, unmatched, late) = interval_join(left, right, Interval::between(before, after))`: each left item of a key with each right
/// item whose event time lies in the [`Interval`] around its own, both ends included.
///
/// A pair is emitted once, when its second item comes, and has the later of both event times. An item that has met nobody when event time has
/// passed all that it could meet is unmatched; it then has, as its event time, the last time at which it could have met somebody. An item is
/// late, and meets nobody, when event time has come further behind it than [`allowed_lateness`](Interval::allowed_lateness), for what it
/// could meet may have been given up.
///
/// An item is held, in memory and in the log, until nothing can meet it any more. What it meets is found without looking at the other
/// items of its key.
///
/// At the end of the input items go on waiting and are saved, for input may be appended. `--finish`, and the end of a run without a
/// recovery log, decide them.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// A ride, a second.
/// type At = (u32, i64);
///
/// /// How long it took to pay a ride; who has not paid after ten minutes.
/// #[dataflow]
/// fn paid(ends: Vec<At>, payments: Vec<At>, paid: Collect<(u32, i64)>, unpaid: Collect<u32>) {
///     let all_ends = source(from_iter(ends));
///     let timed_ends = event_time(all_ends, |end| Timestamp::from_secs(end.1), Disorder::none());
///     let end_of = key_by(timed_ends, |end| end.0);
///     let all_payments = source(from_iter(payments));
///     let timed_payments = event_time(all_payments, |payment| Timestamp::from_secs(payment.1), Disorder::none());
///     let payment_of = key_by(timed_payments, |payment| payment.0);
///     let ten_minutes = Interval::between(Duration::ZERO, Duration::from_secs(600));
///     let (matched, unmatched, late) = interval_join(end_of, payment_of, ten_minutes);
///     discard(late, "nothing comes late here");
///     let waited = map(matched, |(end, payment)| payment.1 - end.1);
///     sink(waited, paid);
///     let rides = filter_map(unmatched, |alone| match alone {
///         Either::Left(end) => Some(end.0),
///         Either::Right(_) => None,
///     });
///     let plain = values(rides);
///     sink(plain, unpaid);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let ((paid_to, waited), (unpaid_to, rides)) = (collect(), collect());
/// paid(vec![(1, 100), (2, 200)], vec![(1, 160), (2, 801)], paid_to, unpaid_to).spawn()?.wait()?;
/// assert_eq!((waited.take(), rides.take()), (vec![(1, 60)], vec![2]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum interval_join {}

impl interval_join {
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
        interval: Interval,
    ) -> (
        (
            Keyed<A::Key, (A::Item, B::Item)>,
            Keyed<A::Key, Either<A::Item, B::Item>>,
            Keyed<A::Key, Either<A::Item, B::Item>>,
        ),
        IntervalJoinPlan<A::Key, A::Item, B::Item>,
    ) {
        let plan = IntervalJoinPlan { interval, types: PhantomData };
        ((Token::token(), Token::token(), Token::token()), plan)
    }
}

/// The plan of [`interval_join`].
pub struct IntervalJoinPlan<K, A, B> {
    interval: Interval,
    types: PhantomData<fn(K, A, B)>,
}

impl<K, A, B> fmt::Debug for IntervalJoinPlan<K, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntervalJoinPlan").field("interval", &self.interval).finish()
    }
}

impl<H, K, A, B, D, U, L> Plan2<H, Keyed<K, A>, Keyed<K, B>, (D, U, L)>
    for IntervalJoinPlan<K, A, B>
where
    H: Host,
    K: Key,
    A: Item,
    B: Item,
    D: Consumer<Keyed<K, (A, B)>>,
    U: Consumer<Keyed<K, Either<A, B>>>,
    L: Consumer<Keyed<K, Either<A, B>>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(self, cx: &mut H::Cx<'_>, id: StepId, down: (D, U, L)) -> BothSides<H, K, A, B> {
        let waiting = Waiting::<K, A, B, _, D, U, L>::new(id.clone(), self.interval.rules(), down);
        both_sides::<H, K, A, B>(cx, id, waiting)
    }
}
