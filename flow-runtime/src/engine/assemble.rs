//! A plan becomes the stages of one worker.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::asynchronous::Polling;
use crate::bounds::Item;
use crate::consumer::Consumer;
use crate::describe::{OutletId, StepId};
use crate::engine::core::Core;
use crate::engine::fifo::Fifo;
use crate::engine::outlet::{Receiver, Sending, Way};
use crate::engine::source::{Opened, SourceStage};
use crate::engine::stage::InletStage;
use crate::error::Error;
use crate::failure::Note;
use crate::host::{Assignment, Host, Inlet, Spread, WorkerInfo};
use crate::io::{Io, PartitionId, Source, resume_at};
use crate::plan::FlowPlan;
use crate::stream::Stream;

/// The host of the engine.
pub(crate) enum Engine {}

/// One worker, being assembled.
pub(crate) struct Assembly<'a> {
    core: Rc<Core>,
    io: Io,
    /// The stage that each outlet leads to.
    targets: Vec<usize>,
    failure: Option<Error>,
    lifetime: PhantomData<&'a ()>,
}

/// Builds the stages of a worker and opens its part of the input.
pub(crate) fn assemble<P: FlowPlan>(plan: P, core: &Rc<Core>) -> Result<(), Error> {
    let io = core.link.io(core.who);
    let mut assembly = Assembly {
        core: Rc::clone(core),
        io,
        targets: Vec::new(),
        failure: None,
        lifetime: PhantomData,
    };
    plan.assemble::<Engine>(&mut assembly);
    if let Some(failure) = assembly.failure {
        return Err(failure);
    }
    let targets = assembly.targets;
    core.settle(|outlet| targets[outlet.0]);
    Ok(())
}

impl Assembly<'_> {
    fn next_outlet(&self) -> OutletId {
        OutletId(self.targets.len())
    }
}

impl Host for Engine {
    type Cx<'a> = Assembly<'a>;
    type Outlet<R: 'static> = Sending<R>;

    fn worker(cx: &Assembly<'_>) -> WorkerInfo {
        let link = &cx.core.link;
        WorkerInfo {
            index: cx.core.who,
            peers: link.workers,
            hash_seed: link.hash_seed,
            groups: link.groups,
        }
    }

    fn shared<T: Default + Send + Sync + 'static>(cx: &mut Assembly<'_>, id: &StepId) -> Arc<T> {
        cx.core.link.shared(id)
    }

    fn waker(cx: &Assembly<'_>) -> Waker {
        cx.core.waker().clone()
    }

    fn io(cx: &Assembly<'_>) -> Io {
        cx.io.clone()
    }

    fn polling(cx: &Assembly<'_>) -> Polling {
        let link = &cx.core.link;
        Polling::new(cx.core.waker().clone(), Arc::clone(&link.env), &link.reactor)
    }

    fn source<S: Source, D: Consumer<Stream<S::Item>>>(
        cx: &mut Assembly<'_>,
        id: StepId,
        source: S,
        down: D,
    ) {
        let (core, link) = (&cx.core, &cx.core.link);
        let dealt = link.assignments.get(&id).cloned().unwrap_or_default();
        let mut readers = Vec::new();
        for (number, (partition, worker)) in
            dealt.partitions.into_iter().zip(dealt.workers).enumerate()
        {
            if worker == core.who {
                let note = Note::of(&id);
                let opened = resume_at(link.recovered.as_ref(), &id, &partition).and_then(
                    |(resume, saved)| Ok((source.open(&cx.io, &partition, resume)?, saved)),
                );
                note.clear();
                match opened {
                    Ok((reader, saved)) => {
                        readers.push(Opened { partition, number, reader, saved });
                    }
                    Err(error) => drop(cx.failure.get_or_insert(error.at_step(&id))),
                }
            }
        }
        let stage = SourceStage::<S, D>::new(id, link, core.who, readers, down);
        core.add(Rc::new(RefCell::new(stage)));
    }

    fn exchange<R: Item, I: Inlet<R>>(
        cx: &mut Assembly<'_>,
        id: StepId,
        spread: Spread,
        inlet: I,
    ) -> Sending<R> {
        let outlet = cx.next_outlet();
        let (core, link) = (&cx.core, &cx.core.link);
        let me = core.who;
        let lanes = (0..link.workers).map(|from| (0, from, link.queue::<R>(outlet, from, me)));
        let stage = Rc::new(RefCell::new(InletStage::new(id, inlet, lanes)));
        let at = core.add(Rc::clone(&stage) as Rc<_>);
        let queues = (0..link.workers).map(|to| (to, link.queue::<R>(outlet, me, to))).collect();
        cx.targets.push(at);
        let receiver = Receiver { stage, at, lane: me };
        Sending::new(
            outlet,
            Way::Spread(spread),
            Rc::clone(&cx.core),
            queues,
            receiver,
            Some(R::clone),
        )
    }

    fn handoff<R: 'static, I: Inlet<R>, const N: usize>(
        cx: &mut Assembly<'_>,
        id: StepId,
        inlet: I,
    ) -> [Sending<R>; N] {
        let me = cx.core.who;
        // Such a queue is never seen by another worker, so its rows need not be `Send`.
        #[allow(clippy::arc_with_non_send_sync)]
        let queues: [Arc<Fifo<R>>; N] =
            std::array::from_fn(|_| Arc::new(Fifo::new(cx.core.link.queue_limit())));
        let lanes = queues.iter().enumerate().map(|(port, queue)| (port, me, Arc::clone(queue)));
        let stage = Rc::new(RefCell::new(InletStage::new(id, inlet, lanes)));
        let at = cx.core.add(Rc::clone(&stage) as Rc<_>);
        let mut port = 0;
        queues.map(|queue| {
            let outlet = cx.next_outlet();
            cx.targets.push(at);
            let receiver = Receiver { stage: Rc::clone(&stage) as Rc<_>, at, lane: port };
            port += 1;
            Sending::new(outlet, Way::One, Rc::clone(&cx.core), vec![(me, queue)], receiver, None)
        })
    }

    fn sink_partitions(
        cx: &mut Assembly<'_>,
        id: &StepId,
        _: &dyn Fn(&Io) -> Result<Vec<PartitionId>, Error>,
    ) -> Assignment {
        cx.core.link.assignments.get(id).cloned().unwrap_or_default()
    }
}
