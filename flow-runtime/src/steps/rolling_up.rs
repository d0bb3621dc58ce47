//! `rollup`: windows over the results of windows.

use std::fmt;
use std::marker::PhantomData;

use crate::aggregate::Aggregate;
use crate::bounds::Key;
use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId};
use crate::error::{Error, ErrorKind};
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::steps::by_function::IsKeyed;
use crate::steps::windowing::Windowing;
use crate::stream::{Keyed, Token};
use crate::windows::{Pane, Span, WindowKind, Windowed};

/// `rollup(windowed, kind, aggregate)`: windows over the results of windows, such as hours over minutes, or the largest of all keys'
/// results of a window after another `key_by`.
///
/// Its items are the [`Windowed`] results, each with the last time that belongs to its window as its event time: so it falls into the larger
/// window that its own window ends in. Only results on time count. Early and late ones would have to replace what has been counted already;
/// they are passed over. There are no late items, since results on time come before event time has passed their windows.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// The busiest minute of each hour, by its count.
/// #[dataflow]
/// fn busiest(seconds: Vec<i64>, out: Collect<u64>) {
///     let all = source(from_iter(seconds));
///     let timed = event_time(all, |at| Timestamp::from_secs(*at), Disorder::none());
///     let by_nothing = key_by(timed, |_| ());
///     let (minutes, late) = window(by_nothing, Tumbling::of(Duration::from_secs(60)), aggregate::count());
///     discard(late, "the times are in order");
///     let hours = rollup(
///         minutes,
///         Tumbling::of(Duration::from_secs(3600)),
///         aggregate::max(|minute: &Windowed<u64>| minute.value),
///     );
///     let counts = map(hours, |hour| hour.value);
///     let rows = values(counts);
///     sink(rows, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, busiest_of) = collect();
/// busiest(vec![0, 61, 62, 3599, 3600], out).spawn()?.wait()?;
/// assert_eq!(busiest_of.sorted(), [1, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum rollup {}

impl rollup {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Window);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<
        U: Token<Item = Windowed<B>>,
        B: 'static,
        W: WindowKind,
        G: Aggregate<Windowed<B>>,
    >(
        _: U,
        kind: W,
        aggregate: G,
    ) -> (Keyed<U::Key, Windowed<G::Out>>, RollupPlan<U::Key, B, W, G>) {
        (Token::token(), RollupPlan { kind, aggregate, types: PhantomData })
    }
}

/// The plan of [`rollup`].
pub struct RollupPlan<K, B, W, G> {
    kind: W,
    aggregate: G,
    types: PhantomData<fn(K, B)>,
}

impl<K, B, W, G> fmt::Debug for RollupPlan<K, B, W, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RollupPlan")
    }
}

impl<H, K, B, W, G, D> Plan1<H, Keyed<K, Windowed<B>>, (D,)> for RollupPlan<K, B, W, G>
where
    H: Host,
    K: Key,
    B: 'static,
    W: WindowKind,
    G: Aggregate<Windowed<B>>,
    D: Consumer<Keyed<K, Windowed<G::Out>>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<K, Windowed<B>>> + use<H, K, B, W, G, D>,) {
        let late = NotLate { id: id.clone(), late: None };
        let windows = Windowing::<K, Windowed<B>, W::Windows, G, D, NotLate>::new(
            id,
            &self.kind,
            self.aggregate,
            down,
            late,
        );
        (RollingUp { windows },)
    }
}

/// Passes results on time to the windows.
struct RollingUp<V> {
    windows: V,
}

impl<K, B, V> Consumer<Keyed<K, Windowed<B>>> for RollingUp<V>
where
    K: Key,
    B: 'static,
    V: Consumer<Keyed<K, Windowed<B>>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: Windowed<B>) {
        if item.pane == Pane::OnTime {
            self.windows.push(head, item);
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.windows.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.windows.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.windows.describe(to);
    }
}

/// Where no item is late, unless a step between has given results another time or held them back.
struct NotLate {
    id: StepId,
    late: Option<Span>,
}

impl<K: Key, B: 'static> Consumer<Keyed<K, Windowed<B>>> for NotLate {
    fn push(&mut self, _: Head<'_, K>, item: Windowed<B>) {
        self.late.get_or_insert(item.span());
    }
    fn control(&mut self, control: &mut Control<'_>) {
        if let Some(Span { start, end }) = self.late {
            let message = format!(
                "the result of the window from {start} to {end} has come when event time had passed the window that it would be counted in"
            );
            control.fail(
                Error::new(ErrorKind::Configuration, message)
                    .help("a step between the windows and `rollup` holds results back, such as `chunk` or `async_map`: let it come behind")
                    .at_step(&self.id),
            );
        }
    }
    fn describe(&self, _: &mut dyn Describe) {}
}
