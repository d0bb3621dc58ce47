//! `merge` and `connect`: fan-in, within a worker.

use std::fmt;
use std::marker::PhantomData;

use crate::at_home::AtHome;
use crate::bounds::{Key, SameKey, SameStream};
use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::graph::{Kind, Operator};
use crate::host::{Batch, Host, Inlet, Outlet};
use crate::plan::{Plan2, Plan3, Plan4, Plan5, Plan6, Plan7, Plan8};
use crate::steps::by_function::IsKeyed;
use crate::steps::{Either, Queued, pass};
use crate::stream::{Keyed, Token};

/// `merge(a, b, ..)`: two to eight streams of one type into one. Keyed streams stay keyed.
///
/// Items of one input stay in order; how the inputs interleave is free.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn both(left: Vec<u64>, right: Vec<u64>, out: Collect<u64>) {
///     let small = source(from_iter(left));
///     let large = source(from_iter(right));
///     let all = merge(small, large);
///     sink(all, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, all) = collect();
/// both(vec![1, 2], vec![10], out).workers(2).spawn()?.wait()?;
/// assert_eq!(all.sorted(), [1, 2, 10]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum merge {}

/// The plan of [`merge`].
pub struct MergePlan<S>(PhantomData<fn(S)>);

impl<S> fmt::Debug for MergePlan<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MergePlan")
    }
}

impl merge {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Merge);
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
}

macro_rules! merges {
    ($($wire:ident $check:ident $plan:ident [$($other:ident $same:ident $out:ident),*];)*) => {
        impl merge {$(
            /// That this number of streams have one type.
            #[doc(hidden)]
            #[allow(clippy::too_many_arguments)] // One argument a stream.
            pub fn $check<S, $($other: SameStream<S>),*>(_: S, $(_: $other),*) {}
            /// The call with this number of inputs.
            #[doc(hidden)]
            #[allow(clippy::too_many_arguments)] // One argument a stream.
            pub fn $wire<S: Token>(_: S, $($out: impl Token),*) -> (S, MergePlan<S>) {
                let _ = ($($out,)*);
                (S::token(), MergePlan(PhantomData))
            }
        )*}
        $(
            impl<H: Host, S: Queued, D: Consumer<S>> $plan<H, S, $($same,)* (D,)> for MergePlan<S> {
                #[allow(refining_impl_trait)] // The refinement is the seal.
                fn assemble(
                    self,
                    cx: &mut H::Cx<'_>,
                    id: StepId,
                    (down,): (D,),
                ) -> (MergeInput<S, H::Outlet<S::Row>>, $(MergeInput<$same, H::Outlet<S::Row>>,)*) {
                    let inlet = MergeInlet { id: id.clone(), down: AtHome::new(down), types: PhantomData };
                    let [first, $($out),*] = H::handoff(cx, id, inlet);
                    (MergeInput::new(first), $(MergeInput::new($out),)*)
                }
            }
        )*
    };
}

merges! {
    __wire2 __check2 Plan2 [B S b];
    __wire3 __check3 Plan3 [B S b, C S c];
    __wire4 __check4 Plan4 [B S b, C S c, E S e];
    __wire5 __check5 Plan5 [B S b, C S c, E S e, F S f];
    __wire6 __check6 Plan6 [B S b, C S c, E S e, F S f, G S g];
    __wire7 __check7 Plan7 [B S b, C S c, E S e, F S f, G S g, I S i];
    __wire8 __check8 Plan8 [B S b, C S c, E S e, F S f, G S g, I S i, J S j];
}

/// One input of a merge.
pub struct MergeInput<S, O> {
    out: O,
    types: PhantomData<fn(S)>,
}

impl<S, O> MergeInput<S, O> {
    /// The input of any boundary within a worker that queues items as they are.
    pub(super) fn new(out: O) -> Self {
        MergeInput { out, types: PhantomData }
    }
}

impl<S, O> fmt::Debug for MergeInput<S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("merge input")
    }
}

impl<S: Queued, O: Outlet<S::Row>> Consumer<S> for MergeInput<S, O> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, S::Key>, item: S::Item) {
        self.out.send(0, head.time, S::pack(head, item));
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.out.describe(to);
    }
}

struct MergeInlet<S, D> {
    id: StepId,
    down: AtHome<D>,
    types: PhantomData<fn(S)>,
}

impl<S: Queued, D: Consumer<S>> Inlet<S::Row> for MergeInlet<S, D> {
    fn batch(&mut self, _: usize, batch: &mut Batch<S::Row>) {
        pass(batch, &mut self.down, S::hash, |down, time, row| {
            S::unpack(row, time, |head, item| down.push(head, item));
        });
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.get().control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Kind::Merge.name()).takes::<S>().emits::<S::Item>());
        self.down.seen().describe(to);
    }
}

