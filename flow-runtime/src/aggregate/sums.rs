//! `count`, `sum`, `avg`: how many, how much, how much each.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::Aggregate;
use crate::description::short_type_name;
use crate::state::State;
use crate::time::Timestamp;

/// How many items there are, as a `u64`.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, count};
/// use flow_runtime::time::Timestamp;
///
/// let mut state = Aggregate::<&str>::begin(&count());
/// count().add(&mut state, "a", Timestamp::MIN);
/// assert_eq!(Aggregate::<&str>::finish(&count(), &state), 1);
/// ```
pub fn count() -> Count {
    Count
}

/// The aggregate [`count`].
#[derive(Clone, Copy, Debug)]
pub struct Count;

impl<A> Aggregate<A> for Count {
    type State = u64;
    type Out = u64;
    fn begin(&self) -> u64 {
        0
    }
    #[inline]
    fn add(&self, state: &mut u64, _: A, _: Timestamp) {
        // A count of all items that there will ever be fits.
        *state += 1;
    }
    fn merge(&self, state: &mut u64, other: &u64) {
        *state += other;
    }
    fn finish(&self, state: &u64) -> u64 {
        *state
    }
}

/// The sum of a value of each item, in the type of the value: an integer, a float, a `Duration`, or a [`Summand`] of your own.
///
/// A sum that no longer fits into its type ends the run with an error that names step and key; it never wraps. Where it may grow so
/// large, let the function give a wider type: `sum(|sale: &Sale| u64::from(sale.cents))`. The sum of floats is rounded after every addition, so it depends, in
/// its last digits, on the order in which items arrive.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, sum};
/// use flow_runtime::time::Timestamp;
///
/// let letters = sum(|word: &String| word.len() as u64);
/// let mut state = letters.begin();
/// for word in ["to", "be", "or"] {
///     letters.add(&mut state, word.to_owned(), Timestamp::MIN);
/// }
/// assert_eq!(letters.finish(&state), 6);
/// ```
pub fn sum<A, V: Summand, F: Fn(&A) -> V + 'static>(value: F) -> Sum<A, V, F> {
    Sum { value, types: PhantomData }
}

/// The aggregate [`sum`].
pub struct Sum<A, V, F> {
    value: F,
    types: PhantomData<fn(&A) -> V>,
}

impl<A, V, F> fmt::Debug for Sum<A, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sum")
    }
}

/// Adds, or panics.
fn grow<V: Summand>(sum: &mut V, value: &V) {
    let Some(grown) = sum.plus(value) else { does_not_fit::<V>() };
    *sum = grown;
}

#[cold]
fn does_not_fit<V>() -> ! {
    panic!(
        "the sum no longer fits into `{}`: let the function that is summed give a wider type",
        short_type_name(type_name::<V>())
    )
}

impl<A: 'static, V: Summand, F: Fn(&A) -> V + 'static> Aggregate<A> for Sum<A, V, F> {
    type State = V;
    type Out = V;
    fn begin(&self) -> V {
        V::zero()
    }
    #[inline]
    fn add(&self, state: &mut V, item: A, _: Timestamp) {
        grow(state, &(self.value)(&item));
    }
    fn merge(&self, state: &mut V, other: &V) {
        grow(state, other);
    }
    fn finish(&self, state: &V) -> V {
        state.clone()
    }
}

/// A value that can be summed, and whose sum can be kept as state.
///
/// ```
/// use flow_runtime::aggregate::Summand;
/// use flow_runtime::prelude::*;
///
/// #[stateful]
/// #[derive(Clone)]
/// struct Money {
///     cents: i64,
/// }
///
/// impl Summand for Money {
///     fn zero() -> Money {
///         Money { cents: 0 }
///     }
///     fn plus(&self, other: &Money) -> Option<Money> {
///         Some(Money { cents: self.cents.checked_add(other.cents)? })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "values of type `{Self}` cannot be summed",
    label = "not a number or a `Duration`",
    note = "implement `flow_runtime::aggregate::Summand` for `{Self}`, which must be `Clone` and a `#[stateful]` type; write `u64` for `usize`"
)]
pub trait Summand: State + Clone {
    /// The sum of nothing.
    fn zero() -> Self;
    /// The sum of the two, `None` where it does not fit. It must not matter in which order values are added.
    fn plus(&self, other: &Self) -> Option<Self>;
}

macro_rules! summands {
    ($($number:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Summand for $number {
            fn zero() -> $number {
                0
            }
            #[inline]
            fn plus(&self, other: &$number) -> Option<$number> {
                self.checked_add(*other)
            }
        }
    )*};
}
summands!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

macro_rules! float_summands {
    ($($float:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Summand for $float {
            fn zero() -> $float {
                0.0
            }
            #[inline]
            fn plus(&self, other: &$float) -> Option<$float> {
                Some(self + other)
            }
        }
    )*};
}
float_summands!(f32 f64);

