//! `in_order`: the items of a key in the order of event time.

use std::fmt;
use std::marker::PhantomData;

use flow_macros::stateful;

use crate::bounds::{CheckHeld, Item, Key};
use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId};
use crate::event_time::without_time;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::state::{BySerde, MapState, Saved};
use crate::steps::by_function::IsKeyed;
use crate::steps::processing::Processing;
use crate::steps::{Process, ProcessContext};
use crate::stream::{Keyed, Token};
use crate::time::Timestamp;

/// `let (sorted, late) = in_order(keyed)`: holds the items of each key back until event time has come to them, and emits them in the order of
/// their times; those of one time as they came.
///
/// A step behind it sees a key's items as if they had come in order, whatever [`Disorder`](crate::event_time::Disorder) was allowed for. What
/// comes too late for that is the second stream: its time lies behind the watermark. Items wait in memory and, each written once, in the log,
/// for as long as the bound of the disorder says, or while another partition holds event time back.
///
/// At the end of the input those that wait are saved, for input may be appended. `--finish`, and the end of a run without a recovery log, let
/// them go.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// A sensor, a second, a temperature.
/// type Reading = (u32, i64, i32);
///
/// /// By how much the temperature has changed since the reading before.
/// #[stateful_map]
/// fn change(before: &mut Option<i32>, _sensor: &u32, (_, second, now): Reading) -> (i64, i32) {
///     (second, now - before.replace(now).unwrap_or(now))
/// }
///
/// #[dataflow]
/// fn changes(readings: Vec<Reading>, out: Collect<(u32, (i64, i32))>) {
///     let all = source(from_iter(readings));
///     let timed = event_time(all, |r| Timestamp::from_secs(r.1), Disorder::bounded(Duration::from_secs(10)));
///     let by_sensor = key_by(timed, |r| r.0);
///     let (sorted, late) = in_order(by_sensor);
///     discard(late, "a reading that is ten seconds late is of no use");
///     let changed = change(sorted);
///     sink(changed, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// changes(vec![(1, 0, 20), (1, 9, 26), (1, 4, 21), (1, 12, 25)], out).spawn()?.wait()?;
/// assert_eq!(found.take(), [(1, (0, 0)), (1, (4, 1)), (1, (9, 5)), (1, (12, -1))]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum in_order {}

impl in_order {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::InOrder);
    #[doc(hidden)]
    pub fn __check<U: IsKeyed + Token<Item: CheckHeld<(), Passed = Q>>, Q: Default>(_: U) -> Q {
        Q::default()
    }
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token>(_: U) -> ((U::With<U::Item>, U), InOrderPlan<U>) {
        ((Token::token(), U::token()), InOrderPlan { types: PhantomData })
    }
}

/// The plan of [`in_order`].
pub struct InOrderPlan<U> {
    types: PhantomData<fn(U)>,
}

impl<U> fmt::Debug for InOrderPlan<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InOrderPlan")
    }
}

impl<H, K, A, D, L> Plan1<H, Keyed<K, A>, (D, L)> for InOrderPlan<Keyed<K, A>>
where
    H: Host,
    K: Key,
    A: Item,
    D: Consumer<Keyed<K, A>>,
    L: Consumer<Keyed<K, A>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down, late): (D, L),
    ) -> (impl Consumer<Keyed<K, A>> + use<H, K, A, D, L>,) {
        let machine = InOrder::<K, A> { types: PhantomData };
        let apart = Apart { id: id.clone(), untimed: false, down, late };
        (Processing::new(id, machine, apart).shown_as(Kind::InOrder),)
    }
}

/// Holds items back.
struct InOrder<K, A> {
    types: PhantomData<fn(K, A)>,
}

/// The items of a key that wait.
#[stateful]
struct Held<T: Saved> {
    /// By time, and by how many came before.
    items: MapState<(Timestamp, u64), T>,
    came: u64,
}

impl<K: Key, A: Item> Process for InOrder<K, A> {
    type Key = K;
    type In = A;
    /// `Err` of what is late.
    type Out = Result<A, A>;
    type State = Held<BySerde<A>>;
    type Timer = ();

    fn on_item(
        &self,
        held: &mut Option<Held<BySerde<A>>>,
        item: A,
        cx: &mut ProcessContext<'_, Self>,
    ) {
        let (time, watermark) = (cx.time(), cx.watermark());
        if time < watermark {
            return cx.emit(Err(item));
        }
        // All that is held is later than the watermark.
        if time == watermark && time > Timestamp::MIN {
            return cx.emit(Ok(item));
        }
        let held = held.get_or_insert_with(|| Held { items: MapState::new(), came: 0 });
        held.items.insert((time, held.came), BySerde(item));
        held.came += 1;
        if cx.timer(&()).is_none_or(|first| time < first) {
            cx.set_timer(time, ());
        }
    }

    fn on_timer(
        &self,
        waiting: &mut Option<Held<BySerde<A>>>,
        (): (),
        cx: &mut ProcessContext<'_, Self>,
    ) {
        let Some(held) = waiting else { return };
        while let Some((&(time, _), _)) = held.items.first() {
            if time > cx.watermark() {
                return cx.set_timer(time, ());
            }
            if let Some((_, BySerde(item))) = held.items.pop_first() {
                cx.emit_at(time, Ok(item));
            }
        }
        *waiting = None;
    }
}

/// Tells what is late from what is not.
struct Apart<D, L> {
    id: StepId,
    /// An item has come that has no time.
    untimed: bool,
    down: D,
    late: L,
}

impl<K, A, D, L> Consumer<Keyed<K, Result<A, A>>> for Apart<D, L>
where
    K: Key,
    A: Item,
    D: Consumer<Keyed<K, A>>,
    L: Consumer<Keyed<K, A>>,
{
    #[inline(always)]
    fn push(&mut self, head: Head<'_, K>, item: Result<A, A>) {
        self.untimed |= head.time == Timestamp::MIN;
        match item {
            Ok(item) => self.down.push(head, item),
            Err(item) => self.late.push(head, item),
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        if std::mem::take(&mut self.untimed) {
            control.fail(without_time(&self.id, Kind::InOrder.name()));
        }
        self.down.control(control);
        self.late.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.down.describe(to);
        self.late.describe(to);
    }
}
