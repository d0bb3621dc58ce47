//! `branch`: an enum taken apart, by name.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::{Binds, Bound, IsBound, Plan1, Way};
use crate::stream::Token;

/// `let Decision { allow, deny } = branch(judged);`: an enum with `#[derive(Branch)]` into one stream per variant,
/// bound by the variants' names in snake case. `Result` (`ok`, `err`) and [`Either`] (`left`, `right`) can be taken apart too.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[derive(Branch)]
/// enum Decision {
///     Allow(u64),
///     Deny(String),
/// }
///
/// #[map]
/// fn judge(amount: u64) -> Decision {
///     if amount < 100 { Decision::Allow(amount) } else { Decision::Deny(format!("{amount} is too much")) }
/// }
///
/// #[dataflow]
/// fn gate(amounts: Vec<u64>, allowed: Collect<u64>, denied: Collect<String>) {
///     let all = source(from_iter(amounts));
///     let judged = judge(all);
///     let Decision { allow, deny } = branch(judged);
///     sink(allow, allowed);
///     sink(deny, denied);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let ((allowed, good), (denied, bad)) = (collect(), collect());
/// gate(vec![5, 500], allowed, denied).spawn()?.wait()?;
/// assert_eq!((good.take(), bad.take()), (vec![5], vec!["500 is too much".to_owned()]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum branch {}

impl branch {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Branch);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: TakenApart<Ways = W, Plan = P>, W, P>(_: U) -> (W, P) {
        U::take_apart()
    }
}

/// A stream of a [`Branch`] enum.
pub trait TakenApart {
    /// The streams.
    type Ways;
    /// The plan.
    type Plan;
    /// Both.
    fn take_apart() -> (Self::Ways, Self::Plan);
}

impl<U: Token<Item: Branch>> TakenApart for U {
    type Ways = <U::Item as Branch>::Ways<U>;
    type Plan = <U::Item as Branch>::Plan<U>;
    fn take_apart() -> (Self::Ways, Self::Plan) {
        (<U::Item as Branch>::ways(), <U::Item as Branch>::plan())
    }
}

/// An enum that `branch` can take apart. Implemented by `#[derive(Branch)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be taken apart by `branch`",
    label = "not an enum with `#[derive(Branch)]`",
    note = "put `#[derive(Branch)]` on the definition of `{Self}`"
)]
pub trait Branch: Sized + 'static {
    /// A struct with one [`Way`] per variant.
    type Ways<U: Token<Item = Self>>;
    /// The plan: its outputs are the streams, in the alphabetical order of their names.
    type Plan<U: Token<Item = Self>>;
    /// The ways.
    fn ways<U: Token<Item = Self>>() -> Self::Ways<U>;
    /// The plan.
    fn plan<U: Token<Item = Self>>() -> Self::Plan<U>;
}

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Either<A, B> {
    /// The first.
    Left(A),
    /// The second.
    Right(B),
}

