//! SQLite as a sink: every row exactly once, also after a crash.
//!
//! The rows of an epoch are stored in the recovery log, and once the epoch is committed they are written to the database, in one
//! transaction with the epoch's number. After a crash the number says what is missing. So the database needs to know nothing of
//! dataflows, the statement nothing of repetitions, and a reader sees whole epochs only.
//!
//! ```no_run
//! use std::path::PathBuf;
//!
//! use flow_runtime::io::{Lines, OutboxSink, outbox};
//! use flow_runtime::prelude::*;
//! use flow_sqlite::{Sqlite, SqliteOutbox};
//!
//! #[flat_map]
//! fn split(line: String) -> impl Iterator<Item = String> {
//!     line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().into_iter()
//! }
//!
//! #[stateful]
//! #[derive(Default)]
//! struct Count {
//!     total: u64,
//! }
//!
//! #[stateful_map]
//! fn count(state: &mut Count, _word: &str, _item: String) -> u64 {
//!     state.total += 1;
//!     state.total
//! }
//!
//! #[dataflow]
//! fn word_count(text: PathBuf, out: OutboxSink<SqliteOutbox<(String, u64)>>) {
//!     let lines = source(Lines::of(text));
//!     let words = split(lines);
//!     let by_word = key_by_ref(words, |word| word.as_str());
//!     let counts = count(by_word); // Keyed<String, u64>, so a row is (String, u64)
//!     sink(counts, out);
//! }
//!
//! # fn main() -> Result<(), flow_runtime::Error> {
//! let counts = Sqlite::at("counts.db")
//!     .schema("CREATE TABLE IF NOT EXISTS counts (word TEXT PRIMARY KEY, n INTEGER NOT NULL)")
//!     .insert::<(String, u64)>(
//!         "INSERT INTO counts (word, n) VALUES (?1, ?2) ON CONFLICT (word) DO UPDATE SET n = excluded.n",
//!     );
//! word_count("text".into(), outbox(counts)).run()
//! # }
//! ```
//!
//! A run needs a recovery log for it, `--recovery DIR` or [`.recovery(dir)`](flow_runtime::Dataflow::recovery): there the rows wait for
//! their epoch's commit. Without one it does not start. The example `sqlite_counts` is the complete program; kill it and start it
//! again, with another number of workers if you like.
//!
//! # What is in the database
//!
//! Beside your tables there is one more:
//!
//! ```sql
//! CREATE TABLE flow_applied (owner TEXT NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL)
//! ```
//!
//! It holds the last applied epoch of each owner. An owner is called `<log>/<step>/sqlite`: the id of the recovery log, which is made
//! with the log and is in no other, and the number of the step in it. Any number of dataflows and sinks may write to one
//! database; each has its line. Leave the line of a log that is still in use alone: without it the rows of the last epochs would be
//! written twice, and the run is refused. Those of logs that are gone may be deleted.
//!
//! # How it is written
//!
//! * What is applied is durable: `synchronous=EXTRA`. An epoch costs one transaction, however many rows it has.
//! * A database that the sink makes is in WAL mode, so that readers and the sink do not wait for each other; one that is there stays
//!   as it is. WAL mode is not for network drives: there, make the database yourself.
//! * If another process holds the database, the sink waits for it, [5 seconds](Sqlite::busy_timeout) unless you say otherwise,
//!   and then ends the run. Nothing is lost by that: the rows are in the log, and the next start applies them before anything else.
//! * Foreign keys are enforced.
//! * SQLite's integers are signed: a `u64` above `i64::MAX`, as a row's field or as an epoch's number, is an error.
//!
//! SQLite itself comes with this crate and is compiled with it, which takes a C compiler.

mod failure;

pub use rusqlite;

use std::error::Error as _;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use flow_runtime::io::{Outbox, OutboxConnection, PartitionId};
use flow_runtime::time::Epoch;
use flow_runtime::{Error, ErrorKind, Item};
use rusqlite::{
    Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension, Params, Transaction,
    TransactionBehavior,
};

use failure::Place;

