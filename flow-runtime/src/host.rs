//! The host: what a dataflow is assembled on.
//!
//! One plan, several hosts: threads, a simulation, another engine's operators. A plan asks its host for sources
//! and for boundaries; everything between two boundaries is a [`Consumer`] that the host never looks into.
//!
//! The four seams between plan and host:
//!
//! * the outlets of a stage can be enumerated ([`Consumer::describe`]) before the first item;
//! * a stage is flushed by its host after each batch ([`Signal::Flush`](crate::control::Signal::Flush));
//! * sources are driven by the host;
//! * alignment is the host's: a stage sees `Open(b)`, items of `b` only, `Barrier(b)`.

use std::sync::Arc;
use std::task::Waker;

pub use crate::asynchronous::Polling;
use crate::bounds::Item;
use crate::consumer::Consumer;
use crate::control::Control;
use crate::describe::{Describe, StepId};
use crate::error::Error;
use crate::io::{Apply, Delivery, Io, PartitionId, Source};
use crate::state::{group_of, worker_of};
use crate::stream::Stream;
use crate::time::Timestamp;

/// How an exchange spreads its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// To the worker that owns the key group of the row's hash.
    ByHash,
    /// Batch by batch to every worker in turn.
    Balanced,
    /// To the worker whose number is given with the row.
    ToWorker,
    /// A copy to every worker. Only the fixed worker 0 may send, so that all see one order.
    ToAll,
}

/// Rows on their way, and when they happened.
///
/// The times stand apart, so that a stream without them carries nothing for them.
#[derive(Debug)]
pub struct Batch<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// The time of each row, or nothing at all where no row has one.
    pub times: Vec<Timestamp>,
}

impl<R> Default for Batch<R> {
    fn default() -> Self {
        Batch { rows: Vec::new(), times: Vec::new() }
    }
}

impl<R> Batch<R> {
    /// Adds a row.
    #[inline(always)]
    pub fn push(&mut self, time: Timestamp, row: R) {
        // Within a stage without times this is known when the program is compiled, and nothing of it is left.
        if time != Timestamp::MIN {
            if self.times.len() != self.rows.len() {
                self.fill();
            }
            self.times.push(time);
        }
        self.rows.push(row);
    }

    /// Rows without a time went before.
    #[cold]
    fn fill(&mut self) {
        self.times.resize(self.rows.len(), Timestamp::MIN);
    }

    /// What is to be done before the batch is handed over: rows without a time may have followed such as have one.
    #[inline]
    pub fn seal(&mut self) {
        if !self.times.is_empty() {
            self.fill();
        }
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.times.clear();
    }
}

/// The receiving end of a boundary: the first thing of a stage.
pub trait Inlet<R>: 'static {
    /// Takes a batch that came in by input `port`, and leaves it empty.
    fn batch(&mut self, port: usize, batch: &mut Batch<R>);
    /// Acts on a signal and forwards it.
    fn control(&mut self, control: &mut Control<'_>);
    /// Names the steps of the stage.
    fn describe(&self, to: &mut dyn Describe);
    /// Whether a batch can be taken now. A stage that is not ready is left alone until `waker` is called, or anything else makes
    /// its worker look again.
    fn ready(&mut self, waker: &Waker) -> bool {
        let _ = waker;
        true
    }
    /// Goes on with items that the inlet has taken and holds: called after every batch and whenever the stage runs. Answers whether
    /// anything has moved. Most inlets hold nothing.
    fn advance(&mut self) -> bool {
        false
    }
    /// Whether all items that the inlet has taken are out. A stage does not pass a barrier before.
    fn is_drained(&self) -> bool {
        true
    }
}

/// The sending end of a boundary. Its type names the row only, never what lies downstream: types do not grow
/// across a boundary.
pub trait Outlet<R>: 'static {
    /// Sends a row. `route` is the hash, or the number of a worker, as the [`Spread`] says; otherwise ignored. `time` is when the
    /// row happened, or [`Timestamp::MIN`].
    fn send(&mut self, route: u64, time: Timestamp, row: R);
    /// Sends a row to every worker, as [`Spread::ToAll`] says. Apart from [`send`](Outlet::send), which stands in the loop of
    /// every stage: where a row's address is taken, to copy it, a row is built in memory instead of registers.
    fn send_to_all(&mut self, row: R) {
        self.send(0, Timestamp::MIN, row);
    }
    /// Acts on a signal: hands over what is buffered on a flush, and ends the epoch on a barrier. The others mean nothing to
    /// an outlet, for the host tells every stage of them.
    fn control(&mut self, control: &mut Control<'_>);
    /// Names the boundary.
    fn describe(&self, to: &mut dyn Describe);
}

