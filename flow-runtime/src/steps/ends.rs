//! Where streams begin and end: `source`, `sink`, `discard`, `fail`.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::exactly_once::Reads;
use crate::bounds::{Never, Nothing};
use crate::consumer::{Consumer, Head};
use crate::control::{Control, Signal};
use crate::describe::{Describe, StepId, StepInfo};
use crate::error::{Error, ErrorKind};
use crate::failure::Note;
use crate::graph::{Kind, Operator};
use crate::host::{Assignment, Batch, Host, Inlet, Outlet, Spread};
use crate::io::delivery::DeliveryKind;
use crate::io::{Encoder, Io, Resume, Sink, SinkWriter, Source, encode_position};
use crate::plan::{FeedPlan, Plan0, Plan1};
use crate::recovery::changes::Changes;
use crate::recovery::manifest::StepSpec;
use crate::recovery::recovered::Restoring;
use crate::stream::{Stream, Token};
use crate::time::{Barrier, Timestamp};

/// `source(s)`: reads a [`Source`], or wires a sub-flow that has sources of its own.
///
/// ```
/// use flow_runtime::io::{Collect, collect, from_iter};
/// use flow_runtime::prelude::*;
///
/// /// A sub-flow that has its source inside.
/// #[dataflow]
/// fn doubled(numbers: Vec<u64>) -> Stream<u64> {
///     let all = source(from_iter(numbers));
///     let twice = map(all, |n| n * 2);
///     twice
/// }
///
/// #[dataflow]
/// fn flow(numbers: Vec<u64>, out: Collect<u64>) {
///     let plain = source(from_iter(numbers));
///     let twice = source(doubled(numbers));
///     let both = merge(plain, twice);
///     sink(both, out);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let (out, found) = collect();
/// flow(vec![1, 2], out).spawn()?.wait()?;
/// assert_eq!(found.sorted(), [1, 2, 2, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum source {}

impl source {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Source);
    #[doc(hidden)]
    pub fn __check() {}
    #[doc(hidden)]
    pub fn __post<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<F: Feed<Out = S>, S: Token>(feed: F) -> (S, FeedStep<F>) {
        (S::token(), FeedStep(feed))
    }
}

/// What `source(..)` takes: a [`Source`], or a sub-flow without inputs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source",
    label = "cannot be read by `source(..)`",
    note = "sources are `Lines::of(path)`, `Csv::of(path)`, `JsonLines::of(path)`, `from_iter(iterator)`, the receiving end of a channel, a type that implements `Source`, or a sub-flow without inputs"
)]
pub trait Feed: 'static {
    /// The stream that comes out.
    type Out: Token;
    /// What `delivery = exactly_once` has to check of it.
    type Ends;
    #[doc(hidden)]
    fn assemble<H: Host, D: Consumer<Self::Out>>(self, cx: &mut H::Cx<'_>, id: StepId, down: D);
}

#[diagnostic::do_not_recommend]
impl<S: Source> Feed for S {
    type Out = Stream<S::Item>;
    type Ends = Reads<S::Replay>;
    fn assemble<H: Host, D: Consumer<Stream<S::Item>>>(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        down: D,
    ) {
        H::source(cx, id, self, down);
    }
}

/// A sub-flow without inputs, as its function returns it.
#[derive(Clone, Debug)]
#[must_use = "a sub-flow does nothing until it is wired by `source(..)`"]
pub struct SourceFlow<P>(pub P);

#[diagnostic::do_not_recommend]
impl<P: FeedPlan> Feed for SourceFlow<P> {
    type Out = P::Out;
    type Ends = P::Ends;
    fn assemble<H: Host, D: Consumer<P::Out>>(self, cx: &mut H::Cx<'_>, id: StepId, down: D) {
        self.0.assemble::<H, D>(cx, id, down);
    }
}

/// The plan of [`source`].
#[derive(Debug)]
pub struct FeedStep<F>(F);

