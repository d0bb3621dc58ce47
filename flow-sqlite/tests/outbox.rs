//! Rows into a real database, as the engine brings them there.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, abort};
use std::time::Duration;

use flow_runtime::io::{Apply, Encoder, Io, Outbox, OutboxConnection, PartitionId, Resume};
use flow_runtime::io::{OutboxSink, RunBegin, Sink, SinkWriter, outbox};
use flow_runtime::time::{Barrier, Epoch};
use flow_runtime::{Error, Item, Keyed};
use flow_sqlite::rusqlite::{self, Connection};
use flow_sqlite::{Sqlite, SqliteConnection, SqliteOutbox};
use tempfile::TempDir;

type Row = (String, u64);

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS counts (word TEXT, n INTEGER)";
const INSERT: &str = "INSERT INTO counts (word, n) VALUES (?1, ?2)";

fn counts(path: &Path) -> SqliteOutbox<Row> {
    Sqlite::at(path).schema(SCHEMA).insert(INSERT)
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.db");
    (folder, path)
}

fn connect<R: Item>(out: &SqliteOutbox<R>, owner: &str) -> Result<SqliteConnection<R>, Error> {
    out.connect(&PartitionId::new("sqlite"), owner)
}

fn row(word: &str, n: u64) -> Row {
    (word.to_owned(), n)
}

/// `word n` of all rows, as another process reads them.
fn rows(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut select =
        connection.prepare("SELECT word || ' ' || n FROM counts ORDER BY rowid").unwrap();
    let rows = select.query_map((), |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn refused<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => panic!("must be refused"),
        Err(error) => error.to_string(),
    }
}

/// What the recovery log stores of an epoch with these rows; the first of its log or not.
fn stored(out: &SqliteOutbox<Row>, epochs: &[&[(&str, u64)]]) -> Vec<Vec<u8>> {
    type Pairs = Keyed<String, u64>;
    type Out = OutboxSink<SqliteOutbox<Row>>;
    let sink = outbox(out.clone());
    let (io, partition) = (Io::real(), PartitionId::new("sqlite"));
    assert_eq!(<Out as Sink<Pairs>>::partitions(&sink, &io).unwrap()[0], partition);
    let _applier = <Out as Sink<Pairs>>::applier(&sink, &io, &partition, "storing").unwrap();
    let mut writer = <Out as Sink<Pairs>>::open(&sink, &io, &partition, Resume::Fresh).unwrap();
    let mut encoder = <Out as Sink<Pairs>>::encoder(&sink);
    let mut all = Vec::new();
    for (n, rows) in epochs.iter().enumerate() {
        let mut block = <Out as Sink<Pairs>>::Block::default();
        for (word, n) in *rows {
            Encoder::<Pairs>::encode(&mut encoder, &(*word).to_owned(), *n, &mut block).unwrap();
        }
        writer.write(block).unwrap();
        writer.seal(Barrier(n as u64)).unwrap();
        all.extend(writer.stored().unwrap());
    }
    all
}

fn applier(out: &SqliteOutbox<Row>, owner: &str) -> Box<dyn Apply> {
    let sink = outbox(out.clone());
    let partition = PartitionId::new("sqlite");
    Sink::<Keyed<String, u64>>::applier(&sink, &Io::real(), &partition, owner).unwrap().unwrap()
}

