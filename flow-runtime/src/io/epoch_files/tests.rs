use super::*;
use std::sync::Arc;

use crate::io::delivery::DeliveryKind;
use crate::io::testing::Memory;
use crate::io::{
    Apply, Delivery, Resume, Sink, SinkWriter, TransactionalPosition, TransactionalWriter,
};
use crate::io::{AwaitRoom, RunBegin};
use crate::stream::{NoKey, Stream};
use crate::time::Barrier;

type Files = TransactionalSink<EpochFiles<JsonRows>>;
type Numbers = Stream<u32>;

const FIRST: &str = "out/epoch-00000000000000000000-part-00000.jsonl";
const SECOND: &str = "out/epoch-00000000000000000001-part-00000.jsonl";

/// What a recovery log keeps of the sink.
#[derive(Clone, Default)]
struct Log {
    next: u64,
    position: Option<TransactionalPosition>,
    stored: Vec<(Epoch, Vec<u8>)>,
}

struct Run {
    writer: TransactionalWriter<EpochFileWriter>,
    applier: Box<dyn Apply>,
}

impl Log {
    fn start_as(&self, io: &Io, owner: &str) -> Result<Run, String> {
        let sink = EpochFiles::json_lines("out");
        let partitions = Sink::<Numbers>::partitions(&sink, io).map_err(|e| e.to_string())?;
        let resume = match self.position {
            None => Resume::Fresh,
            Some(position) => Resume::At { epoch: Epoch(self.next), position },
        };
        let owned = io.with_owner(Some(owner.into()));
        let writer = Sink::<Numbers>::open(&sink, &owned, &partitions[0], resume);
        let writer = writer.map_err(|error| error.to_string())?;
        let applier = Sink::<Numbers>::applier(&sink, io, &partitions[0], owner);
        let mut applier = applier.expect("is there").expect("a transactional sink has one");
        applier
            .recover(&self.stored, RunBegin::at(Epoch(self.next)))
            .map_err(|error| error.to_string())?;
        Ok(Run { writer, applier })
    }

    fn start(&self, disk: &Memory) -> Result<Run, String> {
        self.start_as(&disk.io(), "log/out/part-00000.jsonl")
    }

    fn commit(&mut self, run: &mut Run, items: &[u32]) -> Result<Epoch, String> {
        let epoch = Epoch(self.next);
        run.write(items).map_err(|error| error.to_string())?;
        self.position = Some(run.writer.seal(Barrier(self.next)).expect("seals"));
        if let Some(stored) = run.writer.stored().expect("is there") {
            self.stored.push((epoch, stored));
        }
        if let Some(durable) = run.writer.durable().expect("is there") {
            durable().map_err(|error| error.to_string())?;
        }
        self.next += 1;
        Ok(epoch)
    }

