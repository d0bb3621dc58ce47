//! Sinks that write with the commits of a recovery log, in whole runs: every row exactly once, whatever ends a run.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // Processes and clocks of the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, thread};

use flow_runtime::io::{
    ChannelEncoder, Committer, EpochFiles, Io, JsonRows, Lines, Outbox, OutboxConnection,
    PartitionId, Prepared, Sink, TransactionWriter, Transactional, TransactionalSink, outbox,
    transactional,
};
use flow_runtime::prelude::*;
use flow_runtime::time::Epoch;
use flow_runtime::{Error, ErrorKind, Virtual};
use flow_tests::rng::Rng;

/// A word, how often it had come, and the run that counted it.
type Row = (String, (u64, u32));

/// At this word a step panics.
const BOMB: &str = "bomb";

/// Counts words. `run` is written into every row, so that it is seen who computed it.
#[dataflow]
fn counted<S: Sink<Keyed<String, (u64, u32)>>>(words: Vec<&'static str>, run: u32, out: S) {
    let all = source(from_iter(words));
    let calm = map(all, |word: &'static str| {
        assert!(word != BOMB, "the bomb goes off");
        word.to_owned()
    });
    let by_word = key_by_ref(calm, |word| word.as_str());
    let counts = stateful_map(by_word, move |count: &mut u64, _word, _item| {
        *count += 1;
        (*count, run)
    });
    sink(counts, out);
}

const VOCABULARY: [&str; 9] = ["to", "be", "or", "not", "that", "is", "the", "question", "whether"];

fn words(count: usize, rng: &mut Rng) -> Vec<&'static str> {
    (0..count).map(|_| VOCABULARY[rng.below(VOCABULARY.len())]).collect()
}

/// Checks that the rows of each word are 1, 2, .. in order, each once. Answers how many rows there are.
fn check_counts<'a>(rows: impl IntoIterator<Item = (&'a str, u64)>) -> usize {
    let (mut last, mut all) = (BTreeMap::new(), 0);
    for (word, n) in rows {
        let before = last.insert(word.to_owned(), n).unwrap_or(0);
        assert_eq!(n, before + 1, "{word} {n} comes behind {word} {before}");
        all += 1;
    }
    all
}

/// A database in memory, which outlives runs.
#[derive(Clone, Default)]
struct Target {
    partitions: usize,
    tables: Arc<Mutex<Tables>>,
}

#[derive(Default)]
struct Tables {
    rows: Vec<Row>,
    applied: BTreeMap<String, Epoch>,
    transactions: u64,
    /// What happens at which transaction.
    fault: Option<(u64, Fault)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// Nothing is applied.
    Refuses,
    /// Everything is applied, and nobody learns of it.
    LosesAnswer,
    /// It panics before it has applied anything.
    Panics,
}

struct Connected {
    tables: Arc<Mutex<Tables>>,
    owner: String,
}

