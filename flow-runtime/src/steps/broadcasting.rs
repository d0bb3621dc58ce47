//! `broadcast`: a value that every worker has, kept up to date by a stream of changes.
//!
//! All changes pass through one sequencer, on worker 0, which sends them on to every worker. So every worker
//! applies the same changes in the same order, and at every barrier all copies are equal.

use std::fmt;
use std::marker::PhantomData;
use std::task::Waker;

use crate::bounds::Item;
use crate::consumer::{Consumer, Head};
use crate::control::Control;
use crate::describe::{Describe, StepId, StepInfo};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::{Host, Inlet, Outlet, Spread};
use crate::plan::Plan1;
use crate::stream::{Broadcast, NoKey, Stream};

/// `broadcast(changes, |value: &mut V, change| ..)`: a value that every worker has, beginning as the default, to be
/// read by any step as a `&V` parameter.
#[derive(Debug)]
pub enum broadcast {}

impl broadcast {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Broadcast);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<V>(_: V) {}
    #[doc(hidden)]
    pub fn __wire<C: Item, V: Default + 'static, F: Fn(&mut V, C) + 'static>(
        _: Stream<C>,
        fold: F,
    ) -> (Broadcast<V>, BroadcastPlan<C, V, F>) {
        let copy = Broadcast::new(V::default());
        (copy.clone(), BroadcastPlan { copy, fold, types: PhantomData })
    }
}

/// The plan of [`broadcast`]. It has no outputs: the copy itself is read where the token was given.
pub struct BroadcastPlan<C, V, F> {
    copy: Broadcast<V>,
    fold: F,
    types: PhantomData<fn(C)>,
}

impl<C, V, F> fmt::Debug for BroadcastPlan<C, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BroadcastPlan")
    }
}

impl<H, C, V, F> Plan1<H, Stream<C>, ()> for BroadcastPlan<C, V, F>
where
    H: Host,
    C: Item,
    V: 'static,
    F: Fn(&mut V, C) + 'static,
{
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(self, cx: &mut H::Cx<'_>, id: StepId, (): ()) -> (ToSequencer<H::Outlet<C>>,) {
        let copies = Copies { id: id.clone(), copy: self.copy, fold: self.fold };
        let to_all = H::exchange(cx, id.clone(), Spread::ToAll, copies);
        let sequencer = Sequencer { id: id.clone(), out: to_all, types: PhantomData };
        (ToSequencer { out: H::exchange(cx, id, Spread::ToWorker, sequencer) },)
    }
}

/// Sends changes to the sequencer.
#[derive(Debug)]
pub struct ToSequencer<O> {
    out: O,
}

impl<C: 'static, O: Outlet<C>> Consumer<Stream<C>> for ToSequencer<O> {
    fn push(&mut self, _: Head<'_, NoKey>, change: C) {
        self.out.send(0, change);
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        self.out.describe(to);
    }
}

struct Sequencer<C, O> {
    id: StepId,
    out: O,
    types: PhantomData<fn(C)>,
}

impl<C: Item, O: Outlet<C>> Inlet<C> for Sequencer<C, O> {
    fn batch(&mut self, _: usize, rows: &mut Vec<C>) {
        rows.drain(..).for_each(|change| self.out.send(0, change));
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, "sequencer").takes::<Stream<C>>());
        self.out.describe(to);
    }
}

/// A worker's copy.
struct Copies<V, F> {
    id: StepId,
    copy: Broadcast<V>,
    fold: F,
}

impl<C: Item, V: 'static, F: Fn(&mut V, C) + 'static> Inlet<C> for Copies<V, F> {
    fn batch(&mut self, _: usize, rows: &mut Vec<C>) {
        let note = Note::of(&self.id);
        self.copy.change(|value| rows.drain(..).for_each(|change| (self.fold)(value, change)));
        note.clear();
    }
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Kind::Broadcast.name()).takes::<Stream<C>>().emits::<V>());
    }
    /// A step that is in the middle of an item may be reading the copy while it waits for room downstream.
    fn ready(&mut self, _: &Waker) -> bool {
        self.copy.is_free()
    }
}
