//! `process`: keyed state machines with timers.
//!
//! | file | what it owns |
//! |---|---|
//! | `context` | what a state machine may ask and do |
//! | `running` | the step when it runs |

mod context;
mod running;

use std::fmt;
use std::marker::PhantomData;

use crate::bounds::{FeedsKeyedExactly, Key};
use crate::consumer::Consumer;
use crate::describe::StepId;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::state::{Saved, State};
use crate::stream::{Keyed, Token};

pub use context::ProcessContext;
pub(crate) use running::{Entry, Processing};

/// A keyed state machine: what a key's items and timers do to its state, and what comes out.
///
/// `self` is configuration, the same for all keys. The state of a key is `None` before its first item, and where it is left `None` the
/// key is forgotten with all its timers. State and timers are saved together: after a crash, and on another number of workers, each
/// timer that had not fired fires, once.
///
/// Event time goes on once a batch, so an item may come to the machine before a timer of an earlier time has fired. Where that matters,
/// [`ProcessContext::timer`] says what is still to come.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// /// Says which sensors have been silent for a minute.
/// struct Silence;
///
/// impl Process for Silence {
///     type Key = u32;
///     type In = f64;
///     type Out = &'static str;
///     type State = ();
///     type Timer = ();
///
///     fn on_item(&self, known: &mut Option<()>, _: f64, cx: &mut ProcessContext<'_, Self>) {
///         *known = Some(());
///         // In place of the timer that the item before has set.
///         cx.set_timer(cx.time().after(Duration::from_secs(60)), ());
///     }
///
///     fn on_timer(&self, known: &mut Option<()>, _: (), cx: &mut ProcessContext<'_, Self>) {
///         cx.emit("silent");
///         *known = None;
///     }
/// }
///
/// #[dataflow]
/// fn watch(readings: Vec<(u32, i64)>, out: Collect<(u32, &'static str)>) {
///     let all = source(from_iter(readings));
///     let timed = event_time(all, |r| Timestamp::from_secs(r.1), Disorder::none());
///     let by_sensor = key_by(timed, |r| r.0);
///     let values = map(by_sensor, |r| r.1 as f64);
///     let silent = process(values, Silence);
///     sink(silent, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, silent) = collect();
/// // The end of the input is the end of event time: every timer that is set is due.
/// watch(vec![(1, 0), (2, 30), (1, 50)], out).spawn()?.wait()?;
/// assert_eq!(silent.sorted(), [(1, "silent"), (2, "silent")]);
/// # Ok(())
/// # }
/// ```
pub trait Process: Sized + 'static {
    /// The key.
    type Key: Key;
    /// What it takes.
    type In: 'static;
    /// What it emits.
    type Out: 'static;
    /// What it keeps for a key.
    type State: State;
    /// What tells the timers of a key apart: `()` where there is one, else usually an enum.
    type Timer: Saved + Ord + 'static;

    /// An item of a key.
    fn on_item(
        &self,
        state: &mut Option<Self::State>,
        item: Self::In,
        cx: &mut ProcessContext<'_, Self>,
    );

    /// A timer of a key is due. It is not set any more.
    fn on_timer(
        &self,
        state: &mut Option<Self::State>,
        timer: Self::Timer,
        cx: &mut ProcessContext<'_, Self>,
    ) {
        let _ = (state, timer, cx);
    }
}

/// `process(keyed, machine)`: runs a [`Process`].
///
/// What one call emits is gathered until it returns. An item that is emitted has the event time of the item, or of the timer by event
/// time, that led to it; one that a timer by processing time led to has the time that event time has come to.
#[derive(Debug)]
pub enum process {}

impl process {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Process);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: FeedsKeyedExactly<P::Key, P::In> + Token, P: Process>(
        _: U,
        machine: P,
    ) -> (Keyed<P::Key, P::Out>, ProcessPlan<P>) {
        (Token::token(), ProcessPlan { machine, types: PhantomData })
    }
}

/// The plan of [`process`].
pub struct ProcessPlan<P> {
    machine: P,
    types: PhantomData<fn(P)>,
}

impl<P> fmt::Debug for ProcessPlan<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProcessPlan")
    }
}

impl<H, P, D> Plan1<H, Keyed<P::Key, P::In>, (D,)> for ProcessPlan<P>
where
    H: Host,
    P: Process,
    D: Consumer<Keyed<P::Key, P::Out>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<P::Key, P::In>> + use<H, P, D>,) {
        (Processing::new(id, self.machine, down),)
    }
}
