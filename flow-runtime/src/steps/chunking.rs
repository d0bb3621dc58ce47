//! `chunk`: items gathered into vectors.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::time::Duration;

use crate::bounds::{Item, Key};
use crate::consumer::{Consumer, Head};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::Error;
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::Host;
use crate::plan::Plan1;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::state::{Checked, Lent, LoadError, Parted, Saved, Shape, Table};
use crate::stream::{Keyed, NoKey, Stream, Token};
use crate::time::Timestamp;

/// `chunk(stream, size, period)`: gathers items into vectors of `size`, or of what has come within `period` of processing time
/// since a chunk's first item.
///
/// A keyed stream is gathered key by key, and the gathered items are the key's state. A plain stream is gathered worker by
/// worker and has no state: its open chunk is emitted at every barrier.
///
/// A size of 0 counts as 1. A chunk has the event time of the item that filled it; one that is emitted because its period is over
/// has the time that event time has come to.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// use std::time::Duration;
///
/// #[dataflow]
/// fn pairs(numbers: Vec<u64>, out: Collect<Vec<u64>>) {
///     let all = source(from_iter(numbers));
///     let pairs = chunk(all, 2, Duration::from_secs(1));
///     sink(pairs, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// pairs(vec![1, 2, 3], out).workers(1).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [vec![1, 2], vec![3]]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum chunk {}

impl chunk {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Chunk);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token>(
        _: U,
        size: usize,
        period: Duration,
    ) -> (U::With<Vec<U::Item>>, ChunkPlan<U>) {
        (Token::token(), ChunkPlan { size: size.max(1), period, types: PhantomData })
    }
}

/// The plan of [`chunk`].
pub struct ChunkPlan<U> {
    size: usize,
    period: Duration,
    types: PhantomData<fn(U)>,
}

impl<U> fmt::Debug for ChunkPlan<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkPlan").field("size", &self.size).field("period", &self.period).finish()
    }
}

impl<H: Host, T: 'static, D: Consumer<Stream<Vec<T>>>> Plan1<H, Stream<T>, (D,)>
    for ChunkPlan<Stream<T>>
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Stream<T>> + use<H, T, D>,) {
        (Gather {
            id,
            size: self.size,
            period: self.period,
            now: Timestamp::MIN,
            watermark: Timestamp::MIN,
            due: None,
            items: Vec::new(),
            down,
        },)
    }
}

/// Chunks of a plain stream.
struct Gather<T, D> {
    id: StepId,
    size: usize,
    period: Duration,
    now: Timestamp,
    watermark: Timestamp,
    due: Option<Timestamp>,
    items: Vec<T>,
    down: D,
}

impl<T: 'static, D: Consumer<Stream<Vec<T>>>> Gather<T, D> {
    fn emit(&mut self, time: Timestamp) {
        self.due = None;
        if !self.items.is_empty() {
            self.id.counted().emits();
            self.down.push(Head::at(time), mem::take(&mut self.items));
        }
    }
}

impl<T: 'static, D: Consumer<Stream<Vec<T>>>> Consumer<Stream<T>> for Gather<T, D> {
    #[inline]
    fn push(&mut self, head: Head<'_, NoKey>, item: T) {
        self.id.counted().takes();
        if self.items.is_empty() {
            self.due = Some(self.now.after(self.period));
        }
        self.items.push(item);
        if self.items.len() >= self.size {
            self.emit(head.time);
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.now = control.now();
        match control.signal() {
            Signal::Open { .. } => control.use_time(),
            Signal::Watermark(time) => self.watermark = time.watermark,
            Signal::Barrier(_) | Signal::Finish => self.emit(self.watermark),
            Signal::Tick | Signal::Flush if self.due.is_some_and(|due| due <= self.now) => {
                self.emit(self.watermark);
            }
            _ => {}
        }
        if let Some(due) = self.due {
            control.wake_at(due);
        }
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Kind::Chunk.name()).takes::<Stream<T>>().emits::<Vec<T>>());
        self.down.describe(to);
    }
}

impl<H, K, T, D> Plan1<H, Keyed<K, T>, (D,)> for ChunkPlan<Keyed<K, T>>
where
    H: Host,
    K: Key,
    T: Item,
    D: Consumer<Keyed<K, Vec<T>>>,
{
    fn assemble(
        self,
        _: &mut H::Cx<'_>,
        id: StepId,
        (down,): (D,),
    ) -> (impl Consumer<Keyed<K, T>> + use<H, K, T, D>,) {
        (GatherByKey {
            id,
            size: self.size,
            period: self.period,
            now: Timestamp::MIN,
            watermark: Timestamp::MIN,
            open: Table::new(),
            due: VecDeque::new(),
            chunks: 0,
            down,
        },)
    }
}

/// The open chunk of a key. It has no items where the key is between two chunks.
struct Open<T> {
    items: Vec<T>,
    /// Tells this chunk from the key's earlier ones, which may still stand in the queue of what is due.
    number: u64,
    /// When it is due.
    due: Timestamp,
}

impl<T> Parted for Open<T> {}

impl<T: Item> Open<T> {
    fn save(&self, to: &mut Vec<u8>) -> Result<(), postcard::Error> {
        self.due.save(to);
        to.extend(postcard::to_allocvec(&self.items)?);
        Ok(())
    }

    fn load(mut from: &[u8]) -> Result<Self, LoadError> {
        let due = Timestamp::load(&mut from)?;
        match postcard::take_from_bytes(from) {
            Ok((items, [])) => Ok(Open { items, number: 0, due }),
            _ => Err(LoadError::new("items that were held back cannot be decoded")),
        }
    }
}

