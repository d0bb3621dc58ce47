//! `inspect`: looks at items without changing them.

use std::fmt;
use std::marker::PhantomData;

use crate::consumer::{Consumer, Head};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::stream::Token;
use crate::time::Epoch;

/// `inspect(stream, |item, seen| ..)`: calls a function with every item, and with where and when it was seen.
///
/// ```
/// use flow_runtime::io::from_iter;
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn watched(numbers: Vec<u64>) {
///     let all = source(from_iter(numbers));
///     let seen = inspect(all, |n, at| assert!(*n < 10 && at.worker == 0, "{n} in epoch {}", at.epoch));
///     discard(seen, "only looked at");
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// watched(vec![1, 2, 3]).workers(1).spawn()?.wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum inspect {}

/// Where and when an item was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The epoch that the item belongs to.
    pub epoch: Epoch,
    /// The worker that has it.
    pub worker: usize,
}

impl inspect {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Inspect);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, F: Fn(&U::Item, Seen) + 'static>(_: U, f: F) -> (U, InspectPlan<U, F>) {
        (U::token(), InspectPlan { f, types: PhantomData })
    }
}

/// The plan of [`inspect`].
pub struct InspectPlan<U, F> {
    f: F,
    types: PhantomData<fn(U)>,
}

impl<U, F> fmt::Debug for InspectPlan<U, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InspectPlan")
    }
}

impl<H: Host, U: Token, F: Fn(&U::Item, Seen) + 'static, D: Consumer<U>> Plan1<H, U, (D,)>
    for InspectPlan<U, F>
{
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<U> + use<H, U, F, D>,) {
        let seen = Seen { epoch: Epoch(0), worker: H::worker(cx).index };
        (Inspect { id, f: self.f, seen, down },)
    }
}

struct Inspect<F, D> {
    id: StepId,
    f: F,
    seen: Seen,
    down: D,
}

impl<U: Token, F: Fn(&U::Item, Seen) + 'static, D: Consumer<U>> Consumer<U> for Inspect<F, D> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
        let note = Note::of(&self.id);
        (self.f)(&item, self.seen);
        note.emits();
        note.clear();
        self.down.push(head, item);
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        self.down.expect(hashes);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        if let Signal::Open { epoch, .. } = control.signal() {
            self.seen.epoch = epoch;
        }
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Kind::Inspect.name()).takes::<U>().emits::<U::Item>());
        self.down.describe(to);
    }
}