#[test]
fn rows_and_epoch_are_one_transaction() {
    let (_folder, path) = folder();
    let out = counts(&path);
    let mut connection = connect(&out, "log/counts").unwrap();
    assert_eq!(connection.last_applied().unwrap(), None);
    connection.apply(Epoch(3), vec![row("a", 1), row("b", 1)]).unwrap();
    assert_eq!(connection.last_applied().unwrap(), Some(Epoch(3)));
    assert_eq!(rows(&path), ["a 1", "b 1"]);

    // One that fails at its second row leaves nothing, and does not stand in the way of the next.
    let fails = Sqlite::at(&path).write(|transaction, (word, n): &Row| {
        transaction.execute(INSERT, (word, n))?;
        if word == "bad" { Err(rusqlite::Error::InvalidQuery) } else { Ok(()) }
    });
    let mut connection = connect(&fails, "log/counts").unwrap();
    let error = refused(connection.apply(Epoch(4), vec![row("c", 1), row("bad", 1), row("d", 1)]));
    assert!(error.starts_with("cannot apply epoch 4 to `"), "{error}");
    assert!(error.contains("(row 2 of 3): "), "{error}");
    assert_eq!(rows(&path), ["a 1", "b 1"]);
    assert_eq!(connection.last_applied().unwrap(), Some(Epoch(3)));
    connection.apply(Epoch(4), vec![row("c", 1)]).unwrap();
    drop(connection);
    assert_eq!(connect(&out, "log/counts").unwrap().last_applied().unwrap(), Some(Epoch(4)));
}

const KILLED: &str = "FLOW_SQLITE_TEST_KILLED";

#[test]
fn a_process_that_dies_in_the_middle_leaves_nothing_of_the_epoch() {
    let dies = |path: &Path| {
        Sqlite::at(path).schema(SCHEMA).write(|transaction, (word, n): &Row| {
            transaction.execute(INSERT, (word, n))?;
            if word == "dies" {
                abort();
            }
            Ok(())
        })
    };
    if let Some(path) = std::env::var_os(KILLED) {
        let mut connection = connect(&dies(Path::new(&path)), "log").unwrap();
        connection.apply(Epoch(0), vec![row("a", 1)]).unwrap();
        let _ = connection.apply(Epoch(1), vec![row("b", 1), row("dies", 1)]);
        unreachable!("it has died");
    }
    let (_folder, path) = folder();
    let name = "a_process_that_dies_in_the_middle_leaves_nothing_of_the_epoch";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(KILLED, &path)
        .output()
        .unwrap();
    assert!(!child.status.success());
    let mut connection = connect(&counts(&path), "log").unwrap();
    assert_eq!(connection.last_applied().unwrap(), Some(Epoch(0)));
    assert_eq!(rows(&path), ["a 1"]);
}

#[test]
fn a_start_applies_what_the_database_does_not_have() {
    let (_folder, path) = folder();
    let out = counts(&path);
    let stored = stored(&out, &[&[("a", 1)], &[("b", 1), ("a", 2)], &[], &[("c", 1)]]);
    let [first, second, last] = &stored[..] else { panic!("an epoch without rows stores nothing") };
    let mut running = applier(&out, "log");
    running.recover(&[], RunBegin::at(Epoch(4))).unwrap();
    running.apply(Epoch(0), first).unwrap();
    running.apply(Epoch(1), second).unwrap();
    drop(running);
    // The log knows of none of them; the third was committed and not applied. Twice, as after a crash in the start.
    let committed: Vec<_> =
        [(0, first), (1, second), (3, last)].map(|(n, stored)| (Epoch(n), stored.clone())).into();
    for _ in 0..2 {
        applier(&out, "log").recover(&committed, RunBegin::at(Epoch(4))).unwrap();
        assert_eq!(rows(&path), ["a 1", "b 1", "a 2", "c 1"]);
    }
    let error = refused(applier(&out, "log").apply(Epoch(3), last));
    assert!(
        error.starts_with("epoch 3 is to be applied, but the target has applied epoch 3 already")
    );
    // Somebody deletes the database while the log lives on.
    for file in ["out.db", "out.db-wal", "out.db-shm"] {
        let _ = std::fs::remove_file(path.with_file_name(file));
    }
    let mut running = applier(&out, "log");
    running.recover(&[], RunBegin::at(Epoch(4))).unwrap();
    assert!(
        refused(running.apply(Epoch(4), last)).contains("the target has lost what was applied")
    );
}