macro_rules! two_ways {
    (
        $(#[$doc:meta])* $ways:ident of $type:ident<$A:ident, $B:ident> in $names:ident;
        $(#[$first_doc:meta])* $first:ident: $first_ty:ident = $first_variant:ident;
        $(#[$second_doc:meta])* $second:ident: $second_ty:ident = $second_variant:ident;
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $ways<X, Y> {
            $(#[$first_doc])*
            pub $first: Way<X, $names::$first>,
            $(#[$second_doc])*
            pub $second: Way<Y, $names::$second>,
            /// The names that are not bound yet.
            #[doc(hidden)]
            pub __rest: Names<$names::$first, $names::$second>,
        }

        /// The names, as types.
        #[allow(unreachable_pub)] // They show in the type of the ways.
        pub mod $names {
            $(#[$first_doc])*
            #[derive(Debug)]
            pub enum $first {}
            $(#[$second_doc])*
            #[derive(Debug)]
            pub enum $second {}
        }

        impl<Y> Binds<$names::$first> for Names<$names::$first, Y> {
            type Rest = Names<Bound, Y>;
            fn bind(self) -> Names<Bound, Y> {
                Names(PhantomData)
            }
        }
        impl<X> Binds<$names::$second> for Names<X, $names::$second> {
            type Rest = Names<X, Bound>;
            fn bind(self) -> Names<X, Bound> {
                Names(PhantomData)
            }
        }

        #[diagnostic::do_not_recommend]
        impl<$A: 'static, $B: 'static> Branch for $type<$A, $B> {
            type Ways<U: Token<Item = Self>> = $ways<U::With<$first_ty>, U::With<$second_ty>>;
            type Plan<U: Token<Item = Self>> = TwoWays<U>;
            fn ways<U: Token<Item = Self>>() -> Self::Ways<U> {
                $ways { $first: Way::token(), $second: Way::token(), __rest: Names(PhantomData) }
            }
            fn plan<U: Token<Item = Self>>() -> TwoWays<U> {
                TwoWays(PhantomData)
            }
        }

        impl<$A: 'static, $B: 'static> Apart for $type<$A, $B> {
            type First = $first_ty;
            type Second = $second_ty;
            #[inline(always)]
            fn apart(self) -> Either<$first_ty, $second_ty> {
                match self {
                    $type::$first_variant(item) => Either::Left(item),
                    $type::$second_variant(item) => Either::Right(item),
                }
            }
        }
    };
}

two_ways! {
    /// The streams of a `Result`.
    ResultWays of Result<T, E> in result_names;
    /// The errors.
    err: E = Err;
    /// The values.
    ok: T = Ok;
}
two_ways! {
    /// The streams of an [`Either`].
    EitherWays of Either<A, B> in either_names;
    /// The first.
    left: A = Left;
    /// The second.
    right: B = Right;
}

/// The names of two streams, those that are bound replaced by [`Bound`].
#[derive(Debug)]
pub struct Names<X, Y>(PhantomData<fn() -> (X, Y)>);

impl<X, Y> Names<X, Y> {
    /// Checks that no name is left.
    #[doc(hidden)]
    pub fn __all_bound<P, Q: Default>(self) -> Q
    where
        X: IsBound<(), Passed = P>,
        Y: IsBound<P, Passed = Q>,
    {
        Q::default()
    }
}

/// An enum of two variants, in the alphabetical order of their names.
trait Apart: 'static {
    type First: 'static;
    type Second: 'static;
    fn apart(self) -> Either<Self::First, Self::Second>;
}

/// The plan for an enum of two variants.
pub struct TwoWays<U>(PhantomData<fn(U)>);

impl<U> fmt::Debug for TwoWays<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TwoWays")
    }
}

#[allow(private_bounds)] // Which enums have two variants is this module's affair.
impl<H, U, X, Y> Plan1<H, U, (X, Y)> for TwoWays<U>
where
    H: Host,
    U: Token<Item: Apart>,
    X: Consumer<U::With<<U::Item as Apart>::First>>,
    Y: Consumer<U::With<<U::Item as Apart>::Second>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (first, second): (X, Y),
    ) -> (impl Consumer<U> + use<H, U, X, Y>,) {
        (Ways { id, first, second },)
    }
}

struct Ways<X, Y> {
    id: StepId,
    first: X,
    second: Y,
}

impl<U, X, Y> Consumer<U> for Ways<X, Y>
where
    U: Token<Item: Apart>,
    X: Consumer<U::With<<U::Item as Apart>::First>>,
    Y: Consumer<U::With<<U::Item as Apart>::Second>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
        self.id.counted().takes();
        self.id.counted().emits();
        match item.apart() {
            Either::Left(item) => self.first.push(head, item),
            Either::Right(item) => self.second.push(head, item),
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.first.expect(hashes.clone());
        self.second.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.first.control(control);
        self.second.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Kind::Branch.name()).takes::<U>());
        self.first.describe(to);
        self.second.describe(to);
    }
}
