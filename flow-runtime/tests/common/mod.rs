//! A host on one worker and one thread, in one epoch: enough to run what the macros expand to.
//!
//! Stages are driven in the order of the stream. Assembly goes downstream first, so that is the reverse of the order in
//! which a plan asks for them.

#![allow(dead_code, unreachable_pub, missing_docs)] // A test uses a part of it.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use flow_runtime::bounds::Item;
use flow_runtime::consumer::{Consumer, Head};
use flow_runtime::control::{Answer, Control, Signal};
use flow_runtime::describe::{Describe, OutletId, StepId, StepInfo};
use flow_runtime::host::{Assignment, Batch, Host, Inlet, Outlet, Spread, WorkerInfo};
use flow_runtime::io::{
    Encoder, Io, PartitionId, Poll, PollContext, Reader, Resume, Sink, SinkWriter, Source,
    delivery, replay,
};
use flow_runtime::plan::FlowPlan;
use flow_runtime::stream::{Keyed, Stream, Token};
use flow_runtime::time::{Barrier, Epoch, Timestamp};
use flow_runtime::{Dataflow, Error};

/// Runs a dataflow to the end of its input.
pub fn run<P: FlowPlan>(flow: Dataflow<P>) -> Ran {
    let mut cx = Direct { io: Io::real(), stages: Vec::new() };
    flow.__plan().assemble::<Local>(&mut cx);
    let mut ran = Ran { steps: Vec::new(), boundaries: cx.stages.len(), failure: None };
    cx.stages.reverse();
    for stage in &cx.stages {
        stage.describe(&mut ran.steps);
    }
    let signals = [
        Signal::Open { barrier: Barrier(0), epoch: Epoch(0) },
        Signal::Tick,
        Signal::Flush,
        Signal::Finish,
        Signal::Barrier(Barrier(0)),
        Signal::Committed(Epoch(1)),
    ];
    for signal in signals {
        for stage in &mut cx.stages {
            stage.work();
            let mut answer = Answer::default();
            stage.control(&mut Control::new(signal, Timestamp(0), &mut answer));
            if ran.failure.is_none() {
                ran.failure = answer.failure;
            }
        }
    }
    ran
}

/// What a run has shown.
pub struct Ran {
    steps: Vec<StepInfo>,
    /// The number of stages.
    pub boundaries: usize,
    /// The first failure.
    pub failure: Option<Error>,
}

impl Ran {
    /// The ids of all steps, sorted.
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.steps.iter().map(|step| step.id.to_string()).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// The host.
pub struct Local;

/// What is assembled on.
pub struct Direct {
    io: Io,
    stages: Vec<Box<dyn Stage>>,
}

trait Stage {
    /// Takes what has come in.
    fn work(&mut self);
    fn control(&mut self, control: &mut Control<'_>);
    fn describe(&self, to: &mut Vec<StepInfo>);
}

struct Told<'a>(&'a mut Vec<StepInfo>);
impl Describe for Told<'_> {
    fn step(&mut self, step: StepInfo) {
        self.0.push(step);
    }
    fn outlet(&mut self, _: OutletId) {}
}

struct Sourced<S: Source, D> {
    source: S,
    read: bool,
    io: Io,
    down: D,
}

impl<S: Source, D: Consumer<Stream<S::Item>>> Stage for Sourced<S, D> {
    fn work(&mut self) {
        if mem::replace(&mut self.read, true) {
            return;
        }
        for partition in self.source.partitions(&self.io).expect("partitions") {
            let mut reader =
                self.source.open(&self.io, &partition, Resume::Fresh).expect("a reader");
            let cx = PollContext::new(3, Timestamp(0), Epoch(0), Waker::noop());
            while reader.poll(&cx, &mut |item| self.down.push(Head::NONE, item)).expect("input")
                != Poll::End
            {}
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.down.control(control);
    }
    fn describe(&self, to: &mut Vec<StepInfo>) {
        self.down.describe(&mut Told(to));
    }
}

type Queue<R> = Rc<RefCell<Batch<R>>>;

struct Received<R, I> {
    queues: Vec<Queue<R>>,
    inlet: I,
}

impl<R: 'static, I: Inlet<R>> Stage for Received<R, I> {
    fn work(&mut self) {
        for (port, queue) in self.queues.iter().enumerate() {
            let mut batch = mem::take(&mut *queue.borrow_mut());
            batch.seal();
            self.inlet.batch(port, &mut batch);
            assert!(batch.rows.is_empty(), "an inlet leaves its batch empty");
        }
    }
    fn control(&mut self, control: &mut Control<'_>) {
        self.inlet.control(control);
    }
    fn describe(&self, to: &mut Vec<StepInfo>) {
        self.inlet.describe(&mut Told(to));
    }
}

/// A sending end.
pub struct Sender<R>(Queue<R>);

impl<R: 'static> Outlet<R> for Sender<R> {
    fn send(&mut self, _: u64, time: Timestamp, row: R) {
        self.0.borrow_mut().push(time, row);
    }
    fn control(&mut self, _: &mut Control<'_>) {}
    fn describe(&self, _: &mut dyn Describe) {}
}

impl Host for Local {
    type Cx<'a> = Direct;
    type Outlet<R: 'static> = Sender<R>;