#[test]
fn two_owners_share_a_database() {
    let (_folder, path) = folder();
    let out = counts(&path);
    let mut one = connect(&out, "log 1/counts").unwrap();
    let mut two = connect(&out, "log 2/counts").unwrap();
    one.apply(Epoch(5), vec![row("one", 5)]).unwrap();
    two.apply(Epoch(0), vec![row("two", 0)]).unwrap();
    one.apply(Epoch(6), vec![row("one", 6)]).unwrap();
    assert_eq!(one.last_applied().unwrap(), Some(Epoch(6)));
    assert_eq!(two.last_applied().unwrap(), Some(Epoch(0)));
    assert_eq!(rows(&path), ["one 5", "two 0", "one 6"]);
    // The same owner twice, as after a copy of the log: the database itself sees to it.
    let mut again = connect(&out, "log 1/counts").unwrap();
    let error = refused(again.apply(Epoch(6), vec![row("one", 6)]));
    assert!(error.contains("cannot apply epoch 6 to `"), "{error}");
    assert!(error.contains("epoch 6 has been applied\n  help: does another process"), "{error}");
}

#[test]
fn a_new_database_is_in_wal_mode_and_another_one_stays_as_it_is() {
    let (folder, path) = folder();
    let mode = |path: &Path| -> String {
        let connection = Connection::open(path).unwrap();
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap()
    };
    connect(&counts(&path), "log").unwrap();
    assert_eq!(mode(&path), "wal");
    let old = folder.path().join("old.db");
    Connection::open(&old).unwrap().execute_batch(SCHEMA).unwrap();
    let out = Sqlite::at(&old).insert::<Row>(INSERT);
    let mut connection = connect(&out, "log").unwrap();
    connection.apply(Epoch(0), vec![row("a", 1)]).unwrap();
    assert_eq!(mode(&old), "delete");
    assert_eq!(rows(&old), ["a 1"]);
}

#[test]
fn a_database_that_cannot_be_opened() {
    let (folder, path) = folder();
    let missing = folder.path().join("no/such/out.db");
    let error = refused(connect(&counts(&missing), "log"));
    let above = missing.parent().unwrap().display();
    assert_eq!(
        error,
        format!(
            "cannot open `{}`: there is no folder `{above}`\n  help: make it: `mkdir -p {above}`",
            missing.display()
        )
    );
    let error = refused(connect(&counts(folder.path()), "log"));
    assert_eq!(
        error,
        format!(
            "cannot open `{}`: it is a folder\n  help: give the path of a file in it",
            folder.path().display()
        )
    );
    std::fs::write(
        &path,
        "word,n\nit is CSV, and long enough to be taken for a header of a database file\n"
            .repeat(9),
    )
    .unwrap();
    let error = refused(connect(&counts(&path), "log"));
    assert_eq!(
        error,
        format!(
            "cannot open `{}`: it is not an SQLite database\n  help: give the path of a database, or of a file that is not there yet",
            path.display()
        )
    );
    let error = refused(connect(&counts(Path::new(":memory:")), "log"));
    assert!(
        error.starts_with("`:memory:` is a database that is gone with the run\n  help: "),
        "{error}"
    );
}

#[test]
fn a_database_that_another_process_holds() {
    let (_folder, path) = folder();
    let patient = Sqlite::at(&path).busy_timeout(Duration::MAX).schema(SCHEMA);
    connect(&patient.insert::<Row>(INSERT), "log").unwrap();
    let out = Sqlite::at(&path).busy_timeout(Duration::from_millis(10)).schema(SCHEMA);
    let out = out.insert::<Row>(INSERT);
    let mut connection = connect(&out, "log").unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = refused(connection.apply(Epoch(8), vec![row("a", 1)]));
    assert!(
        error.starts_with(&format!(
            "cannot apply epoch 8 to `{}`: another process has it locked\n  help: end its transaction",
            path.display()
        )),
        "{error}"
    );
    assert!(refused(connect(&out, "log")).contains("another process has it locked"));
    other.execute_batch("COMMIT").unwrap();
    connection.apply(Epoch(8), vec![row("a", 1)]).unwrap();
}

