//! Sources of text: read at once, and in pieces, each from the position where the last one ended.

use std::fmt::Debug;
use std::task::Waker;

use crate::io::{Io, Poll, PollContext, Reader, Resume, Source};
use crate::prelude::*;
use crate::sim::SimDisk;
use crate::time::{Epoch, Timestamp};

/// Longer input shows nothing that shorter does not.
const MOST: usize = 1 << 16;
/// How often reading begins anew.
const PIECES: usize = 24;

/// Rows of CSV, with and without a header.
pub fn csv(bytes: &[u8]) {
    let rows = Csv::<(String, i32, Option<f64>)>::of("input").max_row_bytes(500);
    read(&rows.clone().rows(), bytes);
    read(&rows.clone().header(false).delimiter(b';').rows(), bytes);
    read(&rows.skip_bad_rows(), bytes);
    read(&Csv::<String>::of("input").header(false), bytes);
}

/// Lines of JSON.
pub fn json_lines(bytes: &[u8]) {
    let lines = JsonLines::<(String, Option<i32>)>::of("input");
    read(&lines.clone().rows(), bytes);
    read(&lines, bytes);
}

/// Lines of text, compressed or not, whatever is done about text that is none.
pub fn lines(bytes: &[u8]) {
    for utf8 in [Utf8::Error, Utf8::Lossy, Utf8::Skip] {
        read(&Lines::of("input").invalid_utf8(utf8).max_line_bytes(300), bytes);
    }
    read(&Lines::of("input.gz").max_line_bytes(300), bytes);
}

/// What a reader gives until its end, or until it fails. It is asked for so many items at a time.
fn rest<R: Reader>(reader: &mut R, limit: usize, most: usize) -> (Vec<R::Item>, Option<String>) {
    let mut items = Vec::new();
    while items.len() < most {
        let cx = PollContext::new(limit, Timestamp(0), Epoch(0), Waker::noop());
        match reader.poll(&cx, &mut |item| items.push(item)) {
            Ok(Poll::Ready) => {}
            Ok(Poll::End) => break,
            Ok(other) => panic!("a reader of finite input answered {other:?}"),
            Err(error) => return (items, Some(error.to_string())),
        }
    }
    (items, None)
}

fn read<S: Source>(source: &S, bytes: &[u8])
where
    S::Item: PartialEq + Debug,
{
    if bytes.len() > MOST {
        return;
    }
    let disk = SimDisk::new(1);
    disk.put("input", bytes);
    disk.put("input.gz", bytes);
    let io: Io = disk.io();
    let partition = &source.partitions(&io).expect("the file is there")[0];
    let open = |resume| source.open(&io, partition, resume);
    // Some files cannot even be opened: they begin with what is no text.
    let Ok(mut reader) = open(Resume::Fresh) else { return };
    let all = rest(&mut reader, 1000, usize::MAX);
    let mut reader = open(Resume::Fresh).expect("it could be opened before");
    let mut pieces = (Vec::new(), None);
    for piece in 0..PIECES {
        let (items, failure) = rest(&mut reader, 1, 1 + piece % 3);
        let is_over = items.is_empty() || failure.is_some();
        pieces.0.extend(items);
        pieces.1 = failure;
        if is_over {
            break;
        }
        let resume = Resume::At { epoch: Epoch(1), position: reader.position() };
        reader = open(resume).expect("the file is as it was");
    }
    if pieces.1.is_none() {
        let (items, failure) = rest(&mut reader, 5, usize::MAX);
        pieces.0.extend(items);
        pieces.1 = failure;
    }
    assert_eq!(pieces, all);
}
