//! Which of what is alone counts as a result.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::steps::Either;

/// What [`window_join`](enum@crate::steps::window_join) does with an item whose window has nothing of the other side.
///
/// | | what is matched | what is unmatched |
/// |---|---|---|
/// | [`Join::inner()`] | `(A, B)` | `Either<A, B>` |
/// | [`Join::left()`] | `(A, Option<B>)` | `B` |
/// | [`Join::right()`] | `(Option<A>, B)` | `A` |
/// | [`Join::full()`] | `(Option<A>, Option<B>)`, never two `None` | [`NoItem`]: nothing |
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// Shop, second, amount.
/// type Row = (u32, i64, u64);
///
/// /// What was ordered and what was paid, minute by minute; an order without a payment counts, too.
/// #[dataflow]
/// fn paid(orders: Vec<Row>, payments: Vec<Row>, out: Collect<(u32, (u64, Option<u64>))>) {
///     let all_orders = source(from_iter(orders));
///     let timed_orders = event_time(all_orders, |row| Timestamp::from_secs(row.1), Disorder::none());
///     let orders_of = key_by(timed_orders, |row| row.0);
///     let all_payments = source(from_iter(payments));
///     let timed_payments = event_time(all_payments, |row| Timestamp::from_secs(row.1), Disorder::none());
///     let payments_of = key_by(timed_payments, |row| row.0);
///     let minute = Tumbling::of(Duration::from_secs(60));
///     let (matched, unmatched, late) = window_join(orders_of, payments_of, minute, Join::left());
///     discard(unmatched, "a payment without an order is looked at elsewhere");
///     discard(late, "no order comes late here");
///     let rows = map(matched, |result| (result.value.0.2, result.value.1.map(|payment| payment.2)));
///     sink(rows, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, rows) = collect();
/// paid(vec![(1, 10, 500), (1, 70, 80)], vec![(1, 50, 500)], out).spawn()?.wait()?;
/// assert_eq!(rows.sorted(), [(1, (80, None)), (1, (500, Some(500)))]);
/// # Ok(())
/// # }
/// ```
pub struct Join<J>(PhantomData<fn() -> J>);

impl<J> Clone for Join<J> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<J> Copy for Join<J> {}

impl<J> fmt::Debug for Join<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = std::any::type_name::<J>().rsplit("::").next().unwrap_or_default();
        write!(f, "Join({kind})")
    }
}

/// What is alone decides what a [`Join`] emits. The four there are: [`Inner`], [`LeftOuter`], [`RightOuter`], [`FullOuter`].
pub trait JoinKind<A, B>: 'static {
    /// What is matched.
    type Matched: 'static;
    /// What is unmatched.
    type Unmatched: 'static;
    /// Two items of one window.
    fn pair(left: A, right: B) -> Self::Matched;
    /// A left item whose window has no right one. `Err` if it does not count as matched.
    ///
    /// # Errors
    /// The unmatched item.
    fn left_alone(left: A) -> Result<Self::Matched, Self::Unmatched>;
    /// A right item whose window has no left one. `Err` if it does not count as matched.
    ///
    /// # Errors
    /// The unmatched item.
    fn right_alone(right: B) -> Result<Self::Matched, Self::Unmatched>;
}

/// An item that does not exist: a stream of these is always empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NoItem {}

macro_rules! kinds {
    ($(
        $(#[$doc:meta])* $name:ident, $(#[$make_doc:meta])* $make:ident:
        |$pair:ident| $matched:ty = $paired:expr, else $unmatched:ty;
        |$left:ident| $left_alone:expr;
        |$right:ident| $right_alone:expr;
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Join<$name> {
            $(#[$make_doc])*
            pub const fn $make() -> Self {
                Join(PhantomData)
            }
        }

        impl<A: 'static, B: 'static> JoinKind<A, B> for $name {
            type Matched = $matched;
            type Unmatched = $unmatched;
            fn pair(left: A, right: B) -> $matched {
                let $pair = (left, right);
                $paired
            }
            fn left_alone($left: A) -> Result<$matched, $unmatched> {
                $left_alone
            }
            fn right_alone($right: B) -> Result<$matched, $unmatched> {
                $right_alone
            }
        }
    )*};
}
kinds! {
    /// [`Join::inner()`].
    Inner,
    /// Pairs only.
    inner:
    |pair| (A, B) = pair, else Either<A, B>;
    |left| Err(Either::Left(left));
    |right| Err(Either::Right(right));

    /// [`Join::left()`].
    LeftOuter,
    /// Every left item, with or without a right one.
    left:
    |pair| (A, Option<B>) = (pair.0, Some(pair.1)), else B;
    |left| Ok((left, None));
    |right| Err(right);

    /// [`Join::right()`].
    RightOuter,
    /// Every right item, with or without a left one.
    right:
    |pair| (Option<A>, B) = (Some(pair.0), pair.1), else A;
    |left| Err(left);
    |right| Ok((None, right));

    /// [`Join::full()`].
    FullOuter,
    /// Every item of both sides.
    full:
    |pair| (Option<A>, Option<B>) = (Some(pair.0), Some(pair.1)), else NoItem;
    |left| Ok((Some(left), None));
    |right| Ok((None, Some(right)));
}