impl<H: Host, F: Feed, D: Consumer<F::Out>> Plan0<H, (D,)> for FeedStep<F> {
    fn assemble(self, cx: &mut H::Cx<'_>, id: StepId, (down,): (D,)) {
        self.0.assemble::<H, D>(cx, id, down);
    }
}

/// `sink(stream, s)`: writes a stream to a [`Sink`].
#[derive(Debug)]
pub enum sink {}

impl sink {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Sink);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token, S: TakenBy<U, Plan = P>, P>(_: U, sink: S) -> ((), P) {
        ((), sink.plan())
    }
}

/// A sink that fits the stream `U`: [`Sink`], as a check.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take a `{U}`",
    label = "this sink does not fit the stream",
    note = "sinks of text take items that implement `Display`; CSV and JSON take items that implement `serde::Serialize`; a keyed stream arrives as `(key, item)`"
)]
pub trait TakenBy<U> {
    /// The plan of the sink.
    type Plan;
    /// Makes it.
    fn plan(self) -> Self::Plan;
}

#[diagnostic::do_not_recommend]
impl<U: Token, S: Sink<U>> TakenBy<U> for S {
    type Plan = SinkPlan<U, S>;
    fn plan(self) -> SinkPlan<U, S> {
        SinkPlan { sink: self, types: PhantomData }
    }
}

#[diagnostic::do_not_recommend]
impl<U, S> TakenBy<U> for S
where
    Nothing<S>: Never,
{
    type Plan = Self;
    fn plan(self) -> Self {
        self
    }
}

/// The plan of [`sink`].
pub struct SinkPlan<U, S> {
    sink: S,
    types: PhantomData<fn(U)>,
}

impl<U, S> fmt::Debug for SinkPlan<U, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SinkPlan")
    }
}

/// What crosses to the owner of a sink's partition.
type Block<U, S> = (u32, <S as Sink<U>>::Block);

impl<H: Host, U: Token, S: Sink<U>> Plan1<H, U, ()> for SinkPlan<U, S> {
    #[allow(refining_impl_trait)] // The refinement is the seal.
    fn assemble(
        self,
        cx: &mut H::Cx<'_>,
        id: StepId,
        (): (),
    ) -> (Encoding<U, S, H::Outlet<Block<U, S>>>,) {
        let sink = self.sink;
        let owners = H::sink_partitions(cx, &id, &|io| sink.partitions(io));
        let applies = sink.clone();
        H::sink_applier(cx, &id, S::Delivery::KIND, move |io, partition, owner| {
            applies.applier(io, partition, owner)
        });
        let worker = H::worker(cx).index;
        let encoder = sink.encoder();
        let partitions = SinkPartitions {
            id: id.apart(),
            writers: owners.partitions.iter().map(|_| None).collect(),
            unopened: Some(sink),
            worker,
            owners: owners.clone(),
            io: H::io(cx),
            saved: vec![None; owners.partitions.len()],
            resumes: Vec::new(),
            names: Vec::new(),
            failure: None,
            stream: PhantomData,
        };
        let out = H::exchange(cx, id.clone(), Spread::ToWorker, partitions);
        let blocks = owners.partitions.iter().map(|_| S::Block::default()).collect();
        let filled = vec![false; owners.partitions.len()];
        (Encoding { id, worker, encoder, blocks, filled, owners, out, count: 0, failure: None },)
    }
}

/// A block of at least this many bytes is sent without waiting for the end of the batch.
const BLOCK_BYTES: usize = 64 * 1024;

/// The half of a sink that runs where the items are.
pub struct Encoding<U: Token, S: Sink<U>, O> {
    id: StepId,
    worker: usize,
    encoder: S::Encoder,
    /// One block per partition, being filled.
    blocks: Vec<S::Block>,
    filled: Vec<bool>,
    owners: Assignment,
    out: O,
    /// Items encoded since the last signal.
    count: u64,
    failure: Option<Error>,
}

