//! A real process, a real database, and kill -9 at any moment.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use flow_sqlite::rusqlite::{Connection, OpenFlags};

/// splitmix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// What the table must hold in the end: how often each word comes.
type Counts = BTreeMap<String, u64>;

/// Writes files of words, some of which come often.
fn generate(folder: &Path, rng: &mut Rng) -> Counts {
    fs::create_dir(folder).unwrap();
    let mut counts = Counts::new();
    for file in 0..5 {
        let mut text = String::new();
        for _ in 0..400 {
            for _ in 0..rng.below(9) {
                let bound = 1 + rng.below(300);
                let word = format!("w{}", rng.below(bound));
                write!(text, "{word} ").unwrap();
                *counts.entry(word).or_insert(0) += 1;
            }
            text.push('\n');
        }
        fs::write(folder.join(format!("{file}.txt")), text).unwrap();
    }
    counts
}

/// A run of the example, which does not outlive its test.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the runs of one history share.
struct History {
    input: PathBuf,
    log: PathBuf,
    db: PathBuf,
}

impl History {
    fn start(&self, rate: Option<u64>, rng: &mut Rng) -> Run {
        // Cargo builds examples beside the tests of their package.
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        program.push(format!("examples/sqlite_counts{}", std::env::consts::EXE_SUFFIX));
        assert!(
            program.exists(),
            "{} is missing: run `cargo test -p flow-sqlite` without a filter on targets",
            program.display()
        );
        let mut command = Command::new(program);
        command.arg(&self.input).arg("--db").arg(&self.db).arg("--recovery").arg(&self.log);
        command.arg("--epoch").arg(["5ms", "20items", "200items"][rng.below(3) as usize]);
        command.arg("--workers").arg((1 + rng.below(5)).to_string());
        if let Some(rate) = rate {
            command.arg("--rate").arg(rate.to_string());
        }
        let errors = fs::File::create(self.log.with_extension("stderr")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        Run(command.spawn().unwrap())
    }

    fn must_be_good(&self, status: ExitStatus) {
        let said = fs::read_to_string(self.log.with_extension("stderr")).unwrap();
        assert!(status.success(), "{status}:\n{said}");
    }

    /// Locks the database, if there is one yet.
    fn hold(&self) -> Option<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = Connection::open_with_flags(&self.db, flags).ok()?;
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        // Killed while it made the database: then there is nothing to be held.
        connection.execute_batch("BEGIN IMMEDIATE").ok()?;
        Some(connection)
    }

    /// How many rows each word has. They must be 1, 2, .. n, in this order.
    fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let Ok(connection) = Connection::open_with_flags(&self.db, flags) else { return counts };
        let select = connection.prepare("SELECT word, n FROM counts ORDER BY rowid");
        let Ok(mut select) = select else { return counts }; // The table is not there yet.
        let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        for row in rows {
            let (word, n): (String, u64) = row.unwrap();
            let last = counts.entry(word.clone()).or_insert(0);
            assert_eq!(n, *last + 1, "{word} {n} comes behind {word} {last}");
            *last = n;
        }
        counts
    }
}

#[test]
fn every_row_is_there_once_however_often_the_process_is_killed() {
    const HISTORIES: u64 = 10;
    const KILLS: usize = 12;
    let folder = tempfile::tempdir().unwrap();
    let mut rng = Rng(20_240_229);
    let mut kills = 0;
    for history in 0..HISTORIES {
        let path = |name: &str| folder.path().join(format!("{name}-{history}"));
        let history = History { input: path("in"), log: path("log"), db: path("counts.db") };
        let expected = generate(&history.input, &mut rng);
        // Rows that were in the table at the kills.
        let mut seen = Vec::new();
        for _ in 0..KILLS {
            let mut run = history.start(Some(1000), &mut rng);
            // Some while it starts and recovers, most while it works.
            let longest = if rng.below(3) == 0 { 30 } else { 200 };
            thread::sleep(Duration::from_millis(rng.below(longest)));
            // Somebody else has the database: the kill finds an epoch that is committed in the log and not applied.
            let held = (rng.below(2) == 0).then(|| history.hold()).flatten();
            if held.is_some() {
                thread::sleep(Duration::from_millis(rng.below(50)));
            }
            if let Some(status) = run.0.try_wait().unwrap() {
                history.must_be_good(status);
                break; // At the end of its input.
            }
            drop(run);
            drop(held);
            kills += 1;
            // Whoever opens the database first after a crash repairs it: now we, now the next run.
            if rng.below(2) == 0 {
                seen.push(history.counts().values().sum::<u64>());
            }
        }
        let status = history.start(None, &mut rng).0.wait().unwrap();
        history.must_be_good(status);
        assert_eq!(history.counts(), expected);
        let all: u64 = expected.values().sum();
        let in_between = seen.iter().filter(|rows| (1..all).contains(rows)).count();
        assert!(in_between > 0, "no kill has hit the middle: {seen:?} of {all} rows");
    }
    assert!(kills >= 100, "only {kills} kills: the runs were over too soon");

    // And what a run that nobody disturbs makes of it.
    let path = |name: &str| folder.path().join(name);
    let calm = History { input: path("in-0"), log: path("log"), db: path("counts.db") };
    let status = calm.start(None, &mut rng).0.wait().unwrap();
    calm.must_be_good(status);
    let disturbed = History { input: path("in-0"), log: path("log-0"), db: path("counts.db-0") };
    assert_eq!(calm.counts(), disturbed.counts());
}
