//! `window` and `window_all`: items gathered by event time.
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | `window`, as it is wired |
//! | `all` | `window_all`: workers gather, one puts together |
//! | `running` | the step when it runs |

mod all;
mod running;

use std::fmt;
use std::marker::PhantomData;

use crate::aggregate::Aggregate;
use crate::bounds::Key;
use crate::consumer::Consumer;
use crate::describe::StepId;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::steps::by_function::IsKeyed;
use crate::stream::{Keyed, Token};
use crate::windows::{WindowKind, Windowed};

pub use all::window_all;
pub(super) use running::{Shown, Windowing};

/// `let (results, late) = window(keyed, kind, aggregate)`: gathers the items of each key by event time, in [`Tumbling`], [`Hopping`] or
/// [`Session`] windows, and emits what an [`Aggregate`] makes of each window once event time has come to its end.
///
/// A window without items has no result. Items that come too late, after their windows have been given up, are the second stream:
/// count them, store them, or drop them visibly. With allowed lateness a window fires again for each late item in time, and `pane`
/// says the how manieth result it is; [`Early`] lets it fire before its end.
///
/// At the end of the input windows stay open and are saved, for input may be appended. `--finish`, and the end of a run without a
/// recovery log, close them.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// A trade: symbol, price, second.
/// type Trade = (String, u64, i64);
///
/// #[dataflow]
/// fn minutes(trades: Vec<Trade>, out: Collect<(String, (i64, u64))>) {
///     let all = source(from_iter(trades));
///     let timed = event_time(all, |t| Timestamp::from_secs(t.2), Disorder::bounded(Duration::from_secs(5)));
///     let by_symbol = key_by_ref(timed, |t| t.0.as_str());
///     let (highs, late) = window(
///         by_symbol,
///         Tumbling::of(Duration::from_secs(60)),
///         aggregate::max(|trade: &Trade| trade.1),
///     );
///     discard(late, "a high that comes after its minute is of no use");
///     let rows = map(highs, |high| (high.start.0 / 1_000_000, high.value));
///     sink(rows, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, highs) = collect();
/// let trade = |symbol: &str, price, second| (symbol.to_owned(), price, second);
/// minutes(vec![trade("A", 10, 1), trade("A", 12, 59), trade("A", 11, 60)], out).spawn()?.wait()?;
/// assert_eq!(highs.sorted(), [("A".to_owned(), (0, 12)), ("A".to_owned(), (60, 11))]);
/// # Ok(())
/// # }
/// ```
///
/// [`Tumbling`]: crate::windows::Tumbling
/// [`Hopping`]: crate::windows::Hopping
/// [`Session`]: crate::windows::Session
/// [`Early`]: crate::windows::Early
#[derive(Debug)]
pub enum window {}

impl window {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Window);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, W: WindowKind, G: Aggregate<U::Item>>(
        _: U,
        kind: W,
        aggregate: G,
    ) -> (
        (Keyed<U::Key, Windowed<G::Out>>, Keyed<U::Key, U::Item>),
        WindowPlan<U::Key, U::Item, W, G>,
    ) {
        let plan = WindowPlan { kind, aggregate, types: PhantomData };
        ((Token::token(), Token::token()), plan)
    }
}

/// The plan of [`window`].
pub struct WindowPlan<K, A, W, G> {
    kind: W,
    aggregate: G,
    types: PhantomData<fn(K, A)>,
}

impl<K, A, W, G> fmt::Debug for WindowPlan<K, A, W, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WindowPlan")
    }
}

impl<H, K, A, W, G, D, L> Plan1<H, Keyed<K, A>, (D, L)> for WindowPlan<K, A, W, G>
where
    H: Host,
    K: Key,
    A: 'static,
    W: WindowKind,
    G: Aggregate<A>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
    L: Consumer<Keyed<K, A>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down, late): (D, L),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, W, G, D, L>,) {
        let shown = Shown::step::<G::Out>(Kind::Window);
        let (kind, aggregate) = (&self.kind, self.aggregate);
        (Windowing::<K, A, W::Windows, G, D, L>::new(id, shown, kind, aggregate, down, late),)
    }
}