impl<U: Token, S: Sink<U>, O> fmt::Debug for Encoding<U, S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoding").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cold]
fn no_partition(partition: usize, partitions: usize) -> Error {
    Error::new(
        ErrorKind::Sink,
        format!("the encoder has chosen partition {partition} of {partitions}, counted from 0"),
    )
}

impl<U: Token, S: Sink<U>, O: Outlet<Block<U, S>>> Encoding<U, S, O> {
    fn send(&mut self, partition: usize) {
        self.filled[partition] = false;
        let block = mem::take(&mut self.blocks[partition]);
        let owner = self.owners.workers[partition] as u64;
        self.out.send(owner, Timestamp::MIN, (partition as u32, block));
    }

    /// The run ends with the first failure, once the batch is done.
    #[cold]
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert_with(|| error.at_step(&self.id));
    }

    fn send_all(&mut self) {
        for partition in 0..self.filled.len() {
            if self.filled[partition] {
                self.send(partition);
            }
        }
    }
}

impl<U: Token, S: Sink<U>, O: Outlet<Block<U, S>>> Consumer<U> for Encoding<U, S, O> {
    #[inline(always)]
    fn push(&mut self, head: Head<'_, U::Key>, item: U::Item) {
        if S::Encoder::DIRECT {
            let note = Note::of(&self.id);
            let encoded = self.encoder.encode(head.key, item, &mut S::Block::default());
            note.clear();
            if let Err(error) = encoded {
                self.fail(error);
            }
            return;
        }
        self.count += 1;
        let note = Note::of(&self.id);
        let partition = match self.blocks.len() {
            1 => 0,
            several => self.encoder.partition(self.worker, head.hash, several),
        };
        let encoded = match self.blocks.get_mut(partition) {
            Some(block) => self.encoder.encode(head.key, item, block),
            None => Err(no_partition(partition, self.blocks.len())),
        };
        note.clear();
        match encoded {
            Ok(bytes) => {
                self.filled[partition] = true;
                if bytes >= BLOCK_BYTES {
                    self.send(partition);
                }
            }
            Err(error) => self.fail(error),
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        if let Some(failure) = self.failure.take() {
            control.fail(failure);
        }
        control.count_out(mem::take(&mut self.count));
        if let Signal::Flush | Signal::Finish | Signal::Barrier(_) = control.signal() {
            self.send_all();
        }
        self.out.control(control);
    }
    fn describe(&self, to: &mut dyn Describe) {
        let step = StepInfo::new(&self.id, Kind::Sink.name()).takes::<U>();
        to.step(step.delivers(S::Delivery::KIND));
        self.out.describe(to);
    }
}

/// The half of a sink that writes, on the workers that own its partitions.
struct SinkPartitions<U: Token, S: Sink<U>> {
    id: StepId,
    worker: usize,
    owners: Assignment,
    io: Io,
    /// The sink, until its partitions are opened at the beginning of the first epoch.
    unopened: Option<S>,
    /// One per partition; `None` where another worker owns it.
    writers: Vec<Option<S::Writer>>,
    /// The position that the recovery log has, of each partition.
    saved: Vec<Option<Vec<u8>>>,
    /// Where to begin with each partition, in a run that goes on.
    resumes: Vec<Resume<S::Position>>,
    /// What each partition's target knows it by, in a run with a recovery log.
    names: Vec<Option<Arc<str>>>,
    failure: Option<Error>,
    stream: PhantomData<fn(U)>,
}

impl<U: Token, S: Sink<U>> SinkPartitions<U, S> {
    fn open(&mut self, sink: &S) -> Result<(), Error> {
        let mut resumes = mem::take(&mut self.resumes).into_iter();
        let mut names = mem::take(&mut self.names).into_iter();
        for (n, partition) in self.owners.partitions.iter().enumerate() {
            let resume = resumes.next().unwrap_or(Resume::Fresh);
            let io = self.io.with_owner(names.next().flatten());
            if self.owners.workers[n] == self.worker {
                self.io.check_fence()?;
                self.writers[n] = Some(sink.open(&io, partition, resume)?);
            }
        }
        Ok(())
    }

