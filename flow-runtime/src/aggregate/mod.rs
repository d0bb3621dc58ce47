//! Aggregates: what is made of many items, bit by bit.
//!
//! An [`Aggregate`] is what [`running`](crate::steps::running) and [`total`](crate::steps::total) run for each key, and what windows run
//! for each key and window. The ready ones are functions of this module:
//!
//! | function | what comes out |
//! |---|---|
//! | [`count`], [`sum`], [`avg`] | how many, how much, how much each |
//! | [`min`], [`max`] | the smallest and the largest value |
//! | [`min_by_key`], [`max_by_key`] | the item with the smallest and with the largest key |
//! | [`first`], [`last`], [`collect`] | items by their time |
//! | [`top_k`] | the items with the largest scores |
//! | [`reduce`], [`fold`] | whatever a function makes of two, and of any state |
//! | [`map`] | another aggregate's result, shaped by a function |
//! | a tuple of 2 to 4 aggregates | a tuple of their results |
//!
//! The closures of an aggregate name the type of the item: it is not known yet where they are written.
//!
//! ```
//! use flow_runtime::aggregate::{count, max, sum};
//! use flow_runtime::io::{Collect, collect, from_iter};
//! use flow_runtime::prelude::*;
//!
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! struct Sale {
//!     shop: u32,
//!     cents: u64,
//! }
//!
//! #[dataflow]
//! fn report(sales: Vec<Sale>, out: Collect<(u32, (u64, u64, u64))>) {
//!     let all = source(from_iter(sales));
//!     let by_shop = key_by(all, |sale| sale.shop);
//!     let totals = total(by_shop, (count(), sum(|sale: &Sale| sale.cents), max(|sale: &Sale| sale.cents)));
//!     sink(totals, out);
//! }
//!
//! # fn main() -> Result<(), flow_runtime::Error> {
//! let sale = |shop, cents| Sale { shop, cents };
//! let (out, found) = collect();
//! report(vec![sale(1, 20), sale(2, 5), sale(1, 30)], out).workers(2).spawn()?.wait()?;
//! assert_eq!(found.sorted(), [(1, (2, 50, 30)), (2, (1, 5, 5))]);
//! # Ok(())
//! # }
//! ```
//!
//! # An aggregate of your own
//!
//! Most are said with [`fold`]. One that is used in many places is a type:
//!
//! ```
//! use flow_runtime::aggregate::Aggregate;
//! use flow_runtime::prelude::*;
//! use flow_runtime::time::Timestamp;
//!
//! /// From the smallest to the largest.
//! struct Range;
//!
//! #[stateful]
//! struct Seen {
//!     lowest: i64,
//!     highest: i64,
//! }
//!
//! impl Aggregate<i64> for Range {
//!     type State = Seen;
//!     type Out = u64;
//!     fn begin(&self) -> Seen {
//!         Seen { lowest: i64::MAX, highest: i64::MIN }
//!     }
//!     fn add(&self, seen: &mut Seen, item: i64, _at: Timestamp) {
//!         seen.lowest = seen.lowest.min(item);
//!         seen.highest = seen.highest.max(item);
//!     }
//!     fn merge(&self, seen: &mut Seen, other: &Seen) {
//!         seen.lowest = seen.lowest.min(other.lowest);
//!         seen.highest = seen.highest.max(other.highest);
//!     }
//!     fn finish(&self, seen: &Seen) -> u64 {
//!         seen.highest.abs_diff(seen.lowest)
//!     }
//! }
//!
//! let mut seen = Range.begin();
//! for item in [3, -4, 5] {
//!     Range.add(&mut seen, item, Timestamp::MIN);
//! }
//! assert_eq!(Range.finish(&seen), 9);
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | the trait, tuples |
//! | `sums` | `count`, `sum`, `avg` |
//! | `extremes` | `min`, `max`, `min_by_key`, `max_by_key` |
//! | `ordered` | `first`, `last`, `collect` |
//! | `top` | `top_k` |
//! | `custom` | `reduce`, `fold`, `map` |
//! | `maybe` | a state that may be empty; floats that have an order |

mod custom;
mod extremes;
mod maybe;
mod ordered;
mod sums;
#[cfg(test)]
mod tests;
mod top;

pub use custom::{Fold, Map, Reduce, fold, map, reduce};
pub use extremes::{Max, MaxByKey, Min, MinByKey, max, max_by_key, min, min_by_key};
pub use maybe::{Float, Maybe};
pub use ordered::{Collect, First, Last, collect, first, last};
pub use sums::{Averaged, Avg, Count, Sum, Summand, avg, count, sum};
pub use top::{TopK, top_k};

use crate::state::{BySerde, State};
use crate::time::Timestamp;

/// What is made of many items, bit by bit.
///
/// A state [`begins`](Aggregate::begin), items are [added](Aggregate::add) to it, states are [merged](Aggregate::merge) and saved and loaded
/// in between, and what has been gathered is looked at with [`finish`](Aggregate::finish), any number of times: more may be added after.
///
/// What comes out must not depend on where the items were split: adding all to one state gives what adding some to one and
/// some to another and merging the two gives, where the items of the second are the later ones by event time. Nor may it depend on
/// what is not in the state, since a run goes on from that alone.
///
/// Methods that panic end the run with an error that names the step and, where it has one, the key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate of items of type `{A}`",
    label = "does not aggregate `{A}`",
    note = "the closures of an aggregate take the items of the stream: `sum(|item: &{A}| ..)`",
    note = "what is held of items must be `Clone + Send + Serialize + Deserialize + 'static`; a tuple of aggregates needs items that are `Clone`"
)]
pub trait Aggregate<A>: 'static {
    /// What is kept, and saved in the log. Its type is better not made of the aggregate's closures: it is what a log is read as.
    type State: State;
    /// What comes out.
    type Out: 'static;
    /// A state to which nothing has been added.
    fn begin(&self) -> Self::State;
    /// Adds an item. `at` is its event time, [`Timestamp::MIN`] where the stream has none. Items come in the order in which they arrive, which
    /// need not be that of their times.
    fn add(&self, state: &mut Self::State, item: A, at: Timestamp);
    /// Adds what `other` has gathered. Windows merge slices and sessions in the order of time: `other` is the later one.
    fn merge(&self, state: &mut Self::State, other: &Self::State);
    /// What has been gathered so far. Steps and windows never ask a state to which nothing was added.
    ///
    /// # Panics
    /// Some have nothing to answer for such a state, as the smallest of no values, and panic.
    fn finish(&self, state: &Self::State) -> Self::Out;
    /// As [`finish`](Aggregate::finish), and to the same result, of a state that is not needed any more: an aggregate that holds items moves
    /// them out instead of cloning them.
    fn finish_last(&self, state: Self::State) -> Self::Out {
        self.finish(&state)
    }
}

