//! `broadcast`: a value that every worker has, kept up to date by a stream of changes.
//!
//! All changes pass through one sequencer, on worker 0, which sends them on to every worker. So every worker
//! applies the same changes in the same order, and at every barrier all copies are equal.

use std::fmt;
use std::marker::PhantomData;
use std::task::Waker;

use crate::bounds::Item;
use crate::consumer::{Consumer, Head};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::Error;
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::{Batch, Host, Inlet, Outlet, Spread};
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::state::{LoadError, Reader, Shape, State};
use crate::stream::{Broadcast, NoKey, Stream};
use crate::time::Timestamp;

/// `broadcast(changes, |value: &mut V, change| ..)`: a value that every worker has, beginning as the default, to be
/// read by any step as a `&V` parameter.
///
/// ```
/// use flow_runtime::io::{ChannelSource, Collect, channel, collect};
/// use flow_runtime::prelude::*;
///
/// #[filter]
/// fn above(amount: &u64, limit: &u64) -> bool {
///     amount > limit
/// }
///
/// /// Alarms above a limit that can be changed while it runs.
/// #[dataflow]
/// fn alarms(amounts: ChannelSource<u64>, limits: ChannelSource<u64>, out: Collect<u64>) {
///     let changes = source(limits);
///     let limit = broadcast(changes, |limit: &mut u64, change| *limit = change);
///     let all = source(amounts);
///     let alarms = above(all, limit);
///     sink(alarms, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let ((amounts, amounts_in), (limits, limits_in)) = (channel(10), channel(10));
/// let (out, raised) = collect();
/// let running = alarms(amounts_in, limits_in, out).workers(2).spawn()?;
/// assert!(amounts.send(1).is_ok()); // the limit begins as the default, 0
/// drop((amounts, limits));
/// running.wait()?;
/// assert_eq!(raised.take(), [1]);
/// # Ok(())
/// # }
/// ```
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
    pub fn __wire<C: Item, V: State + Default, F: Fn(&mut V, C) + 'static>(
        _: Stream<C>,
        fold: F,
    ) -> (Broadcast<V>, BroadcastPlan<C, V, F>) {
        let copy = Broadcast::new(V::default());
        let saving = Saving {
            save: V::save,
            load: V::load_all,
            older: Reader::of,
            spec: || StepSpec::single("broadcast", "value", Shape::from(V::SCHEMA)).migrates::<V>(),
        };
        (copy.clone(), BroadcastPlan { copy, fold, saving, types: PhantomData })
    }
}

/// The plan of [`broadcast`]. It has no outputs: the copy itself is read where the token was given.
pub struct BroadcastPlan<C, V, F> {
    copy: Broadcast<V>,
    fold: F,
    saving: Saving<V>,
    types: PhantomData<fn(C)>,
}

/// How the value is saved. Functions, so that a value which cannot be saved is one error, where the step is wired.
struct Saving<V> {
    save: fn(&V, &mut Vec<u8>),
    load: fn(&[u8]) -> Result<V, LoadError>,
    older: fn(&Shape) -> Result<Reader<V>, LoadError>,
    spec: fn() -> StepSpec,
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
        // All copies are equal, so one is saved.
        let saves = H::worker(cx).index == 0;
        let copies = Copies {
            id: id.clone(),
            copy: self.copy,
            fold: self.fold,
            saving: self.saving,
            saves,
            changed: false,
        };
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
        self.out.send(0, Timestamp::MIN, change);
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
    fn batch(&mut self, _: usize, batch: &mut Batch<C>) {
        batch.rows.drain(..).for_each(|change| self.out.send_to_all(change));
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
    saving: Saving<V>,
    /// Whether this copy is the one that is saved.
    saves: bool,
    /// Since the last barrier.
    changed: bool,
}

impl<V, F> Copies<V, F> {
    /// Takes over the value that is saved.
    fn restore(&mut self, from: &Restoring<'_>) -> Result<(), Error> {
        let mut loaded = false;
        let older = from.older(&self.id, self.saving.older)?;
        from.broadcast(&self.id, |schema, bytes| {
            let note = Note::beside(&self.id);
            let value = match schema {
                None => (self.saving.load)(bytes),
                Some(schema) => older.load(schema, bytes),
            };
            note.clear();
            let value = value?;
            self.copy.change(|copy| *copy = value);
            loaded = true;
            Ok(())
        })?;
        from.has_keys(&self.id, usize::from(loaded && self.saves));
        Ok(())
    }
}

impl<C: Item, V: 'static, F: Fn(&mut V, C) + 'static> Inlet<C> for Copies<V, F> {
    fn batch(&mut self, _: usize, batch: &mut Batch<C>) {
        self.changed = true;
        let note = Note::of(&self.id);
        let rows = batch.rows.drain(..);
        self.copy.change(|value| rows.for_each(|change| (self.fold)(value, change)));
        note.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        match control.signal() {
            Signal::Restore => {
                if let Some(from) = control.restored()
                    && let Err(error) = self.restore(&from)
                {
                    control.fail(error);
                }
            }
            Signal::Barrier(_) if std::mem::take(&mut self.changed) && self.saves => {
                if let Some(changes) = control.changes() {
                    changes.broadcast(&self.id, |to| {
                        self.copy.look(|value| (self.saving.save)(value, to))
                    });
                }
            }
            _ => {}
        }
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Broadcast.name());
        to.step(info.takes::<Stream<C>>().emits::<V>().saves(self.saving.spec));
    }
    /// A step that is in the middle of an item may be reading the copy while it waits for room downstream.
    fn ready(&mut self, _: &Waker) -> bool {
        self.copy.is_free()
    }
}
