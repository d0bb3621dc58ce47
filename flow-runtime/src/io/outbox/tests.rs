use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::io::delivery::DeliveryKind;
use crate::io::{Delivery, RunBegin};

/// A target in memory that can be made to fail.
#[derive(Clone, Default)]
struct Target(Arc<Mutex<Tables>>);

#[derive(Clone, Default)]
struct Tables {
    rows: Vec<(String, u64)>,
    applied: BTreeMap<String, Epoch>,
    transactions: usize,
    /// Refuses to apply this epoch.
    refuses: Option<Epoch>,
    /// Applies this epoch, but the answer never arrives.
    loses_answer: Option<Epoch>,
}

struct Connection {
    target: Target,
    owner: String,
}

impl Target {
    fn with<T>(&self, act: impl FnOnce(&mut Tables) -> T) -> T {
        act(&mut self.0.lock().expect("no test panics while it holds the lock"))
    }
    fn rows(&self) -> String {
        let shown = |(word, n): &(String, u64)| format!("{word}{n}");
        self.with(|tables| tables.rows.iter().map(shown).collect::<Vec<_>>().join(" "))
    }
}

impl Outbox for Target {
    type Row = (String, u64);
    type Connection = Connection;
    fn connect(&self, _: &PartitionId, owner: &str) -> Result<Connection, Error> {
        Ok(Connection { target: self.clone(), owner: owner.to_owned() })
    }
}

impl OutboxConnection for Connection {
    type Row = (String, u64);
    fn last_applied(&mut self) -> Result<Option<Epoch>, Error> {
        Ok(self.target.with(|tables| tables.applied.get(&self.owner).copied()))
    }
    fn apply(&mut self, epoch: Epoch, rows: Vec<(String, u64)>) -> Result<(), Error> {
        self.target.with(|tables| {
            if tables.refuses == Some(epoch) {
                return Err(Error::new(ErrorKind::Sink, "the target refuses"));
            }
            tables.rows.extend(rows);
            tables.applied.insert(self.owner.clone(), epoch);
            tables.transactions += 1;
            if tables.loses_answer == Some(epoch) {
                return Err(Error::new(ErrorKind::Sink, "the connection is gone"));
            }
            Ok(())
        })
    }
}

type Pairs = Keyed<String, u64>;

/// What a recovery log keeps of the sink.
#[derive(Clone, Default)]
struct Log {
    id: &'static str,
    next: u64,
    position: Option<OutboxPosition>,
    /// Committed and not known to be applied.
    stored: Vec<(Epoch, Vec<u8>)>,
}

/// A run on a log, as the engine does it.
struct Run {
    encoder: StoredRowsEncoder,
    writer: OutboxWriter,
    applier: Box<dyn Apply>,
}

impl Log {
    fn new(id: &'static str) -> Self {
        Log { id, ..Log::default() }
    }

    fn start(&self, target: &Target) -> Result<Run, String> {
        let sink = outbox(target.clone());
        let partitions = Sink::<Pairs>::partitions(&sink, &Io::real()).expect("one");
        let resume = match self.position {
            None => Resume::Fresh,
            Some(position) => Resume::At { epoch: Epoch(self.next), position },
        };
        let writer = Sink::<Pairs>::open(&sink, &Io::real(), &partitions[0], resume)
            .expect("there is nothing to be opened");
        let applier = Sink::<Pairs>::applier(&sink, &Io::real(), &partitions[0], self.id);
        let mut applier = applier.expect("connects").expect("an outbox has one");
        applier
            .recover(&self.stored, RunBegin::at(Epoch(self.next)))
            .map_err(|error| error.to_string())?;
        Ok(Run { encoder: Sink::<Pairs>::encoder(&sink), writer, applier })
    }

    /// Starts, and the log learns what was applied.
    fn run(&mut self, target: &Target) -> Run {
        let run = self.start(target).expect("starts");
        self.stored.clear();
        run
    }

    /// Ends an epoch and commits it, and no more than that.
    fn commit(&mut self, run: &mut Run, rows: &[(&str, u64)]) -> Epoch {
        run.write(rows);
        self.position = Some(run.writer.seal(Barrier(self.next)).expect("seals"));
        let epoch = Epoch(self.next);
        if let Some(stored) = run.writer.stored().expect("is there") {
            self.stored.push((epoch, stored));
        }
        self.next += 1;
        epoch
    }

    /// An epoch as it should be: committed, applied, known to be applied.
    fn epoch(&mut self, run: &mut Run, rows: &[(&str, u64)]) {
        self.commit(run, rows);
        for (epoch, stored) in self.stored.drain(..) {
            run.applier.apply(epoch, &stored).expect("applies");
        }
    }
}