/// A database, on the way to becoming a [`SqliteOutbox`].
///
/// ```
/// use flow_runtime::io::outbox;
/// use flow_sqlite::Sqlite;
///
/// let sink = outbox(
///     Sqlite::at("alerts.db")
///         .schema("CREATE TABLE IF NOT EXISTS alerts (card TEXT, cents INTEGER)")
///         .insert::<(String, i64)>("INSERT INTO alerts VALUES (?1, ?2)"),
/// );
/// # let _ = sink;
/// ```
#[derive(Clone, Debug)]
#[must_use = "say how rows are written: `.insert(statement)` or `.write(function)`"]
pub struct Sqlite {
    path: PathBuf,
    schema: Vec<String>,
    busy_timeout: Duration,
}

impl Sqlite {
    /// The database in this file. It is made if need be; the folder that it is in must be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Sqlite { path: path.into(), schema: Vec::new(), busy_timeout: Duration::from_secs(5) }
    }

    /// Statements that are executed at each start, before anything else: `CREATE TABLE IF NOT EXISTS ..`. May be given several
    /// times.
    pub fn schema(mut self, statements: impl Into<String>) -> Self {
        self.schema.push(statements.into());
        self
    }

    /// How long to wait for another process that holds the database; 5 seconds unless it is set.
    pub fn busy_timeout(mut self, most: Duration) -> Self {
        // As long as SQLite can count in milliseconds: 24 days.
        self.busy_timeout = most.min(Duration::from_millis(i32::MAX as u64));
        self
    }

    /// Executes this statement for each row, with the fields of the row as its parameters. Rows are tuples of up to 16 fields, `(T,)`
    /// for a single one, or arrays: of a `Keyed<String, u64>` they are `(String, u64)`. For others see [`write`](Sqlite::write).
    pub fn insert<R: Item + Params>(self, statement: impl Into<String>) -> SqliteOutbox<R> {
        let statement: Arc<str> = statement.into().into();
        let write = {
            let statement = Arc::clone(&statement);
            move |transaction: &Transaction<'_>, row: R| {
                transaction.prepare_cached(&statement)?.execute(row).map(drop)
            }
        };
        SqliteOutbox { database: self, statement: Some(statement), write: Arc::new(write) }
    }

    /// Calls this function for each row, with the transaction of the epoch. It must not end the transaction; what
    /// it writes is committed when all rows of the epoch are written.
    ///
    /// ```
    /// use flow_sqlite::Sqlite;
    /// use flow_sqlite::rusqlite::params;
    ///
    /// // Of a stream `Keyed<u32, (String, i64)>`.
    /// let out = Sqlite::at("alerts.db").write(|transaction, (card, (shop, cents)): &(u32, (String, i64))| {
    ///     transaction
    ///         .prepare_cached("INSERT INTO alerts VALUES (?1, ?2, ?3)")?
    ///         .execute(params![card, shop, cents])?;
    ///     Ok(())
    /// });
    /// # let _ = out;
    /// ```
    pub fn write<R, F>(self, write: F) -> SqliteOutbox<R>
    where
        R: Item,
        F: Fn(&Transaction<'_>, &R) -> rusqlite::Result<()> + Send + Sync + 'static,
    {
        let write = move |transaction: &Transaction<'_>, row: R| write(transaction, &row);
        SqliteOutbox { database: self, statement: None, write: Arc::new(write) }
    }
}

type Write<R> = dyn Fn(&Transaction<'_>, R) -> rusqlite::Result<()> + Send + Sync;

/// A database that rows of type `R` are written to; [`outbox`](flow_runtime::io::outbox) makes a sink of it.
#[must_use = "`outbox(..)` makes a sink of it"]
pub struct SqliteOutbox<R> {
    database: Sqlite,
    /// Where there is one, so that it can be checked at the start.
    statement: Option<Arc<str>>,
    write: Arc<Write<R>>,
}

impl<R> Clone for SqliteOutbox<R> {
    fn clone(&self) -> Self {
        SqliteOutbox {
            database: self.database.clone(),
            statement: self.statement.clone(),
            write: Arc::clone(&self.write),
        }
    }
}

impl<R> fmt::Debug for SqliteOutbox<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOutbox")
            .field("path", &self.database.path)
            .field("statement", &self.statement)
            .finish_non_exhaustive()
    }
}

/// What applied epochs are written down in.
const APPLIED: &str = "CREATE TABLE IF NOT EXISTS flow_applied \
    (owner TEXT NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL)";
const LAST: &str = "SELECT epoch FROM flow_applied WHERE owner = ?1";
const APPLY: &str = "INSERT INTO flow_applied (owner, epoch) VALUES (?1, ?2) \
    ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch";

