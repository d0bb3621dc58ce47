//! A stage that begins with a source.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

use flow_runtime::Error;
use flow_runtime::consumer::{Consumer, Head};
use flow_runtime::control::{EventTime, Reading as Is, Signal};
use flow_runtime::describe::{Describe, StepId};
use flow_runtime::host::Assignment;
use flow_runtime::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source};
use flow_runtime::stream::Stream;
use flow_runtime::time::{Epoch, Timestamp};

use crate::toy::life::{Life, Stage, World};

pub(super) struct Reading<S: Source, D> {
    id: StepId,
    worker: usize,
    batch: usize,
    /// The source and who has its partitions, until they are opened.
    unopened: Option<(S, Assignment)>,
    partitions: Vec<Partition<S::Reader>>,
    /// What they are called.
    names: Rc<[PartitionId]>,
    down: D,
    life: Life,
}

struct Partition<R> {
    reader: R,
    next: Next,
    called: Arc<Called>,
    waker: Waker,
}

/// When a partition is to be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Now,
    Called,
    At(Timestamp),
    Epoch(Epoch),
    Never,
}

/// Remembers that a waker was called, and wakes the run if it sleeps.
struct Called {
    called: AtomicBool,
    run: Thread,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.called.store(true, Ordering::SeqCst);
        self.run.unpark();
    }
}

/// What the partitions of a source on one worker are doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reads {
    /// Nothing will come any more.
    pub(super) ended: bool,
    /// Something may come from outside at any time.
    pub(super) waits_for_call: bool,
    /// For a source that gives epochs.
    pub(super) epochs: Option<Asked>,
}

/// What the unfinished partitions of a source that gives epochs ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// Some still read the open epoch.
    Reading,
    /// All have reached its end; this is the earliest epoch that they want.
    Epoch(Epoch),
}

impl<S: Source, D: Consumer<Stream<S::Item>>> Reading<S, D> {
    pub(super) fn new(
        id: StepId,
        worker: usize,
        batch: usize,
        source: S,
        assignment: Assignment,
        down: D,
    ) -> Self {
        let unopened = Some((source, assignment));
        let (partitions, names) = (Vec::new(), Rc::from([]));
        Reading { id, worker, batch, unopened, partitions, names, down, life: Life::default() }
    }

    fn open_partitions(&mut self, source: &S, assignment: &Assignment) -> Result<(), Error> {
        let mut names = Vec::new();
        for (partition, worker) in assignment.partitions.iter().zip(&assignment.workers) {
            if *worker == self.worker {
                let reader = source.open(&Io::real(), partition, Resume::Fresh)?;
                let called =
                    Arc::new(Called { called: AtomicBool::new(false), run: thread::current() });
                let waker = Waker::from(Arc::clone(&called));
                self.partitions.push(Partition { reader, next: Next::Now, called, waker });
                names.push(partition.clone());
            }
        }
        self.names = names.into();
        Ok(())
    }

    /// A partition that may be polled.
    fn choose(&self, world: &mut World) -> Option<usize> {
        let label = world.labels[self.life.open? as usize];
        let ready = |partition: &Partition<S::Reader>| match partition.next {
            Next::Now => true,
            Next::Called => partition.called.called.swap(false, Ordering::SeqCst),
            Next::At(at) => {
                at <= world.now || partition.called.called.swap(false, Ordering::SeqCst)
            }
            Next::Epoch(epoch) => label >= epoch,
            Next::Never => false,
        };
        let from = world.rng.below(self.partitions.len());
        (from..self.partitions.len()).chain(0..from).find(|n| ready(&self.partitions[*n]))
    }

    /// Tells steps that follow it what a partition is about. Whether it may be read.
    fn tell_of(&mut self, number: usize, is: Is, world: &World) -> Result<bool, Error> {
        if self.life.follows_partitions() {
            let signal = Signal::Partition { number, is };
            self.life.tell(signal, world.now, |control| self.down.control(control))?;
        }
        Ok(!self.life.holds())
    }