impl Target {
    fn new(partitions: usize) -> Self {
        Target { partitions, tables: Arc::default() }
    }
    fn with<T>(&self, act: impl FnOnce(&mut Tables) -> T) -> T {
        act(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// The transaction after so many others goes wrong.
    fn fails_after(&self, transactions: u64, fault: Fault) {
        self.with(|tables| tables.fault = Some((tables.transactions + transactions, fault)));
    }
    fn heals(&self) {
        self.with(|tables| tables.fault = None);
    }
    fn check(&self) -> usize {
        self.with(|tables| check_counts(tables.rows.iter().map(|(word, (n, _))| (&**word, *n))))
    }
    /// The numbers of rows that each run computed.
    fn by_run(&self) -> BTreeMap<u32, usize> {
        self.with(|tables| {
            let mut by_run = BTreeMap::new();
            for (_, (_, run)) in &tables.rows {
                *by_run.entry(*run).or_insert(0) += 1;
            }
            by_run
        })
    }
}

impl Outbox for Target {
    type Row = Row;
    type Connection = Connected;
    fn partitions(&self) -> Result<Vec<PartitionId>, Error> {
        Ok((0..self.partitions).map(|n| PartitionId::new(n.to_string())).collect())
    }
    fn connect(&self, partition: &PartitionId, owner: &str) -> Result<Connected, Error> {
        assert!(owner.ends_with(&format!("/{partition}")), "{owner} is not of {partition}");
        Ok(Connected { tables: Arc::clone(&self.tables), owner: owner.to_owned() })
    }
}

impl OutboxConnection for Connected {
    type Row = Row;
    fn last_applied(&mut self) -> Result<Option<Epoch>, Error> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.applied.get(&self.owner).copied())
    }
    fn apply(&mut self, epoch: Epoch, rows: Vec<Row>) -> Result<(), Error> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = tables.fault.filter(|(at, _)| *at == tables.transactions);
        if let Some((_, fault @ (Fault::Refuses | Fault::Panics))) = fault {
            assert!(fault != Fault::Panics, "the target panics");
            return Err(Error::new(ErrorKind::Sink, "the target refuses"));
        }
        tables.rows.extend(rows);
        assert!(tables.applied.insert(self.owner.clone(), epoch) < Some(epoch));
        tables.transactions += 1;
        match fault {
            Some(_) => Err(Error::new(ErrorKind::Sink, "the connection is gone")),
            None => Ok(()),
        }
    }
}

/// A recovery log, and what is made beside it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("the temporary folder is writable"))
    }
    fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

