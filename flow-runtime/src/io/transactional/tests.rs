use std::collections::BTreeMap;

use super::*;
use crate::io::{ChannelEncoder, RunBegin};
use crate::stream::{NoKey, Stream};

/// A target in memory. What is prepared survives, what is begun does not.
#[derive(Clone, Default)]
struct Target(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    open: Option<(String, Vec<u32>)>,
    prepared: BTreeMap<String, Vec<u32>>,
    seen: Vec<u32>,
    /// Every commit and abort, in order.
    calls: Vec<String>,
    /// Refuses to commit this.
    refuses: Option<String>,
}

impl Target {
    fn with<T>(&self, act: impl FnOnce(&mut Tables) -> T) -> T {
        act(&mut self.0.lock().expect("no test panics while it holds the lock"))
    }
    fn seen(&self) -> Vec<u32> {
        self.with(|tables| tables.seen.clone())
    }
    fn calls(&self) -> String {
        self.with(|tables| mem::take(&mut tables.calls).join(" "))
    }
    fn crash(&self) {
        self.with(|tables| tables.open = None);
    }
}

impl Transactional<Stream<u32>> for Target {
    type Block = Vec<u32>;
    type Encoder = ChannelEncoder;
    type Writer = (Target, String);
    type Committer = (Target, String);
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("0")])
    }
    fn encoder(&self) -> ChannelEncoder {
        ChannelEncoder
    }
    fn writer(
        &self,
        _: &Io,
        _: &PartitionId,
        owner: &str,
        _: bool,
    ) -> Result<(Target, String), Error> {
        Ok((self.clone(), owner.to_owned()))
    }
    fn committer(&self, _: &Io, _: &PartitionId, owner: &str) -> Result<(Target, String), Error> {
        Ok((self.clone(), owner.to_owned()))
    }
}

impl TransactionWriter for (Target, String) {
    type Block = Vec<u32>;
    fn begin(&mut self, number: u64) -> Result<(), Error> {
        self.0.with(|tables| {
            let before = tables.open.replace((format!("{}-{number}", self.1), Vec::new()));
            assert!(before.is_none(), "one at a time");
        });
        Ok(())
    }
    fn write(&mut self, block: Vec<u32>) -> Result<(), Error> {
        self.0.with(|tables| tables.open.as_mut().expect("is begun").1.extend(block));
        Ok(())
    }
    fn prepare(&mut self) -> Result<Prepared, Error> {
        let (name, items) = self.0.with(|tables| tables.open.take()).expect("is begun");
        let (target, key) = (self.0.clone(), name.clone());
        let durable = Box::new(move || {
            let before = target.with(|tables| tables.prepared.insert(key, items));
            assert!(before.is_none(), "no name is used twice");
            Ok(())
        });
        Ok(Prepared { name, durable })
    }
}

impl Committer for (Target, String) {
    fn commit(&mut self, epoch: Epoch, name: &str) -> Result<(), Error> {
        self.0.with(|tables| {
            if tables.refuses.as_deref() == Some(name) {
                return Err(Error::new(ErrorKind::Sink, "the target refuses"));
            }
            let items = tables.prepared.remove(name);
            let again = if items.is_none() { " again" } else { "" };
            tables.calls.push(format!("{epoch}: {name}{again};"));
            tables.seen.extend(items.into_iter().flatten());
            Ok(())
        })
    }
    fn unfinished(&mut self) -> Result<Vec<String>, Error> {
        let ours = |name: &&String| name.starts_with(&self.1);
        Ok(self.0.with(|tables| tables.prepared.keys().filter(ours).cloned().collect()))
    }
    fn abort(&mut self, name: &str) -> Result<(), Error> {
        self.0.with(|tables| {
            tables.prepared.remove(name);
            tables.calls.push(format!("abort {name};"));
        });
        Ok(())
    }
}

/// What a recovery log keeps of the sink.
#[derive(Clone, Default)]
struct Log {
    next: u64,
    position: Option<TransactionalPosition>,
    stored: Vec<(Epoch, Vec<u8>)>,
}

struct Run {
    writer: TransactionalWriter<(Target, String)>,
    applier: Box<dyn Apply>,
}

impl Log {
    fn start(&self, target: &Target) -> Result<Run, String> {
        let partition = PartitionId::new("0");
        let resume = match self.position {
            None => Resume::Fresh,
            Some(position) => Resume::At { epoch: Epoch(self.next), position },
        };
        // Two values, as in a run: they share nothing but the target.
        let io = Io::real().with_owner(Some("log".into()));
        let writer = transactional(target.clone()).open(&io, &partition, resume).expect("opens");
        let applier = transactional(target.clone())
            .applier(&Io::real(), &partition, "log")
            .map_err(|e| e.to_string())?;
        let mut applier = applier.expect("a transactional sink has one");
        applier
            .recover(&self.stored, RunBegin::at(Epoch(self.next)))
            .map_err(|error| error.to_string())?;
        Ok(Run { writer, applier })
    }

    fn run(&mut self, target: &Target) -> Run {
        let run = self.start(target).expect("starts");
        self.stored.clear();
        run
    }