impl Run {
    fn write(&mut self, rows: &[(&str, u64)]) {
        // Two rows a block.
        for rows in rows.chunks(2) {
            let mut block = StoredRows::default();
            for (word, n) in rows {
                Encoder::<Pairs>::encode(&mut self.encoder, &(*word).to_owned(), *n, &mut block)
                    .expect("encodes");
            }
            self.writer.write(block).expect("writes");
        }
    }

    fn apply(&mut self, log: &Log, epoch: Epoch) -> Result<(), String> {
        let (_, stored) =
            log.stored.iter().find(|(stored, _)| *stored == epoch).expect("is stored");
        self.applier.apply(epoch, stored).map_err(|error| error.to_string())
    }
}

#[test]
fn rows_are_applied_with_their_epoch_in_one_transaction_each() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    log.epoch(&mut run, &[("a", 1), ("b", 1), ("a", 2)]);
    assert_eq!(target.rows(), "a1 b1 a2");
    log.epoch(&mut run, &[]);
    log.epoch(&mut run, &[("b", 2)]);
    assert_eq!(target.rows(), "a1 b1 a2 b2");
    target.with(|tables| {
        assert_eq!(tables.transactions, 2, "an epoch without rows is not applied");
        assert_eq!(tables.applied["log"], Epoch(2));
    });
}

#[test]
fn a_plain_stream_of_pairs_is_stored_as_a_keyed_one() {
    let mut keyed = StoredRows::default();
    Encoder::<Pairs>::encode(&mut StoredRowsEncoder, &"a".to_owned(), 300, &mut keyed)
        .expect("encodes");
    let mut plain = StoredRows::default();
    let pair = ("a".to_owned(), 300_u64);
    Encoder::<Stream<_>>::encode(&mut StoredRowsEncoder, &NoKey, pair, &mut plain)
        .expect("encodes");
    assert_eq!(keyed, plain);
    let sink = outbox(Target::default());
    let _takes_it: StoredRowsEncoder = Sink::<Stream<(String, u64)>>::encoder(&sink);
}

#[test]
fn rows_of_an_epoch_that_was_not_committed_are_never_seen() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    log.epoch(&mut run, &[("a", 1)]);
    let before = log.clone();
    log.commit(&mut run, &[("lost", 1)]);
    // The commit did not happen.
    let mut log = before;
    let mut run = log.run(&target);
    log.epoch(&mut run, &[("again", 1)]);
    assert_eq!(target.rows(), "a1 again1");
}

#[test]
fn what_was_committed_and_not_applied_is_applied_at_the_next_start() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    log.epoch(&mut run, &[("a", 1)]);
    log.commit(&mut run, &[("b", 1), ("c", 1)]);
    log.commit(&mut run, &[("d", 1)]);
    drop(run);
    assert_eq!(target.rows(), "a1");
    let mut run = log.run(&target);
    assert_eq!(target.rows(), "a1 b1 c1 d1");
    log.epoch(&mut run, &[("e", 1)]);
    assert_eq!(target.rows(), "a1 b1 c1 d1 e1");
}

#[test]
fn what_was_applied_before_the_log_learned_of_it_is_not_applied_again() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    let first = log.commit(&mut run, &[("a", 1)]);
    log.commit(&mut run, &[("b", 1)]);
    run.apply(&log, first).expect("applies");
    drop(run);
    // The first is applied and the second is not; the log knows of neither, at two starts.
    for _ in 0..2 {
        log.start(&target).expect("starts");
        assert_eq!(target.rows(), "a1 b1");
    }
    target.with(|tables| assert_eq!(tables.transactions, 2));
}

#[test]
fn a_crash_in_the_middle_of_recovery_is_recovered_from() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    for word in ["a", "b", "c"] {
        log.commit(&mut run, &[(word, 1)]);
    }
    drop(run);
    target.with(|tables| tables.refuses = Some(Epoch(1)));
    assert_eq!(log.start(&target).err().as_deref(), Some("the target refuses"));
    assert_eq!(target.rows(), "a1");
    target.with(|tables| tables.refuses = None);
    log.run(&target);
    assert_eq!(target.rows(), "a1 b1 c1");
}

#[test]
fn an_answer_that_is_lost_does_not_matter() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    target.with(|tables| tables.loses_answer = Some(Epoch(0)));
    let epoch = log.commit(&mut run, &[("a", 1)]);
    assert_eq!(run.apply(&log, epoch).unwrap_err(), "the connection is gone");
    drop(run);
    let mut run = log.run(&target);
    log.epoch(&mut run, &[("b", 1)]);
    assert_eq!(target.rows(), "a1 b1");
}