/// Runs on the virtual schedule, with epochs of about so many items. The run decides the seed, and so the id of a new log.
fn run<S: Sink<Keyed<String, (u64, u32)>>>(
    folder: &Folder,
    words: &[&'static str],
    run: u32,
    workers: usize,
    items: u64,
    out: S,
) -> Result<(), Error> {
    let flow = counted(words.to_vec(), run, out).recovery(folder.log()).workers(workers);
    flow.epochs(EpochPolicy::items(items)).simulate(Virtual::new(u64::from(run)))
}

#[test]
fn rows_of_a_committed_epoch_are_applied_by_the_next_start_as_they_were_stored() {
    for fault in [Fault::Refuses, Fault::LosesAnswer, Fault::Panics] {
        let (folder, target) = (Folder::new(), Target::new(1));
        let words = words(2000, &mut Rng::new(1));
        target.fails_after(2, fault);
        let failed = run(&folder, &words, 1, 2, 100, outbox(target.clone()));
        let error = failed.expect_err("the third epoch cannot be applied");
        assert_eq!(error.step(), Some("counts.sink"), "{error}");
        let said = match fault {
            Fault::Refuses => "the target refuses",
            Fault::LosesAnswer => "the connection is gone",
            Fault::Panics => "the target panics",
        };
        assert!(error.message().contains(said), "{error}");
        let before = target.check();
        assert!(before < 2000);

        // As long as the target fails nothing starts, and nothing is lost.
        if fault != Fault::LosesAnswer {
            target.fails_after(0, fault);
            let again = run(&folder, &words, 2, 3, 100, outbox(target.clone()));
            assert_eq!(again.expect_err("it still fails").step(), Some("counts.sink"));
            assert_eq!(target.check(), before);
        }
        target.heals();
        run(&folder, &words, 3, 1, 100, outbox(target.clone())).expect("runs to the end");
        assert_eq!(target.check(), 2000);
        let by_run = target.by_run();
        assert_eq!(by_run.keys().copied().collect::<Vec<_>>(), [1, 3], "{by_run:?}");
        if fault != Fault::LosesAnswer {
            assert!(by_run[&1] > before, "rows were computed once more: {by_run:?}");
        }
    }
}

#[test]
fn an_epoch_whose_rows_cannot_be_applied_is_committed_all_the_same_and_the_run_says_so() {
    for fault in [Fault::Refuses, Fault::Panics] {
        let (folder, target) = (Folder::new(), Target::new(1));
        let start = |run| {
            let words = words(300, &mut Rng::new(1));
            let flow = counted(words, run, outbox(target.clone())).recovery(folder.log());
            flow.workers(2).spawn()
        };
        target.fails_after(0, fault);
        let failed = start(1).expect("starts");
        while !failed.is_over() {
            thread::sleep(Duration::from_millis(1));
        }
        let said = failed.progress().resume_epoch;
        failed.wait().expect_err("nothing can be applied");
        target.heals();
        let next = start(2).expect("starts");
        while next.recovered().is_none() && !next.is_over() {
            thread::sleep(Duration::from_millis(1));
        }
        let resumed = next.recovered().expect("it has a log").epoch;
        next.wait().expect("runs to the end");
        assert_eq!((said, resumed), (Epoch(1), Epoch(1)), "{fault:?}");
        assert_eq!(target.check(), 300);
    }
}

#[test]
fn rows_of_an_epoch_that_was_not_committed_are_computed_again() {
    let (folder, target) = (Folder::new(), Target::new(2));
    let mut words = words(3000, &mut Rng::new(2));
    let word = std::mem::replace(&mut words[1500], BOMB);
    let error = run(&folder, &words, 1, 2, 50, outbox(target.clone())).expect_err("the bomb");
    assert!(error.message().contains("the bomb goes off"), "{error}");
    assert!(target.check() <= 1500);
    words[1500] = word;
    run(&folder, &words, 2, 4, 50, outbox(target.clone())).expect("runs to the end");
    assert_eq!(target.check(), 3000);
    assert!(target.by_run()[&2] >= 1500);
    // What has ended stays as it is.
    run(&folder, &words, 3, 3, 50, outbox(target.clone())).expect("there is nothing to do");
    assert_eq!(target.check(), 3000);
    // Another log has epochs of its own, and its rows are others.
    run(&Folder::new(), &words, 4, 3, 50, outbox(target.clone())).expect("runs to the end");
    assert_eq!(target.by_run()[&4], 3000);
}

/// The same dataflow under other names of its steps.
mod renamed {
    use super::*;

    #[dataflow]
    pub(super) fn counted<S: Sink<Keyed<String, (u64, u32)>>>(
        words: Vec<&'static str>,
        run: u32,
        out: S,
    ) {
        let all = source(from_iter(words));
        let owned = map(all, |word: &'static str| word.to_owned());
        let by_word = key_by_ref(owned, |word| word.as_str());
        let totals = stateful_map(by_word, move |count: &mut u64, _word, _item| {
            *count += 1;
            (*count, run)
        });
        sink(totals, out);
    }
}

#[test]
fn a_sink_that_is_renamed_stays_the_same_for_its_target() {
    let (folder, target) = (Folder::new(), Target::new(1));
    let words = words(1000, &mut Rng::new(4));
    target.fails_after(2, Fault::LosesAnswer);
    run(&folder, &words, 1, 2, 100, outbox(target.clone())).expect_err("it loses an answer");
    target.heals();
    let log = RecoveryLog::at(folder.log());
    let log = log.rename_state("counts", "totals").rename_state("counts.sink", "totals.sink");
    let flow = renamed::counted(words, 2, outbox(target.clone())).recovery(log).workers(3);
    flow.simulate(Virtual::new(2)).expect("runs to the end");
    assert_eq!(target.check(), 1000);
    target.with(|tables| {
        let owners: Vec<_> = tables.applied.keys().collect();
        let [owner] = owners[..] else { panic!("{owners:?}") };
        let parts: Vec<_> = owner.split('/').collect();
        let [log, step, partition] = parts[..] else { panic!("{owner}") };
        assert!(log.len() == 32 && log.bytes().all(|digit| digit.is_ascii_hexdigit()), "{owner}");
        assert!(step.parse::<u32>().is_ok() && partition == "0", "{owner}");
    });
}

/// Histories of runs, each ended by something else: most on the virtual schedule, so that they can be repeated, some on threads.
#[test]
fn every_row_is_applied_once_through_any_history() {
    for seed in 0..28 {
        let mut rng = Rng::new(seed);
        let (folder, target) = (Folder::new(), Target::new(1 + rng.below(3)));
        let words = words(1 + rng.below(600), &mut rng);
        let mut ended = false;
        for run in 0..10 {
            let mut given = words.clone();
            target.heals();
            let last = run == 9;
            match rng.below(5) {
                _ if last => {}
                0 => given[rng.below(words.len())] = BOMB,
                1 => target.fails_after(rng.below(4) as u64, Fault::Refuses),
                2 => target.fails_after(rng.below(4) as u64, Fault::LosesAnswer),
                3 => target.fails_after(rng.below(4) as u64, Fault::Panics),
                // The input ends here, for now.
                _ => {}
            }
            let flow = counted(given, run, outbox(target.clone())).recovery(folder.log());
            let flow = flow.workers(1 + rng.below(5));
            let flow = flow.epochs(EpochPolicy::items(1 + rng.below(100) as u64));
            let stops = !last && rng.once_in(3);
            let outcome = match seed % 4 {
                0 if stops => flow.spawn().and_then(|running| running.stop_blocking()).map(drop),
                0 => flow.spawn().and_then(|running| running.wait()).map(drop),
                _ => flow.simulate(Virtual::new(rng.word())),
            };
            let rows = target.check();
            ended |= outcome.is_ok() && (seed % 4 > 0 || !stops);
            assert!(!last || outcome.is_ok(), "seed {seed}: {outcome:?}");
            assert!(!ended || rows == words.len(), "seed {seed}, run {run}: {rows} rows");
        }
    }
}

/// A target with prepared transactions in memory. The second partition may refuse to prepare.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    prepared: BTreeMap<String, Vec<Row>>,
    seen: Vec<Row>,
    aborted: BTreeSet<String>,
    refuses: bool,
}

struct Entry {
    book: Ledger,
    partition: PartitionId,
    owner: String,
    open: Option<(String, Vec<Row>)>,
}

impl Ledger {
    fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Transactional<Keyed<String, (u64, u32)>> for Ledger {
    type Block = Vec<Row>;
    type Encoder = ChannelEncoder;
    type Writer = Entry;
    type Committer = Owned;
    fn partitions(&self, _: &Io) -> Result<Vec<PartitionId>, Error> {
        Ok(vec![PartitionId::new("a"), PartitionId::new("b")])
    }
    fn encoder(&self) -> ChannelEncoder {
        ChannelEncoder
    }
    fn writer(
        &self,
        _: &Io,
        partition: &PartitionId,
        owner: &str,
        _: bool,
    ) -> Result<Entry, Error> {
        let (book, partition) = (self.clone(), partition.clone());
        Ok(Entry { book, partition, owner: owner.to_owned(), open: None })
    }
    fn committer(&self, _: &Io, _: &PartitionId, owner: &str) -> Result<Self::Committer, Error> {
        Ok(Owned(self.clone(), owner.to_owned()))
    }
}

impl TransactionWriter for Entry {
    type Block = Vec<Row>;
    fn begin(&mut self, number: u64) -> Result<(), Error> {
        self.open = Some((format!("{}#{number}", self.owner), Vec::new()));
        Ok(())
    }
    fn write(&mut self, mut block: Vec<Row>) -> Result<(), Error> {
        self.open.as_mut().expect("is begun").1.append(&mut block);
        Ok(())
    }
    fn prepare(&mut self) -> Result<Prepared, Error> {
        let (name, rows) = self.open.take().expect("is begun");
        let (book, key) = (self.book.clone(), name.clone());
        let may_refuse = self.partition.as_str() == "b";
        let durable = Box::new(move || {
            book.with(|book| {
                if may_refuse && book.refuses {
                    return Err(Error::new(ErrorKind::Sink, "the ledger refuses"));
                }
                assert!(book.prepared.insert(key, rows).is_none(), "no name is used twice");
                Ok(())
            })
        });
        Ok(Prepared { name, durable })
    }
}

struct Owned(Ledger, String);

impl Committer for Owned {
    fn commit(&mut self, _: Epoch, name: &str) -> Result<(), Error> {
        let Owned(ledger, owner) = self;
        assert!(name.starts_with(&*owner), "{name} is not of {owner}");
        ledger.with(|book| {
            let rows = book.prepared.remove(name);
            book.seen.extend(rows.into_iter().flatten());
        });
        Ok(())
    }
    fn unfinished(&mut self) -> Result<Vec<String>, Error> {
        let Owned(ledger, owner) = self;
        let ours = |name: &&String| name.starts_with(&*owner);
        Ok(ledger.with(|book| book.prepared.keys().filter(ours).cloned().collect()))
    }
    fn abort(&mut self, name: &str) -> Result<(), Error> {
        self.0.with(|book| {
            book.prepared.remove(name);
            book.aborted.insert(name.to_owned());
        });
        Ok(())
    }
}

#[test]
fn what_is_prepared_and_not_committed_is_aborted_by_the_next_start() {
    let (folder, ledger) = (Folder::new(), Ledger::default());
    let words = words(1000, &mut Rng::new(3));
    let (begun, rest) = (&words[..500], &words[..]);
    run(&folder, begun, 1, 2, 100, transactional(ledger.clone())).expect("runs to its end");
    ledger.with(|book| {
        assert_eq!((book.seen.len(), book.prepared.len(), book.aborted.len()), (500, 0, 0));
        book.refuses = true;
    });
    // Partition a is prepared, partition b is not: so the epoch is not committed.
    let failed = run(&folder, rest, 2, 2, 100, transactional(ledger.clone()));
    let error = failed.expect_err("partition b refuses");
    assert_eq!(error.to_string(), "step `counts.sink`: the ledger refuses");
    // As many as were on their way to the disk together.
    let prepared = ledger.with(|book| {
        assert_eq!(book.seen.len(), 500);
        book.refuses = false;
        book.prepared.len()
    });
    assert!(prepared > 0);
    run(&folder, rest, 3, 3, 100, transactional(ledger.clone())).expect("runs to the end");
    ledger.with(|book| {
        assert_eq!(book.prepared.len(), 0);
        assert_eq!(book.aborted.len(), prepared);
        assert!(book.seen.iter().all(|(_, (_, run))| *run != 2), "what run 2 has computed is gone");
        let mut seen: Vec<_> = book.seen.iter().map(|(word, (n, _))| (&**word, *n)).collect();
        seen.sort_unstable();
        assert_eq!(check_counts(seen), 1000);
    });
}

/// The rows in a folder of epochs, in the order of the epochs, and the number of files that a reader does not see.
fn epoch_files(folder: &Path) -> (Vec<(String, u64)>, usize) {
    let Ok(there) = fs::read_dir(folder) else { return (Vec::new(), 0) };
    let names: BTreeSet<_> = there
        .map(|file| file.expect("is there").file_name().into_string().expect("a name"))
        .collect();
    let seen: Vec<_> = names.iter().filter(|name| !name.starts_with('.')).collect();
    let mut rows = Vec::new();
    for name in &seen {
        let text = fs::read_to_string(folder.join(name)).expect("is there");
        rows.extend(text.lines().map(|line| {
            // ["word",[n,run]]
            let (word, rest) = line.split_once("\",[").expect("a row");
            let n = rest.split(',').next().expect("a number");
            (word[2..].to_owned(), n.parse().expect("a number"))
        }));
    }
    (rows, names.len() - seen.len())
}

fn check_files(folder: &Path) -> (usize, usize) {
    let (rows, hidden) = epoch_files(folder);
    (check_counts(rows.iter().map(|(word, n)| (&**word, *n))), hidden)
}

#[test]
fn a_folder_of_epochs_shows_committed_ones_only_through_any_history() {
    for seed in 0..15 {
        let mut rng = Rng::new(seed);
        let folder = Folder::new();
        let out = folder.0.path().join("out");
        let words = words(1 + rng.below(600), &mut rng);
        for run in 0..8 {
            let mut given = words.clone();
            let fails = run < 7 && rng.below(3) > 0;
            if fails {
                given[rng.below(words.len())] = BOMB;
            }
            let flow = counted(given, run, EpochFiles::json_lines(&out)).recovery(folder.log());
            let flow = flow.workers(1 + rng.below(5));
            let flow = flow.epochs(EpochPolicy::items(1 + rng.below(100) as u64));
            let outcome = flow.simulate(Virtual::new(rng.word()));
            let (rows, hidden) = check_files(&out);
            if outcome.is_ok() {
                assert_eq!((rows, hidden), (words.len(), 0), "seed {seed}, run {run}");
            }
        }
    }
}

#[dataflow]
fn filed(text: Lines, run: u32, out: TransactionalSink<EpochFiles<JsonRows>>) {
    let lines = source(text);
    let words = flat_map(lines, |line: String| {
        line.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter()
    });
    let by_word = key_by_ref(words, |word| word.as_str());
    let counts = stateful_map(by_word, move |count: &mut u64, _word, _item| {
        *count += 1;
        (*count, run)
    });
    sink(counts, out);
}

/// What a process of this test is told, by the other.
const KILLED: &str = "FLOW_TESTS_KILLED";

/// A process that does not outlive its test.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_folder_of_epochs_is_whole_however_often_the_process_is_killed() {
    if let Some(told) = env::var_os(KILLED) {
        let told = told.into_string().expect("text");
        let mut told = told.split('|');
        let mut next = || told.next().expect("is told");
        let folder = PathBuf::from(next());
        let (workers, rate) = (next(), next());
        let flow =
            filed(Lines::of(folder.join("in")), 0, EpochFiles::json_lines(folder.join("out")));
        let flow = flow.recovery(folder.join("log")).workers(workers.parse().expect("a number"));
        let flow = flow.epochs(EpochPolicy::every(Duration::from_millis(4)));
        let flow = match rate {
            "" => flow,
            rate => flow.rate(rate.parse().expect("a number")),
        };
        flow.run().expect("runs to the end");
        return;
    }
    let (folder, mut rng) = (Folder::new(), Rng::new(11));
    let input = folder.0.path().join("in");
    fs::create_dir(&input).expect("a folder");
    let mut all = 0;
    for file in 0..3 {
        let lines: Vec<_> = (0..600).map(|_| words(1 + rng.below(8), &mut rng)).collect();
        all += lines.iter().map(Vec::len).sum::<usize>();
        let text: String = lines.iter().map(|line| line.join(" ") + "\n").collect();
        fs::write(input.join(format!("{file}.txt")), text).expect("writes");
    }
    let start = |rate: &str, rng: &mut Rng| {
        let name = "a_folder_of_epochs_is_whole_however_often_the_process_is_killed";
        let told = format!("{}|{}|{rate}", folder.0.path().display(), 1 + rng.below(5));
        let mut command = Command::new(env::current_exe().expect("this one"));
        command.args(["--exact", name, "--nocapture"]).env(KILLED, told);
        Victim(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts"))
    };
    let out = folder.0.path().join("out");
    let (mut killed, mut shown) = (0, BTreeSet::new());
    while killed < 12 {
        let mut victim = start("900", &mut rng);
        thread::sleep(Duration::from_millis(rng.below(200) as u64));
        if victim.0.try_wait().expect("is ours").is_some() {
            break;
        }
        drop(victim);
        killed += 1;
        shown.insert(check_files(&out).0);
    }
    assert!(killed >= 8 && shown.len() >= 4, "{killed} kills, and between them {shown:?} rows");
    let status = start("", &mut rng).0.wait().expect("is ours");
    assert!(status.success());
    assert_eq!(check_files(&out), (all, 0));
}
