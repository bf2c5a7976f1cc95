//! Creates the file, and checks whether an existing file is a store of this program.

use std::path::Path;
use std::time::Duration;

use gam_store::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time::Instant;

use super::error::{failed, failed_to_read, is_busy, needs_log_files, no_directory};
use super::{BEGIN_WRITE, LOCK_TIMEOUT, READERS, connect_options};

/// Identifies the file as a store of this program: `gamS` in ASCII.
const APPLICATION_ID: i64 = 0x6761_6d53;

/// The version of the tables. A file with a greater version is not touched.
const SCHEMA_VERSION: i64 = 1;

/// Nearly all reads follow a primary key, so rows are stored in its order (`WITHOUT ROWID`).
const TABLES: &str = "
CREATE TABLE rollups (
    org           TEXT NOT NULL,
    subject_kind  TEXT NOT NULL,
    subject       TEXT NOT NULL,
    grain         TEXT NOT NULL,
    start         TEXT NOT NULL,
    month         TEXT NOT NULL,
    logic_version INTEGER NOT NULL,
    identity      TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    body          TEXT NOT NULL,
    PRIMARY KEY (org, subject_kind, subject, grain, start, month)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_across ON rollups (org, subject_kind, grain, start);
CREATE TABLE markers (
    org           TEXT NOT NULL,
    month         TEXT NOT NULL,
    logic_version INTEGER NOT NULL,
    identity      TEXT NOT NULL,
    generation    INTEGER NOT NULL,
    floor         INTEGER NOT NULL,
    PRIMARY KEY (org, month)
) STRICT, WITHOUT ROWID;
CREATE TABLE names (
    org   TEXT NOT NULL,
    kind  TEXT NOT NULL,
    id    INTEGER NOT NULL,
    name  TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    PRIMARY KEY (org, kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    org      TEXT NOT NULL,
    name     TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
";

/// The table of records, which files of older versions lack. Older versions ignore it, so it needs no newer schema
/// version. The index finds what has expired.
const RECORD_TABLE: &str = "
CREATE TABLE IF NOT EXISTS records (
    org      TEXT NOT NULL,
    kind     TEXT NOT NULL,
    sort     TEXT NOT NULL,
    revision TEXT NOT NULL,
    expires  INTEGER,
    body     TEXT NOT NULL,
    PRIMARY KEY (org, kind, sort)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_expiry ON records (expires) WHERE expires IS NOT NULL;
";

const ACTION: &str = "opening the store";

/// Creates the file and its tables if needed, and returns how to connect to it.
pub(super) async fn prepare(path: &Path) -> Result<SqliteConnectOptions> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|error| no_directory(path, error))?;
    }
    let options = connect_options(path).disable_statement_logging();
    let failed = || failed(path, ACTION);
    let mut connection = options.clone().create_if_missing(true).connect().await.map_err(failed())?;
    match file_state(&mut connection).await.map_err(failed())? {
        FileState::Current => {}
        FileState::Newer(version) => return Err(newer_version(path, version)),
        // Another process may be creating the file, so check again while holding the lock.
        FileState::Empty | FileState::Unknown => create_tables(&mut connection, path).await?,
    }
    create_record_table(&mut connection).await.map_err(failed())?;
    enable_write_ahead_log(&mut connection, path).await?;
    connection.close().await.map_err(failed())?;
    Ok(options)
}

/// Opens an existing file for reading. Returns its connections, and whether they assume that nobody writes it.
pub(super) async fn open_for_reading(path: &Path) -> Result<(SqlitePool, bool)> {
    let failed = || failed_to_read(path);
    let options = connect_options(path).disable_statement_logging().read_only(true);
    match check_readable(&options, path).await {
        Ok(()) => Ok((super::pool(READERS).connect_lazy_with(options.pragma("query_only", "ON")), false)),
        // SQLite reads a file with a log only if it can write next to it, unless nobody else writes.
        Err(ReadFailure::Sqlite(error)) if needs_log_files(&error) && !has_log(path) => {
            Ok((open_unchanging(path).await?, true))
        }
        Err(ReadFailure::Sqlite(error)) => Err(failed()(error)),
        Err(ReadFailure::Unusable(error)) => Err(error),
    }
}

/// Opens a file that nobody writes, for a user without permission to write next to it. Each connection is used
/// once, because SQLite does not notice changes of such a file.
pub(super) async fn open_unchanging(path: &Path) -> Result<SqlitePool> {
    let options = connect_options(path).disable_statement_logging().read_only(true).immutable(true);
    match check_readable(&options, path).await {
        Ok(()) => {}
        Err(ReadFailure::Sqlite(error)) => return Err(failed_to_read(path)(error)),
        Err(ReadFailure::Unusable(error)) => return Err(error),
    }
    let pool = super::pool(READERS).after_release(|_, _| Box::pin(async { Ok(false) }));
    Ok(pool.connect_lazy_with(options))
}

/// Why a file cannot be opened for reading.
enum ReadFailure {
    /// SQLite cannot open it.
    Sqlite(sqlx::Error),
    /// It is no store that this program can read.
    Unusable(Error),
}

async fn check_readable(options: &SqliteConnectOptions, path: &Path) -> std::result::Result<(), ReadFailure> {
    let mut connection = options.connect().await.map_err(ReadFailure::Sqlite)?;
    let state = file_state(&mut connection).await.map_err(ReadFailure::Sqlite)?;
    connection.close().await.map_err(ReadFailure::Sqlite)?;
    match state {
        FileState::Current => Ok(()),
        FileState::Newer(version) => Err(ReadFailure::Unusable(newer_version(path, version))),
        FileState::Empty | FileState::Unknown => Err(ReadFailure::Unusable(unknown_database(path))),
    }
}

/// Returns whether a write-ahead log holds rows that are not in the file yet.
pub(super) fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// What an existing file contains.
enum FileState {
    /// A store with the tables of this version.
    Current,
    /// A store with the tables of a newer version.
    Newer(i64),
    /// Nothing: the file was just created.
    Empty,
    /// A database of another program, or a store of an older version.
    Unknown,
}

async fn file_state(connection: &mut SqliteConnection) -> sqlx::Result<FileState> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok(match (application, version, tables) {
        (APPLICATION_ID, SCHEMA_VERSION, _) => FileState::Current,
        (APPLICATION_ID, version, _) if version > SCHEMA_VERSION => FileState::Newer(version),
        (0, 0, 0) => FileState::Empty,
        _ => FileState::Unknown,
    })
}

