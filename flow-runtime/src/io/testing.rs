//! What tests share: driving sources and sinks by hand, and files in memory that can be made to fail.

mod memory;

pub(crate) use memory::Memory;

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Wake, Waker};

use crate::io::{Io, Poll, PollContext, Reader, Resume, Source};
use crate::time::{Epoch, Timestamp};

/// Polls a reader once, in epoch 0: what it emitted and what it answered, an error by its text.
pub(crate) fn poll<R: Reader>(
    reader: &mut R,
    limit: usize,
) -> (Vec<R::Item>, Result<Poll, String>) {
    poll_in(reader, limit, Epoch(0), Waker::noop())
}

/// Polls a reader once in this epoch, with this waker.
pub(crate) fn poll_in<R: Reader>(
    reader: &mut R,
    limit: usize,
    epoch: Epoch,
    waker: &Waker,
) -> (Vec<R::Item>, Result<Poll, String>) {
    let mut items = Vec::new();
    let cx = PollContext::new(limit, Timestamp(0), epoch, waker);
    let answer = reader.poll(&cx, &mut |item| items.push(item));
    assert!(items.len() <= limit, "a reader must keep to the limit");
    (items, answer.map_err(|error| error.to_string()))
}

/// Reads a reader to its end, `limit` items at a time.
pub(crate) fn rest<R: Reader>(reader: &mut R, limit: usize) -> Result<Vec<R::Item>, String> {
    let mut all = Vec::new();
    loop {
        let (items, answer) = poll(reader, limit);
        all.extend(items);
        match answer? {
            Poll::Ready => {}
            Poll::End => return Ok(all),
            other => panic!("a reader of finite input answered {other:?}"),
        }
    }
}

/// Everything that a source yields, partition after partition in their order.
pub(crate) fn drain<S: Source>(source: &S, io: &Io) -> Result<Vec<S::Item>, String> {
    let mut partitions = source.partitions(io).map_err(|error| error.to_string())?;
    partitions.sort();
    let mut all = Vec::new();
    for partition in partitions {
        let mut reader =
            source.open(io, &partition, Resume::Fresh).map_err(|error| error.to_string())?;
        all.extend(rest(&mut reader, 3)?);
    }
    Ok(all)
}

/// What the only partition of a source yields from a position on.
pub(crate) fn resume<S: Source>(
    source: &S,
    io: &Io,
    position: S::Position,
) -> Result<Vec<S::Item>, String> {
    let mut reader = reopen(source, io, position)?;
    rest(&mut reader, 3)
}

/// The only partition of a source, opened at a position.
pub(crate) fn reopen<S: Source>(
    source: &S,
    io: &Io,
    position: S::Position,
) -> Result<S::Reader, String> {
    let partitions = source.partitions(io).map_err(|error| error.to_string())?;
    assert_eq!(partitions.len(), 1);
    source
        .open(io, &partitions[0], Resume::At { epoch: Epoch(1), position })
        .map_err(|error| error.to_string())
}

/// A waker that counts its calls.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<usize>);

impl Calls {
    pub(crate) fn count(&self) -> usize {
        *lock(&self.0)
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        *lock(&self.0) += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds the lock")
}
