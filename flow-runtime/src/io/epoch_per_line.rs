//! `epoch_per_line`: files read so that every line is an epoch.

use std::fmt;
use std::task::Waker;

use crate::error::{Error, ErrorKind};
use crate::io::text::FilePosition;
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source};
use crate::time::Epoch;

/// A source of the lines of one file that gives the epochs: line *n* is epoch *n*, counted from 0. It yields each item with
/// its epoch.
///
/// [`Lines::epoch_per_line`](crate::io::Lines::epoch_per_line) and
/// [`JsonLines::epoch_per_line`](crate::io::JsonLines::epoch_per_line) make it. There may be one source that gives epochs in
/// a dataflow; the others follow it.
///
/// * Every line counts, also one that nothing comes of because it is blank or left out: its epoch is empty.
/// * A line that ends the run does so in its own epoch, and only when all earlier ones are committed. The next run begins
///   with this line, and may leave it out.
/// * The epoch that an item comes with is always its line's. It is the epoch in which the item is processed, too, except
///   after a stop in between: a stop ends the open epoch, and lines that had to be in it come in the next one.
/// * There must be one file, since the numbers of lines are those of one: a folder or pattern with several is an error.
#[derive(Clone, Debug)]
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct EpochPerLine<S> {
    lines: S,
}

impl<S> EpochPerLine<S> {
    pub(crate) fn new(lines: S) -> Self {
        EpochPerLine { lines }
    }
}

/// A reader that can be led line by line: those of [`Lines`](crate::io::Lines) and [`JsonLines`](crate::io::JsonLines).
pub trait LineReader: Reader<Position = FilePosition> {
    /// The number of lines that have been read.
    fn lines(&self) -> u64;

    /// Whether there is another line.
    ///
    /// # Errors
    /// When the file cannot be read.
    fn has_line(&mut self) -> Result<bool, Error>;

    /// Reads a line: what comes of it, if anything.
    ///
    /// # Errors
    /// When the file cannot be read, and when this line ends the run. Then it does not count as read.
    fn read_line(&mut self) -> Result<Option<Self::Item>, Error>;
}

impl<S> Source for EpochPerLine<S>
where
    S: Source<Position = FilePosition, Reader: LineReader>,
{
    type Item = (Epoch, S::Item);
    type Position = FilePosition;
    type Reader = EpochPerLineReader<S::Reader>;
    type Replay = S::Replay;
    const GIVES_EPOCHS: bool = true;

    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        let partitions = self.lines.partitions(io)?;
        if let [first, second, ..] = &partitions[..] {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "an epoch per line needs one file, and there are {}: `{first}`, `{second}`{}",
                    partitions.len(),
                    if partitions.len() > 2 { ", .." } else { "" }
                ),
            )
            .help("the epochs are the numbers of the lines: give the path of one file, or join the files"));
        }
        Ok(partitions)
    }

    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<FilePosition>,
    ) -> Result<Self::Reader, Error> {
        let lines = self.lines.open(io, partition, resume)?;
        Ok(EpochPerLineReader {
            lines,
            failure: None,
            epoch: None,
            before: None,
            durable: Epoch(0),
            waker: None,
        })
    }
}

/// The reader of [`EpochPerLine`].
pub struct EpochPerLineReader<R> {
    lines: R,
    /// Why the next line cannot be read. It is told in the line's epoch, when the epochs before that are durable.
    failure: Option<Error>,
    /// The last epoch in which this run has read a line, and the one before that. Of an epoch in which nothing at all has happened
    /// nobody says that it is durable.
    epoch: Option<Epoch>,
    before: Option<Epoch>,
    /// All earlier epochs are durable.
    durable: Epoch,
    /// Called when more of them are, while a failure waits for that.
    waker: Option<Waker>,
}

impl<R: fmt::Debug> fmt::Debug for EpochPerLineReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochPerLineReader").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl<R: LineReader> Reader for EpochPerLineReader<R> {
    type Item = (Epoch, R::Item);
    type Position = FilePosition;

    fn poll(
        &mut self,
        cx: &PollContext<'_>,
        emit: &mut impl FnMut((Epoch, R::Item)),
    ) -> Result<Poll, Error> {
        for _ in 0..cx.limit() {
            if self.failure.is_none() {
                match self.lines.has_line() {
                    Ok(true) => {}
                    Ok(false) => return Ok(Poll::End),
                    Err(error) => self.failure = Some(error),
                }
            }
            // An earlier one is what is left of an epoch in which the last run was stopped: it comes late, but it comes.
            let epoch = Epoch(self.lines.lines());
            if epoch > cx.epoch() {
                return Ok(Poll::Epoch(epoch));
            }
            if self.failure.is_none() {
                match self.lines.read_line() {
                    Ok(item) => {
                        if self.epoch != Some(cx.epoch()) {
                            self.before = self.epoch.replace(cx.epoch());
                        }
                        item.into_iter().for_each(|item| emit((epoch, item)));
                        continue;
                    }
                    Err(error) => self.failure = Some(error),
                }
            }
            let earlier = if self.epoch == Some(cx.epoch()) { self.before } else { self.epoch };
            if earlier.is_some_and(|earlier| earlier >= self.durable) {
                self.waker = Some(cx.waker().clone());
                return Ok(Poll::Pending);
            }
            return self.failure.take().map_or(Ok(Poll::Ready), Err);
        }
        Ok(Poll::Ready)
    }

    fn position(&self) -> FilePosition {
        self.lines.position()
    }

    fn committed(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.durable = epoch;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        self.lines.committed(epoch)
    }
}

#[cfg(test)]
mod tests;
