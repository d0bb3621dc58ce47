//! A source's stage: polls the readers of the partitions that were dealt to this worker.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use crate::at_home::AtHome;
use crate::consumer::{Consumer, Head};
use crate::control::{EventTime, Reading, Signal};
use crate::describe::{OutletId, StepId};
use crate::engine::core::{Core, Stage};
use crate::engine::fifo::{Marker, Then};
use crate::engine::link::{Link, ToCoordinator};
use crate::engine::stage::Outlets;
use crate::engine::tell::Answered;
use crate::error::{Error, ErrorKind};
use crate::io::{PartitionId, Poll, PollContext, Reader, Source, encode_position};
use crate::recovery::changes::Changes;
use crate::stream::Stream;
use crate::time::{Barrier, Epoch, Timestamp};

/// What a turn of a source came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) items: u64,
    /// A reader was polled.
    pub(crate) polled: bool,
    /// No reader will ever emit anything.
    pub(crate) ended: bool,
}

/// A partition that has been opened.
pub(crate) struct Opened<R> {
    pub(crate) partition: PartitionId,
    /// Its number among all partitions of the source.
    pub(crate) number: usize,
    pub(crate) reader: R,
    /// The position that the recovery log has.
    pub(crate) saved: Option<Vec<u8>>,
}

/// A partition being read.
struct Open<R> {
    partition: PartitionId,
    /// Its number among all partitions of the source.
    number: usize,
    reader: R,
    next: Poll,
    woken: Arc<Woken>,
    waker: Waker,
    /// The position that the recovery log has.
    saved: Option<Vec<u8>>,
}

struct Woken {
    is: AtomicBool,
    link: Arc<Link>,
    worker: usize,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.is.store(true, Ordering::SeqCst);
        self.link.env.unpark(self.worker);
    }
}

impl<R> Open<R> {
    fn is_ready(&self, now: Timestamp, epoch: Epoch) -> bool {
        match self.next {
            Poll::Ready => true,
            Poll::Pending => self.woken.is.load(Ordering::SeqCst),
            Poll::At(at) => at <= now || self.woken.is.load(Ordering::SeqCst),
            Poll::Epoch(next) => next <= epoch,
            Poll::End => false,
        }
    }
}

/// The stage of a source.
pub(crate) struct SourceStage<S: Source, D> {
    id: StepId,
    readers: Vec<Open<S::Reader>>,
    partitions: Rc<[PartitionId]>,
    down: AtHome<D>,
    /// The reader to poll next.
    turn: usize,
    epoch: Epoch,
    /// Items were emitted since the last barrier.
    emitted: bool,
    unflushed: bool,
    /// The first epoch has begun.
    opened: bool,
    ended: bool,
    answered: Answered,
}

impl<S: Source, D: Consumer<Stream<S::Item>>> SourceStage<S, D> {
    pub(crate) fn new(
        id: StepId,
        link: &Arc<Link>,
        worker: usize,
        readers: Vec<Opened<S::Reader>>,
        down: D,
    ) -> Self {
        let readers = readers
            .into_iter()
            .map(|Opened { number, partition, reader, saved }| {
                let woken =
                    Arc::new(Woken { is: AtomicBool::new(false), link: Arc::clone(link), worker });
                let waker = Waker::from(Arc::clone(&woken));
                Open { partition, number, reader, next: Poll::Ready, woken, waker, saved }
            })
            .collect::<Vec<_>>();
        SourceStage {
            id,
            partitions: readers.iter().map(|open| open.partition.clone()).collect(),
            readers,
            down: AtHome::new(down),
            turn: 0,
            epoch: Epoch(0),
            emitted: false,
            unflushed: false,
            opened: false,
            ended: false,
            answered: Answered::default(),
        }
    }

    fn signal(&mut self, core: &Core, signal: Signal) {
        self.answered.tell(core, &self.id, signal, |control| {
            if let Signal::Restore | Signal::Open { .. } = signal {
                control.reading(&self.partitions);
            }
            self.down.get().control(control);
        });
    }

    /// Tells steps that follow it what a partition is about. Answers whether it may be read.
    fn tell_of(&mut self, core: &Core, number: usize, is: Reading) -> bool {
        if self.answered.follows_partitions {
            self.signal(core, Signal::Partition { number, is });
        }
        !std::mem::take(&mut self.answered.holds)
    }

    /// Saves how far each partition has been read, if that has changed.
    fn save_positions(&mut self, changes: &mut Changes) -> Result<(), Error> {
        for open in &mut self.readers {
            let position = encode_position(&open.reader.position(), &open.partition)?;
            if open.saved.as_ref() != Some(&position) {
                changes.partition(&self.id, &open.partition, &position);
                open.saved = Some(position);
            }
        }
        Ok(())
    }

