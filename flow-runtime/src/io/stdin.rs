//! `Lines::stdin`: the lines of standard input.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::thread;

use crate::error::{Error, ErrorKind};
use crate::io::channel::ChannelReader;
use crate::io::lines::{HELP, Lines, Utf8, decode};
use crate::io::queue::Queue;
use crate::io::{Io, PartitionId, Poll, PollContext, Reader, Resume, Source, replay};

/// Batches of lines that may wait.
const BATCHES_MAX: usize = 16;
/// Lines in a batch.
const BATCH_LINES: usize = 1024;

impl Lines {
    /// The lines of standard input. What was read cannot be read again: after a crash it is gone.
    ///
    /// Reading waits on a thread of its own. After a run that ends before the input does, that thread stays until a line or the
    /// end comes.
    ///
    /// ```
    /// use flow_runtime::io::{Lines, Utf8};
    ///
    /// let lines = Lines::stdin().invalid_utf8(Utf8::Lossy);
    /// # let _ = lines;
    /// ```
    pub fn stdin() -> StdinLines {
        StdinLines { utf8: Utf8::Error, line_max: 64 * 1024 * 1024 }
    }
}

/// The source that [`Lines::stdin`] makes.
#[derive(Clone, Copy, Debug)]
#[must_use = "a source does nothing until it is wired by `source(..)`"]
pub struct StdinLines {
    utf8: Utf8,
    line_max: usize,
}

impl StdinLines {
    /// What is done about lines that are not UTF-8; [`Utf8::Error`] unless it is set.
    pub fn invalid_utf8(mut self, policy: Utf8) -> Self {
        self.utf8 = policy;
        self
    }

    /// The most bytes of a line; 64 MiB unless it is set.
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.line_max = bytes;
        self
    }

    /// Reads everything, and hands it on in batches: when one is full, and when there is no more for the moment.
    fn read(self, input: impl Read, send: &dyn Fn(Batch) -> bool) {
        let mut input = BufReader::with_capacity(64 * 1024, input);
        let (mut line, mut number, mut offset) = (Vec::new(), 0, 0);
        let mut batch = Vec::new();
        loop {
            line.clear();
            // One more than allowed, to see that it is too long; and the line end.
            let most = (self.line_max as u64).saturating_add(2);
            let next = match input.by_ref().take(most).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => self.line(&line, number, offset),
                Err(error) => Err(Error::new(
                    ErrorKind::Source,
                    format!("cannot read standard input behind line {number}: {error}"),
                )
                .caused_by(error)),
            };
            number += 1;
            offset += line.len() as u64;
            match next {
                Ok(next) => batch.extend(next),
                Err(error) => {
                    let _ = send(Ok(batch)) && send(Err(error));
                    return;
                }
            }
            let waits = memchr::memchr(b'\n', input.buffer()).is_none();
            if (waits || batch.len() >= BATCH_LINES) && !send(Ok(std::mem::take(&mut batch))) {
                return;
            }
        }
        send(Ok(batch));
    }

    /// The line behind `number` lines and `offset` bytes.
    fn line(self, line: &[u8], number: u64, offset: u64) -> Result<Option<String>, Error> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() > self.line_max {
            return Err(Error::new(
                ErrorKind::Source,
                format!(
                    "line {} of standard input has more than {} bytes",
                    number + 1,
                    self.line_max
                ),
            )
            .help("is it the right input? a larger line is allowed by `.max_line_bytes(n)`"));
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let start: &[u8] = if offset == 0 { b"\xef\xbb\xbf" } else { b"" };
        let line = line.strip_prefix(start).unwrap_or(line);
        decode(line, self.utf8).map_err(|valid| {
            Error::new(
                ErrorKind::Source,
                format!(
                    "line {} of standard input is not UTF-8, at byte {} of the line",
                    number + 1,
                    valid
                ),
            )
            .help(HELP)
        })
    }
}

type Batch = Result<Vec<String>, Error>;

impl Source for StdinLines {
    type Item = String;
    type Position = ();
    type Reader = StdinReader;
    type Replay = replay::NotReplayable;

    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("stdin")])
    }

    fn open(&self, _: &Io, _: &PartitionId, _: Resume<()>) -> Result<StdinReader, Error> {
        StdinReader::new(*self, io::stdin())
    }
}

/// The reader of [`StdinLines`].
#[derive(Debug)]
pub struct StdinReader {
    batches: ChannelReader<Batch>,
    lines: VecDeque<String>,
}