/// Ends a stage within a worker: what lies downstream no longer shows in the type. `#[dataflow]` does this in long
/// chains of steps, because types that nest too deeply take the compiler too long.
pub fn seal<H: Host, S: Queued, D: Consumer<S>>(
    cx: &mut H::Cx<'_>,
    id: StepId,
    _: S,
    down: D,
) -> MergeInput<S, H::Outlet<S::Row>> {
    let inlet = SealInlet { down: AtHome::new(down), types: PhantomData };
    let [out] = H::handoff(cx, id, inlet);
    MergeInput::new(out)
}

/// The receiving side of a [`seal`]: no step of its own.
struct SealInlet<S, D> {
    down: AtHome<D>,
    types: PhantomData<fn(S)>,
}

impl<S: Queued, D: Consumer<S>> Inlet<S::Row> for SealInlet<S, D> {
    fn batch(&mut self, _: usize, batch: &mut Batch<S::Row>) {
        pass(batch, &mut self.down, S::hash, |down, time, row| {
            S::unpack(row, time, |head, item| down.push(head, item));
        });
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.get().control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.down.seen().describe(to);
    }
}

/// `connect(a, b)`: two keyed streams of one key type into one stream of [`Either`]. Two-sided logic stands on it:
/// a stateful step behind it sees both sides of a key with one state.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// /// Orders and payments of a customer, with one state: what is owed.
/// #[dataflow]
/// fn owed(orders: Vec<(u32, i64)>, payments: Vec<(u32, i64)>, out: Collect<(u32, i64)>) {
///     let ordered = source(from_iter(orders));
///     let paid = source(from_iter(payments));
///     let orders_of = into_keyed(ordered);
///     let payments_of = into_keyed(paid);
///     let either = connect(orders_of, payments_of);
///     let owed = stateful_map(either, |owed: &mut i64, _customer, change| {
///         match change {
///             Either::Left(order) => *owed += order,
///             Either::Right(payment) => *owed -= payment,
///         }
///         *owed
///     });
///     sink(owed, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// owed(vec![(7, 100)], vec![(8, 5)], out).workers(2).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [(7, 100), (8, -5)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum connect {}

/// The plan of [`connect`].
pub struct ConnectPlan<K, A, B>(PhantomData<fn(K, A, B)>);

impl<K, A, B> fmt::Debug for ConnectPlan<K, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectPlan")
    }
}

impl connect {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Connect);
    #[doc(hidden)]
    pub fn __check<A: IsKeyed + Token, B: SameKey<A::Key>>(_: A, _: B) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<A: Token, B: Token>(
        _: A,
        _: B,
    ) -> (Keyed<A::Key, Either<A::Item, B::Item>>, ConnectPlan<A::Key, A::Item, B::Item>) {
        (Token::token(), ConnectPlan(PhantomData))
    }
}

type EitherRow<K, A, B> = (u64, K, Either<A, B>);

impl<H, K, A, B, D> Plan2<H, Keyed<K, A>, Keyed<K, B>, (D,)> for ConnectPlan<K, A, B>
where
    H: Host,
    K: Key,
    A: 'static,
    B: 'static,
    D: Consumer<Keyed<K, Either<A, B>>>,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (
        Sided<Left<H::Outlet<EitherRow<K, A, B>>>, A, B>,
        Sided<Right<H::Outlet<EitherRow<K, A, B>>>, A, B>,
    ) {
        let inlet = MergeInlet::<Keyed<K, Either<A, B>>, D> {
            id: id.clone(),
            down: AtHome::new(down),
            types: PhantomData,
        };
        let [left, right] = H::handoff(cx, id, inlet);
        (Sided(Left { out: left }, PhantomData), Sided(Right { out: right }, PhantomData))
    }
}

/// One input of a connect, and how its items are wrapped.
macro_rules! sides {
    ($($(#[$doc:meta])* $side:ident<$mine:ident>;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $side<O> {
            out: O,
        }
        impl<K: Key, A: 'static, B: 'static, O: Outlet<EitherRow<K, A, B>>> Consumer<Keyed<K, $mine>> for Sided<$side<O>, A, B> {
            #[inline(always)]
            fn push(&mut self, head: Head<'_, K>, item: $mine) {
                self.0.out.send(0, head.time, (head.hash, head.key.clone(), Either::$side(item)));
            }
            fn control(&mut self, control: &mut Control<'_>) {
                self.0.out.control(control);
            }
            fn describe(&self, to: &mut dyn Describe) {
                self.0.out.describe(to);
            }
        }
    )*};
}
sides! {
    /// The left input of a connect.
    Left<A>;
    /// The right input of a connect.
    Right<B>;
}
/// An input of a connect, with the types of both.
pub struct Sided<I, A, B>(I, PhantomData<fn(A, B)>);
impl<I, A, B> fmt::Debug for Sided<I, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connect input")
    }
}
