use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::Arc;

use super::*;
use crate::Virtual;
use crate::io::testing::{Calls, Memory, poll_in, reopen};
use crate::prelude::*;

fn disk(bytes: impl AsRef<[u8]>) -> Memory {
    let disk = Memory::default();
    disk.put("a.jsonl", bytes);
    disk
}

fn numbers() -> JsonLines<i32> {
    JsonLines::of("a.jsonl")
}

fn fresh<S: Source>(source: &S, disk: &Memory) -> S::Reader {
    let partitions = source.partitions(&disk.io()).expect("lists");
    source.open(&disk.io(), &partitions[0], Resume::Fresh).expect("opens")
}

/// What came in which epoch.
type InEpochs<T> = Vec<(u64, T)>;

/// Reads to the end or an error as an engine does, from this epoch on. Every epoch is committed before the next one begins.
fn read<R: Reader>(
    reader: &mut R,
    mut epoch: u64,
    limit: usize,
) -> (InEpochs<R::Item>, Result<u64, String>) {
    let mut all = Vec::new();
    loop {
        let (items, answer) = poll_in(reader, limit, Epoch(epoch), Waker::noop());
        all.extend(items.into_iter().map(|item| (epoch, item)));
        match answer {
            Ok(Poll::Epoch(later)) => {
                assert!(later.0 > epoch);
                epoch = later.0;
                reader.committed(later).expect("is heard");
            }
            Ok(Poll::End) => return (all, Ok(epoch)),
            Ok(answer) => assert_eq!(answer, Poll::Ready),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// Items that come in their own epochs.
fn punctual<T: Clone>(items: &[(u64, T)]) -> InEpochs<(Epoch, T)> {
    items.iter().map(|(line, item)| (*line, (Epoch(*line), item.clone()))).collect()
}

#[test]
fn every_line_is_an_epoch_also_a_blank_one() {
    for limit in [1, 2, 100] {
        for (text, items, last) in [
            ("", &[][..], 0),
            ("\u{feff}", &[], 0),
            ("5", &[(0, 5)], 0),
            ("\u{feff}5\n6\n", &[(0, 5), (1, 6)], 1),
            ("5\r\n\r\n6\r\n  ", &[(0, 5), (2, 6)], 3),
            ("\n\n7\n\n", &[(2, 7)], 3),
        ] {
            let disk = disk(text);
            disk.read_at_most(limit);
            let came = read(&mut fresh(&numbers().epoch_per_line(), &disk), 0, limit);
            assert_eq!(came, (punctual(items), Ok(last)), "{text:?}");
        }
    }
}

#[test]
fn lines_of_text_are_read_compressed_too() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"a\n\nb\xff\nc").expect("memory takes it");
    let disk = Memory::default();
    disk.put("a.gz", encoder.finish().expect("memory takes it"));
    let source = Lines::of("a.gz").invalid_utf8(Utf8::Skip).epoch_per_line();
    let (came, last) = read(&mut fresh(&source, &disk), 0, 9);
    let lines = ["a", "", "c"].map(str::to_owned);
    let [a, blank, c] = lines;
    assert_eq!((came, last), (punctual(&[(0, a), (1, blank), (3, c)]), Ok(3)));
    let strict = Lines::of("a.gz").epoch_per_line();
    let error = read(&mut fresh(&strict, &disk), 0, 9).1.expect_err("is not UTF-8");
    assert!(error.starts_with("line 3 of `a.gz` is not UTF-8, at byte 4 of the file"), "{error}");
}

#[test]
fn resumed_anywhere_nothing_is_lost_or_repeated() {
    let disk = disk("10\n\n12\nx\n14\n15");
    let source = numbers().skip_bad_rows().epoch_per_line();
    let items = [(0, 10), (2, 12), (4, 14), (5, 15)];
    for stop in 0..=5 {
        // The epoch of this line was opened, and closed before or after the line was read.
        for read_it in [false, true] {
            let mut reader = fresh(&source, &disk);
            for epoch in 0..=stop {
                if epoch < stop || read_it {
                    poll_in(&mut reader, 1, Epoch(epoch), Waker::noop()).1.expect("reads");
                }
            }
            let position = reader.position();
            let done = if read_it { stop + 1 } else { stop };
            assert_eq!(position.line(), done);
            let mut reader = reopen(&source, &disk.io(), position).expect("resumes");
            let rest: Vec<_> = punctual(&items)
                .into_iter()
                .filter(|(line, _)| *line >= done)
                .map(|(line, item)| (line.max(stop + 1), item))
                .collect();
            assert_eq!(read(&mut reader, stop + 1, 3).0, rest, "stopped in {stop}, {read_it}");
        }
    }
}

#[test]
fn a_bad_line_ends_the_run_in_its_epoch_and_can_be_left_out_later() {
    let disk = disk("10\n11\nx\n13\n");
    let strict = numbers().epoch_per_line();
    let mut reader = fresh(&strict, &disk);
    assert_eq!(poll_in(&mut reader, 9, Epoch(0), Waker::noop()).1, Ok(Poll::Epoch(Epoch(1))));
    let (items, answer) = poll_in(&mut reader, 9, Epoch(1), Waker::noop());
    assert_eq!((items, answer), (vec![(Epoch(1), 11)], Ok(Poll::Epoch(Epoch(2)))));

    // The epochs before it are not durable yet.
    let calls = Arc::new(Calls::default());
    let waker = Waker::from(Arc::clone(&calls));
    assert_eq!(poll_in(&mut reader, 9, Epoch(2), &waker), (vec![], Ok(Poll::Pending)));
    reader.committed(Epoch(1)).expect("is heard");
    assert_eq!(calls.count(), 1);
    assert_eq!(poll_in(&mut reader, 9, Epoch(2), &waker), (vec![], Ok(Poll::Pending)));
    let position = reader.position();
    reader.committed(Epoch(2)).expect("is heard");
    assert_eq!(calls.count(), 2);
    let (items, answer) = poll_in(&mut reader, 9, Epoch(2), &waker);
    assert_eq!(items, []);
    let error = answer.expect_err("does not fit");
    assert!(error.starts_with("line 3 of `a.jsonl`: expected value, at column 1"), "{error}");

    assert_eq!(position.line(), 2, "the bad line is not read");
    let mut reader = reopen(&strict, &disk.io(), position.clone()).expect("resumes");
    assert_eq!(read(&mut reader, 2, 9), (vec![], Err(error)), "it is still bad");
    let lenient = numbers().skip_bad_rows().epoch_per_line();
    let mut reader = reopen(&lenient, &disk.io(), position.clone()).expect("resumes");
    assert_eq!(read(&mut reader, 2, 9), (punctual(&[(3, 13)]), Ok(3)));
    let mut reader =
        reopen(&numbers().rows().epoch_per_line(), &disk.io(), position).expect("resumes");
    let (rows, _) = read(&mut reader, 2, 9);
    let lines: Vec<_> = rows
        .iter()
        .map(|(epoch, (line, row))| (*epoch, line.0, row.as_ref().map_err(|bad| bad.line)))
        .collect();
    assert_eq!(lines, [(2, 2, Err(3)), (3, 3, Ok(&13))]);
}

#[test]
fn a_bad_first_line_waits_for_nothing() {
    for epoch in [0, 5] {
        let mut reader = fresh(&numbers().epoch_per_line(), &disk("x"));
        let (items, answer) = poll_in(&mut reader, 9, Epoch(epoch), Waker::noop());
        assert!(items.is_empty() && answer.is_err());
    }
}

/// A log whose epochs were not lines before: of an epoch in which nothing is read nobody says that it is committed.
#[test]
fn a_bad_line_far_ahead_of_the_log_waits_for_no_epoch_without_lines() {
    let disk = disk("10\n11\n12\nx\n");
    let mut plain = fresh(&numbers(), &disk);
    assert_eq!(poll_in(&mut plain, 3, Epoch(0), Waker::noop()).1, Ok(Poll::Ready));
    let strict = numbers().epoch_per_line();
    let mut reader = reopen(&strict, &disk.io(), plain.position()).expect("resumes");
    assert_eq!(poll_in(&mut reader, 9, Epoch(1), Waker::noop()).1, Ok(Poll::Epoch(Epoch(3))));
    let error = poll_in(&mut reader, 9, Epoch(3), Waker::noop()).1.expect_err("does not fit");
    assert!(error.starts_with("line 4 of `a.jsonl`"), "{error}");
}

#[test]
fn what_cannot_be_read_belongs_to_the_line_that_it_begins() {
    let disk = disk("10\n1111111111\n");
    let mut reader = fresh(&numbers().max_line_bytes(4).epoch_per_line(), &disk);
    let (came, end) = read(&mut reader, 0, 9);
    assert_eq!(came, punctual(&[(0, 10)]));
    assert!(end.expect_err("is too long").contains("line 2 of `a.jsonl` begins a line of more"));

    // The checksum at the end of the compressed file is wrong, which is seen when the last line has come.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"10\n11\n").expect("memory takes it");
    let mut bytes = encoder.finish().expect("memory takes it");
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    let disk = Memory::default();
    disk.put("a.gz", bytes);
    let mut reader = fresh(&JsonLines::<i32>::of("a.gz").epoch_per_line(), &disk);
    let (came, end) = read(&mut reader, 0, 9);
    assert_eq!(came, punctual(&[(0, 10), (1, 11)]));
    assert!(end.expect_err("is damaged").contains("behind line 2: it is damaged"));
}

#[test]
fn there_is_one_file() {
    let disk = disk("1\n");
    disk.put("more/b.jsonl", "2\n");
    disk.put("more/c.jsonl", "3\n");
    disk.folder("none");
    let several = JsonLines::<i32>::of("more").epoch_per_line();
    let error = several.partitions(&disk.io()).expect_err("there are two");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(
        error.message(),
        "an epoch per line needs one file, and there are 2: `b.jsonl`, `c.jsonl`"
    );
    let all = Lines::of_all(["a.jsonl", "more"]).epoch_per_line();
    let error = all.partitions(&disk.io()).expect_err("there are three").to_string();
    assert!(error.contains("there are 3: `a.jsonl`, `more/b.jsonl`, ..\n"), "{error}");
    let none = Lines::of("none").epoch_per_line();
    assert_eq!(none.partitions(&disk.io()).expect("lists"), []);
    disk.delete("more/c.jsonl");
    assert_eq!(read(&mut fresh(&several, &disk), 0, 9).0, punctual(&[(0, 2)]));
}

#[dataflow]
fn spread<S: Source<Item = (Epoch, u64)>>(numbers: S, out: Collect<(Epoch, u64)>) {
    let all = source(numbers);
    let by_number = key_by(all, |(_, n)| *n);
    let plain = values(by_number);
    sink(plain, out);
}

#[test]
fn before_a_bad_line_ends_the_run_all_workers_have_done_what_came_before() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().join("a.jsonl");
    // More epochs than may be on their way at once.
    let lines: Vec<_> = (0..400_u64).map(|line| (Epoch(line), line * line % 17)).collect();
    let text: String = lines.iter().map(|(_, n)| format!("{n}\n")).collect();
    std::fs::write(&path, text + "x\n5\n").expect("the temporary folder is writable");
    let source = || JsonLines::<u64>::of(&path).epoch_per_line();
    for workers in 1..4 {
        for seed in 0..4 {
            let (out, came) = collect();
            let flow = spread(source(), out).workers(workers);
            let error = flow.simulate(Virtual::new(seed)).expect_err("does not fit");
            assert!(error.message().starts_with("line 401 of `"), "{error}");
            assert_eq!(came.sorted(), lines, "{workers} workers, seed {seed}");
        }
        let (out, came) = collect();
        let error = spread(source(), out).workers(workers).spawn().expect("starts").wait();
        assert!(error.is_err());
        assert_eq!(came.sorted(), lines, "{workers} workers");
    }
}
