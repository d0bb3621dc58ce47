//! `into_keyed`, `entries`, `values`: between streams of pairs and keyed streams.

use std::fmt;
use std::marker::PhantomData;

use crate::bounds::{CheckItem, CheckKey};
use crate::consumer::{Consumer, Head, KeyInItem, Place};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::steps::by_function::IsKeyed;
use crate::steps::rebalancing::{ByKey, into_keyed_plan};
use crate::stream::{Keyed, Stream, Token};

/// `into_keyed(pairs)`: a stream of pairs, partitioned by their first part. An exchange, like `key_by`.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn totals(sales: Vec<(String, u64)>, out: Collect<(String, u64)>) {
///     let pairs = source(from_iter(sales));
///     let by_article = into_keyed(pairs);
///     let totals = stateful_map(by_article, |total: &mut u64, _article, sold| {
///         *total += sold;
///         *total
///     });
///     sink(totals, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// totals(vec![("pen".into(), 2), ("pen".into(), 3)], out).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [("pen".into(), 2), ("pen".into(), 5)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum into_keyed {}

impl into_keyed {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::KeyBy);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<K: CheckKey<Passed = P>, T: CheckItem<P, Passed = Q>, P, Q: Default>(
        _: Keyed<K, T>,
    ) -> Q {
        Q::default()
    }
    #[doc(hidden)]
    pub fn __wire<U: FeedsPairs<Key = K, Item = T>, K: 'static, T: 'static>(
        _: U,
    ) -> (Keyed<K, T>, ByKey<U, K, T>) {
        (Token::token(), into_keyed_plan())
    }
}

/// A stream of pairs.
#[diagnostic::on_unimplemented(
    message = "this step needs a stream of pairs `(key, item)`, but `{Self}` is given",
    label = "is `{Self}`",
    note = "put `let keyed = key_by(stream, |item| ..);` instead to compute the key"
)]
pub trait FeedsPairs {
    /// The first part.
    type Key;
    /// The second.
    type Item;
}
#[diagnostic::do_not_recommend]
impl<K, T> FeedsPairs for Stream<(K, T)> {
    type Key = K;
    type Item = T;
}

macro_rules! reshapes {
    ($(
        $(#[$doc:meta])*
        $name:ident $plan:ident $consumer:ident -> $out:ty, |$key:ident, $item:ident| $body:expr, by ref $by_ref:expr, [$($bound:tt)*];
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            #[doc(hidden)]
            pub const OPERATOR: Operator = Operator::of(Kind::Reshape);
            #[doc(hidden)]
            pub fn __check<U: IsKeyed>(_: U) {}
            #[doc(hidden)]
            pub fn __post<U>(_: U) {}
            #[doc(hidden)]
            pub fn __wire<U: Token<Key = K, Item = T>, K: 'static, T: 'static>(_: U) -> (Stream<$out>, $plan<K, T>) {
                (Token::token(), $plan(PhantomData))
            }
        }

        #[doc = concat!("The plan of [`", stringify!($name), "`].")]
        pub struct $plan<K, T>(PhantomData<fn(K, T)>);

        impl<K, T> fmt::Debug for $plan<K, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($plan))
            }
        }

        impl<H: Host, K: $($bound)*, T: 'static, D: Consumer<Stream<$out>>> Plan1<H, Keyed<K, T>, (D,)> for $plan<K, T> {
            fn assemble(
                self,
                _: &mut H::Cx<'_>,
                id: StepId,
                (down,): (D,),
            ) -> (impl Consumer<Keyed<K, T>> + use<H, K, T, D>,) {
                ($consumer { id, down },)
            }
        }

        struct $consumer<D> {
            id: StepId,
            down: D,
        }

        impl<K: $($bound)*, T: 'static, D: Consumer<Stream<$out>>> Consumer<Keyed<K, T>> for $consumer<D> {
            #[inline(always)]
            fn push(&mut self, head: Head<'_, K>, $item: T) {
                self.id.counted().takes();
                self.id.counted().emits();
                let $key = head.key;
                self.down.push(Head::at(head.time), $body);
            }
            #[inline(always)]
            fn push_key_in_item<X: KeyInItem<Keyed<K, T>>>(&mut self, at: Place, $item: T, extract: &X) {
                self.id.counted().takes();
                self.id.counted().emits();
                let by_ref: fn(&X, T) -> $out = $by_ref;
                self.down.push(Head::at(at.time), by_ref(extract, $item));
            }
            #[inline]
            fn control(&mut self, control: &mut Control<'_>) {
                self.down.control(control);
            }
            fn describe(&self, to: &mut dyn Describe) {
                to.step(StepInfo::new(&self.id, stringify!($name)).takes::<Keyed<K, T>>().emits::<$out>());
                self.down.describe(to);
            }
        }
    )*};
}

reshapes! {
    /// `entries(keyed)`: the pairs `(key, item)`, as a plain stream.
    entries EntriesPlan Entries -> (K, T), |key, item| (key.clone(), item),
        by ref |extract, item| (extract.to_key(&item), item), [Clone + 'static];
    /// `values(keyed)`: the items without their keys, as a plain stream.
    values ValuesPlan Values -> T, |_key, item| item, by ref |_, item| item, ['static];
}