    /// Finds out where to begin with each partition, and who it is for its target.
    fn restore(&mut self, from: &Restoring<'_>) -> Result<(), Error> {
        for (n, partition) in self.owners.partitions.iter().enumerate() {
            let (resume, saved) = from.position(&self.id, partition)?;
            self.resumes.push(resume);
            self.names.push(from.owner(&self.id, partition));
            self.saved[n] = saved;
        }
        Ok(())
    }

    /// Ends the epoch of all partitions; what is to be saved goes to `changes`.
    fn seal(&mut self, barrier: Barrier, mut changes: Option<&mut Changes>) -> Result<(), Error> {
        let partitions = self.writers.iter_mut().zip(&self.owners.partitions).zip(&mut self.saved);
        for ((writer, partition), saved) in partitions {
            let Some(writer) = writer else { continue };
            let position = writer.seal(barrier)?;
            let stored = writer.stored()?;
            let Some(changes) = &mut changes else { continue };
            let mut changed = stored.is_some();
            if let Some(stored) = stored {
                changes.store(&self.id, partition, stored);
            }
            let position = encode_position(&position, partition)?;
            if saved.as_ref() != Some(&position) {
                changes.partition(&self.id, partition, &position);
                *saved = Some(position);
                changed = true;
            }
            if changed && let Some(durable) = writer.durable()? {
                changes.sync(&self.id, partition, durable);
            }
        }
        Ok(())
    }

    fn act(&mut self, control: &mut Control<'_>) -> Result<(), Error> {
        let id = self.id.clone();
        let note = Note::beside(&id);
        let acted = self.tell(control);
        note.clear();
        acted
    }

    fn tell(&mut self, control: &mut Control<'_>) -> Result<(), Error> {
        match control.signal() {
            Signal::Restore => control.restored().map_or(Ok(()), |from| self.restore(&from)),
            Signal::Open { .. } => match self.unopened.take() {
                Some(sink) => self.open(&sink),
                None => Ok(()),
            },
            Signal::Barrier(barrier) => self.seal(barrier, control.changes()),
            Signal::Committed(epoch) => {
                let mut writers = self.writers.iter_mut().flatten();
                writers.try_for_each(|writer| writer.committed(epoch))
            }
            _ => Ok(()),
        }
    }
}

impl<U: Token, S: Sink<U>> Inlet<Block<U, S>> for SinkPartitions<U, S> {
    fn batch(&mut self, _: usize, batch: &mut Batch<Block<U, S>>) {
        if let Err(error) = self.io.check_fence() {
            self.failure.get_or_insert(error);
        }
        for (partition, block) in batch.rows.drain(..) {
            if self.failure.is_some() {
                continue;
            }
            // The host sends a block to the owner of its partition, and not before the first epoch has opened it.
            let writer = self.writers[partition as usize].as_mut();
            let writer = writer.expect("a block comes to the worker that has opened its partition");
            let note = Note::of(&self.id);
            let written = writer.write(block);
            note.clear();
            if let Err(error) = written {
                self.failure = Some(error);
            }
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        let failed = match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.act(control),
        };
        if let Err(failure) = failed {
            control.fail(failure.at_step(&self.id));
        }
    }
    fn describe(&self, to: &mut dyn Describe) {
        let info = StepInfo::new(&self.id, "sink partitions");
        to.step(info.saves(|| StepSpec::positions::<S::Position>("sink")));
    }
    fn ready(&mut self, waker: &Waker) -> bool {
        self.writers.iter_mut().flatten().all(|writer| writer.ready(waker))
    }
}

/// `discard(stream, "why")`: drops a stream visibly.
///
/// ```
/// use flow_runtime::io::from_iter;
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn flow(numbers: Vec<u64>) {
///     let all = source(from_iter(numbers));
///     let odd = filter(all, |n| n % 2 == 1);
///     discard(odd, "nobody asks for odd numbers yet");
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// flow(vec![1, 2]).spawn()?.wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum discard {}

impl discard {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Discard);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token>(_: U, reason: &'static str) -> ((), DiscardPlan<U>) {
        ((), DiscardPlan { reason, types: PhantomData })
    }
}

/// The plan of [`discard`].
pub struct DiscardPlan<U> {
    reason: &'static str,
    types: PhantomData<fn(U)>,
}

impl<U> fmt::Debug for DiscardPlan<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiscardPlan").field("reason", &self.reason).finish()
    }
}