#[test]
fn nothing_is_applied_behind_an_epoch_that_was_not() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    target.with(|tables| tables.refuses = Some(Epoch(0)));
    let first = log.commit(&mut run, &[("a", 1)]);
    let second = log.commit(&mut run, &[("b", 1)]);
    assert_eq!(run.apply(&log, first).unwrap_err(), "the target refuses");
    // It would make the target say that both are applied.
    assert_eq!(run.apply(&log, second).unwrap_err(), "an earlier epoch could not be applied");
    drop(run);
    target.with(|tables| tables.refuses = None);
    log.run(&target);
    assert_eq!(target.rows(), "a1 b1");
}

#[test]
fn an_epoch_that_comes_twice_is_refused_aloud() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    log.epoch(&mut run, &[("a", 1)]);
    let old = log.clone();
    log.epoch(&mut run, &[("b", 1)]);
    drop(run);
    // Somebody has put an older copy of the log in place.
    let log = old;
    let error = log.start(&target).err().expect("the target is ahead");
    assert!(
        error.starts_with("the run begins at epoch 1, and its target has epoch 1 already\n  help: the recovery log has gone back"),
        "{error}"
    );
    assert_eq!(target.rows(), "a1 b1");
}

#[test]
fn a_new_log_begins_anew_with_an_old_target() {
    let target = Target::default();
    for id in ["old", "new"] {
        let mut log = Log::new(id);
        let mut run = log.run(&target);
        log.epoch(&mut run, &[(id, 1)]);
    }
    assert_eq!(target.rows(), "old1 new1", "epoch 0 of the new log is not that of the old one");
}

#[test]
fn a_target_that_was_replaced_is_noticed() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    log.epoch(&mut run, &[("a", 1)]);
    let says = "knows nothing of this recovery log";
    // While it is running, ..
    let another = Target::default();
    let mut later = log.clone();
    let mut run = later.run(&another);
    let epoch = later.commit(&mut run, &[("b", 1)]);
    assert!(run.apply(&later, epoch).unwrap_err().contains(says));
    // .. and at a start.
    assert!(later.start(&another).err().expect("is refused").contains(says));
    assert_eq!(another.rows(), "");
}

#[test]
fn rows_of_another_type_are_refused() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    log.commit(&mut run, &[("a", 1)]);
    let longer = |stored: &mut Vec<u8>| stored.push(0);
    let shorter = |stored: &mut Vec<u8>| stored.truncate(stored.len() - 1);
    for change in [longer, shorter] {
        let mut log = log.clone();
        change(&mut log.stored[0].1);
        let error = log.start(&target).err().expect("is refused");
        assert!(
            error.starts_with("the rows that are stored for epoch 0 cannot be read as `(alloc::string::String, u64)`: "),
            "{error}"
        );
    }
    log.stored[0].1 = vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert!(log.start(&target).is_err(), "a count that cannot be takes no memory");
    assert_eq!(target.rows(), "");
}

#[test]
fn stored_epochs_out_of_order_are_refused() {
    let (target, mut log) = (Target::default(), Log::new("log"));
    let mut run = log.run(&target);
    log.commit(&mut run, &[("a", 1)]);
    log.commit(&mut run, &[("b", 1)]);
    log.stored.swap(0, 1);
    assert!(log.start(&target).is_err());
}

#[test]
fn rows_that_nobody_stores_end_the_run() {
    let sink = outbox(Target::default());
    let partition = PartitionId::new("rows");
    let writer = Sink::<Pairs>::open(&sink, &Io::real(), &partition, Resume::Fresh);
    let mut writer = writer.expect("there is nothing to be opened");
    writer.write(StoredRows { count: 1, bytes: vec![0, 0] }).expect("writes");
    writer.seal(Barrier(0)).expect("seals");
    let error = writer.seal(Barrier(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().starts_with("an outbox needs a recovery log"), "{error}");
    let kind = <<OutboxSink<Target> as Sink<Pairs>>::Delivery as DeliveryKind>::KIND;
    assert_eq!(kind, Delivery::Outbox);
}

#[test]
fn a_run_without_a_log_says_so() {
    use crate::io::from_iter;
    use crate::prelude::*;

    #[dataflow]
    fn flow(rows: Vec<(String, u64)>, out: OutboxSink<Target>) {
        let all = source(from_iter(rows));
        sink(all, out);
    }

    let target = Target::default();
    let answer = flow(vec![("a".to_owned(), 1)], outbox(target.clone())).spawn();
    let error = answer.and_then(|running| running.wait()).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "step `all.sink`: the sink writes with the commits of a recovery log, and there is none"
        ),
        "{error}"
    );
    assert_eq!(target.rows(), "");
}