    fn epoch(&mut self, run: &mut Run, items: &[u32]) -> Result<(), String> {
        self.commit(run, items)?;
        for (epoch, stored) in self.stored.drain(..) {
            run.applier.apply(epoch, &stored).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

impl Run {
    fn write(&mut self, items: &[u32]) -> Result<(), Error> {
        for item in items {
            let mut block = Rows::default();
            Encoder::<Numbers>::encode(&mut JsonRows, &NoKey, *item, &mut block)?;
            self.writer.write(block)?;
        }
        Ok(())
    }
}

/// The names in the folder: those that a reader sees, and how many it does not.
fn names(disk: &Memory) -> (Vec<String>, usize) {
    let all = disk.io().files().list(Path::new("out")).expect("the folder is there");
    let (hidden, seen): (Vec<_>, Vec<_>) =
        all.iter().map(|path| name_of(path)).partition(|name| name.starts_with('.'));
    (seen.iter().map(|name| format!("out/{name}")).collect(), hidden.len())
}

#[test]
fn a_file_is_seen_when_its_epoch_is_committed() {
    let (disk, mut log) = (Memory::default(), Log::default());
    let mut run = log.start(&disk).expect("starts");
    log.commit(&mut run, &[1, 2]).expect("commits");
    assert_eq!(names(&disk), (vec![], 1));
    for (epoch, stored) in log.stored.drain(..) {
        run.applier.apply(epoch, &stored).expect("renames");
    }
    assert_eq!(names(&disk), (vec![FIRST.to_owned()], 0));
    assert_eq!(disk.text(FIRST), "1\n2\n");
    log.epoch(&mut run, &[3]).expect("an epoch");
    log.epoch(&mut run, &[]).expect("an epoch");
    assert_eq!(disk.text(SECOND), "3\n");
    assert_eq!(names(&disk).0.len(), 2, "an epoch without items makes no file");
}

#[test]
fn a_file_is_durable_before_its_epoch_is_and_its_name_afterwards() {
    let (disk, mut log) = (Memory::default(), Log::default());
    let mut run = log.start(&disk).expect("starts");
    let synced = || disk.synced().iter().map(|path| name_of(path)).collect::<Vec<_>>();
    assert_eq!(synced(), [""], "the folder is new: so is its entry in the one above");
    log.commit(&mut run, &[1]).expect("commits");
    let hidden = String::from_utf8(log.stored[0].1.clone()).expect("a name");
    assert!(hidden.starts_with('.'), "{hidden}");
    assert_eq!(synced()[1..], [hidden, "out".to_owned()]);
    run.applier.apply(Epoch(0), &log.stored[0].1).expect("renames");
    assert_eq!(synced()[3..], ["out"]);
}

#[test]
fn files_of_epochs_that_were_not_committed_go() {
    let (disk, mut log) = (Memory::default(), Log::default());
    disk.put("out/.another", "");
    let mut run = log.start(&disk).expect("starts");
    log.epoch(&mut run, &[1]).expect("an epoch");
    let before = log.clone();
    log.commit(&mut run, &[2]).expect("commits");
    run.write(&[3]).expect("writes");
    drop(run);
    assert_eq!(names(&disk).1, 3);
    let mut log = before;
    let mut run = log.start(&disk).expect("starts");
    assert_eq!(names(&disk), (vec![FIRST.to_owned()], 1), "what is not ours is left alone");
    log.epoch(&mut run, &[4]).expect("an epoch");
    assert_eq!(disk.text(SECOND), "4\n");
}

#[test]
fn a_committed_file_gets_its_name_at_the_next_start_and_only_once() {
    let (disk, mut log) = (Memory::default(), Log::default());
    let mut run = log.start(&disk).expect("starts");
    log.commit(&mut run, &[1]).expect("commits");
    drop(run);
    for _ in 0..2 {
        log.start(&disk).expect("starts");
        assert_eq!(names(&disk), (vec![FIRST.to_owned()], 0));
        assert_eq!(disk.text(FIRST), "1\n");
    }
    disk.delete(FIRST);
    log.start(&disk).expect("a reader may have taken it away before the log knew");
    assert_eq!(names(&disk), (vec![], 0));
}

#[test]
fn the_folder_of_another_log_is_refused_before_anything_is_written() {
    let (disk, mut log) = (Memory::default(), Log::default());
    let mut run = log.start(&disk).expect("starts");
    log.epoch(&mut run, &[1]).expect("an epoch");
    let error = Log::default().start_as(&disk.io(), "new").err().expect("is refused");
    assert!(
        error.starts_with(&format!(
            "`{FIRST}` was written with another recovery log: this one has no epoch yet\n  help: "
        )),
        "{error}"
    );
    // Two that began side by side meet later, and neither loses a file.
    disk.put(SECOND, "another's");
    let error = log.epoch(&mut run, &[2]).unwrap_err();
    assert!(error.starts_with(&format!("`{SECOND}` is there already")), "{error}");
    assert_eq!(disk.text(SECOND), "another's");
}

#[test]
fn a_full_disk_and_a_failing_sync_stop_the_epoch() {
    let (disk, mut log) = (Memory::default(), Log::default());
    let mut run = log.start(&disk).expect("starts");
    log.epoch(&mut run, &[1]).expect("an epoch");
    let before = log.clone();
    disk.limit(3);
    let error = log.commit(&mut run, &[2]).unwrap_err();
    assert!(error.starts_with("cannot write `out/."), "{error}");
    assert!(error.ends_with("help: make room on the disk and start again"), "{error}");
    disk.limit(1000);
    let mut log = before.clone();
    let mut run = log.start(&disk).expect("starts");
    log.epoch(&mut run, &[2]).expect("an epoch");
    assert_eq!(disk.text(SECOND), "2\n");
    disk.fail_syncs();
    let error = log.commit(&mut run, &[3]).unwrap_err();
    assert!(error.starts_with("cannot make durable `out/."), "{error}");
}

/// Makes room the first time that it is waited for.
#[derive(Debug)]
struct MakesRoom(Memory);

impl AwaitRoom for MakesRoom {
    fn wait(&self, refused: &Error) -> bool {
        assert!(refused.message().contains("cannot write `out/."), "{refused}");
        self.0.limit(1000);
        true
    }
    fn has_room(&self) {}
}

#[test]
fn a_run_that_waits_for_a_full_disk_goes_on_in_the_same_epoch() {
    let (disk, mut log) = (Memory::default(), Log::default());
    let io = disk.io().patient(Some(Arc::new(MakesRoom(disk.clone()))));
    let mut run = log.start_as(&io, "log/out/part-00000.jsonl").expect("starts");
    disk.limit(1);
    log.epoch(&mut run, &[12, 34]).expect("it waits, and goes on");
    assert_eq!(disk.text(FIRST), "12\n34\n");
}

#[test]
fn parts_and_formats() {
    let disk = Memory::default();
    let sink: Files = EpochFiles::json_lines("out").parts(0);
    let error = Sink::<Numbers>::partitions(&sink, &disk.io()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let sink = EpochFiles::csv("a/b").parts(2);
    let partitions = Sink::<Numbers>::partitions(&sink, &disk.io()).expect("two");
    assert_eq!(
        partitions.iter().map(PartitionId::as_str).collect::<Vec<_>>(),
        ["part-00000.csv", "part-00001.csv"]
    );
    assert_eq!(disk.synced(), [Path::new("a"), Path::new("")], "both folders are new");
    let kind = <<TransactionalSink<EpochFiles<TextRows>> as Sink<Numbers>>::Delivery as DeliveryKind>::KIND;
    assert_eq!(kind, Delivery::Transactional);
    assert!(format!("{:?}", EpochFiles::text("out")).contains("out"));
}

#[test]
fn on_a_real_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = EpochFiles::json_lines(folder.path().join("new/out"));
    let io = Io::real();
    let partition = &Sink::<Numbers>::partitions(&sink, &io).expect("one")[0];
    let mut applier = Sink::<Numbers>::applier(&sink, &io, partition, "log/step/part 0")
        .expect("is there")
        .expect("a transactional sink has one");
    applier.recover(&[], RunBegin::at(Epoch(0))).expect("there is nothing");
    let owned = io.with_owner(Some("log/step/part 0".into()));
    let mut run = Run {
        writer: Sink::<Numbers>::open(&sink, &owned, partition, Resume::Fresh).expect("opens"),
        applier,
    };
    let mut log = Log::default();
    log.epoch(&mut run, &[7]).expect("an epoch");
    let written = folder.path().join("new").join(FIRST);
    assert_eq!(std::fs::read_to_string(written).expect("is there"), "7\n");
}