impl<H: Host, U: Token> Plan1<H, U, ()> for DiscardPlan<U> {
    fn assemble(self, _: &mut H::Cx<'_>, id: StepId, (): ()) -> (impl Consumer<U> + use<H, U>,) {
        (Discard { id, reason: self.reason },)
    }
}

struct Discard {
    id: StepId,
    reason: &'static str,
}

impl<U: Token> Consumer<U> for Discard {
    #[inline(always)]
    fn push(&mut self, _: Head<'_, U::Key>, _: U::Item) {
        self.id.counted().takes();
    }
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, to: &mut dyn Describe) {
        let _ = self.reason;
        to.step(StepInfo::new(&self.id, Kind::Discard.name()).takes::<U>());
    }
}

/// `fail(stream)`: ends the run with an error that shows the first item that arrives.
///
/// ```
/// use flow_runtime::io::from_iter;
/// use flow_runtime::prelude::*;
///
/// #[dataflow]
/// fn flow(amounts: Vec<i64>) {
///     let all = source(from_iter(amounts));
///     let negative = filter(all, |amount| *amount < 0);
///     fail(negative);
/// }
///
/// # fn main() -> Result<(), flow_runtime::Error> {
/// let error = flow(vec![1, -2]).workers(1).spawn()?.wait().unwrap_err();
/// assert_eq!(error.to_string(), "step `negative.fail`: an item that must not occur has arrived: -2");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub enum fail {}

impl fail {
    #[doc(hidden)]
    pub const OPERATOR: Operator = Operator::of(Kind::Fail);
    #[doc(hidden)]
    pub fn __check<U>(_: U) {}
    #[doc(hidden)]
    pub fn __wire<U: Token<Item: fmt::Debug>>(_: U) -> ((), FailPlan<U>) {
        ((), FailPlan(PhantomData))
    }
}

/// The plan of [`fail`].
pub struct FailPlan<U>(PhantomData<fn(U)>);

impl<U> fmt::Debug for FailPlan<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailPlan")
    }
}

impl<H: Host, U: Token<Item: fmt::Debug>> Plan1<H, U, ()> for FailPlan<U> {
    fn assemble(self, _: &mut H::Cx<'_>, id: StepId, (): ()) -> (impl Consumer<U> + use<H, U>,) {
        (Fail { id, failure: None },)
    }
}

struct Fail {
    id: StepId,
    failure: Option<Error>,
}

impl<U: Token<Item: fmt::Debug>> Consumer<U> for Fail {
    #[inline]
    fn push(&mut self, _: Head<'_, U::Key>, item: U::Item) {
        self.id.counted().takes();
        self.failure.get_or_insert_with(|| {
            Error::new(
                ErrorKind::Failed,
                format!("an item that must not occur has arrived: {item:?}"),
            )
            .at_step(&self.id)
        });
    }
    fn control(&mut self, control: &mut Control<'_>) {
        if let Some(failure) = self.failure.take() {
            control.fail(failure);
        }
    }
    fn describe(&self, to: &mut dyn Describe) {
        to.step(StepInfo::new(&self.id, Kind::Fail.name()).takes::<U>());
    }
}