/// What a plan may know of the worker that it is assembled on.
#[derive(Clone, Copy, Debug)]
pub struct WorkerInfo {
    /// The number of this worker, from 0.
    pub index: usize,
    /// The number of workers.
    pub peers: usize,
    /// The seed of key hashes, the same on every worker and for the life of a recovery log.
    pub hash_seed: u64,
    /// The number of key groups.
    pub groups: u32,
}

impl WorkerInfo {
    /// Whether this worker owns the keys of this hash. Debug builds ask it of every keyed item that arrives.
    pub fn owns(&self, hash: u64) -> bool {
        worker_of(group_of(hash, self.groups), self.groups, self.peers) == self.index
    }
}

/// The partitions of a source or sink and who has them.
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    /// All partitions, sorted.
    pub partitions: Vec<PartitionId>,
    /// The worker of each partition.
    pub workers: Vec<usize>,
}

/// What a dataflow is assembled on.
pub trait Host: Sized + 'static {
    /// What assembly works on.
    type Cx<'a>;
    /// The sending end of a boundary.
    type Outlet<R: 'static>: Outlet<R>;

    /// The worker that is being assembled.
    fn worker(cx: &Self::Cx<'_>) -> WorkerInfo;

    /// Something that the copies of a step on all workers share, made by the first that asks.
    fn shared<T: Default + Send + Sync + 'static>(cx: &mut Self::Cx<'_>, id: &StepId) -> Arc<T> {
        let _ = (cx, id);
        Arc::default()
    }

    /// Wakes the worker.
    fn waker(cx: &Self::Cx<'_>) -> Waker {
        let _ = cx;
        Waker::noop().clone()
    }

    /// The outside world that its sources and sinks use.
    fn io(cx: &Self::Cx<'_>) -> Io;

    /// What the futures of asynchronous steps are polled with on this worker. Without anything of the host's, time is what
    /// [`Control::now`] last was, and a stage that waits is looked at whenever it runs.
    fn polling(cx: &Self::Cx<'_>) -> Polling {
        let _ = cx;
        Polling::default()
    }

    /// Adds a source and the stage that it feeds.
    fn source<S: Source, D: Consumer<Stream<S::Item>>>(
        cx: &mut Self::Cx<'_>,
        id: StepId,
        source: S,
        down: D,
    );

    /// Adds a boundary between workers, and the stage behind it.
    fn exchange<R: Item, I: Inlet<R>>(
        cx: &mut Self::Cx<'_>,
        id: StepId,
        spread: Spread,
        inlet: I,
    ) -> Self::Outlet<R>;

    /// Adds a boundary with `N` inputs inside one worker, and the stage behind it.
    fn handoff<R: 'static, I: Inlet<R>, const N: usize>(
        cx: &mut Self::Cx<'_>,
        id: StepId,
        inlet: I,
    ) -> [Self::Outlet<R>; N];

    /// The partitions of a sink, settled at the start of the run. `list` asks the sink; a host calls it once per
    /// run and not on every worker.
    fn sink_partitions(
        cx: &mut Self::Cx<'_>,
        id: &StepId,
        list: &dyn Fn(&Io) -> Result<Vec<PartitionId>, Error>,
    ) -> Assignment;

    /// Is told, behind [`sink_partitions`](Host::sink_partitions), what a sink promises and what makes its
    /// [appliers](crate::io::Sink::applier). For hosts with a recovery log.
    fn sink_applier(
        cx: &mut Self::Cx<'_>,
        id: &StepId,
        delivery: Delivery,
        make: impl Fn(&Io, &PartitionId, &str) -> Result<Option<Box<dyn Apply>>, Error> + 'static,
    ) {
        let _ = (cx, id, delivery, make);
    }
}