/// Returns whether the file has the table of records.
pub(super) async fn has_record_table(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'records')";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Creates the table of records in a file of an older version. Takes no lock if the file has the table.
async fn create_record_table(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    if has_record_table(connection).await? {
        return Ok(());
    }
    let mut write = connection.begin_with(BEGIN_WRITE).await?;
    sqlx::raw_sql(RECORD_TABLE).execute(&mut *write).await?;
    write.commit().await
}

/// Creates the tables while holding the lock, unless another process has created them in the meantime.
async fn create_tables(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let failed = || failed(path, ACTION);
    let mut write = connection.begin_with(BEGIN_WRITE).await.map_err(failed())?;
    match file_state(&mut write).await.map_err(failed())? {
        FileState::Current => Ok(()),
        FileState::Newer(version) => Err(newer_version(path, version)),
        FileState::Unknown => Err(unknown_database(path)),
        FileState::Empty => {
            let mark =
                format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};");
            sqlx::raw_sql(AssertSqlSafe(format!("{TABLES} {RECORD_TABLE} {mark}")))
                .execute(&mut *write)
                .await
                .map_err(failed())?;
            write.commit().await.map_err(failed())
        }
    }
}

/// Switches the file to a write-ahead log, so that readers and the writer do not wait for each other.
async fn enable_write_ahead_log(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        let mode: sqlx::Result<String> =
            sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await;
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => return Err(no_write_ahead_log(path, &mode)),
            // The switch needs a lock that SQLite's busy timeout does not wait for.
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => return Err(failed(path, ACTION)(error)),
        }
    }
}

/// Returns the error for a file that somebody writes, although it was opened as one that nobody writes.
pub(super) fn written_meanwhile(path: &Path) -> Error {
    let what = format!(
        "another program writes {} now, and this user cannot read its log: give this user write permission for \
         the directory, or start this command again when the other program has ended",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn newer_version(path: &Path, version: i64) -> Error {
    let what = format!(
        "{} was written by a newer version of github-metrics (its tables have version {version}, this program \
         supports {SCHEMA_VERSION}): upgrade github-metrics",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn unknown_database(path: &Path) -> Error {
    let what = format!(
        "{} is a database of another program, or of a version of github-metrics that this one cannot read: \
         choose another file with `--store sqlite:FILE`",
        path.display()
    );
    Error::Unusable { what, source: None }
}

fn no_write_ahead_log(path: &Path, mode: &str) -> Error {
    let what = format!(
        "SQLite cannot use a write-ahead log for {} (the journal mode stays {mode:?}): choose a file on a local \
         disk with `--store sqlite:FILE`",
        path.display()
    );
    Error::Unusable { what, source: None }
}
