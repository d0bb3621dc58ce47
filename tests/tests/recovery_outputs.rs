//! Files that are written: each row once, whatever has been written behind the last commit, and what has become of them between two
//! runs.

use std::fs;
use std::io::Write;

use flow_runtime::io::{Encoder, Io, PartitionId, Resume, SinkWriter, delivery};
use flow_runtime::prelude::*;
use flow_runtime::stream::NoKey;
use flow_runtime::time::Barrier;
use flow_runtime::{Error, ErrorKind};
use flow_tests::recovery::{Fuse, INTERRUPTED, On, Place, Script, refused, run_reported};
use flow_tests::rng::Rng;

#[dataflow]
fn written<A: Source<Item = u64>, S: Sink<Keyed<u64, u64>>>(numbers: A, fuse: Fuse, out: S) {
    let all = source(numbers);
    let passed = inspect(all, |_, _| fuse.pass());
    let by_key = key_by(passed, |n| n % 5);
    let sums = stateful_map(by_key, |sum: &mut u64, _key, n: u64| {
        *sum += n;
        *sum
    });
    let seen = inspect(sums, |_, _| fuse.pass_behind());
    sink(seen, out);
}

const COUNT: u64 = 60;

fn numbers() -> Script<u64> {
    Script::each(0..COUNT)
}

/// The rows that there are in the end.
fn expected(separator: char) -> Vec<String> {
    let mut sums = [0; 5];
    let row = |n: u64| {
        let key = n as usize % 5;
        sums[key] += n;
        format!("{key}{separator}{}", sums[key])
    };
    let mut rows: Vec<_> = (0..COUNT).map(row).collect();
    rows.sort();
    rows
}