impl StdinReader {
    fn new(source: StdinLines, input: impl Read + Send + 'static) -> Result<Self, Error> {
        let queue = Arc::new(Queue::new(BATCHES_MAX));
        let to = Arc::clone(&queue);
        thread::Builder::new()
            .name("standard input".into())
            .spawn(move || {
                source.read(input, &|batch| to.push(batch).is_ok());
                to.remove_writer();
            })
            .map_err(|error| {
                Error::new(ErrorKind::Source, "cannot start a thread that reads standard input")
                    .caused_by(error)
            })?;
        Ok(StdinReader { batches: ChannelReader::new(queue), lines: VecDeque::new() })
    }
}

impl Reader for StdinReader {
    type Item = String;
    type Position = ();

    fn poll(&mut self, cx: &PollContext<'_>, emit: &mut impl FnMut(String)) -> Result<Poll, Error> {
        if self.lines.is_empty() {
            let one = PollContext::new(1, cx.now(), cx.epoch(), cx.waker());
            let mut batch = Ok(Vec::new());
            let answer = self.batches.poll(&one, &mut |next| batch = next)?;
            if answer != Poll::Ready {
                return Ok(answer);
            }
            self.lines = batch?.into();
        }
        let count = self.lines.len().min(cx.limit());
        self.lines.drain(..count).for_each(emit);
        Ok(Poll::Ready)
    }

    fn position(&self) {}
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Wake, Waker};

    use super::*;
    use crate::io::testing::poll_in;
    use crate::time::Epoch;

    /// Lets the test wait for its waker.
    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            // The test may have gone on already.
            let _ = self.0.send(());
        }
    }

    fn read_all(
        source: StdinLines,
        input: impl Read + Send + 'static,
    ) -> Result<Vec<String>, String> {
        let mut reader = StdinReader::new(source, input).expect("starts");
        let (ring, rung) = mpsc::channel();
        let waker = Waker::from(Arc::new(Bell(ring)));
        let mut all = Vec::new();
        loop {
            let (lines, answer) = poll_in(&mut reader, 5, Epoch(0), &waker);
            all.extend(lines);
            match answer? {
                Poll::End => return Ok(all),
                Poll::Pending => rung.recv().expect("is woken"),
                _ => {}
            }
        }
    }

    #[test]
    fn lines_come_until_the_end() {
        let input = &b"\xef\xbb\xbfone\r\n\ntwo"[..];
        assert_eq!(
            read_all(Lines::stdin(), input),
            Ok(vec!["one".into(), "".into(), "two".into()])
        );
        assert_eq!(read_all(Lines::stdin(), io::empty()), Ok(vec![]));
        let many: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        let expected: Vec<_> = many.lines().map(str::to_owned).collect();
        assert_eq!(read_all(Lines::stdin(), io::Cursor::new(many)), Ok(expected));
    }

    #[test]
    fn a_line_comes_as_soon_as_it_is_there() {
        let (input, mut typing) = io::pipe().expect("there are pipes");
        let mut reader = StdinReader::new(Lines::stdin(), input).expect("starts");
        let (ring, rung) = mpsc::channel();
        let waker = Waker::from(Arc::new(Bell(ring)));
        for line in ["one", "two"] {
            io::Write::write_all(&mut typing, format!("{line}\n").as_bytes()).expect("is read");
            let lines = loop {
                match poll_in(&mut reader, 5, Epoch(0), &waker) {
                    (_, Ok(Poll::Pending)) => rung.recv().expect("is woken"),
                    (lines, _) => break lines,
                }
            };
            assert_eq!(lines, [line]);
        }
    }

    #[test]
    fn what_is_no_text_is_named() {
        let input = &b"one\nt\xffo\n"[..];
        let error = read_all(Lines::stdin(), input).expect_err("is not UTF-8");
        assert!(error.contains("line 2 of standard input is not UTF-8, at byte 1"), "{error}");
        let lossy = Lines::stdin().invalid_utf8(Utf8::Lossy);
        assert_eq!(read_all(lossy, input), Ok(vec!["one".into(), "t\u{fffd}o".into()]));
        let short = Lines::stdin().max_line_bytes(3);
        assert_eq!(read_all(short, &b"one\ntwo"[..]), Ok(vec!["one".into(), "two".into()]));
        let error = read_all(short, &b"one\nfour\n"[..]).expect_err("is too long");
        assert!(error.contains("line 2 of standard input has more than 3 bytes"), "{error}");
    }
}