    /// Ends an epoch, prepares it and commits it, and no more than that.
    fn commit(&mut self, run: &mut Run, items: &[u32]) -> Epoch {
        run.write(items);
        let epoch = Epoch(self.next);
        self.position = Some(run.writer.seal(Barrier(self.next)).expect("seals"));
        if let Some(stored) = run.writer.stored().expect("is there") {
            self.stored.push((epoch, stored));
        }
        if let Some(durable) = run.writer.durable().expect("is there") {
            durable().expect("prepares");
        }
        self.next += 1;
        epoch
    }

    fn epoch(&mut self, run: &mut Run, items: &[u32]) {
        self.commit(run, items);
        for (epoch, stored) in self.stored.drain(..) {
            run.applier.apply(epoch, &stored).expect("commits");
        }
    }
}

impl Run {
    fn write(&mut self, items: &[u32]) {
        for items in items.chunks(2) {
            let mut block = Vec::new();
            for item in items {
                Encoder::<Stream<u32>>::encode(&mut ChannelEncoder, &NoKey, *item, &mut block)
                    .expect("encodes");
            }
            self.writer.write(block).expect("writes");
        }
    }
}

#[test]
fn an_epoch_is_prepared_before_its_commit_and_committed_behind_it() {
    let (target, mut log) = (Target::default(), Log::default());
    let mut run = log.run(&target);
    let epoch = log.commit(&mut run, &[1, 2, 3]);
    target.with(|tables| assert_eq!(tables.prepared["log-0"], [1, 2, 3]));
    assert!(target.seen().is_empty());
    let (_, stored) = log.stored.remove(0);
    run.applier.apply(epoch, &stored).expect("commits");
    assert_eq!(target.seen(), [1, 2, 3]);
    log.epoch(&mut run, &[]);
    log.epoch(&mut run, &[4]);
    assert_eq!(target.seen(), [1, 2, 3, 4]);
    assert_eq!(target.calls(), "0: log-0; 2: log-1;", "an epoch without items has none");
}

#[test]
fn a_transaction_that_no_committed_epoch_names_is_aborted() {
    let (target, mut log) = (Target::default(), Log::default());
    target.with(|tables| {
        tables.prepared.insert("another's-0".to_owned(), vec![9]);
    });
    let mut run = log.run(&target);
    log.epoch(&mut run, &[1]);
    let before = log.clone();
    log.commit(&mut run, &[2]);
    log.commit(&mut run, &[3]);
    run.write(&[4]);
    drop(run);
    target.crash();
    // Neither commit happened.
    let mut log = before;
    let mut run = log.run(&target);
    assert_eq!(target.calls(), "0: log-0; abort log-1; abort log-2;");
    log.epoch(&mut run, &[5]);
    assert_eq!(target.seen(), [1, 5]);
    target.with(|tables| assert_eq!(tables.prepared.len(), 1, "another's is left alone"));
}

#[test]
fn what_was_committed_in_the_log_only_is_committed_at_the_next_start() {
    let (target, mut log) = (Target::default(), Log::default());
    let mut run = log.run(&target);
    log.commit(&mut run, &[1]);
    log.commit(&mut run, &[2]);
    let before = log.clone();
    log.commit(&mut run, &[3]);
    drop(run);
    let log = before;
    for (_, calls) in [
        ("first", "0: log-0; 1: log-1; abort log-2;"),
        // It crashed before the log learned of the commits.
        ("second", "0: log-0 again; 1: log-1 again;"),
    ] {
        log.start(&target).expect("starts");
        assert_eq!(target.seen(), [1, 2]);
        assert_eq!(target.calls(), calls);
    }
}

#[test]
fn a_commit_that_fails_is_repeated_and_none_overtakes_it() {
    let (target, mut log) = (Target::default(), Log::default());
    let mut run = log.run(&target);
    log.commit(&mut run, &[1]);
    log.commit(&mut run, &[2]);
    target.with(|tables| tables.refuses = Some("log-0".to_owned()));
    let told: Vec<_> = log
        .stored
        .iter()
        .map(|(epoch, stored)| run.applier.apply(*epoch, stored).unwrap_err().to_string())
        .collect();
    assert_eq!(
        told,
        ["the target refuses", "the transaction of an earlier epoch could not be committed"]
    );
    drop(run);
    assert!(log.start(&target).is_err());
    assert!(target.seen().is_empty(), "and nothing is aborted either");
    target.with(|tables| tables.refuses = None);
    log.run(&target);
    assert_eq!(target.seen(), [1, 2]);
}

#[test]
fn of_epochs_that_are_committed_together_only_the_last_answer_is_run() {
    let (target, mut log) = (Target::default(), Log::default());
    let mut run = log.run(&target);
    let mut last = None;
    for item in [1, 2, 3] {
        run.write(&[item]);
        run.writer.seal(Barrier(0)).expect("seals");
        run.writer.stored().expect("is there");
        last = run.writer.durable().expect("is there");
    }
    last.expect("is there")().expect("prepares");
    target.with(|tables| {
        let prepared: Vec<_> =
            tables.prepared.iter().map(|(name, items)| (&**name, &**items)).collect();
        assert_eq!(prepared, [("log-0", &[1][..]), ("log-1", &[2]), ("log-2", &[3])]);
    });
}

#[test]
fn without_a_log_nothing_can_be_opened() {
    let sink = transactional(Target::default());
    let answer = sink.open(&Io::real(), &PartitionId::new("0"), Resume::Fresh);
    let error = answer.expect_err("is refused");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().starts_with("a transactional sink needs a recovery log"), "{error}");
}