fn rows(text: &str) -> Vec<String> {
    let mut rows: Vec<_> = text.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

fn check_interrupted(outcome: Result<(), Error>) {
    let error = outcome.expect_err("it is interrupted");
    assert!(error.message().contains(INTERRUPTED), "{error}");
}

/// Interrupts runs, each with another number of workers, until one comes to its end. Between them something is written behind
/// what counts, as by a run that was cut off in the middle of a row.
fn interrupted<S: Sink<Keyed<u64, u64>>>(
    seed: u64,
    place: &Place,
    sink: impl Fn() -> S,
    scribble: impl Fn(),
) {
    let mut rng = Rng::new(seed);
    for run in (0..5).rev() {
        let at = rng.below(20);
        let fuse = match run {
            0 => Fuse::none(),
            _ if rng.once_in(2) => Fuse::before(at),
            _ => Fuse::behind(at),
        };
        let on = if rng.once_in(2) { On::Threads } else { On::Virtual(rng.word()) };
        let script = if rng.once_in(2) { numbers().paced() } else { numbers() };
        let flow = written(script, fuse, sink()).workers(1 + rng.below(5));
        let outcome = on.run(flow.recovery(place.log()));
        match run {
            0 => outcome.expect("it goes on"),
            _ => check_interrupted(outcome),
        }
        if run > 0 {
            scribble();
        }
    }
}

#[test]
fn one_file_has_each_row_once() {
    for seed in 0..4 {
        let place = Place::new();
        let path = place.path("out");
        let scribble = || {
            let mut file = fs::File::options().append(true).open(&path).expect("it is there");
            file.write_all(b"3,4\n1,").expect("it can be written");
        };
        interrupted(seed, &place, || CsvFile::at(&path), scribble);
        assert_eq!(rows(&place.read("out")), expected(','), "seed {seed}");
        fs::remove_file(&path).expect("it is there");
        fs::remove_dir_all(place.log()).expect("it is there");
        interrupted(seed, &place, || TextFile::at(&path), scribble);
        assert_eq!(rows(&place.read("out")), expected('\t'), "seed {seed}");
    }
}

#[test]
fn the_parts_of_a_folder_have_each_row_once() {
    for seed in 0..3 {
        let place = Place::new();
        let folder = place.path("out");
        let parts = || {
            let parts = fs::read_dir(&folder).expect("it is there");
            parts.map(|part| part.expect("it can be listed").path())
        };
        let scribble = || {
            for part in parts() {
                let mut file = fs::File::options().append(true).open(part).expect("it is there");
                file.write_all(b"more").expect("it can be written");
            }
        };
        interrupted(seed, &place, || CsvFile::folder(&folder).parts(3), scribble);
        let texts: Vec<_> =
            parts().map(|part| fs::read_to_string(part).expect("it is text")).collect();
        assert_eq!(texts.len(), 3);
        assert_eq!(rows(&texts.concat()), expected(','), "seed {seed}");
    }
}

/// A place with an output of several epochs, after a run that was interrupted in the middle.
fn half(place: &Place, sink: impl Sink<Keyed<u64, u64>>) {
    let flow = written(numbers().paced(), Fuse::before(30), sink).workers(2);
    check_interrupted(On::Threads.run(flow.recovery(place.log())));
}

#[test]
fn a_file_that_is_not_as_it_was_left_is_refused_and_not_touched() {
    let place = Place::new();
    let path = place.path("out");
    let flow =
        || written(numbers(), Fuse::none(), CsvFile::at(&path)).workers(3).recovery(place.log());
    half(&place, CsvFile::at(&path));
    let text = place.read("out");
    let says = "put the file back as the last run left it";
    let check = |what: &str, now: &str| {
        let error = refused(flow(), &[what, says]);
        assert_eq!((error.kind(), error.step()), (ErrorKind::Sink, Some("seen.sink")), "{error}");
        assert_eq!(place.read("out"), now, "it is not touched");
    };
    let short = &text[..text.len() - 4];
    place.write("out", short);
    check("/out` has been truncated", short);
    let other = text.replace('1', "2");
    place.write("out", &other);
    check("/out` is not the file that was written before", &other);
    place.write("out", "");
    check("/out` has been truncated", "");
    fs::remove_file(&path).expect("it is there");
    refused(flow(), &["/out` is gone", says]);
    assert!(!path.exists(), "it is not made anew");
    place.write("out", text.clone() + "and more");
    run_reported(flow());
    assert_eq!(rows(&place.read("out")), expected(','));
}

#[test]
fn one_part_of_a_folder_that_was_put_back_to_an_earlier_state_is_refused_by_name() {
    let place = Place::new();
    let folder = place.path("out");
    let sink = |parts| CsvFile::folder(&folder).parts(parts);
    let flow = |parts| written(numbers(), Fuse::none(), sink(parts)).recovery(place.log());
    half(&place, sink(2));
    let part = folder.join("part-00001.csv");
    let text = fs::read(&part).expect("it is there");
    assert!(!text.is_empty());
    fs::write(&part, &text[..text.len() / 2]).expect("it can be written");
    refused(flow(2), &["/part-00001.csv` has been truncated"]);
    fs::write(&part, &text).expect("it can be written");
    let error = refused(flow(3), &["part-00000.csv, part-00001.csv and has now", "part-00002.csv"]);
    assert_eq!(error.kind(), ErrorKind::Recovery);
    for (n, left) in fs::read_dir(&folder).expect("it is there").enumerate() {
        assert!(n < 2, "{left:?} was made by a run that was refused");
    }
    run_reported(flow(2));
}

#[test]
fn an_output_of_another_name_is_refused() {
    let place = Place::new();
    half(&place, CsvFile::at(place.path("out")));
    let flow = written(numbers(), Fuse::none(), CsvFile::at(place.path("other"))).workers(2);
    refused(flow.recovery(place.log()), &["has written the partitions out and has now other"]);
    assert!(!place.path("other").exists());
}

#[test]
fn a_new_log_does_not_empty_a_file_that_has_something_in_it() {
    let place = Place::new();
    place.write("out", "of another run\n");
    let flow = || {
        let out = CsvFile::at(place.path("out"));
        written(numbers(), Fuse::none(), out).workers(2).recovery(place.log())
    };
    // Not at the second attempt either.
    for _ in 0..2 {
        refused(flow(), &["has something in it, and the recovery log is new", "remove the file"]);
        assert_eq!(place.read("out"), "of another run\n");
    }
    fs::remove_file(place.path("out")).expect("it is there");
    // What a run has written that was over before its first commit is emptied.
    let broken = written(numbers().paced(), Fuse::before(1), CsvFile::at(place.path("out")));
    let broken = broken.workers(1).epochs(EpochPolicy::items(1_000_000));
    check_interrupted(On::Threads.run(broken.recovery(place.log())));
    run_reported(flow());
    assert_eq!(rows(&place.read("out")), expected(','));
}

#[test]
fn no_output_is_emptied_where_another_has_no_folder() {
    #[dataflow]
    fn two(numbers: std::ops::Range<u64>, first: CsvFile, second: CsvFile) {
        let all = source(from_iter(numbers));
        sink(all, first);
        #[id = "second"]
        sink(all, second);
    }
    let place = Place::new();
    place.write("out", "of another run\n");
    let missing = CsvFile::at(place.path("nowhere/out"));
    let there = CsvFile::at(place.path("out"));
    // Whichever of them comes first, and without a log, which would refuse the file by itself.
    for flow in [two(0..9, there.clone(), missing.clone()), two(0..9, missing, there)] {
        refused(flow.workers(2), &["there is no folder", "mkdir -p"]);
        assert_eq!(place.read("out"), "of another run\n");
    }
}

/// A file whose writing or sealing fails at some row.
#[derive(Clone)]
struct Failing {
    file: TextFile,
    fuse: Fuse,
    at_seal: bool,
}
struct FailingWriter<W>(W, Fuse, bool);

impl Sink<Stream<u64>> for Failing {
    type Block = <TextFile as Sink<Stream<u64>>>::Block;
    type Position = <TextFile as Sink<Stream<u64>>>::Position;
    type Encoder = FailingEncoder;
    type Writer = FailingWriter<<TextFile as Sink<Stream<u64>>>::Writer>;
    type Delivery = delivery::Rewindable;
    fn partitions(&self, io: &Io) -> Result<Vec<PartitionId>, Error> {
        Sink::<Stream<u64>>::partitions(&self.file, io)
    }
    fn encoder(&self) -> FailingEncoder {
        FailingEncoder(Sink::<Stream<u64>>::encoder(&self.file))
    }
    fn open(
        &self,
        io: &Io,
        partition: &PartitionId,
        resume: Resume<Self::Position>,
    ) -> Result<Self::Writer, Error> {
        let writer = Sink::<Stream<u64>>::open(&self.file, io, partition, resume)?;
        Ok(FailingWriter(writer, self.fuse.clone(), self.at_seal))
    }
}
struct FailingEncoder(<TextFile as Sink<Stream<u64>>>::Encoder);
impl Encoder<Stream<u64>> for FailingEncoder {
    type Block = <TextFile as Sink<Stream<u64>>>::Block;
    fn encode(&mut self, key: &NoKey, item: u64, block: &mut Self::Block) -> Result<usize, Error> {
        Encoder::<Stream<u64>>::encode(&mut self.0, key, item, block)
    }
}
impl<W: SinkWriter> SinkWriter for FailingWriter<W> {
    type Block = W::Block;
    type Position = W::Position;
    fn write(&mut self, block: W::Block) -> Result<(), Error> {
        self.0.write(block)?;
        if !self.2 {
            self.1.pass();
        }
        Ok(())
    }
    fn seal(&mut self, barrier: Barrier) -> Result<W::Position, Error> {
        if self.2 {
            self.1.pass();
        }
        self.0.seal(barrier)
    }
    fn durable(&mut self) -> Result<Option<flow_runtime::io::Durable>, Error> {
        self.0.durable()
    }
}

#[dataflow]
fn plain<S: Sink<Stream<u64>>>(numbers: Script<u64>, out: S) {
    let all = source(numbers);
    sink(all, out);
}

#[test]
fn a_sink_that_fails_is_a_crash_like_others() {
    for at in 0..6 {
        for at_seal in [false, true] {
            let place = Place::new();
            let file = || TextFile::at(place.path("out"));
            let flow = |fuse: Fuse| {
                let sink = Failing { file: file(), fuse, at_seal };
                let flow = plain(Script::of((0..60).map(|n| (n / 3, n))).paced(), sink)
                    .workers(1 + at % 2);
                flow.recovery(place.log())
            };
            check_interrupted(On::Threads.run(flow(Fuse::before(at))));
            check_interrupted(On::Virtual(at as u64).run(flow(Fuse::before(1))));
            run_reported(flow(Fuse::none()));
            let text: String = (0..60).map(|n| format!("{n}\n")).collect();
            assert_eq!(place.read("out"), text, "fails at {at}, {at_seal}");
        }
    }
}
