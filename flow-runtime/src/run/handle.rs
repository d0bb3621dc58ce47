//! The handle of a dataflow that runs inside a service.

#![allow(clippy::disallowed_types)] // How long a run took is told to people; nothing depends on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Launched;
use crate::engine::link::{Link, ToCoordinator};
use crate::error::{Error, ErrorKind};
use crate::event_time::PartitionTime;
use crate::profile::Profile;
use crate::recovery::RecoveryReport;
use crate::time::Epoch;

/// A dataflow that runs on threads of its own. Dropping the handle lets it run on.
#[derive(Debug)]
#[must_use = "dropping the handle lets the dataflow run on unattended"]
pub struct Running {
    name: &'static str,
    link: Arc<Link>,
    thread: JoinHandle<Result<(), Error>>,
    end: Arc<End>,
    began: Instant,
}

/// Who is to be woken at the end.
#[derive(Debug, Default)]
struct End {
    state: Mutex<EndState>,
}

#[derive(Debug, Default)]
struct EndState {
    over: bool,
    waker: Option<Waker>,
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Items that sources emitted.
    pub items_in: u64,
    /// Items that sinks have encoded to be written. What `for_each` and `collect` take is not counted: it would cost
    /// more than taking it.
    pub items_out: u64,
    /// The first epoch that is not committed.
    pub resume_epoch: Epoch,
    /// Epochs that this run has committed.
    pub epochs: u64,
    /// What the recovery log has cost; all zero in a run without one.
    pub saved: Saving,
    /// How long it took.
    pub elapsed: Duration,
    /// Where the time went, at the end of a run that was [profiled](crate::Dataflow::profile).
    pub profile: Option<Profile>,
}

/// What the recovery log has cost a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saving {
    /// Keys whose state was saved, each time, and positions.
    pub entries: u64,
    /// The bytes of these.
    pub bytes: u64,
    /// The bytes that compaction has written beside.
    pub compacted: u64,
    /// How long workers have gathered them for at barriers, all together.
    pub gathering: Duration,
    /// The longest that one stage has stood still for at a barrier.
    pub longest_pause: Duration,
}

impl Running {
    pub(crate) fn start(
        name: &'static str,
        launch: impl FnOnce(Box<dyn FnOnce() + Send>) -> Result<Launched, Error>,
    ) -> Result<Self, Error> {
        let end = Arc::new(End::default());
        let after = {
            let end = Arc::clone(&end);
            Box::new(move || {
                let mut state = end.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.over = true;
                if let Some(waker) = state.waker.take() {
                    waker.wake();
                }
            })
        };
        let Launched { link, thread } = launch(after)?;
        Ok(Running { name, link, thread, end, began: Instant::now() })
    }

    /// What has happened so far. A step's numbers are added up when its batch is done, so they may be a little behind.
    pub fn progress(&self) -> Summary {
        self.watch().progress()
    }

    /// How far event time has come in each partition of the sources behind which there is an `event_time`, by step and partition. What
    /// holds windows open is the active partition with the earliest watermark.
    pub fn event_times(&self) -> Vec<PartitionTime> {
        let mut times = self.link.event_times();
        times.sort_by(|a, b| (&a.step, &a.partition).cmp(&(&b.step, &b.partition)));
        times
    }

    /// Sees what has happened, independently of the handle.
    pub(crate) fn watch(&self) -> Watch {
        Watch { link: Arc::clone(&self.link), began: self.began }
    }

    /// What the start found in the recovery log. `None` until all workers have loaded their state, and in a run without a log.
    pub fn recovered(&self) -> Option<RecoveryReport> {
        self.watch().recovered()
    }

    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.end.state.lock().unwrap_or_else(PoisonError::into_inner).over
    }

    /// A handle that can only ask the run to stop.
    pub fn stopper(&self) -> Stopper {
        Stopper { link: Arc::clone(&self.link) }
    }

    /// Asks the run to end: the open epoch is closed and committed first. The future is done when it has ended.
    pub fn stop(self) -> Finished {
        self.stopper().stop();
        self.finished()
    }

    /// A future that is done when the input has ended, or the run was stopped or has failed. It can be awaited on any
    /// executor.
    pub fn finished(self) -> Finished {
        Finished { running: Some(self) }
    }

    /// Blocks until the run is over.
    ///
    /// # Errors
    /// When the dataflow fails.
    pub fn wait(self) -> Result<Summary, Error> {
        let watch = self.watch();
        let outcome = self.thread.join();
        let summary = watch.progress();
        match outcome {
            Ok(Ok(())) => {
                tracing::info!(dataflow = self.name, ?summary, "finished");
                Ok(summary)
            }
            Ok(Err(error)) => {
                tracing::error!(dataflow = self.name, %error, "failed");
                Err(error)
            }
            Err(_) => Err(Error::new(ErrorKind::Stopped, "the coordinator's thread has panicked")
                .help("this is a defect of the engine: please report it")),
        }
    }

    /// Asks the run to end, and blocks until it has.
    ///
    /// # Errors
    /// When the dataflow fails.
    pub fn stop_blocking(self) -> Result<Summary, Error> {
        self.stopper().stop();
        self.wait()
    }
}

/// Sees what happens in a run.
pub(crate) struct Watch {
    link: Arc<Link>,
    began: Instant,
}

impl Watch {
    pub(crate) fn recovered(&self) -> Option<RecoveryReport> {
        self.link.report.get().cloned()
    }

    pub(crate) fn progress(&self) -> Summary {
        let counters = &self.link.counters;
        Summary {
            items_in: counters.items_in.load(Ordering::Relaxed),
            items_out: counters.items_out.load(Ordering::Relaxed),
            resume_epoch: Epoch(counters.committed.load(Ordering::Relaxed)),
            epochs: counters.epochs.load(Ordering::Relaxed),
            saved: Saving {
                entries: counters.saved.entries.load(Ordering::Relaxed),
                bytes: counters.saved.bytes.load(Ordering::Relaxed),
                compacted: counters.saved.compacted.load(Ordering::Relaxed),
                gathering: Duration::from_micros(counters.saved.micros.load(Ordering::Relaxed)),
                longest_pause: Duration::from_micros(
                    counters.saved.longest.load(Ordering::Relaxed),
                ),
            },
            elapsed: self.began.elapsed(),
            profile: self.link.profile.get().cloned(),
        }
    }
}

/// Asks a run to stop, from any thread.
#[derive(Clone, Debug)]
pub struct Stopper {
    link: Arc<Link>,
}

impl Stopper {
    /// Asks the run to end: the open epoch is closed and committed first. Returns at once.
    pub fn stop(&self) {
        self.link.tell_coordinator(ToCoordinator::Stop);
    }

    /// The first epoch that is not committed.
    pub(crate) fn resume_epoch(&self) -> Epoch {
        Epoch(self.link.counters.committed.load(Ordering::Relaxed))
    }
}

/// The end of a run, as a future.
#[must_use = "a future does nothing until it is awaited"]
#[derive(Debug)]
pub struct Finished {
    running: Option<Running>,
}

impl Future for Finished {
    type Output = Result<Summary, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(running) = &self.running else {
            return Poll::Ready(Err(Error::new(
                ErrorKind::Stopped,
                "the end of the run has been awaited before",
            )));
        };
        {
            let mut state = running.end.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.over {
                state.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        // The coordinator's thread is at its end, so this does not block.
        match self.running.take() {
            Some(running) => Poll::Ready(running.wait()),
            None => Poll::Pending,
        }
    }
}