/// An item that is held, with its time.
pub type Timed<A> = (Timestamp, BySerde<A>);

/// Why there is something to answer.
const ADDED: &str = "an aggregate is finished only after something was added to it";

macro_rules! tuples {
    ($(($($part:ident $at:tt),+);)*) => {$(
        /// Each of these, over the same items.
        #[diagnostic::do_not_recommend]
        impl<A: Clone, $($part: Aggregate<A>),+> Aggregate<A> for ($($part,)+) {
            type State = ($($part::State,)+);
            type Out = ($($part::Out,)+);
            fn begin(&self) -> Self::State {
                ($(self.$at.begin(),)+)
            }
            #[inline]
            fn add(&self, state: &mut Self::State, item: A, at: Timestamp) {
                tuples!(add self state item at; $($at)+);
            }
            fn merge(&self, state: &mut Self::State, other: &Self::State) {
                $(self.$at.merge(&mut state.$at, &other.$at);)+
            }
            fn finish(&self, state: &Self::State) -> Self::Out {
                ($(self.$at.finish(&state.$at),)+)
            }
            fn finish_last(&self, state: Self::State) -> Self::Out {
                ($(self.$at.finish_last(state.$at),)+)
            }
        }
    )*};
    // The last takes the item itself.
    (add $all:ident $state:ident $item:ident $time:ident; $at:tt) => {
        $all.$at.add(&mut $state.$at, $item, $time);
    };
    (add $all:ident $state:ident $item:ident $time:ident; $at:tt $($rest:tt)+) => {
        $all.$at.add(&mut $state.$at, $item.clone(), $time);
        tuples!(add $all $state $item $time; $($rest)+);
    };
}
tuples! {
    (X 0, Y 1);
    (X 0, Y 1, Z 2);
    (X 0, Y 1, Z 2, W 3);
}