    fn worker(_: &Direct) -> WorkerInfo {
        WorkerInfo { index: 0, peers: 1, hash_seed: 0, groups: flow_runtime::state::GROUPS }
    }
    fn io(cx: &Direct) -> Io {
        cx.io.clone()
    }
    fn source<S: Source, D: Consumer<Stream<S::Item>>>(
        cx: &mut Direct,
        _: StepId,
        source: S,
        down: D,
    ) {
        let io = cx.io.clone();
        cx.stages.push(Box::new(Sourced { source, read: false, io, down }));
    }
    fn exchange<R: Item, I: Inlet<R>>(
        cx: &mut Direct,
        id: StepId,
        _: Spread,
        inlet: I,
    ) -> Sender<R> {
        let [out] = Self::handoff::<R, I, 1>(cx, id, inlet);
        out
    }
    fn handoff<R: 'static, I: Inlet<R>, const N: usize>(
        cx: &mut Direct,
        _: StepId,
        inlet: I,
    ) -> [Sender<R>; N] {
        let queues: [Queue<R>; N] = std::array::from_fn(|_| Queue::default());
        cx.stages.push(Box::new(Received { queues: queues.to_vec(), inlet }));
        queues.map(Sender)
    }
    fn sink_partitions(
        cx: &mut Direct,
        _: &StepId,
        list: &dyn Fn(&Io) -> Result<Vec<PartitionId>, Error>,
    ) -> Assignment {
        let partitions = list(&cx.io).expect("partitions");
        Assignment { workers: vec![0; partitions.len()], partitions }
    }
}

/// A source of given items.
#[derive(Clone)]
pub struct Given<T>(Vec<T>);

/// Reads these items.
pub fn given<T: Clone + Send + 'static>(items: impl IntoIterator<Item = impl Into<T>>) -> Given<T> {
    Given(items.into_iter().map(Into::into).collect())
}

impl<T: Clone + Send + 'static> Source for Given<T> {
    type Item = T;
    type Position = u64;
    type Reader = GivenReader<T>;
    type Replay = replay::Replayable;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("only")])
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<u64>) -> Result<GivenReader<T>, Error> {
        Ok(GivenReader(self.0.clone().into_iter()))
    }
}

/// Its reader.
pub struct GivenReader<T>(std::vec::IntoIter<T>);

impl<T: 'static> Reader for GivenReader<T> {
    type Item = T;
    type Position = u64;
    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(T)) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            let Some(item) = self.0.next() else { return Ok(Poll::End) };
            emit(item);
        }
        Ok(Poll::Ready)
    }
    fn position(&self) -> u64 {
        0
    }
}

/// A sink that keeps what it gets.
pub struct Kept<T>(Arc<Mutex<Vec<T>>>);

/// An empty sink.
pub fn kept<T>() -> Kept<T> {
    Kept(Arc::default())
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept(Arc::clone(&self.0))
    }
}

impl<T: Clone + Ord> Kept<T> {
    /// What has come, sorted.
    pub fn sorted(&self) -> Vec<T> {
        let mut items = self.in_order();
        items.sort();
        items
    }
}

impl<T: Clone> Kept<T> {
    /// What has come, as it came.
    pub fn in_order(&self) -> Vec<T> {
        self.0.lock().expect("no panic").clone()
    }
}

/// How an item of a stream arrives in a sink.
pub trait Arrives: Token {
    /// An item, or key and item.
    type As: Item;
    /// Makes it.
    fn arrive(key: &Self::Key, item: Self::Item) -> Self::As;
}
impl<T: Item> Arrives for Stream<T> {
    type As = T;
    fn arrive(_: &Self::Key, item: T) -> T {
        item
    }
}
impl<K: Item, T: Item> Arrives for Keyed<K, T> {
    type As = (K, T);
    fn arrive(key: &K, item: T) -> (K, T) {
        (key.clone(), item)
    }
}

impl<U: Arrives> Sink<U> for Kept<U::As> {
    type Block = Vec<U::As>;
    type Position = u64;
    type Encoder = KeptEncoder<U>;
    type Writer = KeptWriter<U::As>;
    type Delivery = delivery::AppendOnly;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("only")])
    }
    fn encoder(&self) -> KeptEncoder<U> {
        KeptEncoder(std::marker::PhantomData)
    }
    fn open(&self, _: &Io, _: &PartitionId, _: Resume<u64>) -> Result<KeptWriter<U::As>, Error> {
        Ok(KeptWriter(self.clone()))
    }
}

/// Its encoder.
pub struct KeptEncoder<U>(std::marker::PhantomData<fn(U)>);
impl<U: Arrives> Encoder<U> for KeptEncoder<U> {
    type Block = Vec<U::As>;
    fn encode(
        &mut self,
        key: &U::Key,
        item: U::Item,
        block: &mut Vec<U::As>,
    ) -> Result<usize, Error> {
        block.push(U::arrive(key, item));
        Ok(block.len())
    }
}

/// Its writer.
pub struct KeptWriter<T>(Kept<T>);
impl<T: 'static> SinkWriter for KeptWriter<T> {
    type Block = Vec<T>;
    type Position = u64;
    fn write(&mut self, block: Vec<T>) -> Result<(), Error> {
        self.0.0.lock().expect("no panic").extend(block);
        Ok(())
    }
    fn seal(&mut self, _: Barrier) -> Result<u64, Error> {
        Ok(0)
    }
}