/// So many times at which chunks are due are not worth being looked through.
const FEW_DUE: usize = 1024;

/// Chunks of a keyed stream.
struct GatherByKey<K, T, D> {
    id: StepId,
    size: usize,
    period: Duration,
    now: Timestamp,
    watermark: Timestamp,
    open: Table<K, Open<T>>,
    /// Chunks by the time they are due, which is the order of their first items as long as the period stays the same.
    due: VecDeque<(Timestamp, u64, K, u64)>,
    chunks: u64,
    down: D,
}

impl<K: Key, T: Item, D: Consumer<Keyed<K, Vec<T>>>> GatherByKey<K, T, D> {
    /// Takes over the open chunks that are saved, and when each is due.
    fn restore(&mut self, from: &Restoring<'_>) -> Result<(), Error> {
        self.open.restore_from(&self.id, from, Open::load, |_| {
            Err(LoadError::new("items that are held back have no versions"))
        })?;
        let mut due = Vec::with_capacity(self.open.len());
        let chunks = &mut self.chunks;
        let hasher = from.hasher();
        self.open.each_mut(|key, open| {
            *chunks += 1;
            open.number = *chunks;
            due.push((open.due, hasher.hash(key), key.clone(), open.number));
        });
        due.sort_by_key(|due| due.0);
        self.due = due.into();
        Ok(())
    }

    /// Forgets when chunks were due that are out already, once these are the most: as they fill long before that, they would gather.
    #[cold]
    fn forget_due(&mut self) {
        let GatherByKey { due, open, .. } = self;
        due.retain(|(_, hash, key, number)| {
            open.find(*hash, &Lent(key))
                .is_some_and(|open| open.number == *number && !open.items.is_empty())
        });
    }

    /// Emits the chunks that are due at `until`.
    fn fire(&mut self, until: Timestamp) {
        while let Some((_, hash, key, number)) = self.due.pop_front_if(|due| due.0 <= until) {
            let Some(open) = self.open.find_mut(hash, &key) else { continue };
            if open.number == number && !open.items.is_empty() {
                let items = mem::take(&mut open.items);
                self.open.forget(hash);
                self.id.counted().emits();
                self.down.push(Head { hash, time: self.watermark, key: &key }, items);
            }
        }
    }
}

impl<K: Key, T: Item, D: Consumer<Keyed<K, Vec<T>>>> Consumer<Keyed<K, T>>
    for GatherByKey<K, T, D>
{
    #[inline]
    fn push(&mut self, head: Head<'_, K>, item: T) {
        let note = Note::of(&self.id);
        let open = self.open.find_or_insert(head.hash, &Lent(head.key), || Open {
            items: Vec::new(),
            number: 0,
            due: Timestamp::MIN,
        });
        note.clear();
        if open.state.items.is_empty() {
            self.chunks += 1;
            (open.state.number, open.state.due) = (self.chunks, self.now.after(self.period));
            let due = (open.state.due, head.hash, head.key.clone(), self.chunks);
            match self.due.back() {
                // An earlier run has opened it, with a longer period.
                Some(last) if last.0 > due.0 => {
                    let at = self.due.partition_point(|other| other.0 <= due.0);
                    self.due.insert(at, due);
                }
                _ => self.due.push_back(due),
            }
        }
        open.state.items.push(item);
        if open.state.items.len() >= self.size {
            let mut items = mem::take(&mut open.state.items);
            self.open.forget(head.hash);
            // More than a chunk only where an earlier run was given a larger size.
            while items.len() > self.size {
                let rest = items.split_off(self.size);
                self.id.counted().emits();
                self.down.push(head, mem::replace(&mut items, rest));
            }
            self.id.counted().emits();
            self.down.push(head, items);
        }
        if self.due.len() >= FEW_DUE.max(2 * self.open.len()) {
            self.forget_due();
        }
    }
    #[inline(always)]
    fn expect(&self, hashes: impl Iterator<Item = u64> + Clone) {
        let note = Note::beside(&self.id);
        self.open.expect(hashes);
        note.clear();
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.now = control.now();
        match control.signal() {
            Signal::Open { .. } => control.use_time(),
            Signal::Watermark(time) => self.watermark = time.watermark,
            Signal::Tick | Signal::Flush => self.fire(self.now),
            Signal::Finish => self.fire(Timestamp::MAX),
            Signal::Barrier(_) => {
                if let Some(changes) = control.changes() {
                    let checked = Checked::few();
                    let is_gone = |open: &Open<T>| open.items.is_empty();
                    self.open.gather(&self.id, changes, is_gone, |open, to| {
                        let start = to.len();
                        let saved = open.save(to);
                        checked.saved(saved, &to[start..], Open::<T>::load);
                    });
                    if let Some(failure) = checked.failure(&self.id) {
                        control.fail(failure);
                    }
                }
                self.open.end_epoch(|open| open.items.is_empty());
                control.keeps(&self.id, self.open.len(), self.open.bytes());
            }
            Signal::Restore => {
                if let Some(from) = control.restored()
                    && let Err(error) = self.restore(&from)
                {
                    control.fail(error);
                }
            }
            _ => {}
        }
        if let Some(due) = self.due.front() {
            control.wake_at(due.0);
        }
        self.down.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, Kind::Chunk.name());
        to.step(info.takes::<Keyed<K, T>>().emits::<Vec<T>>().saves(|| {
            let items = Shape::List(Box::new(Shape::of_serde::<T>()));
            let due = Shape::from(Timestamp::SCHEMA);
            StepSpec::keyed::<K>("chunk", Shape::Tuple(vec![due, items]))
        }));
        self.down.describe(to);
    }
}