impl<R> SqliteOutbox<R> {
    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.database.path, flags)?;
        connection.busy_timeout(self.database.busy_timeout)?;
        // Also in the old journal mode a commit is durable only when the journal's disappearance is, which FULL leaves out.
        connection.pragma_update(None, "synchronous", "EXTRA")?;
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        if pages == 0 {
            // Where the file system cannot have it the answer is another mode, which is fine.
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        }
        Ok(connection)
    }

    fn prepared(&self, place: &Place) -> Result<Connection, Error> {
        let cannot_open = |error| place.failed("open", error);
        let mut connection = self.open().map_err(cannot_open)?;
        if connection.is_readonly(MAIN_DB).map_err(cannot_open)? {
            return Err(place.read_only());
        }
        self.make_tables(&mut connection).map_err(|error| place.failed("prepare", error))?;
        Ok(connection)
    }

    fn make_tables(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(APPLIED, ())?;
        for statements in &self.database.schema {
            transaction.execute_batch(statements)?;
        }
        transaction.commit()?;
        // What is wrong with the statement is better said now than when the first row comes.
        if let Some(statement) = &self.statement {
            connection.prepare_cached(statement)?;
        }
        Ok(())
    }
}

/// Whether the database was held by somebody. SQLite itself waits for those that write; not for one that changes the journal mode, as
/// another sink does that makes the same database at this moment.
fn is_busy(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    cause.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DatabaseBusy)
}

impl<R: Item> Outbox for SqliteOutbox<R> {
    type Row = R;
    type Connection = SqliteConnection<R>;

    fn partitions(&self) -> Result<Vec<PartitionId>, Error> {
        // SQLite has one writer at a time.
        Ok(vec![PartitionId::new("sqlite")])
    }

    fn connect(&self, _: &PartitionId, owner: &str) -> Result<SqliteConnection<R>, Error> {
        let path = &self.database.path;
        if path.as_os_str().is_empty() || path == Path::new(":memory:") {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("`{}` is a database that is gone with the run", path.display()),
            )
            .help("give the path of a file: `Sqlite::at(\"out.db\")`"));
        }
        let place = Place { path: path.clone() };
        let begun = Instant::now();
        let connection = loop {
            match self.prepared(&place) {
                Err(busy) if is_busy(&busy) && begun.elapsed() < self.database.busy_timeout => {
                    thread::sleep(Duration::from_millis(5));
                }
                answer => break answer?,
            }
        };
        Ok(SqliteConnection {
            connection,
            place,
            owner: owner.to_owned(),
            write: Arc::clone(&self.write),
            rows: PhantomData,
        })
    }
}

/// A connection of one owner.
pub struct SqliteConnection<R> {
    connection: Connection,
    place: Place,
    owner: String,
    write: Arc<Write<R>>,
    rows: PhantomData<fn(R)>,
}

impl<R> fmt::Debug for SqliteConnection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteConnection")
            .field("path", &self.place.path)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

fn last(connection: &Connection, owner: &str) -> rusqlite::Result<Option<Epoch>> {
    let epoch =
        connection.prepare_cached(LAST)?.query_row((owner,), |row| row.get(0)).optional()?;
    Ok(epoch.map(Epoch))
}

impl<R: Item> OutboxConnection for SqliteConnection<R> {
    type Row = R;

    fn last_applied(&mut self) -> Result<Option<Epoch>, Error> {
        last(&self.connection, &self.owner)
            .map_err(|error| self.place.failed("read the applied epoch from", error))
    }

    fn apply(&mut self, epoch: Epoch, rows: Vec<R>) -> Result<(), Error> {
        let place = &self.place;
        let number = i64::try_from(epoch.0).map_err(|_| place.epoch_too_large(epoch))?;
        let failed = |error| place.not_applied(epoch, None, error);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        if let Some(last) = last(&transaction, &self.owner).map_err(failed)?
            && last >= epoch
        {
            return Err(place.applied_before(epoch, last));
        }
        let count = rows.len();
        for (n, row) in rows.into_iter().enumerate() {
            (self.write)(&transaction, row)
                .map_err(|error| place.not_applied(epoch, Some((n + 1, count)), error))?;
        }
        if transaction.is_autocommit() {
            return Err(place.transaction_ended(epoch));
        }
        transaction.execute(APPLY, (&self.owner, number)).map_err(failed)?;
        transaction.commit().map_err(failed)
    }
}