#[diagnostic::do_not_recommend]
impl Summand for Duration {
    fn zero() -> Duration {
        Duration::ZERO
    }
    fn plus(&self, other: &Duration) -> Option<Duration> {
        self.checked_add(*other)
    }
}

/// The average of a number of each item, as an `f64`.
///
/// Integers of up to 64 bits are summed exactly, so only the result is rounded. Floats are summed with what is lost to rounding kept beside the sum, so
/// the result hardly depends on the order in which items arrive.
///
/// ```
/// use flow_runtime::aggregate::{Aggregate, avg};
/// use flow_runtime::time::Timestamp;
///
/// let length = avg(|word: &String| word.len() as u64);
/// let mut state = length.begin();
/// for word in ["to", "be", "not"] {
///     length.add(&mut state, word.to_owned(), Timestamp::MIN);
/// }
/// assert_eq!(length.finish(&state), 7.0 / 3.0);
/// ```
pub fn avg<A, V: Averaged, F: Fn(&A) -> V + 'static>(value: F) -> Avg<A, V, F> {
    Avg { value, types: PhantomData }
}

/// The aggregate [`avg`]. Of no items the average is NaN.
pub struct Avg<A, V, F> {
    value: F,
    types: PhantomData<fn(&A) -> V>,
}

impl<A, V, F> fmt::Debug for Avg<A, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Avg")
    }
}

impl<A: 'static, V: Averaged, F: Fn(&A) -> V + 'static> Aggregate<A> for Avg<A, V, F> {
    /// The sum, and how many.
    type State = (V::Sum, u64);
    type Out = f64;
    fn begin(&self) -> Self::State {
        (V::nothing(), 0)
    }
    #[inline]
    fn add(&self, (sum, count): &mut Self::State, item: A, _: Timestamp) {
        (self.value)(&item).add_to(sum);
        *count += 1;
    }
    fn merge(&self, (sum, count): &mut Self::State, other: &Self::State) {
        V::merge(sum, &other.0);
        *count += other.1;
    }
    fn finish(&self, (sum, count): &Self::State) -> f64 {
        match count {
            0 => f64::NAN,
            count => V::divide(sum, *count),
        }
    }
}

/// A number of which there can be an average: an integer of up to 64 bits, or a float.
#[diagnostic::on_unimplemented(
    message = "there is no average of values of type `{Self}`",
    label = "not an integer of up to 64 bits or a float",
    note = "let the function give one of those, as `f64`"
)]
pub trait Averaged: 'static {
    /// What the sum is kept in.
    type Sum: State;
    /// The sum of nothing.
    fn nothing() -> Self::Sum;
    /// Adds this number to a sum.
    fn add_to(self, sum: &mut Self::Sum);
    /// Adds a sum to another.
    fn merge(sum: &mut Self::Sum, other: &Self::Sum);
    /// What a sum of so many comes to for each; there is at least one.
    fn divide(sum: &Self::Sum, count: u64) -> f64;
}

macro_rules! averaged {
    ($($number:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Averaged for $number {
            type Sum = i128;
            fn nothing() -> i128 {
                0
            }
            #[inline]
            fn add_to(self, sum: &mut i128) {
                // It takes as many items as there are 64-bit numbers for this to overflow.
                *sum += i128::from(self);
            }
            fn merge(sum: &mut i128, other: &i128) {
                *sum += other;
            }
            fn divide(sum: &i128, count: u64) -> f64 {
                // The whole part and the rest by themselves: a large sum as a float would have lost the rest.
                let (whole, rest) = (sum / i128::from(count), sum % i128::from(count));
                whole as f64 + rest as f64 / count as f64
            }
        }
    )*};
}
averaged!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! averaged_floats {
    ($($float:ident)*) => {$(
        #[diagnostic::do_not_recommend]
        impl Averaged for $float {
            /// The sum, and what rounding has taken from it.
            type Sum = (f64, f64);
            fn nothing() -> (f64, f64) {
                (0.0, 0.0)
            }
            #[inline]
            fn add_to(self, sum: &mut (f64, f64)) {
                add_float(sum, f64::from(self));
            }
            fn merge(sum: &mut (f64, f64), other: &(f64, f64)) {
                add_float(sum, other.0);
                sum.1 += other.1;
            }
            fn divide((sum, lost): &(f64, f64), count: u64) -> f64 {
                // Of an infinite sum nothing was lost, though `lost` is no number.
                let sum = if sum.is_finite() { sum + lost } else { *sum };
                sum / count as f64
            }
        }
    )*};
}
averaged_floats!(f32 f64);

/// Neumaier's summation.
#[inline]
fn add_float((sum, lost): &mut (f64, f64), value: f64) {
    let grown = *sum + value;
    *lost += match sum.abs() >= value.abs() {
        true => (*sum - grown) + value,
        false => (value - grown) + *sum,
    };
    *sum = grown;
}