#[test]
fn a_full_disk() {
    let (_folder, path) = folder();
    let out = Sqlite::at(&path).schema(SCHEMA).write(|transaction, (word, n): &Row| {
        transaction.pragma_update(None, "max_page_count", 5)?;
        transaction.execute(INSERT, (word, n)).map(drop)
    });
    let mut connection = connect(&out, "log").unwrap();
    let error = refused(connection.apply(Epoch(2), vec![row(&"long ".repeat(20_000), 1)]));
    assert!(
        error.contains("(row 1 of 1): the disk is full\n  help: make room on the disk"),
        "{error}"
    );
    connection.apply(Epoch(2), vec![row("short", 1)]).unwrap();
    assert_eq!(rows(&path), ["short 1"]);
}

#[test]
fn a_table_that_is_not_there_or_does_not_take_the_rows() {
    let (_folder, path) = folder();
    let error = refused(connect(&Sqlite::at(&path).insert::<Row>(INSERT), "log"));
    assert!(
        error.starts_with(&format!("cannot prepare `{}`: no such table: counts", path.display())),
        "{error}"
    );
    assert!(
        error.ends_with(
            "help: make the table beforehand, or give `.schema(\"CREATE TABLE IF NOT EXISTS ..\")`"
        ),
        "{error}"
    );
    let error =
        refused(connect(&Sqlite::at(&path).schema("CREATE TABEL x").insert::<Row>(INSERT), "log"));
    assert!(error.contains("syntax error"), "{error}");

    let out = Sqlite::at(&path)
        .schema("CREATE TABLE counts (word TEXT PRIMARY KEY, n INTEGER)")
        .insert::<Row>(INSERT);
    let mut connection = connect(&out, "log").unwrap();
    let error = refused(connection.apply(Epoch(12), vec![row("a", 1), row("a", 2)]));
    assert!(
        error.starts_with(&format!(
            "cannot apply epoch 12 to `{}` (row 2 of 2): UNIQUE constraint failed: counts.word\n  help: nothing of the epoch is written",
            path.display()
        )),
        "{error}"
    );
    let error = refused(connection.apply(Epoch(12), vec![row("a", u64::MAX)]));
    assert!(error.contains("help: a value has no counterpart in SQLite"), "{error}");
    let error = refused(connection.apply(Epoch(u64::MAX), vec![row("a", 1)]));
    assert!(error.starts_with("epoch 18446744073709551615 cannot be written down in `"), "{error}");
    assert!(rows(&path).is_empty());
    assert_eq!(connection.last_applied().unwrap(), None);

    let out = Sqlite::at(&path).insert::<(String,)>(INSERT);
    let error = refused(connect(&out, "log").unwrap().apply(Epoch(0), vec![("a".to_owned(),)]));
    assert!(
        error.contains("help: a row has as many fields as the statement has parameters"),
        "{error}"
    );
}

#[test]
fn a_function_that_ends_the_transaction_is_found_out() {
    let (_folder, path) = folder();
    let out = Sqlite::at(&path).schema(SCHEMA).write(|transaction, (word, n): &Row| {
        transaction.execute(INSERT, (word, n))?;
        transaction.execute_batch("COMMIT")
    });
    let error = refused(connect(&out, "log").unwrap().apply(Epoch(1), vec![row("a", 1)]));
    assert!(error.contains("has ended the transaction\n  help: leave COMMIT"), "{error}");
}

#[test]
fn several_sinks_may_make_a_database_at_the_same_time() {
    for _ in 0..5 {
        let (_folder, path) = folder();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let out = counts(&path);
                scope.spawn(move || {
                    let mut connection = connect(&out, &format!("log/step {n}")).unwrap();
                    connection.apply(Epoch(0), vec![row("a", n)]).unwrap();
                });
            }
        });
        assert_eq!(rows(&path).len(), 8);
    }
}