    /// Polls one reader.
    fn poll_reader(&mut self, core: &Core, at: usize, limit: usize) -> Result<u64, Error> {
        let open = &mut self.readers[at];
        open.woken.is.store(false, Ordering::SeqCst);
        let cx = PollContext::new(limit, core.now(), self.epoch, &open.waker);
        let mut items = 0_u64;
        let is_finished = core.link.recovered.as_ref().is_some_and(|recovered| recovered.finished);
        let next = if is_finished {
            // Nothing of what is refused may come out.
            open.reader.poll(&cx, &mut |_| items += 1)?
        } else {
            let polled = if AtHome::<D>::LEAVES {
                poll_into(&mut open.reader, &cx, &mut items, self.down.leave().value())
            } else {
                poll_into(&mut open.reader, &cx, &mut items, self.down.get())
            };
            polled?
        };
        if items > 0 && is_finished {
            return Err(Error::new(
                ErrorKind::Recovery,
                format!(
                    "partition {} has new input, and an earlier run has ended the input for good by `--finish`",
                    open.partition
                ),
            )
            .help("what was held back has been emitted: begin anew with another output and another recovery log"));
        }
        if let Poll::Epoch(next) = next {
            if !S::GIVES_EPOCHS {
                return Err(Error::new(
                    ErrorKind::Source,
                    format!(
                        "partition {} gives an epoch, but its source does not declare that",
                        open.partition
                    ),
                )
                .help("set `GIVES_EPOCHS` in the implementation of `Source`"));
            }
            if next <= self.epoch {
                return Err(Error::new(
                    ErrorKind::Source,
                    format!(
                        "partition {} goes from epoch {} back to epoch {next}",
                        open.partition, self.epoch
                    ),
                )
                .help("the epochs that a source gives must not decrease"));
            }
            core.link.tell_coordinator(ToCoordinator::AtEpoch { partition: open.number, next });
        }
        if next == Poll::End && S::GIVES_EPOCHS {
            core.link.tell_coordinator(ToCoordinator::Ended { partition: open.number });
        }
        open.next = next;
        match next {
            Poll::Ready => {}
            Poll::End => drop(self.tell_of(core, at, Reading::Ended)),
            Poll::Pending | Poll::At(_) | Poll::Epoch(_) => {
                self.tell_of(core, at, Reading::Waits);
            }
        }
        Ok(items)
    }
}

#[inline(always)]
fn poll_into<R: Reader, D: Consumer<Stream<R::Item>>>(
    reader: &mut R,
    cx: &PollContext<'_>,
    items: &mut u64,
    down: &mut D,
) -> Result<Poll, Error> {
    reader.poll(cx, &mut |item| {
        *items += 1;
        down.push(Head::NONE, item);
    })
}

impl<S: Source, D: Consumer<Stream<S::Item>>> Stage for SourceStage<S, D> {
    fn outlets(&self) -> Vec<OutletId> {
        let mut outlets = Outlets::default();
        self.down.seen().describe(&mut outlets);
        outlets.0
    }

    fn restore(&mut self, core: &Core) {
        self.signal(core, Signal::Restore);
    }

    fn open(&mut self, core: &Core, barrier: Barrier, epoch: Epoch) {
        self.epoch = epoch;
        self.signal(core, Signal::Open { barrier, epoch });
        if !std::mem::replace(&mut self.opened, true) {
            // A step that tells times says something else in its place.
            self.signal(core, Signal::Watermark(EventTime::UNTIMED));
        }
        // A step that waits for a time since before the barrier says so when it is flushed.
        self.unflushed = true;
    }

    fn run(&mut self, _: &Core) -> bool {
        false
    }

    fn poll(&mut self, core: &Core, limit: usize) -> Polled {
        self.ended |= self.readers.iter().all(|open| open.next == Poll::End);
        if self.ended || limit == 0 {
            return Polled { ended: self.ended, ..Polled::default() };
        }
        let count = self.readers.len();
        let first = self.turn;
        let ready = (0..count).map(|n| (first + n) % count).find(|&at| {
            self.readers[at].is_ready(core.now(), self.epoch)
                && self.tell_of(core, at, Reading::Begins)
        });
        let Some(at) = ready else { return Polled::default() };
        self.turn = at + 1;
        self.unflushed = true;
        match self.poll_reader(core, at, limit) {
            Ok(items) => {
                self.emitted |= items > 0;
                if let Some(meter) = core.meter().filter(|_| items > 0) {
                    meter.took(items as usize, false);
                }
                Polled { items, polled: true, ended: false }
            }
            Err(error) => {
                core.fail(error.at_step(&self.id));
                self.ended = true;
                Polled::default()
            }
        }
    }

    fn is_source(&self) -> bool {
        true
    }

    fn close(&mut self, core: &Core, marker: Marker) {
        core.passing(marker, || {
            if marker.then == Then::Finish {
                self.signal(core, Signal::Finish);
            }
            let signal = Signal::Barrier(marker.barrier);
            let mut changes = core.changes();
            self.answered.tell_with(core, &self.id, signal, changes.as_mut(), |control| {
                self.down.get().control(control);
            });
            if let Some(changes) = &mut changes {
                changes.read |= std::mem::take(&mut self.emitted);
                if let Err(error) = self.save_positions(changes) {
                    core.fail(error.at_step(&self.id));
                }
            }
            core.gathered(marker.barrier, changes, &self.id);
        });
        self.unflushed = false;
        core.pass(marker.barrier);
        if marker.then.ends() {
            self.ended = true;
            self.answered.wake_at = None;
        } else {
            self.open(core, marker.barrier.next(), marker.next);
        }
    }

    fn tick(&mut self, core: &Core) {
        self.signal(core, Signal::Tick);
        self.unflushed = true;
    }

    fn flush(&mut self, core: &Core) -> bool {
        let unflushed = std::mem::take(&mut self.unflushed);
        if unflushed {
            self.signal(core, Signal::Flush);
        }
        unflushed
    }

    fn committed(&mut self, core: &Core, epoch: Epoch) {
        for open in &mut self.readers {
            if let Err(error) = open.reader.committed(epoch) {
                core.fail(error.at_step(&self.id));
            }
        }
        self.signal(core, Signal::Committed(epoch));
    }

    fn uses_time(&self) -> bool {
        self.answered.uses_time && !self.ended
    }

    fn wake_at(&self) -> Option<Timestamp> {
        self.answered.wake_at
    }

    fn poll_at(&self) -> Option<Timestamp> {
        let readers = self.readers.iter().filter_map(|open| match open.next {
            Poll::At(at) if !self.ended => Some(at),
            _ => None,
        });
        readers.min()
    }
}