    fn poll(&mut self, n: usize, world: &mut World) -> Result<(), Error> {
        if self.life.uses_time() {
            self.life.tell(Signal::Tick, world.now, |control| self.down.control(control))?;
        }
        if !self.tell_of(n, Is::Begins, world)? {
            return Ok(());
        }
        let limit = 1 + world.rng.below(self.batch);
        let label = world.labels[self.life.passed as usize];
        let Partition { reader, next, waker, .. } = &mut self.partitions[n];
        let cx = PollContext::new(limit, world.now, label, waker);
        let mut emitted = 0;
        let down = &mut self.down;
        let polled = reader.poll(&cx, &mut |item| {
            emitted += 1;
            down.push(Head::NONE, item);
        })?;
        assert!(emitted <= limit, "source `{}` emitted {emitted} items of {limit}", self.id);
        *next = match polled {
            Poll::Ready => Next::Now,
            Poll::Pending => Next::Called,
            Poll::At(at) => Next::At(at),
            Poll::Epoch(epoch) => {
                assert!(
                    S::GIVES_EPOCHS && epoch > label,
                    "source `{}` has no epoch {epoch}",
                    self.id
                );
                Next::Epoch(epoch)
            }
            Poll::End => Next::Never,
        };
        match *next {
            Next::Now => {}
            Next::Never => drop(self.tell_of(n, Is::Ended, world)?),
            _ => drop(self.tell_of(n, Is::Waits, world)?),
        }
        self.life.tell(Signal::Flush, world.now, |control| self.down.control(control))
    }
}

impl<S: Source, D: Consumer<Stream<S::Item>>> Stage for Reading<S, D> {
    fn turn(&mut self, world: &mut World) -> Result<bool, Error> {
        if let Some((source, assignment)) = self.unopened.take() {
            self.open_partitions(&source, &assignment).map_err(|error| error.at_step(&self.id))?;
            return Ok(true);
        }
        let Some(open) = self.life.open else {
            if self.life.is_over(world) {
                return Ok(false);
            }
            let names = Rc::clone(&self.names);
            self.life.open(world, |control| {
                control.reading(&names);
                self.down.control(control);
            })?;
            if self.life.passed == 0 {
                let untimed = Signal::Watermark(EventTime::UNTIMED);
                self.life.tell(untimed, world.now, |control| self.down.control(control))?;
            }
            return Ok(true);
        };
        if self.life.is_due(world.now) {
            self.life.tell(Signal::Tick, world.now, |control| self.down.control(control))?;
            self.life.tell(Signal::Flush, world.now, |control| self.down.control(control))?;
            return Ok(true);
        }
        // A source may answer the order to close an epoch late.
        let ordered = open < world.ordered;
        if !(ordered && world.rng.once_in(3))
            && let Some(n) = self.choose(world)
        {
            self.poll(n, world).map_err(|error| error.at_step(&self.id))?;
            return Ok(true);
        }
        if ordered {
            // The position that would be saved can be asked for here.
            self.partitions.iter().for_each(|partition| drop(partition.reader.position()));
            self.life.close(world, |control| self.down.control(control))?;
        }
        Ok(ordered)
    }

    fn committed(&mut self, epoch: Epoch, world: &World) -> Result<(), Error> {
        for partition in &mut self.partitions {
            partition.reader.committed(epoch).map_err(|error| error.at_step(&self.id))?;
        }
        self.life.tell(Signal::Committed(epoch), world.now, |control| self.down.control(control))
    }

    fn describe(&self, to: &mut dyn Describe) {
        self.down.describe(to);
    }

    fn life(&self) -> &Life {
        &self.life
    }

    fn reads(&self) -> Option<Reads> {
        let ended = |partition: &Partition<S::Reader>| partition.next == Next::Never;
        let waits =
            |partition: &Partition<S::Reader>| matches!(partition.next, Next::Called | Next::At(_));
        let mut epochs = None;
        if S::GIVES_EPOCHS {
            let asked =
                self.partitions.iter().filter(|partition| !ended(partition)).map(|partition| {
                    match partition.next {
                        Next::Epoch(epoch) => Some(epoch),
                        _ => None,
                    }
                });
            let all: Option<Vec<Epoch>> = asked.collect();
            epochs = match all {
                None => Some(Asked::Reading),
                Some(all) => all.into_iter().min().map(Asked::Epoch),
            };
        }
        Some(Reads {
            ended: self.unopened.is_none() && self.partitions.iter().all(ended),
            waits_for_call: self.partitions.iter().any(waits),
            epochs: if self.unopened.is_some() && S::GIVES_EPOCHS {
                Some(Asked::Reading)
            } else {
                epochs
            },
        })
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let at = self.partitions.iter().filter_map(|partition| match partition.next {
            Next::At(at) => Some(at),
            _ => None,
        });
        at.chain(self.life.due()).min()
    }
}
